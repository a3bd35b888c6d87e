//! The RIB: interning, look-up and decision with one path and with ten, groups, packing, memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use thruway_benches::numbers::{prefixes, set};
use thruway_benches::stage::{SEED, Sink, apply, group, next_hop, run, shard, table};
use thruway_rib::{
    Handle, Held, Interner, Packer, PeerId, Shard, ShardBatch, ShardEvent, WorkerId,
};
use thruway_wire::attrs::AttrSetBuf;

const PREFIXES: usize = 500_000;
/// Of a full feed: 577,706 routes with 89,641 sets.
const SETS: usize = 78_000;
const PEERS: u16 = 10;

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

fn intern(c: &mut Criterion) {
    let sets: Vec<AttrSetBuf> = (0..SETS)
        .map(|number| set(1, number, 0, next_hop(1)))
        .collect();
    let mut bench = c.benchmark_group("intern");
    bench.throughput(Throughput::Elements(SETS as u64));
    let all = |interner: &mut Interner| {
        for set in &sets {
            black_box(interner.intern(set.as_ref()));
        }
    };
    bench.bench_function("new set", |b| {
        b.iter_batched_ref(
            || Interner::new(WorkerId(0), 1, SEED),
            |interner| all(interner),
            BatchSize::LargeInput,
        );
    });
    let mut interner = Interner::new(WorkerId(0), 1, SEED);
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
    let prefixes = prefixes(PREFIXES);
    let mut bench = c.benchmark_group("apply");
    bench
        .throughput(Throughput::Elements(PREFIXES as u64))
        .sample_size(10);
    let mut interner = Interner::new(WorkerId(0), 1, SEED);
    let first: Vec<Vec<ShardBatch>> = (0..PEERS)
        .map(|peer| table(peer, 0, &prefixes, &mut interner))
        .collect();
    let again = table(PEERS - 1, 1, &prefixes, &mut interner);

    bench.bench_function("one peer, new prefixes", |b| {
        b.iter_custom(|count| {
            let setup = || (shard(1, None), copy(&first[0]));
            timed(count, setup, |(mut shard, mut batches)| {
                apply(&mut shard, &mut batches);
                (shard, batches)
            })
        });
    });
    let mut one = shard(PEERS, None);
    apply(&mut one, &mut copy(&first[PEERS as usize - 1]));
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
                apply(shard, &mut batches);
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
        apply(&mut ten, &mut copy(batches));
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
    let prefixes = prefixes(PREFIXES);
    let mut bench = c.benchmark_group("groups");
    bench
        .throughput(Throughput::Elements(PREFIXES as u64))
        .sample_size(10);
    let mut interner = Interner::new(WorkerId(0), 1, SEED);
    let first: Vec<Vec<ShardBatch>> = (0..PEERS)
        .map(|peer| table(peer, 0, &prefixes, &mut interner))
        .collect();
    bench.bench_function("tell one path to all", |b| {
        b.iter_custom(|count| {
            let setup = || {
                let mut shard = shard(2, Some(group()));
                apply(&mut shard, &mut copy(&first[0]));
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
                let mut shard = shard(PEERS, Some(group()));
                for batches in &first {
                    apply(&mut shard, &mut copy(batches));
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
    let prefixes = prefixes(PREFIXES);
    let mut interner = Interner::new(WorkerId(0), 1, SEED);
    let mut shard = shard(2, Some(group()));
    apply(&mut shard, &mut table(0, 0, &prefixes, &mut interner));
    let mut sink = Sink::keeping();
    run(&mut shard, &mut sink);
    let mut packer = Packer::new(group(), &Held::default());
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
