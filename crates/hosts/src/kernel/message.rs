//! Routes as netlink messages.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{
    Emitable, NLM_F_ACK_TLVS, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NlaBuffer, NlasIterator, Parseable,
};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop,
    RouteNextHopFlags, RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use thruway_api::KernelTable;
use thruway_wire::{Family, Prefix};

use crate::table::{Hop, Refusal};

pub(super) const NEWLINK: u16 = 16;
pub(super) const DELLINK: u16 = 17;
pub(super) const NEWADDR: u16 = 20;
pub(super) const DELADDR: u16 = 21;
pub(super) const NEWROUTE: u16 = 24;
pub(super) const DELROUTE: u16 = 25;
pub(super) const NEWRULE: u16 = 32;
pub(super) const DELRULE: u16 = 33;

/// What the kernel makes of an IPv6 route's metric of 0.
const IPV6_METRIC: u32 = 1024;
/// A header of the request comes before what follows the code in an error.
const REQUEST_HEADER: usize = 16;
/// The attribute of an error that says it in words.
const ERROR_TEXT: u16 = 1;

/// A route as the kernel shows it.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) prefix: Prefix,
    pub(super) table: u32,
    pub(super) protocol: u8,
    pub(super) metric: u32,
    /// Type of service; ours have none.
    pub(super) tos: u8,
    pub(super) kind: RouteType,
    /// A copy for one destination, made by the kernel itself.
    pub(super) cloned: bool,
    pub(super) hops: Vec<Way>,
}

/// A next hop in the kernel: on-link where there is no gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) via: Option<IpAddr>,
    pub(super) link: u32,
    /// The link is down or has no carrier.
    pub(super) down: bool,
}

impl Route {
    /// It stands where a route of `target` would.
    pub(super) fn is_in_place(&self, target: &KernelTable) -> bool {
        let family = self.prefix.family();
        self.table == target.table && self.tos == 0 && self.metric == metric(family, target)
    }

    pub(super) fn is_ours(&self, target: &KernelTable) -> bool {
        self.protocol == target.protocol && self.table == target.table
    }

    /// Its next hops as we would write them.
    pub(super) fn hops(&self, out: &mut Vec<Hop>) {
        let none = unspecified(self.prefix.family());
        let hop = |way: &Way| Hop {
            via: way.via.unwrap_or(none),
            link: way.link,
        };
        out.clear();
        out.extend(self.hops.iter().map(hop));
        out.sort_unstable();
    }
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn family_of(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

/// The metric that a route of `target` has in the kernel.
fn metric(family: Family, target: &KernelTable) -> u32 {
    match (family, target.metric) {
        (Family::Ipv6, 0) => IPV6_METRIC,
        (_, metric) => metric,
    }
}

/// A route of `target` without next hops.
fn bare(prefix: Prefix, target: &KernelTable) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family_of(prefix.family()),
        destination_prefix_length: prefix.prefix_len(),
        protocol: RouteProtocol::from(target.protocol),
        ..RouteHeader::default()
    };
    let metric = metric(prefix.family(), target);
    message.attributes = vec![
        RouteAttribute::Destination(prefix.addr().into()),
        RouteAttribute::Table(target.table),
        RouteAttribute::Priority(metric),
    ];
    message
}

/// The route to write.
pub(super) fn route(prefix: Prefix, hops: &[Hop], target: &KernelTable) -> RouteNetlinkMessage {
    let mut message = bare(prefix, target);
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    let family = prefix.family();
    if let [hop] = hops {
        message.attributes.push(gateway(family, hop.via));
        message.attributes.push(RouteAttribute::Oif(hop.link));
    } else {
        let paths = hops.iter().map(|hop| {
            let mut path = RouteNextHop::default();
            path.interface_index = hop.link;
            path.attributes = vec![gateway(family, hop.via)];
            path
        });
        message
            .attributes
            .push(RouteAttribute::MultiPath(paths.collect()));
    }
    RouteNetlinkMessage::NewRoute(message)
}

/// IPv4 destinations may have an IPv6 gateway (RFC 8950): an attribute of its own.
fn gateway(family: Family, via: IpAddr) -> RouteAttribute {
    match (family, via) {
        (Family::Ipv4, IpAddr::V6(via)) => RouteAttribute::Via(RouteVia::Inet6(via)),
        _ => RouteAttribute::Gateway(via.into()),
    }
}

/// The route to take out, whatever its next hops.
pub(super) fn removal(prefix: Prefix, target: &KernelTable) -> RouteNetlinkMessage {
    let mut message = bare(prefix, target);
    // Any scope.
    message.header.scope = RouteScope::NoWhere;
    RouteNetlinkMessage::DelRoute(message)
}

/// A route to take out that has our protocol, but not our metric or a type of service.
pub(super) fn removal_of(
    prefix: Prefix,
    target: &KernelTable,
    metric: u32,
    tos: u8,
) -> RouteNetlinkMessage {
    let target = KernelTable { metric, ..*target };
    let mut message = bare(prefix, &target);
    message.header.scope = RouteScope::NoWhere;
    message.header.tos = tos;
    RouteNetlinkMessage::DelRoute(message)
}

/// Asks for a link.
pub(super) fn link(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    RouteNetlinkMessage::GetLink(message)
}

/// Asks which route the kernel would take to an address: the route itself, not what it makes of it.
pub(super) fn lookup(addr: IpAddr) -> RouteNetlinkMessage {
    let prefix = Prefix::host(addr);
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family_of(prefix.family()),
        destination_prefix_length: prefix.prefix_len(),
        flags: RouteFlags::FibMatch,
        ..RouteHeader::default()
    };
    message.attributes = vec![RouteAttribute::Destination(addr.into())];
    RouteNetlinkMessage::GetRoute(message)
}

/// Asks for all routes of a table.
pub(super) fn dump(family: Family, table: u32) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(family);
    message.attributes = vec![RouteAttribute::Table(table)];
    RouteNetlinkMessage::GetRoute(message)
}

/// Appends a request.
pub(super) fn append(out: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16, sequence: u32) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let start = out.len();
    let len = request.buffer_len().next_multiple_of(4);
    out.resize(start + len, 0);
    if let Some(place) = out.get_mut(start..) {
        request.emit(place);
    }
}

/// Sets a flag in the last request of a batch, which begins at `start`.
pub(super) fn add_flag(out: &mut [u8], start: usize, flag: u16) {
    if let Some(place) = out.get_mut(start..) {
        let mut header = NetlinkBuffer::new(place);
        let flags = header.flags();
        header.set_flags(flags | flag);
    }
}

/// Reads a route; `None` where it is none that could concern us, `Err` where it does not parse.
pub(super) fn read_route(payload: &[u8]) -> Result<Option<Route>, String> {
    let message = RouteMessage::parse(payload).map_err(|error| error.to_string())?;
    let header = message.header;
    let family = match header.address_family {
        AddressFamily::Inet => Family::Ipv4,
        AddressFamily::Inet6 => Family::Ipv6,
        _ => return Ok(None),
    };
    let mut dst = unspecified(family);
    let down = header
        .flags
        .intersects(RouteFlags::Dead | RouteFlags::Linkdown);
    let mut single = Way {
        via: None,
        link: 0,
        down,
    };
    let mut route = Route {
        prefix: Prefix::host(dst),
        table: u32::from(header.table),
        protocol: header.protocol.into(),
        metric: 0,
        tos: header.tos,
        kind: header.kind,
        cloned: header.flags.contains(RouteFlags::Cloned),
        hops: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(addr)) => dst = (*addr).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(addr)) => dst = (*addr).into(),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Oif(link) => single.link = *link,
            RouteAttribute::MultiPath(paths) => route.hops = paths.iter().map(way).collect(),
            other => single.via = single.via.or(via(other)),
        }
    }
    if route.hops.is_empty() && single.link != 0 {
        route.hops.push(single);
    }
    let Some(prefix) = Prefix::new(dst, header.destination_prefix_length) else {
        return Ok(None);
    };
    route.prefix = prefix;
    Ok(Some(route))
}

fn way(path: &RouteNextHop) -> Way {
    let down = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
    Way {
        via: path.attributes.iter().find_map(via),
        link: path.interface_index,
        down: path.flags.intersects(down),
    }
}

fn via(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(addr))
        | RouteAttribute::Via(RouteVia::Inet(addr)) => Some((*addr).into()),
        RouteAttribute::Gateway(RouteAddress::Inet6(addr))
        | RouteAttribute::Via(RouteVia::Inet6(addr)) => Some((*addr).into()),
        _ => None,
    }
}

/// What an NLMSG_ERROR says; `Ok` is an acknowledgement.
pub(super) fn outcome(message: &NetlinkBuffer<&[u8]>) -> Result<(), Refusal> {
    let payload = message.payload();
    let code = payload.first_chunk().map_or(0, |c| i32::from_ne_bytes(*c));
    if code == 0 {
        return Ok(());
    }
    let error = io::Error::from_raw_os_error(code.wrapping_abs());
    match error.kind() {
        io::ErrorKind::AlreadyExists => return Err(Refusal::Exists),
        io::ErrorKind::NotFound => return Err(Refusal::Missing),
        _ if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
            return Err(Refusal::Missing);
        }
        _ => {}
    }
    // "Network is unreachable (os error 101)": the number says nothing to people.
    let words = error.to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    let text = match explanation(message) {
        Some(why) => format!("{words}: {why}"),
        None => words.to_owned(),
    };
    let passing = [Errno::NOBUFS, Errno::NOMEM, Errno::BUSY, Errno::AGAIN];
    if passing
        .map(Errno::raw_os_error)
        .contains(&code.wrapping_abs())
    {
        return Err(Refusal::Busy(text));
    }
    Err(Refusal::Other(text))
}

/// The kernel's own words, where it has some.
fn explanation(message: &NetlinkBuffer<&[u8]>) -> Option<String> {
    if message.flags() & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let attributes = message.payload().get(4 + REQUEST_HEADER..)?;
    NlasIterator::new(attributes).find_map(|attribute| {
        let attribute: NlaBuffer<&[u8]> = attribute.ok()?;
        let text = (attribute.kind() == ERROR_TEXT).then(|| attribute.value())?;
        let text = String::from_utf8_lossy(text);
        Some(text.trim_end_matches('\0').to_owned())
    })
}
