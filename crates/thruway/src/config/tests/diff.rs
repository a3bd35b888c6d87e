//! What a reload finds.

use std::sync::Arc;

use super::super::diff::{Effect, PEER, SERVER};
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
    let compared: Vec<&str> = PEER.iter().map(|(key, ..)| *key).collect();
    // The name tells peers apart, the group is known by what it gives, and the rest is part of
    // what another key stands for.
    let others = ["name", "group", "prefix", "port", "peers-max", "subnets"];
    for key in PeerOnly::KEYS.iter().chain(PeerKeys::KEYS) {
        assert!(compared.contains(key) != others.contains(key), "{key}");
    }
    let compared: Vec<&str> = SERVER.iter().map(|(key, ..)| *key).collect();
    assert_eq!(compared, ServerKeys::KEYS);
    assert!(
        SERVER
            .iter()
            .any(|(_, effect, _)| *effect == Effect::InPlace)
    );
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

#[test]
fn a_broken_file_changes_nothing() {
    let running = Running::new("");
    std::fs::write(&running.config.path, "[server").unwrap();
    assert!(running.config.reload().is_err());
}
