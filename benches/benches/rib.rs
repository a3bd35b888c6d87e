//! The RIB: interning, look-up and decision with one path and with ten, groups, packing, memory.

use std::collections::HashSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use thruway_policy::Policy;
use thruway_rib::limits::SHARD_BATCH_NLRI_MAX;
use thruway_rib::{
    AddPathSend, EgressBatch, EgressSink, Eligibility, GroupId, GroupProfile, Handle, Held,
    Hygiene, Interner, LadderConfig, NextHopCheck, Packer, PeerClass, PeerId, PeerProfile, Shard,
    ShardBatch, ShardConfig, ShardEvent, ShardId, WorkerId,
};
use thruway_wire::attrs::{AttrSetBuf, RawAttr, TRANSITIVE, code};
use thruway_wire::encode::{Encoding, NextHopRewrite, Rewrite};
use thruway_wire::{Asn, Community, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, RouterId};

const PREFIXES: usize = 500_000;
/// Of a full feed: 577,706 routes with 89,641 sets.
const SETS: usize = 78_000;
/// NLRI of one UPDATE, about as in a table dump.
const NLRI_A_MESSAGE: usize = 6;
const PEERS: u16 = 10;

/// A linear congruential generator: the same tables in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }
}

/// Different prefixes, in no order.
fn prefixes() -> Vec<Ipv4Prefix> {
    let mut numbers = Numbers(1);
    let mut seen = HashSet::new();
    let mut all = Vec::with_capacity(PREFIXES);
    while all.len() < PREFIXES {
        let len = [24, 24, 24, 24, 24, 23, 22, 22, 20, 16][(numbers.next() % 10) as usize];
        let addr = Ipv4Addr::from_bits(numbers.next() as u32 % 0xe000_0000);
        let prefix = Ipv4Prefix::new(addr, len).expect("a length below 33");
        if seen.insert(prefix) {
            all.push(prefix);
        }
    }
    all
}

/// A peer's set: a path of two to six hops behind the peer's AS, one community.
fn set(peer: u16, number: usize, version: u64) -> AttrSetBuf {
    let mut numbers = Numbers(number as u64 ^ version << 40);
    let hops = 2 + numbers.next() % 5;
    let mut path = vec![2, 1 + hops as u8];
    path.extend_from_slice(&(64_512 + u32::from(peer)).to_be_bytes());
    for _ in 0..hops {
        path.extend_from_slice(&(1 + numbers.next() as u32 % 60_000).to_be_bytes());
    }
    let attrs = [
        RawAttr {
            flags: TRANSITIVE,
            code: code::ORIGIN,
            value: &[0],
        },
        RawAttr {
            flags: TRANSITIVE,
            code: code::AS_PATH,
            value: &path,
        },
    ];
    let next_hop = NextHop::V4([198, 18, 1, peer as u8].into());
    let mut set = AttrSetBuf::from_parts(Some(next_hop), attrs.into_iter());
    set.add_community(Community((64_512 << 16) | (number as u32 % 1000)));
    set
}

fn profile(peer: u16) -> Arc<PeerProfile> {
    Arc::new(PeerProfile {
        id: PeerId(peer),
        name: format!("p{peer}"),
        asn: Asn(64_512 + u32::from(peer)),
        addr: IpAddr::V4([198, 18, 1, peer as u8].into()),
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

fn group(alternatives: bool) -> Arc<GroupProfile> {
    Arc::new(GroupProfile {
        id: GroupId(0),
        families: FamilySet::IPV4,
        class: PeerClass(0),
        eligibility: Eligibility([u32::MAX; 32]),
        external: true,
        alternatives,
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
    for (message, chunk) in prefixes.chunks(NLRI_A_MESSAGE).enumerate() {
        let number = message % SETS;
        let handle = interner.intern(set(peer, number, version).as_ref());
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

fn copy(batches: &[ShardBatch]) -> Vec<ShardBatch> {
    let copy = |batch: &ShardBatch| ShardBatch {
        from: batch.from,
        events: batch.events.clone(),
        nlri4: batch.nlri4.clone(),
        nlri6: batch.nlri6.clone(),
        sets: batch.sets.clone(),
        freed: batch.freed.clone(),
    };
    batches.iter().map(copy).collect()
}

/// Takes all batches, keeps the last.
#[derive(Default)]
struct Sink {
    batches: Vec<EgressBatch>,
    nlri: usize,
    keep: bool,
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

fn shard(peers: u16, group: Option<Arc<GroupProfile>>) -> Shard {
    let ladder = LadderConfig::default();
    let mut shard = Shard::new(ShardConfig {
        id: ShardId(0),
        workers: 1,
        ladder,
        seed: 5,
    });
    let mut batch = ShardBatch::default();
    batch
        .events
        .extend((0..peers).map(|peer| ShardEvent::PeerUp(profile(peer))));
    if let Some(group) = group {
        let id = group.id;
        batch.events.push(ShardEvent::Group(group));
        batch
            .events
            .extend((0..peers).map(|peer| ShardEvent::Join(id, PeerId(peer))));
    }
    shard.apply(&mut batch);
    run(&mut shard, &mut Sink::default());
    shard
}

fn apply(shard: &mut Shard, batches: Vec<ShardBatch>) {
    for mut batch in batches {
        shard.apply(&mut batch);
        black_box(shard.take_returns(WorkerId(0)));
    }
}

fn run(shard: &mut Shard, sink: &mut Sink) {
    while shard.run_groups(u32::MAX, sink) {}
    while !shard.idle() {
        shard.run_groups(u32::MAX, sink);
    }
}

fn intern(c: &mut Criterion) {
    let sets: Vec<AttrSetBuf> = (0..SETS).map(|number| set(1, number, 0)).collect();
    let mut bench = c.benchmark_group("intern");
    bench.throughput(Throughput::Elements(SETS as u64));
    let all = |interner: &mut Interner| {
        for set in &sets {
            black_box(interner.intern(set.as_ref()));
        }
    };
    bench.bench_function("new set", |b| {
        b.iter_batched_ref(
            || Interner::new(WorkerId(0), 1, 3),
            |interner| all(interner),
            BatchSize::LargeInput,
        );
    });
    let mut interner = Interner::new(WorkerId(0), 1, 3);
    all(&mut interner);
    bench.bench_function("known set", |b| b.iter(|| all(&mut interner)));
    bench.finish();
}

/// Times what `measure` does with each fresh `setup`.
fn timed<T>(count: u64, mut setup: impl FnMut() -> T, mut measure: impl FnMut(T) -> T) -> Duration {
    let mut sum = Duration::ZERO;
    for _ in 0..count {
        let state = setup();
        let start = Instant::now();
        let state = measure(state);
        let took = start.elapsed();
        sum += took;
        drop(state);
    }
    sum
}

fn apply_tables(c: &mut Criterion) {
    let prefixes = prefixes();
    let mut bench = c.benchmark_group("apply");
    bench
        .throughput(Throughput::Elements(PREFIXES as u64))
        .sample_size(10);
    let mut interner = Interner::new(WorkerId(0), 1, 3);
    let first: Vec<Vec<ShardBatch>> = (0..PEERS)
        .map(|peer| table(peer, 0, &prefixes, &mut interner))
        .collect();
    let again = table(PEERS - 1, 1, &prefixes, &mut interner);

    bench.bench_function("one peer, new prefixes", |b| {
        b.iter_custom(|count| {
            let setup = || (shard(1, None), copy(&first[0]));
            timed(count, setup, |(mut shard, batches)| {
                apply(&mut shard, batches);
                (shard, Vec::new())
            })
        });
    });
    let mut one = shard(PEERS, None);
    apply(&mut one, copy(&first[PEERS as usize - 1]));
    let versions = [again, copy(&first[PEERS as usize - 1])];
    let mut turn = 0;
    let mut replace = |b: &mut criterion::Bencher<'_>, shard: &mut Shard| {
        b.iter_custom(|count| {
            let mut sum = Duration::ZERO;
            for _ in 0..count {
                let mut batches = copy(&versions[turn % 2]);
                turn += 1;
                // The sets travel again: the shard gave its grants back.
                for batch in &mut batches {
                    batch.sets.clear();
                    mark_new(batch, &interner);
                }
                let start = Instant::now();
                apply(shard, batches);
                let took = start.elapsed();
                sum += took;
            }
            sum
        });
    };
    bench.bench_function("one peer, replaced", |b| replace(b, &mut one));
    drop(one);
    let mut ten = shard(PEERS, None);
    for batches in &first {
        apply(&mut ten, copy(batches));
    }
    let counters = ten.counters();
    let sets = interner.stats();
    let paths = u64::from(counters.paths[0]);
    eprintln!(
        "memory: {} paths, {} sets: tables {} + sets {} octets a path",
        paths,
        sets.sets,
        counters.memory / paths,
        (sets.bytes + sets.sets * 56) as u64 / paths
    );
    bench.bench_function("ten contested paths, one replaced", |b| {
        replace(b, &mut ten);
    });
    bench.finish();
}

/// Sets each event's `new_set` where its handle comes for the first time.
fn mark_new(batch: &mut ShardBatch, interner: &Interner) {
    let mut last = Handle::NONE;
    for event in &mut batch.events {
        if let ShardEvent::Announce {
            handle, new_set, ..
        } = event
        {
            *new_set = *handle != last;
            last = *handle;
            if *new_set {
                batch.sets.extend(interner.get(*handle).cloned());
            }
        }
    }
}

fn follow(c: &mut Criterion) {
    let prefixes = prefixes();
    let mut bench = c.benchmark_group("groups");
    bench
        .throughput(Throughput::Elements(PREFIXES as u64))
        .sample_size(10);
    let mut interner = Interner::new(WorkerId(0), 1, 3);
    let first: Vec<Vec<ShardBatch>> = (0..PEERS)
        .map(|peer| table(peer, 0, &prefixes, &mut interner))
        .collect();
    bench.bench_function("tell one path to all", |b| {
        b.iter_custom(|count| {
            let setup = || {
                let mut shard = shard(2, Some(group(true)));
                apply(&mut shard, copy(&first[0]));
                shard
            };
            timed(count, setup, |mut shard| {
                let mut sink = Sink::default();
                run(&mut shard, &mut sink);
                assert_eq!(sink.nlri, PREFIXES);
                shard
            })
        });
    });
    bench.bench_function("choose among ten, with alternatives", |b| {
        b.iter_custom(|count| {
            let setup = || {
                let mut shard = shard(PEERS, Some(group(true)));
                for batches in &first {
                    apply(&mut shard, copy(batches));
                }
                shard
            };
            timed(count, setup, |mut shard| {
                let mut sink = Sink::default();
                run(&mut shard, &mut sink);
                assert_eq!(
                    sink.nlri,
                    2 * PREFIXES,
                    "{:?} {:?}",
                    shard.counters(),
                    sink.nlri
                );
                shard
            })
        });
    });
    bench.finish();
}

fn pack(c: &mut Criterion) {
    let prefixes = prefixes();
    let mut interner = Interner::new(WorkerId(0), 1, 3);
    let mut shard = shard(2, Some(group(true)));
    apply(&mut shard, table(0, 0, &prefixes, &mut interner));
    let mut sink = Sink {
        keep: true,
        ..Sink::default()
    };
    run(&mut shard, &mut sink);
    let mut packer = Packer::new(group(true), &Held::default());
    let mut bench = c.benchmark_group("pack");
    bench
        .throughput(Throughput::Elements(PREFIXES as u64))
        .sample_size(20);
    bench.bench_function("a table, six NLRI a message", |b| {
        b.iter(|| {
            let mut messages = 0;
            for batch in &sink.batches {
                packer.absorb(batch);
                let packed = packer.pack(&|_| None);
                messages += packed.messages;
                black_box(packed.slices_for(PeerId(1)).count());
            }
            messages
        });
    });
    bench.finish();
}

criterion_group!(benches, intern, apply_tables, follow, pack);
criterion_main!(benches);
