//! IP prefixes: always in canonical form, host bits zero.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Family;

/// What a table, parser or encoder needs of a prefix of one family.
///
/// Implementations hold host bits at zero: two equal networks are equal values.
pub trait PrefixKey: Copy + Eq + Ord + Hash + fmt::Debug + fmt::Display + Into<Prefix> {
    /// The family that the type belongs to.
    const FAMILY: Family;
    /// 32 or 128.
    const MAX_LEN: u8;

    /// The network's first `MAX_LEN / 8` octets, in network order, zero beyond the mask.
    /// `octets` holds 4 or 16 octets at its start.
    #[must_use]
    fn octets(&self) -> [u8; 16];

    /// Prefix length in bits.
    #[must_use]
    fn prefix_len(&self) -> u8;

    /// Reads the first `len.div_ceil(8)` octets of `octets`; bits beyond `len` are cleared
    /// (RFC 4271 §4.3: they have no meaning). `None` where `len` exceeds `MAX_LEN` or `octets` is
    /// too short.
    #[must_use]
    fn from_octets(octets: &[u8], len: u8) -> Option<Self>;

    /// The top 64 bits of the address, left-aligned: what sharding and hashing start from.
    #[must_use]
    fn top_bits(&self) -> u64;

    /// True where `other` lies within this prefix, equal included.
    #[must_use]
    fn covers(&self, other: &Self) -> bool;

    /// True for a prefix that no network may route: see [`Prefix::is_martian`].
    #[must_use]
    fn is_martian(&self) -> bool;

    /// This type's value of a family-agnostic prefix.
    #[must_use]
    fn from_prefix(prefix: Prefix) -> Option<Self>;
}

/// An IPv4 prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ipv4Prefix {
    addr: u32,
    len: u8,
}

impl Ipv4Prefix {
    /// The prefix of `len` bits that holds `addr`; `None` where `len` is over 32.
    #[must_use]
    pub const fn new(addr: Ipv4Addr, len: u8) -> Option<Self> {
        if len > 32 {
            return None;
        }
        Some(Ipv4Prefix {
            addr: addr.to_bits() & mask32(len),
            len,
        })
    }

    /// The network address.
    #[must_use]
    pub const fn addr(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.addr)
    }

    /// The network address as a number.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.addr
    }
}

/// An IPv6 prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ipv6Prefix {
    // Two halves, not one u128: alignment 8 keeps tables of these 24 octets an entry, not 32.
    high: u64,
    low: u64,
    len: u8,
}

impl Ipv6Prefix {
    /// The prefix of `len` bits that holds `addr`; `None` where `len` is over 128.
    #[must_use]
    pub const fn new(addr: Ipv6Addr, len: u8) -> Option<Self> {
        if len > 128 {
            return None;
        }
        let bits = addr.to_bits() & mask128(len);
        Some(Ipv6Prefix {
            high: (bits >> 64) as u64,
            low: bits as u64,
            len,
        })
    }

    /// The prefix that holds `addr` alone.
    #[must_use]
    pub const fn host(addr: Ipv6Addr) -> Self {
        let bits = addr.to_bits();
        Ipv6Prefix {
            high: (bits >> 64) as u64,
            low: bits as u64,
            len: 128,
        }
    }

    /// The network address.
    #[must_use]
    pub const fn addr(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.bits())
    }

    /// The network address as a number.
    #[must_use]
    pub const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }
}

/// The address in fewer than four octets; `None` where they are fewer than `len` needs.
fn short32(octets: &[u8], len: u8) -> Option<u32> {
    let addr = match (len.div_ceil(8), octets) {
        (3, [a, b, c, ..]) => [*a, *b, *c, 0],
        (2, [a, b, ..]) => [*a, *b, 0, 0],
        (1, [a, ..]) => [*a, 0, 0, 0],
        (0, _) => [0; 4],
        _ => return None,
    };
    Some(u32::from_be_bytes(addr))
}

const fn mask32(len: u8) -> u32 {
    if len == 0 { 0 } else { u32::MAX << (32 - len) }
}

const fn mask128(len: u8) -> u128 {
    if len == 0 {
        0
    } else {
        u128::MAX << (128 - len)
    }
}

impl PrefixKey for Ipv4Prefix {
    const FAMILY: Family = Family::Ipv4;
    const MAX_LEN: u8 = 32;

    #[inline]
    fn octets(&self) -> [u8; 16] {
        let [a, b, c, d] = self.addr.to_be_bytes();
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    #[inline]
    fn prefix_len(&self) -> u8 {
        self.len
    }

    #[inline]
    fn from_octets(octets: &[u8], len: u8) -> Option<Self> {
        if len > 32 {
            return None;
        }
        // Four octets at once where there are four: no branch on the length.
        let addr = match octets {
            [a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
            _ => short32(octets, len)?,
        };
        Some(Ipv4Prefix {
            addr: addr & mask32(len),
            len,
        })
    }

    #[inline]
    fn top_bits(&self) -> u64 {
        u64::from(self.addr) << 32
    }

    #[inline]
    fn covers(&self, other: &Self) -> bool {
        self.len <= other.len && other.addr & mask32(self.len) == self.addr
    }

    #[inline]
    fn is_martian(&self) -> bool {
        match self.addr >> 24 {
            0 | 127 => self.len >= 8,
            169 => self.len >= 16 && self.addr >> 16 == 0xa9fe,
            // 224/3 is 224/4 and 240/4.
            224.. => true,
            _ => false,
        }
    }

    #[inline]
    fn from_prefix(prefix: Prefix) -> Option<Self> {
        match prefix {
            Prefix::V4(prefix) => Some(prefix),
            Prefix::V6(_) => None,
        }
    }
}

impl PrefixKey for Ipv6Prefix {
    const FAMILY: Family = Family::Ipv6;
    const MAX_LEN: u8 = 128;

    #[inline]
    fn octets(&self) -> [u8; 16] {
        self.bits().to_be_bytes()
    }

    #[inline]
    fn prefix_len(&self) -> u8 {
        self.len
    }

    #[inline]
    fn from_octets(octets: &[u8], len: u8) -> Option<Self> {
        if len > 128 {
            return None;
        }
        if let Some(whole) = octets.first_chunk::<16>() {
            return Self::new(Ipv6Addr::from(*whole), len);
        }
        let used = octets.get(..usize::from(len.div_ceil(8)))?;
        let mut whole = [0; 16];
        whole.get_mut(..used.len())?.copy_from_slice(used);
        Self::new(Ipv6Addr::from(whole), len)
    }

    #[inline]
    fn top_bits(&self) -> u64 {
        self.high
    }

    #[inline]
    fn covers(&self, other: &Self) -> bool {
        self.len <= other.len && other.bits() & mask128(self.len) == self.bits()
    }

    #[inline]
    fn is_martian(&self) -> bool {
        match self.high >> 56 {
            0 => self.len >= 8,
            0xfe => self.len >= 10 && self.high >> 54 == 0xfe80 >> 6,
            0xff => self.len >= 8,
            _ => false,
        }
    }

    #[inline]
    fn from_prefix(prefix: Prefix) -> Option<Self> {
        match prefix {
            Prefix::V6(prefix) => Some(prefix),
            Prefix::V4(_) => None,
        }
    }
}

/// A prefix of either family. IPv4 sorts before IPv6, then by address, then by length.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Prefix {
    /// IPv4.
    V4(Ipv4Prefix),
    /// IPv6.
    V6(Ipv6Prefix),
}

impl Prefix {
    /// The prefix of `len` bits that holds `addr`; `None` where `len` is too large.
    #[must_use]
    pub const fn new(addr: IpAddr, len: u8) -> Option<Self> {
        match addr {
            IpAddr::V4(addr) => match Ipv4Prefix::new(addr, len) {
                Some(prefix) => Some(Prefix::V4(prefix)),
                None => None,
            },
            IpAddr::V6(addr) => match Ipv6Prefix::new(addr, len) {
                Some(prefix) => Some(Prefix::V6(prefix)),
                None => None,
            },
        }
    }

    /// The prefix that holds `addr` alone.
    #[must_use]
    pub const fn host(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => Prefix::V4(Ipv4Prefix {
                addr: addr.to_bits(),
                len: 32,
            }),
            IpAddr::V6(addr) => Prefix::V6(Ipv6Prefix::host(addr)),
        }
    }

    /// The network address.
    #[must_use]
    pub const fn addr(self) -> IpAddr {
        match self {
            Prefix::V4(prefix) => IpAddr::V4(prefix.addr()),
            Prefix::V6(prefix) => IpAddr::V6(prefix.addr()),
        }
    }

    /// Prefix length in bits.
    #[must_use]
    pub const fn prefix_len(self) -> u8 {
        match self {
            Prefix::V4(prefix) => prefix.len,
            Prefix::V6(prefix) => prefix.len,
        }
    }

    /// The family.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Prefix::V4(_) => Family::Ipv4,
            Prefix::V6(_) => Family::Ipv6,
        }
    }

    /// True for a prefix that no network may route: "this network", loopback, link-local, multicast
    /// and reserved addresses (0/8, 127/8, 169.254/16, 224/4, 240/4, ::/8, fe80::/10, ff00::/8;
    /// RFC 6890 §2.2, RFC 4291 §2.4). The default routes are none.
    #[must_use]
    pub fn is_martian(self) -> bool {
        match self {
            Prefix::V4(prefix) => prefix.is_martian(),
            Prefix::V6(prefix) => prefix.is_martian(),
        }
    }

    /// True where `other` lies within this prefix, equal included.
    #[must_use]
    pub fn covers(self, other: Prefix) -> bool {
        match (self, other) {
            (Prefix::V4(mine), Prefix::V4(other)) => mine.covers(&other),
            (Prefix::V6(mine), Prefix::V6(other)) => mine.covers(&other),
            _ => false,
        }
    }
}

impl From<Ipv4Prefix> for Prefix {
    fn from(prefix: Ipv4Prefix) -> Self {
        Prefix::V4(prefix)
    }
}

impl From<Ipv6Prefix> for Prefix {
    fn from(prefix: Ipv6Prefix) -> Self {
        Prefix::V6(prefix)
    }
}

impl fmt::Display for Ipv4Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr(), self.len)
    }
}

impl fmt::Display for Ipv6Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr(), self.len)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prefix::V4(prefix) => prefix.fmt(f),
            Prefix::V6(prefix) => prefix.fmt(f),
        }
    }
}

macro_rules! debug_as_display {
    ($($name:ty),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(Ipv4Prefix, Ipv6Prefix, Prefix);

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixParseError(String);

impl fmt::Display for PrefixParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PrefixParseError {}

impl FromStr for Prefix {
    type Err = PrefixParseError;

    /// Reads `192.0.2.0/24`; an address alone is a host prefix. Host bits are an error: a typo in a
    /// set must not silently match something else.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let fail = |why: &str| PrefixParseError(format!("`{s}` is not a prefix: {why}"));
        let (addr, len) = match s.split_once('/') {
            Some((addr, len)) => (addr, Some(len)),
            None => (s, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| fail("bad address"))?;
        let Some(len) = len else {
            return Ok(Prefix::host(addr));
        };
        let len: u8 = len.parse().map_err(|_| fail("bad length"))?;
        let prefix = Prefix::new(addr, len).ok_or_else(|| fail("length too large"))?;
        if prefix.addr() != addr {
            return Err(fail(&format!("host bits are set; the network is {prefix}")));
        }
        Ok(prefix)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// One NLRI: a prefix and, where ADD-PATH is in use (RFC 7911), the path identifier of the sender;
/// zero elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nlri<P> {
    /// RFC 7911 path identifier, 0 without ADD-PATH.
    pub path_id: u32,
    /// The destination.
    pub prefix: P,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_beyond_the_mask_are_cleared() {
        let prefix = Ipv4Prefix::from_octets(&[10, 1, 255], 18).unwrap();
        assert_eq!(prefix.to_string(), "10.1.192.0/18");
        assert_eq!(Ipv4Prefix::from_octets(&[10, 1], 18), None);
        assert_eq!(Ipv4Prefix::from_octets(&[10, 1, 1, 1, 1], 33), None);
        let prefix = Ipv6Prefix::from_octets(&[0x20, 1, 0xd, 0xb8, 0xff], 33).unwrap();
        assert_eq!(prefix.to_string(), "2001:db8:8000::/33");
    }

    #[test]
    fn text_with_host_bits_is_refused_with_the_network() {
        let error = "10.0.0.1/8".parse::<Prefix>().unwrap_err().to_string();
        assert!(error.contains("10.0.0.0/8"), "{error}");
        assert_eq!("10.0.0.1".parse::<Prefix>().unwrap().prefix_len(), 32);
        assert!("10.0.0.0/33".parse::<Prefix>().is_err());
    }

    #[test]
    fn covers_is_reflexive_and_needs_one_family() {
        let wide: Prefix = "10.0.0.0/8".parse().unwrap();
        let narrow: Prefix = "10.9.0.0/16".parse().unwrap();
        assert!(wide.covers(narrow) && wide.covers(wide) && !narrow.covers(wide));
        assert!(!wide.covers("::/0".parse().unwrap()));
    }

    #[test]
    fn sizes_hold() {
        assert_eq!(size_of::<Nlri<Ipv4Prefix>>(), 12);
        assert_eq!(size_of::<Ipv6Prefix>(), 24);
    }
}
