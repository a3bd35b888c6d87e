//! Communities of all kinds, as numbers and as text.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A standard community (RFC 1997).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Community(pub u32);

impl Community {
    /// Drain traffic before maintenance (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Community = Community(0xffff_0000);
    /// Long-lived stale (RFC 9494).
    pub const LLGR_STALE: Community = Community(0xffff_0006);
    /// Not to be kept long-lived (RFC 9494).
    pub const NO_LLGR: Community = Community(0xffff_0007);
    /// Discard traffic (RFC 7999).
    pub const BLACKHOLE: Community = Community(0xffff_029a);
    /// Not outside the confederation (RFC 1997).
    pub const NO_EXPORT: Community = Community(0xffff_ff01);
    /// To no peer (RFC 1997).
    pub const NO_ADVERTISE: Community = Community(0xffff_ff02);
    /// To no external peer, confederation members included (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Community = Community(0xffff_ff03);
    /// To no bilateral peer (RFC 3765).
    pub const NO_PEER: Community = Community(0xffff_ff04);

    const NAMES: [(&'static str, Community); 8] = [
        ("graceful-shutdown", Community::GRACEFUL_SHUTDOWN),
        ("llgr-stale", Community::LLGR_STALE),
        ("no-llgr", Community::NO_LLGR),
        ("blackhole", Community::BLACKHOLE),
        ("no-export", Community::NO_EXPORT),
        ("no-advertise", Community::NO_ADVERTISE),
        ("no-export-subconfed", Community::NO_EXPORT_SUBCONFED),
        ("no-peer", Community::NO_PEER),
    ];

    /// The IANA name in lower case, for those that have one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES
            .iter()
            .find(|(_, value)| *value == self)
            .map(|(name, _)| *name)
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// An extended community (RFC 4360): eight octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ExtendedCommunity(pub [u8; 8]);

impl ExtendedCommunity {
    /// True where an AS may pass it on (RFC 4360 §2: bit 0x40 clear).
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, sub, a, b, c, d, e, g] = self.0;
        let two = u16::from_be_bytes([a, b]);
        let four = u32::from_be_bytes([a, b, c, d]);
        let low = u32::from_be_bytes([c, d, e, g]);
        let tail = u16::from_be_bytes([e, g]);
        let name = match sub {
            0x02 => "rt",
            0x03 => "soo",
            _ => "",
        };
        match (kind, name) {
            (0x00, "rt" | "soo") => write!(f, "{name}:{two}:{low}"),
            (0x01, "rt" | "soo") => write!(f, "{name}:{a}.{b}.{c}.{d}:{tail}"),
            (0x02, "rt" | "soo") => write!(f, "{name}:{four}L:{tail}"),
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

/// An IPv6-address-specific extended community (RFC 5701): twenty octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ipv6ExtendedCommunity(pub [u8; 20]);

impl Ipv6ExtendedCommunity {
    /// True where an AS may pass it on (RFC 5701 §2: bit 0x40 clear).
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }
}

impl fmt::Display for Ipv6ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addr = [0; 16];
        addr.copy_from_slice(&self.0[2..18]);
        let local = u16::from_be_bytes([self.0[18], self.0[19]]);
        write!(
            f,
            "0x{:02x}{:02x}:[{}]:{local}",
            self.0[0],
            self.0[1],
            Ipv6Addr::from(addr)
        )
    }
}

/// A large community (RFC 8092).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LargeCommunity {
    /// Global administrator: an AS number.
    pub global: u32,
    /// Local data, part 1.
    pub local1: u32,
    /// Local data, part 2.
    pub local2: u32,
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

/// Why a text is no community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommunityParseError(String);

impl fmt::Display for CommunityParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CommunityParseError {}

fn bad(text: &str, shape: &str) -> CommunityParseError {
    CommunityParseError(format!("`{text}` is not a community of the form {shape}"))
}

impl FromStr for Community {
    type Err = CommunityParseError;

    /// Reads `65000:1` or a well-known name such as `no-export`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_lowercase().replace('_', "-");
        if let Some((_, value)) = Self::NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*value);
        }
        let fail = || bad(text, "ASN:VALUE (both 0 to 65535) or a well-known name");
        let (high, low) = text.split_once(':').ok_or_else(fail)?;
        let high: u16 = high.parse().map_err(|_| fail())?;
        let low: u16 = low.parse().map_err(|_| fail())?;
        Ok(Community(u32::from(high) << 16 | u32::from(low)))
    }
}

impl FromStr for LargeCommunity {
    type Err = CommunityParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || bad(text, "ASN:VALUE:VALUE (each 0 to 4294967295)");
        let mut parts = text
            .split(':')
            .map(|part| part.parse::<u32>().map_err(|_| fail()));
        let mut next = || parts.next().unwrap_or_else(|| Err(fail()));
        let value = LargeCommunity {
            global: next()?,
            local1: next()?,
            local2: next()?,
        };
        if parts.next().is_some() {
            return Err(fail());
        }
        Ok(value)
    }
}

impl FromStr for ExtendedCommunity {
    type Err = CommunityParseError;

    /// Reads what `Display` writes: `rt:65000:1`, `soo:192.0.2.1:1`, `rt:70000L:1` (a number over
    /// 65535 needs no `L`), or `0x` and sixteen hex digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || bad(text, "rt:ASN:VALUE, soo:ASN:VALUE or 0x and 16 hex digits");
        if let Some(hex) = text.strip_prefix("0x") {
            let value = u64::from_str_radix(hex, 16).map_err(|_| fail())?;
            return if hex.len() == 16 {
                Ok(ExtendedCommunity(value.to_be_bytes()))
            } else {
                Err(fail())
            };
        }
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or_else(fail);
        let sub = match next()? {
            "rt" => 2,
            "soo" => 3,
            _ => return Err(fail()),
        };
        let (admin, local) = (next()?, next()?);
        if let Ok(addr) = admin.parse::<std::net::Ipv4Addr>() {
            let [a, b, c, d] = addr.octets();
            let [e, g] = local.parse::<u16>().map_err(|_| fail())?.to_be_bytes();
            return Ok(ExtendedCommunity([1, sub, a, b, c, d, e, g]));
        }
        let wide = admin.ends_with('L');
        let number: u32 = admin.trim_end_matches('L').parse().map_err(|_| fail())?;
        let [a, b, c, d] = number.to_be_bytes();
        if wide || number > 0xffff {
            let [e, g] = local.parse::<u16>().map_err(|_| fail())?.to_be_bytes();
            return Ok(ExtendedCommunity([2, sub, a, b, c, d, e, g]));
        }
        let [e, g, h, i] = local.parse::<u32>().map_err(|_| fail())?.to_be_bytes();
        Ok(ExtendedCommunity([0, sub, c, d, e, g, h, i]))
    }
}

macro_rules! text_in_serde {
    ($($name:ty),*) => {$(
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = CommunityParseError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    )*};
}
text_in_serde!(Community, ExtendedCommunity, LargeCommunity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["65000:1", "0:0", "65535:65281"] {
            assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
        }
        for text in [
            "rt:65000:1",
            "soo:192.0.2.1:7",
            "rt:70000L:1",
            "0x43000001020304ff",
        ] {
            assert_eq!(text.parse::<ExtendedCommunity>().unwrap().to_string(), text);
        }
        assert_eq!(
            "1:2:3".parse::<LargeCommunity>().unwrap().to_string(),
            "1:2:3"
        );
    }

    #[test]
    fn well_known_names_are_read() {
        assert_eq!("NO_EXPORT".parse(), Ok(Community::NO_EXPORT));
        assert_eq!(
            "graceful-shutdown".parse(),
            Ok(Community::GRACEFUL_SHUTDOWN)
        );
        assert_eq!(Community::NO_ADVERTISE.name(), Some("no-advertise"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "65536:1", "1", "1:2:3", "a:b", "1:"] {
            assert!(text.parse::<Community>().is_err(), "{text}");
        }
        assert!("1:2".parse::<LargeCommunity>().is_err());
        assert!("1:2:3:4".parse::<LargeCommunity>().is_err());
    }
}
