//! Which shard a prefix belongs to.

use thruway_wire::PrefixKey;

use crate::ShardId;

/// The shard of a prefix. Neighbouring prefixes (the same /12, or IPv6 /32) share a shard: they often share
/// sets, so messages stay full. `seed` is the daemon's, the same everywhere; `shards` is 1 to 4.
#[inline]
#[must_use]
pub fn shard_of<P: PrefixKey>(prefix: &P, seed: u64, shards: usize) -> ShardId {
    let bits = if P::MAX_LEN == 32 { 12 } else { 32 };
    let top = prefix.top_bits() >> (64 - bits);
    let mixed = (top ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ShardId(((mixed >> 32).wrapping_mul(shards as u64) >> 32) as u8)
}
