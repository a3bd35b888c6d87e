//! The daemon's one clock: the core gets its time from here.

use std::time::Instant;

use thruway_wire::Time;

/// Monotonic time since the daemon started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Clock {
            start: Instant::now(),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }
}
