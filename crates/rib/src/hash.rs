//! Keyed hashes of prefixes: which shard one belongs to, and where in its table it is.

use thruway_wire::PrefixKey;

use crate::ShardId;

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The shard of a prefix. Neighbouring prefixes (the same /12, or IPv6 /32) share a shard: they often share
/// sets, so messages stay full. `seed` is the daemon's, the same everywhere; `shards` is 1 to 4.
#[inline]
#[must_use]
pub fn shard_of<P: PrefixKey>(prefix: &P, seed: u64, shards: usize) -> ShardId {
    debug_assert!((1..=crate::limits::SHARDS_MAX).contains(&shards));
    let bits = if P::MAX_LEN == 32 { 12 } else { 32 };
    let top = prefix.top_bits() >> (64 - bits);
    let mixed = fold((top + 1) ^ seed, ODD ^ seed.rotate_left(32));
    ShardId(((mixed >> 32).wrapping_mul(shards as u64) >> 32) as u8)
}

/// Both halves of a full product: every bit of the input reaches every bit of the result.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product >> 64) as u64 ^ product as u64
}

/// Hashes prefixes for one table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrefixHasher {
    keys: [u64; 3],
}

impl PrefixHasher {
    pub(crate) fn new(seed: u64) -> Self {
        let mix = |round: u64| fold(seed ^ ODD.wrapping_mul(round), 0xd6e8_feb8_6659_fd93 | 1);
        // Odd and with high bits set: a key that is nearly zero would not spread.
        PrefixHasher {
            keys: [mix(1) | 1 << 63 | 1, mix(2) | 1 << 63 | 1, mix(3)],
        }
    }

    /// A hash of anything in 64 bits.
    #[inline]
    pub(crate) fn hash_bits(&self, bits: u64) -> u64 {
        fold(bits ^ self.keys[2], self.keys[1])
    }

    /// A hash of which all bits are good.
    #[inline]
    pub(crate) fn hash<P: PrefixKey>(&self, prefix: &P) -> u64 {
        let [first, second, third] = self.keys;
        let len = u64::from(prefix.prefix_len());
        if P::MAX_LEN == 32 {
            // The address is in the upper half; the length goes below it.
            fold((prefix.top_bits() | len) ^ third, first)
        } else {
            let octets = prefix.octets();
            let low = octets
                .last_chunk()
                .map_or(0, |low| u64::from_be_bytes(*low));
            let high = fold(prefix.top_bits() ^ third, first);
            // Most prefixes end in the upper half; the second product costs little.
            fold(high ^ low.wrapping_add(len), second)
        }
    }
}

#[cfg(test)]
mod tests {
    use thruway_wire::{Ipv4Prefix, Ipv6Prefix};

    use super::*;

    fn v4(bits: u32, len: u8) -> Ipv4Prefix {
        Ipv4Prefix::new(bits.into(), len).unwrap()
    }

    #[test]
    fn neighbours_share_a_shard_and_blocks_spread() {
        let mut counts = [0; 4];
        for block in 0..4096u32 {
            let shard = shard_of(&v4(block << 20, 12), 7, 4);
            assert_eq!(shard, shard_of(&v4(block << 20 | 0x000f_ff00, 24), 7, 4));
            counts[shard.index()] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1300).contains(count)),
            "{counts:?}"
        );
        assert_eq!(shard_of(&v4(0, 0), 99, 1), ShardId(0));
    }

    #[test]
    fn hash_tells_lengths_apart_and_fills_all_sub_tables() {
        let hasher = PrefixHasher::new(1);
        assert_ne!(
            hasher.hash(&v4(0x0a00_0000, 8)),
            hasher.hash(&v4(0x0a00_0000, 9))
        );
        let mut tags = [0u32; 256];
        let mut low = [0u32; 256];
        for net in 0..65_536u32 {
            let hash = hasher.hash(&v4(0x0a00_0000 | net << 8, 24));
            tags[(hash >> 56) as usize] += 1;
            low[(hash & 0xff) as usize] += 1;
        }
        assert!(
            tags.iter()
                .chain(&low)
                .all(|count| (100..500).contains(count))
        );
        let six = |bits: u128, len| Ipv6Prefix::new(bits.into(), len).unwrap();
        assert_ne!(hasher.hash(&six(1, 128)), hasher.hash(&six(2, 128)));
        assert_ne!(hasher.hash(&six(0, 0)), hasher.hash(&six(0, 1)));
    }
}
