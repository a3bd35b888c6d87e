//! The running server, as the control plane sees it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use thruway_engine::{Command, PeerConfig, PeerDirectory, PeerIdPool, PeerRole};
use thruway_policy::Hits;
use thruway_rib::{PeerId, RouteRow};
use thruway_wire::attrs::{AttrSetBuf, code};
use thruway_wire::{Asn, Family, NextHop, Prefix};

use super::clock::Clock;
use super::worker::Order;
use super::{peers, sink};
use crate::config::{Config, Peer as PeerFile, Target};
use crate::control::bus::Bus;
use crate::control::model::{Peer, PolicyHits, Route, StatementHits, Status};
use crate::control::view::Snapshot;

/// The running server.
pub(crate) struct Daemon {
    bus: Arc<Bus>,
    clock: Clock,
    seed: u64,
    ids: Arc<PeerIdPool>,
    listen: Vec<SocketAddr>,
    shards: usize,
    state: Mutex<State>,
}

/// What changes with the configuration and with peers of ranges.
struct State {
    config: Arc<Config>,
    /// Configured single peers by name.
    peers: BTreeMap<String, (PeerId, IpAddr)>,
    names: HashMap<PeerId, Arc<str>>,
    directory: Arc<PeerDirectory>,
}

/// What a reload did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ReloadReport {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    unchanged: usize,
    warnings: Vec<String>,
}

/// What a daemon is made of.
pub(super) struct Foundation {
    pub(super) bus: Arc<Bus>,
    pub(super) clock: Clock,
    pub(super) seed: u64,
    pub(super) ids: Arc<PeerIdPool>,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) shards: usize,
    pub(super) config: Arc<Config>,
}

impl Daemon {
    pub(super) fn new(base: Foundation) -> Arc<Self> {
        let directory = Arc::new(PeerDirectory::new(1, base.seed, [], []));
        let state = State {
            config: base.config,
            peers: BTreeMap::new(),
            names: HashMap::new(),
            directory,
        };
        Arc::new(Daemon {
            bus: base.bus,
            clock: base.clock,
            seed: base.seed,
            ids: base.ids,
            listen: base.listen,
            shards: base.shards,
            state: Mutex::new(state),
        })
    }

    pub(crate) fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.state().config)
    }

    /// The worker that a neighbour's session lives on.
    pub(crate) fn home(&self, addr: IpAddr) -> usize {
        self.state().directory.home(addr).index()
    }

    /// How all workers are, at this moment.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(self.bus.status().await?))
    }

    pub(crate) fn peer_name(&self, id: PeerId) -> Arc<str> {
        let name = self.state().names.get(&id).cloned();
        name.unwrap_or_else(|| format!("peer {}", id.0).into())
    }

    pub(crate) fn learn_name(&self, id: PeerId, name: &Arc<str>) {
        self.state().names.insert(id, Arc::clone(name));
    }

    /// What the API says of the server.
    pub(crate) fn status(&self, snapshot: &Snapshot) -> Status {
        let config = self.config();
        let mut prefixes = [0u64, 0];
        let (mut paths, mut sets, mut updates_in, mut bytes_in, mut messages_in) = (0, 0, 0, 0, 0);
        let (mut updates_encoded, mut bytes_out, mut queued) = (0, 0, 0);
        for worker in &snapshot.workers {
            if let Some(shard) = &worker.shard {
                prefixes[0] += u64::from(shard.prefixes[0]);
                prefixes[1] += u64::from(shard.prefixes[1]);
                paths += shard
                    .paths
                    .iter()
                    .map(|count| u64::from(*count))
                    .sum::<u64>();
            }
            let counters = &worker.counters;
            sets += counters.sets;
            messages_in += counters.messages_in;
            updates_in += counters.updates_in;
            bytes_in += counters.bytes_in;
            updates_encoded += counters.updates_encoded;
            bytes_out += counters.bytes_out;
            queued += counters.queued;
        }
        let kind = self
            .bus
            .workers()
            .first()
            .map(|worker| worker.kind().to_string());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            asn: config.server.asn,
            router_id: config.server.router_id,
            listen: self.listen.clone(),
            uptime_seconds: self.clock.now().0 / 1_000_000_000,
            config: config.path.display().to_string(),
            transport: kind.unwrap_or_default(),
            workers: self.bus.workers().len(),
            shards: self.shards,
            peers: snapshot.peers().count(),
            established: snapshot.peers().filter(|peer| peer.since.is_some()).count(),
            ipv4_prefixes: prefixes[0],
            ipv6_prefixes: prefixes[1],
            paths,
            attribute_sets: sets,
            memory: resident_memory(),
            messages_in,
            updates_in,
            bytes_in,
            updates_encoded,
            bytes_out,
            queued,
            warnings: config.warnings.iter().map(ToString::to_string).collect(),
        }
    }

    /// Adds what only the configuration knows: the AS of a peer without a session, and its role's
    /// name in the file.
    pub(crate) fn fill_in_configured(&self, list: &mut [Peer]) {
        let config = self.config();
        for peer in list {
            let Some(file) = find_file(&config, &peer.name) else {
                continue;
            };
            peer.role = role_name(file.role).to_owned();
            if let (None, thruway_session::RemoteAs::One(asn)) = (peer.asn, &file.asn) {
                peer.asn = Some(*asn);
            }
        }
    }

    /// Adds how often the statements of a peer's policies held.
    pub(crate) fn fill_in_hits(&self, snapshot: &Snapshot, id: PeerId, list: &mut [Peer]) {
        let config = self.config();
        let name = |policy: &Option<String>, hits: &Hits| {
            let policy = config.policies.get(policy.as_deref()?)?;
            let statements = (0u16..)
                .zip(&hits.statements)
                .map(|(index, hits)| StatementHits {
                    statement: policy.statement_label(index),
                    hits: *hits,
                });
            Some(PolicyHits {
                policy: policy.name().to_owned(),
                statements: statements.collect(),
                default: hits.default,
            })
        };
        for peer in list {
            let Some(file) = find_file(&config, &peer.name) else {
                continue;
            };
            peer.import_policy = name(&file.import.policy, &snapshot.import_hits(id));
            let group = snapshot.group(id);
            let hits = group.map(|group| snapshot.export_hits(group));
            peer.export_policy = name(&file.export.policy, &hits.unwrap_or_default());
        }
    }

    /// The export side of a peer's configuration.
    pub(crate) fn export_of(&self, name: &str) -> Option<(Asn, PeerFile)> {
        let config = self.config();
        find_file(&config, name).map(|file| (config.server.asn, file.clone()))
    }

    /// A route as the peer was told it: the table holds it before the group's own changes.
    pub(crate) fn advertised(
        &self,
        snapshot: &Snapshot,
        row: &RouteRow,
        export: Option<&(Asn, PeerFile)>,
    ) -> Route {
        let Some((asn, file)) = export else {
            return snapshot.route(row);
        };
        let mut set = AttrSetBuf::default();
        set.copy_from(row.accepted.as_ref().unwrap_or(&row.attrs).as_ref());
        if file.export.prepend_own_as {
            set.prepend(*asn, 1);
        }
        if file.export.next_hop_self {
            let own: Option<NextHop> = match row.prefix.family() {
                Family::Ipv4 => file.export.own_v4.map(NextHop::V4),
                Family::Ipv6 => file.export.own_v6.map(NextHop::V6),
            };
            if let Some(own) = own {
                set.set_next_hop(Some(own));
            }
        }
        if !file.export.send_med {
            set.remove(code::MED);
        }
        match file.role {
            PeerRole::RouteServerClient | PeerRole::External => {
                set.remove(code::LOCAL_PREF);
            }
            PeerRole::Internal | PeerRole::ReflectorClient => {}
        }
        let mut shown = row.clone();
        shown.accepted = Some(thruway_wire::attrs::AttrSet::new(set.as_ref()));
        let mut route = snapshot.route(&shown);
        route.changed = row.accepted.is_some();
        route
    }

    /// Puts the first configuration in force.
    pub(super) fn install(&self, config: &Config) -> Result<()> {
        let report = self.apply(config, &[])?;
        tracing::debug!(peers = report.added.len(), "peers started");
        Ok(())
    }

    /// Reads the file again and puts the difference in force; all of it, or nothing.
    ///
    /// # Errors
    /// What is wrong with the file, or what takes a restart.
    pub(crate) async fn reload(&self) -> Result<ReloadReport> {
        let old = self.config();
        let path = old.path.clone();
        let new = tokio::task::spawn_blocking(move || Config::load(&path))
            .await
            .context("reading the configuration")?
            .map_err(|errors| anyhow::anyhow!("{errors}"))?;
        refuse_restart(&old, &new)?;
        let changed = changed_policies(&old, &new);
        let mut report = self.apply(&new, &changed)?;
        report.warnings = new.warnings.iter().map(ToString::to_string).collect();
        self.state().config = Arc::new(new);
        tracing::info!(
            added = report.added.len(),
            removed = report.removed.len(),
            changed = report.changed.len(),
            "configuration reloaded"
        );
        Ok(report)
    }

    /// The single peers of a configuration, each with its number and what changes for it.
    fn plan(
        &self,
        state: &State,
        old: &Config,
        new: &Config,
        policies: &[String],
    ) -> Result<Vec<(PeerConfig, Change)>> {
        let mut list = Vec::new();
        for file in &new.peers {
            let known = state.peers.get(&file.name).copied();
            let Target::Address(addr) = file.target else {
                continue;
            };
            let known = known.filter(|(_, old)| *old == addr.ip());
            let before = find_file(old, &file.name).filter(|_| known.is_some());
            let change = match before {
                None => Change::Added,
                Some(before) if before != file || uses(file, policies) => Change::Changed,
                Some(_) => Change::None,
            };
            let id = match known {
                Some((id, _)) => id,
                None => self.ids.take().context("too many peers")?,
            };
            list.extend(peers::peer(new, file, id).map(|peer| (peer, change)));
        }
        Ok(list)
    }

    fn apply(&self, new: &Config, policies: &[String]) -> Result<ReloadReport> {
        let mut report = ReloadReport::default();
        let old = self.config();
        let mut state = self.state();
        let first =
            state.peers.is_empty() && Arc::ptr_eq(&old, &state.config) && policies.is_empty();
        let list = self.plan(&state, &old, new, policies)?;
        let ranges: Vec<_> = new
            .peers
            .iter()
            .filter_map(|file| peers::range(new, file))
            .collect();
        let workers = self.bus.workers().len();
        let directory = PeerDirectory::new(
            workers,
            self.seed,
            list.iter().map(|(peer, _)| peer),
            &ranges,
        );
        let directory = Arc::new(directory);
        let gone: Vec<(String, (PeerId, IpAddr))> = state
            .peers
            .iter()
            .filter(|(_, (id, _))| !list.iter().any(|(peer, _)| peer.id == *id))
            .map(|(name, place)| (name.clone(), *place))
            .collect();
        self.keys(&old, new, first)?;
        for worker in 0..workers {
            self.bus
                .order(worker, Order::Directory(Arc::clone(&directory)))?;
        }
        for (name, (id, addr)) in gone {
            self.bus
                .command(directory.home(addr).index(), Command::RemovePeer(id))?;
            state.peers.remove(&name);
            report.removed.push(name);
        }
        for (peer, change) in list {
            let name = peer.name.to_string();
            state.names.insert(peer.id, Arc::clone(&peer.name));
            state.peers.insert(name.clone(), (peer.id, peer.addr.ip()));
            let home = directory.home(peer.addr.ip()).index();
            match change {
                Change::None => report.unchanged += 1,
                Change::Added => {
                    self.bus.command(home, Command::AddPeer(peer))?;
                    report.added.push(name);
                }
                Change::Changed => {
                    self.bus.command(home, Command::UpdatePeer(peer))?;
                    report.changed.push(name);
                }
            }
        }
        self.apply_ranges(&old, new, ranges, first, policies, &mut report)?;
        state.directory = directory;
        Ok(report)
    }

    fn apply_ranges(
        &self,
        old: &Config,
        new: &Config,
        ranges: Vec<thruway_engine::RangeConfig>,
        first: bool,
        policies: &[String],
        report: &mut ReloadReport,
    ) -> Result<()> {
        let workers = 0..self.bus.workers().len();
        let is_range = |file: &&PeerFile| matches!(file.target, Target::Range { .. });
        for before in old.peers.iter().filter(is_range).filter(|_| !first) {
            if !ranges.iter().any(|range| *range.name == before.name) {
                for worker in workers.clone() {
                    let name = before.name.as_str().into();
                    self.bus.command(worker, Command::RemoveRange(name))?;
                }
                report.removed.push(before.name.clone());
            }
        }
        for range in ranges {
            let name = range.name.to_string();
            let before = find_file(old, &name).filter(|_| !first);
            let now = find_file(new, &name);
            if before == now && !now.is_some_and(|file| uses(file, policies)) {
                report.unchanged += 1;
                continue;
            }
            for worker in workers.clone() {
                self.bus.command(worker, Command::SetRange(range.clone()))?;
            }
            let list = if before.is_some() {
                &mut report.changed
            } else {
                &mut report.added
            };
            list.push(name);
        }
        Ok(())
    }

    /// TCP MD5 keys of the listeners; at the start they stand there already.
    fn keys(&self, old: &Config, new: &Config, first: bool) -> Result<()> {
        if first {
            return Ok(());
        }
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

#[derive(Clone, Copy)]
enum Change {
    None,
    Added,
    Changed,
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

fn find_file<'a>(config: &'a Config, name: &str) -> Option<&'a PeerFile> {
    let exact = config.peers.iter().find(|file| file.name == name);
    // A peer of a range is named RANGE/ADDRESS or the like after its range.
    exact.or_else(|| {
        let ranges = config
            .peers
            .iter()
            .filter(|f| matches!(f.target, Target::Range { .. }));
        ranges.into_iter().find(|file| name.starts_with(&file.name))
    })
}

fn role_name(role: PeerRole) -> &'static str {
    match role {
        PeerRole::RouteServerClient => "route-server-client",
        PeerRole::External => "external",
        PeerRole::Internal => "internal",
        PeerRole::ReflectorClient => "route-reflector-client",
    }
}

fn uses(file: &PeerFile, policies: &[String]) -> bool {
    let names = [&file.import.policy, &file.export.policy];
    names
        .into_iter()
        .flatten()
        .any(|name| policies.contains(name))
}

/// Policies whose text, or a set of theirs, is not what it was. A set may stand in any policy.
fn changed_policies(old: &Config, new: &Config) -> Vec<String> {
    let sets_changed = old.sets != new.sets;
    let mut names = Vec::new();
    for policy in &new.policy_defs {
        let before = old
            .policy_defs
            .iter()
            .find(|other| other.name == policy.name);
        if sets_changed || before != Some(policy) {
            names.push(policy.name.clone());
        }
    }
    names
}

fn refuse_restart(old: &Config, new: &Config) -> Result<()> {
    let (old, new) = (&old.server, &new.server);
    let pairs = [
        ("asn", old.asn != new.asn),
        ("router-id", old.router_id != new.router_id),
        ("cluster-id", old.cluster_id != new.cluster_id),
        ("listen", old.listen != new.listen),
        ("api", old.api != new.api),
        ("api-socket", old.api_socket != new.api_socket),
        ("workers", old.workers != new.workers),
        ("transport", old.transport != new.transport),
        ("decision options", old.ladder != new.ladder),
    ];
    let changed: Vec<&str> = pairs
        .iter()
        .filter(|(_, changed)| *changed)
        .map(|(name, _)| *name)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    bail!(
        "[server] {} changed, which takes a restart; nothing of the new configuration is in force",
        changed.join(", ")
    )
}

fn resident_memory() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
