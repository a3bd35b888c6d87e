//! The demo's virtual network: who is in it, what each has behind it, and the server's file.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use thruway_exchange::{Kind, cell};
use thruway_replay::table::Table;
use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::{Asn, Family, Ipv4Prefix, NextHop, Nlri, Prefix};

/// Our AS, and that of the gateways.
pub(crate) const SERVER_AS: u32 = 65515;
/// Prefixes that come from one place behind a site: they share their attributes.
const PREFIXES_A_PLACE: u32 = 25;
/// First AS of places behind sites.
const PLACES_AS: u32 = 4_200_000_000;

/// A network that is not ours, reached through an NVA or a gateway.
pub(crate) struct Premises {
    pub(crate) name: &'static str,
    /// Prefixes, before they are scaled.
    pub(crate) prefixes: u32,
    /// Where they are; ten bits of it are fixed.
    base: Ipv4Addr,
    /// The AS that its paths begin with, behind the gateway.
    asn: u32,
}

pub(crate) const PREMISES: [Premises; 3] = [
    Premises {
        name: "on-premises 1",
        prefixes: 4_000,
        base: Ipv4Addr::new(10, 64, 0, 0),
        asn: 65_001,
    },
    Premises {
        name: "on-premises 2",
        prefixes: 10_000,
        base: Ipv4Addr::new(10, 128, 0, 0),
        asn: 65_020,
    },
    Premises {
        name: "on-premises 3",
        prefixes: 4_000,
        base: Ipv4Addr::new(10, 192, 0, 0),
        asn: 65_030,
    },
];

/// Bits of a base that are fixed.
const BASE_LEN: u8 = 10;
/// The network's own prefix and that of a peered network.
pub(crate) const VNET: [&str; 2] = ["10.0.0.0/16", "10.1.0.0/16"];

/// A neighbour of the server.
pub(crate) struct Member {
    /// Its session's name.
    pub(crate) session: &'static str,
    /// What people call it.
    pub(crate) label: &'static str,
    pub(crate) kind: Kind,
    pub(crate) addr: Ipv4Addr,
    pub(crate) asn: u32,
    /// What is behind it, by index in [`PREMISES`].
    pub(crate) behind: usize,
}

pub(crate) const MEMBERS: [Member; 4] = [
    Member {
        session: "sdwan-127.0.2.4",
        label: "SD-WAN NVA",
        kind: Kind::Nva,
        addr: Ipv4Addr::new(127, 0, 2, 4),
        asn: 65_001,
        behind: 0,
    },
    Member {
        session: "expressroute-127.0.255.4",
        label: "ExpressRoute gateway",
        kind: Kind::ExpressRoute,
        addr: Ipv4Addr::new(127, 0, 255, 4),
        asn: SERVER_AS,
        behind: 1,
    },
    Member {
        session: "vpn-127.0.255.20",
        label: "VPN gateway, first",
        kind: Kind::Vpn,
        addr: Ipv4Addr::new(127, 0, 255, 20),
        asn: SERVER_AS,
        behind: 2,
    },
    Member {
        session: "vpn-127.0.255.21",
        label: "VPN gateway, second",
        kind: Kind::Vpn,
        addr: Ipv4Addr::new(127, 0, 255, 21),
        asn: SERVER_AS,
        behind: 2,
    },
];

impl Premises {
    /// The prefix that they all lie in.
    fn space(&self) -> Option<Ipv4Prefix> {
        Ipv4Prefix::new(self.base, BASE_LEN)
    }

    /// Their prefixes: as short as so many of them can be, /24 at the shortest.
    fn prefixes(&self, scale: u32) -> impl Iterator<Item = Prefix> {
        let count = self.prefixes * scale;
        let bits = count.next_power_of_two().ilog2() as u8;
        let len = (BASE_LEN + bits).clamp(24, 32);
        let base = self.base.to_bits();
        (0..count).filter_map(move |number| {
            let addr = Ipv4Addr::from_bits(base | number << (32 - len));
            Ipv4Prefix::new(addr, len).map(Prefix::from)
        })
    }
}

/// What a member tells: paths that begin with its AS, or behind a gateway with the premises' own.
pub(crate) fn table(member: &Member, scale: u32) -> Table {
    let mut table = Table::new();
    let Some(premises) = PREMISES.get(member.behind) else {
        return table;
    };
    let prefixes: Vec<Prefix> = premises.prefixes(scale).collect();
    for (place, prefixes) in (PLACES_AS..).zip(prefixes.chunks(PREFIXES_A_PLACE as usize)) {
        let set = attributes(member.addr, [premises.asn, place]);
        let nlri = prefixes.iter().map(|prefix| Nlri {
            path_id: 0,
            prefix: *prefix,
        });
        table.push(Duration::ZERO, Some(set), Family::Ipv4, nlri);
    }
    table
}

fn attributes(next_hop: Ipv4Addr, path: [u32; 2]) -> AttrSet {
    let mut set = AttrSetBuf::new();
    set.set_origin(0);
    set.set_next_hop(Some(NextHop::V4(next_hop)));
    for asn in path.into_iter().rev() {
        set.prepend(Asn(asn), 1);
    }
    AttrSet::new(set.as_ref())
}

/// Where a route comes from: 0 the network itself, then the premises in order.
pub(crate) const SOURCES: usize = PREMISES.len() + 1;

/// Counts routes by where they come from.
pub(crate) fn by_source(routes: impl Iterator<Item = Prefix>) -> [usize; SOURCES] {
    let spaces: Vec<Prefix> = PREMISES
        .iter()
        .filter_map(|premises| premises.space().map(Prefix::from))
        .collect();
    let mut counts = [0; SOURCES];
    for prefix in routes {
        let source = spaces.iter().position(|space| space.covers(prefix));
        let source = source.map_or(0, |premises| premises + 1);
        if let Some(count) = counts.get_mut(source) {
            *count += 1;
        }
    }
    counts
}

/// What a member should know with the switch in a position.
pub(crate) fn due(member: &Member, scale: u32, exchange_on: bool) -> [usize; SOURCES] {
    let mut counts = [0; SOURCES];
    for (source, count) in counts.iter_mut().enumerate() {
        let (from, routes) = match source.checked_sub(1) {
            None => (Kind::Network, VNET.len()),
            Some(premises) => routes_of(premises, scale),
        };
        // Its own site's routes are not advertised to a member, whatever the matrix says.
        let own = source == member.behind + 1;
        if !own && cell(from, member.kind).allows(exchange_on) {
            *count = routes;
        }
    }
    counts
}

/// The kind of site that premises are behind, and how many prefixes they have.
fn routes_of(premises: usize, scale: u32) -> (Kind, usize) {
    let site = MEMBERS.iter().find(|member| member.behind == premises);
    let kind = site.map_or(Kind::Network, |site| site.kind);
    let count = PREMISES.get(premises).map_or(0, |it| it.prefixes);
    (kind, count as usize * scale as usize)
}

/// Routes that the server holds: a VPN gateway's from both of its instances.
pub(crate) fn held(scale: u32) -> u64 {
    let routes = MEMBERS
        .iter()
        .map(|member| routes_of(member.behind, scale).1);
    routes.sum::<usize>() as u64
}

/// The server's file.
pub(crate) fn config(listen: SocketAddr, socket: &Path) -> String {
    let mut text = format!(
        "[server]\nmode = \"exchange\"\nrouter-id = \"10.0.1.4\"\nlisten = [\"{listen}\"]\n\
         api-socket = \"{}\"\n\n\
         [vnet]\nprefixes = [\"{}\"]\nnext-hop = [\"10.0.0.1\"]\n\
         peered = [{{ name = \"spoke-a\", prefixes = [\"{}\"] }}]\n\n\
         [route-exchange]\nenabled = false\n",
        socket.display(),
        VNET[0],
        VNET[1],
    );
    for nva in MEMBERS.iter().filter(|member| member.kind == Kind::Nva) {
        let addr = IpAddr::from(nva.addr);
        // Everybody is on loopback: there is nobody to connect to.
        let _ = write!(
            text,
            "\n[[nva]]\nname = \"sdwan\"\nasn = {}\naddresses = [\"{addr}\"]\npassive = true\n",
            nva.asn
        );
    }
    text + "\n[gateway.expressroute]\nsubnet = \"127.0.255.0/28\"\n\n\
            [gateway.vpn]\nmode = \"active-active\"\nsubnet = \"127.0.255.16/28\"\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: network, on-premises 1 to 3.
    #[test]
    fn what_each_should_know() {
        let known = |on| MEMBERS.each_ref().map(|member| due(member, 1, on));
        assert_eq!(known(false), [[2, 0, 0, 0]; 4]);
        assert_eq!(
            known(true),
            [
                [2, 0, 10_000, 4_000],
                [2, 4_000, 0, 4_000],
                [2, 4_000, 10_000, 0],
                [2, 4_000, 10_000, 0],
            ]
        );
        assert_eq!(held(2), 44_000);
    }

    #[test]
    fn tables_are_where_they_should_be() {
        for scale in [1, 7, 100] {
            for member in &MEMBERS {
                let table = table(member, scale);
                let counts = by_source(table.routes().map(|(nlri, _)| nlri.prefix));
                let mut expected = [0; SOURCES];
                expected[member.behind + 1] = routes_of(member.behind, scale).1;
                assert_eq!(counts, expected, "{} {scale}", member.label);
            }
        }
    }

    #[test]
    fn the_file_is_good() {
        let addr = "127.0.0.1:1790".parse().unwrap();
        let text = config(addr, Path::new("/tmp/x.sock"));
        let config = thruway_config::Config::parse(Path::new("demo.toml"), &text);
        let config = config.unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        assert_eq!(config.warnings, []);
        assert_eq!(config.peers.len(), 3);
    }
}
