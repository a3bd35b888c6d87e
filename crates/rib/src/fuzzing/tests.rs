//! Random sequences of operations, from fixed seeds and from new ones.

use proptest::prelude::*;

use super::fuzz_rib_ops;

/// Octets from a seed.
fn octets(mut seed: u64, len: usize) -> Vec<u8> {
    let step = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    std::iter::repeat_with(step).take(len).collect()
}

#[test]
fn fixed_sequences_end_where_the_model_ends() {
    for seed in 0..3000 {
        fuzz_rib_ops(&octets(seed, 500 + seed as usize % 300 * 50));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100, failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_ends_where_the_model_ends(
        start in any::<[u8; 3]>(),
        steps in prop::collection::vec(any::<[u8; super::STEP_LEN]>(), 0..300),
    ) {
        fuzz_rib_ops(&[&start[..], steps.as_flattened()].concat());
    }
}
