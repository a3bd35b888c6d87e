//! Jitter and backoff: what keeps a thousand sessions from doing the same thing at once.

use std::time::Duration;

use thruway_wire::Time;

/// A small deterministic generator (SplitMix64): one a session, from the caller's seed.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    /// Between three quarters of `span` and all of it (RFC 4271 §10).
    pub(crate) fn shorten(&mut self, span: Duration) -> Duration {
        let permille = 750 + self.next() % 251;
        let nanos = span.as_nanos().saturating_mul(u128::from(permille)) / 1000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// A span that doubles with each use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff(u8);

impl Backoff {
    /// Counts one more failure and gives the span: `first`, then twice that, up to `max`.
    pub(crate) fn next(&mut self, first: Duration, max: Duration) -> Duration {
        let factor = 1_u32.checked_shl(u32::from(self.0)).unwrap_or(u32::MAX);
        self.0 = self.0.saturating_add(1);
        first.saturating_mul(factor).min(max)
    }

    /// Failures counted so far.
    pub(crate) fn failures(self) -> u8 {
        self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0 = 0;
    }
}

/// `at` in `seconds`, never where 0 stands for "off".
pub(crate) fn after(now: Time, seconds: u16) -> Time {
    match seconds {
        0 => Time::NEVER,
        _ => now + Duration::from_secs(u64::from(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_quarter_and_varies() {
        let mut jitter = Jitter::new(7);
        let span = Duration::from_secs(100);
        let drawn: Vec<_> = (0..1000).map(|_| jitter.shorten(span)).collect();
        assert!(
            drawn
                .iter()
                .all(|d| *d >= Duration::from_secs(75) && *d <= span)
        );
        assert!(drawn.iter().max() > drawn.iter().min());
        assert_eq!(Jitter::new(7).shorten(span), drawn[0]);
        assert!(jitter.shorten(Duration::MAX) > Duration::from_secs(1));
    }

    #[test]
    fn backoff_doubles_up_to_its_end() {
        let mut backoff = Backoff::default();
        let (first, max) = (Duration::from_secs(1), Duration::from_secs(60));
        let spans: Vec<_> = (0..300)
            .map(|_| backoff.next(first, max).as_secs())
            .collect();
        assert_eq!(spans[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(spans[299], 60);
        backoff.clear();
        assert_eq!(backoff.next(first, max), first);
    }
}
