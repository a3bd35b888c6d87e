//! Path attributes of RIB entries, as they stand and as canonical sets.

use crate::attrs::{AttrSetBuf, AttrSetRef, Attrs, code};
use crate::reader::{IResult, be_u8, be_u16, located, take};
use crate::{AfiSafi, Field, NextHop, WireError, WireErrorKind};

/// MP_REACH_NLRI, whole or as RIB entries abbreviate it (RFC 6396 §4.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpReach<'a> {
    /// The family; `None` in the abbreviated form, where the record tells it.
    pub family: Option<AfiSafi>,
    /// The next hop's octets.
    pub next_hop: &'a [u8],
    /// The NLRI; empty in the abbreviated form.
    pub nlri: &'a [u8],
}

impl<'a> MpReach<'a> {
    /// Reads a value of the full form (RFC 4760 §3), as in UPDATE messages.
    ///
    /// # Errors
    /// The value ends too early.
    pub fn parse(value: &'a [u8]) -> Result<Self, WireError> {
        let field = Field::Attribute(code::MP_REACH_NLRI);
        Self::full(value)
            .map(|(_, reach)| reach)
            .map_err(|error| located(&error, value, field))
    }

    /// Reads a value of a RIB entry: the abbreviated form, or the full one, which some collectors
    /// write all the same. The forms cannot be confused: the abbreviated one starts with a length,
    /// the full one with the zero of its AFI.
    ///
    /// # Errors
    /// The value is neither.
    pub fn parse_rib(value: &'a [u8]) -> Result<Self, WireError> {
        match value.split_first() {
            Some((len, next_hop)) if usize::from(*len) == next_hop.len() => Ok(MpReach {
                family: None,
                next_hop,
                nlri: &[],
            }),
            _ => Self::parse(value),
        }
    }

    fn full(value: &'a [u8]) -> IResult<'a, Self> {
        let (rest, afi) = be_u16(value)?;
        let (rest, safi) = be_u8(rest)?;
        let (rest, len) = be_u8(rest)?;
        let (rest, next_hop) = take(usize::from(len))(rest)?;
        let (nlri, _reserved) = be_u8(rest)?;
        Ok((
            &[],
            MpReach {
                family: Some(AfiSafi { afi, safi }),
                next_hop,
                nlri,
            },
        ))
    }
}

/// Makes the canonical set of a RIB entry's attributes in `out`, whose storage is reused.
///
/// `as4`: AS numbers have four octets, as in TABLE_DUMP_V2; two in TABLE_DUMP. Every attribute that
/// a set may hold is kept, LOCAL_PREF and the reflection attributes included: what a session of one
/// kind or another would drop is the caller's matter. The next hop is that of MP_REACH_NLRI, else
/// NEXT_HOP; a dump may lack both.
///
/// # Errors
/// The block of attributes does not end where its last attribute does, or MP_REACH_NLRI is
/// malformed. Other malformed attributes are left out, as in [`AttrSetBuf::set_block`].
pub fn rib_entry_attrs<'s>(
    attrs: &[u8],
    as4: bool,
    out: &'s mut AttrSetBuf,
) -> Result<AttrSetRef<'s>, WireError> {
    let mut next_hop = None;
    let mut walk = Attrs::new(attrs);
    for attr in walk.by_ref() {
        if attr.code == code::MP_REACH_NLRI && next_hop.is_none() {
            next_hop = NextHop::from_octets(MpReach::parse_rib(attr.value)?.next_hop);
        }
    }
    if !walk.rest().is_empty() {
        let offset = attrs.len().saturating_sub(walk.rest().len());
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let kind = WireErrorKind::Truncated;
        return Err(WireError {
            field: Field::PathAttributes,
            kind,
            offset,
        });
    }
    out.set_block(next_hop, attrs, as4);
    Ok(out.as_ref())
}
