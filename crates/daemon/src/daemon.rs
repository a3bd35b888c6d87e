//! The running server, as the control plane sees it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use anyhow::Result;
use thruway_api::Status;
use thruway_config::Config;
use thruway_engine::{PeerDirectory, PeerIdPool};
use thruway_rib::PeerId;

use super::change::Changes;
use super::clock::Clock;
use super::entry::Access;
use super::exchange::Exchange;
use super::expect::watch::Watcher;
use crate::bus::Bus;
use crate::view::{Names, Snapshot};

/// The running server.
pub(crate) struct Daemon {
    pub(super) bus: Arc<Bus>,
    pub(super) clock: Clock,
    pub(super) seed: u64,
    pub(super) ids: Arc<PeerIdPool>,
    listen: Vec<SocketAddr>,
    shards: usize,
    /// Connections of strangers that were refused.
    refused: Arc<AtomicU64>,
    state: Mutex<State>,
    /// Peers' names, shared by answers while they are the same.
    peer_names: Mutex<Weak<Names>>,
    /// The virtual network, in exchange mode.
    pub(super) exchange: Option<Exchange>,
    /// The configurations that were in force.
    pub(super) changes: Changes,
    /// One change of what is in force at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// What is expected of the network.
    pub(super) watcher: Watcher,
}

/// What changes with the configuration and with peers of ranges.
pub(super) struct State {
    pub(super) config: Arc<Config>,
    /// Configured single peers by name.
    pub(super) peers: BTreeMap<String, (PeerId, IpAddr)>,
    pub(super) names: HashMap<PeerId, Arc<str>>,
    pub(super) directory: Arc<PeerDirectory>,
    /// Who may come over TCP.
    pub(super) access: Access,
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
    pub(super) refused: Arc<AtomicU64>,
    pub(super) changes: Changes,
    pub(super) access: Access,
}

impl Daemon {
    pub(super) fn new(base: Foundation) -> Arc<Self> {
        let exchange = Exchange::new(&base.config);
        let directory = Arc::new(PeerDirectory::new(1, base.seed, [], []));
        let state = State {
            config: base.config,
            peers: BTreeMap::new(),
            names: HashMap::new(),
            directory,
            access: base.access,
        };
        Arc::new(Daemon {
            bus: base.bus,
            clock: base.clock,
            seed: base.seed,
            ids: base.ids,
            listen: base.listen,
            shards: base.shards,
            refused: base.refused,
            state: Mutex::new(state),
            peer_names: Mutex::default(),
            exchange,
            changes: base.changes,
            changing: tokio::sync::Mutex::new(()),
            watcher: Watcher::default(),
        })
    }

    pub(crate) fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections that nobody wanted, since start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The virtual network, in exchange mode.
    pub(crate) fn network(&self) -> Option<&Exchange> {
        self.exchange.as_ref()
    }

    /// The virtual network has begun to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::is_stopping)
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.state().config)
    }

    /// What an operator should look at.
    fn warnings(&self, config: &Config) -> Vec<String> {
        let closed = self.state().access.closed.clone();
        let closed = closed.map(|why| format!("the API is closed over TCP until a reload: {why}"));
        let own = config.warnings.iter().map(ToString::to_string);
        own.chain(closed).collect()
    }

    /// The worker that a neighbour's session lives on.
    pub(crate) fn home(&self, addr: IpAddr) -> usize {
        self.state().directory.home(addr).index()
    }

    /// How all workers are, at this moment.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(self.bus.status().await?))
    }

    /// Peers' names for an answer of many rows: one copy for all answers while they are the same.
    pub(super) fn share_names(&self, names: Names) -> Arc<Names> {
        let mut kept = self
            .peer_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match kept.upgrade() {
            Some(same) if *same == names => same,
            _ => {
                let names = Arc::new(names);
                *kept = Arc::downgrade(&names);
                names
            }
        }
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
            warnings: self.warnings(&config),
            revision: self.changes.revision(),
        }
    }
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
