//! Packing NLRI into messages, as many as fit (RFC 4271 §4.3, RFC 4760 §3 and §4).

use std::net::Ipv4Addr;
use std::ops::Range;

use super::{Encoding, Rewrite, Unsendable, derive};
use crate::attrs::{AttrSetRef, EXTENDED_LENGTH, OPTIONAL, code};
use crate::header::{self, MessageType, put_u16};
use crate::limits::HEADER_LEN;
use crate::{Family, NextHop, Nlri, PrefixKey};

/// What stands around the NLRI of each message. `begin` and `end` are called in turns.
pub(super) trait Envelope {
    /// Appends what comes before the NLRI; returns where the message begins.
    fn begin(&mut self, out: &mut Vec<u8>) -> usize;
    /// Octets that `end` appends.
    fn behind(&self) -> usize;
    /// Ends the message that began at `start`.
    fn end(&mut self, out: &mut Vec<u8>, start: usize);
    /// After the last message.
    fn close(self, out: &mut Vec<u8>);
}

/// Appends messages; returns how many. `TooLarge` where not one NLRI of the family is sure to fit;
/// then `out` holds a torn message.
pub(super) fn pack<P: PrefixKey>(
    out: &mut Vec<u8>,
    mut envelope: impl Envelope,
    encoding: &Encoding,
    first: Nlri<P>,
    mut rest: impl Iterator<Item = Nlri<P>>,
) -> Result<usize, Unsendable> {
    let ahead = if encoding.add_path { 4 } else { 0 };
    let widest = ahead + 1 + usize::from(P::MAX_LEN / 8);
    let mut messages = 0;
    let mut waiting = Some(first);
    while let Some(mut nlri) = waiting {
        let start = envelope.begin(out);
        let end = start + usize::from(encoding.max_len);
        if out.len() + envelope.behind() + widest > end {
            return Err(Unsendable::TooLarge);
        }
        let end = end - envelope.behind();
        waiting = loop {
            write_nlri(out, nlri, encoding.add_path);
            match rest.next() {
                Some(next) => nlri = next,
                None => break None,
            }
            let octets = ahead + 1 + usize::from(nlri.prefix.prefix_len().div_ceil(8));
            if out.len() + octets > end {
                break Some(nlri);
            }
        };
        envelope.end(out, start);
        messages += 1;
    }
    envelope.close(out);
    Ok(messages)
}

/// Writes all of the address and cuts what the length does not need: no branch on the length.
#[inline]
fn write_nlri<P: PrefixKey>(out: &mut Vec<u8>, nlri: Nlri<P>, add_path: bool) {
    if add_path {
        out.extend_from_slice(&nlri.path_id.to_be_bytes());
    }
    let len = nlri.prefix.prefix_len();
    let end = out.len() + 1 + usize::from(len.div_ceil(8));
    let octets = nlri.prefix.octets();
    match (P::FAMILY, octets) {
        (Family::Ipv4, [a, b, c, d, ..]) => out.extend_from_slice(&[len, a, b, c, d]),
        (Family::Ipv6, _) => {
            let mut whole = [len; 17];
            let [_, address @ ..] = &mut whole;
            *address = octets;
            out.extend_from_slice(&whole);
        }
    }
    out.truncate(end);
}

/// IPv4 with NEXT_HOP. The attributes stand in the first message and are copied from there.
pub(super) struct Classic {
    front: Range<usize>,
    first: bool,
}

impl Classic {
    pub(super) fn begin(
        out: &mut Vec<u8>,
        set: AttrSetRef<'_>,
        rewrite: &Rewrite,
        encoding: &Encoding,
        hop: Ipv4Addr,
    ) -> Result<Self, Unsendable> {
        let start = header::begin(out, MessageType::Update);
        out.extend_from_slice(&[0; 4]);
        let attrs = out.len();
        derive::write_attrs(out, set, rewrite, encoding, Some(hop))?;
        put_len(out, attrs - 2);
        Ok(Classic {
            front: start..out.len(),
            first: true,
        })
    }
}

impl Envelope for Classic {
    #[inline]
    fn begin(&mut self, out: &mut Vec<u8>) -> usize {
        if std::mem::take(&mut self.first) {
            return self.front.start;
        }
        let start = out.len();
        out.extend_from_within(self.front.clone());
        start
    }

    fn behind(&self) -> usize {
        0
    }

    #[inline]
    fn end(&mut self, out: &mut Vec<u8>, start: usize) {
        header::finish(out, start);
    }

    fn close(self, _: &mut Vec<u8>) {}
}

/// MP_REACH_NLRI, before all other attributes (RFC 7606 §5.1). Those are written once, ahead of the
/// messages, copied behind each one's NLRI, and taken away at the end.
pub(super) struct Reach {
    attrs: Range<usize>,
    family: Family,
    hop: NextHop,
}

impl Reach {
    pub(super) fn begin(
        out: &mut Vec<u8>,
        set: AttrSetRef<'_>,
        rewrite: &Rewrite,
        encoding: &Encoding,
        family: Family,
        hop: NextHop,
    ) -> Result<Self, Unsendable> {
        let start = out.len();
        derive::write_attrs(out, set, rewrite, encoding, None)?;
        Ok(Reach {
            attrs: start..out.len(),
            family,
            hop,
        })
    }
}

/// Octets of a message before its first attribute.
const ATTRS_AT: usize = HEADER_LEN + 4;

impl Envelope for Reach {
    #[inline]
    fn begin(&mut self, out: &mut Vec<u8>) -> usize {
        let start = begin_multiprotocol(out, code::MP_REACH_NLRI, self.family);
        let hop_len = u8::try_from(self.hop.wire_len()).unwrap_or(u8::MAX);
        out.push(hop_len);
        self.hop.write(out);
        out.push(0); // reserved
        start
    }

    fn behind(&self) -> usize {
        self.attrs.len()
    }

    #[inline]
    fn end(&mut self, out: &mut Vec<u8>, start: usize) {
        put_len(out, start + ATTRS_AT + 2);
        out.extend_from_within(self.attrs.clone());
        put_len(out, start + ATTRS_AT - 2);
        header::finish(out, start);
    }

    fn close(self, out: &mut Vec<u8>) {
        out.drain(self.attrs);
    }
}

/// The classic field of withdrawn IPv4 routes.
pub(super) struct Withdrawn;

impl Envelope for Withdrawn {
    #[inline]
    fn begin(&mut self, out: &mut Vec<u8>) -> usize {
        let start = header::begin(out, MessageType::Update);
        out.extend_from_slice(&[0; 2]);
        start
    }

    fn behind(&self) -> usize {
        2
    }

    #[inline]
    fn end(&mut self, out: &mut Vec<u8>, start: usize) {
        put_len(out, start + HEADER_LEN);
        out.extend_from_slice(&[0; 2]);
        header::finish(out, start);
    }

    fn close(self, _: &mut Vec<u8>) {}
}

/// MP_UNREACH_NLRI.
pub(super) struct Unreach {
    pub(super) family: Family,
}

impl Envelope for Unreach {
    #[inline]
    fn begin(&mut self, out: &mut Vec<u8>) -> usize {
        begin_multiprotocol(out, code::MP_UNREACH_NLRI, self.family)
    }

    fn behind(&self) -> usize {
        0
    }

    #[inline]
    fn end(&mut self, out: &mut Vec<u8>, start: usize) {
        put_len(out, start + ATTRS_AT + 2);
        put_len(out, start + ATTRS_AT - 2);
        header::finish(out, start);
    }

    fn close(self, _: &mut Vec<u8>) {}
}

/// Appends an UPDATE as far as the family of its first attribute, which takes two octets of length.
fn begin_multiprotocol(out: &mut Vec<u8>, code: u8, family: Family) -> usize {
    let start = header::begin(out, MessageType::Update);
    let pair = family.to_wire();
    let [afi_high, afi_low] = pair.afi.to_be_bytes();
    let flags = OPTIONAL | EXTENDED_LENGTH;
    out.extend_from_slice(&[0, 0, 0, 0, flags, code, 0, 0, afi_high, afi_low, pair.safi]);
    start
}

/// Writes into the two octets at `field` how many octets follow them.
fn put_len(out: &mut [u8], field: usize) {
    let len = out.len().saturating_sub(field + 2);
    put_u16(out, field, u16::try_from(len).unwrap_or(u16::MAX));
}

pub(super) fn end_of_rib(out: &mut Vec<u8>, family: Family) {
    let start = header::begin(out, MessageType::Update);
    let pair = family.to_wire();
    let [afi_high, afi_low] = pair.afi.to_be_bytes();
    match family {
        Family::Ipv4 => out.extend_from_slice(&[0; 4]),
        Family::Ipv6 => out.extend_from_slice(&[
            0,
            0,
            0,
            6,
            OPTIONAL,
            code::MP_UNREACH_NLRI,
            3,
            afi_high,
            afi_low,
            pair.safi,
        ]),
    }
    header::finish(out, start);
}
