//! The limits that operators of the reference know, and what becomes of them here.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use thruway_replay::PeerOptions;
use thruway_replay::speaker::ReceivedTable;
use thruway_tests::daemon::binary;
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::{PATIENCE, Rig, expect, prefix};
use thruway_wire::{Asn, Family, Prefix};

use crate::stage::{
    CAST, ER0, FIREWALL, GATEWAYS, NETWORK, NVAS, SDWAN, SERVER_AS, Stage, VPN0, VPN1, config,
};

on_both! {
    routes_sent_again_count_once,
    a_limit_on_what_is_told_holds_back_and_kills_no_session,
    what_is_held_back_follows_when_there_is_room,
    a_limit_may_only_warn,
    a_limit_on_what_is_told_may_end_the_session,
    each_direction_has_its_own_limit,
    timers_are_settable,
    md5_keys_work_for_nvas_and_gateways,
    hundreds_of_peers_are_no_limit,
    a_changed_file_is_forecast,
}

/// 172.20.0.0/24 and on.
fn many(count: u32) -> Vec<Prefix> {
    let octets = |n: u32| format!("172.{}.{}.0/24", 20 + n / 256, n % 256);
    (0..count).map(|n| prefix(&octets(n))).collect()
}

/// The configuration with these keys for the first NVA and for the ExpressRoute gateway.
fn with_keys(nva: &str, expressroute: &str) -> String {
    let text = config("enabled = true", "");
    let nva = format!("addresses = [\"127.0.1.1\"]\n{nva}");
    let gateway = format!("subnet = \"127.0.2.0/28\"\n{expressroute}");
    let text = text.replace("addresses = [\"127.0.1.1\"]", &nva);
    text.replace("subnet = \"127.0.2.0/28\"", &gateway)
}

fn ipv4(table: &ReceivedTable) -> usize {
    table.len_of(Family::Ipv4)
}

/// A limit of a session, as `show peer` has it.
fn limit(stage: &Stage, session: &str, direction: &str) -> Value {
    let limits = stage.rig.peer(session)["limits"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let wanted = |limit: &Value| limit["direction"] == direction && limit["family"] == "ipv4";
    limits.into_iter().find(wanted).unwrap_or_default()
}

/// The reference counts held and incoming together: 501 routes advertised twice are 1,002 to it.
fn routes_sent_again_count_once(transport: &str) {
    let keys = "max-prefixes = { limit = 1_000, threshold = 80, action = \"restart\" }";
    let stage = Stage::with(transport, &with_keys(keys, ""), &CAST);
    let (first, second) = (many(501), many(1_000));
    stage.tell(SDWAN, &first, &SDWAN.tells(false));
    expect(stage.speaker(FIREWALL), "501 routes", |table| {
        ipv4(table) == 501 + 2
    });
    let again = SDWAN.tells_with(false, &[SDWAN.asn, 64_901]);
    for _ in 0..3 {
        stage.tell(SDWAN, &first, &again);
        stage.tell(SDWAN, &first, &SDWAN.tells(false));
    }
    stage.tell(SDWAN, &first, &again);
    expect(stage.speaker(FIREWALL), "the last word", |table| {
        let path = |prefix| {
            table
                .get(prefix)
                .map(|set| set.as_ref().as_path().to_string())
        };
        let is_last = |prefix: &Prefix| path(*prefix).as_deref() == Some("65515 4200000001 64901");
        first.iter().all(is_last)
    });
    let held = limit(&stage, &SDWAN.session(), "received");
    assert_eq!(
        (&held["count"], &held["limit"]),
        (&501.into(), &1_000.into()),
        "{held}"
    );
    assert!(
        !stage.rig.log().contains("prefix limit"),
        "{}",
        stage.rig.log()
    );
    // As many as the limit allows are no offence, and warned of beforehand.
    stage.tell(SDWAN, &second, &again);
    expect(stage.speaker(FIREWALL), "1,000 routes", |table| {
        ipv4(table) == 1_000 + 2
    });
    wait_until("it is near", PATIENCE, || {
        stage.rig.log().contains("near the prefix limit")
    });
    assert_eq!(stage.rig.peer(&SDWAN.session())["flaps"], 0);
    // The next one is.
    stage.tell(SDWAN, &[prefix("172.31.255.0/24")], &again);
    let end = stage
        .speaker(SDWAN)
        .wait_until_ended(PATIENCE)
        .expect("the session ends");
    assert!(end.to_string().contains("Maximum"), "{end}");
}

/// The reference's ExpressRoute gateway drops its session over 1,000 routes.
fn a_limit_on_what_is_told_holds_back_and_kills_no_session(transport: &str) {
    let keys = "max-advertised = { limit = 100, action = \"block\" }";
    let stage = Stage::with(transport, &with_keys("", keys), &CAST);
    let routes = many(300);
    let sessions = stage.sessions();
    stage.tell(SDWAN, &routes, &SDWAN.tells(false));
    expect(stage.speaker(VPN0), "all of them", |table| {
        ipv4(table) == 300 + 2
    });
    expect(stage.speaker(ER0), "up to the limit", |table| {
        ipv4(table) == 100
    });
    let session = ER0.session();
    let mut held = Value::Null;
    wait_until("what is held back is shown", PATIENCE, || {
        held = limit(&stage, &session, "advertised");
        held["heldBack"] == 202
    });
    assert_eq!(
        (&held["count"], &held["limit"]),
        (&100.into(), &100.into()),
        "{held}"
    );
    wait_until("it is logged", PATIENCE, || {
        stage.rig.log().contains("held back")
    });
    assert_eq!(stage.sessions(), sessions, "no session may end over this");

    // Told again they are no more than before, and nothing else comes in their place.
    let kept = |table: &ReceivedTable| {
        let mut kept: Vec<Prefix> = table.iter().map(|(nlri, _)| nlri.prefix).collect();
        kept.sort_unstable();
        kept
    };
    let before = stage.speaker(ER0).with_table(kept);
    stage.tell(
        SDWAN,
        &routes,
        &SDWAN.tells_with(false, &[SDWAN.asn, 64_901]),
    );
    expect(stage.speaker(ER0), "the new path", |table| {
        let told = before.iter().filter(|prefix| routes.contains(prefix));
        told.clone().count() > 0
            && told.clone().all(|prefix| {
                let path = table
                    .get(*prefix)
                    .map(|set| set.as_ref().as_path().to_string());
                path.as_deref() == Some("4200000001 64901")
            })
    });
    assert_eq!(stage.speaker(ER0).with_table(kept), before);
    assert_eq!(stage.sessions(), sessions, "no session may end over this");
}

fn what_is_held_back_follows_when_there_is_room(transport: &str) {
    let keys = "max-advertised = { limit = 100, action = \"block\" }";
    let stage = Stage::with(transport, &with_keys("", keys), &CAST);
    let (routes, session) = (many(300), ER0.session());
    let sessions = stage.sessions();
    stage.tell(SDWAN, &routes, &SDWAN.tells(false));
    expect(stage.speaker(ER0), "up to the limit", |table| {
        ipv4(table) == 100
    });
    let before: Vec<Prefix> = stage
        .speaker(ER0)
        .with_table(|table| table.iter().map(|(nlri, _)| nlri.prefix).collect());
    let gone: Vec<Prefix> = routes
        .iter()
        .copied()
        .filter(|p| before.contains(p))
        .take(60)
        .collect();
    stage.speaker(SDWAN).withdraw(&gone);
    expect(stage.speaker(VPN0), "less", |table| ipv4(table) == 240 + 2);
    expect(stage.speaker(ER0), "others instead", |table| {
        ipv4(table) == 100 && gone.iter().all(|prefix| table.get(*prefix).is_none())
    });
    // A higher limit takes effect without a reset, and so does a lower one: what is too much is taken
    // back.
    stage.reload(&with_keys("", &keys.replace("100", "150")));
    expect(stage.speaker(ER0), "the higher limit", |table| {
        ipv4(table) == 150
    });
    stage.reload(&with_keys("", &keys.replace("100", "50")));
    expect(stage.speaker(ER0), "the lower limit", |table| {
        ipv4(table) == 50
    });
    wait_until("it is shown", PATIENCE, || {
        let now = limit(&stage, &session, "advertised");
        now["limit"] == 50 && now["count"] == 50
    });
    stage.reload(&with_keys("", ""));
    expect(stage.speaker(ER0), "no limit", |table| {
        ipv4(table) == 240 + 2
    });
    assert_eq!(stage.sessions(), sessions, "no session may end over this");
}

fn a_limit_may_only_warn(transport: &str) {
    let keys = "max-advertised = { limit = 100, threshold = 50, action = \"warn\" }";
    let stage = Stage::with(transport, &with_keys("", keys), &CAST);
    stage.tell(SDWAN, &many(60), &SDWAN.tells(false));
    wait_until("it is near", PATIENCE, || {
        stage.rig.log().contains("near the prefix limit")
    });
    stage.tell(SDWAN, &many(300), &SDWAN.tells(false));
    expect(stage.speaker(ER0), "all of them", |table| {
        ipv4(table) == 300 + 2
    });
    wait_until("it is over", PATIENCE, || {
        stage.rig.log().contains("over the prefix limit")
    });
    assert_eq!(stage.rig.peer(&ER0.session())["state"], "Established");
}

fn a_limit_on_what_is_told_may_end_the_session(transport: &str) {
    let keys = "max-advertised = { limit = 100, action = \"restart\" }";
    let stage = Stage::with(transport, &with_keys("", keys), &CAST);
    stage.tell(SDWAN, &many(300), &SDWAN.tells(false));
    let end = stage
        .speaker(ER0)
        .wait_until_ended(PATIENCE)
        .expect("the session ends");
    println!("over max-advertised with restart: {end}");
    expect(stage.speaker(VPN1), "others keep theirs", |table| {
        ipv4(table) == 300 + 2
    });
    assert_eq!(stage.rig.peer(&SDWAN.session())["flaps"], 0);
}

fn each_direction_has_its_own_limit(transport: &str) {
    let nva = "max-prefixes = { limit = 50, action = \"block\" }\n\
               max-advertised = { limit = 20, action = \"block\" }";
    let gateway = "max-prefixes = { limit = 200, action = \"block\" }\n\
                   max-advertised = { limit = 30, action = \"block\" }";
    let stage = Stage::with(transport, &with_keys(nva, gateway), &CAST);
    stage.tell(SDWAN, &many(60), &SDWAN.tells(false));
    let others: Vec<Prefix> = many(400).split_off(100);
    stage.tell(ER0, &others, &ER0.tells(false));
    expect(stage.speaker(VPN0), "what both may tell", |table| {
        ipv4(table) == 50 + 200 + 2
    });
    expect(stage.speaker(SDWAN), "what it may be told", |table| {
        ipv4(table) == 20
    });
    expect(stage.speaker(ER0), "what it may be told", |table| {
        ipv4(table) == 30
    });
    let of = |session: &str, direction| limit(&stage, session, direction)["count"].clone();
    assert_eq!(of(&SDWAN.session(), "received"), 50);
    assert_eq!(of(&SDWAN.session(), "advertised"), 20);
    assert_eq!(of(&ER0.session(), "received"), 200);
    assert_eq!(of(&ER0.session(), "advertised"), 30);
}

/// The reference has 60 and 180 seconds for everyone.
fn timers_are_settable(transport: &str) {
    let text = with_keys("hold-time = 9", "hold-time = 30");
    let stage = Stage::with(transport, &text, &[SDWAN, FIREWALL, ER0]);
    let hold = |session: String| stage.rig.peer(&session)["holdTime"].clone();
    assert_eq!(hold(SDWAN.session()), 9);
    assert_eq!(hold(ER0.session()), 30);
    let usual = hold(FIREWALL.session()).as_u64().unwrap_or(0);
    assert!(usual > 30, "{usual}");
}

/// The reference has no MD5.
fn md5_keys_work_for_nvas_and_gateways(transport: &str) {
    let text = with_keys("md5 = \"open-sesame\"", "md5 = \"of-the-circuit\"");
    let rig = Rig::exchange(transport, &text);
    for (actor, key) in [(SDWAN, "open-sesame"), (ER0, "of-the-circuit")] {
        let without = rig.spawn_at(actor.addr, actor.options(), None);
        let with = rig.spawn_at(actor.addr, actor.options(), Some(key));
        with.established(PATIENCE)
            .unwrap_or_else(|error| panic!("{}: {error}", actor.name));
        // The kernel drops what is not signed: no connection, so no session.
        assert!(without.ended().is_none() && without.stats().bytes_in == 0);
        assert_eq!(rig.peer(&actor.session())["state"], "Established");
    }
    let plain = rig.spawn_at(VPN0.addr, VPN0.options(), None);
    plain.established(PATIENCE).expect("others need no key");
}

/// The reference takes eight peers.
fn hundreds_of_peers_are_no_limit(transport: &str) {
    let addresses: Vec<String> = (1..=200).map(|n| format!("\"127.0.4.{n}\"")).collect();
    let text = format!(
        "{NETWORK}[[nva]]\nname = \"many\"\nasn = 65010\npassive = true\naddresses = [{}]\n\
         {NVAS}{GATEWAYS}",
        addresses.join(", ")
    );
    let stage = Stage::with(transport, &text, &[SDWAN]);
    let speaker = |n: u8| {
        let addr = std::net::Ipv4Addr::new(127, 0, 4, n);
        let options = PeerOptions::new(Asn(65_010), addr.into());
        (addr, stage.rig.spawn_at(addr, options, None))
    };
    let all: Vec<_> = (1..=200).map(speaker).collect();
    for (addr, speaker) in &all {
        let up = speaker.established(PATIENCE);
        assert!(up.is_ok(), "{addr}: {up:?}");
    }
    stage.tell(SDWAN, &[SDWAN.prefix(false)], &SDWAN.tells(false));
    for (addr, speaker) in &all {
        expect(speaker, &addr.to_string(), |table| {
            table.get(SDWAN.prefix(false)).is_some()
        });
    }
}

/// What the reference lets its operators find out by losing sessions.
fn a_changed_file_is_forecast(transport: &str) {
    let stage = Stage::with(transport, &with_keys("", ""), &CAST);
    stage.switch("off");
    stage.tell(SDWAN, &many(300), &SDWAN.tells(false));
    expect(stage.speaker(FIREWALL), "all", |table| {
        ipv4(table) == 300 + 2
    });
    let against = stage.rig.file("thruway.sock").display().to_string();
    let config = std::fs::read_to_string(stage.rig.file("thruway.toml")).expect("it is there");
    let ask = |name: &str, text: &str| {
        let (said, good) = check(name, text, &["--against", &against]);
        println!("--- {name}:\n{said}");
        assert!(good, "{name}: {said}");
        said
    };
    let keys = |nva: &str, gateway: &str| {
        let server = config.split("[vnet]").next().unwrap_or_default();
        format!("{server}{}", with_keys(nva, gateway))
    };
    let said = ask("the same", &config);
    assert!(!said.contains("reset"), "{said}");
    let said = ask("a hold time", &keys("hold-time = 30", ""));
    assert!(
        said.contains("reset") && said.contains(&SDWAN.session()),
        "{said}"
    );
    let said = ask(
        "a limit",
        &keys("max-prefixes = { limit = 100, action = \"restart\" }", ""),
    );
    assert!(
        said.contains(&SDWAN.session()) && said.contains("300"),
        "{said}"
    );
    let said = ask(
        "another NVA",
        &keys("", "").replace("127.0.1.1", "127.0.1.3"),
    );
    assert!(said.contains(&SDWAN.session()), "{said}");
    // Nothing of that happened.
    assert_eq!(stage.rig.peer(&SDWAN.session())["flaps"], 0);
    assert_eq!(stage.rig.peer(&SDWAN.session())["holdTime"], 90);
}

/// Runs `thruway check` on a configuration; what it prints, and whether it is content.
fn check(name: &str, text: &str, args: &[&str]) -> (String, bool) {
    let dir = tempfile::tempdir().expect("a folder");
    let file: PathBuf = dir.path().join(format!("{name}.toml"));
    std::fs::write(&file, text).expect("a writable folder");
    let out = Command::new(binary())
        .arg("check")
        .arg(&file)
        .args(args)
        .output();
    let out = out.expect("thruway runs");
    let text = [out.stdout, out.stderr].concat();
    (
        String::from_utf8_lossy(&text).into_owned(),
        out.status.success(),
    )
}

const SERVER: &str = "[server]\nmode = \"exchange\"\nrouter-id = \"10.0.1.4\"\n\
                      listen = [\"127.0.0.1:1790\", \"[::1]:1790\"]\n";

#[test]
fn reserved_as_numbers_are_refused_with_the_reason() {
    let with = |asn: u32| {
        let nvas = NVAS.replace("65002", &asn.to_string());
        format!("{SERVER}{NETWORK}{nvas}{GATEWAYS}")
    };
    for asn in [
        8074, 8075, 12_076, 23_456, 64_496, 64_511, SERVER_AS, 65_517, 65_520, 65_535, 65_551,
    ] {
        let (said, good) = check("reserved", &with(asn), &[]);
        assert!(!good && said.contains(&asn.to_string()), "{asn}: {said}");
        assert!(
            said.contains("cannot be an NVA's: ") || said.contains("own AS"),
            "{said}"
        );
    }
    for asn in [
        64_512,
        65_001,
        65_514,
        65_516,
        65_521,
        65_534,
        65_552,
        4_200_000_000,
    ] {
        let (said, good) = check("free", &with(asn), &[]);
        assert!(good, "{asn}: {said}");
    }
}

#[test]
fn a_vpn_gateway_has_two_instances() {
    let with = |vpn: &str| {
        let expressroute = "[gateway.expressroute]\nsubnet = \"127.0.2.0/28\"\n";
        format!("{SERVER}{NETWORK}{NVAS}{expressroute}[gateway.vpn]\n{vpn}\n")
    };
    let subnet = "subnet = \"127.0.3.0/28\"";
    for bad in [
        format!("mode = \"active-standby\"\n{subnet}"),
        subnet.to_owned(),
        "mode = \"active-active\"\ninstances = [\"127.0.3.4\"]".to_owned(),
    ] {
        let (said, good) = check("vpn", &with(&bad), &[]);
        assert!(!good && said.contains("active-active"), "{said}");
    }
    let (said, good) = check(
        "vpn",
        &with(&format!("mode = \"active-active\"\n{subnet}")),
        &[],
    );
    assert!(good, "{said}");
}
