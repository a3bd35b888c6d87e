//! RIB records of TABLE_DUMP_V2 (RFC 6396 §4.3.2 and §4.3.4, RFC 8050 §4).

use super::code::table_dump_v2 as subtype;
use crate::reader::{IResult, be_u8, be_u16, be_u32, error, located, take};
use crate::{AfiSafi, Field, Ipv4Prefix, Ipv6Prefix, Prefix, PrefixKey, WireError, WireErrorKind};

/// The paths of one prefix.
#[derive(Clone, Copy, Debug)]
pub struct Rib<'a> {
    /// Counts the RIB records of a dump from 0.
    pub sequence: u32,
    /// IPv4 or IPv6, unicast or multicast.
    pub family: AfiSafi,
    /// The prefix.
    pub prefix: Prefix,
    /// Entries carry path identifiers (RFC 8050).
    pub add_path: bool,
    count: u16,
    entries: &'a [u8],
}

/// One path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RibEntry<'a> {
    /// Position in the PEER_INDEX_TABLE.
    pub peer_index: u16,
    /// When the route was learned, seconds since 1970.
    pub originated: u32,
    /// Path identifier (RFC 8050), 0 without.
    pub path_id: u32,
    /// Path attributes with four-octet AS numbers; MP_REACH_NLRI may be cut down to its next hop
    /// (RFC 6396 §4.3.4). See [`super::rib_entry_attrs`].
    pub attrs: &'a [u8],
}

impl<'a> Rib<'a> {
    /// The family of a subtype, and whether entries have path identifiers; `None` for subtypes that
    /// are no RIB record or a generic one.
    pub(super) fn kind(code: u16) -> Option<(AfiSafi, bool)> {
        let (afi, safi, add_path) = match code {
            subtype::RIB_IPV4_UNICAST => (1, 1, false),
            subtype::RIB_IPV4_MULTICAST => (1, 2, false),
            subtype::RIB_IPV6_UNICAST => (2, 1, false),
            subtype::RIB_IPV6_MULTICAST => (2, 2, false),
            subtype::RIB_IPV4_UNICAST_ADDPATH => (1, 1, true),
            subtype::RIB_IPV4_MULTICAST_ADDPATH => (1, 2, true),
            subtype::RIB_IPV6_UNICAST_ADDPATH => (2, 1, true),
            subtype::RIB_IPV6_MULTICAST_ADDPATH => (2, 2, true),
            _ => return None,
        };
        Some((AfiSafi { afi, safi }, add_path))
    }

    pub(super) fn parse(
        family: AfiSafi,
        add_path: bool,
        body: &'a [u8],
    ) -> Result<Self, WireError> {
        Self::read(family, add_path, body).map_err(|error| located(&error, body, Field::MrtBody))
    }

    fn read(family: AfiSafi, add_path: bool, body: &'a [u8]) -> Result<Self, nom::Err<WireError>> {
        let (rest, sequence) = be_u32(body)?;
        let (rest, prefix) = prefix(family.afi == 2)(rest)?;
        let (entries, count) = be_u16(rest)?;
        let mut rest = entries;
        for _ in 0..count {
            (rest, _) = entry(add_path)(rest)?;
        }
        if !rest.is_empty() {
            let kind = WireErrorKind::TrailingBytes;
            return Err(nom::Err::Error(error(rest, Field::MrtBody, kind)));
        }
        Ok(Rib {
            sequence,
            family,
            prefix,
            add_path,
            count,
            entries,
        })
    }

    /// How many paths.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// True for a record without paths.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The paths.
    pub fn entries(&self) -> impl Iterator<Item = RibEntry<'a>> + 'a {
        let mut rest = self.entries;
        let one = entry(self.add_path);
        std::iter::from_fn(move || {
            let (tail, entry) = one(rest).ok()?;
            rest = tail;
            Some(entry)
        })
    }
}

/// A prefix in the NLRI form: length in bits, then as many octets as it needs.
fn prefix(ipv6: bool) -> impl Fn(&[u8]) -> IResult<'_, Prefix> {
    move |input| {
        let (rest, len) = be_u8(input)?;
        let (rest, addr) = take(usize::from(len.div_ceil(8)))(rest)?;
        let prefix = if ipv6 {
            Ipv6Prefix::from_octets(addr, len).map(Prefix::V6)
        } else {
            Ipv4Prefix::from_octets(addr, len).map(Prefix::V4)
        };
        let bad = || nom::Err::Error(error(input, Field::MrtBody, WireErrorKind::BadValue));
        Ok((rest, prefix.ok_or_else(bad)?))
    }
}

fn entry(add_path: bool) -> impl Fn(&[u8]) -> IResult<'_, RibEntry<'_>> {
    move |input| {
        let (rest, peer_index) = be_u16(input)?;
        let (rest, originated) = be_u32(rest)?;
        let (rest, path_id) = if add_path { be_u32(rest)? } else { (rest, 0) };
        let (rest, len) = be_u16(rest)?;
        let (rest, attrs) = take(usize::from(len))(rest)?;
        Ok((
            rest,
            RibEntry {
                peer_index,
                originated,
                path_id,
                attrs,
            },
        ))
    }
}
