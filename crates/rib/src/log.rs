//! The change log: which slots changed, in order, for all who follow.

use std::collections::VecDeque;

/// A slot of one of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Entries and the position of the first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<SlotRef>,
    base: u64,
    /// No follower has passed this position.
    passed: u64,
}

impl Log {
    /// Position of the oldest entry.
    #[inline]
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Position of the next entry.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
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
        let ahead = logged.position.wrapping_sub(self.base as u32);
        logged.is.then(|| self.base + u64::from(ahead))
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
        *logged = Logged {
            position: self.end() as u32,
            is: true,
        };
        self.entries.push_back(slot);
    }

    /// The entry at a position.
    #[inline]
    pub(crate) fn get(&self, position: u64) -> Option<SlotRef> {
        let at = usize::try_from(position.checked_sub(self.base)?).ok()?;
        self.entries.get(at).copied()
    }

    /// Takes the oldest entry, if it is before `to`, with its position.
    #[inline]
    pub(crate) fn pop(&mut self, to: u64) -> Option<(u64, SlotRef)> {
        if self.base >= to {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.base += 1;
        Some((self.base - 1, entry))
    }

    pub(crate) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<SlotRef>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(log.get(1), Some(slot));
        assert_eq!((slot.family(), slot.slot()), (1, 9));
        assert_eq!(log.pop(1), Some((0, slot)));
        assert_eq!(log.pop(1), None);
        assert_eq!((log.get(0), log.base(), log.end()), (None, 1, 2));
    }

    #[test]
    fn positions_survive_the_wrap_of_their_low_bits() {
        let mut log = Log {
            base: u64::from(u32::MAX) - 1,
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
}
