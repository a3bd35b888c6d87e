//! The change log: which slots changed, in order, for all who follow.

use std::collections::VecDeque;

/// A slot of one of the two tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotRef(u32);

impl SlotRef {
    #[inline]
    pub(crate) fn new(family: usize, slot: u32) -> Self {
        debug_assert!(family < 2 && slot < 1 << 31);
        SlotRef(slot << 1 | family as u32)
    }

    #[inline]
    pub(crate) fn family(self) -> usize {
        (self.0 & 1) as usize
    }

    #[inline]
    pub(crate) fn slot(self) -> u32 {
        self.0 >> 1
    }
}

/// A slot's place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    /// Low bits of the position of its last entry.
    pub(crate) position: u32,
    /// That entry is in the log.
    pub(crate) is: bool,
}

impl Logged {
    /// True where the slot's last entry is the one at `position`.
    #[inline]
    pub(crate) fn is_at(self, position: u64) -> bool {
        self.is && self.position == position as u32
    }
}

/// Entries, each with a position that it keeps.
///
/// Those that only stragglers have still to read are thinned out: one whose slot has a later entry says
/// nothing more. So what a straggler costs is bounded by the slots that changed, not by how often they did.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// What [`Log::compact`] left: low bits of the position, ascending, with holes.
    old: VecDeque<(u32, SlotRef)>,
    /// The rest without holes, from `dense` on.
    entries: VecDeque<SlotRef>,
    /// Everything before is gone.
    base: u64,
    dense: u64,
    /// No follower has passed this position.
    passed: u64,
    /// Entries that the last thinning out left.
    kept: usize,
}

impl Log {
    /// Position from which on the log is whole.
    #[inline]
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Position of the next entry.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.dense + self.entries.len() as u64
    }

    /// Entries.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.old.len() + self.entries.len()
    }

    /// A follower has come as far as `position`.
    #[inline]
    pub(crate) fn pass(&mut self, position: u64) {
        debug_assert!(position <= self.end());
        self.passed = self.passed.max(position);
    }

    /// A slot's latest position, if that is still in the log.
    #[inline]
    pub(crate) fn position(&self, logged: Logged) -> Option<u64> {
        logged.is.then(|| full(self.base, logged.position))
    }

    /// Notes a slot that no entry names yet; its place in the log.
    #[inline]
    pub(crate) fn begin(&mut self, slot: SlotRef) -> Logged {
        let position = self.end() as u32;
        self.entries.push_back(slot);
        Logged { position, is: true }
    }

    /// Notes that a slot changed. Where an entry waits that nobody has read yet, it says so already.
    #[inline]
    pub(crate) fn touch(&mut self, slot: SlotRef, logged: &mut Logged) {
        if self
            .position(*logged)
            .is_some_and(|position| position >= self.passed)
        {
            return;
        }
        *logged = self.begin(slot);
    }

    /// The entries from a position on that a group has still to pass.
    #[inline]
    pub(crate) fn run(&self, position: u64) -> impl Iterator<Item = SlotRef> + '_ {
        let at = position.checked_sub(self.dense);
        let at = at.and_then(|at| usize::try_from(at).ok());
        let at = at.map_or(self.entries.len(), |at| at.min(self.entries.len()));
        self.entries.range(at..).copied()
    }

    /// The entries from `position` on.
    pub(crate) fn from(&self, position: u64) -> impl Iterator<Item = (u64, SlotRef)> + '_ {
        let base = self.base;
        let first = self
            .old
            .partition_point(|(low, _)| full(base, *low) < position);
        let from = position.max(self.dense).min(self.end());
        let skipped = usize::try_from(from - self.dense).unwrap_or(usize::MAX);
        let dense = self.entries.range(skipped.min(self.entries.len())..);
        let old = self.old.range(first..);
        old.map(move |(low, slot)| (full(base, *low), *slot))
            .chain((from..).zip(dense.copied()))
    }

    /// Drops the entries before `to`, each shown to `each` with its position.
    pub(crate) fn trim(&mut self, to: u64, mut each: impl FnMut(u64, SlotRef)) {
        let to = to.min(self.end());
        if to <= self.base {
            return;
        }
        while let Some((low, slot)) = self.old.front().copied() {
            let position = full(self.base, low);
            if position >= to {
                break;
            }
            self.old.pop_front();
            each(position, slot);
        }
        let count = usize::try_from(to.saturating_sub(self.dense)).unwrap_or(usize::MAX);
        let count = count.min(self.entries.len());
        for (position, slot) in (self.dense..).zip(self.entries.drain(..count)) {
            each(position, slot);
        }
        self.dense += count as u64;
        self.base = to;
        self.kept = self.kept.min(self.len());
    }

    /// True where thinning out pays: each entry is then looked at a few times at most.
    #[inline]
    pub(crate) fn is_long(&self, slack: usize, most: usize) -> bool {
        self.len() > (2 * self.kept + slack).min(most)
    }

    /// Drops entries before `upto` for which a later one before `upto` stands. All groups have passed
    /// `upto`: what they advertised because of the later entry holds for the earlier one, too.
    pub(crate) fn compact(&mut self, upto: u64, logged: impl Fn(SlotRef) -> Logged) {
        let (base, upto) = (self.base, upto.min(self.end()));
        let is_last = |position: u64, slot: SlotRef| {
            let logged = logged(slot);
            let last = full(base, logged.position);
            !logged.is || last <= position || last >= upto
        };
        self.old
            .retain(|(low, slot)| is_last(full(base, *low), *slot));
        let passed = upto.saturating_sub(self.dense);
        let count = usize::try_from(passed).unwrap_or(usize::MAX);
        let count = count.min(self.entries.len());
        for (position, slot) in (self.dense..).zip(self.entries.drain(..count)) {
            if is_last(position, slot) {
                self.old.push_back((position as u32, slot));
            }
        }
        self.dense += count as u64;
        self.kept = self.len();
    }

    pub(crate) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<SlotRef>()
            + self.old.capacity() * size_of::<(u32, SlotRef)>()
    }
}

/// A position from its low bits: none is so far from the first.
#[inline]
fn full(base: u64, low: u32) -> u64 {
    base + u64::from(low.wrapping_sub(base as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trimmed(log: &mut Log, to: u64) -> Vec<(u64, SlotRef)> {
        let mut all = Vec::new();
        log.trim(to, |position, slot| all.push((position, slot)));
        all
    }

    #[test]
    fn an_unread_entry_stands_for_all_changes() {
        let mut log = Log::default();
        let mut logged = Logged::default();
        let slot = SlotRef::new(1, 9);
        log.touch(slot, &mut logged);
        log.touch(slot, &mut logged);
        assert_eq!((log.len(), log.position(logged)), (1, Some(0)));
        log.pass(1);
        log.touch(slot, &mut logged);
        assert_eq!((log.len(), log.position(logged)), (2, Some(1)));
        assert_eq!(log.run(1).next(), Some(slot));
        assert_eq!((slot.family(), slot.slot()), (1, 9));
        assert_eq!(trimmed(&mut log, 1), [(0, slot)]);
        assert_eq!(trimmed(&mut log, 1), []);
        assert_eq!((log.run(0).next(), log.base(), log.end()), (None, 1, 2));
    }

    #[test]
    fn positions_survive_the_wrap_of_their_low_bits() {
        let mut log = Log {
            base: u64::from(u32::MAX) - 1,
            dense: u64::from(u32::MAX) - 1,
            ..Log::default()
        };
        log.pass(log.end());
        let mut slots = [Logged::default(); 4];
        for (index, logged) in slots.iter_mut().enumerate() {
            log.touch(SlotRef::new(0, index as u32), logged);
        }
        let first = u64::from(u32::MAX) - 1;
        assert_eq!(
            slots.map(|logged| log.position(logged).unwrap() - first),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn only_the_last_entry_of_a_slot_is_left_for_stragglers() {
        let start = u64::from(u32::MAX) - 2;
        let mut log = Log {
            base: start,
            dense: start,
            ..Log::default()
        };
        let mut logged = [Logged::default(); 3];
        // Slots 0, 1, 0, 1, 2, 0: each entry is passed before the next.
        for index in [0, 1, 0, 1, 2, 0] {
            log.touch(SlotRef::new(0, index as u32), &mut logged[index]);
            log.pass(log.end());
        }
        let found = |log: &Log, from: u64| -> Vec<(u64, u32)> {
            let all = log.from(start + from);
            all.map(|(position, slot)| (position - start, slot.slot()))
                .collect()
        };
        let last = |slot: SlotRef| logged[slot.slot() as usize];
        // The last entry of slot 0 is one that a group has still to pass: those before stay.
        log.compact(start + 5, last);
        let left = [(0, 0), (2, 0), (3, 1), (4, 2), (5, 0)];
        assert_eq!(found(&log, 0), left);
        assert_eq!(
            (log.run(start + 5).next(), log.run(start + 4).next()),
            (Some(SlotRef::new(0, 0)), None)
        );
        log.compact(start + 6, last);
        assert_eq!(found(&log, 0), left[2..]);
        assert_eq!(found(&log, 4), left[3..]);
        assert_eq!((log.len(), log.base(), log.end()), (3, start, start + 6));
        assert!(log.is_long(0, 2) && !log.is_long(0, 10));

        // Trimming goes over the holes, and stands where it was asked to.
        assert_eq!(trimmed(&mut log, start + 2), []);
        assert_eq!(log.base(), start + 2);
        let third = (start + 3, SlotRef::new(0, 1));
        assert_eq!(trimmed(&mut log, start + 4), [third]);
        assert_eq!(trimmed(&mut log, start + 4), []);
        assert_eq!(log.position(logged[0]), Some(start + 5));
        log.touch(SlotRef::new(0, 1), &mut Logged::default());
        let rest = trimmed(&mut log, start + 9);
        let rest: Vec<u64> = rest.iter().map(|(position, _)| position - start).collect();
        assert_eq!(rest, [4, 5, 6]);
        assert_eq!(
            (log.len(), log.base(), log.end()),
            (0, start + 7, start + 7)
        );
    }
}
