//! Connections that nobody wanted: counted, and said so that a flood of them does not fill the log.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thruway_engine::Refusal;
use thruway_wire::Time;

use super::limits::{STRANGERS_KNOWN_MAX, STRANGERS_TOLD_MAX, STRANGERS_WINDOW};

/// What one worker refused. The first connection of an address has a line of its own, the others of a
/// window are summed up at its end.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// Of all workers, since start.
    total: Arc<AtomicU64>,
    known: HashSet<IpAddr>,
    told: usize,
    more: u64,
    /// The window's end; [`Time::NEVER`]: none is open.
    until: Time,
}

impl Strangers {
    pub(crate) fn new(total: Arc<AtomicU64>) -> Self {
        Strangers {
            total,
            known: HashSet::new(),
            told: 0,
            more: 0,
            until: Time::NEVER,
        }
    }

    /// Counts a refused connection.
    pub(crate) fn refused(&mut self, now: Time, remote: SocketAddr, why: Refusal) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.tick(now);
        if self.until == Time::NEVER {
            self.until = now + STRANGERS_WINDOW;
        }
        let new = self.known.len() < STRANGERS_KNOWN_MAX && self.known.insert(remote.ip());
        if new && self.told < STRANGERS_TOLD_MAX {
            self.told += 1;
            tracing::warn!(%remote, ?why, "connection refused");
        } else {
            self.more += 1;
        }
    }

    /// Sums up where the window has ended.
    pub(crate) fn tick(&mut self, now: Time) {
        if now < self.until {
            return;
        }
        if self.more > 0 {
            let addresses = self.known.len();
            let seconds = STRANGERS_WINDOW.as_secs();
            tracing::warn!(
                connections = self.more,
                addresses,
                seconds,
                "more connections refused"
            );
        }
        self.known.clear();
        (self.told, self.more, self.until) = (0, 0, Time::NEVER);
    }

    /// When [`Strangers::tick`] has something to say.
    pub(crate) fn deadline(&self) -> Time {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_line_an_address_and_a_sum_for_the_rest() {
        let total = Arc::new(AtomicU64::new(0));
        let mut strangers = Strangers::new(Arc::clone(&total));
        let start = Time(1);
        for n in 0..5000u16 {
            let host = [10, 0, 0, (n % 50) as u8];
            strangers.refused(start, (host, 1024 + n).into(), Refusal::Unknown);
        }
        assert_eq!(total.load(Ordering::Relaxed), 5000);
        assert_eq!(strangers.told, STRANGERS_TOLD_MAX);
        assert_eq!(strangers.more, 5000 - STRANGERS_TOLD_MAX as u64);
        assert_eq!(strangers.known.len(), 50);
        assert_eq!(strangers.deadline(), start + STRANGERS_WINDOW);
        strangers.tick(start + Duration::from_secs(1));
        assert_ne!(strangers.more, 0, "the window is open");
        strangers.tick(start + STRANGERS_WINDOW);
        assert_eq!((strangers.more, strangers.deadline()), (0, Time::NEVER));
        strangers.refused(start, ([10, 0, 0, 1], 7).into(), Refusal::Unknown);
        assert_eq!((strangers.told, strangers.more), (1, 0), "it is new again");
    }

    #[test]
    fn addresses_are_not_kept_without_bound() {
        let mut strangers = Strangers::new(Arc::default());
        for n in 0..2 * STRANGERS_KNOWN_MAX as u32 {
            let remote = SocketAddr::new(IpAddr::from(n.to_be_bytes()), 7);
            strangers.refused(Time(1), remote, Refusal::Unknown);
        }
        assert_eq!(strangers.known.len(), STRANGERS_KNOWN_MAX);
    }
}
