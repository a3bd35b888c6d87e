//! Sessions with every other daemon: both families, 4-octet AS numbers, TCP MD5, both transports.
//!
//! The daemon under test and a BIRD as witness are clients of one route server. Each must learn what
//! the other announced, untouched; then the daemon goes, and the witness must forget its routes.

use std::time::Duration;

use thruway_tests::daemon::{Bird, Daemon, Kind, Neighbor, Speaker, Thruway};
use thruway_tests::lab::{Host, Lab, wait_until};
use thruway_tests::route::{Parts, Table, differences};
use thruway_wire::{Community, Family, Prefix};

const SERVER_AS: u32 = 64500;
const DAEMON_AS: u32 = 4_200_000_001;
const WITNESS_AS: u32 = 64602;
const PASSWORD: &str = "correct-horse";

fn prefixes(list: &[&str]) -> Vec<Prefix> {
    list.iter()
        .map(|text| text.parse().expect("a prefix"))
        .collect()
}

fn speaker(server: &Host, asn: u32, originate: &[&str], md5: bool) -> Speaker {
    let neighbors = [server.addr(false), server.addr(true)].map(|addr| Neighbor {
        password: md5.then(|| PASSWORD.to_owned()),
        ..Neighbor::new(addr, SERVER_AS)
    });
    Speaker {
        asn,
        neighbors: neighbors.to_vec(),
        originate: prefixes(originate),
        community: Some((u16::try_from(asn & 0x7fff).unwrap_or(1), 7)),
    }
}

fn config(server: &Host, peers: &[(&str, &Host, u32, bool)]) -> String {
    let mut text = format!(
        "[server]\nasn = {SERVER_AS}\nrouter-id = \"{}\"\nlisten = [\"{}:179\", \"[{}]:179\"]\n\
         workers = 2\n[peer-group.clients]\nrole = \"route-server-client\"\nimport = \"accept\"\n\
         export = \"accept\"\npassive = true\nnext-hop = \"any\"\n",
        server.v4(),
        server.v4(),
        server.v6(),
    );
    for (name, host, asn, md5) in peers {
        for (suffix, v6) in [("v4", false), ("v6", true)] {
            text += &format!(
                "[[peer]]\nname = \"{name}-{suffix}\"\naddress = \"{}\"\nasn = {asn}\n\
                 group = \"clients\"\n",
                host.addr(v6)
            );
            if *md5 {
                text += &format!("md5 = \"{PASSWORD}\"\n");
            }
        }
    }
    text
}

/// What a receiver must hold of a speaker's routes of one family.
fn expected(speaker: &Speaker, host: &Host, family: Family, med: Option<u32>) -> Table {
    let (high, low) = speaker.community.expect("each speaker sets one");
    let parts = Parts {
        as_path: vec![speaker.asn],
        next_hop: Some(host.addr(family == Family::Ipv6)),
        med,
        communities: vec![Community(u32::from(high) << 16 | u32::from(low))],
        ..Parts::default()
    };
    let own = speaker
        .originate
        .iter()
        .filter(|prefix| prefix.family() == family);
    own.map(|prefix| (*prefix, parts.route())).collect()
}

#[track_caller]
fn same(what: &str, expected: &Table, got: &Table) {
    let lines = differences(expected, got);
    assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
}

fn session_with(kind: Kind, transport: &str) {
    let test = format!("sessions: {kind:?} over {transport}");
    let Some(mut lab) = Lab::new(&test) else {
        return;
    };
    let (server, peer, witness) = (lab.host(), lab.host(), lab.host());
    let theirs = [
        "203.0.113.0/24",
        "198.51.100.128/25",
        "2001:db8:1::/48",
        "2001:db8:2::/64",
    ];
    let ours = ["192.0.2.0/24", "2001:db8:ffff::/48"];
    let daemon = speaker(&server, DAEMON_AS, &theirs, true);
    let bird = speaker(&server, WITNESS_AS, &ours, false);
    let peers = [
        ("daemon", &peer, DAEMON_AS, true),
        ("witness", &witness, WITNESS_AS, false),
    ];
    let mut thruway = Thruway::start(&server, transport, &config(&server, &peers));
    let status = thruway.show(&["status"]);
    assert_eq!(status["transport"], transport);

    // FRR tells a MED of 0 with routes of its own.
    let med = (kind == Kind::Frr).then_some(0);
    let mut witness_bird = Bird::start(&witness, &bird);
    let mut under_test = kind.start(&peer, &daemon);
    for family in Family::ALL {
        let from = server.addr(family == Family::Ipv6);
        under_test.wait_established(from);
        let count = daemon
            .originate
            .iter()
            .filter(|p| p.family() == family)
            .count();
        let got = witness_bird.wait_routes(family, from, count);
        same("the witness", &expected(&daemon, &peer, family, med), &got);
        let count = bird
            .originate
            .iter()
            .filter(|p| p.family() == family)
            .count();
        let got = under_test.wait_routes(family, from, count);
        same("the daemon", &expected(&bird, &witness, family, None), &got);
    }
    let show = thruway.peer("daemon-v4");
    assert_eq!(show["asn"], DAEMON_AS);
    assert_eq!(show["ipv4"]["accepted"], 2);

    drop(under_test);
    for family in Family::ALL {
        let from = server.addr(family == Family::Ipv6);
        witness_bird.wait_routes(family, from, 0);
    }
    wait_until(
        "the server has forgotten the daemon's routes",
        Duration::from_secs(30),
        || thruway.show(&["status"])["paths"] == 2,
    );
    assert_eq!(thruway.terminate(), Some(0), "{}", thruway.log());
}

macro_rules! sessions {
    ($($name:ident: $kind:ident over $transport:literal,)*) => {$(
        #[test]
        fn $name() {
            session_with(Kind::$kind, $transport);
        }
    )*};
}

sessions! {
    bird_over_io_uring: Bird over "io-uring",
    bird_over_epoll: Bird over "epoll",
    frr_over_io_uring: Frr over "io-uring",
    frr_over_epoll: Frr over "epoll",
    gobgp_over_io_uring: GoBgp over "io-uring",
    gobgp_over_epoll: GoBgp over "epoll",
    openbgpd_over_io_uring: OpenBgpd over "io-uring",
    openbgpd_over_epoll: OpenBgpd over "epoll",
    exabgp_over_io_uring: ExaBgp over "io-uring",
    exabgp_over_epoll: ExaBgp over "epoll",
}
