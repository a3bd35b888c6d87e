//! Ranges of numbers as definitions write them: `7`, `7-9`, `*`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thruway_wire::Asn;

/// Numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Range {
    /// Reads `N`, `N-M` or `*`; `None` where it is none of these, or exceeds `max`.
    pub(crate) fn parse(text: &str, max: u32) -> Option<Range> {
        if text == "*" {
            return Some(Range {
                first: 0,
                last: max,
            });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Range {
            first: number(first)?,
            last: number(last)?,
        };
        (range.first <= range.last && range.last <= max).then_some(range)
    }

    /// True where `value` is in it.
    #[inline]
    pub(crate) const fn contains(self, value: u32) -> bool {
        self.first <= value && value <= self.last
    }

    /// The one number in it, if it is one.
    pub(crate) fn single(self) -> Option<u32> {
        (self.first == self.last).then_some(self.first)
    }

    /// Writes it so that [`Range::parse`] reads it back.
    pub(crate) fn write(self, f: &mut fmt::Formatter<'_>, max: u32) -> fmt::Result {
        match self.single() {
            Some(number) => write!(f, "{number}"),
            None if self.first == 0 && self.last == max => f.write_str("*"),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Digits only: the standard parser also takes a plus sign.
pub(crate) fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|octet| octet.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// AS numbers: one (`64500`, `AS64500`, `1.10`) or a range (`64512-65534`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AsnRange {
    /// The lowest.
    pub first: Asn,
    /// The highest; not below `first`.
    pub last: Asn,
}

impl From<Asn> for AsnRange {
    fn from(asn: Asn) -> Self {
        AsnRange {
            first: asn,
            last: asn,
        }
    }
}

impl fmt::Display for AsnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        if self.first == self.last {
            Ok(())
        } else {
            write!(f, "-{}", self.last)
        }
    }
}

impl FromStr for AsnRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || format!("`{text}` is no AS number and no range FIRST-LAST of them");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first: Asn = first.trim().parse().map_err(|_| fail())?;
        let last: Asn = last.trim().parse().map_err(|_| fail())?;
        if first > last {
            return Err(format!(
                "`{text}` is empty: its first number is above its last"
            ));
        }
        Ok(AsnRange { first, last })
    }
}

impl From<AsnRange> for String {
    fn from(range: AsnRange) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for AsnRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_and_print() {
        for text in ["64500", "64512-65534"] {
            assert_eq!(text.parse::<AsnRange>().unwrap().to_string(), text);
        }
        assert_eq!("AS64500".parse(), Ok(AsnRange::from(Asn(64500))));
        for text in ["", "x", "9-1", "1-", "-1", "1-2-3"] {
            assert!(text.parse::<AsnRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn community_parts_are_strict() {
        assert_eq!(Range::parse("*", 9), Some(Range { first: 0, last: 9 }));
        assert_eq!(Range::parse("2-4", 9), Some(Range { first: 2, last: 4 }));
        for text in ["", "+1", "10", "4-2", "1-", "**"] {
            assert_eq!(Range::parse(text, 9), None, "{text}");
        }
    }
}
