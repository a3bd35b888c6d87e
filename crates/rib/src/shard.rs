//! One shard of the RIB.

use thruway_policy::Hits;
use thruway_wire::Family;

use crate::{
    EgressBatch, EgressRequest, GroupId, LadderConfig, PeerCounters, PeerId, Query, QueryCursor,
    Returns, RouteRow, ShardBatch, ShardCounters, ShardId, WorkerId,
};

/// What a shard is made with.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Its number.
    pub id: ShardId,
    /// Workers of the daemon.
    pub workers: usize,
    /// The decision process.
    pub ladder: LadderConfig,
    /// Keys the hashes of its tables.
    pub seed: u64,
}

/// Where group batches go: the rings to the workers that have members.
pub trait EgressSink {
    /// Asked before a batch is built: false leaves the group where it is.
    fn has_room(&self, group: GroupId) -> bool;

    /// Takes a batch of the group's stream. Called only after `has_room` said yes.
    fn batch(&mut self, batch: EgressBatch);
}

/// One shard: its tables, log and groups. All of it is called by one thread at a time, between the
/// calls it is at rest.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(config: ShardConfig) -> Self {
        Shard { config }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.config.id
    }

    /// Takes what ingress sent and empties `batch`, whose storage may be used again.
    pub fn apply(&mut self, batch: &mut ShardBatch) {
        batch.events.clear();
    }

    /// Lets groups follow the change log, `budget` slots at most in all. True where more is to do and
    /// the sink has room for it.
    pub fn run_groups(&mut self, budget: u32, sink: &mut dyn EgressSink) -> bool {
        let _ = (budget, sink);
        false
    }

    /// Handles a request of egress, in the order in which a worker sent them. A pull is answered with
    /// one batch for the worker that asked (the caller has room for it). An answer without NLRI that
    /// is not `done` means: nothing to tell yet (the group is unknown or still being built), pull again
    /// in a later turn.
    pub fn request(&mut self, request: &EgressRequest) -> Option<EgressBatch> {
        let _ = request;
        None
    }

    /// Goes on with removing what dead sessions left and with judging paths again, `budget` slots at
    /// most. True where more is to do.
    pub fn sweep(&mut self, budget: u32) -> bool {
        let _ = budget;
        false
    }

    /// What goes back to a worker: grants of its sets and notes for its peers. Call it at the end of
    /// a turn, for each worker.
    pub fn take_returns(&mut self, worker: WorkerId) -> Option<Returns> {
        let _ = worker;
        None
    }

    /// True where neither groups nor sweeper have anything to do.
    #[must_use]
    pub fn idle(&self) -> bool {
        true
    }

    /// Appends rows to `out`, `budget` slots looked at at most. True where the answer is complete.
    pub fn query(
        &self,
        query: &Query,
        cursor: &mut QueryCursor,
        budget: u32,
        out: &mut Vec<RouteRow>,
    ) -> bool {
        let _ = (query, cursor, budget, out);
        true
    }

    /// Its numbers.
    #[must_use]
    pub fn counters(&self) -> ShardCounters {
        ShardCounters::default()
    }

    /// A peer's numbers for a family.
    #[must_use]
    pub fn peer_counters(&self, peer: PeerId, family: Family) -> PeerCounters {
        let _ = (peer, family);
        PeerCounters::default()
    }

    /// Prefixes (paths, with ADD-PATH) that a member of a group is told.
    #[must_use]
    pub fn advertised(&self, group: GroupId, peer: PeerId, family: Family) -> u32 {
        let _ = (group, peer, family);
        0
    }

    /// How often the statements of a peer's import policy held.
    #[must_use]
    pub fn import_hits(&self, peer: PeerId) -> Option<&Hits> {
        let _ = peer;
        None
    }

    /// How often the statements of a group's export policy held.
    #[must_use]
    pub fn export_hits(&self, group: GroupId) -> Option<&Hits> {
        let _ = group;
        None
    }
}
