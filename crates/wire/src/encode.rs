//! UPDATEs for every kind of peer, from canonical sets.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::attrs::AttrSetRef;
use crate::{Asn, Family, Nlri, PrefixKey, RouterId};

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

/// What a peer's kind changes in a route's attributes on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// Our AS goes in front of the path (RFC 4271 §5.1.2); `None` leaves it (iBGP, RFC 7947).
    pub prepend: Option<Asn>,
    /// Next hop: kept, or ours.
    pub next_hop: NextHopRewrite,
    /// LOCAL_PREF: stripped toward external peers; kept, or 100 where absent, toward internal ones.
    pub local_pref: bool,
    /// MULTI_EXIT_DISC is told onward.
    pub med: bool,
    /// A reflector's marks (RFC 4456 §8): the originator where the set names none, and our cluster.
    pub reflect: Option<Reflect>,
    /// OTC to add where the set has none (RFC 9234 §5).
    pub otc: Option<Asn>,
}

/// What becomes of the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHopRewrite {
    /// As received.
    Keep,
    /// Ours, by family; a family without one keeps the received.
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
    nlri: impl Iterator<Item = Nlri<P>>,
) -> Result<usize, Unsendable> {
    let _ = (out, set, rewrite, encoding, nlri.count());
    todo!()
}

/// Appends UPDATEs that withdraw `nlri`; returns how many messages.
pub fn withdraw<P: PrefixKey>(
    out: &mut Vec<u8>,
    encoding: &Encoding,
    nlri: impl Iterator<Item = Nlri<P>>,
) -> usize {
    let _ = (out, encoding, nlri.count());
    todo!()
}

/// Appends an End-of-RIB marker (RFC 4724 §2).
pub fn end_of_rib(out: &mut Vec<u8>, family: Family) {
    let _ = (out, family);
    todo!()
}
