//! One shard with peers, a group and tables to apply.

use std::hint::black_box;
use std::sync::Arc;

use thruway_policy::Policy;
use thruway_rib::limits::SHARD_BATCH_NLRI_MAX;
use thruway_rib::{
    AddPathSend, DecisionConfig, EgressBatch, EgressSink, Eligibility, GroupId, GroupProfile,
    Hygiene, Interner, NextHopCheck, PeerClass, PeerId, PeerProfile, Shard, ShardBatch,
    ShardConfig, ShardEvent, ShardId, WorkerId,
};
use thruway_wire::encode::{Encoding, Rewrite};
use thruway_wire::{Asn, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, RouterId};

use crate::numbers::set;

/// NLRI of one UPDATE, about as in a table dump.
const NLRI_A_MESSAGE: usize = 6;
/// Every keyed hash has this key here.
pub const SEED: u64 = 5;

/// A peer's address, and the next hop of its routes.
#[must_use]
pub fn next_hop(peer: u16) -> NextHop {
    NextHop::V4([198, 18, 1, peer as u8].into())
}

fn profile(peer: u16) -> Arc<PeerProfile> {
    Arc::new(PeerProfile {
        id: PeerId(peer),
        name: format!("p{peer}"),
        asn: Asn(64_512 + u32::from(peer)),
        addr: next_hop(peer).addr(),
        router_id: RouterId(u32::from(peer) + 1),
        local: (None, None),
        link_local: None,
        internal: false,
        class: PeerClass(0),
        rank: 0,
        home: WorkerId(0),
        add_path_rx: FamilySet::EMPTY,
        import: Some(Policy::accept()),
        hygiene: Hygiene {
            // In no path: hops have numbers below 400,000.
            local_as: Asn(4_200_000_000),
            allow_own_as: 0,
            martians: [].into(),
            router_id: RouterId(99),
            cluster_id: RouterId(99),
            enforce_first_as: true,
            allow_as_sets: false,
            as_path_max: 200,
            next_hop: NextHopCheck::Peer,
            interpret_communities: true,
        },
        limits: [None, None],
    })
}

/// Transparent route-server clients.
#[must_use]
pub fn group() -> Arc<GroupProfile> {
    Arc::new(GroupProfile {
        id: GroupId(0),
        families: FamilySet::IPV4,
        class: PeerClass(0),
        eligibility: Eligibility([u32::MAX; 32]),
        external: true,
        alternatives: true,
        interpret_communities: true,
        long_lived: false,
        export: Some(Policy::accept()),
        to: None,
        limits: None,
        add_path: [AddPathSend::Off; 2],
        rewrite: Rewrite::TRANSPARENT,
        cluster: None,
        encoding: Encoding::PLAIN,
    })
}

/// A peer's table as batches. Neighbours in the array share sets.
pub fn table(
    peer: u16,
    version: u64,
    prefixes: &[Ipv4Prefix],
    interner: &mut Interner,
) -> Vec<ShardBatch> {
    let mut batches = Vec::new();
    let mut open = ShardBatch::default();
    for (number, chunk) in prefixes.chunks(NLRI_A_MESSAGE).enumerate() {
        let set = set(peer, number, version, next_hop(peer));
        let handle = interner.intern(set.as_ref());
        let new = interner.grant(handle, ShardId(0));
        open.events.push(ShardEvent::Announce {
            peer: PeerId(peer),
            family: Family::Ipv4,
            handle,
            new_set: new.is_some(),
            count: chunk.len() as u32,
        });
        open.sets.extend(new);
        open.nlri4.extend(chunk.iter().map(|prefix| Nlri {
            path_id: 0,
            prefix: *prefix,
        }));
        if open.nlri4.len() + NLRI_A_MESSAGE > SHARD_BATCH_NLRI_MAX {
            batches.push(std::mem::take(&mut open));
        }
    }
    batches.push(open);
    batches
}

/// Takes all batches.
#[derive(Default)]
pub struct Sink {
    /// Those of before, where they are kept.
    pub batches: Vec<EgressBatch>,
    keep: bool,
    /// NLRI so far.
    pub nlri: usize,
}

impl Sink {
    /// One that keeps what it takes.
    #[must_use]
    pub fn keeping() -> Self {
        Sink {
            keep: true,
            ..Sink::default()
        }
    }
}

impl EgressSink for Sink {
    fn has_room(&self, _: GroupId) -> bool {
        true
    }

    fn batch(&mut self, batch: EgressBatch) {
        self.nlri += batch.nlri4.len();
        if self.keep {
            self.batches.push(batch);
        } else {
            black_box(batch);
        }
    }
}

/// A shard with so many peers, all of them members of the group if there is one.
#[must_use]
pub fn shard(peers: u16, group: Option<Arc<GroupProfile>>) -> Shard {
    let mut shard = Shard::new(ShardConfig {
        id: ShardId(0),
        workers: 1,
        decision: DecisionConfig::default(),
        seed: SEED,
    });
    let mut batch = ShardBatch::default();
    let up = (0..peers).map(|peer| ShardEvent::PeerUp(profile(peer)));
    batch.events.extend(up);
    if let Some(group) = group {
        let id = group.id;
        batch.events.push(ShardEvent::Group(group));
        let join = (0..peers).map(|peer| ShardEvent::Join(id, PeerId(peer)));
        batch.events.extend(join);
    }
    shard.apply(&mut batch);
    run(&mut shard, &mut Sink::default());
    shard
}

/// Applies batches as a turn does.
pub fn apply(shard: &mut Shard, batches: &mut [ShardBatch]) {
    for batch in batches {
        shard.apply(batch);
        black_box(shard.take_returns(WorkerId(0)));
    }
}

/// Lets the groups follow to the log's end.
pub fn run(shard: &mut Shard, sink: &mut Sink) {
    while shard.run_groups(u32::MAX, sink) {}
    while !shard.idle() {
        shard.run_groups(u32::MAX, sink);
    }
}
