//! Attribute sets as they are on the Internet, for a peer's point of view.

use thruway_wire::attrs::{AttrSet, AttrSetBuf, AttrSetRef, RawAttr, code};
use thruway_wire::{Asn, NextHop};

use super::figures;
use crate::random::{Rng, Weighted};

const WELL_KNOWN: u8 = 0x40;
const OPTIONAL: u8 = 0x80;
const OPTIONAL_TRANSITIVE: u8 = 0xc0;
const AS_SEQUENCE: u8 = 2;

/// Draws attribute sets.
pub(super) struct AttributeSource {
    origins: Weighted,
    path_lengths: Weighted,
    communities: Weighted,
    large: Weighted,
    extended: Weighted,
    asn_blocks: Weighted,
    draft: Draft,
}

/// One set while it is made; storage is reused.
#[derive(Default)]
struct Draft {
    attrs: Vec<(u8, u8, usize)>,
    bytes: Vec<u8>,
    set: AttrSetBuf,
}

impl Draft {
    fn clear(&mut self) {
        self.attrs.clear();
        self.bytes.clear();
    }

    fn close(&mut self, flags: u8, code: u8) {
        self.attrs.push((flags, code, self.bytes.len()));
    }

    fn finish(&mut self, next_hop: NextHop) -> AttrSet {
        let mut start = 0;
        let bytes = &self.bytes;
        let attrs = self.attrs.iter().map(|(flags, code, end)| {
            let value = bytes.get(start..*end).unwrap_or_default();
            start = *end;
            RawAttr {
                flags: *flags,
                code: *code,
                value,
            }
        });
        self.set.set_parts(Some(next_hop), attrs);
        AttrSet::new(self.set.as_ref())
    }
}

impl AttributeSource {
    pub(super) fn new() -> Self {
        let blocks = figures::ASN_BLOCKS.iter().enumerate();
        AttributeSource {
            origins: Weighted::new(figures::ORIGINS),
            path_lengths: Weighted::new(figures::PATH_LENGTHS),
            communities: Weighted::new(figures::COMMUNITIES),
            large: Weighted::new(figures::LARGE_COMMUNITIES),
            extended: Weighted::new(figures::EXTENDED_COMMUNITIES),
            asn_blocks: Weighted::new(blocks.map(|(index, block)| (index as u32, block.2))),
            draft: Draft::default(),
        }
    }

    /// A set for routes of a random origin, as the peer `asn` tells them.
    pub(super) fn draw(&mut self, rng: &mut Rng, asn: Asn, next_hop: NextHop) -> AttrSet {
        let origin_as = self.origin_as(rng);
        self.draft.clear();
        let origin = self.origins.draw(rng) as u8;
        self.draft.bytes.push(origin);
        self.draft.close(WELL_KNOWN, code::ORIGIN);
        let first_transit = self.path(rng, asn, origin_as);
        if rng.chance(figures::WITH_MED) {
            let med = rng.falling(1, 1000);
            self.draft.bytes.extend_from_slice(&med.to_be_bytes());
            self.draft.close(OPTIONAL, code::MED);
        }
        self.aggregation(rng, origin_as);
        self.communities(rng, first_transit, origin_as);
        self.draft.finish(next_hop)
    }

    /// The same routes as the peer `asn` tells them: origin and communities stay, the way there is
    /// another.
    pub(super) fn seen_by(
        &mut self,
        rng: &mut Rng,
        set: AttrSetRef<'_>,
        asn: Asn,
        next_hop: NextHop,
    ) -> AttrSet {
        self.draft.clear();
        let origin_as = set.as_path().asns().last().unwrap_or(asn);
        for attr in set.attrs() {
            if attr.code == code::AS_PATH {
                self.path(rng, asn, origin_as);
            } else {
                self.draft.bytes.extend_from_slice(attr.value);
                self.draft.close(attr.flags, attr.code);
            }
        }
        self.draft.finish(next_hop)
    }

    /// Writes AS_PATH from `asn` to `origin_as`; returns the AS behind the peer.
    fn path(&mut self, rng: &mut Rng, asn: Asn, origin_as: Asn) -> Asn {
        let mut len = self.path_lengths.draw(rng);
        let mut distinct = len.min(figures::PATH_DISTINCT_MAX);
        if len > 2 && len <= figures::PATH_DISTINCT_MAX && rng.chance(figures::PREPENDED) {
            distinct = len - 1;
        }
        if asn == origin_as {
            (len, distinct) = (1, 1);
        } else if distinct == 1 {
            // A route of the peer's own, unless the origin is another AS.
            (len, distinct) = (len.max(2), 2);
        }
        let bytes = &mut self.draft.bytes;
        bytes.extend_from_slice(&[AS_SEQUENCE, len as u8]);
        bytes.extend_from_slice(&asn.0.to_be_bytes());
        let mut behind = origin_as;
        let mut last = asn;
        for hop in 1..distinct.saturating_sub(1) {
            last = transit_as(rng, last, origin_as);
            if hop == 1 {
                behind = last;
            }
            bytes.extend_from_slice(&last.0.to_be_bytes());
        }
        // Origins prepend, to turn traffic away from a link.
        for _ in 0..(len - distinct) + u32::from(distinct > 1) {
            bytes.extend_from_slice(&origin_as.0.to_be_bytes());
        }
        self.draft.close(WELL_KNOWN, code::AS_PATH);
        behind
    }

    fn aggregation(&mut self, rng: &mut Rng, origin_as: Asn) {
        if !rng.chance(figures::WITH_AGGREGATOR) {
            return;
        }
        if rng.chance(figures::ATOMIC_OF_AGGREGATED) {
            self.draft.close(WELL_KNOWN, code::ATOMIC_AGGREGATE);
        }
        self.draft
            .bytes
            .extend_from_slice(&origin_as.0.to_be_bytes());
        let router = 0x0100_0000 | rng.next() as u32 >> 1;
        self.draft.bytes.extend_from_slice(&router.to_be_bytes());
        self.draft.close(OPTIONAL_TRANSITIVE, code::AGGREGATOR);
    }

    fn communities(&mut self, rng: &mut Rng, transit: Asn, origin_as: Asn) {
        let count = self.communities.draw(rng);
        for index in 0..count {
            // Ascending within two owners: most routers sort them.
            let owner = if index * 2 < count {
                transit.0
            } else {
                origin_as.0
            };
            let value = (owner & 0x7fff) << 16 | (index * 100 + rng.below(100));
            self.draft.bytes.extend_from_slice(&value.to_be_bytes());
        }
        if count > 0 {
            self.draft.close(OPTIONAL_TRANSITIVE, code::COMMUNITIES);
        }
        let count = self.extended.draw(rng);
        for index in 0..count {
            // Route targets of two-octet AS numbers (RFC 4360 §4).
            let [_, _, a, b] = origin_as.0.to_be_bytes();
            let [c, d, e, g] = (index * 100 + rng.below(100)).to_be_bytes();
            self.draft
                .bytes
                .extend_from_slice(&[0, 2, a, b, c, d, e, g]);
        }
        if count > 0 {
            self.draft
                .close(OPTIONAL_TRANSITIVE, code::EXTENDED_COMMUNITIES);
        }
        let count = self.large.draw(rng);
        for index in 0..count {
            let values = [transit.0, index, rng.below(1000)];
            let octets = values.iter().flat_map(|value| value.to_be_bytes());
            self.draft.bytes.extend(octets);
        }
        if count > 0 {
            self.draft
                .close(OPTIONAL_TRANSITIVE, code::LARGE_COMMUNITIES);
        }
    }

    fn origin_as(&self, rng: &mut Rng) -> Asn {
        let block = self.asn_blocks.draw(rng) as usize;
        let (first, last, _) = figures::ASN_BLOCKS.get(block).copied().unwrap_or((1, 2, 1));
        Asn(rng.falling(first, last))
    }
}

/// A network between two others: few carry most paths.
fn transit_as(rng: &mut Rng, before: Asn, origin_as: Asn) -> Asn {
    loop {
        let index = rng
            .falling(0, figures::TRANSIT_ASNS - 1)
            .min(rng.below(figures::TRANSIT_ASNS));
        // Spread over the two-octet numbers of the registries' first blocks.
        let asn = Asn(174 + index * 14);
        if asn != before && asn != origin_as {
            return asn;
        }
    }
}
