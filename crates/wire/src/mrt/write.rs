//! Writing records: TABLE_DUMP_V2 (RFC 6396 §4.3, RFC 8050 §4), BGP4MP and BGP4MP_ET (§4.4).
//!
//! Every function appends one whole record to `out`, AS numbers in four octets.

use std::net::IpAddr;

use super::peers::{PEER_AS4, PEER_IPV6};
use super::{Bgp4mpSession, MrtPeer, RibEntry, code};
use crate::attrs::{AttrSetRef, RawAttr, code as attr_code};
use crate::{Family, Field, NextHop, Prefix, PrefixKey, RouterId, WireError, WireErrorKind};

/// When a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MrtTime {
    /// Seconds since 1970.
    pub secs: u32,
    /// Microseconds, where the record is to have them: only BGP4MP_ET does.
    pub micros: Option<u32>,
}

impl MrtTime {
    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u32) -> Self {
        MrtTime { secs, micros: None }
    }
}

/// Appends a PEER_INDEX_TABLE (RFC 6396 §4.3.1). It goes in front of the RIB records.
///
/// # Errors
/// `TooLarge`, with `out` as it was: over 65,535 peers or octets of name.
pub fn peer_index_table(
    out: &mut Vec<u8>,
    timestamp: u32,
    collector: RouterId,
    view_name: &str,
    peers: &[MrtPeer],
) -> Result<(), WireError> {
    let name_len = u16::try_from(view_name.len()).map_err(|_| too_large())?;
    let count = u16::try_from(peers.len()).map_err(|_| too_large())?;
    let subtype = code::table_dump_v2::PEER_INDEX_TABLE;
    record(
        out,
        MrtTime::from_secs(timestamp),
        code::TABLE_DUMP_V2,
        subtype,
        |out| {
            out.extend_from_slice(&collector.0.to_be_bytes());
            out.extend_from_slice(&name_len.to_be_bytes());
            out.extend_from_slice(view_name.as_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            for peer in peers {
                out.push(PEER_AS4 | if peer.addr.is_ipv6() { PEER_IPV6 } else { 0 });
                out.extend_from_slice(&peer.router_id.0.to_be_bytes());
                address(out, peer.addr);
                out.extend_from_slice(&peer.asn.0.to_be_bytes());
            }
            Ok(())
        },
    )
}

/// Appends the RIB record of one unicast prefix (RFC 6396 §4.3.2; §4 of RFC 8050 with `add_path`).
/// [`rib_attrs`] makes an entry's attributes from a canonical set.
///
/// # Errors
/// `TooLarge`, with `out` as it was: over 65,535 entries or octets of attributes.
pub fn rib<'x>(
    out: &mut Vec<u8>,
    timestamp: u32,
    sequence: u32,
    prefix: Prefix,
    add_path: bool,
    entries: impl Iterator<Item = RibEntry<'x>>,
) -> Result<(), WireError> {
    use code::table_dump_v2 as subtype;
    let subtype = match (prefix.family(), add_path) {
        (Family::Ipv4, false) => subtype::RIB_IPV4_UNICAST,
        (Family::Ipv4, true) => subtype::RIB_IPV4_UNICAST_ADDPATH,
        (Family::Ipv6, false) => subtype::RIB_IPV6_UNICAST,
        (Family::Ipv6, true) => subtype::RIB_IPV6_UNICAST_ADDPATH,
    };
    record(
        out,
        MrtTime::from_secs(timestamp),
        code::TABLE_DUMP_V2,
        subtype,
        |out| {
            out.extend_from_slice(&sequence.to_be_bytes());
            nlri(out, prefix);
            let count_at = out.len();
            out.extend_from_slice(&[0; 2]);
            let mut count = 0_u16;
            for entry in entries {
                let len = u16::try_from(entry.attrs.len()).map_err(|_| too_large())?;
                count = count.checked_add(1).ok_or_else(too_large)?;
                out.extend_from_slice(&entry.peer_index.to_be_bytes());
                out.extend_from_slice(&entry.originated.to_be_bytes());
                if add_path {
                    out.extend_from_slice(&entry.path_id.to_be_bytes());
                }
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(entry.attrs);
            }
            patch(out, count_at, &count.to_be_bytes());
            Ok(())
        },
    )
}

/// Appends the path attributes of a RIB entry: a canonical set with its next hop as NEXT_HOP, or as
/// an MP_REACH_NLRI that holds nothing else (RFC 6396 §4.3.4) where it is an IPv6 one.
pub fn rib_attrs(out: &mut Vec<u8>, set: AttrSetRef<'_>) {
    let next_hop = set.next_hop();
    let place = match next_hop {
        Some(NextHop::V4(_)) => attr_code::NEXT_HOP,
        _ => attr_code::MP_REACH_NLRI,
    };
    let mut pending = next_hop;
    for attr in set.attrs() {
        if attr.code > place {
            next_hop_attr(out, pending.take());
        }
        raw_attr(out, attr);
    }
    next_hop_attr(out, pending);
}

/// Appends a BGP4MP or BGP4MP_ET message (RFC 6396 §4.4.3 and §4.4.4, RFC 8050 §3). AS numbers in
/// `message` have four octets; `add_path`: its NLRI carry path identifiers; `local`: it was sent,
/// not received.
///
/// # Errors
/// `BadValue`, with `out` as it was: the session's addresses are of two families.
pub fn message(
    out: &mut Vec<u8>,
    time: MrtTime,
    session: &Bgp4mpSession,
    add_path: bool,
    local: bool,
    message: &[u8],
) -> Result<(), WireError> {
    use code::bgp4mp as subtype;
    let subtype = match (add_path, local) {
        (false, false) => subtype::MESSAGE_AS4,
        (false, true) => subtype::MESSAGE_AS4_LOCAL,
        (true, false) => subtype::MESSAGE_AS4_ADDPATH,
        (true, true) => subtype::MESSAGE_AS4_LOCAL_ADDPATH,
    };
    record(out, time, bgp4mp(time), subtype, |out| {
        session_fields(out, session)?;
        out.extend_from_slice(message);
        Ok(())
    })
}

/// Appends a BGP4MP or BGP4MP_ET state change (RFC 6396 §4.4.1); states are numbered as in
/// [`super::StateChange`].
///
/// # Errors
/// `BadValue`, with `out` as it was: the session's addresses are of two families.
pub fn state_change(
    out: &mut Vec<u8>,
    time: MrtTime,
    session: &Bgp4mpSession,
    old: u16,
    new: u16,
) -> Result<(), WireError> {
    record(
        out,
        time,
        bgp4mp(time),
        code::bgp4mp::STATE_CHANGE_AS4,
        |out| {
            session_fields(out, session)?;
            out.extend_from_slice(&old.to_be_bytes());
            out.extend_from_slice(&new.to_be_bytes());
            Ok(())
        },
    )
}

/// Frames what `body` appends; takes it back on an error.
fn record(
    out: &mut Vec<u8>,
    time: MrtTime,
    kind: u16,
    subtype: u16,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let start = out.len();
    out.extend_from_slice(&time.secs.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&subtype.to_be_bytes());
    let len_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let body_at = out.len();
    if kind == code::BGP4MP_ET {
        out.extend_from_slice(&time.micros.unwrap_or_default().to_be_bytes());
    }
    let written = body(out).and_then(|()| {
        let len = out.len().saturating_sub(body_at);
        let fits = len <= crate::limits::MRT_RECORD_LEN_MAX;
        u32::try_from(len)
            .ok()
            .filter(|_| fits)
            .ok_or_else(too_large)
    });
    match written {
        Ok(len) => {
            patch(out, len_at, &len.to_be_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

fn bgp4mp(time: MrtTime) -> u16 {
    if time.micros.is_some() {
        code::BGP4MP_ET
    } else {
        code::BGP4MP
    }
}

fn session_fields(out: &mut Vec<u8>, session: &Bgp4mpSession) -> Result<(), WireError> {
    let afi: u16 = match (session.peer_addr, session.local_addr) {
        (IpAddr::V4(_), IpAddr::V4(_)) => 1,
        (IpAddr::V6(_), IpAddr::V6(_)) => 2,
        _ => {
            let kind = WireErrorKind::BadValue;
            return Err(WireError {
                field: Field::MrtBody,
                kind,
                offset: 0,
            });
        }
    };
    out.extend_from_slice(&session.peer_as.0.to_be_bytes());
    out.extend_from_slice(&session.local_as.0.to_be_bytes());
    out.extend_from_slice(&session.interface.to_be_bytes());
    out.extend_from_slice(&afi.to_be_bytes());
    address(out, session.peer_addr);
    address(out, session.local_addr);
    Ok(())
}

fn next_hop_attr(out: &mut Vec<u8>, next_hop: Option<NextHop>) {
    match next_hop {
        None => {}
        Some(next_hop @ NextHop::V4(_)) => {
            out.extend_from_slice(&[0x40, attr_code::NEXT_HOP, 4]);
            next_hop.write(out);
        }
        Some(next_hop) => {
            let len: u8 = if matches!(next_hop, NextHop::V6(_)) {
                16
            } else {
                32
            };
            out.extend_from_slice(&[0x80, attr_code::MP_REACH_NLRI, len.saturating_add(1), len]);
            next_hop.write(out);
        }
    }
}

fn raw_attr(out: &mut Vec<u8>, attr: RawAttr<'_>) {
    const EXTENDED: u8 = 0x10;
    let len = attr.value.len();
    match u8::try_from(len) {
        Ok(len) => out.extend_from_slice(&[attr.flags & !EXTENDED, attr.code, len]),
        Err(_) => {
            out.extend_from_slice(&[attr.flags | EXTENDED, attr.code]);
            // A set's values are shorter: each came in a message or passed the editor's checks.
            out.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(attr.value);
}

fn nlri(out: &mut Vec<u8>, prefix: Prefix) {
    let (len, octets) = match prefix {
        Prefix::V4(prefix) => (prefix.prefix_len(), prefix.octets()),
        Prefix::V6(prefix) => (prefix.prefix_len(), prefix.octets()),
    };
    out.push(len);
    out.extend_from_slice(
        octets
            .get(..usize::from(len.div_ceil(8)))
            .unwrap_or_default(),
    );
}

fn address(out: &mut Vec<u8>, addr: IpAddr) {
    match addr {
        IpAddr::V4(addr) => out.extend_from_slice(&addr.octets()),
        IpAddr::V6(addr) => out.extend_from_slice(&addr.octets()),
    }
}

fn patch(out: &mut [u8], at: usize, octets: &[u8]) {
    let place = out
        .get_mut(at..)
        .and_then(|tail| tail.get_mut(..octets.len()));
    if let Some(place) = place {
        place.copy_from_slice(octets);
    }
}

fn too_large() -> WireError {
    WireError {
        field: Field::MrtBody,
        kind: WireErrorKind::TooLarge,
        offset: 0,
    }
}
