//! Random sequences of events: [`crate::fuzzing`] says what must hold.

use proptest::prelude::*;

use crate::fuzzing::{fuzz_session, play};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_events(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz_session(&data);
    }
}

/// The dice of the test above reach what it is about.
#[test]
fn events_reach_everything() {
    let mut word = 1_u64;
    let mut sums = [0_u64; 6];
    for _ in 0..2000 {
        let mut byte = || {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            (word >> 32) as u8
        };
        let data: Vec<u8> = (0..400).map(|_| byte()).collect();
        let summary = play(&data);
        let counters = summary.counters;
        let reached = [
            u64::from(counters.established > 0),
            u64::from(counters.flaps > 1),
            counters.refused,
            counters.collisions,
            summary.swept,
            summary.refreshed,
        ];
        sums.iter_mut()
            .zip(reached)
            .for_each(|(sum, more)| *sum += more);
    }
    assert!(sums.iter().all(|sum| *sum > 50), "{sums:?}");
    assert!(
        sums[0] > 800,
        "most plays see an Established session: {sums:?}"
    );
}
