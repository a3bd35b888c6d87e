//! A small generator of pseudo-random numbers whose stream never changes.
//!
//! A seed must give the same table on every machine and with every release of every dependency, so
//! the algorithm stands here, and only whole numbers take part.

/// SplitMix64: one addition and three multiplications a number, any seed is good.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Evenly in `0..bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // The high half of a product: its bias, 2^-32 and less, is far below what a table shows.
        ((u64::from(self.next() as u32) * u64::from(bound)) >> 32) as u32
    }

    /// In `low..=high`, the smaller of two draws: a falling density with its mean a third up.
    pub(crate) fn falling(&mut self, low: u32, high: u32) -> u32 {
        let span = high - low + 1;
        low + self.below(span).min(self.below(span))
    }

    /// True `share` times in 10,000.
    pub(crate) fn chance(&mut self, share: u32) -> bool {
        self.below(10_000) < share
    }
}

/// Spreads every bit of `value` over the whole word.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Draws values by weight.
#[derive(Clone, Debug)]
pub(crate) struct Weighted {
    // (weights up to and with this one, value)
    steps: Vec<(u32, u32)>,
    total: u32,
}

impl Weighted {
    pub(crate) fn new(weights: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut total = 0;
        let steps = weights
            .into_iter()
            .map(|(value, weight)| {
                total += weight;
                (total, value)
            })
            .collect();
        Weighted { steps, total }
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        let point = rng.below(self.total);
        let index = self.steps.partition_point(|(upto, _)| *upto <= point);
        self.steps.get(index).map_or(0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_pinned() {
        // The published test vector of SplitMix64 for the seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn weights_are_kept() {
        let weighted = Weighted::new([(7, 1), (8, 0), (9, 3)]);
        let mut rng = Rng::new(1);
        let nines = (0..40_000).filter(|_| weighted.draw(&mut rng) == 9).count();
        assert!((29_500..30_500).contains(&nines), "{nines}");
        assert!((0..1000).all(|_| weighted.draw(&mut rng) != 8));
    }
}
