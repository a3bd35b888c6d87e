//! Limits on what is advertised to one member, over all shards.
//!
//! Prefixes count, on the table that results: one that is advertised already and changes counts no second time,
//! and the member's own paths do not count. What is too much is held back; the slots that wait are
//! bits, so that the first of them are found without a walk when there is room.

use std::sync::atomic::Ordering::Relaxed;

use crate::core::Core;
use crate::limits::EGRESS_BATCH_NLRI_MAX;
use crate::table::{Table, TableKey};
use crate::{AdvertisedLimit, LimitAction, PeerProfile, ShardNote};

/// Slots that wait, as bits.
#[derive(Debug, Default)]
struct Waiting {
    words: Vec<u64>,
    count: u32,
    /// No word before it has a bit.
    first: usize,
}

/// One family's share of a group's limit in one shard.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    waiting: Waiting,
    /// Prefixes counted here.
    advertised: u32,
    /// The warning, and the limit, were told and still hold.
    near: bool,
    reached: bool,
    /// The log position up to which slots were told to look whether there is room.
    asked: u64,
}

/// Whose limit it is.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) limit: &'a AdvertisedLimit,
    pub(crate) to: &'a PeerProfile,
}

impl AdvertisedLimit {
    /// Prefixes that may still be advertised.
    fn room(&self) -> u32 {
        match self.action {
            LimitAction::Warn => u32::MAX,
            LimitAction::Block | LimitAction::Restart => {
                self.max.saturating_sub(self.held.load(Relaxed))
            }
        }
    }

    /// Counts one more prefix; `None`: there is no room.
    fn take(&self) -> Option<u32> {
        let bound = match self.action {
            LimitAction::Warn => u32::MAX,
            LimitAction::Block | LimitAction::Restart => self.max,
        };
        let more = |held: u32| held.checked_add(1).filter(|more| *more <= bound);
        let before = self.held.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(before + 1)
    }

    /// True where more is advertised than may be: the limit is lower than it was.
    pub(crate) fn is_over(&self) -> bool {
        self.action == LimitAction::Block && self.held.load(Relaxed) > self.max
    }

    /// Counts one prefix less where there are too many.
    fn give_excess(&self) -> bool {
        let less = |held: u32| (held > self.max).then(|| held - 1);
        self.action == LimitAction::Block && self.held.fetch_update(Relaxed, Relaxed, less).is_ok()
    }

    fn give(&self, count: u32) -> u32 {
        let held = self.held.fetch_sub(count, Relaxed);
        debug_assert!(held >= count, "no prefix is given back twice");
        held.saturating_sub(count)
    }

    /// What a reload changes in place.
    fn terms(&self) -> (u32, u32, LimitAction) {
        (self.max, self.warn_at, self.action)
    }
}

impl Quota {
    /// A slot's answer changes: whether the member had and has something of it. False: it must wait.
    pub(crate) fn admit<P: TableKey>(
        &mut self,
        whose: Whose<'_>,
        core: &mut Core,
        slot: u32,
        (had, has): (bool, bool),
    ) -> bool {
        let limit = whose.limit;
        match (had, has) {
            (true, true) => {
                if self.advertised > 0 && limit.give_excess() {
                    self.advertised -= 1;
                    self.waiting.set(slot);
                    self.reach::<P>(whose, core);
                    return false;
                }
            }
            (true, false) => {
                if self.advertised > 0 {
                    self.advertised -= 1;
                    let held = limit.give(1);
                    self.calm::<P>(whose, core, held);
                }
            }
            (false, false) => {
                self.waiting.clear(slot);
                self.calm::<P>(whose, core, limit.held.load(Relaxed));
            }
            (false, true) => {
                let Some(held) = limit.take() else {
                    self.waiting.set(slot);
                    self.reach::<P>(whose, core);
                    return false;
                };
                self.advertised += 1;
                self.waiting.clear(slot);
                self.heed::<P>(whose, core, held);
                self.calm::<P>(whose, core, held);
            }
        }
        true
    }

    /// Says that a count has come so far.
    fn heed<P: TableKey>(&mut self, whose: Whose<'_>, core: &mut Core, held: u32) {
        let Whose { limit, to } = whose;
        if held > limit.warn_at && !std::mem::replace(&mut self.near, true) {
            let note = ShardNote::AdvertisedNear(to.id, P::FAMILY);
            core.notes.push((to.home, note));
        }
        if held > limit.max {
            self.reach::<P>(whose, core);
        }
    }

    fn reach<P: TableKey>(&mut self, whose: Whose<'_>, core: &mut Core) {
        if !std::mem::replace(&mut self.reached, true) {
            let note = ShardNote::AdvertisedReached(whose.to.id, P::FAMILY);
            core.notes.push((whose.to.home, note));
        }
    }

    /// Forgets what was said and no longer holds.
    fn calm<P: TableKey>(&mut self, whose: Whose<'_>, core: &mut Core, held: u32) {
        self.near &= held > whose.limit.warn_at;
        if self.reached && self.waiting.count == 0 && held <= whose.limit.max {
            self.reached = false;
            let note = ShardNote::AdvertisedRoom(whose.to.id, P::FAMILY);
            core.notes.push((whose.to.home, note));
        }
    }

    /// The limit was replaced.
    pub(crate) fn replace<P: TableKey>(
        &mut self,
        old: &AdvertisedLimit,
        whose: Whose<'_>,
        core: &mut Core,
    ) {
        let limit = whose.limit;
        if !std::sync::Arc::ptr_eq(&old.held, &limit.held) {
            old.give(self.advertised);
            limit.held.fetch_add(self.advertised, Relaxed);
        }
        if old.terms() == limit.terms() {
            return;
        }
        self.near = false;
        let held = limit.held.load(Relaxed);
        if limit.action != old.action {
            // What has to be done about it is another.
            self.reached = false;
            if self.waiting.count > 0 {
                self.reach::<P>(whose, core);
            }
        }
        self.heed::<P>(whose, core, held);
        self.calm::<P>(whose, core, held);
    }

    /// Gives back what was counted here.
    pub(crate) fn clear(&mut self, limit: Option<&AdvertisedLimit>) {
        if let Some(limit) = limit {
            limit.give(self.advertised);
        }
        *self = Quota::default();
    }

    /// True where a slot waits for room.
    pub(crate) fn waits(&self, slot: u32) -> bool {
        self.waiting.has(slot)
    }

    /// Slots that wait for room.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.count
    }

    /// True where there is room for slots that wait; `cursor` is the group's place in the log.
    pub(crate) fn wants(&self, limit: &AdvertisedLimit, cursor: u64) -> bool {
        self.waiting.count > 0 && cursor >= self.asked && limit.room() > 0
    }

    /// Has the first slots that wait looked at again, by the log: as many as there is room for.
    pub(crate) fn ask<P: TableKey>(
        &mut self,
        limit: &AdvertisedLimit,
        cursor: u64,
        table: &mut Table<P>,
        core: &mut Core,
    ) {
        if !self.wants(limit, cursor) {
            return;
        }
        let room = limit.room().min(EGRESS_BATCH_NLRI_MAX as u32);
        self.waiting.first(room, |slot| {
            // An entry to come brings the group there anyhow. Another one would take its place, also
            // for another group that waits for it: two could keep each other from ever getting there.
            let logged = table
                .slot(slot)
                .and_then(|slot| core.log.position(slot.logged()));
            if logged.is_none_or(|position| position < cursor) {
                table.touch(slot, &mut core.log);
            }
        });
        // Those that find no room after all are asked again when these have been looked at.
        self.asked = core.log.end();
    }

    /// Octets allocated.
    pub(crate) fn memory(&self) -> usize {
        self.waiting.words.capacity() * size_of::<u64>()
    }
}

impl Waiting {
    fn has(&self, slot: u32) -> bool {
        let word = self.words.get(slot as usize / 64).copied().unwrap_or(0);
        word >> (slot % 64) & 1 == 1
    }

    fn set(&mut self, slot: u32) {
        let at = slot as usize / 64;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        let Some(word) = self.words.get_mut(at) else {
            return;
        };
        let bit = 1 << (slot % 64);
        self.count += u32::from(*word & bit == 0);
        *word |= bit;
        self.first = self.first.min(at);
    }

    fn clear(&mut self, slot: u32) {
        let Some(word) = self.words.get_mut(slot as usize / 64) else {
            return;
        };
        let bit = 1 << (slot % 64);
        self.count -= u32::from(*word & bit != 0);
        *word &= !bit;
    }

    /// Names the first `most` slots, in order.
    fn first(&mut self, most: u32, mut take: impl FnMut(u32)) {
        while self.words.get(self.first) == Some(&0) {
            self.first += 1;
        }
        let mut left = most;
        for (at, word) in self.words.iter().enumerate().skip(self.first) {
            let mut rest = *word;
            while rest != 0 {
                if left == 0 {
                    return;
                }
                left -= 1;
                take(at as u32 * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
