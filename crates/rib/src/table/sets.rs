//! A shard's view of attribute sets: what it was granted, and what its policies derived.
//!
//! Sets are interned by the worker that received them; here are uses counted, and what this shard's own policies
//! make is interned. A grant goes back exactly once, and not before the last use of the set is gone: that is what
//! the worker relies on when it frees one.

use ahash::RandomState;
use thruway_wire::Asn;
use thruway_wire::attrs::{AttrFlags, AttrSet, AttrSetRef};

use crate::limits::WORKERS_MAX;
use crate::table::chunked::Chunked;
use crate::table::index::Index;
use crate::table::intern::hasher;
use crate::{Handle, ShardId};

/// One set with what the decision process asks of it most, so that most decisions do not touch the set itself.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// `None`: never seen, or freed by its owner.
    set: Option<AttrSet>,
    /// Paths, memos and advertised routes that name it.
    uses: u32,
    /// Grants not yet returned.
    grants: u32,
    /// Which import context `memo` is the answer of; 0: none.
    memo_context: u32,
    memo: Handle,
    flags: AttrFlags,
    /// It stands in `zero`.
    queued: bool,
    /// Some group remembers an export of it.
    exported: bool,
}

const _: () = assert!(size_of::<Entry>() <= 32);

/// All sets of a shard.
#[derive(Debug)]
pub(crate) struct Sets {
    owners: Vec<Chunked<Entry, 10>>,
    derived_owner: u8,
    hash: RandomState,
    table: Index,
    free: Vec<u32>,
    next: u32,
    /// Sets whose uses were 0 at some time this turn.
    zero: Vec<Handle>,
    count: u32,
    derived: u32,
}

/// What a set gives up when nothing uses it any more.
pub(crate) trait Retire {
    /// Forgets what it remembers of `handle`; returns each handle of whose use it lets go.
    fn retire(&mut self, handle: Handle, released: &mut Vec<Handle>);

    /// Grants go back to their owner.
    fn returned(&mut self, handle: Handle, grants: u32);
}

impl Sets {
    pub(crate) fn new(shard: ShardId, seed: u64) -> Self {
        let derived_owner = WORKERS_MAX as u8 + shard.0;
        Sets {
            owners: (0..=derived_owner).map(|_| Chunked::default()).collect(),
            derived_owner,
            hash: hasher(seed, derived_owner),
            table: Index::default(),
            free: Vec::new(),
            next: 0,
            zero: Vec::new(),
            count: 0,
            derived: 0,
        }
    }

    #[inline]
    fn entry(&self, handle: Handle) -> Option<&Entry> {
        self.owners.get(handle.owner())?.get(handle.index() as u32)
    }

    #[inline]
    fn entry_mut(&mut self, handle: Handle) -> Option<&mut Entry> {
        self.owners
            .get_mut(handle.owner())?
            .get_mut(handle.index() as u32)
    }

    /// The set of a handle.
    #[inline]
    pub(crate) fn get(&self, handle: Handle) -> Option<&AttrSet> {
        self.entry(handle)?.set.as_ref()
    }

    /// The facts of a set that are kept beside it.
    #[inline]
    pub(crate) fn flags(&self, handle: Handle) -> AttrFlags {
        self.entry(handle).map_or(AttrFlags(0), |entry| entry.flags)
    }

    /// MED (0 where absent) and the neighbour AS that it compares within.
    #[inline]
    pub(crate) fn med(&self, handle: Handle) -> (Asn, u32, bool) {
        self.get(handle).map_or((Asn(0), 0, false), |set| {
            let meta = set.meta();
            (meta.neighbor_as, meta.med, meta.flags.has(AttrFlags::MED))
        })
    }

    fn fill(&mut self, handle: Handle, set: AttrSet) {
        let Some(owner) = self.owners.get_mut(handle.owner()) else {
            return;
        };
        let Some(entry) = owner.slot(handle.index() as u32) else {
            return;
        };
        debug_assert!(
            entry.uses == 0,
            "a set is replaced only when nothing uses it"
        );
        debug_assert!(
            entry.memo_context == 0 && !entry.exported,
            "memos die with the set"
        );
        entry.flags = set.meta().flags;
        if entry.set.replace(set).is_none() {
            self.count += 1;
        }
    }

    /// An owner's set arrives with its grant.
    pub(crate) fn put(&mut self, handle: Handle, set: AttrSet) {
        debug_assert!(handle.is_some() && handle.owner() < WORKERS_MAX);
        self.fill(handle, set);
    }

    /// Counts a grant. False where the set is unknown, which an owner that keeps the rules never does.
    pub(crate) fn granted(&mut self, handle: Handle) -> bool {
        let Some(entry) = self.entry_mut(handle) else {
            return false;
        };
        entry.grants += 1;
        let known = entry.set.is_some();
        debug_assert!(known, "a grant of a set that never came");
        if entry.uses == 0 && !entry.queued {
            entry.queued = true;
            self.zero.push(handle);
        }
        known
    }

    /// The owner has freed the number: the copy may go.
    pub(crate) fn freed(&mut self, handle: Handle) {
        let Some(entry) = self.entry_mut(handle) else {
            return;
        };
        let idle = entry.uses == 0 && entry.grants == 0;
        debug_assert!(idle, "an owner frees what nobody holds");
        if idle && entry.set.take().is_some() {
            self.count -= 1;
        }
        self.give_back();
    }

    /// Without a set there is nothing to remember of any.
    fn give_back(&mut self) {
        if self.count == 0 && self.zero.is_empty() {
            self.owners.iter_mut().for_each(Chunked::clear);
            self.free.shrink_to_fit();
        }
    }

    /// Counts `count` more uses.
    #[inline]
    pub(crate) fn acquire(&mut self, handle: Handle, count: u32) {
        if let Some(entry) = self.entry_mut(handle) {
            entry.uses += count;
        }
    }

    /// Counts one use less.
    #[inline]
    pub(crate) fn release(&mut self, handle: Handle) {
        let Some(entry) = self.entry_mut(handle) else {
            return;
        };
        debug_assert!(entry.uses > 0, "released more often than acquired");
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses == 0 && !entry.queued {
            entry.queued = true;
            self.zero.push(handle);
        }
    }

    /// The remembered answer of import context `context` for a set.
    #[inline]
    pub(crate) fn memo(&self, handle: Handle, context: u32) -> Option<Handle> {
        let entry = self.entry(handle)?;
        (entry.memo_context == context).then_some(entry.memo)
    }

    /// Remembers an answer; another context's is forgotten.
    pub(crate) fn remember(&mut self, handle: Handle, context: u32, answer: Handle) {
        debug_assert!(context != 0);
        if answer.is_some() && answer != handle {
            self.acquire(answer, 1);
        }
        let Some(entry) = self.entry_mut(handle) else {
            return;
        };
        let old = std::mem::replace(&mut entry.memo, answer);
        let had = std::mem::replace(&mut entry.memo_context, context) != 0;
        if had && old.is_some() && old != handle {
            self.release(old);
        }
    }

    /// Notes that a group remembers an export of the set.
    pub(crate) fn mark_exported(&mut self, handle: Handle) {
        if let Some(entry) = self.entry_mut(handle) {
            entry.exported = true;
        }
    }

    /// The handle of a set made here. It lives from its first use on, else to the end of the turn.
    pub(crate) fn derive(&mut self, set: AttrSetRef<'_>) -> Handle {
        let hash = self.hash.hash_one(set.bytes);
        let owner = self.derived_owner;
        let entries = self.owners.get(usize::from(owner));
        let same = |number| {
            let known = entries.and_then(|entries| entries.get(number)?.set.as_ref());
            known.is_some_and(|known| known.as_ref() == set)
        };
        if let Some(number) = self.table.find(hash, same) {
            return Handle::new(owner, number);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.next > Handle::INDEX_MAX => return Handle::NONE,
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        let handle = Handle::new(owner, index);
        self.fill(handle, AttrSet::new(set));
        self.table.insert(hash, index);
        self.derived += 1;
        if let Some(entry) = self.entry_mut(handle) {
            entry.queued = true;
        }
        self.zero.push(handle);
        handle
    }

    /// True where `collect` has something to look at.
    #[inline]
    pub(crate) fn has_zero(&self) -> bool {
        !self.zero.is_empty()
    }

    /// Lets go of what has no use left: grants return to their owners, derived sets are freed. Called
    /// at the end of a turn, so that a set replaced by itself does not bounce.
    pub(crate) fn collect(&mut self, keeper: &mut impl Retire) {
        let mut released = Vec::new();
        while let Some(handle) = self.zero.pop() {
            let derived = handle.owner() >= WORKERS_MAX;
            let Some(entry) = self.entry_mut(handle) else {
                continue;
            };
            entry.queued = false;
            if entry.uses > 0 {
                continue;
            }
            let grants = std::mem::take(&mut entry.grants);
            let memo = std::mem::take(&mut entry.memo);
            if std::mem::take(&mut entry.memo_context) != 0 && memo.is_some() && memo != handle {
                released.push(memo);
            }
            if std::mem::take(&mut entry.exported) {
                keeper.retire(handle, &mut released);
            }
            if derived {
                self.free_derived(handle);
            } else if grants > 0 {
                keeper.returned(handle, grants);
            }
            for handle in released.drain(..) {
                self.release(handle);
            }
        }
    }

    fn free_derived(&mut self, handle: Handle) {
        let index = handle.index() as u32;
        let Some(set) = self.entry_mut(handle).and_then(|entry| entry.set.take()) else {
            return;
        };
        let hash = self.hash.hash_one(set.as_ref().bytes);
        self.table.remove(hash, index);
        self.free.push(index);
        self.count -= 1;
        self.derived -= 1;
    }

    /// Sets held, and those of them that were made here.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.count, self.derived)
    }

    /// Octets of the tables.
    pub(crate) fn memory(&self) -> usize {
        let entries: usize = self.owners.iter().map(Chunked::memory).sum();
        entries + self.table.memory() + self.free.capacity() * size_of::<u32>()
    }
}
