//! Bad input and the text that it must give.

use super::{SERVER, parse, peer_with, raw};
use crate::Config;

/// Each row: keys of a peer from line 8 on, and the errors.
const PEER_ERRORS: &[(&str, &[&str])] = &[
    (
        "hold-tme = 90",
        &["t.toml:8: peer[1].hold-tme: unknown key; did you mean `hold-time`?"],
    ),
    (
        "hold-time = 2",
        &["t.toml:8: peer[1].hold-time: 0 or at least 3 seconds (RFC 4271 §4.2), found 2"],
    ),
    (
        "hold-time = 65536",
        &["t.toml:8: peer[1].hold-time: expected a number from 0 to 65535, found 65536"],
    ),
    (
        "hold-time = -1",
        &["t.toml:8: peer[1].hold-time: expected a number from 0 to 65535, found -1"],
    ),
    (
        "hold-time = \"90\"",
        &["t.toml:8: peer[1].hold-time: expected a number from 0 to 65535, found `90`"],
    ),
    (
        "passive = 1",
        &["t.toml:8: peer[1].passive: expected true or false, found 1"],
    ),
    (
        "role = \"route-server\"",
        &[
            "t.toml:8: peer[1].role: unknown value `route-server`; known: route-server-client, external, internal, route-reflector-client",
        ],
    ),
    (
        "role = \"externl\"",
        &["t.toml:8: peer[1].role: unknown value `externl`; did you mean `external`?"],
    ),
    (
        "role = \"internal\"",
        &["t.toml:8: peer[1].role: an internal peer must have our own AS 64500"],
    ),
    (
        "prefix = \"198.18.1.0/24\"",
        &["t.toml:8: peer[1].prefix: a peer has an address or a prefix, not both"],
    ),
    (
        "group = \"x\"",
        &["t.toml:8: peer[1].group: no peer-group has the name `x`"],
    ),
    (
        "multihop = 2",
        &["t.toml:8: peer[1].multihop: unknown key; did you mean `ttl`?"],
    ),
    (
        "gtsm = 0",
        &["t.toml:8: peer[1].gtsm: expected 1 to 254 hops, found 0"],
    ),
    (
        "gtsm = 1\nttl = 1",
        &["t.toml:9: peer[1].ttl: with gtsm our packets have TTL 255 (RFC 5082): leave ttl out"],
    ),
    (
        "ttl = 0",
        &["t.toml:8: peer[1].ttl: expected 1 to 255, found 0"],
    ),
    (
        "port = 0",
        &["t.toml:8: peer[1].port: expected a port from 1 to 65535, found 0"],
    ),
    (
        "connect-retry = 0",
        &["t.toml:8: peer[1].connect-retry: expected at least 1 second, found 0"],
    ),
    (
        "idle-hold = 0",
        &["t.toml:8: peer[1].idle-hold: expected at least 1 second, found 0"],
    ),
    (
        "idle-hold = 20\nidle-hold-max = 10",
        &["t.toml:9: peer[1].idle-hold-max: it is less than idle-hold, 20 s"],
    ),
    (
        "local-address = \"2001:db8::9\"",
        &["t.toml:8: peer[1].local-address: 2001:db8::9 cannot talk to an ipv4 peer"],
    ),
    (
        "local-address = \"198.18.0\"",
        &["t.toml:8: peer[1].local-address: expected an IP address, found `198.18.0`"],
    ),
    (
        "families = []",
        &["t.toml:8: peer[1].families: the list is empty: leave the key out instead"],
    ),
    (
        "families = [\"ipv4\",\n \"ipv5\"]",
        &["t.toml:9: peer[1].families: `ipv5` is not a family: ipv4 or ipv6"],
    ),
    (
        "families = \"ipv6\"\nextended-next-hop = true",
        &[
            "t.toml:9: peer[1].extended-next-hop: it is about IPv4 routes (RFC 8950), and families has no ipv4",
        ],
    ),
    (
        "md5 = \"\"",
        &["t.toml:8: peer[1].md5: a key has 1 to 80 octets, this one 0"],
    ),
    (
        "md5 = { password-file = \"/nonexistent/key\" }",
        &["t.toml:8: peer[1].md5: /nonexistent/key: No such file or directory (os error 2)"],
    ),
    (
        "md5 = { password = \"a\", password-file = \"b\" }",
        &["t.toml:8: peer[1].md5: expected either `password` or `password-file`"],
    ),
    (
        "md5 = 7",
        &["t.toml:8: peer[1].md5: expected a table, found 7"],
    ),
    (
        "add-path = { receive = true, send = 0 }",
        &["t.toml:8: peer[1].add-path.send: expected \"all\" or a number from 1 to 255, found 0"],
    ),
    (
        "add-path = { recieve = true }",
        &["t.toml:8: peer[1].add-path.recieve: unknown key; did you mean `receive`?"],
    ),
    (
        "graceful-restart = { restart-time = 5000 }",
        &[
            "t.toml:8: peer[1].graceful-restart.restart-time: expected 0 to 4095 seconds, found 5000",
        ],
    ),
    (
        "graceful-restart = false\nlong-lived = 9",
        &["t.toml:9: peer[1].long-lived: it needs graceful-restart (RFC 9494 §4.2)"],
    ),
    (
        "long-lived = 16777216",
        &["t.toml:8: peer[1].long-lived: expected 0 to 16777215 seconds, found 16777216"],
    ),
    (
        "bgp-role-strict = true",
        &["t.toml:8: peer[1].bgp-role-strict: it needs bgp-role"],
    ),
    (
        "role = \"route-server-client\"\nbgp-role = \"customer\"",
        &[
            "t.toml:9: peer[1].bgp-role: it is our own role: toward a route-server-client we are `route-server`",
        ],
    ),
    (
        "import = \"acept\"",
        &["t.toml:8: peer[1].import: no policy has the name `acept`; did you mean `accept`?"],
    ),
    (
        "export = \"\"",
        &["t.toml:8: peer[1].export: no policy has the name ``; known: accept, reject"],
    ),
    (
        "max-prefixes = {}",
        &["t.toml:8: peer[1].max-prefixes: it needs `limit`, or `ipv4` and `ipv6`"],
    ),
    (
        "max-prefixes = { limit = 9, threshold = 101 }",
        &["t.toml:8: peer[1].max-prefixes.threshold: expected 1 to 100 percent, found 101"],
    ),
    (
        "max-prefixes = { ipv6 = 9 }",
        &["t.toml:8: peer[1].max-prefixes.ipv6: families has no ipv6"],
    ),
    (
        "max-prefixes = { limit = 9, action = \"warn\", restart-after = 9 }",
        &["t.toml:8: peer[1].max-prefixes.restart-after: it goes with action = \"restart\""],
    ),
    (
        "max-advertised = { limit = 9, count = \"accepted\" }",
        &[
            "t.toml:8: peer[1].max-advertised.count: unknown key; known: limit, ipv4, ipv6, threshold, action, restart-after",
        ],
    ),
    (
        "max-advertised = { limit = 9, restart-after = 9 }",
        &["t.toml:8: peer[1].max-advertised.restart-after: it goes with action = \"restart\""],
    ),
    (
        "as-path-max = 0",
        &["t.toml:8: peer[1].as-path-max: expected at least 1, found 0"],
    ),
    (
        "next-hop = \"subnet\"",
        &["t.toml:8: peer[1].next-hop: \"subnet\" needs the key subnets"],
    ),
    (
        "subnets = [\"198.18.0.0/16\"]",
        &["t.toml:8: peer[1].subnets: subnets go with next-hop = \"subnet\""],
    ),
    (
        "next-hop = \"subnet\"\nsubnets = [\"198.18.0.1/16\"]",
        &[
            "t.toml:9: peer[1].subnets: `198.18.0.1/16` is not a prefix: host bits are set; the network is 198.18.0.0/16",
        ],
    ),
    (
        "own-next-hop = [\"198.18.0.1\", \"198.18.0.2\"]",
        &["t.toml:8: peer[1].own-next-hop: one address of a family is enough"],
    ),
    (
        "name = \"a b\"",
        &["t.toml:8: peer.a b.name: a name is not empty and has no spaces"],
    ),
];

#[test]
fn faults_of_a_peer() {
    for (keys, expected) in PEER_ERRORS {
        let errors = parse(&peer_with(keys)).expect_err(keys);
        assert_eq!(errors, *expected, "{keys}");
    }
}

/// Each row: what follows the server from line 5 on, and the errors.
const FILE_ERRORS: &[(&str, &[&str])] = &[
    (
        "[[peer]]\nasn = 1",
        &["t.toml:5: peer[1].address: a peer needs an address or a prefix"],
    ),
    (
        "[[peer]]\nadress = \"198.18.1.1\"\nasn = 1",
        &[
            "t.toml:5: peer[1].address: a peer needs an address or a prefix",
            "t.toml:6: peer[1].adress: unknown key; did you mean `address`?",
        ],
    ),
    (
        "[[peer]]\naddress = \"198.18.1.1\"",
        &["t.toml:5: peer[1].asn: the key is missing"],
    ),
    (
        "[[peer]]\naddress = \"198.18.1.1\"\nasn = 0",
        &["t.toml:7: peer[1].asn: expected an AS number from 1 to 4294967295, found 0"],
    ),
    (
        "[[peer]]\naddress = \"198.18.1.1\"\nasn = \"any\"",
        &["t.toml:7: peer[1].asn: \"any\" is for peers with a prefix: one neighbour has one AS"],
    ),
    (
        "[[peer]]\naddress = \"0.0.0.0\"\nasn = 1",
        &["t.toml:6: peer[1].address: 0.0.0.0 is no neighbour's address"],
    ),
    (
        "[[peer]]\naddress = \"198.18.1.1\"\nasn = 64500\nrole = \"external\"",
        &["t.toml:8: peer[1].role: an external peer cannot be in our own AS 64500"],
    ),
    (
        "[[peer]]\naddress = \"198.18.1.1\"\nasn = 64500\nbgp-role = \"peer\"",
        &["t.toml:8: peer[1].bgp-role: roles are for external peers (RFC 9234 §4)"],
    ),
    (
        "[[peer]]\nprefix = \"198.18.1.0/24\"\nasn = \"any\"\npassive = false\npeers-max = 0",
        &[
            "t.toml:8: peer[1].passive: a peer with a prefix is always passive: there is no one to connect to",
            "t.toml:9: peer[1].peers-max: expected at least 1, found 0",
        ],
    ),
    (
        "[[peer]]\nname = \"a\"\naddress = \"198.18.1.1\"\nasn = 1\n\
      [[peer]]\nname = \"a\"\naddress = \"198.18.1.1\"\nasn = 2",
        &[
            "t.toml:9: peer.a.address: the peer in line 5 has the same address",
            "t.toml:9: peer.a.name: the peer in line 5 has the same name",
        ],
    ),
    (
        "[peer]\naddress = \"198.18.1.1\"",
        &["t.toml:5: peer: peers are written as [[peer]], with two brackets"],
    ),
    (
        "[peer-group.g]\nname = \"x\"\n",
        &["t.toml:6: peer-group.g.name: this key belongs to a [[peer]], not to a group"],
    ),
    (
        "[peer-group.clients]\nhold-time = 1\n\
      [[peer]]\naddress = \"198.18.1.1\"\nasn = 1\ngroup = \"client\"",
        &["t.toml:10: peer[1].group: no peer-group has the name `client`; did you mean `clients`?"],
    ),
    (
        "[peer-group.g]\nhold-time = 1\nasn = 7\n\
      [[peer]]\naddress = \"198.18.1.1\"\ngroup = \"g\"\n[[peer]]\naddress = \"198.18.1.2\"\ngroup = \"g\"",
        &["t.toml:6: peer-group.g.hold-time: 0 or at least 3 seconds (RFC 4271 §4.2), found 1"],
    ),
    (
        "[peers]\n",
        &["t.toml:5: peers: unknown key; did you mean `peer`?"],
    ),
    (
        "[policy.p]\ndefault = \"acept\"",
        &["t.toml:6: policy.p.default: unknown value `acept`; did you mean `accept`?"],
    ),
    (
        "[policy.accept]",
        &["t.toml:5: policy.accept: the name is that of a built-in policy"],
    ),
    (
        "[policy.p]\nstatement = 1",
        &[
            "t.toml:6: policy.p.statement: statements are written as [[policy.p.statement]], with two brackets",
        ],
    ),
    (
        "[[policy.p.statement]]\nmatch.prefix-set = [\"a\",\n\"bogon\"]\n[prefix-set.bogons]\nprefixes = \"10.0.0.0/8\"",
        &[
            "t.toml:6: policy.p.statement[1].match.prefix-set: no prefix-set has the name `a`; known: bogons",
            "t.toml:7: policy.p.statement[1].match.prefix-set: no prefix-set has the name `bogon`; did you mean `bogons`?",
        ],
    ),
    (
        "[[policy.p.statement]]\nset.as-path = { keep-last = 0 }",
        &["t.toml:6: policy.p.statement[1].set.as-path: `keep-last` keeps at least 1"],
    ),
    (
        "[[policy.p.statement]]\nset.prepend = { asn = \"self\", count = 64 }",
        &["t.toml:6: policy.p.statement[1].set.prepend: an AS is prepended 1 to 63 times"],
    ),
    (
        "[[policy.p.statement]]\nset.prepend = { count = 2 }",
        &["t.toml:6: policy.p.statement[1].set.prepend.asn: the key is missing"],
    ),
    (
        "[[policy.p.statement]]\n\n[[policy.p.statement]]\nset.med = \"5\"\nset.next-hop = \"ff02::1\"\nthen = \"stop\"",
        &[
            "t.toml:8: policy.p.statement[2].set.med: expected a number, \"+N\", \"-N\" or \"remove\", found `5`",
            "t.toml:9: policy.p.statement[2].set.next-hop: ff02::1 is no next hop",
            "t.toml:10: policy.p.statement[2].then: unknown value `stop`; known: accept, reject, continue",
        ],
    ),
    (
        "[[policy.p.statement]]\nmatch.as-path = \"AS1\"\nmatch.as-path-length = { ge = 3, le = 2 }\n\
      match.community = [\"1:2\", \"x\"]",
        &[
            "t.toml:6: policy.p.statement[1].match.as-path: `AS1`: `A` occurs in no AS path",
            "t.toml:7: policy.p.statement[1].match.as-path-length: no length is from 3 to 2",
            "t.toml:8: policy.p.statement[1].match.community: `x` is no community and no pattern: A:B, A:B:C, rt:A:B, soo:A:B, 0xHEX* or a well-known name; each part a number, a range N-M or *",
        ],
    ),
    (
        "[[policy.p.statement]]\nthen = \"reject\"\nset.local-pref = 1",
        &["t.toml:7: policy.p.statement[1].set: a statement that rejects changes nothing"],
    ),
    (
        "[as-path-set.s]\nexpressions = [\"1.{20}(2.{20}){20}\"]",
        &[
            "t.toml:6: as-path-set.s.expressions: `1.{20}(2.{20}){20}`: the expression is too large to compile",
        ],
    ),
    (
        "[prefix-set.s]",
        &["t.toml:5: prefix-set.s: it needs `prefixes` or `file`"],
    ),
    (
        "[prefix-set.s]\nprefixes = [\"10.0.0.0/8 ge 7\"]",
        &["t.toml:6: prefix-set.s.prefixes: 10.0.0.0/8 ge 7: ge is below the prefix's own length"],
    ),
    (
        "[as-set.s]\nasns = [0, \"9-1\"]\nfoo = 1",
        &[
            "t.toml:6: as-set.s.asns: `9-1` is empty: its first number is above its last",
            "t.toml:6: as-set.s.asns: expected an AS number from 1 to 4294967295, found 0",
            "t.toml:7: as-set.s.foo: unknown key; known: asns, file",
        ],
    ),
    (
        "prefix-set = 1",
        &["t.toml:5: server.prefix-set: unknown key"],
    ),
];

#[test]
fn faults_of_a_file() {
    for (rest, expected) in FILE_ERRORS {
        let errors = parse(rest).expect_err(rest);
        assert_eq!(errors, *expected, "{rest}");
    }
}

#[test]
fn faults_of_the_server() {
    assert_eq!(
        raw("").unwrap_err(),
        ["t.toml: server: the table [server] is missing"]
    );
    assert_eq!(
        raw("\n[server]").unwrap_err(),
        [
            "t.toml:2: server.asn: the key is missing",
            "t.toml:2: server.router-id: the key is missing",
        ]
    );
    let text = "[server]\nasn = \"x\"\nrouter-id = \"0.0.0.0\"\nlisten = [\"::1\", \"[::1]:179\"]\n\
                workers = 0\ntransport = \"iouring\"\napi = \"127.0.0.1\"\nlog = \"all\"\n\
                api-hosts = [\"rs:80\", \"rs\", \"RS\", \"192.0.2.1\", \"\"]";
    let max = thruway_rib::limits::WORKERS_MAX;
    let name = "expected a host's name such as \"routes.example.net\", without a port";
    assert_eq!(raw(text).unwrap_err(), [
        "t.toml:2: server.asn: expected an AS number from 1 to 4294967295, found `x`".to_owned(),
        "t.toml:3: server.router-id: expected an identifier such as \"192.0.2.1\", not 0.0.0.0, found `0.0.0.0`".into(),
        "t.toml:4: server.listen: [::1]:179 stands twice".into(),
        format!("t.toml:5: server.workers: expected 1 to {max} workers, found 0"),
        "t.toml:6: server.transport: unknown value `iouring`; did you mean `io-uring`?".into(),
        "t.toml:7: server.api: expected an address and port such as \"[::1]:8179\", found `127.0.0.1`".into(),
        "t.toml:8: server.log: unknown value `all`; known: error, warn, info, debug, trace".into(),
        format!("t.toml:9: server.api-hosts: {name}, found `192.0.2.1`"),
        format!("t.toml:9: server.api-hosts: {name}, found ``"),
        format!("t.toml:9: server.api-hosts: {name}, found `rs:80`"),
        "t.toml:9: server.api-hosts: rs stands twice".into(),
    ]);
}

#[test]
fn broken_toml_names_the_line() {
    let errors = raw("[server]\nasn = \n[[peer]").unwrap_err();
    assert!(errors.len() > 1, "{errors:?}");
    assert!(errors[0].starts_with("t.toml:2: "), "{errors:?}");
    let twice = raw("[server]\nasn = 1\nasn = 2").unwrap_err();
    assert_eq!(twice, ["t.toml:3: duplicate key"]);
}

#[test]
fn a_passive_peer_needs_an_address_to_connect_to() {
    let text = "[server]\nasn = 64500\nrouter-id = \"198.18.0.1\"\nlisten = [\"198.18.0.1\"]\n\
                [[peer]]\nname = \"v6\"\naddress = \"2001:db8::9\"\nasn = 1\npassive = true";
    assert_eq!(
        raw(text).unwrap_err(),
        [
            "t.toml:5: peer.v6.passive: the peer can never connect: server.listen has no ipv6 address",
        ]
    );
}

#[test]
fn files_with_members_name_their_own_lines() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# nets\n10.0.0.0/8 le 24\n\n10.0.0.1/8  # typo\nx\n";
    std::fs::write(folder.path().join("nets"), text).unwrap();
    let path = folder.path().join("t.toml");
    let config = format!(
        "{}[prefix-set.s]\nfile = \"nets\"\n[as-set.t]\nfile = \"none\"",
        super::SERVER
    );
    let errors = super::Config::parse(&path, &config).unwrap_err();
    let folder = folder.path().display();
    assert_eq!(
        errors.to_string(),
        format!(
            "{folder}/nets:4: `10.0.0.1/8` is not a prefix: host bits are set; the network is 10.0.0.0/8\n\
         {folder}/nets:5: `x` is not a prefix: bad address\n\
         {folder}/t.toml:8: as-set.t.file: {folder}/none: No such file or directory (os error 2)"
        )
    );
    let many = "x\n".repeat(30);
    std::fs::write(path.with_file_name("nets"), many).unwrap();
    let config = format!("{}[prefix-set.s]\nfile = \"nets\"", super::SERVER);
    let errors = super::Config::parse(&path, &config).unwrap_err();
    assert_eq!(errors.0.len(), 21);
    assert!(
        errors.to_string().contains("10 more lines are wrong"),
        "{errors}"
    );
}

#[test]
fn a_missing_file_is_an_error_of_the_file() {
    let errors = super::Config::load("/nonexistent/thruway.toml".as_ref()).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/nonexistent/thruway.toml: No such file or directory (os error 2)"
    );
}

#[test]
fn a_file_that_is_no_toml_is_told_in_a_few_lines() {
    let errors = raw(&"10.0.0.0/8\n".repeat(1000)).unwrap_err();
    assert!((1..=20).contains(&errors.len()), "{}", errors.len());
}

#[test]
fn damaged_files_give_errors_and_no_panic() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/thruway.toml");
    let example = std::fs::read_to_string(example).unwrap();
    let mut state = 1u64;
    let mut below = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % bound
    };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..500 {
        let mut text: Vec<char> = example.chars().collect();
        for _ in 0..=below(3) {
            let (from, len) = (below(text.len() - 8), below(8));
            match below(3) {
                0 => drop(text.drain(from..from + len)),
                1 => text[from] = text[below(text.len())],
                _ => text.insert(from, text[below(text.len())]),
            }
        }
        match raw(&String::from_iter(text)) {
            Ok(_) => good += 1,
            Err(errors) => {
                assert!(
                    errors.iter().all(|error| error.starts_with("t.toml:")),
                    "{errors:?}"
                );
                bad += 1;
            }
        }
    }
    // Comments and descriptions may change; nearly all else is noticed.
    assert!(bad > good && good > 0, "{good} {bad}");
}

#[test]
fn a_proposal_names_no_files_and_pipes_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "192.0.2.0/24\n").unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let set = |file: &str| {
        let mut text = SERVER.to_owned();
        for (table, name) in [("prefix-set", "p"), ("as-set", "a")] {
            text += &format!("[{table}.{name}]\nfile = \"{file}\"\n");
        }
        text + &peer_with(&format!("md5 = {{ password-file = \"{file}\" }}"))
    };
    let faults = Config::propose(&path, &set("secret"))
        .unwrap_err()
        .to_string();
    assert_eq!(faults.matches("names no files").count(), 3, "{faults}");
    assert!(!faults.contains("192.0.2.0"), "{faults}");
    let faults = Config::parse(&path, &set("pipe")).unwrap_err().to_string();
    assert_eq!(faults.matches("no regular file").count(), 3, "{faults}");
}

/// An expectation about the client of `peer_with`, with some lines of keys; they start in line 13.
fn expect(keys: &str) -> String {
    let peer = peer_with(
        "name = \"c1\"\nrole = \"route-server-client\"\nimport = \"accept\"\nexport = \"accept\"",
    );
    format!("{peer}[[expect]]\nname = \"e\"\n{keys}\n")
}

#[test]
fn an_expectation_says_one_thing_of_those_who_are_there() {
    let wrong = |keys: &str| parse(&expect(keys)).unwrap_err().join("\n");
    for (keys, text) in [
        ("", "it needs one of `advertised-to`"),
        (
            "advertised-to = \"c1\"\nsessions = \"c1\"",
            "it says several things",
        ),
        (
            "advertised-to = \"c2\"",
            "no peer, NVA or gateway has the name `c2`; did you mean `c1`?",
        ),
        ("advertised-to = \"kind:nva\"", "mode `exchange`"),
        ("advertised-to = \"kind:vnp\"", "no kind has the name `vnp`"),
        ("accepted-from = \"c1\"", "needs `min` or `max`"),
        (
            "never-advertised-to = \"c1\"\nmax = 3",
            "`min` and `max` go with",
        ),
        ("advertised-to = \"c1\"\nmin = 4\nmax = 3", "can never hold"),
        (
            "prefix = \"10.0.0.0/8\"\nwithin = \"10.0.0.0/8\"\nbest-from = \"c1\"",
            "not both",
        ),
        (
            "sessions = \"c1\"\nprefix = \"10.0.0.0/8\"",
            "about no prefix",
        ),
        (
            "best-from = \"c1\"\nlearned-from = \"c1\"",
            "goes with `advertised-to`",
        ),
        ("advertised-to = []", "the list is empty"),
        (
            "advertisedto = \"c1\"",
            "unknown key; did you mean `advertised-to`?",
        ),
    ] {
        let found = wrong(keys);
        assert!(found.contains(text), "{keys}: {found}");
        assert!(found.starts_with("t.toml:1"), "the line: {found}");
    }
    let twice = format!(
        "{}[[expect]]\nname = \"e\"\nsessions = \"c1\"\n",
        expect("sessions = \"c1\"")
    );
    assert!(parse(&twice).unwrap_err()[0].contains("the same name"));
}

#[test]
fn what_can_never_hold_is_said() {
    let warned = |text: &str| {
        let warnings = parse(text).unwrap().warnings;
        warnings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(warned(&expect("advertised-to = \"c1\"")), "");
    let deaf =
        expect("advertised-to = \"c1\"").replace("export = \"accept\"", "export = \"reject\"");
    assert!(warned(&deaf).contains("it can never hold: nothing is advertised to `c1`"));
    let mute = expect("accepted-from = \"all\"\nmin = 1")
        .replace("import = \"accept\"", "import = \"reject\"");
    assert!(warned(&mute).contains("nothing is accepted from `c1`"));
    let both = format!(
        "{}[[expect]]\nname = \"f\"\nwithin = \"10.0.0.0/8\"\nnever-advertised-to = \"all\"\n",
        expect("prefix = \"10.1.0.0/16\"\nadvertised-to = \"c1\"")
    );
    assert!(warned(&both).contains("it and `f` can never both hold"));
    let two = expect("prefix = \"10.0.0.0/8\"\nadvertised-to = \"c1\"\nmin = 2");
    assert!(warned(&two).contains("is one prefix, not 2"));
    let held = |keys: &str| {
        let text = expect(keys).replace("role =", "shutdown = true\nrole =");
        warned(&text)
    };
    assert!(held("prefix = \"10.0.0.0/8\"\nbest-from = \"c1\"").contains("holds `c1` down"));
    assert!(held("sessions = \"all\"").contains("holds `c1` down"));
    let limit = "max-prefixes = { limit = 3, action = \"block\" }\nrole =";
    let few = warned(&expect("accepted-from = \"c1\"\nmin = 9").replace("role =", limit));
    assert!(few.contains("`max-prefixes` of `c1` lets"), "{few}");
}
