//! A virtual network: `[vnet]`, `[route-exchange]`, `[[nva]]`, `[gateway.…]` and `[hosts]`.
//!
//! `keys` has the tables as they are written, this file reads them, `space` checks that addresses
//! have one owner, and `sites` makes the sessions of NVAs and gateways, which from then on are peers
//! like others.

pub(super) mod keys;
mod sites;
mod space;

use std::net::IpAddr;

use thruway_exchange::{Kind, PeeredVnet, Vnet};
use thruway_wire::{Family, Prefix};

use self::keys::{HostsKeys, PeeredKeys, SwitchKeys, VnetKeys};
use self::sites::{RawGateway, RawNva};
use super::reader::{Reader, Section, Spot};
use super::resolve::Place;
use super::value::Many;
use super::{Exchange, Gateway, HostsConfig, Mode, Nva, Peer, Server};

/// Tables of a virtual network.
pub(super) const TABLES: &[&str] = &["vnet", "route-exchange", "nva", "gateway", "hosts"];

/// What marks routes as ours in the kernel: a number that nothing else of note uses.
const PROTOCOL: u8 = 179;
/// Protocols below are the kernel's own, or those of people at a keyboard (rtnetlink(7)).
const PROTOCOL_MIN: u8 = 5;
/// Behind what people and DHCP put there; also what the kernel gives IPv6 routes without a metric.
const METRIC: u32 = 1024;
/// The kernel's table of its own addresses.
const TABLE_LOCAL: u32 = 255;
/// Paths that hosts use together.
const MAX_PATHS: u8 = 16;

/// Notes tables that are another mode's.
pub(super) fn check_mode(top: &Section<'_>, mode: Mode, reader: &mut Reader) {
    let (tables, message) = match mode {
        Mode::Exchange => (
            ["peer", "peer-group"].as_slice(),
            "in exchange mode neighbours are [[nva]], [gateway.expressroute] and [gateway.vpn]; \
             this table is for mode = \"plain\" or \"transparent\"",
        ),
        Mode::Plain | Mode::Transparent => (
            TABLES,
            "it is part of a virtual network, which needs mode = \"exchange\" in [server]",
        ),
    };
    for table in tables {
        if let Some(value) = top.value(table) {
            // An array's own span is that of its brackets, which `[[…]]` has none of.
            let first = value.get_ref().as_array().and_then(|list| list.first());
            let line = reader.line(first.unwrap_or(value).span());
            reader.error(line, table, message);
        }
    }
}

/// Reads the tables, and makes the sessions that they ask for. `None` where there is no network to
/// speak of; the errors say so.
pub(super) fn read(
    top: &Section<'_>,
    server: &Server,
    reader: &mut Reader,
) -> Option<(Exchange, Vec<(Peer, Place)>)> {
    let mut section = |key: &str| {
        let value = top.value(key)?;
        Section::new(value, key.into(), reader)
    };
    let (vnet, switch) = (section("vnet"), section("route-exchange"));
    let (gateways, hosts) = (section("gateway"), section("hosts"));
    let vnet = read_vnet(vnet.as_ref(), top, reader);
    let switch = switch.map(|section| {
        section.check_keys(&[SwitchKeys::KEYS], reader);
        SwitchKeys::read(&section, reader)
    });
    let switch = switch.unwrap_or_default();
    let nvas = sites::read_nvas(top.value("nva"), server, reader);
    let gateways = gateways.map_or_else(Vec::new, |section| read_gateways(&section, reader));
    let (max_paths, hosts) = read_hosts(hosts.as_ref(), reader);
    let vnet = vnet?;
    space::check(&vnet, &gateways, &nvas, server, reader);
    let exchange = Exchange {
        vnet: resolve_vnet(&vnet, server, reader),
        enabled: Spot::value(switch.enabled).unwrap_or(false),
        preference: Spot::value(switch.preference).unwrap_or_default(),
        max_paths,
        hosts,
        gateways: gateways.iter().map(RawGateway::resolved).collect(),
        nvas: nvas.iter().map(RawNva::resolved).collect(),
    };
    let peers = sites::peers(nvas, gateways, &exchange, server, reader);
    Some((exchange, peers))
}

fn read_vnet(
    section: Option<&Section<'_>>,
    top: &Section<'_>,
    reader: &mut Reader,
) -> Option<VnetKeys> {
    let Some(section) = section else {
        if top.value("vnet").is_none() {
            let message = "the table [vnet] is missing: which prefixes the network has";
            reader.error(0, "vnet", message);
        }
        return None;
    };
    section.check_keys(&[VnetKeys::KEYS], reader);
    if section.value("prefixes").is_none() {
        reader.error(section.line, "vnet.prefixes", "the key is missing");
    }
    let keys = VnetKeys::read(section, reader);
    let mut names: Vec<&str> = Vec::new();
    for peered in keys.peered.iter().flat_map(|peered| &peered.value.0) {
        check_peered(peered, &mut names, reader);
    }
    Some(keys)
}

fn check_peered<'k>(peered: &'k Spot<PeeredKeys>, names: &mut Vec<&'k str>, reader: &mut Reader) {
    match &peered.value.name {
        Some(name) if names.contains(&name.value.as_str()) => {
            reader.error_at(name, format!("`{}` stands twice", name.value));
        }
        Some(name) => names.push(&name.value),
        None => reader.error_at(peered, "it needs a name"),
    }
    if peered.value.prefixes.is_none() {
        reader.error_at(peered, "it needs prefixes");
    }
}

/// The network with its next hops; a family that has prefixes has one.
fn resolve_vnet(keys: &VnetKeys, server: &Server, reader: &mut Reader) -> Vnet {
    let list = |prefixes: &Option<Spot<Many<Prefix>>>| {
        let spots = prefixes.iter().flat_map(|prefixes| &prefixes.value.0);
        spots.map(|spot| spot.value).collect::<Vec<Prefix>>()
    };
    let peered = keys.peered.iter().flat_map(|peered| &peered.value.0);
    let mut vnet = Vnet {
        prefixes: list(&keys.prefixes),
        peered: peered
            .map(|peered| PeeredVnet {
                name: Spot::value(peered.value.name.clone()).unwrap_or_default(),
                prefixes: list(&peered.value.prefixes),
            })
            .collect(),
        ..Vnet::default()
    };
    for spot in keys.next_hop.iter().flat_map(|hops| &hops.value.0) {
        let hop = spot.value;
        let again = match hop {
            IpAddr::V4(hop) => vnet.next_hop_v4.replace(hop).is_some(),
            IpAddr::V6(hop) => vnet.next_hop_v6.replace(hop).is_some(),
        };
        if again {
            reader.error_at(spot, "one address of a family is enough");
        }
        let link_local = matches!(hop, IpAddr::V6(hop) if hop.is_unicast_link_local());
        if hop.is_unspecified() || hop.is_multicast() || link_local {
            reader.error_at(spot, format!("{hop} is no next hop"));
        }
    }
    for family in Family::ALL {
        if vnet.next_hop(family).is_none() {
            match own_address(server, family) {
                Some(IpAddr::V4(own)) => vnet.next_hop_v4 = Some(own),
                Some(IpAddr::V6(own)) => vnet.next_hop_v6 = Some(own),
                None => check_no_next_hop(keys, family, reader),
            }
        }
    }
    vnet
}

/// The one address of a family that the server listens on.
fn own_address(server: &Server, family: Family) -> Option<IpAddr> {
    let of_family = |addr: &IpAddr| addr.is_ipv4() == (family == Family::Ipv4);
    let mut heard = server.listen.iter().map(|addr| addr.ip()).filter(of_family);
    match (heard.next(), heard.next()) {
        (Some(own), None) if !own.is_unspecified() => Some(own),
        _ => None,
    }
}

fn check_no_next_hop(keys: &VnetKeys, family: Family, reader: &mut Reader) {
    let peered = keys.peered.iter().flat_map(|peered| &peered.value.0);
    let peered = peered.filter_map(|peered| peered.value.prefixes.as_ref());
    let mut prefixes = keys
        .prefixes
        .iter()
        .chain(peered)
        .flat_map(|list| &list.value.0);
    if let Some(spot) = prefixes.find(|spot| spot.value.family() == family) {
        let message = format!(
            "nothing says where {family} prefixes point: set vnet.next-hop, or one {family} address \
             in server.listen"
        );
        reader.error_at(spot, message);
    }
}

fn read_gateways(section: &Section<'_>, reader: &mut Reader) -> Vec<RawGateway> {
    const NAMES: [&str; 2] = [Kind::ExpressRoute.as_str(), Kind::Vpn.as_str()];
    section.check_keys(&[&NAMES], reader);
    let mut gateways = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_gateway()) {
        let Some(value) = section.value(kind.as_str()) else {
            continue;
        };
        let path = section.key(kind.as_str());
        let section = Section::new(value, path, reader);
        gateways.extend(section.map(|section| sites::read_gateway(kind, &section, reader)));
    }
    gateways
}

/// How many paths hosts use together, and where they are installed.
fn read_hosts(section: Option<&Section<'_>>, reader: &mut Reader) -> (u8, Option<HostsConfig>) {
    let Some(section) = section else {
        return (MAX_PATHS, None);
    };
    section.check_keys(&[HostsKeys::KEYS], reader);
    let keys = HostsKeys::read(section, reader);
    if let Some(table) = &keys.table {
        let message = match table.value {
            0 => "0 is no table: 254 is `main`; leave the key out to install nothing",
            TABLE_LOCAL => "255 is the kernel's table of its own addresses",
            _ => "",
        };
        if !message.is_empty() {
            reader.error_at(table, message);
        }
    }
    if let Some(protocol) = keys.protocol.as_ref().filter(|p| p.value < PROTOCOL_MIN) {
        let message = format!(
            "expected {PROTOCOL_MIN} to 255, found {}: lower ones are the kernel's and the \
             administrator's, whose routes must not be taken for ours",
            protocol.value
        );
        reader.error_at(protocol, message);
    }
    for spot in keys.metric.iter().filter(|metric| metric.value == 0) {
        reader.error_at(spot, "expected at least 1, found 0");
    }
    for spot in keys.max_paths.iter().filter(|paths| paths.value == 0) {
        reader.error_at(spot, "expected at least 1, found 0");
    }
    let max_paths = Spot::value(keys.max_paths).unwrap_or(MAX_PATHS);
    let keep_on_exit = Spot::value(keys.keep_on_exit).unwrap_or(false);
    let protocol = Spot::value(keys.protocol).unwrap_or(PROTOCOL);
    let metric = Spot::value(keys.metric).unwrap_or(METRIC);
    let hosts = keys.table.map(|table| HostsConfig {
        table: table.value,
        keep_on_exit,
        protocol,
        metric,
        max_paths,
    });
    (max_paths, hosts)
}
