//! Tables from a seed: the same on every machine.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use thruway_wire::attrs::{AttrSetBuf, AttrSetRef, RawAttr, TRANSITIVE, code};
use thruway_wire::encode::{self, Encoding, Rewrite};
use thruway_wire::limits::HEADER_LEN;
use thruway_wire::{Community, Ipv4Prefix, NextHop, Nlri, PrefixKey};

/// A linear congruential generator.
pub struct Numbers(pub u64);

impl Numbers {
    /// The next one, of 48 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// An IPv4 prefix: half of them /24, as in the real table.
    pub fn ipv4(&mut self) -> Ipv4Prefix {
        let len = [24, 24, 24, 24, 24, 23, 22, 22, 20, 16][self.below(10) as usize];
        let addr = Ipv4Addr::from_bits(self.draw() as u32 % 0xe000_0000);
        Ipv4Prefix::new(addr, len).expect("a length below 33")
    }
}

/// Different prefixes, in no order.
#[must_use]
pub fn prefixes(count: usize) -> Vec<Ipv4Prefix> {
    let mut numbers = Numbers(1);
    let mut seen = HashSet::new();
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let prefix = numbers.ipv4();
        if seen.insert(prefix) {
            all.push(prefix);
        }
    }
    all
}

/// A set of peer `peer`: two to six hops behind its AS, up to three communities, MED now and then.
#[must_use]
pub fn set(peer: u16, number: usize, version: u64, hop: NextHop) -> AttrSetBuf {
    let mut numbers = Numbers(number as u64 ^ version << 40);
    let hops = 2 + numbers.below(5);
    let mut path = vec![2, 1 + hops as u8];
    path.extend_from_slice(&(64_512 + u32::from(peer)).to_be_bytes());
    for _ in 0..hops {
        path.extend_from_slice(&(1 + numbers.draw() as u32 % 400_000).to_be_bytes());
    }
    let mut attrs = vec![
        (TRANSITIVE, code::ORIGIN, vec![0]),
        (TRANSITIVE, code::AS_PATH, path),
    ];
    if numbers.below(100) < 30 {
        attrs.push((0x80, code::MED, vec![0, 0, 0, 10]));
    }
    let attrs = attrs.iter().map(|(flags, code, value)| RawAttr {
        flags: *flags,
        code: *code,
        value,
    });
    let mut set = AttrSetBuf::from_parts(Some(hop), attrs);
    for _ in 0..numbers.below(4) {
        set.add_community(Community((64_512 << 16) | (numbers.draw() as u32 % 1000)));
    }
    set
}

/// The body of the first UPDATE that announces `nlri` with a set as it is.
#[must_use]
pub fn body<P: PrefixKey>(set: AttrSetRef<'_>, nlri: &[Nlri<P>]) -> Vec<u8> {
    let mut out = Vec::new();
    let (rewrite, encoding) = (&Rewrite::TRANSPARENT, &Encoding::PLAIN);
    let nlri = nlri.iter().copied();
    encode::announce(&mut out, set, rewrite, encoding, nlri).expect("it fits");
    let len = usize::from(u16::from_be_bytes([out[16], out[17]]));
    out[HEADER_LEN..len].to_vec()
}
