//! Who is told what, with which attributes: every cell, both positions of the switch, both families.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, TcpStream};

use serde_json::{Value, json};
use thruway_replay::PeerOptions;
use thruway_replay::speaker::{ReceivedTable, Speaker};
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::{PATIENCE, Rig, client, expect, prefix, set};
use thruway_wire::{Community, FamilySet, Prefix};

use crate::stage::{
    Actor, CAST, ER0, ER1, FIREWALL, SDWAN, SERVER_AS, Stage, VPN0, VPN1, config, expect_facts,
    expect_path, facts, network,
};

on_both! {
    every_cell_in_both_positions,
    attributes_are_as_agreed,
    well_known_communities,
    eligibility_comes_before_best,
    preference_in_its_three_values,
    hosts_use_equal_paths_together,
    hosts_are_spared_what_is_inside_the_network,
    a_path_with_our_as_is_a_loop,
    our_own_address_is_no_next_hop,
    routes_are_shown_as_operators_know_them,
    transparent_mode_touches_nothing,
    several_paths_obey_the_matrix,
    explain_names_the_switch,
    strangers_are_refused,
}

/// Who hears whom, by hand; `network` are the VNet's and its peered networks' prefixes.
const OFF: [(&str, &str); 7] = [
    ("sdwan", "network firewall"),
    ("firewall", "network sdwan"),
    ("er0", "network"),
    ("er1", "network"),
    ("vpn0", "network"),
    ("vpn1", "network"),
    ("hosts", "sdwan firewall er0 er1 vpn0 vpn1"),
];
const ON: [(&str, &str); 7] = [
    ("sdwan", "network firewall er0 er1 vpn0 vpn1"),
    ("firewall", "network sdwan er0 er1 vpn0 vpn1"),
    ("er0", "network sdwan firewall vpn0 vpn1"),
    ("er1", "network sdwan firewall vpn0 vpn1"),
    ("vpn0", "network sdwan firewall er0 er1"),
    ("vpn1", "network sdwan firewall er0 er1"),
    ("hosts", "sdwan firewall er0 er1 vpn0 vpn1"),
];

fn by_name(name: &str) -> Actor {
    CAST.into_iter()
        .find(|actor| actor.name == name)
        .expect("one of the cast")
}

fn prefixes(sources: &str) -> BTreeSet<Prefix> {
    let of = |name: &str| match name {
        "network" => network().to_vec(),
        name => [false, true].map(|v6| by_name(name).prefix(v6)).to_vec(),
    };
    sources.split(' ').flat_map(of).collect()
}

fn routes(sources: &str) -> BTreeSet<(Prefix, IpAddr)> {
    let of = |name| {
        let actor = by_name(name);
        [false, true].map(|v6| (actor.prefix(v6), actor.next_hop(v6)))
    };
    sources.split(' ').flat_map(of).collect()
}

fn assert_table(stage: &Stage, what: &str, table: &[(&str, &str); 7]) {
    for (receiver, sources) in table {
        match *receiver {
            "hosts" => stage.hosts_hear(what, &routes(sources)),
            name => stage.hears(by_name(name), what, &prefixes(sources)),
        }
    }
    // And nothing more came while the others were looked at.
    for (receiver, sources) in table.iter().filter(|(receiver, _)| *receiver != "hosts") {
        stage.hears(by_name(receiver), what, &prefixes(sources));
    }
}

fn every_cell_in_both_positions(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    stage.all_tell();
    assert_table(&stage, "off", &OFF);
    stage.switch("on");
    assert_table(&stage, "on", &ON);
    stage.switch("off");
    assert_table(&stage, "off again", &OFF);
    drop(stage);
    let stage = Stage::open(transport, "enabled = true");
    stage.all_tell();
    assert_table(&stage, "on from the start", &ON);
}

/// What a receiver must see of a source's route.
fn agreed(from: Actor, to: Actor, v6: bool) -> String {
    let path = |own: &[u32]| {
        let path: Vec<String> = own.iter().chain(from.path).map(u32::to_string).collect();
        path.join(" ")
    };
    let next_hop = from.next_hop(v6);
    let communities = from.communities().map(|community| community.to_string());
    let (path, pref, med) = if to.is_nva() {
        // Its own AS in front, the rest kept; neither LOCAL_PREF nor anyone's MED.
        (path(&[SERVER_AS]), None, None)
    } else {
        (path(&[]), Some(100), Some(50 + u32::from(from.number)))
    };
    let reflected = !from.is_nva() && !to.is_nva();
    let originator = reflected.then(|| from.id().to_string());
    let clusters: Vec<String> = reflected
        .then(|| "198.18.0.1".to_owned())
        .into_iter()
        .collect();
    format!(
        "path [{path}] via {next_hop} pref {pref:?} med {med:?} communities {communities:?} \
         originator {originator:?} clusters {clusters:?} origin 0"
    )
}

fn attributes_are_as_agreed(transport: &str) {
    let stage = Stage::open(transport, "enabled = true");
    stage.all_tell();
    for (receiver, sources) in ON.iter().filter(|(receiver, _)| *receiver != "hosts") {
        let to = by_name(receiver);
        for from in sources
            .split(' ')
            .filter(|name| *name != "network")
            .map(by_name)
        {
            for v6 in [false, true] {
                expect_facts(&stage, to, from.prefix(v6), &agreed(from, to, v6));
            }
        }
        let (path, pref) = if to.is_nva() {
            ("65515", "None")
        } else {
            ("", "Some(100)")
        };
        for (text, next_hop) in [
            ("10.0.0.0/16", "10.0.0.1"),
            ("10.1.0.0/16", "10.0.0.1"),
            ("fd00:10::/48", "fd00:10::1"),
        ] {
            let wanted = format!(
                "path [{path}] via {next_hop} pref {pref} med None communities [] originator None \
                 clusters [] origin 0"
            );
            expect_facts(&stage, to, prefix(text), &wanted);
        }
    }
}

fn well_known_communities(transport: &str) {
    let stage = Stage::open(transport, "enabled = true");
    let tell = |text: &str, communities: &[Community]| {
        let set = set(SDWAN.path, SDWAN.next_hop(false), communities);
        stage.tell(SDWAN, &[prefix(text)], &set);
    };
    tell("172.20.1.0/24", &[Community::NO_ADVERTISE]);
    tell("172.20.2.0/24", &[Community::NO_EXPORT]);
    tell("172.20.3.0/24", &[]);
    let next_hop = SDWAN.next_hop(false);
    let all = ["172.20.1.0/24", "172.20.2.0/24", "172.20.3.0/24"].map(prefix);
    stage.hosts_hear(
        "all go to hosts",
        &all.map(|prefix| (prefix, next_hop)).into(),
    );
    let heard = |more: &[Prefix]| network().iter().chain(more).copied().collect();
    // NO_EXPORT stays within the AS, of which gateways are a part (RFC 1997).
    stage.hears(FIREWALL, "another AS", &heard(&all[2..]));
    for gateway in [ER0, ER1, VPN0, VPN1] {
        stage.hears(gateway, "our AS", &heard(&all[1..]));
    }
}

fn eligibility_comes_before_best(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    let contested = prefix("172.30.0.0/16");
    // ExpressRoute's is better by preference, and shorter, too.
    stage.tell(ER0, &[contested], &ER0.tells_with(false, &[65_020]));
    let long = [SDWAN.asn, 64_901, 64_902, 64_903];
    stage.tell(SDWAN, &[contested], &SDWAN.tells_with(false, &long));
    let nvas = "65515 4200000001 64901 64902 64903";
    expect_path(&stage, FIREWALL, "off", contested, Some(nvas));
    for gateway in [ER1, VPN0, VPN1] {
        expect_path(&stage, gateway, "off", contested, None);
    }
    stage.switch("on");
    expect_path(&stage, FIREWALL, "on", contested, Some("65515 65020"));
    expect_path(&stage, SDWAN, "on", contested, Some("65515 65020"));
    expect_path(&stage, VPN0, "on", contested, Some("65020"));
    // Never ExpressRoute to ExpressRoute: its other session gets the NVA's.
    expect_path(
        &stage,
        ER1,
        "on",
        contested,
        Some("4200000001 64901 64902 64903"),
    );
    stage.switch("off");
    expect_path(&stage, FIREWALL, "off again", contested, Some(nvas));
    expect_path(&stage, SDWAN, "off again", contested, None);
    expect_path(&stage, VPN0, "off again", contested, None);
}

fn preference_in_its_three_values(transport: &str) {
    let with = |preference: &str| {
        config(
            &format!("enabled = true\npreference = \"{preference}\""),
            "",
        )
    };
    let stage = Stage::with(transport, &with("expressroute"), &CAST);
    for v6 in [false, true] {
        let contested = prefix(if v6 {
            "2001:db8:beef::/48"
        } else {
            "172.30.0.0/16"
        });
        let tell = |actor: Actor, path: &[u32]| {
            stage.tell(actor, &[contested], &actor.tells_with(v6, path));
        };
        tell(ER0, &[65_020, 64_901, 64_902]);
        tell(VPN0, &[65_030, 64_901]);
        // Longer than ExpressRoute's and the VPN gateway's.
        tell(SDWAN, &[SDWAN.asn, 64_901, 64_902, 64_903]);
    }
    let before = stage.sessions();
    let expect = |preference: &str, best: &str| {
        for text in ["172.30.0.0/16", "2001:db8:beef::/48"] {
            let path = format!("65515 {best}");
            expect_path(&stage, FIREWALL, preference, prefix(text), Some(&path));
        }
    };
    expect("expressroute", "65020 64901 64902");
    stage.reload(&with("vpn"));
    expect("vpn", "65030 64901");
    stage.reload(&with("as-path"));
    expect("as-path", "65030 64901");
    // Without the VPN gateway's: as-path takes ExpressRoute's, vpn takes the NVA's longer one.
    stage
        .speaker(VPN0)
        .withdraw(&["172.30.0.0/16", "2001:db8:beef::/48"].map(prefix));
    expect("as-path", "65020 64901 64902");
    stage.reload(&with("vpn"));
    expect("vpn", "4200000001 64901 64902 64903");
    stage.reload(&with("expressroute"));
    expect("expressroute", "65020 64901 64902");
    assert_eq!(stage.sessions(), before, "a preference resets nothing");
}

fn hosts_use_equal_paths_together(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    for v6 in [false, true] {
        let shared = prefix(if v6 {
            "2001:db8:e::/48"
        } else {
            "172.31.0.0/16"
        });
        let tell = |actor: Actor, path: &[u32]| {
            // Without a MED, which would decide between neighbours of one AS only.
            stage.tell(actor, &[shared], &set(path, actor.next_hop(v6), &[]));
        };
        let others: BTreeSet<_> = stage.hosts();
        let hear = |what: &str, actors: &[Actor]| {
            let ours = actors.iter().map(|actor| (shared, actor.next_hop(v6)));
            stage.hosts_hear(what, &others.iter().copied().chain(ours).collect());
        };
        tell(SDWAN, &[SDWAN.asn, 64_901]);
        tell(FIREWALL, &[FIREWALL.asn, 64_902]);
        hear("equal lengths", &[SDWAN, FIREWALL]);
        tell(FIREWALL, &[FIREWALL.asn, 64_902, 64_903]);
        hear("one is longer", &[SDWAN]);
        tell(FIREWALL, &[FIREWALL.asn, 64_904]);
        hear("equal again", &[SDWAN, FIREWALL]);
        stage.speaker(SDWAN).withdraw(&[shared]);
        hear("one is gone", &[FIREWALL]);
    }
}

fn hosts_are_spared_what_is_inside_the_network(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    let texts = [
        // Equal, inside, inside the peered network, over it; the same for IPv6.
        "10.0.0.0/16",
        "10.0.7.0/24",
        "10.1.2.0/24",
        "10.0.0.0/8",
        "fd00:10::/48",
        "fd00:10:0:7::/64",
        "fd00::/16",
    ];
    for text in texts {
        let prefix = prefix(text);
        let v6 = text.contains(':');
        stage.tell(SDWAN, &[prefix], &SDWAN.tells(v6));
    }
    // A gateway's own routes are no NVA's: they pass.
    stage.tell(ER0, &[prefix("10.0.8.0/24")], &ER0.tells(false));
    let wanted = BTreeSet::from([
        (prefix("10.0.0.0/8"), SDWAN.next_hop(false)),
        (prefix("fd00::/16"), SDWAN.next_hop(true)),
        (prefix("10.0.8.0/24"), ER0.next_hop(false)),
    ]);
    stage.hosts_hear("exclusions", &wanted);
    // Other NVAs are told them all the same; for its own prefixes the network's word is best.
    expect_path(
        &stage,
        FIREWALL,
        "inside",
        prefix("10.0.7.0/24"),
        Some("65515 4200000001 64999"),
    );
    expect_path(
        &stage,
        FIREWALL,
        "equal",
        prefix("10.0.0.0/16"),
        Some("65515"),
    );
}

fn a_path_with_our_as_is_a_loop(transport: &str) {
    let stage = Stage::open(transport, "enabled = true");
    let looped = prefix("172.29.0.0/16");
    stage.tell(
        SDWAN,
        &[looped],
        &SDWAN.tells_with(false, &[SDWAN.asn, SERVER_AS, 64_901]),
    );
    stage.tell(SDWAN, &[SDWAN.prefix(false)], &SDWAN.tells(false));
    let wanted = network().into_iter().chain([SDWAN.prefix(false)]).collect();
    stage.hears(FIREWALL, "only the other one", &wanted);
    let session = SDWAN.session();
    let mut why = String::new();
    wait_until("the loop is shown", PATIENCE, || {
        why = stage.rig.show(&["peer", &session, "rejected"]).to_string();
        why.contains("65515")
    });
    assert!(why.contains("172.29.0.0/16"), "{why}");
}

/// The server is never in the data path: what came to it would go nowhere (RFC 4271 §6.3).
fn our_own_address_is_no_next_hop(transport: &str) {
    let stage = Stage::open(transport, "enabled = true");
    for (text, ours) in [("172.29.0.0/16", "127.0.0.1"), ("2001:db8:29::/48", "::1")] {
        let set = set(SDWAN.path, ours.parse().expect("an address"), &[]);
        stage.tell(SDWAN, &[prefix(text)], &set);
        stage.tell(ER0, &[prefix(text)], &set);
    }
    stage.all_tell();
    let rejected = |actor: Actor| {
        let session = actor.session();
        let mut why = Value::Null;
        wait_until("they are shown as rejected", PATIENCE, || {
            why = stage.rig.show(&["peer", &session, "rejected"]);
            why.as_array().is_some_and(|routes| routes.len() == 2)
        });
        assert!(why.to_string().contains("next hop"), "{why}");
    };
    rejected(SDWAN);
    rejected(ER0);
    assert_table(&stage, "the others", &ON);
}

fn routes_are_shown_as_operators_know_them(transport: &str) {
    let stage = Stage::open(transport, "enabled = true");
    stage.all_tell();
    let session = VPN0.session();
    stage.hears(VPN0, "on", &prefixes("network sdwan firewall er0 er1"));
    let routes = |name: &str, table: &str, prefix: &str| {
        stage.rig.show(&["peer", name, table, "--prefix", prefix])[0].clone()
    };
    let learned = routes(&session, "learned", "172.16.5.0/24");
    let told = routes(&session, "advertised", "172.16.1.0/24");
    let local = stage.rig.addr().ip().to_string();
    for (route, wanted) in [
        (
            learned,
            json!({
                "network": "172.16.5.0/24", "nextHop": "10.0.99.5", "asPath": "65030",
                "origin": "Igp", "sourcePeer": "127.0.3.4", "localAddress": local, "weight": 32768,
            }),
        ),
        (
            told,
            json!({
                "network": "172.16.1.0/24", "nextHop": "10.0.99.1", "asPath": "4200000001 64999",
                "origin": "EBgp", "sourcePeer": "127.0.1.1", "localAddress": local, "weight": 32768,
            }),
        ),
    ] {
        for (key, value) in wanted.as_object().expect("an object") {
            assert_eq!(&route[key], value, "{key}: {route}");
        }
    }
    // All sessions of a gateway under its name.
    let all = stage.rig.show(&["peer", "vpn", "learned"]);
    let of = |route: &Value| route["network"].as_str().unwrap_or_default().to_owned();
    let all: BTreeSet<String> = all.as_array().into_iter().flatten().map(of).collect();
    let wanted: BTreeSet<String> = prefixes("vpn0 vpn1")
        .iter()
        .map(Prefix::to_string)
        .collect();
    assert_eq!(all, wanted);
}

fn transparent_mode_touches_nothing(transport: &str) {
    let peers = "[peer-group.clients]\npassive = true\nimport = \"accept\"\nexport = \"accept\"\n";
    let peers = format!("{peers}{}{}", client(1, ""), client(2, ""));
    let rig = Rig::start_with(transport, "mode = \"transparent\"", &peers);
    let (one, two) = (rig.connect(1), rig.connect(2));
    let shared = prefix("203.0.113.0/24");
    let tell = |speaker: &Speaker, path: &[u32], number: u8| {
        let set = set(
            path,
            Ipv4Addr::new(10, 0, 99, number).into(),
            &[Community(64_601 << 16 | 1)],
        );
        speaker.announce_prefixes(&[shared], set.as_ref());
    };
    tell(&one, &[64_601, 65_001], 1);
    tell(&two, &[64_602], 2);
    let sees = |speaker: &Speaker, path: &str, next_hop: &str| {
        expect(speaker, path, |table| {
            table.get(shared).is_some_and(|set| {
                let facts = facts(set.as_ref());
                facts.starts_with(&format!("path [{path}] via {next_hop} "))
                    && facts.contains("communities [\"64601:1\"]")
            })
        });
    };
    // Each its own best: neither its own, nor our AS, nor our address.
    sees(&one, "64602", "10.0.99.2");
    sees(&two, "64601 65001", "10.0.99.1");
}

fn several_paths_obey_the_matrix(transport: &str) {
    let keys = "addresses = [\"127.0.1.2\"]\nadd-path = { send = \"all\" }";
    let text = config("enabled = false", "").replace("addresses = [\"127.0.1.2\"]", keys);
    let stage = Stage::with(transport, &text, &[SDWAN, ER0, ER1, VPN0, VPN1]);
    let options = PeerOptions {
        add_path_receive: FamilySet::ALL,
        ..FIREWALL.options()
    };
    let firewall = stage.rig.spawn_at(FIREWALL.addr, options, None);
    firewall.established(PATIENCE).expect("it comes up");
    let contested = prefix("172.30.0.0/16");
    for actor in [SDWAN, ER0, ER1, VPN0] {
        stage.tell(actor, &[contested], &actor.tells(false));
    }
    firewall.announce_prefixes(&[contested], FIREWALL.tells(false).as_ref());
    stage.wait_paths(5 + 3);
    let expect_from = |what: &str, sources: &[Actor]| {
        let wanted: BTreeSet<IpAddr> = sources.iter().map(|actor| actor.next_hop(false)).collect();
        expect(&firewall, what, |table| {
            let paths = table.paths(contested);
            let next_hops = paths.filter_map(|(_, set)| set.as_ref().next_hop());
            next_hops
                .map(|next_hop| next_hop.addr())
                .collect::<BTreeSet<_>>()
                == wanted
        });
    };
    for _ in 0..2 {
        expect_from("off", &[SDWAN]);
        stage.switch("on");
        expect_from("on", &[SDWAN, ER0, ER1, VPN0]);
        stage.switch("off");
    }
    expect_from("off again", &[SDWAN]);
}

fn explain_names_the_switch(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    stage.all_tell();
    stage.wait_paths(12 + 3);
    let explain = |prefix: &str, to: Actor| {
        let found = stage.rig.json("explain", &[prefix, "--to", &to.session()]);
        found[0]["told"].as_str().unwrap_or_default().to_owned()
    };
    let why = explain("172.16.3.0/24", SDWAN);
    assert!(why.contains("route exchange is off"), "{why}");
    let why = explain("172.16.3.0/24", ER1);
    assert!(why.contains("never"), "{why}");
    assert_eq!(explain("172.16.2.0/24", SDWAN), "told");
    stage.switch("on");
    assert_eq!(explain("172.16.3.0/24", SDWAN), "told");
    let why = explain("172.16.3.0/24", ER1);
    assert!(why.contains("never"), "{why}");
}

fn strangers_are_refused(transport: &str) {
    let stage = Stage::with(transport, &config("enabled = true", ""), &[SDWAN]);
    // From 127.0.0.1, which is nobody's.
    let mut outside = TcpStream::connect(stage.rig.addr()).expect("it listens");
    outside.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answer = Vec::new();
    let end = outside
        .read_to_end(&mut answer)
        .map_err(|error| error.kind());
    assert_ne!(
        end,
        Err(ErrorKind::WouldBlock),
        "it is neither served nor refused"
    );
    assert!(
        answer.get(18).is_none_or(|kind| *kind != 1),
        "an OPEN: {answer:?}"
    );
    // Who comes from a gateway's subnet is of the server's AS; an NVA's address has the NVA's AS.
    let foreign = Actor { asn: 65_009, ..ER0 };
    let other_nva = Actor {
        asn: 65_009,
        ..FIREWALL
    };
    for stranger in [foreign, other_nva] {
        let speaker = stage.rig.spawn_at(stranger.addr, stranger.options(), None);
        let end = speaker.wait_until_ended(PATIENCE).expect("it is refused");
        assert!(end.to_string().contains("Bad Peer AS"), "{end}");
        assert!(speaker.with_table(ReceivedTable::is_empty));
    }
}
