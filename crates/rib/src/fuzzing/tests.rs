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
    for seed in 0..400 {
        fuzz_rib_ops(&octets(seed, 500 + seed as usize * 50));
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

#[test]
#[ignore = "debug"]
fn minimise() {
    std::panic::set_hook(Box::new(|_| {}));
    let fails = |data: &[u8]| std::panic::catch_unwind(|| fuzz_rib_ops(data)).is_err();
    let mut best: Option<Vec<u8>> = None;
    for seed in 60_000..std::env::var("SEEDS").map_or(3000, |s| s.parse().unwrap()) {
        let data = octets(seed, 3 + 24 * (10 + seed as usize % 700));
        if fails(&data) && best.as_ref().is_none_or(|b| b.len() > data.len()) {
            best = Some(data);
            break;
        }
    }
    let Some(best) = best else {
        println!("none");
        return;
    };
    let (start, steps) = best.split_at(3);
    let mut steps: Vec<Vec<u8>> = steps.chunks(24).map(<[u8]>::to_vec).collect();
    let join = |steps: &[Vec<u8>]| [start, &steps.concat()].concat();
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        let mut any = false;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            if fails(&join(&fewer)) {
                steps = fewer;
                any = true;
            } else {
                at += size;
            }
        }
        if !any || size > 1 {
            if size == 1 && any {
                continue;
            }
            size /= 2;
        }
    }
    let _ = std::panic::take_hook();
    println!("steps {}", steps.len());
    // SAFETY-free: the trace is a thread local.
    super::world::TRACE.with(|t| t.set(true));
    fuzz_rib_ops(&join(&steps));
}
