//! What each attribute looks like and what its errors mean, in one table (RFC 7606 §7 and the
//! attributes' own RFCs).

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

use super::{AsPath, OPTIONAL, PARTIAL, TRANSITIVE};
use crate::limits::AS_PATH_LEN_MAX;
use crate::{Asn, WireErrorKind};

/// One attribute type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// As the RFC spells it.
    pub(crate) name: &'static str,
    /// The Optional and Transitive bits that it must have; others mean treat-as-withdraw
    /// (RFC 7606 §3 c).
    pub(crate) flags: u8,
    /// What its value looks like.
    pub(crate) form: Form,
    /// What a malformed value means.
    pub(crate) malformed: Severity,
    /// Where it may come from and where it goes.
    pub(crate) place: Place,
}

/// The shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// So many octets.
    Exactly(u8),
    /// A multiple of so many octets, at least one.
    Multiple(u8),
    /// One octet, 0 to 2.
    Origin,
    /// Path segments in the session's AS number width.
    AsPath,
    /// Path segments of four-octet numbers, at least one.
    As4Path,
    /// An AS number in the session's width and an identifier.
    Aggregator,
    /// An AS number of four octets and an identifier.
    As4Aggregator,
    /// Not judged here.
    Any,
}

/// What an error of one attribute means, weakest first (RFC 7606 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Discard,
    Withdraw,
}

/// Whose attribute it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// From every peer, kept in the set.
    Set,
    /// From internal peers, kept in the set; discarded from external ones (RFC 7606 §7.5, 7.9,
    /// 7.10).
    Internal,
    /// NEXT_HOP: kept apart.
    NextHop,
    /// From peers with two-octet AS numbers, merged; discarded from others (RFC 6793 §4.1).
    TwoOctet,
    /// MP_REACH_NLRI and MP_UNREACH_NLRI.
    Multiprotocol,
    /// Not in the table.
    Unknown,
}

/// An error of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) severity: Severity,
    pub(crate) kind: WireErrorKind,
    /// Subcode of an UPDATE error (RFC 4271 §6.3), for where only a reset is left (RFC 7606 §5.2).
    pub(crate) subcode: u8,
}

/// Who sent the attributes, as far as it matters to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// AS numbers have four octets.
    pub(crate) as4: bool,
    /// From another AS.
    pub(crate) external: bool,
}

const fn row(name: &'static str, flags: u8, form: Form, malformed: Severity, place: Place) -> Row {
    Row {
        name,
        flags,
        form,
        malformed,
        place,
    }
}

const UNKNOWN: Row = row("", 0, Form::Any, Severity::Discard, Place::Unknown);

/// Rows by type code, with the RFC that says so: RFC 7606 where only a section stands. Padded to
/// columns: it is read as a table.
#[rustfmt::skip]
static TABLE: [Row; 36] = {
    use Form::{Aggregator, Any, As4Aggregator, As4Path, AsPath, Exactly, Multiple, Origin};
    use Place::{Internal, Multiprotocol, NextHop, Set, TwoOctet};
    use Severity::{Discard, Withdraw};
    const WELL_KNOWN: u8 = TRANSITIVE;
    const OPT: u8 = OPTIONAL;
    const OPT_TRANS: u8 = OPTIONAL | TRANSITIVE;

    let mut table = [UNKNOWN; 36];
    table[1]  = row("ORIGIN",           WELL_KNOWN, Origin,       Withdraw, Set);           // §7.1
    table[2]  = row("AS_PATH",          WELL_KNOWN, AsPath,       Withdraw, Set);           // §7.2
    table[3]  = row("NEXT_HOP",         WELL_KNOWN, Exactly(4),   Withdraw, NextHop);       // §7.3
    table[4]  = row("MULTI_EXIT_DISC",  OPT,        Exactly(4),   Withdraw, Set);           // §7.4
    table[5]  = row("LOCAL_PREF",       WELL_KNOWN, Exactly(4),   Withdraw, Internal);      // §7.5
    table[6]  = row("ATOMIC_AGGREGATE", WELL_KNOWN, Exactly(0),   Discard,  Set);           // §7.6
    table[7]  = row("AGGREGATOR",       OPT_TRANS,  Aggregator,   Discard,  Set);           // §7.7
    table[8]  = row("COMMUNITIES",      OPT_TRANS,  Multiple(4),  Withdraw, Set);           // §7.8
    table[9]  = row("ORIGINATOR_ID",    OPT,        Exactly(4),   Withdraw, Internal);      // §7.9
    table[10] = row("CLUSTER_LIST",     OPT,        Multiple(4),  Withdraw, Internal);      // §7.10
    table[14] = row("MP_REACH_NLRI",    OPT,        Any,          Withdraw, Multiprotocol); // §7.11
    table[15] = row("MP_UNREACH_NLRI",  OPT,        Any,          Withdraw, Multiprotocol); // §7.12
    table[16] = row("EXTENDED_COMMUNITIES", OPT_TRANS, Multiple(8), Withdraw, Set);         // §7.14
    // RFC 6793 §6, both
    table[17] = row("AS4_PATH",         OPT_TRANS,  As4Path,      Discard,  TwoOctet);
    table[18] = row("AS4_AGGREGATOR",   OPT_TRANS,  As4Aggregator, Discard, TwoOctet);
    table[25] = row("IPV6_EXTENDED_COMMUNITIES", OPT_TRANS, Multiple(20), Withdraw, Set);   // §7.15
    // RFC 8092 §6
    table[32] = row("LARGE_COMMUNITIES", OPT_TRANS, Multiple(12), Withdraw, Set);
    // RFC 9234 §5
    table[35] = row("ONLY_TO_CUSTOMER", OPT_TRANS,  Exactly(4),   Withdraw, Set);
    table
};

/// The row of a type code.
#[inline]
pub(crate) fn lookup(code: u8) -> &'static Row {
    TABLE.get(usize::from(code)).unwrap_or(&UNKNOWN)
}

/// The name of a type code, if this speaker knows it.
#[must_use]
pub fn name(code: u8) -> Option<&'static str> {
    Some(lookup(code).name).filter(|name| !name.is_empty())
}

impl Row {
    /// The error of an attribute of this type, if it has one. Asked for each attribute of each message:
    /// out of line it takes a tenth of the whole parse.
    #[inline(always)]
    pub(crate) fn check(&self, flags: u8, value: &[u8], source: Source) -> Option<Fault> {
        match self.place {
            Place::Unknown => return None,
            Place::Internal if source.external => return Some(MISPLACED),
            Place::TwoOctet if source.as4 => return Some(MISPLACED),
            _ => {}
        }
        if (flags ^ self.flags) & (OPTIONAL | TRANSITIVE) != 0 {
            return Some(fault(Severity::Withdraw, WireErrorKind::BadFlags, 4));
        }
        let (kind, subcode) = self.form.check(value, source)?;
        Some(fault(self.malformed, kind, subcode))
    }

    /// The flags octet in a canonical set: Partial stays where somebody set it (RFC 4271 §5).
    #[inline]
    pub(crate) fn canonical_flags(&self, flags: u8) -> u8 {
        if self.place == Place::Unknown {
            OPTIONAL | TRANSITIVE | PARTIAL
        } else if self.flags == OPTIONAL | TRANSITIVE {
            self.flags | (flags & PARTIAL)
        } else {
            self.flags
        }
    }
}

impl Form {
    #[inline(always)]
    fn check(self, value: &[u8], source: Source) -> Option<(WireErrorKind, u8)> {
        let fits = match self {
            Form::Any => true,
            Form::Exactly(len) => value.len() == usize::from(len),
            Form::Multiple(unit) => {
                !value.is_empty() && value.len().checked_rem(usize::from(unit)) == Some(0)
            }
            Form::Aggregator => {
                return check_aggregator(value, if source.as4 { 4 } else { 2 });
            }
            Form::As4Aggregator => return check_aggregator(value, 4),
            Form::Origin => match value {
                [0..=2] => true,
                [_] => return Some((WireErrorKind::BadValue, 6)),
                _ => false,
            },
            Form::AsPath => return check_path(value, source),
            Form::As4Path => return check_as4_path(value),
        };
        (!fits).then_some((WireErrorKind::BadLength, 5))
    }
}

const MISPLACED: Fault = fault(Severity::Discard, WireErrorKind::Misplaced, 0);

const fn fault(severity: Severity, kind: WireErrorKind, subcode: u8) -> Fault {
    Fault {
        severity,
        kind,
        subcode,
    }
}

/// AGGREGATOR and AS4_AGGREGATOR, their AS numbers of `width` octets. AS 0 aggregates nothing
/// (RFC 7607 §2): the attribute goes, the route stays.
#[inline(never)]
fn check_aggregator(value: &[u8], width: usize) -> Option<(WireErrorKind, u8)> {
    if value.len() != width.saturating_add(4) {
        return Some((WireErrorKind::BadLength, 5));
    }
    let zero = value.iter().take(width).all(|octet| *octet == 0);
    zero.then_some((WireErrorKind::BadValue, 9))
}

/// AS 0 is malformed here, too (RFC 7607 §2): AS_PATH alone then says the way. Few speakers still send it,
/// so it stays out of the way of the others.
#[cold]
#[inline(never)]
fn check_as4_path(value: &[u8]) -> Option<(WireErrorKind, u8)> {
    let whole = !value.is_empty() && segments(value, 4, 4).is_some();
    if !whole || AsPath::new(value).asns().any(|asn| asn == Asn::ZERO) {
        return Some((WireErrorKind::BadValue, 9));
    }
    (value.len() > AS_PATH_LEN_MAX).then_some((WireErrorKind::BadLength, 5))
}

#[inline]
fn check_path(value: &[u8], source: Source) -> Option<(WireErrorKind, u8)> {
    // Confederation segments are malformed from an external peer (RFC 5065 §5, RFC 7606 §7.2): this
    // speaker is in no confederation.
    let kind_max = if source.external { 2 } else { 4 };
    let width = if source.as4 { 4 } else { 2 };
    let Some(segments) = segments(value, width, kind_max) else {
        return Some((WireErrorKind::BadValue, 11));
    };
    let len = if source.as4 {
        value.len()
    } else {
        value.len().saturating_sub(segments).saturating_mul(2) // once the numbers have four octets
    };
    (len > AS_PATH_LEN_MAX).then_some((WireErrorKind::TooLarge, 11))
}

/// How many segments; `None` where not all are whole, of known types and not empty (RFC 7606 §7.2).
#[inline]
fn segments(value: &[u8], width: usize, kind_max: u8) -> Option<usize> {
    let mut rest = value;
    let mut segments = 0usize;
    while let Some((&[kind, count], tail)) = rest.split_first_chunk() {
        if kind == 0 || kind > kind_max || count == 0 {
            return None;
        }
        rest = tail.get(usize::from(count).wrapping_mul(width)..)?;
        segments = segments.wrapping_add(1);
    }
    rest.is_empty().then_some(segments)
}
