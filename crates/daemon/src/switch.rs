//! The switch of route exchange: moved by a command or a reload, and what that did.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use thruway_api::{SwitchPeer, SwitchReport, time_text};
use thruway_config::{Config, Peer as PeerFile, Target};
use thruway_engine::limits::SETTLE_ROUNDS;
use thruway_engine::status::PeerStatus;
use thruway_engine::{Command, PeerRole, Settled};
use thruway_exchange::{Kind, SwitchState, eligibility, why_not};
use thruway_rib::{Eligibility, PeerId};
use thruway_wire::Prefix;

use super::daemon::Daemon;
use super::exchange::{Exchange, Position, Seen};
use super::state_file;
use super::view::Snapshot;

/// How long a new position of the switch may take until every neighbour has what it changes.
const SWITCH_PATIENCE: Duration = Duration::from_secs(30);
/// How long neighbours may take to read what is in their queues before the answer goes without them.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// Between looks at whether they have.
const READ_LOOK: Duration = Duration::from_millis(2);
/// How far a command has come.
struct Settling {
    /// How long that took.
    took: Duration,
    /// It has gone through all workers, into neighbours' queues.
    through: bool,
    /// And all neighbours have taken it.
    read: bool,
}

impl Daemon {
    /// The matrix in force, or as the switch would make it. `None` outside of exchange mode.
    pub(super) fn matrix(&self) -> Option<Eligibility> {
        let on = self.exchange.as_ref()?.position().switch.enabled;
        Some(Eligibility(eligibility(on)))
    }

    /// Tells every worker the matrix.
    pub(super) fn send_matrix(&self, matrix: Eligibility) -> Result<()> {
        for worker in 0..self.bus.workers().len() {
            self.bus.command(worker, Command::Eligibility(matrix))?;
        }
        Ok(())
    }

    /// Turns route exchange on or off by command, and keeps that over restarts.
    ///
    /// # Errors
    /// Not in exchange mode, or a worker is gone.
    pub(crate) async fn set_exchange(&self, enabled: bool) -> Result<SwitchReport> {
        let Some(exchange) = &self.exchange else {
            bail!("the server does not run in exchange mode ([server] mode = \"exchange\")");
        };
        let _alone = self.changing.lock().await;
        let config = self.config();
        let file_said = config.exchange.as_ref().is_some_and(|file| file.enabled);
        let state = SwitchState {
            enabled,
            set_at: time_text(SystemTime::now()),
            file_said,
        };
        let path = config.server.state.clone();
        let written = state.clone();
        let kept = tokio::task::spawn_blocking(move || state_file::write(&path, &written)).await?;
        let mut position = Position::new(file_said, Some(state));
        if let Err(error) = kept {
            let path = &config.server.state;
            // What is there holds another position, and would come back to life: a file can be removed
            // where no other one can be written.
            state_file::remove(path);
            let back = if path.exists() {
                "a restart goes back to the position that was saved before"
            } else {
                "a restart goes back to what the configuration says"
            };
            let warning = format!("{}: {error}: {back}", path.display());
            tracing::warn!("route exchange: {warning}");
            position.warning = Some(warning);
        }
        let before = std::mem::replace(&mut exchange.lock().position, position);
        self.move_switch(before.switch.enabled, enabled).await
    }

    /// What a reload changed of the network: the switch, if the file's word for it is new, and the
    /// hosts' side.
    pub(super) async fn network_reloaded(&self, config: &Config) -> Result<Option<SwitchReport>> {
        let (Some(exchange), Some(file)) = (&self.exchange, &config.exchange) else {
            return Ok(None);
        };
        self.update_network(config).await;
        let before = exchange.position();
        let mut position = Position::new(file.enabled, before.state.clone());
        if position.switch.by_command() || position.switch == before.switch {
            position.since.clone_from(&before.since);
            position.warning.clone_from(&before.warning);
        }
        let file_won = before.state.is_some() && position.state.is_none();
        let enabled = position.switch.enabled;
        exchange.lock().position = position;
        if file_won {
            state_file::remove(&config.server.state);
        }
        if before.switch.enabled == enabled {
            return Ok(None);
        }
        self.move_switch(before.switch.enabled, enabled)
            .await
            .map(Some)
    }

    /// Puts a position in force, waits until all have what it changes, and says who was told what.
    async fn move_switch(&self, was: bool, enabled: bool) -> Result<SwitchReport> {
        let before = self.snapshot().await?;
        let start = Instant::now();
        if was != enabled {
            self.send_matrix(Eligibility(eligibility(enabled)))?;
        }
        let settling = self.settle(start).await?;
        let after = self.snapshot().await?;
        let position = self.exchange.as_ref().map(Exchange::position);
        let position = position.context("the server does not run in exchange mode")?;
        let config = self.config();
        let mut report = SwitchReport {
            enabled,
            changed: was != enabled,
            took_ms: settling.took.as_secs_f64() * 1000.0,
            settled: settling.through,
            announced: 0,
            withdrawn: 0,
            peers: Self::told(&config, &before, &after),
            behind: if settling.read {
                Vec::new()
            } else {
                behind(&after)
            },
            state_file: config.server.state.display().to_string(),
            warning: position.warning,
        };
        report.announced = report.peers.iter().map(|peer| peer.announced).sum();
        report.withdrawn = report.peers.iter().map(|peer| peer.withdrawn).sum();
        let position = if enabled { "on" } else { "off" };
        tracing::info!(
            position,
            ms = report.took_ms,
            announced = report.announced,
            withdrawn = report.withdrawn,
            settled = report.settled,
            behind = report.behind.len(),
            "route exchange"
        );
        Ok(report)
    }

    /// Waits until what was ordered has gone through all workers and out of neighbours' queues.
    async fn settle(&self, start: Instant) -> Result<Settling> {
        let mut rounds = 0;
        let mut through = None;
        loop {
            let answers = self.bus.settle().await?;
            let took = start.elapsed();
            if answers.iter().all(|answer| answer.through) {
                rounds += 1;
            }
            let settling = |took, through, read| Settling {
                took,
                through,
                read,
            };
            if rounds >= SETTLE_ROUNDS {
                let told = *through.get_or_insert(took);
                let waits = |answer: &Settled| answer.queued > 0 || answer.behind > 0;
                if !answers.iter().any(waits) {
                    return Ok(settling(took, true, true));
                }
                if took > told + READ_PATIENCE {
                    return Ok(settling(told, true, false));
                }
                tokio::time::sleep(READ_LOOK).await;
            } else if took > SWITCH_PATIENCE {
                return Ok(settling(took, false, false));
            }
        }
    }

    /// Why the matrix keeps a source's routes from a receiver.
    pub(crate) fn why_not(
        &self,
        snapshot: &Snapshot,
        from: PeerId,
        to: &PeerStatus,
    ) -> Option<String> {
        let enabled = self.exchange.as_ref()?.position().switch.enabled;
        let config = self.config();
        let from = kind_of(&config, snapshot.get(from)?)?;
        why_not(from, kind_of(&config, to)?, enabled).map(str::to_owned)
    }

    /// What peers were told between two moments.
    fn told(config: &Config, before: &Snapshot, after: &Snapshot) -> Vec<SwitchPeer> {
        let then: HashMap<PeerId, (u64, u64)> = before
            .peers()
            .map(|peer| (peer.peer, (peer.routes_announced, peer.routes_withdrawn)))
            .collect();
        let up = after.peers().filter(|peer| peer.since.is_some());
        let mut list: Vec<SwitchPeer> = up
            .map(|peer| {
                let (announced, withdrawn) = then.get(&peer.peer).copied().unwrap_or_default();
                SwitchPeer {
                    name: peer.name.to_string(),
                    kind: kind_of(config, peer),
                    announced: peer.routes_announced.saturating_sub(announced),
                    withdrawn: peer.routes_withdrawn.saturating_sub(withdrawn),
                }
            })
            .collect();
        list.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        list
    }

    /// A gateway's instance came from its subnet.
    pub(crate) fn instance_came(&self, name: &Arc<str>, addr: IpAddr) {
        let Some(exchange) = &self.exchange else {
            return;
        };
        let config = self.config();
        let host = Prefix::host(addr);
        let covering = config.peers.iter().filter_map(|file| match file.target {
            Target::Range { prefix, .. } if prefix.covers(host) => Some((prefix, file)),
            _ => None,
        });
        let Some((_, file)) = covering.max_by_key(|(prefix, _)| prefix.prefix_len()) else {
            return;
        };
        let Some(site) = file.site.clone() else {
            return;
        };
        let seen = Seen {
            addr,
            site,
            down: None,
        };
        exchange.lock().seen.insert(Arc::clone(name), seen);
    }

    /// A session came up or went.
    pub(crate) fn instance_changed(&self, id: PeerId, up: bool) {
        let Some(exchange) = &self.exchange else {
            return;
        };
        let name = self.peer_name(id);
        if let Some(seen) = exchange.lock().seen.get_mut(&name) {
            seen.down = (!up).then(SystemTime::now);
        }
    }
}

/// Peers that have not read all that they were told.
fn behind(snapshot: &Snapshot) -> Vec<String> {
    let late = snapshot
        .peers()
        .filter(|peer| peer.behind || peer.queued > 0);
    late.map(|peer| peer.name.to_string()).collect()
}

/// What a peer is to the virtual network.
pub(crate) fn kind_of(config: &Config, peer: &PeerStatus) -> Option<Kind> {
    if peer.role == PeerRole::Local {
        return Some(Kind::Network);
    }
    file_of(config, &peer.name, peer.range.as_deref())?.kind
}

/// The file's part of a peer: its own, or its range's.
pub(crate) fn file_of<'a>(
    config: &'a Config,
    name: &str,
    range: Option<&str>,
) -> Option<&'a PeerFile> {
    let wanted = range.unwrap_or(name);
    config.peers.iter().find(|file| file.name == wanted)
}
