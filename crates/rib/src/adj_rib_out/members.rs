//! Who is in a group.

use crate::limits::WORKERS_MAX;
use crate::{Audience, PeerId, WorkerId};

/// The members of a group, on all workers.
#[derive(Debug)]
pub(crate) struct Members {
    bits: Vec<u64>,
    homes: Vec<(PeerId, WorkerId)>,
    by_worker: [u16; WORKERS_MAX],
}

impl Default for Members {
    fn default() -> Self {
        Members {
            bits: Vec::new(),
            homes: Vec::new(),
            by_worker: [0; WORKERS_MAX],
        }
    }
}

impl Members {
    #[inline]
    pub(crate) fn has(&self, peer: PeerId) -> bool {
        let word = self.bits.get(peer.index() / 64).copied().unwrap_or(0);
        word >> (peer.index() % 64) & 1 == 1
    }

    pub(crate) fn len(&self) -> usize {
        self.homes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.homes.is_empty()
    }

    /// The workers that have members, as bits.
    pub(crate) fn workers(&self) -> u32 {
        let bit = |(worker, count): (u32, &u16)| u32::from(*count > 0) << worker;
        (0..).zip(&self.by_worker).map(bit).sum()
    }

    /// True where `worker` has a member.
    pub(crate) fn on(&self, worker: WorkerId) -> bool {
        self.by_worker
            .get(worker.index())
            .is_some_and(|count| *count > 0)
    }

    /// Adds a member; false where it is one already.
    pub(crate) fn join(&mut self, peer: PeerId, home: WorkerId) -> bool {
        if self.has(peer) {
            return false;
        }
        let word = peer.index() / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(word) {
            *word |= 1 << (peer.index() % 64);
        }
        self.homes.push((peer, home));
        if let Some(count) = self.by_worker.get_mut(home.index()) {
            *count += 1;
        }
        true
    }

    /// Takes a member out; says on which worker it was.
    pub(crate) fn leave(&mut self, peer: PeerId) -> Option<WorkerId> {
        let at = self.homes.iter().position(|(member, _)| *member == peer)?;
        let (_, home) = self.homes.swap_remove(at);
        if let Some(word) = self.bits.get_mut(peer.index() / 64) {
            *word &= !(1 << (peer.index() % 64));
        }
        if let Some(count) = self.by_worker.get_mut(home.index()) {
            *count -= 1;
        }
        Some(home)
    }

    /// Everyone but the source, if the source is a member at all.
    #[inline]
    pub(crate) fn all_but(&self, source: PeerId) -> Audience {
        if self.has(source) {
            Audience::AllBut(source)
        } else {
            Audience::All
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_and_go() {
        let mut members = Members::default();
        assert!(members.join(PeerId(70), WorkerId(3)) && !members.join(PeerId(70), WorkerId(3)));
        assert!(members.join(PeerId(0), WorkerId(0)));
        assert!(members.has(PeerId(70)) && !members.has(PeerId(71)) && !members.has(PeerId(6)));
        assert_eq!(members.workers(), 0b1001);
        assert_eq!(members.all_but(PeerId(70)), Audience::AllBut(PeerId(70)));
        assert_eq!(members.all_but(PeerId(9)), Audience::All);
        assert_eq!(members.leave(PeerId(70)), Some(WorkerId(3)));
        assert_eq!(members.leave(PeerId(70)), None);
        assert!(!members.on(WorkerId(3)) && members.on(WorkerId(0)) && !members.is_empty());
    }
}
