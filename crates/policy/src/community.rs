//! Communities of all three kinds: patterns, values and sets.
//!
//! The text tells the kind: `64500:1` is a standard community, `64500:1:2` a large one, and
//! `rt:64500:1`, `soo:64500:1` or sixteen hex digits behind `0x` an extended one. In a pattern each
//! number may be `*` or a range, and hex digits may end in `*`.

use std::collections::HashSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thruway_wire::attrs::AttrSetRef;
use thruway_wire::{Community, ExtendedCommunity, LargeCommunity};

use crate::range::Range;

/// One community of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum AnyCommunity {
    /// RFC 1997.
    Standard(Community),
    /// RFC 4360.
    Extended(ExtendedCommunity),
    /// RFC 8092.
    Large(LargeCommunity),
}

impl fmt::Display for AnyCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyCommunity::Standard(value) => value.fmt(f),
            AnyCommunity::Extended(value) => value.fmt(f),
            AnyCommunity::Large(value) => value.fmt(f),
        }
    }
}

impl FromStr for AnyCommunity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = if is_extended(text) {
            text.parse().map(AnyCommunity::Extended)
        } else if text.matches(':').count() == 2 {
            text.parse().map(AnyCommunity::Large)
        } else {
            text.parse().map(AnyCommunity::Standard)
        };
        value.map_err(|error| error.to_string())
    }
}

fn is_extended(text: &str) -> bool {
    ["rt:", "soo:", "0x"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// What communities of one kind look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CommunityPattern(Pattern);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Pattern {
    Exact(AnyCommunity),
    Standard([Range; 2]),
    Large([Range; 3]),
    Route(RoutePattern),
    /// An extended community's leading octets: the value, its other bits 0, and the mask.
    Leading(u64, u64),
}

/// Route targets and origins (RFC 4360 §4, §5; RFC 5668).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct RoutePattern {
    /// 2 target, 3 origin.
    sub: u8,
    /// 0 two-octet AS, 1 IPv4 address, 2 four-octet AS; `None` for any of them.
    kind: Option<u8>,
    admin: Range,
    local: Range,
}

impl From<AnyCommunity> for CommunityPattern {
    fn from(value: AnyCommunity) -> Self {
        CommunityPattern(Pattern::Exact(value))
    }
}

impl CommunityPattern {
    /// True where a route's communities hold one that the pattern describes.
    #[must_use]
    pub fn matches(&self, set: &AttrSetRef<'_>) -> bool {
        match self.0 {
            Pattern::Exact(AnyCommunity::Standard(value)) => {
                set.communities().any(|other| other == value)
            }
            Pattern::Exact(AnyCommunity::Extended(value)) => {
                set.extended_communities().any(|other| other == value)
            }
            Pattern::Exact(AnyCommunity::Large(value)) => {
                set.large_communities().any(|other| other == value)
            }
            Pattern::Standard(parts) => set.communities().any(|value| standard(parts, value)),
            Pattern::Large(parts) => set.large_communities().any(|value| large(parts, value)),
            Pattern::Route(pattern) => set
                .extended_communities()
                .any(|value| pattern.matches(value)),
            Pattern::Leading(bits, mask) => set
                .extended_communities()
                .any(|value| octets(value) & mask == bits),
        }
    }
}

fn standard([high, low]: [Range; 2], value: Community) -> bool {
    high.contains(value.0 >> 16) && low.contains(value.0 & 0xffff)
}

fn large([global, local1, local2]: [Range; 3], value: LargeCommunity) -> bool {
    global.contains(value.global) && local1.contains(value.local1) && local2.contains(value.local2)
}

fn octets(value: ExtendedCommunity) -> u64 {
    u64::from_be_bytes(value.0)
}

impl RoutePattern {
    fn matches(&self, value: ExtendedCommunity) -> bool {
        let [kind, sub, a, b, c, d, e, g] = value.0;
        let (admin, local) = match kind {
            0 => (
                u32::from_be_bytes([0, 0, a, b]),
                u32::from_be_bytes([c, d, e, g]),
            ),
            1 | 2 => (
                u32::from_be_bytes([a, b, c, d]),
                u32::from_be_bytes([0, 0, e, g]),
            ),
            _ => return false,
        };
        sub == self.sub
            && self.kind.is_none_or(|wanted| wanted == kind)
            && self.admin.contains(admin)
            && self.local.contains(local)
    }

    /// Reads `rt:ADMIN:LOCAL`, where ADMIN is a number or range (two-octet AS, or four-octet where
    /// it is large or ends in `L`), an IPv4 address, or `*` for all forms.
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once(':')?;
        let (admin, local) = rest.split_once(':')?;
        let sub = if name == "rt" { 2 } else { 3 };
        if admin == "*" {
            let local = Range::parse(local, u32::MAX)?;
            let admin = Range {
                first: 0,
                last: u32::MAX,
            };
            return Some(RoutePattern {
                sub,
                kind: None,
                admin,
                local,
            });
        }
        let (kind, admin) = match admin.parse::<Ipv4Addr>() {
            Ok(addr) => (
                1,
                Range {
                    first: addr.to_bits(),
                    last: addr.to_bits(),
                },
            ),
            Err(_) => {
                let digits = admin.strip_suffix('L');
                let range = Range::parse(digits.unwrap_or(admin), u32::MAX)?;
                let wide = digits.is_some() || range.last > 0xffff;
                (if wide { 2 } else { 0 }, range)
            }
        };
        let local = Range::parse(local, if kind == 0 { u32::MAX } else { 0xffff })?;
        Some(RoutePattern {
            sub,
            kind: Some(kind),
            admin,
            local,
        })
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.sub == 2 { "rt:" } else { "soo:" })?;
        match self.kind {
            None => f.write_str("*")?,
            Some(1) => Ipv4Addr::from_bits(self.admin.first).fmt(f)?,
            Some(2) => {
                self.admin.write(f, u32::MAX)?;
                f.write_str("L")?;
            }
            // A range that ends at 65535 is not `*`, which would be all forms.
            Some(_) => self.admin.write(f, u32::MAX)?,
        }
        f.write_str(":")?;
        self.local.write(
            f,
            if matches!(self.kind, Some(1 | 2)) {
                0xffff
            } else {
                u32::MAX
            },
        )
    }
}

impl fmt::Display for CommunityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Pattern::Exact(value) => value.fmt(f),
            Pattern::Standard(parts) => write_parts(f, &parts, 0xffff),
            Pattern::Large(parts) => write_parts(f, &parts, u32::MAX),
            Pattern::Route(pattern) => pattern.fmt(f),
            Pattern::Leading(bits, mask) => {
                let digits = mask.count_ones() as usize / 4;
                let text = format!("{bits:016x}");
                write!(f, "0x{}*", text.get(..digits).unwrap_or_default())
            }
        }
    }
}

fn write_parts(f: &mut fmt::Formatter<'_>, parts: &[Range], max: u32) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(":")?;
        }
        part.write(f, max)?;
    }
    Ok(())
}

impl FromStr for CommunityPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(value) = text.parse::<AnyCommunity>() {
            return Ok(value.into());
        }
        let pattern = if let Some(hex) = text.strip_prefix("0x") {
            hex.strip_suffix('*').and_then(leading)
        } else if is_extended(text) {
            RoutePattern::parse(text).map(Pattern::Route)
        } else if text.matches(':').count() == 2 {
            parts(text, u32::MAX).map(Pattern::Large)
        } else {
            parts(text, 0xffff).map(Pattern::Standard)
        };
        // Ranges of one number each are that one community, however they were written.
        if let Some(pattern) = pattern
            && let Ok(value) = CommunityPattern(pattern)
                .to_string()
                .parse::<AnyCommunity>()
        {
            return Ok(value.into());
        }
        pattern.map(CommunityPattern).ok_or_else(|| {
            format!(
                "`{text}` is no community and no pattern: A:B, A:B:C, rt:A:B, soo:A:B, 0xHEX* or a \
                 well-known name; each part a number, a range N-M or *"
            )
        })
    }
}

fn leading(digits: &str) -> Option<Pattern> {
    let count = u32::try_from(digits.len())
        .ok()
        .filter(|count| (1..16).contains(count))?;
    let hex = digits.bytes().all(|octet| octet.is_ascii_hexdigit());
    let value = hex.then(|| u64::from_str_radix(digits, 16).ok())??;
    let unused = 64 - 4 * count;
    Some(Pattern::Leading(value << unused, u64::MAX << unused))
}

fn parts<const N: usize>(text: &str, max: u32) -> Option<[Range; N]> {
    let parts: Option<Vec<Range>> = text
        .split(':')
        .map(|part| Range::parse(part, max))
        .collect();
    parts?.try_into().ok()
}

macro_rules! text_in_serde {
    ($($name:ty),*) => {$(
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    )*};
}
text_in_serde!(AnyCommunity, CommunityPattern);

type FixedHash = std::hash::BuildHasherDefault<ahash::AHasher>;

/// Compiled patterns of all kinds. Exact values are found by hash, others by a walk.
#[derive(Clone, Debug, Default)]
pub struct CommunitySet {
    standard: HashSet<Community, FixedHash>,
    standard_ranges: Vec<[Range; 2]>,
    extended: HashSet<ExtendedCommunity, FixedHash>,
    extended_routes: Vec<RoutePattern>,
    extended_leading: Vec<(u64, u64)>,
    large: HashSet<LargeCommunity, FixedHash>,
    large_ranges: Vec<[Range; 3]>,
}

impl CommunitySet {
    /// True where a route holds a community of the set.
    #[must_use]
    pub fn matches(&self, set: &AttrSetRef<'_>) -> bool {
        self.has_standard() && set.communities().any(|value| self.contains_standard(value))
            || self.has_large()
                && set
                    .large_communities()
                    .any(|value| self.contains_large(value))
            || self.has_extended()
                && set
                    .extended_communities()
                    .any(|value| self.contains_extended(value))
    }

    /// True where nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_standard() && !self.has_extended() && !self.has_large()
    }

    pub(crate) fn has_standard(&self) -> bool {
        !self.standard.is_empty() || !self.standard_ranges.is_empty()
    }

    pub(crate) fn has_extended(&self) -> bool {
        !self.extended.is_empty()
            || !self.extended_routes.is_empty()
            || !self.extended_leading.is_empty()
    }

    pub(crate) fn has_large(&self) -> bool {
        !self.large.is_empty() || !self.large_ranges.is_empty()
    }

    pub(crate) fn contains_standard(&self, value: Community) -> bool {
        self.standard.contains(&value)
            || self
                .standard_ranges
                .iter()
                .any(|parts| standard(*parts, value))
    }

    pub(crate) fn contains_extended(&self, value: ExtendedCommunity) -> bool {
        self.extended.contains(&value)
            || self
                .extended_routes
                .iter()
                .any(|pattern| pattern.matches(value))
            || self
                .extended_leading
                .iter()
                .any(|(bits, mask)| octets(value) & mask == *bits)
    }

    pub(crate) fn contains_large(&self, value: LargeCommunity) -> bool {
        self.large.contains(&value) || self.large_ranges.iter().any(|parts| large(*parts, value))
    }
}

impl FromIterator<CommunityPattern> for CommunitySet {
    fn from_iter<I: IntoIterator<Item = CommunityPattern>>(patterns: I) -> Self {
        let mut set = CommunitySet::default();
        for pattern in patterns {
            match pattern.0 {
                Pattern::Exact(AnyCommunity::Standard(value)) => {
                    set.standard.insert(value);
                }
                Pattern::Exact(AnyCommunity::Extended(value)) => {
                    set.extended.insert(value);
                }
                Pattern::Exact(AnyCommunity::Large(value)) => {
                    set.large.insert(value);
                }
                Pattern::Standard(parts) => set.standard_ranges.push(parts),
                Pattern::Large(parts) => set.large_ranges.push(parts),
                Pattern::Route(pattern) => set.extended_routes.push(pattern),
                Pattern::Leading(bits, mask) => set.extended_leading.push((bits, mask)),
            }
        }
        set
    }
}

#[cfg(test)]
mod tests;
