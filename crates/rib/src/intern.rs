//! Canonical sets by number: one table a worker.

use thruway_wire::attrs::{AttrSet, AttrSetRef};

use crate::{Handle, Returns, ShardId, WorkerId};

/// A worker's table of canonical sets.
///
/// A handle is good from `intern` until the owner learns that no shard holds it any more. A shard
/// that gives its grants back keeps its copy of the set until the owner says `freed` or sends another
/// set under the same number, so a grant that was on its way meanwhile still finds the set.
#[derive(Debug)]
pub struct Interner {
    owner: WorkerId,
}

/// What an interner holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InternStats {
    /// Sets.
    pub sets: usize,
    /// Octets of their attributes.
    pub bytes: usize,
}

impl Interner {
    /// An empty table for a worker and so many shards; `seed` keys the hash.
    #[must_use]
    pub fn new(owner: WorkerId, shards: usize, seed: u64) -> Self {
        let _ = (shards, seed);
        Interner { owner }
    }

    /// The handle of a set. [`Handle::NONE`] where the table is full (67 million sets): such routes
    /// count as withdrawn.
    pub fn intern(&mut self, set: AttrSetRef<'_>) -> Handle {
        let _ = set;
        Handle::new(self.owner.0, 0)
    }

    /// The set of a handle.
    #[must_use]
    pub fn get(&self, handle: Handle) -> Option<&AttrSet> {
        let _ = handle;
        None
    }

    /// Counts one grant (one Announce event) to a shard. `Some` where the shard may not hold the set:
    /// it travels along as `new_set`.
    pub fn grant(&mut self, handle: Handle, shard: ShardId) -> Option<AttrSet> {
        let _ = (handle, shard);
        None
    }

    /// Takes grants back (drains `returns.grants`) and frees the sets that no shard holds.
    pub fn returned(&mut self, returns: &mut Returns) {
        returns.grants.clear();
    }

    /// Frees a set that was interned and granted to no shard.
    pub fn release_if_unused(&mut self, handle: Handle) {
        let _ = handle;
    }

    /// Sets freed since the last call that `shard` may hold copies of, for [`ShardBatch::freed`].
    /// Call it when a batch is sent.
    ///
    /// [`ShardBatch::freed`]: crate::ShardBatch::freed
    pub fn take_freed(&mut self, shard: ShardId, out: &mut Vec<Handle>) {
        let _ = (shard, out);
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self) -> InternStats {
        InternStats::default()
    }
}
