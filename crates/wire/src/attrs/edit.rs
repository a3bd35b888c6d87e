//! Editing a canonical set in place.

use std::ops::Range;

use super::build::{admits, begin_attr, canonical_flags, end_attr};
use super::{
    AsPath, AttrMeta, AttrSetBuf, AttrSetRef, OPTIONAL, RawAttr, SegmentType, TRANSITIVE, code,
    write_prepended,
};
use crate::limits::AS_PATH_LEN_MAX;
use crate::{Asn, Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity, NextHop};

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
        let (fields, []) = octets.as_chunks::<4>() else {
            return None;
        };
        let &[global, local1, local2] = fields else {
            return None;
        };
        Some(LargeCommunity {
            global: u32::from_be_bytes(global),
            local1: u32::from_be_bytes(local1),
            local2: u32::from_be_bytes(local2),
        })
    }

    fn to_octets(self) -> [u8; 12] {
        let mut octets = [0; 12];
        for (to, from) in
            octets
                .as_chunks_mut::<4>()
                .0
                .iter_mut()
                .zip([self.global, self.local1, self.local2])
        {
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

    /// Becomes the empty set.
    pub fn clear(&mut self) {
        self.meta = AttrMeta::default();
        self.bytes.clear();
    }

    /// Becomes a copy of `set`.
    pub fn copy_from(&mut self, set: AttrSetRef<'_>) {
        self.meta = *set.meta;
        self.bytes.clear();
        self.bytes.extend_from_slice(set.bytes);
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
        self.set_number(code::LOCAL_PREF, TRANSITIVE, value);
    }

    /// Sets or takes away MULTI_EXIT_DISC.
    pub fn set_med(&mut self, value: Option<u32>) {
        self.set_number(code::MED, OPTIONAL, value);
    }

    fn set_number(&mut self, code: u8, flags: u8, value: Option<u32>) {
        match value {
            Some(value) => self.set_raw(code, flags, &value.to_be_bytes()),
            None => self.remove(code),
        }
    }

    /// Sets ORIGIN: 0 IGP, 1 EGP, 2 INCOMPLETE. Other values change nothing.
    pub fn set_origin(&mut self, value: u8) {
        self.set_raw(code::ORIGIN, TRANSITIVE, &[value]);
    }

    /// Sets or takes away the next hop.
    pub fn set_next_hop(&mut self, next_hop: Option<NextHop>) {
        let old = usize::from(self.meta.next_hop_len);
        let from = self.bytes.len();
        if let Some(next_hop) = next_hop {
            next_hop.write(&mut self.bytes);
        }
        let len = self.bytes.len().saturating_sub(from);
        self.bytes.rotate_right(len);
        self.bytes.drain(len..len.saturating_add(old));
        self.meta.next_hop_len = u8::try_from(len).unwrap_or_default();
        self.rescan();
    }

    /// Puts `asn` in front of AS_PATH `count` times (RFC 4271 §5.1.2). A path that would exceed
    /// [`AS_PATH_LEN_MAX`] stays as it is. AS 0 must not be told to anybody (RFC 7607 §2); whoever builds a
    /// path with it wants a bad one.
    pub fn prepend(&mut self, asn: Asn, count: u8) {
        if count == 0 {
            return;
        }
        let path = self.as_ref().as_path().as_bytes();
        let more = usize::from(count).saturating_mul(4).saturating_add(4);
        if path.len().saturating_add(more) > AS_PATH_LEN_MAX {
            return;
        }
        let mut scratch = Vec::with_capacity(path.len().saturating_add(more));
        write_prepended(&mut scratch, AsPath::new(path), asn, count);
        self.replace(code::AS_PATH, TRANSITIVE, &scratch);
    }

    /// Makes another of each AS of AS_PATH, in every segment, or takes it out. A segment goes with its last one.
    /// A set without a path stays as it is.
    pub fn edit_path(&mut self, mut edit: impl FnMut(Asn) -> Option<Asn>) {
        let path = self.as_ref().as_path();
        let mut edited = Vec::with_capacity(path.as_bytes().len());
        for (kind, asns) in path.segments() {
            write_segment(&mut edited, kind, asns.filter_map(&mut edit));
        }
        self.replace_path(&edited);
    }

    /// Leaves the last `count` of AS_PATH, counted as its length is (RFC 4271 §9.1.2.2 a): an AS_SET is one,
    /// what lies before is gone.
    pub fn keep_last(&mut self, count: usize) {
        let path = self.as_ref().as_path();
        let mut over = path.path_len().saturating_sub(count);
        let mut kept = Vec::with_capacity(path.as_bytes().len());
        for (kind, asns) in path.segments() {
            let here = kind.path_len(asns.len());
            if over == 0 {
                write_segment(&mut kept, kind, asns);
            } else if over < here {
                write_segment(&mut kept, kind, asns.skip(over));
            }
            over = over.saturating_sub(here);
        }
        self.replace_path(&kept);
    }

    fn replace_path(&mut self, path: &[u8]) {
        if path != self.as_ref().as_path().as_bytes() {
            self.replace(code::AS_PATH, TRANSITIVE, path);
        }
    }

    /// Sets an attribute to a value in canonical form. One that is malformed, too long, or has no
    /// place in a set changes nothing.
    pub fn set_raw(&mut self, code: u8, flags: u8, value: &[u8]) {
        let attr = RawAttr { flags, code, value };
        if value.len() <= usize::from(u16::MAX) && admits(&attr) {
            self.replace(code, canonical_flags(&attr), value);
        }
    }

    /// Takes an attribute away.
    pub fn remove(&mut self, code: u8) {
        if let Some(place) = self.locate(code) {
            self.bytes.drain(place);
            self.rescan();
        }
    }

    /// Adds a community behind the others; one that is there already, or does not fit, changes
    /// nothing.
    pub fn add_community<C: CommunityValue>(&mut self, value: C) {
        let set = self.as_ref();
        if set.community_values::<C>().any(|other| other == value) {
            return;
        }
        let old = set.find(C::CODE);
        let flags = old.map_or(OPTIONAL | TRANSITIVE, |attr| attr.flags);
        let mut values = old.map_or(Vec::new(), |attr| attr.value.to_vec());
        values.extend_from_slice(value.to_octets().as_ref());
        self.set_raw(C::CODE, flags, &values);
    }

    /// Keeps only the communities of a kind that `keep` wants. The attribute goes with its last
    /// one.
    pub fn retain_communities<C: CommunityValue>(&mut self, mut keep: impl FnMut(C) -> bool) {
        let Some(old) = self.as_ref().find(C::CODE) else {
            return;
        };
        let mut values = Vec::with_capacity(old.value.len());
        for octets in old.value.chunks_exact(C::WIDTH) {
            if C::from_octets(octets).is_some_and(&mut keep) {
                values.extend_from_slice(octets);
            }
        }
        if values.is_empty() {
            self.remove(C::CODE);
        } else if values.len() < old.value.len() {
            let flags = old.flags;
            self.set_raw(C::CODE, flags, &values);
        }
    }

    /// Replaces all communities of a kind; duplicates are left out. What does not fit the attribute
    /// is left out too.
    pub fn set_communities<C: CommunityValue>(&mut self, values: impl IntoIterator<Item = C>) {
        let mut octets: Vec<u8> = Vec::new();
        for value in values {
            let value = value.to_octets();
            let there = octets
                .chunks_exact(C::WIDTH)
                .any(|other| other == value.as_ref());
            let end = octets.len().saturating_add(C::WIDTH);
            if !there && end <= usize::from(u16::MAX) {
                octets.extend_from_slice(value.as_ref());
            }
        }
        if octets.is_empty() {
            self.remove(C::CODE);
        } else {
            self.set_raw(C::CODE, OPTIONAL | TRANSITIVE, &octets);
        }
    }

    /// Puts a well-formed attribute in the place of the one with its code, or where it belongs.
    fn replace(&mut self, code: u8, flags: u8, value: &[u8]) {
        if let Some(place) = self.locate(code) {
            self.bytes.drain(place);
        }
        let start = self.bytes.len();
        begin_attr(&mut self.bytes, flags, code);
        self.bytes.extend_from_slice(value);
        end_attr(&mut self.bytes, start);
        self.settle(start, code);
        self.rescan();
    }

    /// Where the attribute with `code` stands.
    fn locate(&self, code: u8) -> Option<Range<usize>> {
        let mut attrs = self.as_ref().attrs();
        loop {
            let start = self.bytes.len().saturating_sub(attrs.rest().len());
            if attrs.next()?.code == code {
                return Some(start..self.bytes.len().saturating_sub(attrs.rest().len()));
            }
        }
    }
}

/// Appends a segment of a path, unless it is empty. What is over its 255 is left out: no segment that was read
/// has more.
fn write_segment(out: &mut Vec<u8>, kind: SegmentType, asns: impl Iterator<Item = Asn>) {
    let start = out.len();
    out.extend_from_slice(&[kind as u8, 0]);
    let mut count = 0u8;
    for asn in asns.take(usize::from(u8::MAX)) {
        out.extend_from_slice(&asn.0.to_be_bytes());
        count = count.saturating_add(1);
    }
    match out.get_mut(start.saturating_add(1)) {
        Some(len) if count > 0 => *len = count,
        _ => out.truncate(start),
    }
}
