//! Distinct prefixes with real lengths, mostly side by side within one attribute set.

use std::net::{Ipv4Addr, Ipv6Addr};

use thruway_wire::{Ipv4Prefix, Ipv6Prefix};

use super::figures;
use crate::hash::FastSet;
use crate::random::{Rng, Weighted};

/// Prefixes in 10,000 that lie elsewhere than the one before them in the same set.
const SCATTERED: u32 = 1500;
/// An IPv4 length up to this has its own place for each prefix; a longer one takes a whole /24 of
/// its length, so that the marks stay at 2 MiB a length.
const MARKED_LEN_MAX: u8 = 24;

/// Hands out IPv4 prefixes, each once.
pub(super) struct Ipv4Space {
    lengths: Weighted,
    // By length: one bit for each place, made when the length first comes up.
    taken: [Vec<u64>; 33],
    cursor: u32,
}

impl Ipv4Space {
    pub(super) fn new() -> Self {
        Ipv4Space {
            lengths: Weighted::new(figures::IPV4_LENGTHS),
            taken: std::array::from_fn(|_| Vec::new()),
            cursor: 0,
        }
    }

    /// Moves to a new place: the next set begins.
    pub(super) fn jump(&mut self, rng: &mut Rng) {
        self.cursor = rng.next() as u32;
        // Not into a bogon: all that land in one would crowd behind its end.
        while bogon_end(self.cursor, 32).is_some() {
            self.cursor = rng.next() as u32;
        }
    }

    pub(super) fn draw(&mut self, rng: &mut Rng) -> Ipv4Prefix {
        if rng.chance(SCATTERED) {
            self.jump(rng);
        }
        loop {
            let len = self.lengths.draw(rng) as u8;
            if let Some(addr) = self.take(len) {
                let host = host_bits(rng, len);
                self.cursor = addr.wrapping_add(1 << (32 - len.clamp(8, MARKED_LEN_MAX)));
                if let Some(prefix) = Ipv4Prefix::new(Ipv4Addr::from_bits(addr | host), len) {
                    return prefix;
                }
            }
        }
    }

    /// The first free place of `len` at or behind the cursor; `None` where the length is used up.
    fn take(&mut self, len: u8) -> Option<u32> {
        let bits = len.min(MARKED_LEN_MAX);
        let places = 1u32 << bits;
        let marks = self.taken.get_mut(usize::from(len))?;
        if marks.is_empty() {
            marks.resize((places as usize).div_ceil(64), 0);
        }
        // Up from the cursor: a place that begins before it would overlap what came last.
        let below = (1u64 << (32 - bits)) - 1;
        let first = ((u64::from(self.cursor) + below) >> (32 - bits)) as u32;
        let mut step = 0;
        while step < places {
            let place = first.wrapping_add(step) & (places - 1);
            let addr = place << (32 - bits);
            if let Some(end) = bogon_end(addr, bits) {
                step += ((end - u64::from(addr)) >> (32 - bits)).max(1) as u32;
                continue;
            }
            let word = marks.get_mut(place as usize / 64)?;
            let mark = 1u64 << (place % 64);
            if *word & mark == 0 {
                *word |= mark;
                return Some(addr);
            }
            step += 1;
        }
        None
    }
}

/// Random bits between the /24 that was taken and the prefix's own end.
fn host_bits(rng: &mut Rng, len: u8) -> u32 {
    if len <= MARKED_LEN_MAX {
        return 0;
    }
    (rng.next() as u32 & 0xff) & (u32::MAX << (32 - len))
}

/// Where the bogon ends in which the prefix lies, or which it holds.
pub(super) fn bogon_end(addr: u32, len: u8) -> Option<u64> {
    let clashes = |(bogon, bogon_len): &&(u32, u8)| {
        let shorter = len.min(*bogon_len);
        (addr ^ bogon) >> (32 - shorter) == 0
    };
    let (bogon, bogon_len) = figures::IPV4_BOGONS.iter().find(clashes)?;
    Some(u64::from(*bogon) + (1 << (32 - bogon_len)))
}

/// Hands out IPv6 prefixes, each once.
pub(super) struct Ipv6Space {
    lengths: Weighted,
    blocks: Weighted,
    taken: FastSet<(u64, u8)>,
    cursor: u64,
}

impl Ipv6Space {
    pub(super) fn new() -> Self {
        let blocks = figures::IPV6_BLOCKS.map(|(top, weight)| (u32::from(top), weight));
        Ipv6Space {
            lengths: Weighted::new(figures::IPV6_LENGTHS),
            blocks: Weighted::new(blocks),
            taken: FastSet::default(),
            cursor: 0,
        }
    }

    pub(super) fn jump(&mut self, rng: &mut Rng) {
        let top = u64::from(self.blocks.draw(rng)) << 48;
        // A registry's /12; allocations start at /32 bounds.
        self.cursor = top | (rng.next() & 0x000f_ffff_0000_0000);
    }

    pub(super) fn draw(&mut self, rng: &mut Rng) -> Ipv6Prefix {
        if rng.chance(SCATTERED) {
            self.jump(rng);
        }
        loop {
            let len = self.lengths.draw(rng) as u8;
            let size = 1u64 << (64 - len);
            let high = self.cursor.checked_next_multiple_of(size).unwrap_or(0);
            if high >> 52 != self.cursor >> 52 || !self.taken.insert((high, len)) {
                self.jump(rng);
                continue;
            }
            self.cursor = high.wrapping_add(size);
            let addr = Ipv6Addr::from_bits(u128::from(high) << 64);
            if let Some(prefix) = Ipv6Prefix::new(addr, len) {
                return prefix;
            }
        }
    }
}
