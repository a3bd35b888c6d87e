//! Sets of AS numbers.

use thruway_wire::Asn;

use crate::AsnRange;

/// AS numbers and ranges of them, merged and sorted: a look-up is one binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsSet {
    // First and last numbers in step; two arrays, so that the search touches only one of them.
    first: Vec<Asn>,
    last: Vec<Asn>,
}

impl AsSet {
    /// True where nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// True where `asn` is in it.
    #[inline]
    #[must_use]
    pub fn contains(&self, asn: Asn) -> bool {
        let after = self.first.partition_point(|first| *first <= asn);
        after
            .checked_sub(1)
            .and_then(|at| self.last.get(at))
            .is_some_and(|last| asn <= *last)
    }
}

impl FromIterator<AsnRange> for AsSet {
    fn from_iter<I: IntoIterator<Item = AsnRange>>(ranges: I) -> Self {
        let mut ranges: Vec<AsnRange> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut set = AsSet::default();
        for range in ranges {
            match set.last.last_mut() {
                Some(last) if range.first.0 <= last.0.saturating_add(1) => {
                    *last = range.last.max(*last);
                }
                _ => {
                    set.first.push(range.first);
                    set.last.push(range.last);
                }
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(first: u32, last: u32) -> AsnRange {
        AsnRange {
            first: Asn(first),
            last: Asn(last),
        }
    }

    #[test]
    fn neighbours_merge() {
        let set: AsSet = [range(5, 9), range(1, 4), range(20, u32::MAX)]
            .into_iter()
            .collect();
        assert_eq!(set.first, [Asn(1), Asn(20)]);
        assert!(set.contains(Asn(u32::MAX)) && !set.contains(Asn(0)) && !set.contains(Asn(10)));
        assert!(!AsSet::default().contains(Asn(0)));
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan(
            ranges in prop::collection::vec((0u32..60, 0u32..6), 0..12),
            asn in 0u32..70,
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(a, n)| range(a, a + n)).collect();
            let naive = ranges.iter().any(|r| r.first.0 <= asn && asn <= r.last.0);
            let set: AsSet = ranges.into_iter().collect();
            prop_assert_eq!(set.contains(Asn(asn)), naive);
        }
    }
}
