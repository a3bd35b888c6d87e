//! Fast hashes for the tools' own tables. They are not keyed: nobody attacks a load test from
//! inside its own table.

use std::hash::{BuildHasher, Hasher};

use thruway_wire::attrs::AttrSetRef;

use crate::random::mix;

/// Builds [`FastHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fast;

/// One multiplication a word.
#[derive(Debug, Default)]
pub(crate) struct FastHasher(u64);

/// A hash map over the fast hasher.
pub(crate) type FastMap<K, V> = hashbrown::HashMap<K, V, Fast>;
/// A hash set over the fast hasher.
pub(crate) type FastSet<K> = hashbrown::HashSet<K, Fast>;

impl BuildHasher for Fast {
    type Hasher = FastHasher;

    fn build_hasher(&self) -> FastHasher {
        FastHasher(0)
    }
}

impl Hasher for FastHasher {
    #[inline]
    fn finish(&self) -> u64 {
        // hashbrown takes its bucket from the low bits and its tag from the high ones.
        self.0 ^ (self.0 >> 32)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.write_u64(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// A number that equal sets share and others, but for one chance in 2^64, do not. Never 0.
pub(crate) fn fingerprint(set: AttrSetRef<'_>) -> u64 {
    // Two passes with an avalanche between: 64 bits must tell a million sets apart.
    let mut hasher = FastHasher(u64::from(set.meta.next_hop_len));
    hasher.write(set.bytes);
    mix(hasher.0).max(1)
}
