//! The few deadlines that a transport keeps itself: connection attempts, graceful closes, resting
//! listeners. The timers of sessions are the caller's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::limits::POLL_WAIT;

/// Deadlines, soonest first. One that has lost its meaning stays until it is due and is ignored by
/// its owner then, which is cheaper than to search for it.
#[derive(Debug)]
pub(crate) struct Deadlines<T> {
    heap: BinaryHeap<Reverse<(Instant, T)>>,
}

impl<T: Ord> Deadlines<T> {
    pub(crate) fn new() -> Self {
        Deadlines {
            heap: BinaryHeap::new(),
        }
    }

    /// Adds one and returns its time.
    pub(crate) fn add(&mut self, after: Duration, what: T) -> Instant {
        let now = Instant::now();
        // A duration beyond the clock's range means never; a year is as good.
        let at = now
            .checked_add(after)
            .unwrap_or_else(|| now + Duration::from_secs(365 * 86_400));
        self.heap.push(Reverse((at, what)));
        at
    }

    /// Takes the next one that is due.
    pub(crate) fn due(&mut self) -> Option<(Instant, T)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > Instant::now() {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// How long a wait may last: `timeout` or until the next deadline.
    pub(crate) fn limit(&self, timeout: Option<Duration>) -> Option<Duration> {
        let timeout = timeout.map(|timeout| timeout.min(POLL_WAIT));
        let Some(Reverse((at, _))) = self.heap.peek() else {
            return timeout;
        };
        let left = at.saturating_duration_since(Instant::now()).min(POLL_WAIT);
        Some(timeout.map_or(left, |timeout| timeout.min(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_comes_first_and_limits_the_wait() {
        let mut deadlines = Deadlines::new();
        assert_eq!(deadlines.limit(None), None);
        assert_eq!(deadlines.limit(Some(Duration::MAX)), Some(POLL_WAIT));
        deadlines.add(Duration::MAX, 'z');
        deadlines.add(Duration::from_secs(60), 'b');
        let at = deadlines.add(Duration::ZERO, 'a');
        assert_eq!(deadlines.due(), Some((at, 'a')));
        assert_eq!(deadlines.due(), None);
        assert!(deadlines.limit(None).unwrap() <= Duration::from_secs(60));
        assert_eq!(deadlines.limit(Some(Duration::ZERO)), Some(Duration::ZERO));
    }
}
