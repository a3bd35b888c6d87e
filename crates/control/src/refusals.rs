//! Refusals in the log: each, until a stranger makes so many that the log would be theirs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::limits::REFUSALS_LOGGED_MAX;
use super::open::{Change, End};

const SPAN: Duration = Duration::from_secs(60);

/// What was logged of this minute.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    minute: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    began: Option<Instant>,
    logged: u32,
    passed_over: u64,
}

impl Refusals {
    /// Logs that somebody was refused.
    pub(super) fn note(&self, end: &End, change: &Change, why: &str) {
        let Some(passed_over) = self.place(Instant::now()) else {
            return;
        };
        let what = &change.what;
        tracing::warn!(from = %end, what, why, passed_over, "refused");
    }

    /// A place in the log, and how many had none since the last one.
    fn place(&self, now: Instant) -> Option<u64> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let over = minute
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= SPAN);
        if over {
            minute.began = Some(now);
            minute.logged = 0;
        }
        if minute.logged >= REFUSALS_LOGGED_MAX {
            minute.passed_over += 1;
            return None;
        }
        minute.logged += 1;
        Some(std::mem::take(&mut minute.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        for _ in 0..REFUSALS_LOGGED_MAX {
            assert_eq!(refusals.place(start), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(refusals.place(start + SPAN / 2), None);
        }
        assert_eq!(refusals.place(start + SPAN), Some(7));
    }
}
