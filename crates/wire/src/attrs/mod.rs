//! Path attributes: the table, the canonical set, its views and its editor.
//!
//! The canonical set is what routes are stored and compared by: one byte string for equal
//! attributes. It holds, in this order, the next hop's octets ([`AttrMeta::next_hop_len`] of
//! them) and the attributes as on the wire, ascending by type code, 4-octet AS numbers, without
//! NEXT_HOP, MP_REACH_NLRI, MP_UNREACH_NLRI, AS4_PATH and AS4_AGGREGATOR. Flags are normal:
//! extended length only where the value needs it, Partial on unknown transitive attributes,
//! unknown non-transitive ones gone.

mod as4;
mod as_path;
mod build;
mod edit;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod view;

use triomphe::ThinArc;

pub(crate) use as_path::write_prepended;
pub use as_path::{AsPath, Asns, SegmentType, Segments};
pub(crate) use as4::{drop_confederation, narrow};
pub(crate) use build::{Codes, begin_attr, end_attr, stays_inside};
pub use edit::CommunityValue;
pub use table::name;
pub use view::Attrs;

use crate::Asn;

/// Attribute type codes (IANA "BGP Path Attributes").
pub mod code {
    /// RFC 4271 §5.1.1.
    pub const ORIGIN: u8 = 1;
    /// RFC 4271 §5.1.2.
    pub const AS_PATH: u8 = 2;
    /// RFC 4271 §5.1.3.
    pub const NEXT_HOP: u8 = 3;
    /// RFC 4271 §5.1.4.
    pub const MED: u8 = 4;
    /// RFC 4271 §5.1.5.
    pub const LOCAL_PREF: u8 = 5;
    /// RFC 4271 §5.1.6.
    pub const ATOMIC_AGGREGATE: u8 = 6;
    /// RFC 4271 §5.1.7.
    pub const AGGREGATOR: u8 = 7;
    /// RFC 1997.
    pub const COMMUNITIES: u8 = 8;
    /// RFC 4456 §8.
    pub const ORIGINATOR_ID: u8 = 9;
    /// RFC 4456 §8.
    pub const CLUSTER_LIST: u8 = 10;
    /// RFC 4760 §3.
    pub const MP_REACH_NLRI: u8 = 14;
    /// RFC 4760 §4.
    pub const MP_UNREACH_NLRI: u8 = 15;
    /// RFC 4360.
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// RFC 6793.
    pub const AS4_PATH: u8 = 17;
    /// RFC 6793.
    pub const AS4_AGGREGATOR: u8 = 18;
    /// RFC 5701.
    pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    /// RFC 8092.
    pub const LARGE_COMMUNITIES: u8 = 32;
    /// RFC 9234 §5.
    pub const OTC: u8 = 35;
}

/// Flags octet: optional (RFC 4271 §4.3).
pub const OPTIONAL: u8 = 0x80;
/// Flags octet: transitive.
pub const TRANSITIVE: u8 = 0x40;
/// Flags octet: partial.
pub const PARTIAL: u8 = 0x20;
/// Flags octet: the length has two octets.
pub const EXTENDED_LENGTH: u8 = 0x10;

/// What the decision process and the filters ask of a set, read once when it is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttrMeta {
    /// LOCAL_PREF; meaningful with [`AttrFlags::LOCAL_PREF`].
    pub local_pref: u32,
    /// MULTI_EXIT_DISC, 0 where absent; see [`AttrFlags::MED`].
    pub med: u32,
    /// The neighbour AS that MEDs compare within: the first AS of the path where that segment is a
    /// sequence, else 0 (RFC 4271 §9.1.2.2 c).
    pub neighbor_as: Asn,
    /// AS_PATH length for comparison: an AS_SET counts 1, confederation segments 0.
    pub path_len: u16,
    /// Offset in the bytes where NEXT_HOP belongs: behind ORIGIN and AS_PATH.
    pub next_hop_gap: u16,
    /// Facts in bits.
    pub flags: AttrFlags,
    /// CLUSTER_LIST length in entries.
    pub cluster_len: u8,
    /// ORIGIN: 0 IGP, 1 EGP, 2 INCOMPLETE.
    pub origin: u8,
    /// Octets of next hop at the start of the bytes: 0, 4, 16 or 32.
    pub next_hop_len: u8,
}

const _: () = assert!(size_of::<AttrMeta>() <= 24);

/// Facts about a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttrFlags(pub u16);

impl AttrFlags {
    /// LOCAL_PREF is present.
    pub const LOCAL_PREF: AttrFlags = AttrFlags(1);
    /// MULTI_EXIT_DISC is present.
    pub const MED: AttrFlags = AttrFlags(1 << 1);
    /// ORIGINATOR_ID is present.
    pub const ORIGINATOR_ID: AttrFlags = AttrFlags(1 << 2);
    /// AS_PATH holds an AS_SET or AS_CONFED_SET (RFC 9774).
    pub const AS_SET: AttrFlags = AttrFlags(1 << 3);
    /// AS_PATH holds AS 0 (RFC 7607).
    pub const AS_ZERO: AttrFlags = AttrFlags(1 << 4);
    /// AS_PATH holds a confederation segment (RFC 5065).
    pub const CONFEDERATION: AttrFlags = AttrFlags(1 << 5);
    /// NO_EXPORT (RFC 1997).
    pub const NO_EXPORT: AttrFlags = AttrFlags(1 << 6);
    /// NO_ADVERTISE (RFC 1997).
    pub const NO_ADVERTISE: AttrFlags = AttrFlags(1 << 7);
    /// NO_EXPORT_SUBCONFED (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: AttrFlags = AttrFlags(1 << 8);
    /// GRACEFUL_SHUTDOWN (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: AttrFlags = AttrFlags(1 << 9);
    /// LLGR_STALE (RFC 9494).
    pub const LLGR_STALE: AttrFlags = AttrFlags(1 << 10);
    /// NO_LLGR (RFC 9494).
    pub const NO_LLGR: AttrFlags = AttrFlags(1 << 11);
    /// Only to Customer is present (RFC 9234).
    pub const OTC: AttrFlags = AttrFlags(1 << 12);
    /// AS_PATH is present (it may be empty).
    pub const AS_PATH: AttrFlags = AttrFlags(1 << 13);
    /// An extended community that stays within the AS (RFC 4360 §6), of whichever kind.
    pub const NON_TRANSITIVE: AttrFlags = AttrFlags(1 << 14);

    /// Both kinds of [`AttrFlags::AS_SET`] and [`AttrFlags::CONFEDERATION`] at once.
    const CONFED_SET: AttrFlags = AttrFlags(Self::AS_SET.0 | Self::CONFEDERATION.0);

    /// Sets the bits of `other`.
    pub(crate) const fn insert(&mut self, other: AttrFlags) {
        self.0 |= other.0;
    }

    /// True where all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: AttrFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A stored canonical set: one allocation, shared by count.
#[derive(Clone, Debug)]
pub struct AttrSet(ThinArc<AttrMeta, u8>);

/// A canonical set, borrowed: stored, or in a scratch buffer.
///
/// Two are equal where the bytes and [`AttrMeta::next_hop_len`] are: the bytes alone do not tell
/// where the next hop ends.
#[derive(Clone, Copy, Debug)]
pub struct AttrSetRef<'a> {
    /// The summary.
    pub meta: &'a AttrMeta,
    /// Next hop and attributes.
    pub bytes: &'a [u8],
}

/// Scratch in which sets are built and edited; its storage is reused.
#[derive(Clone, Debug, Default)]
pub struct AttrSetBuf {
    meta: AttrMeta,
    bytes: Vec<u8>,
}

/// One attribute of a canonical set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttr<'a> {
    /// The flags octet.
    pub flags: u8,
    /// Type code.
    pub code: u8,
    /// Value.
    pub value: &'a [u8],
}

impl AttrSet {
    /// Stores a copy of a set.
    #[must_use]
    pub fn new(set: AttrSetRef<'_>) -> Self {
        AttrSet(ThinArc::from_header_and_slice(*set.meta, set.bytes))
    }

    /// True where both are one allocation.
    #[must_use]
    pub fn is_same(&self, other: &AttrSet) -> bool {
        std::ptr::eq(self.meta(), other.meta())
    }

    /// A view of it.
    #[must_use]
    pub fn as_ref(&self) -> AttrSetRef<'_> {
        AttrSetRef {
            meta: &self.0.header.header,
            bytes: &self.0.slice,
        }
    }

    /// The summary.
    #[must_use]
    pub fn meta(&self) -> &AttrMeta {
        &self.0.header.header
    }
}

impl AttrSetBuf {
    /// A view of what it holds.
    #[must_use]
    pub fn as_ref(&self) -> AttrSetRef<'_> {
        AttrSetRef {
            meta: &self.meta,
            bytes: &self.bytes,
        }
    }
}
