//! The one-line format of bgpdump's `-m`: fields between bars, one line a prefix.
//!
//! ```text
//! TABLE_DUMP2|time|B|peer|peer AS|prefix|attributes
//! BGP4MP|time|A|peer|peer AS|prefix|attributes
//! BGP4MP|time|W|peer|peer AS|prefix
//! BGP4MP|time|STATE|peer|peer AS|old|new
//!
//! attributes: AS path|origin|next hop|local pref|MED|communities|AG or NAG|aggregator|
//! ```
//!
//! The first field ends in `_AP` where a path identifier follows the prefix. Scripts depend on the
//! oddities: absent numbers are 0, an absent origin is INCOMPLETE, an absent next hop is
//! 255.255.255.255, `no-export` has a name and newer communities have none, OPEN, NOTIFICATION and
//! KEEPALIVE are not shown.

use std::net::{IpAddr, Ipv4Addr};

use thruway_wire::attrs::{AttrSetBuf, SegmentType};
use thruway_wire::mrt::{MrtHeader, MrtPeer, Rib, StateChange, TableDump, code};
use thruway_wire::{AfiSafi, Asn, Community, NextHop, Prefix};

use super::facts::{Facts, Fields, IPV4, NlriRun, Shape, is_ipv6};
use super::packet::{Packet, UPDATE};
use super::put;
use super::scratch::Scratch;

/// Makes lines; keeps its buffers.
#[derive(Debug, Default)]
pub(super) struct Lines {
    head: Vec<u8>,
    tail: Vec<u8>,
    wide: AttrSetBuf,
}

impl Lines {
    /// One line for each entry of a TABLE_DUMP record.
    pub(super) fn table_dump(
        &mut self,
        out: &mut Vec<u8>,
        header: &MrtHeader,
        dump: &TableDump<'_>,
    ) {
        for entry in dump.entries() {
            let shape = Shape {
                rib: true,
                as2: true,
            };
            let facts = Facts::read(entry.attrs, shape, &mut self.wide);
            attributes(
                &mut self.tail,
                &facts,
                facts.mp_next_hop().or(facts.next_hop),
            );
            out.extend_from_slice(b"TABLE_DUMP|");
            time(out, header);
            out.extend_from_slice(b"|B|");
            peer(out, entry.peer_addr, entry.peer_as);
            put::prefix(out, entry.prefix);
            out.extend_from_slice(&self.tail);
        }
    }

    /// One line for each path of a RIB record whose peer is known.
    pub(super) fn rib(
        &mut self,
        out: &mut Vec<u8>,
        header: &MrtHeader,
        rib: &Rib<'_>,
        peers: &[MrtPeer],
    ) {
        for entry in rib.entries() {
            let Some(from) = peers.get(usize::from(entry.peer_index)) else {
                continue;
            };
            let shape = Shape {
                rib: true,
                as2: false,
            };
            let facts = Facts::read(entry.attrs, shape, &mut self.wide);
            attributes(
                &mut self.tail,
                &facts,
                facts.mp_next_hop().or(facts.next_hop),
            );
            out.extend_from_slice(if rib.add_path {
                b"TABLE_DUMP2_AP|"
            } else {
                b"TABLE_DUMP2|"
            });
            time(out, header);
            out.extend_from_slice(b"|B|");
            peer(out, from.addr, from.asn);
            nlri(out, rib.add_path, entry.path_id, rib.prefix);
            out.extend_from_slice(&self.tail);
        }
    }

    /// The lines of an UPDATE: withdrawals first; other messages have none.
    pub(super) fn packet(&mut self, out: &mut Vec<u8>, packet: &Packet<'_>, scratch: &mut Scratch) {
        if packet.kind() != UPDATE {
            return;
        }
        let Some(fields) = Fields::locate(packet.body()) else {
            return;
        };
        let update = packet.update(&fields, &mut scratch.wide, &mut scratch.notes);
        let (facts, add_path) = (update.facts, update.add_path);

        head(&mut self.head, packet, add_path, b'W');
        let unreach = facts.mp_unreach.into_iter();
        for (family, run) in [(IPV4, fields.withdrawn)].into_iter().chain(unreach) {
            withdrawn(out, &self.head, family, run, add_path);
        }
        head(&mut self.head, packet, add_path, b'A');
        if !fields.nlri.is_empty() {
            attributes(&mut self.tail, &facts, facts.next_hop);
            announced(out, &self.head, &self.tail, IPV4, fields.nlri, add_path);
        }
        if let Some(reach) = facts.mp_reach
            && let Some(family) = reach.family
        {
            attributes(&mut self.tail, &facts, facts.mp_next_hop());
            announced(out, &self.head, &self.tail, family, reach.nlri, add_path);
        }
    }
}

/// Appends the line of a state change.
pub(super) fn state_change(out: &mut Vec<u8>, header: &MrtHeader, change: &StateChange) {
    out.extend_from_slice(if is_et(header) {
        b"BGP4MP_ET|"
    } else {
        b"BGP4MP|"
    });
    time(out, header);
    out.extend_from_slice(b"|STATE|");
    peer(out, change.session.peer_addr, change.session.peer_as);
    put::number(out, change.old.into());
    out.push(b'|');
    put::number(out, change.new.into());
    out.push(b'\n');
}

/// What stands in front of the prefix in each line of a message.
fn head(head: &mut Vec<u8>, packet: &Packet<'_>, add_path: bool, letter: u8) {
    head.clear();
    head.extend_from_slice(if is_et(&packet.header) {
        b"BGP4MP_ET"
    } else {
        b"BGP4MP"
    });
    if packet.local {
        head.extend_from_slice(b"_LOCAL");
    }
    head.extend_from_slice(if add_path { b"_AP|" } else { b"|" });
    time(head, &packet.header);
    head.extend_from_slice(&[b'|', letter, b'|']);
    peer(head, packet.session.peer_addr, packet.session.peer_as);
}

fn withdrawn(out: &mut Vec<u8>, head: &[u8], family: AfiSafi, run: &[u8], add_path: bool) {
    let Some(ipv6) = is_ipv6(family) else { return };
    for (path_id, prefix) in NlriRun::new(run, ipv6, add_path) {
        out.extend_from_slice(head);
        put::prefix(out, prefix);
        if add_path {
            out.push(b'|');
            put::number(out, path_id);
        }
        out.push(b'\n');
    }
}

fn announced(
    out: &mut Vec<u8>,
    head: &[u8],
    tail: &[u8],
    family: AfiSafi,
    run: &[u8],
    add_path: bool,
) {
    let Some(ipv6) = is_ipv6(family) else { return };
    for (path_id, prefix) in NlriRun::new(run, ipv6, add_path) {
        out.extend_from_slice(head);
        nlri(out, add_path, path_id, prefix);
        out.extend_from_slice(tail);
    }
}

fn is_et(header: &MrtHeader) -> bool {
    header.kind == code::BGP4MP_ET
}

fn time(out: &mut Vec<u8>, header: &MrtHeader) {
    put::number(out, header.timestamp);
    if let Some(micros) = header.micros {
        out.push(b'.');
        // Six digits; more only where the file has more.
        let mut limit = 100_000;
        while limit > micros && limit > 1 {
            out.push(b'0');
            limit /= 10;
        }
        put::number(out, micros);
    }
}

fn peer(out: &mut Vec<u8>, addr: IpAddr, asn: Asn) {
    put::addr(out, addr);
    out.push(b'|');
    put::number(out, asn.0);
    out.push(b'|');
}

fn nlri(out: &mut Vec<u8>, add_path: bool, path_id: u32, prefix: Prefix) {
    put::prefix(out, prefix);
    if add_path {
        out.push(b'|');
        put::number(out, path_id);
    }
}

/// Everything behind the prefix, the same for all prefixes of a message.
fn attributes(tail: &mut Vec<u8>, facts: &Facts<'_>, next_hop: Option<NextHop>) {
    tail.clear();
    tail.push(b'|');
    as_path(tail, facts);
    tail.extend_from_slice(match facts.origin {
        Some(0) => b"|IGP|",
        Some(1) => b"|EGP|",
        _ => b"|INCOMPLETE|",
    });
    let next_hop = match next_hop {
        Some(NextHop::V6LinkLocal { global, .. }) => global.into(),
        Some(next_hop) => next_hop.addr(),
        None => IpAddr::V4(Ipv4Addr::BROADCAST),
    };
    put::addr(tail, next_hop);
    tail.push(b'|');
    put::number(tail, facts.local_pref.unwrap_or_default());
    tail.push(b'|');
    put::number(tail, facts.med.unwrap_or_default());
    tail.push(b'|');
    for (index, community) in facts.communities().enumerate() {
        if index > 0 {
            tail.push(b' ');
        }
        match community {
            Community::NO_EXPORT => tail.extend_from_slice(b"no-export"),
            Community::NO_ADVERTISE => tail.extend_from_slice(b"no-advertise"),
            Community::NO_EXPORT_SUBCONFED => tail.extend_from_slice(b"local-AS"),
            Community(value) => {
                put::number(tail, value >> 16);
                tail.push(b':');
                put::number(tail, value & 0xffff);
            }
        }
    }
    tail.extend_from_slice(if facts.atomic_aggregate {
        b"|AG|"
    } else {
        b"|NAG|"
    });
    if let Some((asn, addr)) = facts.aggregator {
        put::number(tail, asn.0);
        tail.push(b' ');
        put::addr(tail, addr.into());
    }
    tail.extend_from_slice(b"|\n");
}

fn as_path(out: &mut Vec<u8>, facts: &Facts<'_>) {
    let Some(path) = facts.as_path else { return };
    for (index, (kind, asns)) in path.segments().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        let (open, between, close): (&[u8], u8, &[u8]) = match kind {
            SegmentType::Sequence => (b"", b' ', b""),
            SegmentType::Set => (b"{", b',', b"}"),
            SegmentType::ConfedSequence => (b"(", b' ', b")"),
            SegmentType::ConfedSet => (b"[", b',', b"]"),
        };
        out.extend_from_slice(open);
        for (index, asn) in asns.enumerate() {
            if index > 0 {
                out.push(between);
            }
            put::number(out, asn.0);
        }
        out.extend_from_slice(close);
    }
}
