//! What the crate's tests share.

use thruway_wire::attrs::{AttrSet, AttrSetBuf, RawAttr, TRANSITIVE, code};
use thruway_wire::{Asn, NextHop};

/// A set with this path.
pub(crate) fn path(asns: &[u32]) -> AttrSetBuf {
    let mut value = vec![2, asns.len() as u8];
    asns.iter()
        .for_each(|asn| value.extend_from_slice(&asn.to_be_bytes()));
    let value = if asns.is_empty() { Vec::new() } else { value };
    let attr = |code, value| RawAttr {
        flags: TRANSITIVE,
        code,
        value,
    };
    let attrs = [attr(code::ORIGIN, &[0]), attr(code::AS_PATH, &value)];
    AttrSetBuf::from_parts(Some(NextHop::V4([192, 0, 2, 1].into())), attrs.into_iter())
}

/// A set like no other one with another number.
pub(crate) fn set(number: u32) -> AttrSet {
    let mut set = path(&[64601]);
    set.prepend(Asn(number), 1);
    AttrSet::new(set.as_ref())
}
