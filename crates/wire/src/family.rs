//! Address families: AFI and SAFI (RFC 4760, IANA registries).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An AFI/SAFI pair as it stands on the wire, known to us or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AfiSafi {
    /// Address Family Identifier: 1 IPv4, 2 IPv6, 25 L2VPN, 16388 BGP-LS, …
    pub afi: u16,
    /// Subsequent Address Family Identifier: 1 unicast, 2 multicast, 4 labelled, 128 VPN, …
    pub safi: u8,
}

impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Family::from_wire(*self) {
            Some(family) => family.fmt(f),
            None => write!(f, "afi {} safi {}", self.afi, self.safi),
        }
    }
}

/// The families that this speaker carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Family {
    /// AFI 1, SAFI 1.
    #[serde(rename = "ipv4")]
    Ipv4 = 0,
    /// AFI 2, SAFI 1.
    #[serde(rename = "ipv6")]
    Ipv6 = 1,
}

impl Family {
    /// All of them, in the order of their index.
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// The pair on the wire.
    #[must_use]
    pub const fn to_wire(self) -> AfiSafi {
        match self {
            Family::Ipv4 => AfiSafi { afi: 1, safi: 1 },
            Family::Ipv6 => AfiSafi { afi: 2, safi: 1 },
        }
    }

    /// The family of a pair, if this speaker carries it.
    #[must_use]
    pub const fn from_wire(pair: AfiSafi) -> Option<Family> {
        match (pair.afi, pair.safi) {
            (1, 1) => Some(Family::Ipv4),
            (2, 1) => Some(Family::Ipv6),
            _ => None,
        }
    }

    /// 0 or 1: an index for arrays by family.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        })
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "ipv4" | "ipv4-unicast" => Ok(Family::Ipv4),
            "ipv6" | "ipv6-unicast" => Ok(Family::Ipv6),
            _ => Err(format!("`{s}` is not a family: ipv4 or ipv6")),
        }
    }
}

/// A set of [`Family`] values.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FamilySet(u8);

impl FamilySet {
    /// No family.
    pub const EMPTY: FamilySet = FamilySet(0);
    /// IPv4 unicast alone: what a peer without the multiprotocol capability speaks.
    pub const IPV4: FamilySet = FamilySet(1);
    /// Every family.
    pub const ALL: FamilySet = FamilySet(3);

    /// True where `family` is in the set.
    #[must_use]
    pub const fn contains(self, family: Family) -> bool {
        self.0 & (1 << family as u8) != 0
    }

    /// Adds `family`.
    pub const fn insert(&mut self, family: Family) {
        self.0 |= 1 << family as u8;
    }

    /// Takes `family` out.
    pub const fn remove(&mut self, family: Family) {
        self.0 &= !(1 << family as u8);
    }

    /// What both sets hold.
    #[must_use]
    pub const fn intersection(self, other: FamilySet) -> FamilySet {
        FamilySet(self.0 & other.0)
    }

    /// True where nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, by index.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL
            .into_iter()
            .filter(move |family| self.contains(*family))
    }
}

impl FromIterator<Family> for FamilySet {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        let mut set = FamilySet::EMPTY;
        families.into_iter().for_each(|family| set.insert(family));
        set
    }
}

impl fmt::Debug for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
