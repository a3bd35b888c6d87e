//! Helping a neighbour over its restart (RFC 4724), with real daemons that are killed in mid-session.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use thruway_tests::daemon::{Bird, Daemon, Frr, Thruway};
use thruway_tests::lab::{Host, wait_until};
use thruway_wire::{Family, Prefix};

use crate::topology::{Net, PATIENCE, SERVER, switch};

/// A neighbour that can be killed.
enum Victim {
    Bird(Bird),
    Frr(Frr),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Bird,
    Frr,
}

/// Prefixes before the crash, and after it: one is gone, one is new.
const BEFORE: [&str; 4] = [
    "11.1.0.0/24",
    "11.1.1.0/24",
    "11.1.2.0/24",
    "2001:db8:1::/48",
];
const AFTER: [&str; 4] = [
    "11.1.1.0/24",
    "11.1.2.0/24",
    "11.1.3.0/24",
    "2001:db8:1::/48",
];

fn lines(prefixes: &[&str], v6: bool, line: impl Fn(&str) -> String) -> String {
    let of_family = prefixes.iter().filter(|prefix| prefix.contains(':') == v6);
    of_family.map(|prefix| line(prefix)).collect()
}

fn bird(host: &Host, prefixes: &[&str], restart_time: u16) -> String {
    let (v4, v6) = (host.v4(), host.v6());
    let route = |prefix: &str| format!("route {prefix} unreachable; ");
    format!(
        "router id {v4};\ngraceful restart wait 30;\nprotocol device {{}}\n\
         protocol static {{ ipv4; {} }}\nprotocol static {{ ipv6; {} }}\n\
         protocol bgp server {{\n local {v4} as 65001;\n neighbor {SERVER} as 65515;\n multihop;\n \
         connect delay time 1;\n error wait time 1, 2;\n graceful restart on;\n graceful restart time {restart_time};\n \
         ipv4 {{ import all; export where source = RTS_STATIC; next hop address {v4}; }};\n \
         ipv6 {{ import all; export where source = RTS_STATIC; next hop address {v6}; }};\n}}\n",
        lines(prefixes, false, route),
        lines(prefixes, true, route),
    )
}

fn frr(host: &Host, prefixes: &[&str], restart_time: u16) -> String {
    let (v4, v6) = (host.v4(), host.v6());
    let network = |prefix: &str| format!("  network {prefix}\n");
    format!(
        "hostname frr\nrouter bgp 65001\n bgp router-id {v4}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n bgp graceful-restart\n \
         bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time {restart_time}\n \
         neighbor {SERVER} remote-as 65515\n neighbor {SERVER} ebgp-multihop\n \
         neighbor {SERVER} timers connect 2\n neighbor {SERVER} update-source {v4}\n \
         address-family ipv4 unicast\n  neighbor {SERVER} activate\n  \
         neighbor {SERVER} route-map out out\n{} exit-address-family\n \
         address-family ipv6 unicast\n  neighbor {SERVER} activate\n  \
         neighbor {SERVER} route-map out out\n{} exit-address-family\nexit\n\
         bgp as-path access-list own permit ^$\nroute-map out permit 10\n match as-path own\n \
         set ipv6 next-hop global {v6}\nexit\n",
        lines(prefixes, false, network),
        lines(prefixes, true, network),
    )
}

impl Kind {
    fn start(self, host: &Host, prefixes: &[&str], restart_time: u16, again: bool) -> Victim {
        match self {
            Kind::Bird => {
                let config = bird(host, prefixes, restart_time);
                Victim::Bird(if again {
                    Bird::recover(host, &config)
                } else {
                    Bird::with_config(host, &config)
                })
            }
            Kind::Frr => Victim::Frr(Frr::with_config(host, &frr(host, prefixes, restart_time))),
        }
    }
}

impl Victim {
    fn kill(&mut self) {
        match self {
            Victim::Bird(bird) => bird.kill(),
            Victim::Frr(frr) => frr.kill(),
        }
    }
}

/// Waits until the witness, the ExpressRoute gateway, has just this of the server, and the network's
/// own prefixes.
fn witness_has(witness: &mut Bird, what: &str, prefixes: &[&str]) {
    let own = ["10.0.0.0/16", "10.1.0.0/16", "fd00:10::/48"];
    let wanted = prefixes
        .iter()
        .chain(&own)
        .map(|text| text.parse().expect("a prefix"));
    let wanted: BTreeSet<Prefix> = wanted.collect();
    let mut got = BTreeSet::new();
    let end = Instant::now() + PATIENCE;
    while got != wanted {
        assert!(
            Instant::now() < end,
            "{what}:\n  wanted {wanted:?}\n  got    {got:?}"
        );
        got.clear();
        for family in Family::ALL {
            got.extend(witness.table(family, IpAddr::V4(SERVER)).into_keys());
        }
    }
}

fn stale(thruway: &Thruway) -> u64 {
    let peer = thruway.peer("sdwan-10.0.2.4");
    ["ipv4", "ipv6"]
        .iter()
        .filter_map(|family| peer[family]["stale"].as_u64())
        .sum()
}

fn crash_and_return(kind: Kind) {
    let Some(net) = Net::new(&format!("exchange: restart of {kind:?}")) else {
        return;
    };
    let thruway = net.thruway("auto");
    let mut witness = net.start_expressroute(0);
    let mut victim = kind.start(&net.nva, &BEFORE, 120, false);
    switch(&thruway, "on");
    witness_has(&mut witness, "before", &BEFORE);
    wait_until("End-of-RIB has come", PATIENCE, || {
        let peer = thruway.peer("sdwan-10.0.2.4");
        peer["ipv4"]["receivedAll"] == true && peer["ipv6"]["receivedAll"] == true
    });
    let told =
        |thruway: &Thruway| thruway.peer("expressroute-10.0.255.4")["messagesOut"][1].clone();
    let before = told(&thruway);

    victim.kill();
    wait_until("its routes are stale", PATIENCE, || stale(&thruway) == 4);
    witness_has(&mut witness, "while it is away", &BEFORE);
    let kernel = net.server.ask_ip(&["route", "show", "11.1.0.0/24"]);
    assert!(
        kernel.contains("10.0.2.4"),
        "hosts lost the route: {kernel:?}"
    );
    assert_eq!(told(&thruway), before, "nobody hears of the crash");

    victim = kind.start(&net.nva, &AFTER, 120, true);
    witness_has(&mut witness, "after", &AFTER);
    wait_until("nothing is stale", PATIENCE, || stale(&thruway) == 0);
    let kernel = |prefix| net.server.ask_ip(&["route", "show", prefix]);
    wait_until("hosts have the new route only", PATIENCE, || {
        kernel("11.1.0.0/24").is_empty() && kernel("11.1.3.0/24").contains("10.0.2.4")
    });
    drop(victim);
}

#[test]
fn bird_crashes_and_returns() {
    crash_and_return(Kind::Bird);
}

#[test]
fn frr_crashes_and_returns() {
    crash_and_return(Kind::Frr);
}

/// It does not return in the time that it asked for.
#[test]
fn bird_crashes_for_good() {
    let Some(net) = Net::new("exchange: crash for good") else {
        return;
    };
    let thruway = net.thruway("auto");
    let mut witness = net.start_expressroute(0);
    let mut victim = Kind::Bird.start(&net.nva, &BEFORE, 3, false);
    switch(&thruway, "on");
    witness_has(&mut witness, "before", &BEFORE);
    victim.kill();
    let start = Instant::now();
    wait_until("its routes are stale", PATIENCE, || stale(&thruway) == 4);
    witness_has(&mut witness, "for good", &[]);
    assert!(
        start.elapsed() > Duration::from_secs(2),
        "they were kept for {:?}",
        start.elapsed()
    );
    wait_until("hosts have nothing of it", PATIENCE, || {
        net.server
            .ask_ip(&["route", "show", "11.1.0.0/24"])
            .is_empty()
    });
    drop(victim);
}

/// A gateway's sessions come from a subnet; a peer of that kind is kept over its restart, too.
#[test]
fn a_gateway_crashes_and_returns() {
    let Some(net) = Net::new("exchange: restart of a gateway") else {
        return;
    };
    let thruway = net.thruway("auto");
    switch(&thruway, "on");
    let gateway = |prefixes| {
        let text = bird(&net.vpn[0], prefixes, 120);
        text.replace("as 65001", "as 65515")
            .replace(" multihop;\n", "")
    };
    let mut vpn = Bird::with_config(&net.vpn[0], &gateway(&BEFORE));
    let mut witness = net.start_expressroute(0);
    witness_has(&mut witness, "before", &BEFORE);
    let stale = || {
        let peer = thruway.peer("vpn-10.0.255.20");
        ["ipv4", "ipv6"].map(|family| peer[family]["stale"].as_u64().unwrap_or(0))
    };
    vpn.kill();
    wait_until("its routes are stale", PATIENCE, || stale() == [3, 1]);
    // The switch moves stale routes like others.
    switch(&thruway, "off");
    witness_has(&mut witness, "off, while it is away", &[]);
    switch(&thruway, "on");
    witness_has(&mut witness, "on, while it is away", &BEFORE);
    vpn = Bird::recover(&net.vpn[0], &gateway(&AFTER));
    witness_has(&mut witness, "after", &AFTER);
    wait_until("nothing is stale", PATIENCE, || stale() == [0, 0]);
    drop(vpn);
}

/// The reference's timers are 60 and 180 seconds for everyone; here an NVA's can be 3.
#[test]
fn a_neighbour_that_hangs_is_found_out() {
    let Some(net) = Net::new("exchange: hold time") else {
        return;
    };
    let config = net.config("enabled = true");
    let config = config.replace("asn = 65001", "asn = 65001\nhold-time = 3");
    let thruway = Thruway::start(&net.server, "auto", &config);
    let mut witness = net.start_expressroute(0);
    let text = bird(&net.nva, &BEFORE, 120).replace("graceful restart on", "graceful restart off");
    let mut nva = Bird::with_config(&net.nva, &text);
    witness_has(&mut witness, "before", &BEFORE);
    assert_eq!(thruway.peer("sdwan-10.0.2.4")["holdTime"], 3);
    nva.hang(true);
    witness_has(&mut witness, "it hangs", &[]);
    wait_until("hosts have nothing of it", PATIENCE, || {
        net.server
            .ask_ip(&["route", "show", "11.1.0.0/24"])
            .is_empty()
    });
    let why = thruway.peer("sdwan-10.0.2.4")["lastError"][0].to_string();
    assert!(why.contains("old"), "{why}");
    nva.hang(false);
    witness_has(&mut witness, "it goes on", &BEFORE);
}
