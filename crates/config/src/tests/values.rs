//! Good files and what they mean.

use std::time::Duration;

use thruway_engine::PeerRole;
use thruway_rib::{AddPathSend, LimitAction};
use thruway_session::{RemoteAs, Role};
use thruway_wire::{Asn, Family, FamilySet};

use super::super::*;
use super::{parse, peer, peer_with, raw};

#[test]
fn the_shortest_server() {
    let config = raw("[server]\nasn = 64500\nrouter-id = \"198.18.0.1\"").unwrap();
    let server = config.server;
    assert_eq!(
        (server.asn, server.router_id),
        (Asn(64500), server.cluster_id)
    );
    assert_eq!(
        server.listen,
        ["0.0.0.0:179", "[::]:179"].map(|addr| addr.parse().unwrap())
    );
    assert_eq!(server.api, None);
    assert!(server.api_hosts.is_empty());
    assert_eq!(server.api_socket, default_api_socket());
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(server.workers >= 1 && server.workers * 2 <= cores.max(2));
    assert!(!server.pin_workers);
    assert_eq!(server.transport, Transport::Auto);
    assert_eq!(server.log.as_str(), "info");
    assert!(!server.decision.always_compare_med && !server.decision.missing_med_worst);
    assert!(config.peers.is_empty());
    assert_eq!(config.policies.iter().count(), 2);
    assert_eq!((server.mode, config.exchange), (Mode::Plain, None));
    assert_eq!(server.state.to_str(), Some("t.toml.state"));
}

#[test]
fn every_key_of_the_server() {
    let config = raw(
        "[server]\nasn = \"1.10\"\nrouter-id = \"198.18.0.1\"\nlisten = \"198.18.0.1\"\n\
         api = \"127.0.0.1:8179\"\napi-hosts = [\"RS1.example\", \"rs\"]\napi-socket = \"/tmp/x.sock\"\nworkers = 3\npin-workers = true\n\
         transport = \"epoll\"\nlog = \"debug\"\ncluster-id = \"9.9.9.9\"\n\
         always-compare-med = true\nmissing-med-worst = true\nmode = \"transparent\"\nstate = \"/s\"",
    );
    let server = config.unwrap().server;
    assert_eq!(server.asn, Asn(65546));
    assert_eq!(server.listen, ["198.18.0.1:179".parse().unwrap()]);
    assert_eq!(server.api, Some("127.0.0.1:8179".parse().unwrap()));
    assert_eq!(server.api_hosts, ["rs1.example", "rs"]);
    assert_eq!(server.api_socket.to_str(), Some("/tmp/x.sock"));
    assert_eq!((server.workers, server.pin_workers), (3, true));
    assert_eq!(server.transport, Transport::Epoll);
    assert_eq!(server.log, LogLevel::Debug);
    assert_eq!(server.cluster_id.to_string(), "9.9.9.9");
    assert!(server.decision.always_compare_med && server.decision.missing_med_worst);
    assert_eq!(server.mode, Mode::Transparent);
    assert_eq!(server.state.to_str(), Some("/s"));
}

#[test]
fn defaults_depend_on_the_role() {
    let external = peer(&peer_with(""));
    assert_eq!(external.role, PeerRole::External);
    assert_eq!(external.name, "198.18.1.1");
    assert_eq!(
        external.target,
        Target::Address("198.18.1.1:179".parse().unwrap())
    );
    assert_eq!(external.asn, RemoteAs::One(Asn(64601)));
    assert_eq!(external.connection.ttl, Some(1));
    assert_eq!(external.session.families, FamilySet::IPV4);
    assert_eq!(external.session.hold_time, 90);
    assert!(external.session.extended_message && !external.session.extended_next_hop);
    assert_eq!(external.session.graceful_restart.unwrap().restart_time, 120);
    assert_eq!(
        (external.import.policy, external.export.policy),
        (None, None)
    );
    assert!(external.import.enforce_first_as && !external.import.allow_as_sets);
    assert_eq!(external.import.next_hop, NextHopRule::Any);
    assert!(external.export.next_hop_self && external.export.prepend_own_as);
    assert!(!external.export.send_med && !external.export.alternatives);
    assert!(external.export.interpret_communities);
    assert_eq!(external.export.own_v4, Some("198.18.0.1".parse().unwrap()));
    assert_eq!(external.export.own_v6, Some("2001:db8::1".parse().unwrap()));

    let client = peer(&peer_with("role = \"route-server-client\""));
    assert!(!client.export.next_hop_self && !client.export.prepend_own_as);
    assert!(client.export.send_med && client.export.alternatives);
    assert!(!client.export.interpret_communities && client.import.enforce_first_as);

    let internal = peer("[[peer]]\naddress = \"2001:db8::2\"\nasn = 64500");
    assert_eq!(internal.role, PeerRole::Internal);
    assert_eq!(internal.connection.ttl, None);
    assert_eq!(
        internal.session.families,
        [Family::Ipv6].into_iter().collect()
    );
    assert!(!internal.import.enforce_first_as && !internal.export.next_hop_self);
    assert!(internal.export.send_med && !internal.export.alternatives);
}

#[test]
fn transparent_mode_is_a_default_of_roles() {
    let role = |keys: &str| {
        let text = format!("{}mode = 'transparent'\n{}", super::SERVER, peer_with(keys));
        raw(&text).unwrap().peers.remove(0).role
    };
    assert_eq!(role(""), PeerRole::RouteServerClient);
    assert_eq!(role("role = 'external'"), PeerRole::External);
    let internal = "[[peer]]\naddress = '198.18.1.9'\nasn = 64500";
    assert_eq!(
        raw(&format!(
            "{}mode = 'transparent'\n{internal}",
            super::SERVER
        ))
        .unwrap()
        .peers[0]
            .role,
        PeerRole::Internal
    );
}

#[test]
fn outbound_limits_hold_back_by_default() {
    let peer = peer(&peer_with("max-advertised = { limit = 1000 }"));
    let limit = peer.export.max_advertised[0].unwrap();
    assert_eq!((limit.limit, limit.warn_at), (1000, 800));
    assert_eq!(limit.action, LimitAction::Block);
    assert_eq!(peer.import.max_prefixes, [None; 2]);
}

const ALL_PEER_KEYS: &str = "
[peer-group.all]
role = 'route-server-client'
description = 'of the group'
shutdown = true
port = 1790
local-address = '198.18.0.7'
passive = true
connect-retry = 5
idle-hold = 2
idle-hold-max = 30
md5 = { password = 'secret' }
gtsm = 2
families = ['ipv4', 'ipv6']
hold-time = 9
send-hold = 60
add-path = { receive = true, send = 4 }
extended-message = false
extended-next-hop = true
graceful-restart = { restart-time = 60, helper-time-max = 90, notification = false }
long-lived = 3600
bgp-role = 'route-server'
bgp-role-strict = true
import = 'accept'
export = 'p'
max-prefixes = { limit = 1000, ipv6 = 10, threshold = 50, action = 'block', count = 'accepted' }
max-advertised = { ipv4 = 500, threshold = 100, action = 'warn' }
interpret-communities = true
allow-as-sets = true
allow-own-as = 2
allow-martians = '169.254.0.0/16'
enforce-first-as = false
as-path-max = 50
next-hop = 'subnet'
subnets = '198.18.0.0/15'
next-hop-self = true
own-next-hop = ['2001:db8::7']
prepend-own-as = true
send-med = false
alternatives = false

[[peer]]
name = 'c1'
address = '198.18.1.1'
asn = [64601, 64602]
group = 'all'
description = 'its own'

[policy.p]
default = 'accept'
";

#[test]
fn every_key_of_a_peer_is_inherited() {
    let peer = peer(ALL_PEER_KEYS);
    assert_eq!(
        (peer.name.as_str(), peer.description.as_str()),
        ("c1", "its own")
    );
    assert_eq!(peer.group.as_deref(), Some("all"));
    assert_eq!(
        peer.target,
        Target::Address("198.18.1.1:1790".parse().unwrap())
    );
    assert_eq!(peer.role, PeerRole::RouteServerClient);
    assert_eq!(peer.asn, RemoteAs::OneOf(vec![Asn(64601), Asn(64602)]));
    assert!(peer.shutdown);
    assert_eq!(
        peer.connection,
        Connection {
            local_address: Some("198.18.0.7".parse().unwrap()),
            passive: true,
            connect_retry: Duration::from_secs(5),
            idle_hold: Duration::from_secs(2),
            idle_hold_max: Duration::from_secs(30),
            md5: Some(Secret(b"secret".to_vec())),
            gtsm_hops: Some(2),
            ttl: None,
        }
    );
    assert_eq!(
        peer.session,
        Session {
            families: FamilySet::ALL,
            hold_time: 9,
            send_hold: Some(Duration::from_secs(60)),
            add_path_receive: true,
            extended_message: false,
            extended_next_hop: true,
            graceful_restart: Some(GracefulRestart {
                restart_time: 60,
                helper_time_max: 90,
                notification: false,
            }),
            long_lived: Some(3600),
            bgp_role: Some(Role::RouteServer),
            bgp_role_strict: true,
        }
    );
}

#[test]
fn every_key_of_import_and_export_is_inherited() {
    let peer = peer(ALL_PEER_KEYS);
    let limit = |limit, warn_at| {
        let action = LimitAction::Block;
        Some(MaxPrefixes {
            limit,
            warn_at,
            action,
            accepted_only: true,
            restart_after: None,
        })
    };
    assert_eq!(
        peer.import,
        Import {
            policy: Some("accept".into()),
            max_prefixes: [limit(1000, 500), limit(10, 5)],
            allow_as_sets: true,
            allow_own_as: 2,
            allow_martians: vec!["169.254.0.0/16".parse().unwrap()],
            enforce_first_as: false,
            as_path_max: 50,
            next_hop: NextHopRule::Subnet(vec!["198.18.0.0/15".parse().unwrap()]),
        }
    );
    assert_eq!(
        peer.export,
        Export {
            policy: Some("p".into()),
            max_advertised: [
                Some(MaxPrefixes {
                    limit: 500,
                    warn_at: 500,
                    action: LimitAction::Warn,
                    accepted_only: true,
                    restart_after: None,
                }),
                None,
            ],
            add_path: AddPathSend::Best(4),
            interpret_communities: true,
            next_hop_self: true,
            own_v4: Some("198.18.0.7".parse().unwrap()),
            own_v6: Some("2001:db8::7".parse().unwrap()),
            prepend_own_as: true,
            send_med: false,
            alternatives: false,
        }
    );
    assert_eq!(format!("{:?}", peer.connection.md5), "Some(Secret(…))");
}

#[test]
fn what_is_inherited_and_means_nothing_is_no_fault() {
    let group = "[peer-group.g]\nfamilies = 'ipv4'\nnext-hop = 'subnet'\nsubnets = '198.18.0.0/15'\n\
                 gtsm = 1\nlong-lived = 60\npassive = false\nextended-next-hop = true\n\
                 max-prefixes = { ipv4 = 9, ipv6 = 9 }\n";
    let keys = "group = 'g'\nttl = 3\nnext-hop = 'any'\ngraceful-restart = false";
    let one = peer(&format!("{group}{}", peer_with(keys)));
    assert_eq!(
        (one.connection.gtsm_hops, one.connection.ttl),
        (None, Some(3))
    );
    assert_eq!(one.import.next_hop, NextHopRule::Any);
    assert_eq!(one.session.long_lived, None);
    assert_eq!(
        one.import.max_prefixes.map(|limit| limit.is_some()),
        [true, false]
    );
    let range = "[[peer]]\nprefix = '2001:db8::/32'\nasn = 1\ngroup = 'g'\nfamilies = 'ipv6'";
    assert!(peer(&format!("{group}{range}")).connection.passive);
}

#[test]
fn a_range_is_passive_and_its_subnet_is_itself() {
    let range = peer("[[peer]]\nprefix = '198.18.0.0/16'\nasn = 'any'\nnext-hop = 'subnet'");
    let prefix = "198.18.0.0/16".parse().unwrap();
    assert_eq!(
        range.target,
        Target::Range {
            prefix,
            peers_max: 256
        }
    );
    assert_eq!(range.name, "198.18.0.0/16");
    assert_eq!(range.asn, RemoteAs::Any);
    assert!(range.connection.passive);
    assert_eq!(range.import.next_hop, NextHopRule::Subnet(vec![prefix]));
}

#[test]
fn words_that_stand_for_values() {
    let with = |keys: &str| peer(&peer_with(keys));
    assert_eq!(
        with("add-path.send = 'all'").export.add_path,
        AddPathSend::All
    );
    assert_eq!(
        with("graceful-restart = false").session.graceful_restart,
        None
    );
    assert!(
        with("graceful-restart = true")
            .session
            .graceful_restart
            .is_some()
    );
    let limit = with("max-prefixes = { limit = 3 }").import.max_prefixes;
    assert_eq!(limit[1], None);
    let limit = limit[0].unwrap();
    assert_eq!((limit.warn_at, limit.action), (3, LimitAction::Restart));
    assert_eq!(limit.restart_after, Some(Duration::from_secs(300)));
    let never = with("max-prefixes = { ipv4 = 3, restart-after = 'never' }")
        .import
        .max_prefixes;
    assert_eq!(never[0].unwrap().restart_after, None);
    assert_eq!(
        with("next-hop = 'same-as'").import.next_hop,
        NextHopRule::SameAs
    );
    assert_eq!(with("next-hop = 'peer'").import.next_hop, NextHopRule::Peer);
    assert_eq!(with("gtsm = 1").connection.ttl, None);
}

#[test]
fn a_password_may_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "secret\n").unwrap();
    let text = format!(
        "{}{}",
        super::SERVER,
        peer_with("md5.password-file = 'key'")
    );
    let config = Config::parse(&folder.path().join("t.toml"), &text).unwrap();
    assert_eq!(
        config.peers[0].connection.md5,
        Some(Secret(b"secret".to_vec()))
    );
}

#[test]
fn what_is_legal_but_odd_is_a_warning() {
    let config = parse(
        "[[peer]]\nname = 'c1'\naddress = '198.18.1.1'\nasn = 1\nimport = 'p'\n\
         [peer-group.lonely]\n\
         [policy.p]\n\
         [[policy.p.statement]]\nmatch.to = { name = 'c1' }\n\
         [[policy.p.statement]]\nthen = 'accept'\n\
         [[policy.p.statement]]\nthen = 'reject'\n\
         [policy.q]\n\
         [as-set.s]\nasns = 1",
    );
    let warnings: Vec<String> = config
        .unwrap()
        .warnings
        .iter()
        .map(|w| w.to_string())
        .collect();
    assert_eq!(
        warnings,
        [
            "t.toml:5: peer.c1.export: no export policy: nothing is advertised to this peer (RFC 8212)",
            "t.toml:9: peer.c1.import: `p` matches on `to`, which never holds on import",
            "t.toml:10: peer-group.lonely: no peer is in it",
            "t.toml:14: policy.p.statement[2]: it judges every route: no later statement is reached",
            "t.toml:18: policy.q: no peer uses it",
            "t.toml:19: as-set.s: no policy uses it",
        ]
    );
}

#[test]
fn a_key_in_a_file_for_everybody_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let keys = "md5 = 'secret'\nimport = 'accept'\nexport = 'accept'";
    std::fs::write(&path, format!("{}{}", super::SERVER, peer_with(keys))).unwrap();
    for (mode, expected) in [(0o644, 1), (0o640, 0)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            Config::load(&path).unwrap().warnings.len(),
            expected,
            "{mode:o}"
        );
    }
}

#[test]
fn policies_are_read_in_full() {
    let config = parse(
        "[prefix-set.nets]\nprefixes = ['10.0.0.0/8 le 24', '2001:db8::/32']\n\
         [community-set.marks]\ncommunities = ['65000:*', 'rt:1:1', '1:2:*']\n\
         [as-set.clients]\nasns = [64601, '64610-64619']\n\
         [as-path-set.paths]\nexpressions = '_1$'\n\
         [[policy.p.statement]]\nname = 'all of it'\n\
         match.family = 'ipv4'\nmatch.prefix = '10.0.0.0/8'\nmatch.prefix-set = 'nets'\n\
         match.next-hop = '192.0.2.1'\nmatch.next-hop-set = ['nets']\n\
         match.as-path = ['^1_', '^$']\nmatch.as-path-set = 'paths'\n\
         match.as-path-contains = 1\nmatch.as-path-contains-set = 'clients'\n\
         match.as-path-length = { ge = 1 }\n\
         match.origin-as = 1\nmatch.origin-as-set = 'clients'\n\
         match.neighbor-as = 1\nmatch.neighbor-as-set = 'clients'\n\
         match.community = '1:1'\nmatch.community-all = ['1:1', '1:1:1']\nmatch.community-set = 'marks'\n\
         match.peer = { name = 'c1', asn = 1, address = '198.18.0.0/15' }\nmatch.to.name = 'c2'\n\
         set.local-pref = 200\nset.med = '+5'\n\
         set.as-path = { replace = [64601, 'peer', 'to', '64700-64799'], remove-private = true, keep-last = 2 }\n\
         set.prepend = { asn = 'self' }\n\
         set.community = { replace = '1:1', remove = '2:*', remove-set = 'marks', add = ['3:3', 'rt:3:3'] }\n\
         set.next-hop = 'peer'\nthen = 'accept'",
    )
    .unwrap();
    let def = &config.policy_defs[0];
    assert!(!def.default_accept);
    // What was read is told by the definition itself, in its serialised form.
    let statement = serde_json::to_value(&def.statements[0]).unwrap();
    let values =
        |values: &[&str], sets: &[&str]| serde_json::json!({"values": values, "sets": sets});
    let matches = &statement["matches"];
    assert_eq!(matches["family"], "ipv4");
    assert_eq!(matches["prefix"], values(&["10.0.0.0/8"], &["nets"]));
    assert_eq!(matches["next-hop"], values(&["192.0.2.1/32"], &["nets"]));
    assert_eq!(matches["as-path"], values(&["^1_", "^$"], &["paths"]));
    for key in ["as-path-contains", "origin-as", "neighbor-as"] {
        assert_eq!(matches[key], values(&["1"], &["clients"]), "{key}");
    }
    assert_eq!(
        matches["as-path-length"],
        serde_json::json!({"ge": 1, "le": 65535})
    );
    assert_eq!(matches["community"], values(&["1:1"], &["marks"]));
    assert_eq!(
        matches["community-all"],
        serde_json::json!(["1:1", "1:1:1"])
    );
    assert_eq!(
        matches["peer"],
        serde_json::json!({"name": ["c1"], "asn": ["1"], "address": ["198.18.0.0/15"]})
    );
    assert_eq!(matches["to"]["name"][0], "c2");
    assert_eq!(
        statement["set"],
        serde_json::json!({
            "as-path": {"replace": ["64601", "64700-64799"], "replace-peer": true,
                "replace-to": true, "remove-private": true, "keep-last": 2},
            "local-pref": 200, "med": {"add": 5}, "prepend": {"asn": "own", "count": 1},
            "community": {"replace": ["1:1"], "remove": ["2:*"], "remove-sets": ["marks"],
                "add": ["3:3", "rt:3:3"]},
            "next-hop": "peer",
        })
    );
    assert_eq!(
        (&statement["name"], &statement["then"]),
        (&"all of it".into(), &"accept".into())
    );
    assert_eq!(config.policies.get("p").unwrap().statement_count(), 1);
}

/// Lists of prefixes that stay out of the TOML tree say the same, and name the same lines.
#[test]
fn a_long_list_is_read_as_a_short_one() {
    let list = |members: usize, bad: &str| {
        let members = (0..members).map(|number| format!("  \"10.{number}.0.0/16\",\n"));
        format!("{}  {bad}\n", members.collect::<String>())
    };
    let text = |list: String| format!("[prefix-set.a]\nprefixes = [\n{list}]\n");
    let config = parse(&text(list(200, "'10.200.0.0/16 le 24'"))).unwrap();
    let set = &config.sets.prefix_sets["a"];
    assert_eq!(set.len(), 201);
    assert_eq!(set[200], "10.200.0.0/16 le 24".parse().unwrap());
    let fault = |members: usize| {
        let errors = parse(&text(list(members, "\"10.0.0.0/33\""))).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        // The faults are the same, but for their lines.
        errors[0].replacen(&format!(":{}:", members + 7), ":LINE:", 1)
    };
    assert!(fault(200).contains(":LINE:"));
    assert_eq!(fault(200), fault(3));
    let vnet = |list: String| {
        format!(
            "[server]\nmode = \"exchange\"\nasn = 65515\nrouter-id = \"10.0.0.4\"\n\
             [vnet]\nprefixes = [\n{list}]\nnext-hop = \"10.0.0.1\"\n"
        )
    };
    let config = raw(&vnet(list(200, ""))).unwrap();
    assert_eq!(config.exchange.unwrap().vnet.prefixes.len(), 200);
}

/// What a policy's tests say, each against a policy that has a statement of each kind.
#[test]
fn tests_of_a_policy_run_when_the_file_is_read() {
    let policy = "[[peer]]\nname = 'c1'\naddress = '198.18.1.1'\nasn = 64601\nimport = 'p'\nexport = 'p'\n\
                  [policy.p]\n\
                  [[policy.p.statement]]\nname = 'no-bad'\nmatch.as-path-contains = 666\nthen = 'reject'\n\
                  [[policy.p.statement]]\nmatch.peer.name = 'c1'\nset.med = 7\n\
                  set.community.add = '1:1'\nset.prepend = { asn = 'peer' }\n\
                  [[policy.p.statement]]\nmatch.prefix = '10.0.0.0/8 le 24'\nthen = 'accept'\n";
    let run = |test: &str| parse(&format!("{policy}[[policy.p.test]]\n{test}")).map(drop);
    for good in [
        "route = { prefix = '10.1.0.0/16', as-path = [64601] }\nfrom = 'c1'\nthen = 'accept'\nby = '3'\n\
         becomes = { as-path = [64601, 64601], med = 7, community = '1:1' }",
        "route = { prefix = '10.1.0.0/16', med = 3, community = ['2:2', 'rt:1:1', '1:2:3'] }\nthen = 'accept'\n\
         becomes = { med = 3, community = ['1:2:3', '2:2', 'rt:1:1'], as-path = [] }",
        "route = { prefix = '10.1.0.0/16', as-path = [1, 666] }\nthen = 'reject'\nby = 'no-bad'",
        "route = { prefix = '192.0.2.0/24', next-hop = '192.0.2.1', local-pref = 9 }\nthen = 'reject'\nby = 'default'",
    ] {
        assert_eq!(run(good), Ok(()), "{good}");
    }
    for (bad, says) in [
        (
            "then = 'accept'",
            "policy.p.test[1]: it needs `route.prefix`",
        ),
        (
            "route = { prefix = '10.0.0.0/8' }\nthen = 'continue'",
            "ends with `accept` or `reject`",
        ),
        (
            "name = 'n'\nroute = { prefix = '10.1.0.0/16', as-path = 666 }\nthen = 'accept'",
            "t.toml:27: policy.p.test[1].then: n: not accepted: statement 1 (no-bad) rejects it",
        ),
        (
            "route = { prefix = '192.0.2.0/24' }\nthen = 'accept'",
            "not accepted: end of policy rejects it",
        ),
        (
            "route = { prefix = '10.1.0.0/16' }\nthen = 'reject'",
            "not rejected: statement 3 accepts it",
        ),
        (
            "route = { prefix = '10.1.0.0/16' }\nby = 'no-bad'",
            "not by `no-bad`: statement 3 accepts it",
        ),
        (
            "route = { prefix = '10.1.0.0/16' }\nfrom = 'c1'\nbecomes = { med = 8, local-pref = 1 }",
            "becomes.med: expected `8`, is `7` (decided by statement 3)",
        ),
        (
            "route = { prefix = '10.1.0.0/16' }\nbecomes.local-pref = 1",
            "becomes.local-pref: expected `1`, is `none`",
        ),
        (
            "route = { prefix = '192.0.2.0/24' }\nbecomes.med = 1",
            "it becomes nothing: end of policy rejects it",
        ),
        (
            "route = { prefix = '10.1.0.0/16' }\nfrom = 'c2'",
            "no peer has the name `c2`",
        ),
        (
            "route = { prefix = '10.1.0.0/16', colour = 1 }",
            "unknown key",
        ),
    ] {
        let errors = run(bad).unwrap_err().join("\n");
        assert!(errors.contains(says), "{bad}: {errors}");
    }
}
