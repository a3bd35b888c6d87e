//! Virtual networks: what they mean, and what is refused.

use thruway_engine::PeerRole;
use thruway_exchange::{HOST_POLICY, Kind, Preference};
use thruway_rib::{AddPathSend, LimitAction};
use thruway_session::RemoteAs;
use thruway_wire::{Asn, FamilySet};

use super::super::*;
use super::raw;

/// A server in lines 1 to 4, and `rest` from line 5 on.
fn with(rest: &str) -> Result<Config, Vec<String>> {
    raw(&format!(
        "[server]\nmode = 'exchange'\nrouter-id = '10.0.1.4'\nlisten = ['10.0.1.4', 'fd00:10::4']\n{rest}"
    ))
}

/// A network in lines 5 and 6, and `rest` from line 7 on.
fn network(rest: &str) -> Result<Config, Vec<String>> {
    with(&format!(
        "[vnet]\nprefixes = ['10.0.0.0/16', 'fd00:10::/48']\n{rest}"
    ))
}

const PICTURE: &str = "
[server]
mode = 'exchange'
asn = 65515
router-id = '10.0.1.4'
listen = ['10.0.1.4:179', '[fd00:10::4]:179']
[vnet]
prefixes = ['10.0.0.0/16', 'fd00:10::/48']
next-hop = ['10.0.0.1', 'fd00:10::1']
peered = [ { name = 'spoke-a', prefixes = ['10.1.0.0/16'] } ]
[route-exchange]
enabled = true
preference = 'vpn'
[[nva]]
name = 'sdwan'
asn = 65001
addresses = ['10.0.2.4', '10.0.2.5']
[gateway.expressroute]
subnet = '10.0.255.0/28'
[gateway.vpn]
mode = 'active-active'
subnet = ['10.0.255.16/28', 'fd00:10:0:ff::/64']
[hosts]
table = 254
";

#[test]
fn the_picture() {
    let config = raw(PICTURE).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.server.mode, Mode::Exchange);
    let exchange = config.exchange.unwrap();
    assert!(exchange.enabled);
    assert_eq!(exchange.preference, Preference::Vpn);
    let routes = exchange.vnet.routes();
    let routes: Vec<String> = routes.map(|(p, hop)| format!("{p} {hop}")).collect();
    assert_eq!(
        routes,
        [
            "10.0.0.0/16 10.0.0.1",
            "fd00:10::/48 fd00:10::1",
            "10.1.0.0/16 10.0.0.1"
        ]
    );
    assert_eq!(exchange.vnet.peered[0].name, "spoke-a");
    let hosts = HostsConfig {
        table: 254,
        keep_on_exit: false,
        protocol: 179,
        metric: 1024,
        max_paths: 16,
    };
    assert_eq!((exchange.hosts, exchange.max_paths), (Some(hosts), 16));
    let gateways = exchange.gateways.iter();
    let gateways: Vec<_> = gateways
        .map(|g| (g.kind, g.name.as_str(), g.subnets.len()))
        .collect();
    assert_eq!(
        gateways,
        [
            (Kind::ExpressRoute, "expressroute", 1),
            (Kind::Vpn, "vpn", 2)
        ]
    );
    assert_eq!(exchange.nvas[0].addresses.len(), 2);
    let peers = config.peers.iter();
    let peers: Vec<_> = peers
        .map(|peer| {
            (
                peer.name.as_str(),
                peer.kind.unwrap(),
                peer.site.as_deref().unwrap(),
                peer.rank,
            )
        })
        .collect();
    assert_eq!(
        peers,
        [
            ("sdwan-10.0.2.4", Kind::Nva, "sdwan", 1),
            ("sdwan-10.0.2.5", Kind::Nva, "sdwan", 1),
            ("expressroute", Kind::ExpressRoute, "expressroute", 0),
            ("vpn", Kind::Vpn, "vpn", 1),
            ("vpn.2", Kind::Vpn, "vpn", 1),
        ]
    );
}

#[test]
fn an_nvas_session() {
    let config = network("[[nva]]\nname = 'a'\nasn = 65001\naddresses = 'fd00:10::2:4'").unwrap();
    assert_eq!(config.server.asn, Asn(65515));
    let peer = &config.peers[0];
    assert_eq!(peer.name, "a-fd00:10::2:4");
    assert_eq!(peer.role, PeerRole::External);
    assert_eq!(peer.asn, RemoteAs::One(Asn(65001)));
    assert_eq!(peer.session.families, FamilySet::ALL);
    assert_eq!(
        (peer.connection.ttl, peer.connection.passive),
        (Some(64), false)
    );
    assert_eq!(peer.import.policy.as_deref(), Some("accept"));
    assert!(peer.import.enforce_first_as);
    assert_eq!(peer.import.next_hop, NextHopRule::Any);
    let export = &peer.export;
    assert_eq!(export.policy.as_deref(), Some("accept"));
    assert!(export.prepend_own_as && export.alternatives && export.interpret_communities);
    assert!(!export.next_hop_self && !export.send_med);
}

#[test]
fn a_gateways_sessions() {
    let text = "[gateway.expressroute]\nsubnet = '10.0.255.0/28'\n\
                [gateway.vpn]\nmode = 'active-active'\ninstances = ['10.0.255.20', '10.0.255.21']";
    let config = network(text).unwrap();
    let prefix = "10.0.255.0/28".parse().unwrap();
    let range = Target::Range {
        prefix,
        peers_max: 256,
    };
    assert_eq!(config.peers[0].target, range);
    assert_eq!(
        (config.peers[1].name.as_str(), config.peers[2].name.as_str()),
        ("vpn-10.0.255.20", "vpn-10.0.255.21")
    );
    for peer in &config.peers {
        assert_eq!(peer.role, PeerRole::ReflectorClient);
        assert_eq!(peer.asn, RemoteAs::One(Asn(65515)));
        assert_eq!(peer.session.families, FamilySet::ALL);
        assert_eq!(peer.connection.ttl, None);
        let export = &peer.export;
        assert!(!export.prepend_own_as && !export.next_hop_self);
        assert!(export.send_med && export.alternatives && export.interpret_communities);
    }
}

#[test]
fn the_operators_keys_are_those_of_peers() {
    let text = "
[[nva]]
name = 'a'
asn = 65001
addresses = ['10.0.2.4', '10.0.2.5']
description = 'SD-WAN'
shutdown = true
port = 1790
passive = true
md5 = 'secret'
gtsm = 2
families = 'ipv4'
hold-time = 30
add-path = { receive = true, send = 'all' }
graceful-restart = false
import = 'p'
export = 'reject'
max-prefixes = { limit = 1000, action = 'warn' }
max-advertised = { limit = 500 }
next-hop = 'peer'
enforce-first-as = false
[gateway.expressroute]
subnet = '10.0.255.0/28'
peers-max = 4
import = 'p'
max-advertised = { ipv4 = 1000, action = 'block' }
[policy.p]
default = 'accept'
";
    let config = network(text).unwrap();
    assert_eq!(config.peers.len(), 3);
    for peer in &config.peers[..2] {
        assert_eq!((peer.description.as_str(), peer.shutdown), ("SD-WAN", true));
        assert_eq!(
            (peer.connection.gtsm_hops, peer.connection.ttl),
            (Some(2), None)
        );
        assert!(peer.connection.md5.is_some() && peer.connection.passive);
        assert_eq!(
            (peer.session.families, peer.session.hold_time),
            (FamilySet::IPV4, 30)
        );
        assert!(peer.session.graceful_restart.is_none() && peer.session.add_path_receive);
        assert_eq!(peer.export.add_path, AddPathSend::All);
        assert_eq!(peer.import.policy.as_deref(), Some("p"));
        assert_eq!(peer.export.policy.as_deref(), Some("reject"));
        assert_eq!(
            peer.import.max_prefixes[0].unwrap().action,
            LimitAction::Warn
        );
        assert_eq!(peer.export.max_advertised[0].unwrap().limit, 500);
        assert_eq!(peer.import.next_hop, NextHopRule::Peer);
        assert!(!peer.import.enforce_first_as);
    }
    let gateway = &config.peers[2];
    assert!(matches!(gateway.target, Target::Range { peers_max: 4, .. }));
    assert_eq!(gateway.import.policy.as_deref(), Some("p"));
    let limits = gateway.export.max_advertised;
    assert_eq!((limits[0].unwrap().limit, limits[1]), (1000, None));
}

#[test]
fn hosts_with_and_without_a_table() {
    let hosts = |text: &str| network(text).unwrap().exchange.unwrap();
    assert_eq!(hosts("").hosts, None);
    let shown = hosts("[hosts]\nmax-paths = 4");
    assert_eq!((shown.hosts, shown.max_paths), (None, 4));
    let all = hosts(
        "[hosts]\ntable = 100\nprotocol = 200\nmetric = 7\nmax-paths = 2\nkeep-on-exit = true",
    );
    let expected = HostsConfig {
        table: 100,
        keep_on_exit: true,
        protocol: 200,
        metric: 7,
        max_paths: 2,
    };
    assert_eq!(all.hosts, Some(expected));
}

#[test]
fn next_hops_come_from_where_we_listen() {
    let vnet = network("").unwrap().exchange.unwrap().vnet;
    assert_eq!(vnet.next_hop_v4, Some("10.0.1.4".parse().unwrap()));
    assert_eq!(vnet.next_hop_v6, Some("fd00:10::4".parse().unwrap()));
    let only_v6 = network("next-hop = 'fd00:10::9'")
        .unwrap()
        .exchange
        .unwrap()
        .vnet;
    assert_eq!(only_v6.next_hop_v4, Some("10.0.1.4".parse().unwrap()));
    assert_eq!(only_v6.next_hop_v6, Some("fd00:10::9".parse().unwrap()));
}

#[test]
fn exclusions_are_a_policy_of_the_nvas_sessions() {
    let config = raw(PICTURE).unwrap();
    assert!(config.policies.get(HOST_POLICY).is_some());
    let def = config
        .policy_defs
        .iter()
        .find(|def| def.name == HOST_POLICY)
        .unwrap();
    let names = &def.statements[0].matches.peer.name;
    assert_eq!(*names, ["sdwan-10.0.2.4", "sdwan-10.0.2.5"]);
}

const ACTIVE_ACTIVE: &str = "A VPN gateway must be active-active: two instances with a session each. \
     Where only one is active, its failure takes all routes away until the other one has come up \
     and told them again";

/// Each row: what follows the network from line 7 on, and the errors.
const ERRORS: &[(&str, &[&str])] = &[
    (
        "[[peer]]\naddress = '10.0.2.4'\nasn = 1\n[peer-group.g]",
        &[
            "t.toml:7: peer: in exchange mode neighbours are [[nva]], [gateway.expressroute] and [gateway.vpn]; this table is for mode = \"plain\" or \"transparent\"",
            "t.toml:10: peer-group: in exchange mode neighbours are [[nva]], [gateway.expressroute] and [gateway.vpn]; this table is for mode = \"plain\" or \"transparent\"",
        ],
    ),
    (
        "[[nva]]\n",
        &[
            "t.toml:7: nva[1].addresses: the key is missing",
            "t.toml:7: nva[1].asn: the key is missing",
            "t.toml:7: nva[1].name: the key is missing",
        ],
    ),
    (
        "[nva]\n",
        &["t.toml:7: nva: NVAs are written as [[nva]], with two brackets"],
    ),
    (
        "[[nva]]\nname = 'a'\nasn = 65515\naddresses = '10.0.2.4'",
        &["t.toml:9: nva.a.asn: 65515 is the server's own AS: an NVA has one of its own"],
    ),
    (
        "[[nva]]\nname = 'a'\nasn = 64500\naddresses = '10.0.2.4'",
        &["t.toml:9: nva.a.asn: AS 64500 cannot be an NVA's: it is for documentation (RFC 5398)"],
    ),
    (
        "[[nva]]\nname = 'a'\nasn = 23456\naddresses = '10.0.2.4'",
        &[
            "t.toml:9: nva.a.asn: AS 23456 cannot be an NVA's: it stands for a four-octet AS that does not fit (RFC 6793)",
        ],
    ),
    (
        "[[nva]]\nname = 'vpn'\nasn = 1\naddresses = '10.0.2.4'",
        &[
            "t.toml:8: nva.vpn.name: the name is taken: `network`, `nva`, `expressroute` and `vpn` are kinds",
        ],
    ),
    (
        "[[nva]]\nname = 'network'\nasn = 1\naddresses = '10.0.2.4'",
        &[
            "t.toml:8: nva.network.name: the name is taken: `network`, `nva`, `expressroute` and `vpn` are kinds",
        ],
    ),
    (
        "[[nva]]\nname = 'a b'\nasn = 1\naddresses = '10.0.2.4'",
        &["t.toml:8: nva.a b.name: a name is not empty and has no spaces and no slashes"],
    ),
    (
        "[[nva]]\nname = 'a'\nasn = 1\naddresses = '10.0.2.4'\n[[nva]]\nname = 'a'\nasn = 1\naddresses = '10.0.2.5'",
        &["t.toml:12: nva.a.name: another NVA has the name `a`"],
    ),
    (
        "[[nva]]\nname = 'a'\nasn = 1\naddresses = '10.0.2.4'\n[[nva]]\nname = 'b'\nasn = 1\naddresses = '10.0.2.4'",
        &[
            "t.toml:14: nva.b.addresses: 10.0.2.4 stands in nva.a.addresses (line 10), too: an address is one session's",
        ],
    ),
    (
        "[[nva]]\nname = 'a'\nasn = 1\naddresses = '10.0.1.4'",
        &["t.toml:10: nva.a.addresses: 10.0.1.4 is an address that the server listens on"],
    ),
    (
        "[[nva]]\nname = 'a'\nasn = 1\naddress = '10.0.2.4'\nprepend-own-as = false\nhold-tme = 1",
        &[
            "t.toml:7: nva.a.addresses: the key is missing",
            "t.toml:10: nva.a.address: unknown key; did you mean `addresses`?",
            "t.toml:11: nva.a.prepend-own-as: this key of a [[peer]] has no place here: what the neighbour is to the virtual network decides it",
            "t.toml:12: nva.a.hold-tme: unknown key; did you mean `hold-time`?",
        ],
    ),
    (
        "[[nva]]\nname = 'a'\nasn = 1\naddresses = '10.0.2.4'\nhold-time = 2\nimport = 'x'",
        &[
            "t.toml:11: nva.a.hold-time: 0 or at least 3 seconds (RFC 4271 §4.2), found 2",
            "t.toml:12: nva.a.import: no policy has the name `x`; known: accept, reject",
        ],
    ),
    (
        "[gateway.er]\nsubnet = '10.0.255.0/28'",
        &["t.toml:7: gateway.er: unknown key; known: expressroute, vpn"],
    ),
    (
        "[gateway.expressroute]\n",
        &[
            "t.toml:7: gateway.expressroute: it needs `subnet`, where its sessions come from, or `instances`",
        ],
    ),
    (
        "[gateway.expressroute]\nsubnet = '10.0.255.0/28'\ninstances = '10.0.255.4'",
        &[
            "t.toml:9: gateway.expressroute.instances: a gateway has `subnet` or `instances`, not both",
        ],
    ),
    (
        "[gateway.expressroute]\nsubnet = '10.0.255.0/28'\n[gateway.vpn]\nmode = 'active-active'\ninstances = ['10.0.255.4', '10.0.254.4']",
        &[
            "t.toml:11: gateway.vpn.instances: 10.0.255.4 lies in 10.0.255.0/28 (gateway.expressroute.subnet, line 8): a session's address says which gateway it is of",
        ],
    ),
    (
        "[gateway.expressroute]\nsubnet = '10.0.255.0/28'\nmode = 'active-active'\nasn = 1",
        &[
            "t.toml:9: gateway.expressroute.mode: only a VPN gateway has a mode",
            "t.toml:10: gateway.expressroute.asn: this key of a [[peer]] has no place here: what the neighbour is to the virtual network decides it",
        ],
    ),
    (
        "[gateway.expressroute]\nsubnet = '10.0.255.0/28'\n[gateway.vpn]\nmode = 'active-active'\nsubnet = '10.0.255.0/24'",
        &[
            "t.toml:11: gateway.vpn.subnet: 10.0.255.0/24 overlaps 10.0.255.0/28 (gateway.expressroute.subnet, line 8): a session's address says which gateway it is of",
        ],
    ),
    (
        "[gateway.expressroute]\nsubnet = '10.0.2.0/24'\n[[nva]]\nname = 'a'\nasn = 1\naddresses = '10.0.2.4'",
        &[
            "t.toml:12: nva.a.addresses: 10.0.2.4 lies in a gateway's subnet, 10.0.2.0/24 (line 8): its session would be the gateway's",
        ],
    ),
    (
        "[gateway.expressroute]\nsubnet = '10.0.1.0/24'",
        &[
            "t.toml:8: gateway.expressroute.subnet: 10.0.1.0/24 holds 10.0.1.4, which the server listens on: a gateway's subnet is its own",
        ],
    ),
    (
        "peered = [{ name = 's', prefixes = '10.0.9.0/24' }, { prefixes = 'fd00::/16' }, { name = 's' }]",
        &[
            "t.toml:7: vnet.peered: it needs a name",
            "t.toml:7: vnet.peered: it needs prefixes",
            "t.toml:7: vnet.peered.name: `s` stands twice",
            "t.toml:7: vnet.peered.prefixes: 10.0.9.0/24 overlaps the network's own 10.0.0.0/16 (line 6)",
            "t.toml:7: vnet.peered.prefixes: fd00::/16 overlaps the network's own fd00:10::/48 (line 6)",
        ],
    ),
    (
        "next-hop = ['0.0.0.0', '10.0.0.1', 'fe80::1']\npeer = 1",
        &[
            "t.toml:7: vnet.next-hop: 0.0.0.0 is no next hop",
            "t.toml:7: vnet.next-hop: fe80::1 is no next hop",
            "t.toml:7: vnet.next-hop: one address of a family is enough",
            "t.toml:8: vnet.peer: unknown key; did you mean `peered`?",
        ],
    ),
    (
        "[route-exchange]\nenabled = 'yes'\npreference = 'express'\nbranch-to-branch = true",
        &[
            "t.toml:8: route-exchange.enabled: expected true or false, found `yes`",
            "t.toml:9: route-exchange.preference: unknown value `express`; known: expressroute, vpn, as-path",
            "t.toml:10: route-exchange.branch-to-branch: unknown key; did you mean `enabled`?",
        ],
    ),
    (
        "[hosts]\ntable = 0\nprotocol = 2\nmetric = 0\nmax-paths = 0\ntables = 1",
        &[
            "t.toml:8: hosts.table: 0 is no table: 254 is `main`; leave the key out to install nothing",
            "t.toml:9: hosts.protocol: expected 5 to 255, found 2: lower ones are the kernel's and the administrator's, whose routes must not be taken for ours",
            "t.toml:10: hosts.metric: expected at least 1, found 0",
            "t.toml:11: hosts.max-paths: expected at least 1, found 0",
            "t.toml:12: hosts.tables: unknown key; did you mean `table`?",
        ],
    ),
    (
        "[hosts]\ntable = 255",
        &["t.toml:8: hosts.table: 255 is the kernel's table of its own addresses"],
    ),
    (
        "[policy.hosts-exclusions]\ndefault = 'accept'",
        &[
            "t.toml:7: policy.hosts-exclusions: the name is that of the policy toward hosts, which the server makes itself",
        ],
    ),
];

#[test]
fn faults_of_a_network() {
    let mut wrong = String::new();
    for (rest, expected) in ERRORS {
        let errors = network(rest).expect_err(rest);
        if errors != *expected {
            wrong += &format!("{rest}\n  expected {expected:#?}\n  found {errors:#?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_vpn_gateway_is_active_active() {
    let errors = |keys: &str| network(&format!("[gateway.vpn]\n{keys}")).unwrap_err();
    assert_eq!(
        errors("subnet = '10.0.255.16/28'"),
        [format!(
            "t.toml:7: gateway.vpn.mode: write mode = \"active-active\". {ACTIVE_ACTIVE}"
        )]
    );
    assert_eq!(
        errors("subnet = '10.0.255.16/28'\nmode = 'active-standby'"),
        [format!(
            "t.toml:9: gateway.vpn.mode: found `active-standby`. {ACTIVE_ACTIVE}"
        )]
    );
    let one = "instances = ['10.0.255.20', 'fd00:10:0:ff::1', 'fd00:10:0:ff::2']";
    assert_eq!(
        errors(&format!("mode = 'active-active'\n{one}")),
        [format!(
            "t.toml:9: gateway.vpn.instances: there is one ipv4 instance. {ACTIVE_ACTIVE}"
        )]
    );
    assert_eq!(
        errors("mode = 'active-active'\nsubnet = '10.0.255.20'"),
        [format!(
            "t.toml:9: gateway.vpn.subnet: 10.0.255.20/32 holds one instance. {ACTIVE_ACTIVE}"
        )]
    );
}

#[test]
fn a_network_has_prefixes_with_next_hops() {
    assert_eq!(
        with("[route-exchange]\n").unwrap_err(),
        ["t.toml: vnet: the table [vnet] is missing: which prefixes the network has"]
    );
    assert_eq!(
        with("[vnet]\n").unwrap_err(),
        ["t.toml:5: vnet.prefixes: the key is missing"]
    );
    let text = |listen: &str| {
        format!(
            "[server]\nmode = 'exchange'\nrouter-id = '10.0.1.4'\nlisten = {listen}\n\
             [vnet]\nprefixes = ['fd00:10::/48',\n'10.0.0.0/16']\nnext-hop = 'fd00:10::1'"
        )
    };
    for listen in ["'0.0.0.0'", "['10.0.1.4', '10.0.1.5']", "'fd00:10::4'"] {
        assert_eq!(
            raw(&text(listen)).unwrap_err(),
            [
                "t.toml:7: vnet.prefixes: nothing says where ipv4 prefixes point: set vnet.next-hop, \
                 or one ipv4 address in server.listen"
            ],
            "{listen}"
        );
    }
    // A family that has no prefixes needs none.
    let v6_only = text("'[::]:179'").replace(",\n'10.0.0.0/16'", "");
    assert!(raw(&v6_only).is_ok());
}

#[test]
fn its_tables_need_its_mode() {
    for (table, text) in [
        ("vnet", "[vnet]\nprefixes = '10.0.0.0/16'"),
        ("route-exchange", "[route-exchange]\nenabled = true"),
        ("nva", "[[nva]]\nname = 'a'"),
        ("gateway", "[gateway.vpn]\nsubnet = '10.0.255.16/28'"),
        ("hosts", "[hosts]\ntable = 254"),
    ] {
        assert_eq!(
            super::parse(text).unwrap_err(),
            [format!(
                "t.toml:5: {table}: it is part of a virtual network, which needs \
                 mode = \"exchange\" in [server]"
            )]
        );
    }
}
