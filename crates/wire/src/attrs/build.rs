//! Building a canonical set from attributes on the wire.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

use super::as4::TwoOctet;
use super::table::{self, Place, Source};
use super::{
    AttrFlags, AttrMeta, AttrSetBuf, Attrs, EXTENDED_LENGTH, OPTIONAL, RawAttr, TRANSITIVE, code,
};
use crate::{Asn, NextHop, WireErrorKind};

/// A set of type codes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Codes([u64; 4]);

impl Codes {
    /// Adds `code`; false where it was there already.
    #[inline]
    pub(crate) fn insert(&mut self, code: u8) -> bool {
        let bit = 1u64.wrapping_shl(u32::from(code));
        let Some(word) = self.0.get_mut(usize::from(code >> 6)) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// True where `code` is in it.
    #[inline]
    pub(crate) fn has(&self, code: u8) -> bool {
        let bit = 1u64.wrapping_shl(u32::from(code));
        self.0
            .get(usize::from(code >> 6))
            .is_some_and(|word| word & bit != 0)
    }
}

/// What becomes of an attribute of a message in the set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    /// AS_PATH or AGGREGATOR of a two-octet speaker.
    Widen,
    Drop,
}

impl AttrSetBuf {
    /// Becomes the canonical set of a checked attribute block: `next_hop` has 0, 4, 16 or 32
    /// octets, and known attributes that are malformed are in `discarded`.
    ///
    /// Attributes mostly come in order and in normal form: runs of those are copied at once.
    pub(crate) fn build(
        &mut self,
        next_hop: &[u8],
        block: &[u8],
        source: Source,
        discarded: &Codes,
    ) {
        self.begin(next_hop);
        let two_octet = if source.as4 {
            TwoOctet::default()
        } else {
            collect_two_octet(block, discarded)
        };
        let mut seen = *discarded;
        let mut last = 0;
        let mut attrs = Attrs::new(block);
        let mut run = block;
        loop {
            let before = attrs.rest();
            let Some(attr) = attrs.next() else { break };
            let fate = if seen.insert(attr.code) {
                fate(&attr, source)
            } else {
                Fate::Drop
            };
            let flags = canonical_flags(&attr);
            if fate == Fate::Keep && flags == attr.flags && attr.code > last {
                last = attr.code;
                note(&mut self.meta, attr.code, attr.value);
                continue;
            }
            self.bytes.extend_from_slice(up_to(run, before));
            run = attrs.rest();
            match fate {
                Fate::Drop => continue,
                Fate::Keep => self.append(flags, &attr, last),
                Fate::Widen => self.append_widened(flags, &attr, &two_octet, last),
            }
            last = last.max(attr.code);
        }
        self.bytes.extend_from_slice(up_to(run, attrs.rest()));
        self.finish();
    }

    /// Becomes the canonical set of an attribute block as it stands in a message or an MRT record.
    ///
    /// `as4` tells whether AS numbers have four octets; AS4_PATH and AS4_AGGREGATOR are merged
    /// where not (RFC 6793 §4.2.3). Malformed known attributes and duplicates are left out;
    /// LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST stay. `next_hop` takes the place of NEXT_HOP;
    /// `None` leaves the set NEXT_HOP's own.
    pub fn set_block(&mut self, next_hop: Option<NextHop>, block: &[u8], as4: bool) {
        let source = Source {
            as4,
            external: false,
        };
        let mut discarded = Codes::default();
        let mut seen = Codes::default();
        let mut classic: &[u8] = &[];
        for attr in Attrs::new(block) {
            let row = table::lookup(attr.code);
            if !seen.insert(attr.code) {
                continue;
            }
            // BIRD dumps known attributes with flags of 0: only the value is judged.
            // And an AGGREGATOR of AS 0 was there, whatever a session would do with it (RFC 7607).
            let fault = row.check(row.flags, attr.value, source).filter(|fault| {
                attr.code != code::AGGREGATOR || fault.kind != WireErrorKind::BadValue
            });
            if fault.is_some() {
                discarded.insert(attr.code);
            } else if row.place == Place::NextHop {
                classic = attr.value;
            }
        }
        match next_hop {
            None => self.build(classic, block, source, &discarded),
            Some(NextHop::V4(addr)) => self.build(&addr.octets(), block, source, &discarded),
            Some(NextHop::V6(addr)) => self.build(&addr.octets(), block, source, &discarded),
            Some(NextHop::V6LinkLocal { global, link_local }) => {
                let mut octets = [0; 32];
                let (first, second) = octets.split_at_mut(16);
                first.copy_from_slice(&global.octets());
                second.copy_from_slice(&link_local.octets());
                self.build(&octets, block, source, &discarded);
            }
        }
    }

    /// Becomes the canonical set of `attrs`, in any order, with four-octet AS numbers. What has no
    /// place in a set is left out, malformed known attributes and duplicates too.
    pub fn set_parts<'x>(
        &mut self,
        next_hop: Option<NextHop>,
        attrs: impl Iterator<Item = RawAttr<'x>>,
    ) {
        self.begin(&[]);
        if let Some(next_hop) = next_hop {
            next_hop.write(&mut self.bytes);
            self.meta.next_hop_len = u8::try_from(self.bytes.len()).unwrap_or_default();
        }
        let mut seen = Codes::default();
        let mut last = 0;
        for attr in attrs {
            if attr.value.len() <= usize::from(u16::MAX) && admits(&attr) && seen.insert(attr.code)
            {
                self.append(canonical_flags(&attr), &attr, last);
                last = last.max(attr.code);
            }
        }
        self.finish();
    }

    fn begin(&mut self, next_hop: &[u8]) {
        debug_assert!(
            matches!(next_hop.len(), 0 | 4 | 16 | 32),
            "a next hop's octets"
        );
        let next_hop_len = u8::try_from(next_hop.len()).unwrap_or_default();
        self.meta = AttrMeta {
            next_hop_len,
            ..AttrMeta::default()
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(next_hop);
    }

    /// Appends an attribute in normal form and moves it to its place if others must come behind it.
    fn append(&mut self, flags: u8, attr: &RawAttr<'_>, last: u8) {
        let start = self.bytes.len();
        begin_attr(&mut self.bytes, flags, attr.code);
        self.bytes.extend_from_slice(attr.value);
        end_attr(&mut self.bytes, start);
        note(&mut self.meta, attr.code, attr.value);
        if attr.code < last {
            self.settle(start, attr.code);
        }
    }

    #[cold]
    fn append_widened(&mut self, flags: u8, attr: &RawAttr<'_>, with: &TwoOctet<'_>, last: u8) {
        let start = self.bytes.len();
        begin_attr(&mut self.bytes, flags, attr.code);
        if attr.code == code::AS_PATH {
            with.write_path(attr.value, &mut self.bytes);
        } else {
            with.write_aggregator(&mut self.bytes);
        }
        let value = self
            .bytes
            .get(start.saturating_add(3)..)
            .unwrap_or_default();
        note(&mut self.meta, attr.code, value);
        end_attr(&mut self.bytes, start);
        if attr.code < last {
            self.settle(start, attr.code);
        }
    }

    /// Moves the attribute that begins at `start` and ends the bytes to where its code belongs.
    pub(super) fn settle(&mut self, start: usize, code: u8) {
        let head = usize::from(self.meta.next_hop_len);
        let mut attrs = Attrs::new(self.bytes.get(head..start).unwrap_or_default());
        let behind = loop {
            let rest = attrs.rest().len();
            match attrs.next() {
                Some(attr) if attr.code < code => {}
                _ => break rest,
            }
        };
        let len = self.bytes.len().saturating_sub(start);
        let place = start.saturating_sub(behind);
        if let Some(tail) = self.bytes.get_mut(place..)
            && len <= tail.len()
        {
            tail.rotate_right(len);
        }
    }

    /// Fills what of the summary depends on where things ended up.
    fn finish(&mut self) {
        let attrs = self
            .bytes
            .get(usize::from(self.meta.next_hop_len)..)
            .unwrap_or_default();
        let mut walk = Attrs::new(attrs);
        let behind = loop {
            let rest = walk.rest().len();
            match walk.next() {
                Some(attr) if attr.code < code::NEXT_HOP => {}
                _ => break rest,
            }
        };
        let gap = self.bytes.len().saturating_sub(behind);
        debug_assert!(
            gap <= usize::from(u16::MAX),
            "AS_PATH_LEN_MAX keeps it in 16 bits"
        );
        self.meta.next_hop_gap = u16::try_from(gap).unwrap_or_default();
    }

    /// Reads the summary anew, after an edit.
    pub(super) fn rescan(&mut self) {
        let next_hop_len = self.meta.next_hop_len;
        self.meta = AttrMeta {
            next_hop_len,
            ..AttrMeta::default()
        };
        for attr in Attrs::new(
            self.bytes
                .get(usize::from(next_hop_len)..)
                .unwrap_or_default(),
        ) {
            note(&mut self.meta, attr.code, attr.value);
        }
        self.finish();
    }
}

/// True where an attribute with four-octet AS numbers may stand in a canonical set.
pub(super) fn admits(attr: &RawAttr<'_>) -> bool {
    let source = Source {
        as4: true,
        external: false,
    };
    let row = table::lookup(attr.code);
    row.check(attr.flags, attr.value, source).is_none() && fate(attr, source) == Fate::Keep
}

#[inline]
fn fate(attr: &RawAttr<'_>, source: Source) -> Fate {
    match table::lookup(attr.code).place {
        Place::Set if source.as4 => Fate::Keep,
        Place::Set if matches!(attr.code, code::AS_PATH | code::AGGREGATOR) => Fate::Widen,
        Place::Set => Fate::Keep,
        Place::Internal if !source.external => Fate::Keep,
        // Unknown non-transitive ones end here (RFC 4271 §5), and well-known ones do not exist.
        Place::Unknown if attr.flags & (OPTIONAL | TRANSITIVE) == OPTIONAL | TRANSITIVE => {
            Fate::Keep
        }
        _ => Fate::Drop,
    }
}

/// The flags octet of an attribute in a set, extended length only where it is needed.
#[inline]
pub(super) fn canonical_flags(attr: &RawAttr<'_>) -> u8 {
    let flags = table::lookup(attr.code).canonical_flags(attr.flags);
    if attr.value.len() > usize::from(u8::MAX) {
        flags | EXTENDED_LENGTH
    } else {
        flags
    }
}

/// The octets of `run` before `rest`, which is its end.
#[inline]
fn up_to<'a>(run: &'a [u8], rest: &[u8]) -> &'a [u8] {
    run.get(..run.len().saturating_sub(rest.len()))
        .unwrap_or_default()
}

fn collect_two_octet<'a>(block: &'a [u8], discarded: &Codes) -> TwoOctet<'a> {
    let mut found = TwoOctet::default();
    for attr in Attrs::new(block).filter(|attr| !discarded.has(attr.code)) {
        let slot = match attr.code {
            code::AGGREGATOR => &mut found.aggregator,
            code::AS4_PATH => &mut found.as4_path,
            code::AS4_AGGREGATOR => &mut found.as4_aggregator,
            _ => continue,
        };
        slot.get_or_insert(attr.value); // the first counts (RFC 7606 §3 g)
    }
    found
}

/// Appends an attribute's header; its value follows, then [`end_attr`].
#[inline]
pub(crate) fn begin_attr(out: &mut Vec<u8>, flags: u8, code: u8) {
    out.extend_from_slice(&[flags & !EXTENDED_LENGTH, code, 0]);
}

/// Writes the length of the attribute that began at `start` and ends `out`, in two octets where one
/// does not do. False, and the attribute gone, where two do not either.
#[inline]
pub(crate) fn end_attr(out: &mut Vec<u8>, start: usize) -> bool {
    let len = out.len().saturating_sub(start).saturating_sub(3);
    let Some([flags, _, field]) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) else {
        return false;
    };
    if let Ok(short) = u8::try_from(len) {
        *field = short;
        return true;
    }
    let Ok(long) = u16::try_from(len) else {
        out.truncate(start);
        return false;
    };
    let [high, low] = long.to_be_bytes();
    *flags |= EXTENDED_LENGTH;
    *field = high;
    out.insert(start.saturating_add(3), low);
    true
}

/// Enters a well-formed attribute into the summary.
#[inline]
fn note(meta: &mut AttrMeta, code: u8, value: &[u8]) {
    match (code, value) {
        (code::ORIGIN, [origin]) => meta.origin = *origin,
        (code::AS_PATH, path) => note_path(meta, path),
        (code::MED, [a, b, c, d]) => {
            meta.med = u32::from_be_bytes([*a, *b, *c, *d]);
            meta.flags.insert(AttrFlags::MED);
        }
        (code::LOCAL_PREF, [a, b, c, d]) => {
            meta.local_pref = u32::from_be_bytes([*a, *b, *c, *d]);
            meta.flags.insert(AttrFlags::LOCAL_PREF);
        }
        (code::COMMUNITIES, values) => note_communities(meta, values),
        (code::ORIGINATOR_ID, [_, _, _, _]) => meta.flags.insert(AttrFlags::ORIGINATOR_ID),
        (code::CLUSTER_LIST, ids) => {
            meta.cluster_len = u8::try_from(ids.len() / 4).unwrap_or(u8::MAX);
        }
        (code::OTC, _) => meta.flags.insert(AttrFlags::OTC),
        (code::EXTENDED_COMMUNITIES, values) => note_extended::<8>(meta, values),
        (code::IPV6_EXTENDED_COMMUNITIES, values) => note_extended::<20>(meta, values),
        _ => {}
    }
}

#[inline(never)]
fn note_extended<const WIDTH: usize>(meta: &mut AttrMeta, values: &[u8]) {
    let (values, _) = values.as_chunks::<WIDTH>();
    if values.iter().any(|value| stays_inside(value)) {
        meta.flags.insert(AttrFlags::NON_TRANSITIVE);
    }
}

/// True where an extended community is not transitive across an AS's edge: bit 6 of its first octet
/// (RFC 4360 §2, RFC 5701 §2).
#[inline]
pub(crate) fn stays_inside(value: &[u8]) -> bool {
    value.first().is_some_and(|kind| kind & 0x40 != 0)
}

#[inline]
fn note_path(meta: &mut AttrMeta, path: &[u8]) {
    meta.flags.insert(AttrFlags::AS_PATH);
    let mut rest = path;
    let mut first = true;
    let mut len = 0usize;
    while let Some((&[kind, count], tail)) = rest.split_first_chunk() {
        let count = usize::from(count);
        let Some((asns, tail)) = tail.split_at_checked(count.wrapping_mul(4)) else {
            break;
        };
        rest = tail;
        let (asns, _) = asns.as_chunks::<4>();
        // No early end: this way it is a vector operation.
        if asns.iter().fold(false, |zero, asn| zero | (*asn == [0; 4])) {
            meta.flags.insert(AttrFlags::AS_ZERO);
        }
        match (kind, asns) {
            (2, [nearest, ..]) => {
                len = len.saturating_add(count);
                if first {
                    meta.neighbor_as = Asn(u32::from_be_bytes(*nearest));
                }
            }
            (1, _) => {
                len = len.saturating_add(1);
                meta.flags.insert(AttrFlags::AS_SET);
            }
            (4, _) => meta.flags.insert(AttrFlags::CONFED_SET),
            _ => meta.flags.insert(AttrFlags::CONFEDERATION),
        }
        first = false;
    }
    meta.path_len = u16::try_from(len).unwrap_or(u16::MAX);
}

#[inline]
fn note_communities(meta: &mut AttrMeta, values: &[u8]) {
    let (values, _) = values.as_chunks::<4>();
    for value in values {
        // All that count lie in one block (RFC 1997, RFC 8642).
        if let [0xff, 0xff, high, low] = *value {
            meta.flags.insert(match u16::from_be_bytes([high, low]) {
                0x0000 => AttrFlags::GRACEFUL_SHUTDOWN,
                0x0006 => AttrFlags::LLGR_STALE,
                0x0007 => AttrFlags::NO_LLGR,
                0xff01 => AttrFlags::NO_EXPORT,
                0xff02 => AttrFlags::NO_ADVERTISE,
                0xff03 => AttrFlags::NO_EXPORT_SUBCONFED,
                _ => continue,
            });
        }
    }
}
