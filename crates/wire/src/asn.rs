//! Autonomous system numbers and BGP identifiers.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A four-octet AS number (RFC 6793), printed as asplain (RFC 5396).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Asn(pub u32);

impl Asn {
    /// The two-octet stand-in for a number that does not fit (RFC 6793 §9).
    pub const TRANS: Asn = Asn(23456);
    /// Reserved; a path that holds it is in error (RFC 7607).
    pub const ZERO: Asn = Asn(0);

    /// The number as two octets, `TRANS` where it does not fit.
    #[must_use]
    pub fn to_as2(self) -> u16 {
        u16::try_from(self.0).unwrap_or(23456)
    }

    /// True where two octets hold the number.
    #[must_use]
    pub fn fits_as2(self) -> bool {
        self.0 <= 0xffff
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Asn {
    type Err = std::num::ParseIntError;

    /// Reads asplain (`65536`) and asdot (`1.0`), with or without a leading `AS`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let digits = s
            .strip_prefix("AS")
            .or_else(|| s.strip_prefix("as"))
            .unwrap_or(s);
        match digits.split_once('.') {
            None => digits.parse().map(Asn),
            Some((high, low)) => {
                let high: u16 = high.parse()?;
                let low: u16 = low.parse()?;
                Ok(Asn(u32::from(high) << 16 | u32::from(low)))
            }
        }
    }
}

/// A BGP identifier: four octets, unique within an AS, not zero (RFC 6286).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Ipv4Addr", into = "Ipv4Addr")]
pub struct RouterId(pub u32);

impl From<Ipv4Addr> for RouterId {
    fn from(address: Ipv4Addr) -> Self {
        RouterId(u32::from(address))
    }
}

impl From<RouterId> for Ipv4Addr {
    fn from(id: RouterId) -> Self {
        Ipv4Addr::from(id.0)
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from(self.0).fmt(f)
    }
}

impl fmt::Debug for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouterId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_asplain_and_asdot() {
        assert_eq!("AS65550".parse(), Ok(Asn(65550)));
        assert_eq!("1.14".parse(), Ok(Asn(65550)));
        assert!("1.99999".parse::<Asn>().is_err());
        assert!("-1".parse::<Asn>().is_err());
    }

    #[test]
    fn large_numbers_become_as_trans() {
        assert_eq!(Asn(65550).to_as2(), 23456);
        assert_eq!(Asn(65535).to_as2(), 65535);
    }
}
