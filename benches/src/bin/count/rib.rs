//! Interning, look-up and decision, telling a group, packing.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use thruway_policy::Policy;
use thruway_rib::limits::SHARD_BATCH_NLRI_MAX;
use thruway_rib::{
    AddPathSend, EgressBatch, EgressSink, Eligibility, GroupId, GroupProfile, Held, Hygiene,
    Interner, LadderConfig, NextHopCheck, Packer, PeerClass, PeerId, PeerProfile, Shard,
    ShardBatch, ShardConfig, ShardEvent, ShardId, WorkerId,
};
use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::encode::{Encoding, NextHopRewrite, Rewrite};
use thruway_wire::{Asn, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, RouterId};

use crate::counted_section;
use crate::numbers::{prefixes, set};

const SETS: usize = 16_384;
const PREFIXES: usize = 65_536;
/// With ten paths each there are ten tables to set up.
const CONTESTED: usize = 16_384;
const PEERS: u16 = 10;
/// NLRI of one UPDATE, about as in a table dump.
const NLRI_A_MESSAGE: usize = 6;
/// Every keyed hash has this key here.
const SEED: u64 = 5;

fn next_hop(peer: u16) -> [u8; 4] {
    [198, 18, 1, peer as u8]
}

fn profile(peer: u16) -> Arc<PeerProfile> {
    Arc::new(PeerProfile {
        id: PeerId(peer),
        name: format!("p{peer}"),
        asn: Asn(64_512 + u32::from(peer)),
        addr: IpAddr::V4(next_hop(peer).into()),
        router_id: RouterId(u32::from(peer) + 1),
        local: (None, None),
        internal: false,
        class: PeerClass(0),
        rank: 0,
        home: WorkerId(0),
        add_path_rx: FamilySet::EMPTY,
        import: Some(Policy::accept()),
        hygiene: Hygiene {
            local_as: Asn(64_500),
            allow_own_as: 0,
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
fn group() -> Arc<GroupProfile> {
    Arc::new(GroupProfile {
        id: GroupId(0),
        families: FamilySet::IPV4,
        class: PeerClass(0),
        eligibility: Eligibility([u32::MAX; 32]),
        external: true,
        alternatives: true,
        interpret_communities: true,
        export: Some(Policy::accept()),
        to: None,
        limits: None,
        add_path: [AddPathSend::Off; 2],
        rewrite: Rewrite {
            prepend: None,
            next_hop: NextHopRewrite::Keep,
            local_pref: false,
            med: true,
            reflect: None,
            otc: None,
        },
        cluster: None,
        encoding: Encoding {
            as4: true,
            add_path: false,
            max_len: 4096,
            extended_next_hop: false,
        },
    })
}

/// A peer's table as batches. Neighbours in the array share sets.
fn table(
    peer: u16,
    version: u64,
    prefixes: &[Ipv4Prefix],
    interner: &mut Interner,
) -> Vec<ShardBatch> {
    let mut batches = Vec::new();
    let mut open = ShardBatch::default();
    for (number, chunk) in prefixes.chunks(NLRI_A_MESSAGE).enumerate() {
        let hop = NextHop::V4(next_hop(peer).into());
        let handle = interner.intern(set(peer, number, version, hop).as_ref());
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

#[derive(Default)]
struct Sink {
    batches: Vec<EgressBatch>,
}

impl EgressSink for Sink {
    fn has_room(&self, _: GroupId) -> bool {
        true
    }

    fn batch(&mut self, batch: EgressBatch) {
        self.batches.push(batch);
    }
}

fn shard(peers: u16, group: Option<Arc<GroupProfile>>) -> Shard {
    let mut shard = Shard::new(ShardConfig {
        id: ShardId(0),
        workers: 1,
        ladder: LadderConfig::default(),
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

fn apply(shard: &mut Shard, batches: &mut [ShardBatch]) {
    for batch in batches {
        shard.apply(batch);
        black_box(shard.take_returns(WorkerId(0)));
    }
}

fn run(shard: &mut Shard, sink: &mut Sink) {
    while shard.run_groups(u32::MAX, sink) {}
    while !shard.idle() {
        shard.run_groups(u32::MAX, sink);
    }
}

fn interner() -> Interner {
    Interner::new(WorkerId(0), 1, SEED)
}

fn sets() -> Vec<AttrSetBuf> {
    let hop = NextHop::V4(next_hop(1).into());
    (0..SETS).map(|number| set(1, number, 0, hop)).collect()
}

fn intern_all(interner: &mut Interner, sets: &[AttrSetBuf]) {
    for set in sets {
        black_box(interner.intern(set.as_ref()));
    }
}

pub(crate) fn intern_new() -> usize {
    let (sets, mut interner) = (sets(), interner());
    counted_section(|| intern_all(&mut interner, &sets));
    SETS
}

pub(crate) fn intern_known() -> usize {
    let (sets, mut interner) = (sets(), interner());
    intern_all(&mut interner, &sets);
    counted_section(|| intern_all(&mut interner, &sets));
    SETS
}

pub(crate) fn decide_new() -> usize {
    let mut batches = table(0, 0, &prefixes(PREFIXES), &mut interner());
    let mut shard = shard(1, None);
    counted_section(|| apply(&mut shard, &mut batches));
    PREFIXES
}

/// The last of `peers` tells other paths to what all of them told before.
fn replace(peers: u16, count: usize) -> usize {
    let (prefixes, mut interner) = (prefixes(count), interner());
    let mut shard = shard(peers, None);
    for peer in 0..peers {
        let mut batches = table(peer, 0, &prefixes, &mut interner);
        apply(&mut shard, &mut batches);
    }
    let mut batches = table(peers - 1, 1, &prefixes, &mut interner);
    counted_section(|| apply(&mut shard, &mut batches));
    count
}

pub(crate) fn decide_replace() -> usize {
    replace(1, PREFIXES)
}

pub(crate) fn decide_ten() -> usize {
    replace(PEERS, CONTESTED)
}

/// A shard with a table of which its group was told nothing yet.
fn untold() -> Shard {
    let mut shard = shard(2, Some(group()));
    let mut batches = table(0, 0, &prefixes(PREFIXES), &mut interner());
    apply(&mut shard, &mut batches);
    shard
}

pub(crate) fn tell() -> usize {
    let (mut shard, mut sink) = (untold(), Sink::default());
    counted_section(|| run(&mut shard, &mut sink));
    PREFIXES
}

pub(crate) fn pack() -> usize {
    let (mut shard, mut sink) = (untold(), Sink::default());
    run(&mut shard, &mut sink);
    let mut packer = Packer::new(group(), &Held::default());
    counted_section(|| {
        for batch in &sink.batches {
            packer.absorb(batch);
            let packed = packer.pack(&|_| None);
            black_box(packed.slices_for(PeerId(1)).count());
        }
    });
    sink.batches.iter().map(|batch| batch.nlri4.len()).sum()
}
