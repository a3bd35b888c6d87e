//! The common header of a record (RFC 6396 §2) and the microseconds of _ET types (§3).

use super::code;
use crate::limits::MRT_RECORD_LEN_MAX;

/// Octets of the common header: timestamp, type, subtype, length.
pub const MRT_HEADER_LEN: usize = 12;
/// Octets of the microseconds in front of an _ET body (§3).
pub(super) const MICROS_LEN: usize = 4;

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MrtHeader {
    /// Seconds since 1970.
    pub timestamp: u32,
    /// Microseconds within the second, where the type has them. Those in the file may reach past a
    /// second; they are kept.
    pub micros: Option<u32>,
    /// Type, see [`code`].
    pub kind: u16,
    /// Subtype, of the type.
    pub subtype: u16,
    /// Octets behind the common header, as the record declares them.
    pub len: u32,
}

impl MrtHeader {
    /// The header at the start of `bytes`, microseconds not read; `None` under 12 octets.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<MrtHeader> {
        let (head, _) = bytes.split_first_chunk::<MRT_HEADER_LEN>()?;
        let [t0, t1, t2, t3, k0, k1, s0, s1, l0, l1, l2, l3] = *head;
        Some(MrtHeader {
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            micros: None,
            kind: u16::from_be_bytes([k0, k1]),
            subtype: u16::from_be_bytes([s0, s1]),
            len: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    /// True for types whose body begins with microseconds.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        matches!(
            self.kind,
            code::BGP4MP_ET | code::ISIS_ET | code::OSPF_V3_ET
        )
    }

    /// Octets behind the header; `None` where the length is over the limit.
    #[must_use]
    pub fn body_len(&self) -> Option<usize> {
        usize::try_from(self.len)
            .ok()
            .filter(|len| *len <= MRT_RECORD_LEN_MAX)
    }

    /// Octets in front of the body: the common header, and the microseconds of the types that have
    /// them.
    #[must_use]
    pub fn body_start(&self) -> usize {
        if self.is_extended() {
            MRT_HEADER_LEN.saturating_add(MICROS_LEN)
        } else {
            MRT_HEADER_LEN
        }
    }

    /// True where the type is a registered one in use; see [`MrtHeader::is_deprecated_type`] for
    /// those of old.
    #[must_use]
    pub fn is_known_type(&self) -> bool {
        self.type_name().is_some() && !self.is_deprecated_type()
    }

    /// True for types 0 to 10, deprecated before RFC 6396. Runs of zeros look
    /// like them, so the reader believes in one only where another header follows it.
    #[must_use]
    pub fn is_deprecated_type(&self) -> bool {
        self.kind <= code::DEPRECATED_MAX
    }

    /// True where these may well be a header's octets: what a resynchronisation looks for.
    pub(super) fn is_plausible(&self) -> bool {
        let known = self.type_name().is_some() && !self.is_blank();
        known && self.is_known_subtype() && self.body_len().is_some()
    }

    /// True where all octets are zero: a NULL record without a body could look so, and so does
    /// every hole in a file.
    pub(super) fn is_blank(&self) -> bool {
        (self.timestamp, self.kind, self.subtype, self.len) == (0, 0, 0, 0)
    }

    /// True for the types that hold BGP.
    pub(super) fn is_bgp(&self) -> bool {
        matches!(
            self.kind,
            code::TABLE_DUMP | code::TABLE_DUMP_V2 | code::BGP4MP | code::BGP4MP_ET
        )
    }

    fn is_known_subtype(&self) -> bool {
        match self.kind {
            code::TABLE_DUMP => (1..=4).contains(&self.subtype),
            code::TABLE_DUMP_V2 => (1..=12).contains(&self.subtype),
            code::BGP4MP | code::BGP4MP_ET => self.subtype <= 11,
            code::OSPF_V2 => self.subtype <= 1,
            // BGP and BGP4PLUS number their messages up to 7.
            0..=code::DEPRECATED_MAX => self.subtype <= 7,
            _ => self.subtype == 0,
        }
    }
}
