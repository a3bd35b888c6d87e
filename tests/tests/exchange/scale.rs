//! 10,000 prefixes of ExpressRoute, 4,000 of an NVA and 4,000 of a VPN gateway: how long the switch
//! takes. The times are printed, not judged:
//! `cargo test -p thruway-tests --test exchange -- --nocapture --test-threads=1 scale`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use thruway_replay::table::Table;
use thruway_tests::daemon::Daemon;
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::prefix;
use thruway_wire::attrs::AttrSet;
use thruway_wire::{Family, Nlri, Prefix};

use crate::stage::{Actor, CAST, ER0, SDWAN, Stage, VPN0, VPN1};
use crate::topology::{self, Net};

on_both! {
    a_switch_of_18_000_prefixes,
}

const OF_ER: usize = 10_000;
const OF_NVA: usize = 4_000;
const OF_VPN: usize = 4_000;
/// Nothing is judged but that it ends.
const BOUND: Duration = Duration::from_secs(30);
/// Prefixes with equal attributes.
const ALIKE: usize = 8;

fn table(actor: Actor, block: u8, count: usize) -> Table {
    let prefixes: Vec<Prefix> = (0..count)
        .map(|n| prefix(&format!("{block}.{}.{}.0/24", n / 256, n % 256)))
        .collect();
    let mut table = Table::new();
    for (number, group) in prefixes.chunks(ALIKE).enumerate() {
        let number = u32::try_from(number).expect("few groups");
        let mut path = actor.path.to_vec();
        path.push(100_000 + number);
        let set: AttrSet = actor.tells_with(false, &path);
        let run = group.iter().map(|prefix| Nlri {
            path_id: 0,
            prefix: *prefix,
        });
        table.push(Duration::ZERO, Some(set), Family::Ipv4, run);
    }
    table
}

fn a_switch_of_18_000_prefixes(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    stage.speaker(ER0).announce(table(ER0, 12, OF_ER));
    stage.speaker(SDWAN).announce(table(SDWAN, 11, OF_NVA));
    stage.speaker(VPN0).announce(table(VPN0, 13, OF_VPN));
    stage.speaker(VPN1).announce(table(VPN1, 13, OF_VPN));
    stage.wait_paths((OF_ER + OF_NVA + 2 * OF_VPN + 3) as u64);
    let count = |actor: Actor, on: bool| {
        // Each hears the kinds that are not its own; an NVA the other NVA always.
        let (er, nva, vpn) = match actor.name {
            "er0" | "er1" => (0, OF_NVA, OF_VPN),
            "vpn0" | "vpn1" => (OF_ER, OF_NVA, 0),
            "sdwan" => (OF_ER, 0, OF_VPN),
            _ => (OF_ER, OF_NVA, OF_VPN),
        };
        let always = if actor.name == "firewall" { nva } else { 0 };
        3 + if on { er + nva + vpn } else { always }
    };
    let wait = |on: bool| {
        for (actor, speaker) in &stage.speakers {
            let wanted = count(*actor, on);
            let done = speaker.wait_for(|table| table.len() == wanted, BOUND);
            done.unwrap_or_else(|error| panic!("{}: {error}, wanted {wanted}", actor.name));
        }
    };
    wait(false);
    assert_eq!(stage.speakers.len(), CAST.len());
    for _ in 0..3 {
        for (position, on) in [("on", true), ("off", false)] {
            let start = Instant::now();
            let command = stage
                .rig
                .command("exchange", &[position, "--json"])
                .output();
            let answered = start.elapsed();
            let answer = command.expect("thruway runs").stdout;
            wait(on);
            let took = start.elapsed();
            let answer: serde_json::Value = serde_json::from_slice(&answer).expect("an answer");
            println!(
                "{transport}: switch {position}: {} announced, {} withdrawn, in force after {} ms, \
                 command back after {answered:?}, last neighbour has all after {took:?}",
                answer["announced"], answer["withdrawn"], answer["tookMs"]
            );
            assert!(took < BOUND, "{took:?}");
        }
    }
}

/// The same with FRR and BIRD, their kernels included where they route.
#[test]
fn a_switch_of_18_000_prefixes_among_daemons() {
    let Some(net) = Net::new("exchange: scale") else {
        return;
    };
    let thruway = net.thruway("auto");
    let mut nva = net.start_nva(OF_NVA);
    let mut er = net.start_expressroute(OF_ER);
    let mut vpn = [net.start_vpn(0, OF_VPN), net.start_vpn(1, OF_VPN)];
    topology::wait_sessions(&thruway, &topology::NAMES);
    for (name, count) in topology::NAMES.iter().zip([OF_NVA, OF_ER, OF_VPN, OF_VPN]) {
        thruway.wait_count(name, "ipv4", "accepted", count as u64 + 1);
    }
    for (position, on) in [("on", 1), ("off", 0), ("on", 1), ("off", 0)] {
        let start = Instant::now();
        let answer = topology::switch(&thruway, position);
        // Each of the other two sites has one prefix besides.
        let [vpn0, vpn1] = &mut vpn;
        let times = std::thread::scope(|scope| {
            let watches = [
                scope.spawn(|| until(&mut nva, 2 + on * (OF_ER + OF_VPN + 2), start)),
                scope.spawn(|| until(&mut er, 2 + on * (OF_NVA + OF_VPN + 2), start)),
                scope.spawn(|| until(vpn0, 2 + on * (OF_ER + OF_NVA + 2), start)),
                scope.spawn(|| until(vpn1, 2 + on * (OF_ER + OF_NVA + 2), start)),
            ];
            watches.map(|watch| watch.join().expect("it has all"))
        });
        println!(
            "daemons: switch {position}: {} announced, {} withdrawn, in force after {} ms; {times:?}",
            answer["announced"], answer["withdrawn"], answer["tookMs"]
        );
    }
}

/// Waits until a daemon has `count` IPv4 routes of the server, and says when that was. It is asked
/// every 50 ms, so the time is no better than that.
fn until(daemon: &mut impl Daemon, count: usize, start: Instant) -> (&'static str, Duration) {
    let from = IpAddr::V4(topology::SERVER);
    wait_until("a daemon has all", BOUND, || {
        daemon.count(Family::Ipv4, from) == count
    });
    (daemon.name(), start.elapsed())
}
