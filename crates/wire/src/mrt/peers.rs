//! PEER_INDEX_TABLE (RFC 6396 §4.3.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::reader::{IResult, be_u8, be_u16, be_u32, error, located, octets, take};
use crate::{Asn, Field, RouterId, WireError, WireErrorKind};

/// Peer type bit: the address is IPv6.
pub(super) const PEER_IPV6: u8 = 1;
/// Peer type bit: the AS number has four octets.
pub(super) const PEER_AS4: u8 = 2;

/// A peer of a table dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MrtPeer {
    /// BGP identifier; zero where the dump does not know it.
    pub router_id: RouterId,
    /// Address; unspecified for routes of the collector's own.
    pub addr: IpAddr,
    /// AS number.
    pub asn: Asn,
}

/// The peers that the RIB records behind it point at, by position from 0.
#[derive(Clone, Copy, Debug)]
pub struct PeerIndexTable<'a> {
    /// The collector's BGP identifier.
    pub collector: RouterId,
    /// Name of the view, UTF-8 by the RFC; often empty.
    pub view_name: &'a [u8],
    count: u16,
    peers: &'a [u8],
}

impl<'a> PeerIndexTable<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        Self::read(body).map_err(|error| located(&error, body, Field::MrtBody))
    }

    fn read(body: &'a [u8]) -> Result<Self, nom::Err<WireError>> {
        let (rest, collector) = be_u32(body)?;
        let (rest, name_len) = be_u16(rest)?;
        let (rest, view_name) = take(usize::from(name_len))(rest)?;
        let (peers, count) = be_u16(rest)?;
        let mut rest = peers;
        for _ in 0..count {
            (rest, _) = peer(rest)?;
        }
        if !rest.is_empty() {
            let kind = WireErrorKind::TrailingBytes;
            return Err(nom::Err::Error(error(rest, Field::MrtBody, kind)));
        }
        Ok(PeerIndexTable {
            collector: RouterId(collector),
            view_name,
            count,
            peers,
        })
    }

    /// The first peer type with bits that have no meaning (RFC 6396 §4.3.1), and its peer's place.
    #[must_use]
    pub fn wrong_peer_type(&self) -> Option<(usize, u8)> {
        let mut rest = self.peers;
        let kinds = std::iter::from_fn(|| {
            let (kind, _) = rest.split_first()?;
            (rest, _) = peer(rest).ok()?;
            Some(*kind)
        });
        kinds
            .enumerate()
            .find(|(_, kind)| kind & !(PEER_IPV6 | PEER_AS4) != 0)
    }

    /// How many peers.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// True for a table without peers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The peers, in the order of their index.
    pub fn peers(&self) -> impl Iterator<Item = MrtPeer> + 'a {
        let mut rest = self.peers;
        std::iter::from_fn(move || {
            let (tail, peer) = peer(rest).ok()?;
            rest = tail;
            Some(peer)
        })
    }
}

fn peer(input: &[u8]) -> IResult<'_, MrtPeer> {
    let (rest, kind) = be_u8(input)?;
    let (rest, router_id) = be_u32(rest)?;
    let (rest, addr) = address(kind & PEER_IPV6 != 0)(rest)?;
    let (rest, asn) = as_number(kind & PEER_AS4 != 0)(rest)?;
    Ok((
        rest,
        MrtPeer {
            router_id: RouterId(router_id),
            addr,
            asn,
        },
    ))
}

/// An address of either family.
pub(super) fn address(ipv6: bool) -> impl Fn(&[u8]) -> IResult<'_, IpAddr> {
    move |input| {
        if ipv6 {
            octets::<16>(input).map(|(rest, addr)| (rest, Ipv6Addr::from(addr).into()))
        } else {
            octets::<4>(input).map(|(rest, addr)| (rest, Ipv4Addr::from(addr).into()))
        }
    }
}

/// An AS number of either width.
pub(super) fn as_number(as4: bool) -> impl Fn(&[u8]) -> IResult<'_, Asn> {
    move |input| {
        if as4 {
            be_u32(input).map(|(rest, asn)| (rest, Asn(asn)))
        } else {
            be_u16(input).map(|(rest, asn)| (rest, Asn(asn.into())))
        }
    }
}
