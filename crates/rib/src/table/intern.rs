//! Canonical sets by number: one table a worker.

use ahash::RandomState;
use thruway_wire::attrs::{AttrSet, AttrSetRef};

use crate::table::chunked::Chunked;
use crate::table::index::Index;
use crate::{Handle, Returns, ShardId, WorkerId};

/// A worker's table of canonical sets.
///
/// A handle is good from `intern` until the owner learns that no shard holds it any more. A shard
/// that gives its grants back keeps its copy of the set until the owner says `freed` or sends another
/// set under the same number, so a grant that was on its way meanwhile still finds the set.
#[derive(Debug)]
pub struct Interner {
    owner: u8,
    shards: usize,
    hash: RandomState,
    table: Index,
    sets: Chunked<Option<AttrSet>, 12>,
    /// Grants sent and not returned: `shards` of them a set.
    outstanding: Chunked<u32, 12>,
    free: Vec<u32>,
    next: u32,
    freed: Vec<Vec<Handle>>,
    stats: InternStats,
}

/// What an interner holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InternStats {
    /// Sets.
    pub sets: usize,
    /// Octets of their attributes.
    pub bytes: usize,
}

/// The keyed hash of a table of sets.
pub(crate) fn hasher(seed: u64, owner: u8) -> RandomState {
    let owner = u64::from(owner);
    RandomState::with_seeds(
        seed,
        seed.rotate_left(17) ^ owner,
        !seed,
        seed.rotate_left(41),
    )
}

/// Where a set's grants to a shard are counted.
#[inline]
fn place(shards: usize, handle: Handle, shard: usize) -> u32 {
    // Set numbers have 26 bits, shards are few.
    (handle.index() * shards + shard) as u32
}

impl Interner {
    /// An empty table for a worker and so many shards; `seed` keys the hash.
    #[must_use]
    pub fn new(owner: WorkerId, shards: usize, seed: u64) -> Self {
        debug_assert!(owner.index() < crate::limits::WORKERS_MAX);
        debug_assert!((1..=crate::limits::SHARDS_MAX).contains(&shards));
        Interner {
            owner: owner.0,
            shards,
            hash: hasher(seed, owner.0),
            table: Index::default(),
            sets: Chunked::default(),
            outstanding: Chunked::default(),
            free: Vec::new(),
            next: 0,
            freed: vec![Vec::new(); shards],
            stats: InternStats::default(),
        }
    }

    /// The handle of a set. [`Handle::NONE`] where the table is full (67 million sets): such routes
    /// count as withdrawn.
    #[inline]
    pub fn intern(&mut self, set: AttrSetRef<'_>) -> Handle {
        let hash = self.hash.hash_one(set.bytes);
        let sets = &self.sets;
        // The meta data follow from the bytes but for the length of the next hop.
        let same = |number| match sets.get(number) {
            Some(Some(known)) => {
                known.as_ref().bytes == set.bytes
                    && known.meta().next_hop_len == set.meta.next_hop_len
            }
            _ => false,
        };
        match self.table.find(hash, same) {
            Some(number) => Handle::new(self.owner, number),
            None => self.add(hash, set),
        }
    }

    fn add(&mut self, hash: u64, set: AttrSetRef<'_>) -> Handle {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.next > Handle::INDEX_MAX => return Handle::NONE,
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        let Some(place) = self.sets.slot(index) else {
            return Handle::NONE;
        };
        *place = Some(AttrSet::new(set));
        self.stats.sets += 1;
        self.stats.bytes += set.bytes.len();
        self.table.insert(hash, index);
        Handle::new(self.owner, index)
    }

    /// The set of a handle.
    #[must_use]
    pub fn get(&self, handle: Handle) -> Option<&AttrSet> {
        if handle.owner() != usize::from(self.owner) {
            return None;
        }
        self.sets.get(handle.index() as u32)?.as_ref()
    }

    /// Counts one grant (one Announce event) to a shard. `Some` where the shard may not hold the set:
    /// it travels along as `new_set`.
    #[inline]
    pub fn grant(&mut self, handle: Handle, shard: ShardId) -> Option<AttrSet> {
        debug_assert!(handle.owner() == usize::from(self.owner));
        let at = place(self.shards, handle, shard.index());
        let count = self.outstanding.slot(at)?;
        *count += 1;
        if *count > 1 {
            return None;
        }
        self.sets.get(handle.index() as u32)?.clone()
    }

    /// Takes grants back (drains `returns.grants`) and frees the sets that no shard holds.
    pub fn returned(&mut self, returns: &mut Returns) {
        let shard = returns.shard.index();
        for (handle, count) in returns.grants.drain(..) {
            let at = place(self.shards, handle, shard);
            let Some(outstanding) = self.outstanding.get_mut(at) else {
                continue;
            };
            debug_assert!(
                *outstanding >= count,
                "a shard returned more than it was granted"
            );
            *outstanding = outstanding.saturating_sub(count);
            self.release_if_unused(handle);
        }
    }

    /// Frees a set that was interned and granted to no shard.
    pub fn release_if_unused(&mut self, handle: Handle) {
        let granted = |shard| {
            let count = self.outstanding.get(place(self.shards, handle, shard));
            count.is_some_and(|count| *count > 0)
        };
        if (0..self.shards).any(granted) {
            return;
        }
        let index = handle.index() as u32;
        let Some(set) = self.sets.get_mut(index).and_then(Option::take) else {
            return;
        };
        let hash = self.hash.hash_one(set.as_ref().bytes);
        self.table.remove(hash, index);
        self.stats.sets -= 1;
        self.stats.bytes -= set.as_ref().bytes.len();
        self.free.push(index);
        for freed in &mut self.freed {
            freed.push(handle);
        }
    }

    /// Sets freed since the last call that `shard` may hold copies of, for [`ShardBatch::freed`].
    /// Call it when a batch is sent.
    ///
    /// [`ShardBatch::freed`]: crate::ShardBatch::freed
    pub fn take_freed(&mut self, shard: ShardId, out: &mut Vec<Handle>) {
        let Some(freed) = self.freed.get_mut(shard.index()) else {
            return;
        };
        for handle in freed.drain(..) {
            // A number in use again, with a grant on the way to this shard, brings its own set.
            let at = place(self.shards, handle, shard.index());
            if self.outstanding.get(at) == Some(&0) {
                out.push(handle);
            }
        }
    }

    /// True where [`take_freed`](Self::take_freed) has news for `shard`.
    #[must_use]
    pub fn has_freed(&self, shard: ShardId) -> bool {
        let freed = self.freed.get(shard.index());
        freed.is_some_and(|freed| !freed.is_empty())
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self) -> InternStats {
        self.stats
    }
}
