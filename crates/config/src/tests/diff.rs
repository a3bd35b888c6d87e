//! What a reload finds.

use std::sync::Arc;

use super::super::keys::{EXCHANGE, PEER, SERVER};
use super::super::peer::{PeerKeys, PeerOnly};
use super::super::server::ServerKeys;
use super::super::*;
use super::SERVER as SERVER_TEXT;

/// A file that is written, loaded and rewritten.
struct Running {
    folder: tempfile::TempDir,
    config: Config,
}

impl Running {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, format!("{SERVER_TEXT}{text}")).unwrap();
        Running {
            config: Config::load(&path).unwrap(),
            folder,
        }
    }

    fn reload(&mut self, text: &str) -> Diff {
        std::fs::write(
            self.folder.path().join("t.toml"),
            format!("{SERVER_TEXT}{text}"),
        )
        .unwrap();
        let (config, diff) = self.config.reload().unwrap();
        self.config = config;
        diff
    }
}

fn peer(name: &str, keys: &str) -> String {
    let last = name.trim_start_matches(|char: char| !char.is_ascii_digit());
    format!("[[peer]]\nname = '{name}'\naddress = '198.18.1.{last}'\nasn = 64601\n{keys}\n")
}

#[test]
fn every_key_is_compared() {
    let compared: Vec<&str> = PEER.iter().map(|key| key.name).collect();
    // The name tells peers apart, the group is known by what it gives, and the rest is part of
    // what another key stands for.
    let others = ["name", "group", "subnets"];
    for key in PeerOnly::KEYS.iter().chain(PeerKeys::KEYS) {
        assert!(compared.contains(key) != others.contains(key), "{key}");
    }
    let compared: Vec<&str> = SERVER.iter().map(|key| key.name).collect();
    assert_eq!(compared, ServerKeys::KEYS);
    assert!(SERVER.iter().any(|key| key.effect == Effect::AtOnce));
}

#[test]
fn peers_come_go_and_change() {
    let mut running = Running::new(&(peer("c1", "") + &peer("c2", "") + &peer("c3", "")));
    let same = running.reload(&(peer("c1", "") + &peer("c2", "") + &peer("c3", "")));
    assert!(same.is_empty(), "{same:?}");
    let diff = running.reload(
        &(peer("c2", "hold-time = 30\nimport = 'accept'")
            + &peer("c3", "description = 'x'\nmax-prefixes.limit = 9")
            + &peer("c4", "")),
    );
    assert_eq!(
        (diff.added, diff.removed),
        (vec!["c4".to_owned()], vec!["c1".to_owned()])
    );
    let change = |name: &str, keys: &[&'static str]| PeerChange {
        name: name.into(),
        keys: keys.into(),
    };
    assert_eq!(diff.reset, [change("c2", &["hold-time", "import"])]);
    assert_eq!(
        diff.in_place,
        [change("c3", &["description", "max-prefixes"])]
    );
    assert!(diff.restart.is_empty() && diff.server.is_empty() && diff.policies.is_empty());
}

#[test]
fn a_group_changes_its_members() {
    let group = |hold: u16| {
        format!(
            "[peer-group.g]\nhold-time = {hold}\n{}",
            peer("c1", "group = 'g'")
        )
    };
    let mut running = Running::new(&group(30));
    let diff = running.reload(&group(60));
    assert_eq!(diff.reset.len(), 1);
    assert_eq!(diff.reset[0].keys, ["hold-time"]);
}

#[test]
fn policies_change_with_their_sets_and_others_keep_their_value() {
    let text = |net: &str, med: u32| {
        format!(
            "[prefix-set.s]\nprefixes = '{net}'\n\
             [[policy.with-set.statement]]\nmatch.prefix-set = 's'\n\
             [[policy.with-med.statement]]\nset.med = {med}\n\
             [policy.neither]\n"
        )
    };
    let mut running = Running::new(&text("10.0.0.0/8", 1));
    let before = running.config.policies.clone();
    assert_eq!(
        running.reload(&text("11.0.0.0/8", 1)).policies,
        ["with-set"]
    );
    assert_eq!(
        running.config.policies.get("with-set").unwrap().version(),
        2
    );
    assert_eq!(
        running.config.policies.get("with-med").unwrap().version(),
        1
    );
    assert_eq!(
        running.reload(&text("11.0.0.0/8", 2)).policies,
        ["with-med"]
    );
    assert_eq!(
        running.config.policies.get("with-set").unwrap().version(),
        2
    );
    assert_eq!(
        running.config.policies.get("with-med").unwrap().version(),
        3
    );
    let neither =
        |policies: &thruway_policy::Compiled| Arc::clone(policies.get("neither").unwrap());
    assert!(Arc::ptr_eq(
        &neither(&before),
        &neither(&running.config.policies)
    ));
    let gone = running.reload("[policy.neither]\n");
    assert_eq!(gone.policies, ["with-med", "with-set"]);
}

#[test]
fn the_server_needs_a_restart_for_most_keys() {
    let load = |keys: &str| {
        let text = format!("[server]\nasn = 64500\nrouter-id = '198.18.0.1'\n{keys}");
        Config::parse(std::path::Path::new("t.toml"), &text).unwrap()
    };
    let diff = Diff::new(
        &load(""),
        &load("log = 'debug'\nworkers = 1\nlisten = '198.18.0.9'"),
    );
    assert_eq!(diff.server, ["log"]);
    assert!(diff.restart.contains(&"listen"), "{diff:?}");
}

/// A virtual network with some of its keys.
fn network(keys: &[(&str, &str)]) -> Config {
    let key = |name: &str, default: &str| {
        let given = keys.iter().find(|(key, _)| *key == name);
        given.map_or(default, |(_, value)| *value).to_owned()
    };
    let text = format!(
        "[server]\nmode = 'exchange'\nasn = {}\nrouter-id = '10.0.1.4'\nlisten = '10.0.1.4'\n\
         [vnet]\nprefixes = {}\npeered = {}\n\
         [route-exchange]\nenabled = {}\npreference = {}\n\
         [[nva]]\nname = 'a'\nasn = 65001\naddresses = {}\n\
         [gateway.expressroute]\nsubnet = {}\n[hosts]\n{}\n",
        key("asn", "65515"),
        key("vnet", "'10.0.0.0/16'"),
        key("peered", "[{ name = 's', prefixes = '10.9.0.0/16' }]"),
        key("enabled", "false"),
        key("preference", "'vpn'"),
        key("addresses", "'10.0.2.4'"),
        key("subnet", "'10.0.255.0/28'"),
        key("hosts", ""),
    );
    Config::parse(std::path::Path::new("t.toml"), &text).unwrap()
}

#[test]
fn a_virtual_network_changes_as_it_runs() {
    let old = network(&[]);
    let diff = |keys: &[(&str, &str)]| Diff::new(&old, &network(keys));
    assert!(diff(&[]).is_empty());
    for (key, value, exchange) in [
        ("enabled", "true", "enabled"),
        ("hosts", "table = 254", "hosts"),
        ("hosts", "max-paths = 2", "max-paths"),
    ] {
        let mut changed = diff(&[(key, value)]);
        assert_eq!(changed.keys.len(), 1, "{key}");
        changed.keys.clear();
        let expected = Diff {
            exchange: vec![exchange],
            ..Diff::default()
        };
        assert_eq!(changed, expected, "{key}");
    }
    // The network's prefixes are in the policy toward hosts.
    let other = "[{ name = 's', prefixes = '10.8.0.0/16' }]";
    for (key, value) in [("vnet", "'10.10.0.0/15'"), ("peered", other)] {
        let changed = diff(&[(key, value)]);
        assert_eq!(changed.exchange, ["vnet"], "{key}");
        assert_eq!(changed.policies, ["hosts-exclusions"], "{key}");
        assert!(changed.restart.is_empty() && changed.reset.is_empty());
    }
}

#[test]
fn neighbours_of_a_virtual_network_are_peers() {
    let old = network(&[]);
    let diff = |keys: &[(&str, &str)]| Diff::new(&old, &network(keys));
    let more = diff(&[("addresses", "['10.0.2.4', '10.0.2.5']")]);
    assert_eq!(more.exchange, ["nva"]);
    assert_eq!(more.added, ["a-10.0.2.5"]);
    assert!(more.reset.is_empty() && more.in_place.is_empty());
    let moved = diff(&[("subnet", "'10.0.254.0/28'")]);
    assert_eq!(moved.exchange, ["gateway"]);
    assert_eq!(moved.reset.len(), 1);
    // Ranks of all kinds change but the network's own.
    let ranked = diff(&[("preference", "'expressroute'")]);
    assert_eq!(ranked.exchange, ["preference"]);
    assert!(ranked.reset.is_empty());
    let keys = ranked.in_place.iter().map(|change| &change.keys);
    assert!(keys.clone().count() == 2 && keys.into_iter().all(|keys| *keys == ["preference"]));
}

#[test]
fn another_mode_or_as_needs_a_restart() {
    let plain = {
        let text = "[server]\nasn = 65515\nrouter-id = '10.0.1.4'\nlisten = '10.0.1.4'\n";
        Config::parse(std::path::Path::new("t.toml"), text).unwrap()
    };
    let diff = Diff::new(&plain, &network(&[]));
    assert_eq!(diff.restart, ["mode"]);
    assert!(diff.added.is_empty() && diff.exchange.is_empty());
    let diff = Diff::new(&network(&[]), &network(&[("asn", "65010")]));
    assert_eq!(diff.restart, ["asn"]);
    let exchange: Vec<&str> = EXCHANGE.iter().map(|key| key.name).collect();
    assert_eq!(exchange.len(), 7);
}

#[test]
fn a_broken_file_changes_nothing() {
    let running = Running::new("");
    std::fs::write(&running.config.path, "[server").unwrap();
    assert!(running.config.reload().is_err());
}
