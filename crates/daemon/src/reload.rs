//! The configuration into force: all of it at the start, the difference at each reload.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use thruway_api::ReloadReport;
use thruway_config::{Config, Diff, Peer as PeerFile, Target};
use thruway_engine::{Command, ConfigChange, PeerConfig, PeerDirectory, RangeConfig};
use thruway_exchange::HOST_POLICY;
use thruway_rib::PeerId;
use thruway_wire::Prefix;

use super::daemon::{Daemon, State};
use super::entry::Access;
use super::limits::PEERS_MAX;
use super::local::{self, LOCAL_ADDR, LOCAL_NAME};
use super::view::Snapshot;
use super::worker::Order;
use super::{entry, peers, sink};

/// What happens to a peer or range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Added,
    Changed,
    /// A range no longer takes all that it took: its sessions end.
    Moved,
}

/// A peer that came by a range, as it is now.
pub(super) struct Dynamic {
    id: PeerId,
    name: Arc<str>,
    addr: SocketAddr,
    range: Arc<str>,
}

/// The number of a peer that is not there.
const NOBODY: PeerId = PeerId(u16::MAX);

impl Dynamic {
    /// All that there are.
    pub(super) fn all(snapshot: &Snapshot) -> Vec<Self> {
        let peers = snapshot.peers().filter_map(|peer| {
            Some(Dynamic {
                id: peer.peer,
                name: Arc::clone(&peer.name),
                addr: peer.addr,
                range: Arc::clone(peer.range.as_ref()?),
            })
        });
        peers.collect()
    }
}

/// Peers and ranges of a configuration, and what changes for each.
struct Plan {
    singles: Vec<(PeerConfig, Change)>,
    ranges: Vec<(RangeConfig, Change)>,
    /// Single peers that go.
    gone: Vec<(String, PeerId, IpAddr)>,
    /// Ranges that go.
    ranges_gone: Vec<String>,
}

impl Plan {
    /// What becomes of a peer that came by a range. Where its range goes or shrinks its session ends, and comes back
    /// where something else takes it.
    fn of_dynamic(&self, peer: &Dynamic) -> Option<ConfigChange> {
        let change = |then: Option<PeerConfig>, anew| ConfigChange {
            peer: peer.id,
            then: then.map(Box::new),
            anew,
        };
        let under = |range: &RangeConfig| peers::of_range(range, peer.id, &peer.name, peer.addr);
        let own = self.ranges.iter().find(|(it, _)| it.name == peer.range);
        match own {
            Some((_, Change::None)) => return None,
            Some((range, Change::Added | Change::Changed)) => {
                return Some(change(Some(under(range)), false));
            }
            Some((_, Change::Moved)) | None => {}
        }
        let single = self.singles.iter().map(|(single, _)| single);
        let single = {
            let mut singles = single;
            singles.find(|single| single.addr.ip() == peer.addr.ip())
        };
        if let Some(single) = single {
            let id = peer.id;
            return Some(change(
                Some(PeerConfig {
                    id,
                    ..single.clone()
                }),
                true,
            ));
        }
        let host = Prefix::host(peer.addr.ip());
        let ranges = self.ranges.iter().map(|(range, _)| range);
        let takes = ranges.filter(|range| range.prefix.covers(host));
        let longest = takes.max_by_key(|range| range.prefix.prefix_len());
        Some(change(longest.map(under), true))
    }
}

impl Daemon {
    /// Puts the first configuration in force.
    pub(super) fn install(&self) -> Result<()> {
        let config = self.config();
        let report = self.apply(None, &config, &[], &[])?;
        tracing::debug!(peers = report.added.len(), "peers started");
        Ok(())
    }

    /// What can be wrong with a new configuration is found before anything of it is in force.
    ///
    /// # Errors
    /// What takes a restart, a group that is not there, what is wrong with a file of those who may ask, or too many peers.
    pub(super) fn prepare(new: &Config, diff: &Diff) -> Result<Access> {
        refuse_restart(diff)?;
        if new.peers.len() > usize::from(PEERS_MAX) {
            bail!("{} peers, {PEERS_MAX} at most", new.peers.len());
        }
        entry::check(&new.server)
    }

    /// Puts the difference to a new configuration in force: all of it, or nothing. Whoever calls is alone
    /// ([`Daemon::changing`]).
    ///
    /// # Errors
    /// That a worker is gone.
    pub(super) async fn put(
        &self,
        new: Config,
        diff: &Diff,
        access: Access,
    ) -> Result<ReloadReport> {
        let old = self.config();
        if let Err(error) = entry::open_socket_to(&new.server) {
            tracing::error!("the API's socket stays as it is: {error:#}");
        }
        let snapshot = self.snapshot().await?;
        let dynamic = Dynamic::all(&snapshot);
        let mut report = self.apply(Some(&old), &new, &diff.policies, &dynamic)?;
        report.warnings = new.warnings.iter().map(ToString::to_string).collect();
        let new = Arc::new(new);
        {
            let mut state = self.state();
            state.config = Arc::clone(&new);
            state.access = access;
        }
        self.watcher.look();
        if old.server.log != new.server.log {
            super::serve::set_log_level(new.server.log);
        }
        report.server = diff.server.iter().map(|key| (*key).to_owned()).collect();
        report.expect = diff.expectations();
        report.ended = diff
            .reset
            .iter()
            .map(|change| change.name.clone())
            .collect();
        report.exchange = diff.exchange.iter().map(|key| (*key).to_owned()).collect();
        report.switch = self.network_reloaded(&new).await?;
        Ok(report)
    }

    fn apply(
        &self,
        old: Option<&Config>,
        new: &Config,
        policies: &[String],
        dynamic: &[Dynamic],
    ) -> Result<ReloadReport> {
        let mut state = self.state();
        let plan = self.changes(&state, old, new, policies, |known| self.number(known))?;
        let workers = self.bus.workers().len();
        let singles = plan.singles.iter().map(|(peer, _)| peer);
        let ranges = plan.ranges.iter().map(|(range, _)| range);
        let directory = Arc::new(PeerDirectory::new(workers, self.seed, singles, ranges));
        if let Some(old) = old {
            self.keys(old, new)?;
        }
        for worker in 0..workers {
            let order = Order::Directory(Arc::clone(&directory));
            self.bus.order(worker, order)?;
        }
        state.directory = directory;
        let mut report = ReloadReport::default();
        self.remove(&mut state, &plan, &mut report)?;
        self.apply_singles(&mut state, plan.singles, &mut report)?;
        self.apply_ranges(&state, plan.ranges, dynamic, &mut report)?;
        Ok(report)
    }

    /// What would become of each peer that is there, were the configuration in force.
    pub(super) fn proposed(
        &self,
        old: &Config,
        new: &Config,
        policies: &[String],
        dynamic: &[Dynamic],
    ) -> Result<Vec<ConfigChange>> {
        let state = self.state();
        let nobody = |known: Option<(PeerId, IpAddr)>| Ok(known.map_or(NOBODY, |(id, _)| id));
        let plan = self.changes(&state, Some(old), new, policies, nobody)?;
        let singles = plan.singles.iter().filter(|(peer, change)| {
            peer.id != NOBODY && matches!(change, Change::Changed | Change::Moved)
        });
        let mut changes: Vec<ConfigChange> = singles
            .map(|(peer, _)| ConfigChange {
                peer: peer.id,
                then: Some(Box::new(peer.clone())),
                anew: false,
            })
            .collect();
        changes.extend(plan.gone.iter().map(|(_, id, _)| ConfigChange {
            peer: *id,
            then: None,
            anew: false,
        }));
        changes.extend(dynamic.iter().filter_map(|peer| plan.of_dynamic(peer)));
        Ok(changes)
    }

    /// What is to be done, with a number for each peer.
    fn changes(
        &self,
        state: &State,
        old: Option<&Config>,
        new: &Config,
        policies: &[String],
        number: impl Fn(Option<(PeerId, IpAddr)>) -> Result<PeerId>,
    ) -> Result<Plan> {
        let mut singles = Vec::new();
        let by_name: HashMap<&str, &PeerFile> = old
            .map_or(&[][..], |old| &old.peers)
            .iter()
            .map(|file| (file.name.as_str(), file))
            .collect();
        let of_old = |name: &str| by_name.get(name).copied();
        let policies: HashSet<&str> = policies.iter().map(String::as_str).collect();
        let reflects = peers::reflects(new);
        for file in &new.peers {
            let Target::Address(addr) = file.target else {
                continue;
            };
            let known = state.peers.get(&file.name).copied();
            let known = known.filter(|(_, old)| *old == addr.ip());
            let before = of_old(&file.name);
            let change = change(before.filter(|_| known.is_some()), file, &policies);
            let id = number(known)?;
            singles.extend(peers::peer(new, reflects, file, id).map(|peer| (peer, change)));
        }
        if new.exchange.is_some() {
            let known = state.peers.get(LOCAL_NAME).copied();
            let id = number(known)?;
            let changed = policies.contains(HOST_POLICY);
            let change = match known {
                None => Change::Added,
                Some(_) if changed => Change::Changed,
                Some(_) => Change::None,
            };
            singles.extend(local::peer(new, id).map(|peer| (peer, change)));
        }
        let mut ranges = Vec::new();
        for file in &new.peers {
            let before = of_old(&file.name).filter(|file| is_range(file));
            let change = change(before, file, &policies);
            ranges.extend(peers::range(new, reflects, file).map(|range| (range, change)));
        }
        let stay: HashSet<PeerId> = singles.iter().map(|(peer, _)| peer.id).collect();
        let gone = state.peers.iter().filter(|(_, (id, _))| !stay.contains(id));
        let before = old.map_or(&[][..], |old| &old.peers);
        let ranges_gone = before.iter().filter(|file| is_range(file)).filter(|file| {
            let stays = |(range, _): &(RangeConfig, Change)| *range.name == file.name;
            !ranges.iter().any(stays)
        });
        Ok(Plan {
            gone: gone
                .map(|(name, (id, addr))| (name.clone(), *id, *addr))
                .collect(),
            ranges_gone: ranges_gone.map(|file| file.name.clone()).collect(),
            singles,
            ranges,
        })
    }

    fn number(&self, known: Option<(PeerId, IpAddr)>) -> Result<PeerId> {
        match known {
            Some((id, _)) => Ok(id),
            None => self.ids.take().context("too many peers"),
        }
    }

    fn remove(&self, state: &mut State, plan: &Plan, report: &mut ReloadReport) -> Result<()> {
        for (name, id, addr) in &plan.gone {
            let home = state.directory.home(*addr).index();
            self.bus.command(home, Command::RemovePeer(*id))?;
            state.peers.remove(name);
            report.removed.push(name.clone());
        }
        for name in &plan.ranges_gone {
            for worker in 0..self.bus.workers().len() {
                let name = name.as_str().into();
                self.bus.command(worker, Command::RemoveRange(name))?;
            }
            report.removed.push(name.clone());
        }
        Ok(())
    }

    fn apply_singles(
        &self,
        state: &mut State,
        singles: Vec<(PeerConfig, Change)>,
        report: &mut ReloadReport,
    ) -> Result<()> {
        for (peer, change) in singles {
            let name = peer.name.to_string();
            state.names.insert(peer.id, Arc::clone(&peer.name));
            let place = (peer.id, peer.addr.ip());
            state.peers.insert(name.clone(), place);
            let home = state.directory.home(peer.addr.ip()).index();
            let is_local = peer.addr.ip() == LOCAL_ADDR;
            match change {
                Change::None => {}
                Change::Added => self.bus.command(home, Command::AddPeer(peer))?,
                Change::Changed | Change::Moved => {
                    self.bus.command(home, Command::UpdatePeer(peer))?;
                }
            }
            // Nobody wrote the network's own session into the file.
            if !is_local {
                count(report, name, change);
            }
        }
        Ok(())
    }

    /// Ranges, and the peers that came by those that changed.
    fn apply_ranges(
        &self,
        state: &State,
        ranges: Vec<(RangeConfig, Change)>,
        dynamic: &[Dynamic],
        report: &mut ReloadReport,
    ) -> Result<()> {
        for (range, change) in ranges {
            count(report, range.name.to_string(), change);
            if change == Change::None {
                continue;
            }
            for worker in 0..self.bus.workers().len() {
                let command = Command::SetRange(range.clone());
                self.bus.command(worker, command)?;
            }
            for peer in dynamic.iter().filter(|peer| peer.range == range.name) {
                let home = state.directory.home(peer.addr.ip()).index();
                if change == Change::Moved {
                    self.bus.command(home, Command::RemovePeer(peer.id))?;
                    continue;
                }
                let config = peers::of_range(&range, peer.id, &peer.name, peer.addr);
                self.bus.command(home, Command::UpdatePeer(config))?;
            }
        }
        Ok(())
    }

    /// TCP MD5 keys of the listeners; at the start they stand there already.
    fn keys(&self, old: &Config, new: &Config) -> Result<()> {
        let before = listener_keys(old);
        let after = listener_keys(new);
        let remove: Vec<Prefix> = before
            .iter()
            .filter(|key| !after.iter().any(|other| other.prefix == key.prefix))
            .map(|key| key.prefix)
            .collect();
        let add: Vec<_> = after
            .into_iter()
            .filter(|key| !before.contains(key))
            .collect();
        if remove.is_empty() && add.is_empty() {
            return Ok(());
        }
        self.bus.order(0, Order::Md5 { remove, add })
    }
}

/// Adds what happened to a peer or range.
fn count(report: &mut ReloadReport, name: String, change: Change) {
    match change {
        Change::None => report.unchanged += 1,
        Change::Added => report.added.push(name),
        Change::Changed | Change::Moved => report.changed.push(name),
    }
}

fn change(before: Option<&PeerFile>, now: &PeerFile, policies: &HashSet<&str>) -> Change {
    match before {
        None => Change::Added,
        Some(before) if !now.target.takes_all_of(&before.target) => Change::Moved,
        Some(before) if before != now || uses(now, policies) => Change::Changed,
        Some(_) => Change::None,
    }
}

fn is_range(file: &PeerFile) -> bool {
    matches!(file.target, Target::Range { .. })
}

/// The keys that listeners hold for all neighbours.
pub(super) fn listener_keys(config: &Config) -> Vec<thruway_net::Md5Key> {
    let prefix = |file: &PeerFile| match file.target {
        Target::Address(addr) => Prefix::host(addr.ip()),
        Target::Range { prefix, .. } => prefix,
    };
    let peers = config.peers.iter();
    peers
        .filter_map(|file| sink::md5_key(prefix(file), &peers::transport(file)))
        .collect()
}

fn uses(file: &PeerFile, policies: &HashSet<&str>) -> bool {
    let names = [&file.import.policy, &file.export.policy];
    names
        .into_iter()
        .flatten()
        .any(|name| policies.contains(name.as_str()))
}

pub(super) fn refuse_restart(diff: &Diff) -> Result<()> {
    if diff.restart.is_empty() {
        return Ok(());
    }
    bail!(
        "[server] {} changed, which takes a restart; nothing of the new configuration is in force",
        diff.restart.join(", ")
    )
}
