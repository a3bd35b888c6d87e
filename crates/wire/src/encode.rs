//! UPDATEs for every kind of peer, from canonical sets.

mod derive;
mod pack;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::attrs::AttrSetRef;
use crate::limits::{MESSAGE_LEN_MAX, PLAIN_SET_LEN_MAX};
use crate::{Asn, Family, Ipv6Prefix, NextHop, Nlri, PrefixKey, RouterId};

/// What one session's capabilities make of the bytes. Members of an update group share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// AS numbers in four octets; else AS_PATH with AS_TRANS and AS4_PATH (RFC 6793).
    pub as4: bool,
    /// NLRI carry path identifiers (RFC 7911), for the family being encoded.
    pub add_path: bool,
    /// Largest message: 4,096 or 65,535.
    pub max_len: u16,
    /// IPv4 NLRI may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// The IPv6 subnet that we share with the peer, on a link: a link-local next hop goes along with
    /// a global one in it, and with no other (RFC 2545 §3).
    pub link: Option<Ipv6Prefix>,
}

impl Encoding {
    /// What every speaker of today takes: AS numbers in four octets, nothing else beyond RFC 4271.
    pub const PLAIN: Encoding = Encoding {
        as4: true,
        add_path: false,
        max_len: MESSAGE_LEN_MAX as u16,
        extended_next_hop: false,
        link: None,
    };
}

/// What a peer's kind changes in a route's attributes on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// Our AS goes in front of the path (RFC 4271 §5.1.2); `None` leaves the path (iBGP, RFC 7947).
    pub prepend: Option<Asn>,
    /// Next hop: kept, or ours.
    pub next_hop: NextHopRewrite,
    /// LOCAL_PREF: kept, or 100 where absent, toward internal peers. Stripped toward external ones
    /// (`false`, or with `prepend`), as are ORIGINATOR_ID, CLUSTER_LIST and the confederation
    /// segments of AS_PATH.
    pub local_pref: bool,
    /// MULTI_EXIT_DISC is told onward.
    pub med: bool,
    /// A reflector's marks (RFC 4456 §8): the originator where the set names none, and our cluster.
    pub reflect: Option<Reflect>,
    /// OTC to add where the set has none (RFC 9234 §5).
    pub otc: Option<Asn>,
}

impl Rewrite {
    /// A route server's toward its clients (RFC 7947 §2.2): the attributes go on as they came.
    pub const TRANSPARENT: Rewrite = Rewrite {
        prepend: None,
        next_hop: NextHopRewrite::Keep,
        local_pref: false,
        med: true,
        reflect: None,
        otc: None,
    };
}

/// What becomes of the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHopRewrite {
    /// As received.
    Keep,
    /// Ours, by family. IPv4 NLRI take the IPv6 address where there is no IPv4 one and the peer
    /// accepts that (RFC 8950); a family without any keeps the received.
    Own(Option<Ipv4Addr>, Option<Ipv6Addr>),
}

/// RFC 4456 §8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reflect {
    /// BGP identifier of the peer that the route came from.
    pub originator: RouterId,
    /// Our cluster.
    pub cluster: RouterId,
}

/// Why routes cannot be told to a peer: they must be withdrawn there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// The attributes alone exceed the message size (RFC 8654 §5).
    TooLarge,
    /// The peer cannot be given the next hop with NLRI of this family (RFC 4760 §3, RFC 8950 §4), it
    /// is one of a link that the peer is not on (RFC 2545 §3), or there is none.
    NextHop,
}

/// True where [`announce`] takes the set with NLRI of `family` whatever the peer: most sets, and found
/// without looking at their attributes.
#[must_use]
pub fn always_sendable(family: Family, set: AttrSetRef<'_>) -> bool {
    let plain = match family {
        Family::Ipv4 => set.meta.next_hop_len == 4,
        Family::Ipv6 => match set.next_hop() {
            Some(NextHop::V6(hop) | NextHop::V6LinkLocal { global: hop, .. }) => !is_of_a_link(hop),
            _ => false,
        },
    };
    plain && set.bytes.len() <= PLAIN_SET_LEN_MAX
}

/// Whether [`announce`] takes the set, whatever the prefixes. `scratch` is left as it was.
///
/// # Errors
/// What [`announce`] gives.
pub fn sendable<P: PrefixKey>(
    scratch: &mut Vec<u8>,
    set: AttrSetRef<'_>,
    rewrite: &Rewrite,
    encoding: &Encoding,
) -> Result<(), Unsendable> {
    if set.bytes.len() <= PLAIN_SET_LEN_MAX {
        return outgoing_next_hop(P::FAMILY, set.next_hop(), rewrite, encoding).map(|_| ());
    }
    // Whether there is room is asked for the widest NLRI, so one prefix stands for all.
    let any = P::from_octets(&[0; 16], 0).map(|prefix| Nlri { path_id: 0, prefix });
    let start = scratch.len();
    let sent = announce(scratch, set, rewrite, encoding, any.into_iter());
    scratch.truncate(start);
    sent.map(|_| ())
}

/// Appends UPDATEs that announce `nlri` with `set`, as few as fit; returns how many messages.
///
/// # Errors
/// [`Unsendable`], with `out` as it was.
pub fn announce<P: PrefixKey>(
    out: &mut Vec<u8>,
    set: AttrSetRef<'_>,
    rewrite: &Rewrite,
    encoding: &Encoding,
    mut nlri: impl Iterator<Item = Nlri<P>>,
) -> Result<usize, Unsendable> {
    let Some(first) = nlri.next() else {
        return Ok(0);
    };
    let hop = outgoing_next_hop(P::FAMILY, set.next_hop(), rewrite, encoding)?;
    let start = out.len();
    let packed = match (P::FAMILY, hop) {
        (Family::Ipv4, NextHop::V4(hop)) => pack::Classic::begin(out, set, rewrite, encoding, hop)
            .and_then(|classic| pack::pack(out, classic, encoding, first, nlri)),
        _ => pack::Reach::begin(out, set, rewrite, encoding, P::FAMILY, hop)
            .and_then(|reach| pack::pack(out, reach, encoding, first, nlri)),
    };
    if packed.is_err() {
        out.truncate(start);
    }
    packed
}

/// Appends UPDATEs that withdraw `nlri`; returns how many messages.
pub fn withdraw<P: PrefixKey>(
    out: &mut Vec<u8>,
    encoding: &Encoding,
    mut nlri: impl Iterator<Item = Nlri<P>>,
) -> usize {
    let Some(first) = nlri.next() else { return 0 };
    let packed = match P::FAMILY {
        Family::Ipv4 => pack::pack(out, pack::Withdrawn, encoding, first, nlri),
        family => pack::pack(out, pack::Unreach { family }, encoding, first, nlri),
    };
    // Without attributes there is always room.
    packed.unwrap_or(0)
}

/// Appends an End-of-RIB marker (RFC 4724 §2).
pub fn end_of_rib(out: &mut Vec<u8>, family: Family) {
    pack::end_of_rib(out, family);
}

/// The next hop that goes out with NLRI of `family`.
fn outgoing_next_hop(
    family: Family,
    received: Option<NextHop>,
    rewrite: &Rewrite,
    encoding: &Encoding,
) -> Result<NextHop, Unsendable> {
    let v6_for_v4 = family == Family::Ipv4 && encoding.extended_next_hop;
    let own = match rewrite.next_hop {
        NextHopRewrite::Keep => None,
        NextHopRewrite::Own(v4, v6) => {
            let v4 = v4.filter(|_| family == Family::Ipv4).map(NextHop::V4);
            let v6 = v6
                .filter(|_| family == Family::Ipv6 || v6_for_v4)
                .map(NextHop::V6);
            v4.or(v6)
        }
    };
    let hop = match own.or(received) {
        Some(NextHop::V4(hop)) if family == Family::Ipv4 => return Ok(NextHop::V4(hop)),
        Some(hop @ (NextHop::V6(_) | NextHop::V6LinkLocal { .. }))
            if family == Family::Ipv6 || v6_for_v4 =>
        {
            hop
        }
        _ => return Err(Unsendable::NextHop),
    };
    if own.is_some() {
        return Ok(hop);
    }
    on_the_link(hop, encoding)
}

/// What goes out of a received IPv6 next hop: a link-local address only to who shares its link.
#[inline(never)]
fn on_the_link(hop: NextHop, encoding: &Encoding) -> Result<NextHop, Unsendable> {
    match hop {
        NextHop::V6LinkLocal { global, .. } if !is_of_a_link(global) => {
            let host = Ipv6Prefix::host(global);
            let shared = encoding.link.is_some_and(|link| link.covers(&host));
            Ok(if shared { hop } else { NextHop::V6(global) })
        }
        NextHop::V6(addr) if !is_of_a_link(addr) => Ok(hop),
        // Of nothing but a link's address nobody can tell which link it is: the neighbour's, or another.
        _ => Err(Unsendable::NextHop),
    }
}

/// True where an address says nothing beyond its link: link-local, or unspecified where a link-local
/// one stands beside it.
fn is_of_a_link(addr: Ipv6Addr) -> bool {
    addr.is_unicast_link_local() || addr.is_unspecified()
}
