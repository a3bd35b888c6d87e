//! Every key of a peer, changed on a running server: what the documentation says, what
//! `check --against` foretells, and what happens are one thing.

use serde_json::Value;
use thruway_replay::speaker::Speaker;
use thruway_tests::lab::{output, wait_until};
use thruway_tests::on_both;
use thruway_tests::rig::{OPEN, PATIENCE, Rig, announce, client, client_addr};

on_both! {
    each_key_does_what_is_said_of_it,
    a_range_goes_on_or_ends_as_is_said,
    a_neighbour_of_a_range_rests_as_long_as_its_limit_says,
    a_key_of_tcp_md5_is_another_one_at_once,
}

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Ends,
    GoesOn,
}
use Then::{Ends, GoesOn};

/// Key, the line with another value, and what that means.
const KEYS: [(&str, &str, Then); 45] = [
    ("address", "", Ends),
    ("asn", "asn = 64999", Ends),
    ("asn", "asn = [64601, 64999]", GoesOn),
    ("role", "role = \"external\"", Ends),
    ("description", "description = \"a peer\"", GoesOn),
    ("shutdown", "shutdown = true", Ends),
    ("port", "port = 1790", Ends),
    ("local-address", "local-address = \"127.0.0.1\"", Ends),
    ("passive", "passive = false", GoesOn),
    ("connect-retry", "connect-retry = 7", GoesOn),
    ("idle-hold", "idle-hold = 2", GoesOn),
    ("idle-hold-max", "idle-hold-max = 70", GoesOn),
    ("md5", "md5 = \"another\"", Ends),
    ("gtsm", "gtsm = 1", Ends),
    ("ttl", "ttl = 9", Ends),
    ("families", "families = [\"ipv4\"]", Ends),
    ("hold-time", "hold-time = 60", Ends),
    ("send-hold", "send-hold = 900", GoesOn),
    ("add-path", "add-path = { send = \"all\" }", Ends),
    ("extended-message", "extended-message = false", Ends),
    ("extended-next-hop", "extended-next-hop = true", Ends),
    ("graceful-restart", "graceful-restart = false", Ends),
    ("long-lived", "long-lived = 60", Ends),
    ("bgp-role", "bgp-role = \"route-server\"", Ends),
    ("import", "import = \"other\"", GoesOn),
    ("export", "export = \"other\"", GoesOn),
    ("max-prefixes", "max-prefixes = { limit = 9 }", GoesOn),
    (
        "max-prefixes",
        "max-prefixes = { limit = 1, action = \"block\" }",
        GoesOn,
    ),
    ("max-advertised", "max-advertised = { limit = 9 }", GoesOn),
    ("max-advertised", "max-advertised = { limit = 1 }", GoesOn),
    (
        "interpret-communities",
        "interpret-communities = true",
        GoesOn,
    ),
    ("allow-as-sets", "allow-as-sets = true", GoesOn),
    ("allow-own-as", "allow-own-as = 1", GoesOn),
    ("allow-martians", "allow-martians = \"127.0.0.0/8\"", GoesOn),
    ("enforce-first-as", "enforce-first-as = false", GoesOn),
    ("as-path-max", "as-path-max = 9", GoesOn),
    ("next-hop", "next-hop = \"same-as\"", GoesOn),
    (
        "next-hop",
        "next-hop = \"subnet\"\nsubnets = \"127.0.0.0/8\"",
        GoesOn,
    ),
    ("next-hop-self", "next-hop-self = true", GoesOn),
    ("own-next-hop", "own-next-hop = \"127.0.0.7\"", GoesOn),
    ("prepend-own-as", "prepend-own-as = true", GoesOn),
    ("send-med", "send-med = false", GoesOn),
    ("alternatives", "alternatives = false", GoesOn),
    ("description", "description = \"the last\"", GoesOn),
    ("hold-time", "hold-time = 61", Ends),
];

const POLICY: &str = "[policy.other]\ndefault = \"accept\"\n";

/// The configuration with one line of c1 changed. Defaults that a group has are said by the peer.
fn with(key: &str, line: &str) -> String {
    let mut text =
        format!("{POLICY}[peer-group.clients]\n{OPEN}\nfamilies = [\"ipv4\", \"ipv6\"]\n");
    text += "passive = true\n";
    let mut one = client(1, line);
    match key {
        "address" => one = one.replace(&client_addr(1).to_string(), &client_addr(9).to_string()),
        "asn" => one = one.replace("asn = 64601\n", ""),
        _ => {}
    }
    text + &one + &client(2, "")
}

fn base() -> String {
    with("", "")
}

fn forecast(rig: &Rig) -> Value {
    let mut check = std::process::Command::new(thruway_tests::daemon::binary());
    check.arg("check").arg(rig.file("thruway.toml"));
    check
        .arg("--against")
        .arg(rig.file("thruway.sock"))
        .arg("--json");
    serde_json::from_str(&output(&mut check)).expect("it is JSON")
}

/// The peers of a list of the forecast with their keys.
fn named(forecast: &Value, list: &str) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let peers = forecast[list].as_array().cloned().unwrap_or_default();
    let keys = |peer: &Value| peer["keys"].as_array().cloned().unwrap_or_default();
    let one = |peer: &Value| (text(&peer["name"]), keys(peer).iter().map(text).collect());
    peers.iter().map(one).collect()
}

fn flaps(rig: &Rig, name: &str) -> u64 {
    rig.peer(name)["flaps"].as_u64().expect("a number")
}

fn reload(rig: &Rig, text: &str) {
    let done = rig.reload(text);
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{error}");
}

fn each_key_does_what_is_said_of_it(transport: &str) {
    let rig = Rig::start(transport, &base());
    let mut one = rig.connect(1);
    let two = rig.connect(2);
    for (n, (key, line, then)) in KEYS.into_iter().enumerate() {
        let changed = with(key, line);
        rig.rewrite(&changed);
        let said = forecast(&rig);
        let list = if then == Ends { "reset" } else { "inPlace" };
        let [(name, keys)] = &named(&said, list)[..] else {
            panic!("{key}: {line}: {said}")
        };
        // What else follows from a role is named, too.
        assert!(
            name == "c1" && keys.iter().any(|named| named == key),
            "{key}: {said}"
        );
        let before = flaps(&rig, "c1");
        reload(&rig, &changed);
        // With another address it is another peer, which counts from the start.
        let ended = if key == "address" {
            rig.peer("c1")["state"] != "Established"
        } else {
            flaps(&rig, "c1") > before
        };
        assert_eq!(ended, then == Ends, "{key}: {line}");
        assert_eq!(one.ended().is_some() || ended, ended, "{key}: {line}");
        reload(&rig, &base());
        one = back(&rig, one, n);
    }
    assert_eq!((flaps(&rig, "c2"), two.ended()), (0, None), "nobody else's");
}

/// The session of c1 as the base has it: reverting a key may have ended it again.
fn back(rig: &Rig, one: Speaker, n: usize) -> Speaker {
    if rig.peer("c1")["state"] == "Established" && one.ended().is_none() {
        return one;
    }
    if let Err(error) = one.wait_until_ended(PATIENCE) {
        panic!("{n}: {error}");
    }
    drop(one);
    rig.connect(1)
}

fn range(prefix: &str, more: &str) -> String {
    format!(
        "[[peer]]\nname = \"r\"\nprefix = \"{prefix}\"\nasn = \"any\"\n{OPEN}\n{more}\n\
         families = [\"ipv4\", \"ipv6\"]\n"
    )
}

fn a_range_goes_on_or_ends_as_is_said(transport: &str) {
    let rig = Rig::start(transport, &range("127.0.1.0/24", ""));
    let one = rig.connect(1);
    let two = rig.connect(2);
    for (text, key, then) in [
        (range("127.0.1.0/24", "peers-max = 1"), "peers-max", GoesOn),
        (range("127.0.1.0/25", "peers-max = 1"), "prefix", Ends),
    ] {
        rig.rewrite(&text);
        let said = forecast(&rig);
        let list = if then == Ends { "reset" } else { "inPlace" };
        assert_eq!(named(&said, list), [("r".to_owned(), vec![key.to_owned()])]);
        reload(&rig, &text);
        for peer in [&one, &two] {
            if then == Ends {
                let end = peer.wait_until_ended(PATIENCE).expect("it ends");
                assert!(format!("{end:?}").contains("code: 6"), "{end:?}");
            } else {
                assert_eq!(peer.ended(), None, "{key}");
            }
        }
    }
    // The new bound holds: each worker counts its own, and there are two.
    drop((one, two));
    let _one = rig.connect(3);
    let _more: Vec<_> = (4..12).map(|n| rig.spawn(n, rig.client(n))).collect();
    wait_until("the range is full", PATIENCE, || {
        rig.log().contains("RangeFull")
    });
}

fn a_neighbour_of_a_range_rests_as_long_as_its_limit_says(transport: &str) {
    let limit = |restart: &str| {
        let keys = format!("limit = 1, action = \"restart\", restart-after = {restart}");
        range("127.0.1.0/24", &format!("max-prefixes = {{ {keys} }}"))
    };
    let rig = Rig::start(transport, &limit("\"never\""));
    let one = rig.connect(1);
    announce(&one, 1, &["10.1.0.0/16", "10.2.0.0/16"], &[64_601]);
    one.wait_until_ended(PATIENCE).expect("over the limit");
    drop(one);
    let again = rig.spawn(1, rig.client(1));
    // Long enough for one that comes back at once, which is the fault.
    assert!(
        again
            .established(std::time::Duration::from_secs(2))
            .is_err()
    );
    assert_eq!(rig.peer("r-127.0.1.1")["state"], "Idle");
    drop(again);
    let done = rig.command("reset", &["r-127.0.1.1", "start"]).output();
    assert!(done.expect("it runs").status.success());
    let _one = rig.connect(1);
}

fn a_key_of_tcp_md5_is_another_one_at_once(transport: &str) {
    let rig = Rig::start(transport, &with("", "md5 = \"one\""));
    let addr = client_addr(1);
    let one = rig.spawn_at(addr, rig.client(1), Some("one"));
    one.established(PATIENCE).expect("it has the key");
    reload(&rig, &with("", "md5 = \"two\""));
    one.wait_until_ended(PATIENCE)
        .expect("its key is the old one");
    let two = rig.spawn_at(addr, rig.client(1), Some("two"));
    two.established(PATIENCE).expect("it has the new key");
    let old = rig.spawn_at(addr, rig.client(1), Some("one"));
    reload(&rig, &with("", ""));
    two.wait_until_ended(PATIENCE).expect("there is no key now");
    drop((old, two));
    let _one = rig.connect(1);
}
