//! Four-octet AS numbers from and toward two-octet speakers (RFC 6793).

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

use super::{AsPath, SegmentType};
use crate::Asn;
use crate::limits::AS_PATH_LEN_MAX;

/// The attributes of a two-octet speaker's UPDATE that are read together (RFC 6793 §4.2.3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TwoOctet<'a> {
    /// AGGREGATOR, six octets.
    pub(super) aggregator: Option<&'a [u8]>,
    /// AS4_AGGREGATOR, eight octets.
    pub(super) as4_aggregator: Option<&'a [u8]>,
    /// AS4_PATH.
    pub(super) as4_path: Option<&'a [u8]>,
}

impl<'a> TwoOctet<'a> {
    /// Whether AS4_PATH and AS4_AGGREGATOR count: not where both kinds of aggregator are there
    /// and the old one names another AS than AS_TRANS, for then a two-octet speaker has
    /// aggregated anew.
    fn new_counts(&self) -> bool {
        match (self.aggregator, self.as4_aggregator) {
            (Some([high, low, ..]), Some(_)) => {
                u16::from_be_bytes([*high, *low]) == Asn::TRANS.to_as2()
            }
            _ => true,
        }
    }

    /// Appends the AGGREGATOR that counts, eight octets.
    pub(super) fn write_aggregator(&self, out: &mut Vec<u8>) {
        let Some((asn, id)) = self.aggregator.and_then(<[u8]>::split_first_chunk::<2>) else {
            return;
        };
        match self.as4_aggregator.filter(|_| self.new_counts()) {
            Some(value) => out.extend_from_slice(value),
            None => {
                let [high, low] = *asn;
                out.extend_from_slice(&[0, 0, high, low]);
                out.extend_from_slice(id);
            }
        }
    }

    /// Appends the AS_PATH that counts, four octets a number, from the two-octet `old`.
    pub(super) fn write_path(&self, old: &'a [u8], out: &mut Vec<u8>) {
        let from = out.len();
        let new = AsPath::new(self.as4_path.unwrap_or_default());
        let old_len = Segments2 { rest: old }.map(|(kind, asns)| counted(kind, asns.len() / 2));
        let ahead = old_len.sum::<usize>().checked_sub(new.path_len());
        // A path of no counted number says nothing; one longer than AS_PATH is not to be trusted.
        if let Some(ahead) = ahead.filter(|_| new.path_len() > 0 && self.new_counts()) {
            write_leading(old, ahead, out);
            append_joined(new, from, out);
            if out.len().saturating_sub(from) <= AS_PATH_LEN_MAX {
                return;
            }
            out.truncate(from);
        }
        for (kind, asns) in (Segments2 { rest: old }) {
            write_wide(kind, asns, out);
        }
    }
}

/// What a segment of `asns` numbers counts (RFC 4271 §9.1.2.2 a, RFC 5065 §5.3).
fn counted(kind: SegmentType, asns: usize) -> usize {
    match kind {
        SegmentType::Sequence => asns,
        SegmentType::Set => 1,
        SegmentType::ConfedSequence | SegmentType::ConfedSet => 0,
    }
}

/// Segments of a path in two-octet numbers: type and the numbers' octets.
struct Segments2<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Segments2<'a> {
    type Item = (SegmentType, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, count], rest) = self.rest.split_first_chunk()?;
        let kind = SegmentType::from_code(kind)?;
        let (asns, rest) = rest.split_at_checked(usize::from(count).wrapping_mul(2))?;
        self.rest = rest;
        Some((kind, asns))
    }
}

/// Writes as much of `old`'s front as counts `left`; confederation segments there go along.
fn write_leading(old: &[u8], mut left: usize, out: &mut Vec<u8>) {
    for (kind, asns) in (Segments2 { rest: old }) {
        let here = counted(kind, asns.len() / 2);
        if kind.is_confederation() || (here > 0 && here <= left) {
            write_wide(kind, asns, out);
            left = left.saturating_sub(here);
            continue;
        }
        if kind == SegmentType::Sequence && left > 0 {
            write_wide(
                kind,
                asns.get(..left.saturating_mul(2)).unwrap_or_default(),
                out,
            );
        }
        return;
    }
}

/// Appends `new` without confederation segments, which it must not hold (RFC 6793 §6). Sequences
/// that meet at the joint become one: the split is an artefact.
fn append_joined(new: AsPath<'_>, from: usize, out: &mut Vec<u8>) {
    let last = last_segment(out.get(from..).unwrap_or_default());
    let mut last = last.map(|(at, count)| (from.saturating_add(at), count));
    for (kind, asns) in new.segments().filter(|(kind, _)| !kind.is_confederation()) {
        let count = u8::try_from(asns.len()).unwrap_or(u8::MAX);
        let joined = last.take().filter(|_| kind == SegmentType::Sequence);
        match joined.and_then(|(at, before)| Some((at, before.checked_add(count)?))) {
            Some((at, sum)) => {
                if let Some(field) = out.get_mut(at.saturating_add(1)) {
                    *field = sum;
                }
            }
            None => out.extend_from_slice(&[kind as u8, count]),
        }
        out.extend_from_slice(asns.as_bytes());
    }
}

/// Offset and count of the last segment of a four-octet path, where it is a sequence.
fn last_segment(path: &[u8]) -> Option<(usize, u8)> {
    let mut at = 0usize;
    let mut last = None;
    for (kind, asns) in AsPath::new(path).segments() {
        let count = u8::try_from(asns.len()).unwrap_or(u8::MAX);
        last = (kind == SegmentType::Sequence).then_some((at, count));
        at = at.saturating_add(2).saturating_add(asns.as_bytes().len());
    }
    last
}

/// Appends a segment, its two-octet numbers made four.
fn write_wide(kind: SegmentType, asns: &[u8], out: &mut Vec<u8>) {
    let (asns, _) = asns.as_chunks::<2>();
    out.extend_from_slice(&[kind as u8, u8::try_from(asns.len()).unwrap_or(u8::MAX)]);
    for [high, low] in asns {
        out.extend_from_slice(&[0, 0, *high, *low]);
    }
}

/// Makes the four-octet path in `out[from..]` a two-octet one in place, AS_TRANS for what does
/// not fit.
pub(crate) fn narrow(out: &mut Vec<u8>, from: usize) {
    let mut read = from;
    let mut write = from;
    while let Some((&[kind, count], _)) = out.get(read..).and_then(<[u8]>::split_first_chunk) {
        put(out, write, [kind, count]);
        read = read.saturating_add(2);
        write = write.saturating_add(2);
        for _ in 0..count {
            let asn = out.get(read..).and_then(<[u8]>::first_chunk::<4>);
            let asn = asn.map_or(Asn::ZERO, |octets| Asn(u32::from_be_bytes(*octets)));
            put(out, write, asn.to_as2().to_be_bytes());
            read = read.saturating_add(4);
            write = write.saturating_add(2);
        }
    }
    out.truncate(write);
}

/// Takes the confederation segments out of the four-octet path in `out[from..]`, in place.
pub(crate) fn drop_confederation(out: &mut Vec<u8>, from: usize) {
    let mut read = from;
    let mut write = from;
    while let Some((&[kind, count], _)) = out.get(read..).and_then(<[u8]>::split_first_chunk) {
        let len = usize::from(count).wrapping_mul(4).saturating_add(2);
        let end = read.saturating_add(len);
        if end > out.len() {
            break;
        }
        if !SegmentType::from_code(kind).is_some_and(SegmentType::is_confederation) {
            out.copy_within(read..end, write);
            write = write.saturating_add(len);
        }
        read = end;
    }
    out.truncate(write);
}

fn put(out: &mut [u8], at: usize, octets: [u8; 2]) {
    if let Some(field) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = octets;
    }
}
