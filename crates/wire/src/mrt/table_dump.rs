//! TABLE_DUMP (RFC 6396 §4.2): the first RIB format, two-octet AS numbers.
//!
//! The RFC puts one entry into a record. Collectors of before about 2001 put many entries of one
//! prefix run behind one view and sequence number, and declared a length that leaves out those four
//! octets; [`extent`] tells the forms apart.

use std::net::IpAddr;

use super::code::table_dump as subtype;
use super::peers::address;
use crate::reader::{IResult, be_u8, be_u16, be_u32, error, located, take};
use crate::{Asn, Field, Prefix, WireError, WireErrorKind};

/// Octets of view and sequence number, which old collectors left out of the length.
const PREAMBLE_LEN: usize = 4;

/// A record: entries of one view.
#[derive(Clone, Copy, Debug)]
pub struct TableDump<'a> {
    /// View number, 0 mostly.
    pub view: u16,
    /// Counts the records of a dump; wraps around.
    pub sequence: u16,
    ipv6: bool,
    entries: &'a [u8],
}

/// One path of one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDumpEntry<'a> {
    /// The prefix.
    pub prefix: Prefix,
    /// Unused, 1 by the RFC.
    pub status: u8,
    /// When the route was learned, seconds since 1970.
    pub originated: u32,
    /// The peer's address.
    pub peer_addr: IpAddr,
    /// The peer's AS number.
    pub peer_as: Asn,
    /// Path attributes with two-octet AS numbers. See [`super::rib_entry_attrs`].
    pub attrs: &'a [u8],
}

impl<'a> TableDump<'a> {
    pub(super) fn parse(code: u16, body: &'a [u8]) -> Result<Self, WireError> {
        Self::read(code == subtype::IPV6, body)
            .map_err(|error| located(&error, body, Field::MrtBody))
    }

    fn read(ipv6: bool, body: &'a [u8]) -> Result<Self, nom::Err<WireError>> {
        let (rest, view) = be_u16(body)?;
        let (entries, sequence) = be_u16(rest)?;
        let (mut rest, _) = entry(ipv6)(entries)?;
        while !rest.is_empty() {
            (rest, _) = entry(ipv6)(rest)?;
        }
        Ok(TableDump {
            view,
            sequence,
            ipv6,
            entries,
        })
    }

    /// The entries: one, or a batch in the files of old collectors.
    pub fn entries(&self) -> impl Iterator<Item = TableDumpEntry<'a>> + 'a {
        let mut rest = self.entries;
        let one = entry(self.ipv6);
        std::iter::from_fn(move || {
            let (tail, entry) = one(rest).ok()?;
            rest = tail;
            Some(entry)
        })
    }
}

/// How many octets of `rest` belong to a record that declares `len`: `len`, or four more where the
/// entries end there and not at `len`. `None` where they end at neither.
pub(super) fn extent(code: u16, rest: &[u8], len: usize) -> Option<usize> {
    let long = len.checked_add(PREAMBLE_LEN)?;
    [len, long].into_iter().find(|end| {
        rest.get(..*end)
            .is_some_and(|body| TableDump::read(code == subtype::IPV6, body).is_ok())
    })
}

/// The octets that [`extent`] may reach past the declared length.
pub(super) const EXTENT_SLACK: usize = PREAMBLE_LEN;

fn entry(ipv6: bool) -> impl Fn(&[u8]) -> IResult<'_, TableDumpEntry<'_>> {
    move |input| {
        let (rest, addr) = address(ipv6)(input)?;
        let (rest, len) = be_u8(rest)?;
        let (rest, status) = be_u8(rest)?;
        let (rest, originated) = be_u32(rest)?;
        let (rest, peer_addr) = address(ipv6)(rest)?;
        let (rest, peer_as) = be_u16(rest)?;
        let (rest, attrs_len) = be_u16(rest)?;
        let (rest, attrs) = take(usize::from(attrs_len))(rest)?;
        let bad = || nom::Err::Error(error(input, Field::MrtBody, WireErrorKind::BadValue));
        let prefix = Prefix::new(addr, len).ok_or_else(bad)?;
        let peer_as = Asn(peer_as.into());
        Ok((
            rest,
            TableDumpEntry {
                prefix,
                status,
                originated,
                peer_addr,
                peer_as,
                attrs,
            },
        ))
    }
}
