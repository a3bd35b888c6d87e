//! Editing a canonical set in place.

use super::{AttrSetBuf, AttrSetRef, RawAttr};
use crate::{
    Asn, Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity, NextHop,
};

/// A kind of community: what the attribute of its values looks like.
pub trait CommunityValue: Copy + Eq + 'static {
    /// The attribute's type code.
    const CODE: u8;
    /// Octets of one value.
    const WIDTH: usize;
    /// The octets of a value.
    type Octets: AsRef<[u8]>;

    /// Reads a value; `None` where `octets` is not `WIDTH` long.
    fn from_octets(octets: &[u8]) -> Option<Self>;

    /// The value's octets.
    fn to_octets(self) -> Self::Octets;
}

impl CommunityValue for Community {
    const CODE: u8 = super::code::COMMUNITIES;
    const WIDTH: usize = 4;
    type Octets = [u8; 4];

    fn from_octets(octets: &[u8]) -> Option<Self> {
        Some(Community(u32::from_be_bytes(octets.try_into().ok()?)))
    }

    fn to_octets(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl CommunityValue for ExtendedCommunity {
    const CODE: u8 = super::code::EXTENDED_COMMUNITIES;
    const WIDTH: usize = 8;
    type Octets = [u8; 8];

    fn from_octets(octets: &[u8]) -> Option<Self> {
        Some(ExtendedCommunity(octets.try_into().ok()?))
    }

    fn to_octets(self) -> [u8; 8] {
        self.0
    }
}

impl CommunityValue for Ipv6ExtendedCommunity {
    const CODE: u8 = super::code::IPV6_EXTENDED_COMMUNITIES;
    const WIDTH: usize = 20;
    type Octets = [u8; 20];

    fn from_octets(octets: &[u8]) -> Option<Self> {
        Some(Ipv6ExtendedCommunity(octets.try_into().ok()?))
    }

    fn to_octets(self) -> [u8; 20] {
        self.0
    }
}

impl CommunityValue for LargeCommunity {
    const CODE: u8 = super::code::LARGE_COMMUNITIES;
    const WIDTH: usize = 12;
    type Octets = [u8; 12];

    fn from_octets(octets: &[u8]) -> Option<Self> {
        let (fields, []) = octets.as_chunks::<4>() else { return None };
        let &[global, local1, local2] = fields else { return None };
        Some(LargeCommunity {
            global: u32::from_be_bytes(global),
            local1: u32::from_be_bytes(local1),
            local2: u32::from_be_bytes(local2),
        })
    }

    fn to_octets(self) -> [u8; 12] {
        let mut octets = [0; 12];
        for (to, from) in octets.as_chunks_mut::<4>().0.iter_mut().zip([
            self.global,
            self.local1,
            self.local2,
        ]) {
            *to = from.to_be_bytes();
        }
        octets
    }
}

/// Every edit keeps the set canonical and its summary right.
impl AttrSetBuf {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Becomes a copy of `set`.
    pub fn copy_from(&mut self, set: AttrSetRef<'_>) {
        self.meta = *set.meta;
        self.bytes.clear();
        self.bytes.extend_from_slice(set.bytes);
    }

    /// Becomes the canonical set of `attrs`, in any order, with four-octet AS numbers. What has no
    /// place in a set is left out, malformed known attributes and duplicates too.
    pub fn set_parts<'x>(
        &mut self,
        next_hop: Option<NextHop>,
        attrs: impl Iterator<Item = RawAttr<'x>>,
    ) {
        let _ = (next_hop, attrs.count());
        todo!()
    }

    /// The canonical set of `attrs`; see [`AttrSetBuf::set_parts`].
    #[must_use]
    pub fn from_parts<'x>(
        next_hop: Option<NextHop>,
        attrs: impl Iterator<Item = RawAttr<'x>>,
    ) -> Self {
        let mut set = Self::default();
        set.set_parts(next_hop, attrs);
        set
    }

    /// Sets or takes away LOCAL_PREF.
    pub fn set_local_pref(&mut self, value: Option<u32>) {
        let _ = value;
        todo!()
    }

    /// Sets or takes away MULTI_EXIT_DISC.
    pub fn set_med(&mut self, value: Option<u32>) {
        let _ = value;
        todo!()
    }

    /// Sets ORIGIN: 0 IGP, 1 EGP, 2 INCOMPLETE. Other values change nothing.
    pub fn set_origin(&mut self, value: u8) {
        let _ = value;
        todo!()
    }

    /// Sets or takes away the next hop.
    pub fn set_next_hop(&mut self, next_hop: Option<NextHop>) {
        let _ = next_hop;
        todo!()
    }

    /// Puts `asn` in front of AS_PATH `count` times (RFC 4271 §5.1.2). A path that would exceed
    /// [`crate::limits::AS_PATH_LEN_MAX`] stays as it is.
    pub fn prepend(&mut self, asn: Asn, count: u8) {
        let _ = (asn, count);
        todo!()
    }

    /// Sets an attribute to a value in canonical form. One that is malformed, too long, or has no
    /// place in a set changes nothing.
    pub fn set_raw(&mut self, code: u8, flags: u8, value: &[u8]) {
        let _ = (code, flags, value);
        todo!()
    }

    /// Takes an attribute away.
    pub fn remove(&mut self, code: u8) {
        let _ = code;
        todo!()
    }

    /// Adds a community behind the others; one that is there already, or does not fit, changes
    /// nothing.
    pub fn add_community<C: CommunityValue>(&mut self, value: C) {
        let _ = value;
        todo!()
    }

    /// Keeps only the communities of a kind that `keep` wants. The attribute goes with its last one.
    pub fn retain_communities<C: CommunityValue>(&mut self, keep: impl FnMut(C) -> bool) {
        let _ = keep;
        todo!()
    }

    /// Replaces all communities of a kind; duplicates are left out.
    pub fn set_communities<C: CommunityValue>(&mut self, values: impl IntoIterator<Item = C>) {
        let _ = values;
        todo!()
    }
}
