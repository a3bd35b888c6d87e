//! Reading a canonical set.

use std::hash::{Hash, Hasher};

use super::{AsPath, AttrSetRef, CommunityValue, RawAttr, code};
use crate::reader::attribute;
use crate::{
    Asn, Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity, NextHop, RouterId,
};

/// Iterator over attributes in wire form: flags, code, length of one or two octets, value. Ends at
/// what does not parse; a canonical set always parses.
#[derive(Clone, Debug)]
pub struct Attrs<'a> {
    rest: &'a [u8],
}

impl<'a> Attrs<'a> {
    /// Over a block of attributes.
    #[must_use]
    pub const fn new(block: &'a [u8]) -> Self {
        Attrs { rest: block }
    }

    /// The octets that are not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = RawAttr<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawAttr<'a>> {
        let (rest, attr) = attribute(self.rest).ok()?;
        self.rest = rest;
        Some(attr)
    }
}

/// Equal sets: the summary follows from the bytes, but for where the next hop ends in them.
impl PartialEq for AttrSetRef<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.meta.next_hop_len == other.meta.next_hop_len && self.bytes == other.bytes
    }
}

impl Eq for AttrSetRef<'_> {}

impl Hash for AttrSetRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.meta.next_hop_len);
        state.write(self.bytes);
    }
}

impl<'a> AttrSetRef<'a> {
    /// The next hop, `None` in a set without one.
    #[must_use]
    pub fn next_hop(&self) -> Option<NextHop> {
        NextHop::from_octets(self.bytes.get(..usize::from(self.meta.next_hop_len))?)
    }

    /// The attributes' octets, without the next hop's.
    #[must_use]
    pub fn attr_bytes(&self) -> &'a [u8] {
        self.bytes
            .get(usize::from(self.meta.next_hop_len)..)
            .unwrap_or_default()
    }

    /// All attributes in canonical order.
    #[must_use]
    pub fn attrs(&self) -> Attrs<'a> {
        Attrs::new(self.attr_bytes())
    }

    /// The attribute with type `code`.
    #[must_use]
    pub fn find(&self, code: u8) -> Option<RawAttr<'a>> {
        self.attrs()
            .take_while(|attr| attr.code <= code)
            .find(|attr| attr.code == code)
    }

    fn value(&self, code: u8) -> &'a [u8] {
        self.find(code).map_or(&[], |attr| attr.value)
    }

    /// AS_PATH, four octets a number; empty where absent.
    #[must_use]
    pub fn as_path(&self) -> AsPath<'a> {
        AsPath::new(self.value(code::AS_PATH))
    }

    /// LOCAL_PREF, if present.
    #[must_use]
    pub fn local_pref(&self) -> Option<u32> {
        self.meta
            .flags
            .has(super::AttrFlags::LOCAL_PREF)
            .then_some(self.meta.local_pref)
    }

    /// MULTI_EXIT_DISC, if present.
    #[must_use]
    pub fn med(&self) -> Option<u32> {
        self.meta
            .flags
            .has(super::AttrFlags::MED)
            .then_some(self.meta.med)
    }

    /// The communities of one kind, in order of the attribute.
    pub fn community_values<C: CommunityValue>(&self) -> impl Iterator<Item = C> + Clone + 'a {
        self.value(C::CODE)
            .chunks_exact(C::WIDTH)
            .filter_map(C::from_octets)
    }

    /// COMMUNITIES (RFC 1997).
    pub fn communities(&self) -> impl Iterator<Item = Community> + Clone + 'a {
        self.community_values()
    }

    /// EXTENDED COMMUNITIES (RFC 4360).
    pub fn extended_communities(&self) -> impl Iterator<Item = ExtendedCommunity> + Clone + 'a {
        self.community_values()
    }

    /// IPv6 Address Specific Extended Communities (RFC 5701).
    pub fn ipv6_extended_communities(
        &self,
    ) -> impl Iterator<Item = Ipv6ExtendedCommunity> + Clone + 'a {
        self.community_values()
    }

    /// LARGE_COMMUNITIES (RFC 8092).
    pub fn large_communities(&self) -> impl Iterator<Item = LargeCommunity> + Clone + 'a {
        self.community_values()
    }

    /// AGGREGATOR, AS4_AGGREGATOR merged in.
    #[must_use]
    pub fn aggregator(&self) -> Option<(Asn, RouterId)> {
        let (&asn, id) = self.find(code::AGGREGATOR)?.value.split_first_chunk()?;
        let id = <[u8; 4]>::try_from(id).ok()?;
        Some((
            Asn(u32::from_be_bytes(asn)),
            RouterId(u32::from_be_bytes(id)),
        ))
    }

    /// ORIGINATOR_ID (RFC 4456 §8), if present.
    #[must_use]
    pub fn originator_id(&self) -> Option<RouterId> {
        if !self.meta.flags.has(super::AttrFlags::ORIGINATOR_ID) {
            return None;
        }
        let value = <[u8; 4]>::try_from(self.find(code::ORIGINATOR_ID)?.value).ok()?;
        Some(RouterId(u32::from_be_bytes(value)))
    }

    /// The last AS of AS_PATH where that segment is a sequence, else 0: where the route began.
    #[must_use]
    pub fn origin_as(&self) -> Asn {
        match self.as_path().segments().last() {
            Some((super::SegmentType::Sequence, mut asns)) => asns.next_back().unwrap_or(Asn::ZERO),
            _ => Asn::ZERO,
        }
    }

    /// CLUSTER_LIST (RFC 4456 §8), nearest first; empty where absent.
    pub fn cluster_list(&self) -> impl Iterator<Item = RouterId> + Clone + 'a {
        let (ids, _) = self.value(code::CLUSTER_LIST).as_chunks();
        ids.iter().map(|id| RouterId(u32::from_be_bytes(*id)))
    }

    /// Only to Customer (RFC 9234 §5), if present.
    #[must_use]
    pub fn otc(&self) -> Option<Asn> {
        let value = <[u8; 4]>::try_from(self.find(code::OTC)?.value).ok()?;
        Some(Asn(u32::from_be_bytes(value)))
    }
}
