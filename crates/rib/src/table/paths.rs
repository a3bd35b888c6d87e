//! A path: one route of one peer, in sixteen octets.

use thruway_wire::attrs::{AttrFlags, AttrMeta};

use crate::{Handle, PeerId};

/// Paths of one peer for one prefix at most (ADD-PATH).
pub(crate) const PATHS_OF_PEER_MAX: u16 = 1 << Tag::SUB_BITS;

/// One path of a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// The set as received.
    pub(crate) received: Handle,
    /// The set after import; `NONE`: rejected.
    pub(crate) accepted: Handle,
    /// Whose.
    pub(crate) peer: PeerId,
    pub(crate) tag: Tag,
    pub(crate) digest: Digest,
}

const _: () = assert!(size_of::<Path>() == 16);

/// Generation of the peer's session that advertised the path, its number among the peer's paths for the
/// prefix, whether it came with an identifier, and whether its set is an odd one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag(u16);

impl Tag {
    const GENERATION_BITS: u32 = 4;
    const SUB_BITS: u32 = 10;
    const HAS_ID: u16 = 1 << 15;
    const ODD: u16 = 1 << 14;

    #[inline]
    pub(crate) const fn new(generation: u8, sub: u16, has_id: bool) -> Tag {
        debug_assert!(generation < 1 << Self::GENERATION_BITS && sub < PATHS_OF_PEER_MAX);
        let id = if has_id { Self::HAS_ID } else { 0 };
        Tag(generation as u16 | sub << Self::GENERATION_BITS | id)
    }

    #[inline]
    pub(crate) const fn generation(self) -> u8 {
        (self.0 & ((1 << Self::GENERATION_BITS) - 1)) as u8
    }

    #[inline]
    pub(crate) const fn sub(self) -> u16 {
        self.0 >> Self::GENERATION_BITS & (PATHS_OF_PEER_MAX - 1)
    }

    #[inline]
    pub(crate) const fn has_id(self) -> bool {
        self.0 & Self::HAS_ID != 0
    }

    /// The accepted set has a MED, or is one that not every peer can be sent. Most are neither, and then
    /// neither the decision process nor the groups need to look at it.
    #[inline]
    pub(crate) const fn is_odd(self) -> bool {
        self.0 & Self::ODD != 0
    }

    #[inline]
    pub(crate) const fn with_odd(self, odd: bool) -> Tag {
        Tag(if odd {
            self.0 | Self::ODD
        } else {
            self.0 & !Self::ODD
        })
    }

    #[inline]
    pub(crate) const fn with_generation(self, generation: u8) -> Tag {
        Tag(self.0 & !((1 << Self::GENERATION_BITS) - 1) | generation as u16)
    }
}

/// The path identifier that we send (RFC 7911 §3): unique within the prefix and the same for the
/// path's life.
#[inline]
pub(crate) fn sent_id(peer: PeerId, sub: u16) -> u32 {
    (u32::from(peer.0) << Tag::SUB_BITS | u32::from(sub)) + 1
}

/// The steps of the decision process before MED, packed so that the larger digest is preferred.
///
/// Equal digests mean equal in those steps, or values too large to tell apart (`is_rough`): a field at
/// its end zeroes what is below it, so that a larger digest never lies. 0: not accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest(u32);

impl Digest {
    pub(crate) const REJECTED: Digest = Digest(0);
    const ACCEPTED: u32 = 1 << 31;
    const NOT_LONG_LIVED: u32 = 1 << 30;
    const RANK_MAX: u32 = (1 << 4) - 1;
    const RANK_SHIFT: u32 = 26;
    const PREF_MAX: u32 = (1 << 14) - 1;
    const PREF_SHIFT: u32 = 12;
    const LEN_MAX: u32 = (1 << 10) - 1;
    const LEN_SHIFT: u32 = 2;

    pub(crate) fn new(rank: u8, meta: &AttrMeta) -> Digest {
        let mut bits = Self::ACCEPTED;
        if !meta.flags.has(AttrFlags::LLGR_STALE) {
            bits |= Self::NOT_LONG_LIVED;
        }
        let rank = u32::from(rank).min(Self::RANK_MAX);
        bits |= rank << Self::RANK_SHIFT;
        if rank == Self::RANK_MAX {
            return Digest(bits);
        }
        let pref = local_pref(meta).min(Self::PREF_MAX);
        bits |= pref << Self::PREF_SHIFT;
        if pref == Self::PREF_MAX {
            return Digest(bits);
        }
        let len = u32::from(meta.path_len).min(Self::LEN_MAX);
        bits |= (Self::LEN_MAX - len) << Self::LEN_SHIFT;
        if len < Self::LEN_MAX {
            bits |= 3 - u32::from(meta.origin.min(3));
        }
        Digest(bits)
    }

    #[inline]
    pub(crate) const fn is_accepted(self) -> bool {
        self.0 != 0
    }

    /// The accepted set is marked as long-lived stale (RFC 9494).
    #[inline]
    pub(crate) const fn is_long_lived(self) -> bool {
        self.is_accepted() && self.0 & Self::NOT_LONG_LIVED == 0
    }

    /// Equal digests may hide a difference.
    #[inline]
    pub(crate) const fn is_rough(self) -> bool {
        let rank = self.0 >> Self::RANK_SHIFT & Self::RANK_MAX;
        let pref = self.0 >> Self::PREF_SHIFT & Self::PREF_MAX;
        let len = self.0 >> Self::LEN_SHIFT & Self::LEN_MAX;
        rank == Self::RANK_MAX || pref == Self::PREF_MAX || len == 0
    }
}

/// LOCAL_PREF for the decision (RFC 4271 §9.1.1): 100 where the set has none.
#[inline]
pub(crate) fn local_pref(meta: &AttrMeta) -> u32 {
    if meta.flags.has(AttrFlags::LOCAL_PREF) {
        meta.local_pref
    } else {
        100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_keeps_its_parts() {
        let tag = Tag::new(15, 1023, true);
        assert_eq!(
            (tag.generation(), tag.sub(), tag.has_id()),
            (15, 1023, true)
        );
        let tag = tag.with_generation(2);
        assert_eq!((tag.generation(), tag.sub(), tag.has_id()), (2, 1023, true));
        assert!(tag.with_odd(true).is_odd() && !tag.is_odd());
        assert_eq!(tag.with_odd(true).with_odd(false), tag);
        assert_ne!(sent_id(PeerId(0), 1023), sent_id(PeerId(1), 0));
    }

    /// What a digest stands for, exactly.
    fn key(rank: u8, meta: &AttrMeta) -> impl Ord + use<> {
        use std::cmp::Reverse;
        let fresh = !meta.flags.has(AttrFlags::LLGR_STALE);
        (
            fresh,
            rank,
            local_pref(meta),
            Reverse(meta.path_len),
            Reverse(meta.origin),
        )
    }

    #[test]
    fn a_larger_digest_never_lies_and_equal_ones_say_when_they_are_rough() {
        let mut all = Vec::new();
        for rank in [0, 1, 14, 15, 255] {
            for pref in [0, 99, 100, 16_382, 16_383, u32::MAX] {
                for path_len in [0, 1, 1022, 1023, 1024, u16::MAX] {
                    for (origin, stale) in [(0, false), (2, false), (0, true)] {
                        let flags = AttrFlags::LOCAL_PREF.0
                            | if stale { AttrFlags::LLGR_STALE.0 } else { 0 };
                        let flags = AttrFlags(flags);
                        let meta = AttrMeta {
                            local_pref: pref,
                            path_len,
                            origin,
                            flags,
                            ..Default::default()
                        };
                        all.push((Digest::new(rank, &meta), rank, meta));
                    }
                }
            }
        }
        for (a, rank_a, meta_a) in &all {
            assert!(a.is_accepted() && *a > Digest::REJECTED);
            for (b, rank_b, meta_b) in &all {
                let (exact_a, exact_b) = (key(*rank_a, meta_a), key(*rank_b, meta_b));
                if a > b {
                    assert!(exact_a > exact_b);
                }
                if a == b && !a.is_rough() {
                    assert!(exact_a == exact_b);
                }
            }
        }
    }
}
