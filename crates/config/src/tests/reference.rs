//! docs/configuration.md names every key and no other; the example loads.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::exchange::keys::{
    GatewayKeys, HostsKeys, NvaKeys, PeeredKeys, SESSION_KEYS, SwitchKeys, VnetKeys,
};
use super::super::expect::ExpectKeys;
use super::super::load::TOP_KEYS;
use super::super::peer::{
    AddPathKeys, MaxAdvertisedKeys, MaxPrefixKeys, Md5Keys, PeerKeys, PeerOnly, RestartKeys,
};
use super::super::policy::{
    AsPathKeys, ChangeKeys, CommunityKeys, LengthKeys, MatchKeys, PeerMatchKeys, PolicyKeys,
    PrependKeys, StatementKeys,
};
use super::super::server::ServerKeys;
use super::super::sets::Member;
use super::super::trial::{BecomesKeys, RouteKeys, TrialKeys};
use super::super::*;

/// Each table of the reference: its heading, and its keys.
fn tables() -> Vec<(&'static str, Vec<&'static str>)> {
    let peer = [PeerOnly::KEYS, PeerKeys::KEYS].concat();
    vec![
        ("`[server]`", ServerKeys::KEYS.to_vec()),
        ("`[[expect]]`", ExpectKeys::KEYS.to_vec()),
        ("`[vnet]`", VnetKeys::KEYS.to_vec()),
        ("`vnet.peered`", PeeredKeys::KEYS.to_vec()),
        ("`[route-exchange]`", SwitchKeys::KEYS.to_vec()),
        ("`[[nva]]`", NvaKeys::KEYS.to_vec()),
        (
            "`[gateway.expressroute]` and `[gateway.vpn]`",
            GatewayKeys::KEYS.to_vec(),
        ),
        ("Session keys of NVAs and gateways", SESSION_KEYS.to_vec()),
        ("`[hosts]`", HostsKeys::KEYS.to_vec()),
        ("`[[peer]]` and `[peer-group.NAME]`", peer),
        ("`md5`", Md5Keys::KEYS.to_vec()),
        ("`add-path`", AddPathKeys::KEYS.to_vec()),
        ("`graceful-restart`", RestartKeys::KEYS.to_vec()),
        ("`max-prefixes`", MaxPrefixKeys::KEYS.to_vec()),
        ("`max-advertised`", MaxAdvertisedKeys::KEYS.to_vec()),
        ("`[policy.NAME]`", PolicyKeys::KEYS.to_vec()),
        ("`[[policy.NAME.statement]]`", StatementKeys::KEYS.to_vec()),
        ("`[[policy.NAME.test]]`", TrialKeys::KEYS.to_vec()),
        ("`route`", RouteKeys::KEYS.to_vec()),
        ("`becomes`", BecomesKeys::KEYS.to_vec()),
        ("`match`", MatchKeys::KEYS.to_vec()),
        ("`match.as-path-length`", LengthKeys::KEYS.to_vec()),
        ("`match.peer` and `match.to`", PeerMatchKeys::KEYS.to_vec()),
        ("`set`", ChangeKeys::KEYS.to_vec()),
        ("`set.as-path`", AsPathKeys::KEYS.to_vec()),
        ("`set.prepend`", PrependKeys::KEYS.to_vec()),
        ("`set.community`", CommunityKeys::KEYS.to_vec()),
        (
            "`[prefix-set.NAME]`",
            thruway_policy::PrefixEntry::KEYS.to_vec(),
        ),
        (
            "`[community-set.NAME]`",
            thruway_policy::CommunityPattern::KEYS.to_vec(),
        ),
        ("`[as-set.NAME]`", thruway_policy::AsnRange::KEYS.to_vec()),
        (
            "`[as-path-set.NAME]`",
            thruway_policy::AsPathExpression::KEYS.to_vec(),
        ),
    ]
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Heading and first column of each table in the reference.
fn documented() -> Vec<(String, BTreeSet<String>)> {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut sections: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim();
            sections.push((heading.into(), BTreeSet::new()));
        }
        let key = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split('`').next());
        if let (Some(key), Some((_, keys))) = (key, sections.last_mut()) {
            assert!(keys.insert(key.into()), "`{key}` stands twice");
        }
    }
    sections
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let documented = documented();
    for (heading, keys) in tables() {
        let section = documented.iter().find(|(other, _)| other == heading);
        let (_, found) = section.unwrap_or_else(|| panic!("no heading {heading}"));
        let keys: BTreeSet<String> = keys.into_iter().map(str::to_owned).collect();
        assert_eq!(*found, keys, "{heading}");
    }
    let headings: Vec<&str> = tables().iter().map(|(heading, _)| *heading).collect();
    for (heading, keys) in &documented {
        assert!(
            keys.is_empty() || headings.contains(&heading.as_str()),
            "{heading}"
        );
    }
    for key in TOP_KEYS {
        assert!(
            headings
                .iter()
                .any(|heading| heading.contains(&format!("[{key}"))),
            "{key}"
        );
    }
}

#[test]
fn every_block_of_the_reference_loads() {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut blocks = 0;
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let server = if block.contains("[server]") {
            ""
        } else {
            super::SERVER
        };
        let config = Config::parse(&root().join("examples/x.toml"), &format!("{server}{block}"));
        config.unwrap_or_else(|errors| panic!("{block}\n{errors}"));
        blocks += 1;
    }
    assert!(blocks >= 3);
}

#[test]
fn session_keys_are_keys_of_peers() {
    for key in SESSION_KEYS {
        assert!(PeerKeys::KEYS.contains(key), "{key}");
    }
}

#[test]
fn the_example_of_a_virtual_network_loads_without_a_warning() {
    let config = Config::load(&root().join("examples/exchange.toml")).unwrap();
    assert_eq!(config.warnings, []);
    let exchange = config.exchange.unwrap();
    assert_eq!((exchange.nvas.len(), exchange.gateways.len()), (2, 2));
    let names: Vec<&str> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
    let expected = [
        "sdwan-10.0.2.4",
        "sdwan-10.0.2.5",
        "firewall-10.0.3.4",
        "expressroute",
        "vpn-10.0.255.20",
        "vpn-10.0.255.21",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_example_loads_without_a_warning() {
    let config = Config::load(&root().join("examples/thruway.toml")).unwrap();
    assert_eq!(config.warnings, []);
    assert!(config.peers.len() >= 3);
}

/// The last column of a table of the reference, by key.
fn effects(heading: &str, end: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (_, section) = text.split_once(heading).unwrap();
    let (section, _) = section.split_once(end).unwrap();
    let rows = section.lines().filter_map(|line| {
        let (key, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let last = rest.trim_end_matches(" |").rsplit(" | ").next()?;
        Some((key.to_owned(), last.to_owned()))
    });
    rows.collect()
}

/// When a changed key takes effect is said once, in the table of keys.
#[test]
fn the_reference_says_when_each_key_takes_effect() {
    use crate::keys::{Key, PEER, SERVER};
    fn strongest<T>(keys: &[Key<T>], name: &str) -> Option<Effect> {
        let of = keys.iter().filter(|key| key.name == name);
        of.map(|key| key.effect).max()
    }
    let server = effects("\n## `[server]`", "\n## ");
    let peer = effects("\n## `[[peer]]`", "\n### ");
    assert!(server.len() > 10 && peer.len() > 40);
    for (key, says) in server {
        let effect = strongest(SERVER, &key).unwrap();
        assert_eq!(says, effect.as_str(), "{key}");
    }
    for (key, says) in peer {
        // The name tells peers apart, a group is what it gives, subnets are a part of next-hop.
        let effect = match key.as_str() {
            "name" | "group" => continue,
            "subnets" => Effect::Routes,
            key => strongest(PEER, key).unwrap(),
        };
        let says = says.split(';').next().unwrap_or_default();
        assert_eq!(says, effect.as_str(), "{key}");
    }
}
