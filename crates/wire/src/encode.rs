//! UPDATEs for every kind of peer, from canonical sets.

mod derive;
mod pack;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::attrs::AttrSetRef;
use crate::limits::MESSAGE_LEN_MAX;
use crate::{Asn, Family, NextHop, Nlri, PrefixKey, RouterId};

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
}

impl Encoding {
    /// What every speaker of today takes: AS numbers in four octets, nothing else beyond RFC 4271.
    pub const PLAIN: Encoding = Encoding {
        as4: true,
        add_path: false,
        max_len: MESSAGE_LEN_MAX as u16,
        extended_next_hop: false,
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
    /// The peer cannot be given the next hop with NLRI of this family (RFC 4760 §3, RFC 8950 §4),
    /// or there is none.
    NextHop,
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
    match own.or(received) {
        Some(NextHop::V4(hop)) if family == Family::Ipv4 => Ok(NextHop::V4(hop)),
        Some(hop @ (NextHop::V6(_) | NextHop::V6LinkLocal { .. }))
            if family == Family::Ipv6 || v6_for_v4 =>
        {
            Ok(hop)
        }
        _ => Err(Unsendable::NextHop),
    }
}
