//! When the next session needs its clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use thruway_rib::PeerId;
use thruway_wire::Time;

/// The earliest deadline of each peer, and possibly some that have moved since.
///
/// A deadline that moves later (a hold timer with each UPDATE) costs nothing: the old entry comes up,
/// the session has nothing to do, and it is armed anew. So each peer has at most one entry that
/// counts, [`Timers::arm`] is told which.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Time, PeerId)>>,
}

impl Timers {
    /// Makes sure that `peer` comes up at `deadline` or before. `armed` is when it would now; it is
    /// kept with the peer.
    pub(crate) fn arm(&mut self, peer: PeerId, deadline: Time, armed: &mut Time) {
        if deadline < *armed {
            *armed = deadline;
            self.heap.push(Reverse((deadline, peer)));
        }
    }

    /// When the next entry comes up.
    pub(crate) fn next(&self) -> Time {
        self.heap
            .peek()
            .map_or(Time::NEVER, |Reverse((time, _))| *time)
    }

    /// Takes an entry that is due.
    pub(crate) fn due(&mut self, now: Time) -> Option<(Time, PeerId)> {
        if self.next() > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_deadline_costs_an_entry() {
        let mut timers = Timers::default();
        let mut armed = Time::NEVER;
        let peer = PeerId(1);
        timers.arm(peer, Time(50), &mut armed);
        timers.arm(peer, Time(90), &mut armed);
        timers.arm(peer, Time::NEVER, &mut armed);
        assert_eq!(
            (timers.next(), armed, timers.heap.len()),
            (Time(50), Time(50), 1)
        );
        timers.arm(peer, Time(20), &mut armed);
        assert_eq!(timers.due(Time(19)), None);
        assert_eq!(timers.due(Time(60)), Some((Time(20), peer)));
        // The older entry comes up too; the caller sees that it is not the one that counts.
        assert_eq!(timers.due(Time(60)), Some((Time(50), peer)));
        assert_eq!((timers.due(Time(60)), timers.next()), (None, Time::NEVER));
    }
}
