//! The switch and other changes on the running server: only differences go out, no session notices.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::{OPEN, PATIENCE, Rig, clients, prefix};
use thruway_wire::Prefix;

use crate::stage::{
    Actor, CAST, ER0, ER1, FIREWALL, GATEWAYS, NVAS, SDWAN, Stage, VPN0, VPN1, config, network,
};

on_both! {
    only_the_difference_goes_out,
    the_command_outlives_a_restart,
    the_files_new_word_wins,
    a_peered_network_comes_and_goes,
    a_gateway_comes_and_goes,
    one_vpn_instance_is_degraded,
    a_neighbour_that_does_not_read_holds_nobody_up,
    a_late_neighbour_gets_what_the_switch_allows,
    exclusions_follow_the_network,
    an_nva_gets_another_address,
    a_gateways_subnet_grows,
    many_hands_on_the_switch,
}

/// NLRI that each of the cast got: announced and withdrawn.
fn counts(stage: &Stage) -> BTreeMap<&'static str, (u64, u64)> {
    let of = |(actor, speaker): &(Actor, thruway_replay::speaker::Speaker)| {
        let stats = speaker.stats();
        (actor.name, (stats.announced, stats.withdrawn))
    };
    stage.speakers.iter().map(of).collect()
}

/// Waits for these differences from `before`.
#[track_caller]
fn expect_counts(
    stage: &Stage,
    what: &str,
    before: &BTreeMap<&'static str, (u64, u64)>,
    more: &[(&str, u64, u64)],
) {
    let mut got = counts(stage);
    let wanted: BTreeMap<&str, (u64, u64)> = more
        .iter()
        .map(|(name, announced, withdrawn)| {
            let (a, w) = before[name];
            (*name, (a + announced, w + withdrawn))
        })
        .collect();
    let end = std::time::Instant::now() + PATIENCE;
    while got != wanted {
        let in_time = std::time::Instant::now() < end;
        assert!(
            in_time,
            "{what}:\n  wanted {wanted:?}\n  got    {got:?}\n  before {before:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
        got = counts(stage);
    }
}

fn all_heard(stage: &Stage, what: &str, of: impl Fn(Actor) -> Vec<Actor>) {
    for actor in CAST {
        let sources = of(actor);
        let prefixes = sources
            .iter()
            .flat_map(|a| [a.prefix(false), a.prefix(true)]);
        stage.hears(
            actor,
            what,
            &network().into_iter().chain(prefixes).collect(),
        );
    }
}

fn when_off(actor: Actor) -> Vec<Actor> {
    match actor {
        SDWAN => vec![FIREWALL],
        FIREWALL => vec![SDWAN],
        _ => Vec::new(),
    }
}

fn when_on(actor: Actor) -> Vec<Actor> {
    let kind = |actor: Actor| {
        if actor.is_nva() {
            actor.name
        } else {
            &actor.name[..2]
        }
    };
    CAST.into_iter()
        .filter(|other| kind(*other) != kind(actor))
        .collect()
}

/// Two families each: an NVA hears four gateway sessions more, an ExpressRoute session two NVAs and
/// two VPN instances, a VPN instance two NVAs and two ExpressRoute sessions.
const MORE: u64 = 8;

fn only_the_difference_goes_out(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    stage.all_tell();
    all_heard(&stage, "off", when_off);
    let (sessions, before) = (stage.sessions(), counts(&stage));

    let on = stage.switch("on");
    all_heard(&stage, "on", when_on);
    let each = CAST.map(|actor| (actor.name, MORE, 0));
    expect_counts(&stage, "announced", &before, &each);
    assert_answer(&on, true, MORE, 0);

    // The same again is no change.
    let again = stage.switch("on");
    assert_answer(&again, true, 0, 0);

    let off = stage.switch("off");
    all_heard(&stage, "off", when_off);
    let each = CAST.map(|actor| (actor.name, MORE, MORE));
    expect_counts(&stage, "withdrawn", &before, &each);
    assert_answer(&off, false, 0, MORE);
    assert_eq!(
        stage.sessions(),
        sessions,
        "the switch resets nothing and asks for nothing"
    );
}

/// The answer names each receiver of the cast with what it got.
#[track_caller]
fn assert_answer(answer: &Value, enabled: bool, announced: u64, withdrawn: u64) {
    assert_eq!(answer["enabled"], enabled, "{answer}");
    let told = answer["peers"].as_array().cloned().unwrap_or_default();
    let of = |name: &str| told.iter().find(|row| row["name"] == name);
    for actor in CAST {
        let row = of(&actor.session()).cloned().unwrap_or_default();
        let count = |key: &str| row[key].as_u64().unwrap_or(0);
        let got = (count("announced"), count("withdrawn"));
        assert_eq!(got, (announced, withdrawn), "{}: {answer}", actor.name);
    }
}

fn set_by(stage: &Stage) -> (Value, Value) {
    let exchange = stage.exchange();
    (exchange["enabled"].clone(), exchange["setBy"].clone())
}

fn the_command_outlives_a_restart(transport: &str) {
    let mut stage = Stage::with(transport, &config("enabled = false", ""), &[]);
    assert_eq!(set_by(&stage), (false.into(), "file".into()));
    stage.switch("on");
    assert_eq!(set_by(&stage), (true.into(), "command".into()));
    stage.rig.restart();
    assert_eq!(set_by(&stage), (true.into(), "command".into()));
    CAST.into_iter().for_each(|actor| stage.enter(actor));
    stage.all_tell();
    all_heard(&stage, "on after a restart", when_on);
    // What the file says did not change: the command's word still holds.
    stage.reload(&config("enabled = false", ""));
    assert_eq!(set_by(&stage), (true.into(), "command".into()));
}

fn the_files_new_word_wins(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    stage.all_tell();
    stage.switch("on");
    stage.switch("off");
    all_heard(&stage, "off by command", when_off);
    let sessions = stage.sessions();
    stage.reload(&config("enabled = true", ""));
    all_heard(&stage, "on by the file", when_on);
    assert_eq!(set_by(&stage), (true.into(), "file".into()));
    // Nor does the command's word come back when the file returns to what it said then.
    stage.reload(&config("enabled = false", ""));
    all_heard(&stage, "off by the file", when_off);
    assert_eq!(set_by(&stage), (false.into(), "file".into()));
    assert_eq!(stage.sessions(), sessions, "a reload resets nothing");
}

fn with_peered(peered: &str) -> String {
    config("enabled = true", "").replace(
        "peered = [ { name = \"spoke-a\", prefixes = [\"10.1.0.0/16\"] } ]",
        &format!("peered = [ {{ name = \"spoke-a\", prefixes = [{peered}] }} ]"),
    )
}

fn a_peered_network_comes_and_goes(transport: &str) {
    let stage = Stage::open(transport, "enabled = true");
    stage.all_tell();
    all_heard(&stage, "on", when_on);
    let (sessions, before) = (stage.sessions(), counts(&stage));
    stage.reload(&with_peered(
        "\"10.1.0.0/16\", \"10.2.0.0/16\", \"fd00:20::/48\"",
    ));
    let each = CAST.map(|actor| (actor.name, 2, 0));
    expect_counts(&stage, "two prefixes more", &before, &each);
    stage.reload(&with_peered("\"fd00:20::/48\""));
    let each = CAST.map(|actor| (actor.name, 2, 2));
    expect_counts(&stage, "two prefixes less", &before, &each);
    let there = |text: &str| text.parse::<Prefix>().expect("a prefix");
    let left = ["10.0.0.0/16", "fd00:10::/48", "fd00:20::/48"].map(there);
    for actor in CAST {
        let others = when_on(actor);
        let prefixes = others
            .iter()
            .flat_map(|a| [a.prefix(false), a.prefix(true)]);
        stage.hears(actor, "peered", &left.into_iter().chain(prefixes).collect());
    }
    assert_eq!(
        stage.sessions(),
        sessions,
        "a peered network resets nothing"
    );
}

fn a_gateway_comes_and_goes(transport: &str) {
    let network = config("enabled = true", "").replace(GATEWAYS, "");
    let expressroute = "[gateway.expressroute]\nsubnet = \"127.0.2.0/28\"\n";
    let vpn = "[gateway.vpn]\nmode = \"active-active\"\ninstances = [\"127.0.3.4\", \"127.0.3.5\"]\n\
               passive = true\n";
    assert!(network.contains(NVAS));
    let mut stage = Stage::with(
        transport,
        &format!("{network}{expressroute}"),
        &[SDWAN, ER0],
    );
    stage.all_tell();
    let sessions = stage.sessions();
    stage.reload(&format!("{network}{expressroute}{vpn}"));
    stage.enter(VPN0);
    stage.enter(VPN1);
    stage.all_tell();
    let hear = |stage: &Stage, actor: Actor, sources: &[Actor]| {
        let prefixes = sources
            .iter()
            .flat_map(|a| [a.prefix(false), a.prefix(true)]);
        let wanted = crate::stage::network()
            .into_iter()
            .chain(prefixes)
            .collect();
        stage.hears(actor, "gateways", &wanted);
    };
    hear(&stage, SDWAN, &[ER0, VPN0, VPN1]);
    hear(&stage, ER0, &[SDWAN, VPN0, VPN1]);
    hear(&stage, VPN0, &[SDWAN, ER0]);
    assert_eq!(stage.sessions()[..2], sessions[..]);

    stage.reload(&format!("{network}{expressroute}"));
    hear(&stage, SDWAN, &[ER0]);
    hear(&stage, ER0, &[SDWAN]);
    for gone in [VPN0, VPN1] {
        let end = stage
            .speaker(gone)
            .wait_until_ended(PATIENCE)
            .expect("its session ends");
        assert!(end.to_string().contains("Peer De-configured"), "{end}");
        stage.leave(gone);
    }
    // Its routes go with it as well where it has a subnet.
    stage.reload(&network);
    hear(&stage, SDWAN, &[]);
    let end = stage
        .speaker(ER0)
        .wait_until_ended(PATIENCE)
        .expect("its session ends");
    assert!(end.to_string().contains("Cease"), "{end}");
    stage.leave(ER0);
    assert_eq!(stage.sessions()[..], sessions[..1]);
}

/// A VPN gateway's state, and why.
fn vpn(stage: &Stage) -> (String, String) {
    let exchange = stage.exchange();
    let members = exchange["members"].as_array().cloned().unwrap_or_default();
    let vpn = members
        .into_iter()
        .find(|member| member["name"] == "vpn")
        .unwrap_or_default();
    let text = |key: &str| vpn[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn one_vpn_instance_is_degraded(transport: &str) {
    let mut stage = Stage::open(transport, "enabled = true");
    stage.all_tell();
    all_heard(&stage, "on", when_on);
    let is = |stage: &Stage, wanted: &str| {
        let mut last = (String::new(), String::new());
        wait_until(&format!("the gateway is {wanted}"), PATIENCE, || {
            last = vpn(stage);
            last.0 == wanted
        });
        last.1
    };
    is(&stage, "up");
    stage.leave(VPN1);
    let reason = is(&stage, "degraded");
    println!("a VPN gateway with one instance is degraded: {reason}");
    assert!(reason.contains(&VPN1.session()), "{reason}");
    // What the other tells still flows.
    for (actor, sources) in [
        (SDWAN, vec![FIREWALL, ER0, ER1, VPN0]),
        (ER0, vec![SDWAN, FIREWALL, VPN0]),
    ] {
        let prefixes = sources
            .iter()
            .flat_map(|a| [a.prefix(false), a.prefix(true)]);
        stage.hears(
            actor,
            "one instance",
            &network().into_iter().chain(prefixes).collect(),
        );
    }
    stage.leave(VPN0);
    is(&stage, "down");
    stage.enter(VPN0);
    stage.enter(VPN1);
    is(&stage, "up");
}

fn a_neighbour_that_does_not_read_holds_nobody_up(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    let many: Vec<Prefix> = (0..60_000u32)
        .map(|n| {
            prefix(&format!(
                "{}.{}.{}.0/24",
                12 + n / 65_536,
                n / 256 % 256,
                n % 256
            ))
        })
        .collect();
    // Many sets, so that it takes many messages.
    for (number, group) in (0..).zip(many.chunks(2)) {
        let path = [65_020, 200_000 + number];
        stage.tell(ER0, group, &ER0.tells_with(false, &path));
    }
    stage.wait_paths(many.len() as u64 + 3);
    stage.speaker(FIREWALL).set_reading(false);
    let answer = stage.switch("on");
    assert_eq!(answer["settled"], true, "{answer}");
    assert_eq!(
        answer["behind"],
        serde_json::json!([FIREWALL.session()]),
        "{answer}"
    );
    // The others have it when the answer comes, or in a moment.
    for actor in [SDWAN, VPN0, VPN1] {
        let speaker = stage.speaker(actor);
        let done = speaker.wait_for(|table| table.len() == many.len() + 3, PATIENCE);
        done.unwrap_or_else(|error| panic!("{}: {error}", actor.name));
    }
    assert!(stage.speaker(FIREWALL).stats().announced < many.len() as u64);
    stage.speaker(FIREWALL).set_reading(true);
    let speaker = stage.speaker(FIREWALL);
    let done = speaker.wait_for(|table| table.len() == many.len() + 3, PATIENCE);
    done.unwrap_or_else(|error| panic!("it reads again: {error}"));
}

fn a_late_neighbour_gets_what_the_switch_allows(transport: &str) {
    let cast = [SDWAN, ER0, VPN0];
    let mut stage = Stage::with(transport, &config("enabled = false", ""), &cast);
    stage.all_tell();
    stage.wait_paths(9);
    let hear = |stage: &Stage, actor: Actor, sources: &[Actor]| {
        let prefixes = sources
            .iter()
            .flat_map(|a| [a.prefix(false), a.prefix(true)]);
        stage.hears(
            actor,
            "late",
            &network().into_iter().chain(prefixes).collect(),
        );
    };
    stage.enter(FIREWALL);
    stage.enter(ER1);
    hear(&stage, FIREWALL, &[SDWAN]);
    hear(&stage, ER1, &[]);
    stage.leave(ER1);
    stage.leave(FIREWALL);
    stage.switch("on");
    stage.enter(FIREWALL);
    stage.enter(ER1);
    hear(&stage, FIREWALL, &[SDWAN, ER0, VPN0]);
    hear(&stage, ER1, &[SDWAN, VPN0]);
}

fn exclusions_follow_the_network(transport: &str) {
    let stage = Stage::open(transport, "enabled = true");
    let inside = ["10.3.1.0/24", "fd00:20:0:1::/64"].map(prefix);
    for (prefix, v6) in inside.into_iter().zip([false, true]) {
        stage.tell(SDWAN, &[prefix], &SDWAN.tells(v6));
    }
    let next_hops = [false, true].map(|v6| SDWAN.next_hop(v6));
    let both: BTreeSet<_> = inside.into_iter().zip(next_hops).collect();
    let sessions = stage.sessions();
    for _ in 0..2 {
        stage.hosts_hear("outside of the network", &both);
        stage.reload(&with_peered("\"10.3.0.0/16\", \"fd00:20::/48\""));
        stage.hosts_hear("inside of a peered network", &BTreeSet::new());
        stage.reload(&config("enabled = true", ""));
    }
    stage.hosts_hear("outside again", &both);
    assert_eq!(stage.sessions(), sessions);
}

fn an_nva_gets_another_address(transport: &str) {
    let mut stage = Stage::open(transport, "enabled = true");
    stage.all_tell();
    all_heard(&stage, "on", when_on);
    let (sessions, hosts) = (stage.sessions(), stage.hosts());
    let more =
        config("enabled = true", "").replace("\"127.0.1.1\"", "\"127.0.1.1\", \"127.0.1.9\"");
    stage.reload(&more);
    let second = Actor {
        name: "second",
        addr: std::net::Ipv4Addr::new(127, 0, 1, 9),
        number: 9,
        ..SDWAN
    };
    stage.enter(second);
    // What lies inside the network is no way for hosts, whoever says so.
    stage.tell(second, &[prefix("10.0.9.0/24")], &second.tells(false));
    stage.tell(second, &[second.prefix(false)], &second.tells(false));
    let more = [(second.prefix(false), second.next_hop(false))];
    stage.hosts_hear(
        "the new address",
        &hosts.iter().copied().chain(more).collect(),
    );
    let (at, mut now) = (sessions.len(), stage.sessions());
    assert_eq!(now.split_off(at).len(), 1);
    assert_eq!(now, sessions, "another address resets nothing");
    stage.reload(&config("enabled = true", ""));
    stage.hosts_hear("the address is gone", &hosts);
    stage.leave(second);
    all_heard(&stage, "as before", when_on);
    assert_eq!(stage.sessions(), sessions);
}

fn a_gateways_subnet_grows(transport: &str) {
    let mut stage = Stage::open(transport, "enabled = true");
    stage.all_tell();
    all_heard(&stage, "on", when_on);
    let sessions = stage.sessions();
    let wide = config("enabled = true", "").replace("127.0.3.0/28", "127.0.3.0/24");
    stage.reload(&wide);
    let far = Actor {
        name: "vpn2",
        addr: std::net::Ipv4Addr::new(127, 0, 3, 200),
        number: 8,
        ..VPN0
    };
    stage.enter(far);
    let (at, mut now) = (sessions.len(), stage.sessions());
    assert_eq!(now.split_off(at).len(), 1);
    assert_eq!(now, sessions, "a wider subnet resets nothing");
}

fn many_hands_on_the_switch(transport: &str) {
    let stage = Stage::open(transport, "enabled = false");
    stage.all_tell();
    let sessions = stage.sessions();
    std::thread::scope(|scope| {
        for hand in 0..6 {
            let stage = &stage;
            scope.spawn(move || {
                for turn in 0..5 {
                    stage.switch(if (hand + turn) % 2 == 0 { "on" } else { "off" });
                }
            });
        }
    });
    let (enabled, by) = set_by(&stage);
    assert_eq!(by, "command");
    let of = if enabled == true { when_on } else { when_off };
    all_heard(&stage, "whoever was last", of);
    stage.switch("on");
    all_heard(&stage, "on", when_on);
    assert_eq!(stage.sessions(), sessions);
}

#[test]
fn other_modes_have_no_switch() {
    let rig = Rig::start("auto", &clients(1, OPEN));
    let out = rig
        .command("exchange", &["on"])
        .output()
        .expect("thruway runs");
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && error.contains("mode"), "{error}");
}
