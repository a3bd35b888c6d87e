//! What an operator counts on, against the real binary on loopback, over both transports.

use std::net::IpAddr;

use thruway_replay::PeerOptions;
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::{
    OPEN, PATIENCE, Rig, announce, announce_with, client, client_addr, clients, expect, path_of,
    prefix, set,
};
use thruway_wire::notification::Notification;
use thruway_wire::{Community, Family, FamilySet};

on_both! {
    a_client_gets_the_next_best_where_the_best_is_its_own,
    nothing_flows_without_a_policy,
    plain_ebgp_prepends_and_offers_no_second_choice,
    peer_loss_leaves_no_route,
    a_loop_is_rejected_and_shown,
    a_policy_rejects_by_statement_and_a_reload_lets_in,
    sites_of_one_as_get_each_others_routes,
    a_limit_blocks_and_refills,
    a_limit_ends_the_session,
    a_cease_takes_the_routes_along,
    a_refresh_tells_everything_again,
    add_path_tells_all_paths,
    well_known_communities_are_obeyed,
    a_malformed_attribute_costs_the_route_only,
    sigterm_ends_sessions_with_a_cease,
    a_neighbour_in_a_range_becomes_a_peer,
    two_octet_speakers_are_understood,
    what_cannot_be_sent_gives_way_to_the_next_path,
    martians_are_rejected_unless_let_in,
}

fn a_client_gets_the_next_best_where_the_best_is_its_own(transport: &str) {
    let rig = Rig::start(transport, &clients(3, OPEN));
    let (one, two, three) = (rig.connect(1), rig.connect(2), rig.connect(3));
    announce(&one, 1, &["203.0.113.0/24"], &[64601]);
    announce(&two, 2, &["203.0.113.0/24"], &[64602, 65001]);
    let is = |wanted: &'static str| {
        move |table: &_| path_of(table, "203.0.113.0/24").as_deref() == Some(wanted)
    };
    expect(&three, "the best", is("64601"));
    expect(&two, "the best", is("64601"));
    expect(&one, "the next best", is("64602 65001"));

    let found = rig.json("explain", &["203.0.113.0/24", "--to", "c1"]);
    let found = found.as_array().expect("rows").clone();
    let of = |peer: &str| {
        found
            .iter()
            .find(|row| row["peer"] == peer)
            .expect("a row")
            .clone()
    };
    assert_eq!(of("c1")["best"], true);
    assert_eq!(of("c2")["lost"]["to"], "c1");
    assert_eq!(of("c2")["told"], "told");
    assert!(
        of("c1")["told"]
            .as_str()
            .is_some_and(|why| why.contains("own path"))
    );

    one.withdraw(&[prefix("203.0.113.0/24")]);
    expect(&three, "the other", is("64602 65001"));
    expect(&two, "nothing", |table| table.is_empty());
}

fn nothing_flows_without_a_policy(transport: &str) {
    let rig = Rig::start(transport, &clients(2, "role = \"external\""));
    let (one, _two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/24"], &[64601]);
    rig.wait_peer("c1", "/ipv4/rejected", 1);
    assert_eq!(rig.peer("c2")["ipv4"]["advertised"], 0);
    let rejected = rig.show(&["peer", "c1", "rejected"]);
    let why = rejected[0]["rejected"]
        .as_str()
        .expect("a reason")
        .to_owned();
    assert!(why.contains("no import policy"), "{why}");
    assert!(rig.log().contains("RFC 8212"));
    let notes = rig.peer("c1")["notes"].to_string();
    assert!(notes.contains("8212"), "{notes}");
}

fn plain_ebgp_prepends_and_offers_no_second_choice(transport: &str) {
    let group = "role = \"external\"\nimport = \"accept\"\nexport = \"accept\"";
    let rig = Rig::start(transport, &clients(2, group));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/24"], &[64601]);
    announce(&two, 2, &["203.0.113.0/24"], &[64602, 65001]);
    expect(&two, "our AS in front", |table| {
        path_of(table, "203.0.113.0/24").as_deref() == Some("64500 64601")
    });
    rig.wait_peer("c2", "/ipv4/accepted", 1);
    assert!(
        one.with_table(|table| table.is_empty()),
        "the best is its own: it gets nothing"
    );
    let told = rig.show(&["peer", "c2", "advertised"]);
    assert_eq!(told[0]["asPath"], "64500 64601");
}

fn peer_loss_leaves_no_route(transport: &str) {
    let rig = Rig::start(transport, &clients(2, OPEN));
    let two = rig.connect(2);
    for _ in 0..3 {
        let mut options = rig.client(1);
        // Without graceful restart on its side routes go with the session.
        options.extended_message = false;
        let one = rig.connect_as(1, options);
        announce(&one, 1, &["203.0.113.0/24", "198.51.100.0/24"], &[64601]);
        expect(&two, "routes", |table| table.len() == 2);
        drop(one);
        expect(&two, "no route", |table| table.is_empty());
        rig.wait_peer("c1", "/ipv4/received", 0);
    }
    wait_until("no path is left", PATIENCE, || {
        rig.show(&["status"])["paths"] == 0
    });
}

fn a_loop_is_rejected_and_shown(transport: &str) {
    let rig = Rig::start(transport, &clients(2, OPEN));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/24"], &[64601, 64500, 65001]);
    announce(&one, 1, &["198.51.100.0/24"], &[64601]);
    expect(&two, "the other route", |table| table.len() == 1);
    let rejected = rig.show(&["peer", "c1", "rejected"]);
    assert_eq!(rejected.as_array().map(Vec::len), Some(1));
    assert!(
        rejected[0]["rejected"].to_string().contains("64500"),
        "{rejected}"
    );
    assert_eq!(rig.peer("c1")["ipv4"]["received"], 2);
}

const POLICY: &str = "role = \"route-server-client\"\nimport = \"in\"\nexport = \"accept\"\n\
    [prefix-set.bad]\nprefixes = [\"203.0.113.0/24 le 32\"]\n\
    [policy.in]\ndefault = \"accept\"\n\
    [[policy.in.statement]]\nname = \"no-bad\"\nmatch = { prefix-set = \"bad\" }\nthen = \"reject\"\n";

fn a_policy_rejects_by_statement_and_a_reload_lets_in(transport: &str) {
    let rig = Rig::start(transport, &clients(2, POLICY));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/25", "198.51.100.0/24"], &[64601]);
    expect(&two, "what the policy lets in", |table| table.len() == 1);
    let hits = rig.peer("c1")["importPolicy"]["statements"][0].clone();
    assert_eq!(hits["statement"], "statement 1 (no-bad)");
    assert_eq!(hits["hits"], 1);
    let why = rig.show(&["peer", "c1", "rejected"])[0]["rejected"].to_string();
    assert!(why.contains("no-bad"), "{why}");

    let out = rig.reload(&clients(2, OPEN));
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    expect(&two, "everything", |table| table.len() == 2);
    let out = rig.reload(&clients(2, POLICY));
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    expect(&two, "what the policy lets in", |table| table.len() == 1);
    assert_eq!(
        rig.peer("c1")["flaps"],
        0,
        "a reload of policies resets nothing"
    );

    let out = rig.reload(&clients(2, "role = \"nonsense\""));
    assert!(!out.status.success());
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        error.contains("role") && error.contains("nonsense"),
        "{error}"
    );
    assert_eq!(rig.peer("c1")["state"], "Established");
}

/// A receiver refuses a path with its own AS in it; its policy puts ours there, and nobody else's path changes.
fn sites_of_one_as_get_each_others_routes(transport: &str) {
    let policy = "[policy.site]\ndefault = \"accept\"\n[[policy.site.statement]]\n\
                  match.to.name = [\"c2\"]\nset.as-path = { replace = [\"to\", \"65000-65001\"] }\n\
                  [policy.short]\ndefault = \"accept\"\n[[policy.short.statement]]\n\
                  set.as-path = { remove-private = true, keep-last = 2 }\n";
    let keys = "import = \"accept\"\nexport = \"site\"\n";
    let rig = Rig::start(transport, &format!("{policy}{}", clients(3, keys)));
    let (one, two, three) = (rig.connect(1), rig.connect(2), rig.connect(3));
    announce(
        &one,
        1,
        &["203.0.113.0/24"],
        &[64601, 64602, 1, 65001, 2, 3],
    );
    let is = |wanted: &'static str| {
        move |table: &_| path_of(table, "203.0.113.0/24").as_deref() == Some(wanted)
    };
    expect(
        &two,
        "ours in place of its own",
        is("64500 64601 64500 1 64500 2 3"),
    );
    expect(&three, "as it came", is("64500 64601 64602 1 65001 2 3"));
    // The two read alike on import, and a reload changes what is there.
    let text = clients(3, "import = \"short\"\nexport = \"accept\"\n");
    rig.rewrite(&format!("{policy}{text}"));
    let reload = rig.command("reload", &[]).output().expect("it runs");
    assert!(reload.status.success(), "{reload:?}");
    for speaker in [&two, &three] {
        expect(speaker, "the end of it", is("64500 2 3"));
    }
}

fn a_limit_blocks_and_refills(transport: &str) {
    let limit = format!("{OPEN}\nmax-prefixes = {{ limit = 2, action = \"block\" }}");
    let rig = Rig::start(transport, &clients(2, &limit));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/24", "198.51.100.0/24"], &[64601]);
    expect(&two, "up to the limit", |table| table.len() == 2);
    // The same routes again count once.
    announce(
        &one,
        1,
        &["203.0.113.0/24", "198.51.100.0/24"],
        &[64601, 65001],
    );
    expect(&two, "replaced", |table| {
        path_of(table, "203.0.113.0/24").as_deref() == Some("64601 65001")
    });
    announce(&one, 1, &["192.0.2.0/24"], &[64601]);
    wait_until("the log tells of the limit", PATIENCE, || {
        rig.log().contains("prefix limit")
    });
    assert_eq!(
        two.with_table(thruway_replay::speaker::ReceivedTable::len),
        2
    );
    assert_eq!(rig.peer("c1")["state"], "Established");
    one.withdraw(&[prefix("203.0.113.0/24")]);
    wait_until("the server asks for the rest", PATIENCE, || {
        !one.refreshes().is_empty()
    });
    announce(&one, 1, &["198.51.100.0/24", "192.0.2.0/24"], &[64601]);
    expect(&two, "the held-back route", |table| {
        table.get(prefix("192.0.2.0/24")).is_some()
    });
}

fn a_limit_ends_the_session(transport: &str) {
    let limit = format!("{OPEN}\nmax-prefixes = {{ limit = 1, action = \"restart\" }}");
    let rig = Rig::start(transport, &clients(2, &limit));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/24", "198.51.100.0/24"], &[64601]);
    let end = one
        .wait_until_ended(PATIENCE)
        .expect("the session ends")
        .to_string();
    assert!(end.contains("Maximum"), "{end}");
    expect(&two, "nothing", |table| table.is_empty());
}

fn a_cease_takes_the_routes_along(transport: &str) {
    let rig = Rig::start(transport, &clients(2, OPEN));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/24"], &[64601]);
    expect(&two, "a route", |table| table.len() == 1);
    one.close(Some(Notification::new(6, 4)));
    expect(&two, "no route", |table| table.is_empty());
}

fn a_refresh_tells_everything_again(transport: &str) {
    let rig = Rig::start(transport, &clients(2, OPEN));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/24", "198.51.100.0/24"], &[64601]);
    expect(&two, "routes", |table| table.len() == 2);
    let before = two.stats().announced;
    two.route_refresh(Family::Ipv4);
    wait_until("everything came again", PATIENCE, || {
        two.stats().announced >= before + 2
    });
    assert_eq!(
        two.with_table(thruway_replay::speaker::ReceivedTable::len),
        2
    );
}

fn add_path_tells_all_paths(transport: &str) {
    let group = format!("{OPEN}\nadd-path = {{ receive = true, send = \"all\" }}");
    let rig = Rig::start(transport, &clients(3, &group));
    let (one, two) = (rig.connect(1), rig.connect(2));
    let options = PeerOptions {
        add_path_receive: FamilySet::ALL,
        add_path_send: FamilySet::ALL,
        ..rig.client(3)
    };
    let three = rig.connect_as(3, options);
    announce(&one, 1, &["203.0.113.0/24"], &[64601]);
    announce(&two, 2, &["203.0.113.0/24"], &[64602, 65001]);
    expect(&three, "both paths", |table| {
        table.paths(prefix("203.0.113.0/24")).count() == 2
    });
    two.withdraw(&[prefix("203.0.113.0/24")]);
    expect(&three, "one path", |table| table.len() == 1);
    drop(one);
    expect(&three, "no path", |table| table.is_empty());
}

fn well_known_communities_are_obeyed(transport: &str) {
    let group = format!("{OPEN}\ninterpret-communities = true");
    let rig = Rig::start(transport, &clients(2, &group));
    let (one, two) = (rig.connect(1), rig.connect(2));
    let with = |community| set(&[64601], IpAddr::V4(client_addr(1)), &[community]);
    announce_with(&one, &["203.0.113.0/24"], &with(Community::NO_EXPORT));
    announce_with(&one, &["198.51.100.0/24"], &with(Community::NO_ADVERTISE));
    announce_with(&one, &["192.0.2.0/24"], &with(Community(64_601 << 16 | 1)));
    expect(&two, "the free one", |table| {
        table.get(prefix("192.0.2.0/24")).is_some()
    });
    rig.wait_peer("c1", "/ipv4/accepted", 3);
    assert_eq!(
        two.with_table(thruway_replay::speaker::ReceivedTable::len),
        1
    );
    let found = rig.json("explain", &["203.0.113.0/24", "--to", "c2"]);
    assert!(found[0]["told"].to_string().contains("1997"), "{found}");
}

fn a_malformed_attribute_costs_the_route_only(transport: &str) {
    let rig = Rig::start(transport, &clients(2, OPEN));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["203.0.113.0/24", "198.51.100.0/24"], &[64601]);
    expect(&two, "routes", |table| table.len() == 2);
    // ORIGIN 7 with a new path for one of them: treat-as-withdraw (RFC 7606 §7.1).
    let attrs = [
        &[0x40, 1, 1, 7][..],
        &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x59],
        &[0x40, 3, 4, 127, 0, 1, 1],
    ]
    .concat();
    let nlri = [24, 203, 0, 113];
    let length = u16::try_from(19 + 4 + attrs.len() + nlri.len()).expect("short");
    let mut message = vec![0xff; 16];
    message.extend(length.to_be_bytes());
    message.extend([2, 0, 0]);
    message.extend(u16::try_from(attrs.len()).expect("short").to_be_bytes());
    message.extend(attrs);
    message.extend(nlri);
    one.send(message);
    expect(&two, "one route less", |table| table.len() == 1);
    assert_eq!(rig.peer("c1")["state"], "Established");
    assert_eq!(rig.peer("c1")["updateErrors"][1], 1);
    wait_until("it is logged", PATIENCE, || rig.log().contains("RFC 7606"));
}

fn sigterm_ends_sessions_with_a_cease(transport: &str) {
    let mut rig = Rig::start(transport, &clients(1, OPEN));
    let one = rig.connect(1);
    assert_eq!(rig.terminate(), Some(0), "{}", rig.log());
    let end = one
        .wait_until_ended(PATIENCE)
        .expect("the session ends")
        .to_string();
    assert!(end.contains("Administrative Shutdown"), "{end}");
}

fn a_neighbour_in_a_range_becomes_a_peer(transport: &str) {
    let range = format!(
        "{}[[peer]]\nname = \"lab\"\nprefix = \"127.0.1.0/24\"\nasn = \"any\"\ngroup = \"clients\"\n",
        clients(1, OPEN)
    );
    let rig = Rig::start(transport, &range);
    let (one, nine) = (rig.connect(1), rig.connect(9));
    announce(&nine, 9, &["203.0.113.0/24"], &[64609]);
    expect(&one, "the route of the range's peer", |table| {
        table.len() == 1
    });
    let peers = rig.show(&["peers"]);
    let dynamic = peers
        .as_array()
        .expect("a list")
        .iter()
        .filter(|peer| peer["dynamic"] == true);
    assert_eq!(dynamic.count(), 1);
    drop(nine);
    expect(&one, "nothing", |table| table.is_empty());
    wait_until("the peer is gone", PATIENCE, || {
        rig.show(&["peers"])
            .as_array()
            .is_some_and(|peers| peers.len() == 1)
    });
}

fn two_octet_speakers_are_understood(transport: &str) {
    let rig = Rig::start(transport, &format!("{}{}", clients(2, OPEN), client(3, "")));
    let old = PeerOptions {
        as4: false,
        ..rig.client(2)
    };
    let (one, two) = (rig.connect(1), rig.connect_as(2, old));
    announce(&one, 1, &["203.0.113.0/24"], &[64601, 4_200_000_009]);
    // AS_PATH with AS_TRANS and AS4_PATH; the speaker's parser merges them again.
    expect(&two, "the path is whole", |table| {
        path_of(table, "203.0.113.0/24").as_deref() == Some("64601 4200000009")
    });
}

fn what_cannot_be_sent_gives_way_to_the_next_path(transport: &str) {
    let mut text = clients(3, OPEN);
    text = text.replace(
        "address = \"127.0.1.1\"",
        "address = \"127.0.1.1\"\nextended-next-hop = true",
    );
    let rig = Rig::start(transport, &text);
    let mut options = rig.client(1);
    options.extended_next_hop = true;
    let (one, two) = (rig.connect_as(1, options), rig.connect(2));
    let three = rig.connect(3);
    let (hidden, alone) = ("203.0.113.0/24", "198.51.100.0/24");
    let far: IpAddr = "2001:db8::9".parse().expect("an address");
    announce_with(&one, &[hidden, alone], &set(&[64601], far, &[]));
    announce(&two, 2, &[hidden], &[64602, 64999, 64999]);
    expect(&three, "the path that can be sent", |table| {
        path_of(table, hidden).as_deref() == Some("64602 64999 64999")
    });
    // What was not sent is neither listed nor counted, and explain says why.
    rig.wait_peer("c3", "/ipv4/advertised", 1);
    let listed = rig.show(&["peer", "c3", "advertised"]);
    let networks: Vec<&str> = listed
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["network"].as_str())
        .collect();
    assert_eq!(networks, [hidden]);
    for prefix in [hidden, alone] {
        let rows = rig.json("explain", &[prefix, "--to", "c3"]);
        let mut rows = rows.as_array().expect("rows").iter();
        let row = rows.find(|row| row["peer"] == "c1").expect("its path");
        let why = row["told"].as_str().unwrap_or_default();
        assert!(why.contains("next hop"), "{prefix}: {why}");
    }
    assert!(
        rig.peer("c3")["unsendable"]
            .as_u64()
            .is_some_and(|count| count > 0)
    );
    assert!(
        rig.log().contains("some routes cannot be sent to it"),
        "{}",
        rig.log()
    );
}

fn martians_are_rejected_unless_let_in(transport: &str) {
    let rig = Rig::start(transport, &clients(2, OPEN));
    let (one, two) = (rig.connect(1), rig.connect(2));
    let martians = [
        "0.0.0.0/8",
        "127.1.0.0/16",
        "169.254.7.0/24",
        "224.0.0.0/4",
        "240.0.0.0/5",
    ];
    announce(&one, 1, &martians, &[64601]);
    announce(&one, 1, &["0.0.0.0/0", "203.0.113.0/24"], &[64601]);
    rig.wait_peer("c1", "/ipv4/rejected", martians.len());
    let rejected = rig.show(&["peer", "c1", "rejected"]);
    let why = rejected[0]["rejected"].as_str().unwrap_or_default();
    assert!(why.contains("martian"), "{why}");
    expect(&two, "the two routes", |table| table.len() == 2);
    let keys = format!("{OPEN}\nallow-martians = \"127.0.0.0/8\"");
    let done = rig.reload(&clients(2, &keys));
    assert!(done.status.success());
    expect(&two, "the one that was let in", |table| {
        table.len() == 3 && path_of(table, "127.1.0.0/16").is_some()
    });
}
