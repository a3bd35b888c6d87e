//! Interning, look-up and decision, telling a group, packing.

use std::hint::black_box;

use thruway_benches::numbers::{prefixes, set};
use thruway_benches::stage::{SEED, Sink, apply, group, next_hop, run, shard, table};
use thruway_rib::{Held, Interner, Packer, PeerId, Shard, WorkerId};
use thruway_wire::attrs::AttrSetBuf;

use crate::counted_section;

const SETS: usize = 16_384;
const PREFIXES: usize = 65_536;
/// With ten paths each there are ten tables to set up.
const CONTESTED: usize = 16_384;
const PEERS: u16 = 10;

fn interner() -> Interner {
    Interner::new(WorkerId(0), 1, SEED)
}

fn sets() -> Vec<AttrSetBuf> {
    let set = |number| set(1, number, 0, next_hop(1));
    (0..SETS).map(set).collect()
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
    let (mut shard, mut sink) = (untold(), Sink::keeping());
    counted_section(|| run(&mut shard, &mut sink));
    PREFIXES
}

pub(crate) fn pack() -> usize {
    let (mut shard, mut sink) = (untold(), Sink::keeping());
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
