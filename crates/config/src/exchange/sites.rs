//! NVAs and gateways, and the sessions that they become.

use std::collections::BTreeSet;
use std::net::IpAddr;

use thruway_engine::PeerRole;
use thruway_exchange::{Kind, reserved_as};
use thruway_wire::{Asn, Family, Prefix};
use toml::Spanned;
use toml::de::DeValue;

use super::super::peer::{PeerKeys, PeerOnly, RawPeer};
use super::super::reader::{Reader, Section, Spot, tables_of};
use super::super::resolve::{self, Place};
use super::super::value::{Many, PeerAs};
use super::keys::{GatewayKeys, NvaKeys, session_keys};
use super::{Exchange, Gateway, Nva, Peer, Server};

/// TTL toward NVAs: they may be some hops away, in a peered network.
const NVA_TTL: u8 = 64;

/// An `[[nva]]`.
pub(super) struct RawNva {
    name: Spot<String>,
    asn: Spot<Asn>,
    pub(super) addresses: Vec<Spot<IpAddr>>,
    keys: PeerKeys,
}

impl RawNva {
    pub(super) fn resolved(&self) -> Nva {
        Nva {
            name: self.name.value.clone(),
            asn: self.asn.value,
            addresses: self.addresses.iter().map(|spot| spot.value).collect(),
        }
    }
}

/// A `[gateway.…]`.
pub(super) struct RawGateway {
    pub(super) kind: Kind,
    pub(super) subnets: Vec<Spot<Prefix>>,
    pub(super) instances: Vec<Spot<IpAddr>>,
    line: usize,
    path: String,
    keys: PeerKeys,
}

impl RawGateway {
    pub(super) fn resolved(&self) -> Gateway {
        Gateway {
            kind: self.kind,
            name: self.kind.as_str().into(),
            subnets: self.subnets.iter().map(|spot| spot.value).collect(),
            instances: self.instances.iter().map(|spot| spot.value).collect(),
        }
    }
}

/// Reads `[[nva]]` tables. One that lacks a key is left out; the errors say so.
pub(super) fn read_nvas(
    value: Option<&Spanned<DeValue<'_>>>,
    server: &Server,
    reader: &mut Reader,
) -> Vec<RawNva> {
    let Some(value) = value else {
        return Vec::new();
    };
    let list = tables_of(value, ("nva", "NVAs"), reader);
    let mut nvas: Vec<RawNva> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let table = value.get_ref();
        let name = table.get("name").and_then(|name| name.get_ref().as_str());
        let path = match name {
            Some(name) => format!("nva.{name}"),
            None => format!("nva[{}]", index + 1),
        };
        let section = Section::new(value, path, reader);
        let nva = section.and_then(|section| read_nva(&section, server, reader));
        if let Some(nva) = nva {
            if nvas.iter().any(|other| other.name.value == nva.name.value) {
                let message = format!("another NVA has the name `{}`", nva.name.value);
                reader.error_at(&nva.name, message);
            }
            nvas.push(nva);
        }
    }
    nvas
}

fn read_nva(section: &Section<'_>, server: &Server, reader: &mut Reader) -> Option<RawNva> {
    let keys = session_keys(section, NvaKeys::KEYS, reader);
    for key in NvaKeys::KEYS {
        if section.value(key).is_none() {
            reader.error(section.line, &section.key(key), "the key is missing");
        }
    }
    let own = NvaKeys::read(section, reader);
    if let Some(asn) = &own.asn {
        check_asn(asn, server, reader);
    }
    Some(RawNva {
        name: own.name.filter(|name| check_name(name, reader))?,
        // With ours, more faults would be told that are only this one.
        asn: own.asn.filter(|asn| asn.value != server.asn)?,
        addresses: own.addresses?.value.0,
        keys,
    })
}

/// False where the name will not do.
fn check_name(name: &Spot<String>, reader: &mut Reader) -> bool {
    let bad = |char: char| char.is_whitespace() || char.is_control() || char == '/';
    let message = if name.value.is_empty() || name.value.contains(bad) {
        "a name is not empty and has no spaces and no slashes"
    } else if Kind::ALL.iter().any(|kind| kind.as_str() == name.value) {
        "the name is taken: `network`, `nva`, `expressroute` and `vpn` are kinds"
    } else {
        return true;
    };
    reader.error_at(name, message);
    false
}

fn check_asn(asn: &Spot<Asn>, server: &Server, reader: &mut Reader) {
    let number = asn.value;
    if number == server.asn {
        let message = format!("{number} is the server's own AS: an NVA has one of its own");
        reader.error_at(asn, message);
    } else if let Some(why) = reserved_as(number) {
        reader.error_at(asn, format!("AS {number} cannot be an NVA's: {why}"));
    }
}

pub(super) fn read_gateway(kind: Kind, section: &Section<'_>, reader: &mut Reader) -> RawGateway {
    let keys = session_keys(section, GatewayKeys::KEYS, reader);
    let own = GatewayKeys::read(section, reader);
    let mut gateway = RawGateway {
        kind,
        subnets: own.subnet.map_or_else(Vec::new, |subnet| subnet.value.0),
        instances: own.instances.map_or_else(Vec::new, |list| list.value.0),
        line: section.line,
        path: section.path.clone(),
        keys,
    };
    match (section.value("subnet"), section.value("instances")) {
        (None, None) => {
            let message = "it needs `subnet`, where its sessions come from, or `instances`";
            reader.error(section.line, &section.path, message);
        }
        (Some(_), Some(instances)) => {
            let line = reader.line(instances.span());
            let message = "a gateway has `subnet` or `instances`, not both";
            reader.error(line, &section.key("instances"), message);
            gateway.instances.clear();
        }
        _ => {}
    }
    match kind {
        Kind::Vpn => {
            let written = section.value("mode").is_some();
            check_vpn(&gateway, own.mode.as_ref(), written, reader);
        }
        _ => {
            if let Some(mode) = &own.mode {
                reader.error_at(mode, "only a VPN gateway has a mode");
            }
        }
    }
    gateway
}

/// Why a VPN gateway of one instance is refused.
const ACTIVE_ACTIVE: &str = "A VPN gateway must be active-active: two instances with a session each. \
                             Where only one is active, its failure takes all routes away until the \
                             other one has come up and told them again";

fn check_vpn(
    gateway: &RawGateway,
    mode: Option<&Spot<String>>,
    written: bool,
    reader: &mut Reader,
) {
    match mode {
        Some(mode) if mode.value == "active-active" => {}
        Some(mode) => {
            let message = format!("found `{}`. {ACTIVE_ACTIVE}", mode.value);
            reader.error_at(mode, message);
        }
        None if written => {}
        None => {
            let key = format!("{}.mode", gateway.path);
            let message = format!("write mode = \"active-active\". {ACTIVE_ACTIVE}");
            reader.error(gateway.line, &key, message);
        }
    }
    for subnet in &gateway.subnets {
        let host = Prefix::host(subnet.value.addr()).prefix_len();
        if subnet.value.prefix_len() == host {
            let message = format!("{} holds one instance. {ACTIVE_ACTIVE}", subnet.value);
            reader.error_at(subnet, message);
        }
    }
    for family in Family::ALL {
        let of_family = |spot: &&Spot<IpAddr>| Prefix::host(spot.value).family() == family;
        let mut instances = gateway.instances.iter().filter(of_family);
        if let (Some(only), None) = (instances.next(), instances.next()) {
            let message = format!("there is one {family} instance. {ACTIVE_ACTIVE}");
            reader.error_at(only, message);
        }
    }
}

/// The sessions: one for each address of an NVA and each instance of a gateway, a range for each
/// subnet.
pub(super) fn peers(
    nvas: Vec<RawNva>,
    gateways: Vec<RawGateway>,
    exchange: &Exchange,
    server: &Server,
    reader: &mut Reader,
) -> Vec<(Peer, Place)> {
    let mut peers = Vec::new();
    let mut taken = BTreeSet::new();
    let mut add = |site: &str, kind: Kind, raw: RawPeer, reader: &mut Reader| {
        peers.extend(resolve::peer(raw, server, reader).map(|(mut peer, place)| {
            peer.kind = Some(kind);
            peer.site = Some(site.into());
            peer.rank = exchange.preference.rank(kind);
            (peer, place)
        }));
    };
    for nva in nvas {
        let keys = nva_keys(&nva);
        for address in &nva.addresses {
            if !taken.insert(address.value) {
                continue; // noted already
            }
            let raw = session(&nva.name.value, address, &keys);
            add(&nva.name.value, Kind::Nva, raw, reader);
        }
    }
    for gateway in gateways {
        let name = gateway.kind.as_str();
        let keys = gateway_keys(&gateway, server.asn);
        for instance in &gateway.instances {
            if !taken.insert(instance.value) {
                continue;
            }
            add(name, gateway.kind, session(name, instance, &keys), reader);
        }
        for (index, subnet) in gateway.subnets.iter().enumerate() {
            add(
                name,
                gateway.kind,
                range(name, index, subnet, &keys),
                reader,
            );
        }
    }
    peers
}

/// A peer with one address, under the name that peers of ranges have, too.
fn session(site: &str, address: &Spot<IpAddr>, keys: &PeerKeys) -> RawPeer {
    let only = PeerOnly {
        name: Some(at(address, format!("{site}-{}", address.value))),
        address: Some(address.clone()),
        ..PeerOnly::default()
    };
    raw(only, keys.clone(), address)
}

/// Any peer of a subnet. The first has the gateway's name.
fn range(site: &str, index: usize, subnet: &Spot<Prefix>, keys: &PeerKeys) -> RawPeer {
    let name = match index {
        0 => site.into(),
        _ => format!("{site}.{}", index + 1),
    };
    let only = PeerOnly {
        name: Some(at(subnet, name)),
        prefix: Some(subnet.clone()),
        ..PeerOnly::default()
    };
    raw(only, keys.clone(), subnet)
}

fn raw<T>(only: PeerOnly, keys: PeerKeys, spot: &Spot<T>) -> RawPeer {
    // `gateway.vpn.subnet`: its parent is what the keys belong to.
    let path = spot.key.rsplit_once('.').map_or("", |(path, _)| path);
    RawPeer {
        only,
        keys,
        line: spot.line,
        path: path.into(),
        has_target: true,
        has_group: false,
    }
}

/// A value that follows from `place`.
fn at<P, T>(place: &Spot<P>, value: T) -> Spot<T> {
    Spot {
        value,
        line: place.line,
        key: place.key.clone(),
    }
}

/// Toward an NVA: eBGP over some hops. Our AS goes in front, but the next hop stays: packets do not
/// pass the server. Each gets the best of what it may have.
fn nva_keys(nva: &RawNva) -> PeerKeys {
    let place = &nva.asn;
    let asn = at(place, PeerAs::Numbers(vec![nva.asn.clone()]));
    let mut keys = PeerKeys {
        role: Some(at(place, PeerRole::External)),
        asn: Some(asn),
        next_hop_self: Some(at(place, false)),
        prepend_own_as: Some(at(place, true)),
        send_med: Some(at(place, false)),
        ..common(nva.keys.clone(), place)
    };
    if keys.gtsm.is_none() && keys.ttl.is_none() {
        keys.ttl = Some(at(place, NVA_TTL));
    }
    keys
}

/// Toward a gateway: iBGP, reflected.
fn gateway_keys(gateway: &RawGateway, own: Asn) -> PeerKeys {
    let place = Spot {
        value: own,
        line: gateway.line,
        key: gateway.path.clone(),
    };
    PeerKeys {
        role: Some(at(&place, PeerRole::ReflectorClient)),
        asn: Some(at(&place, PeerAs::Numbers(vec![place.clone()]))),
        next_hop_self: Some(at(&place, false)),
        prepend_own_as: Some(at(&place, false)),
        send_med: Some(at(&place, true)),
        ..common(gateway.keys.clone(), &place)
    }
}

/// What all sessions of the network have in common. The matrix is their policy in the sense of
/// RFC 8212; an operator's comes on top.
fn common<P>(keys: PeerKeys, place: &Spot<P>) -> PeerKeys {
    let accept = || Some(at(place, "accept".to_owned()));
    let families = Family::ALL.map(|family| at(place, family));
    PeerKeys {
        import: keys.import.or_else(accept),
        export: keys.export.or_else(accept),
        families: keys
            .families
            .or_else(|| Some(at(place, Many(families.to_vec())))),
        interpret_communities: Some(at(place, true)),
        alternatives: Some(at(place, true)),
        allow_own_as: None,
        own_next_hop: None,
        bgp_role: None,
        bgp_role_strict: None,
        ..keys
    }
}
