//! Each condition and each change by table; the order of statements; what memos may rely on.

use std::net::IpAddr;

use thruway_wire::attrs::{AttrSetRef, RawAttr, code};
use thruway_wire::{Asn, Family, NextHop, Prefix, RouterId};

use super::*;
use crate::{
    AnyCommunity, AsPathChange, AsPathExpression, AsnRange, ChangeDef, CompileOptions, MatchDef,
    MedChange, NextHopChange, PeerFacts, PeerMatch, PolicyDef, Prepend, PrependAs, SetDefs,
    SetMatch, StatementDef, compile,
};

const OWN: Asn = Asn(64500);

/// Path `64601 64602 {1,2}`-free: a sequence; MED 20; a community of each kind.
fn route() -> AttrSetBuf {
    let path = [2, 2, 0, 0, 0xfc, 0x59, 0, 0, 0xfc, 0x5a];
    let attrs = [
        RawAttr {
            flags: 0x40,
            code: code::ORIGIN,
            value: &[0],
        },
        RawAttr {
            flags: 0x40,
            code: code::AS_PATH,
            value: &path,
        },
        RawAttr {
            flags: 0x80,
            code: code::MED,
            value: &[0, 0, 0, 20],
        },
        RawAttr {
            flags: 0xc0,
            code: code::COMMUNITIES,
            value: &[0xfc, 0x59, 0, 1],
        },
        RawAttr {
            flags: 0xc0,
            code: code::EXTENDED_COMMUNITIES,
            value: &[0, 2, 0xfc, 0x59, 0, 0, 0, 1],
        },
        RawAttr {
            flags: 0xc0,
            code: code::LARGE_COMMUNITIES,
            value: &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
        },
    ];
    let hop: IpAddr = "192.0.2.9".parse().unwrap();
    AttrSetBuf::from_parts(Some(NextHop::from(hop)), attrs.into_iter())
}

fn from() -> PeerFacts {
    let addr = "198.18.1.1".parse().unwrap();
    let local_v4 = Some("198.18.0.1".parse().unwrap());
    PeerFacts {
        local_v4,
        ..PeerFacts::new("c1", Asn(64601), addr, RouterId(1))
    }
}

fn to() -> PeerFacts {
    let addr = "198.18.1.2".parse().unwrap();
    let local_v4 = Some("198.18.0.2".parse().unwrap());
    PeerFacts {
        local_v4,
        ..PeerFacts::new("c2", Asn(64605), addr, RouterId(2))
    }
}

fn sets() -> SetDefs {
    let mut sets = SetDefs::default();
    sets.prefix_sets
        .insert("nets".into(), vec!["10.0.0.0/8 le 24".parse().unwrap()]);
    sets.prefix_sets
        .insert("hops".into(), vec!["192.0.2.0/24".parse().unwrap()]);
    sets.community_sets
        .insert("marks".into(), vec!["64601:*".parse().unwrap()]);
    sets.as_sets
        .insert("clients".into(), vec!["64600-64609".parse().unwrap()]);
    sets.as_path_sets
        .insert("paths".into(), vec!["_64602$".parse().unwrap()]);
    sets
}

fn policy(default_accept: bool, statements: Vec<StatementDef>) -> Arc<Policy> {
    let def = PolicyDef {
        name: "p".into(),
        default_accept,
        statements,
    };
    let options = CompileOptions {
        version: 7,
        own_as: OWN,
    };
    Arc::clone(compile(&[def], &sets(), options).unwrap().get("p").unwrap())
}

struct Judged {
    outcome: Outcome,
    out: AttrSetBuf,
    hits: Hits,
}

fn judge(policy: &Policy, prefix: &str, export: bool) -> Judged {
    let (set, peer, to) = (route(), from(), to());
    let prefix: Prefix = prefix.parse().unwrap();
    let ctx = RouteContext {
        peer: &peer,
        family: prefix.family(),
        prefix,
        set: set.as_ref(),
        to: export.then_some(&to),
    };
    let mut judged = Judged {
        outcome: Outcome::Accept,
        out: AttrSetBuf::default(),
        hits: Hits::new(policy),
    };
    judged.outcome = policy.evaluate(&ctx, &mut judged.out, &mut judged.hits);
    judged
}

fn accepts(matches: MatchDef, prefix: &str, export: bool) -> bool {
    let statement = StatementDef {
        matches,
        then: Verdict::Accept,
        ..StatementDef::default()
    };
    match judge(&policy(false, vec![statement]), prefix, export).outcome {
        Outcome::Accept => true,
        Outcome::Reject {
            statement: Outcome::DEFAULT,
        } => false,
        other => panic!("{other:?}"),
    }
}

fn values<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> SetMatch<T> {
    SetMatch {
        values: texts.iter().map(|text| text.parse().unwrap()).collect(),
        sets: vec![],
    }
}

fn named<T>(name: &str) -> SetMatch<T> {
    SetMatch {
        values: vec![],
        sets: vec![name.into()],
    }
}

/// Conditions in the serialised form, and whether the route to 10.1.0.0/16 meets them.
const CONDITIONS: &[(&str, bool)] = &[
    (r"{}", true),
    (r#"{"family": "ipv4"}"#, true),
    (r#"{"family": "ipv6"}"#, false),
    (r#"{"prefix": {"values": ["10.0.0.0/8 le 16"]}}"#, true),
    (r#"{"prefix": {"values": ["10.0.0.0/8"]}}"#, false),
    (r#"{"prefix": {"sets": ["nets"]}}"#, true),
    (r#"{"prefix": {"sets": ["hops"]}}"#, false),
    (
        r#"{"prefix": {"values": ["10.0.0.0/8"], "sets": ["hops", "nets"]}}"#,
        true,
    ),
    (r#"{"next-hop": {"sets": ["hops"]}}"#, true),
    (r#"{"next-hop": {"values": ["192.0.2.8"]}}"#, false),
    (r#"{"as-path": {"values": ["^64601_"]}}"#, true),
    (r#"{"as-path": {"values": ["^64602_"]}}"#, false),
    (r#"{"as-path": {"sets": ["paths"]}}"#, true),
    (r#"{"origin-as": {"values": ["64602"]}}"#, true),
    (r#"{"origin-as": {"values": ["64601"]}}"#, false),
    (r#"{"origin-as": {"sets": ["clients"]}}"#, true),
    (r#"{"neighbor-as": {"values": ["64601"]}}"#, true),
    (r#"{"neighbor-as": {"values": ["64602"]}}"#, false),
    (r#"{"as-path-contains": {"values": ["64602"]}}"#, true),
    (r#"{"as-path-contains": {"values": ["64603"]}}"#, false),
    (r#"{"as-path-length": {"ge": 2, "le": 2}}"#, true),
    (r#"{"as-path-length": {"ge": 3, "le": 9}}"#, false),
    (r#"{"as-path-length": {"ge": 0, "le": 1}}"#, false),
    (r#"{"community": {"values": ["9:9", "1:*:3"]}}"#, true),
    (r#"{"community": {"values": ["9:9"]}}"#, false),
    (r#"{"community": {"sets": ["marks"]}}"#, true),
    (
        r#"{"community-all": ["64601:1", "rt:64601:*", "1:2:3"]}"#,
        true,
    ),
    (r#"{"community-all": ["64601:1", "64601:2"]}"#, false),
    (
        r#"{"peer": {"name": ["c1"], "asn": ["64601"], "address": ["198.18.1.0/24"]}}"#,
        true,
    ),
    (r#"{"peer": {"name": ["c2"], "asn": ["64601"]}}"#, false),
    (r#"{"peer": {"name": ["c1"], "asn": ["64602"]}}"#, false),
    (r#"{"peer": {"address": ["198.18.1.2"]}}"#, false),
    (
        r#"{"prefix": {"sets": ["nets"]}, "neighbor-as": {"values": ["1"]}}"#,
        false,
    ),
];

#[test]
fn each_condition_holds_and_fails() {
    for (text, expected) in CONDITIONS {
        let matches = serde_json::from_str(text).unwrap();
        assert_eq!(accepts(matches, "10.1.0.0/16", false), *expected, "{text}");
    }
}

fn peer(name: &[&str], asn: &[&str], address: &[&str]) -> PeerMatch {
    PeerMatch {
        name: name.iter().map(|name| (*name).to_owned()).collect(),
        asn: values(asn).values,
        address: address.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

#[test]
fn the_receiver_is_asked_on_export_alone() {
    let matches = MatchDef {
        to: peer(&["c2"], &[], &[]),
        ..MatchDef::default()
    };
    assert!(accepts(matches.clone(), "10.0.0.0/8", true));
    assert!(!accepts(matches, "10.0.0.0/8", false));
}

fn changed(set: ChangeDef, prefix: &str, export: bool) -> Judged {
    let statement = StatementDef {
        set,
        then: Verdict::Accept,
        ..StatementDef::default()
    };
    judge(&policy(false, vec![statement]), prefix, export)
}

fn communities(set: AttrSetRef<'_>) -> String {
    let standard = set.communities().map(AnyCommunity::Standard);
    let extended = set.extended_communities().map(AnyCommunity::Extended);
    let large = set.large_communities().map(AnyCommunity::Large);
    let all: Vec<String> = standard
        .chain(extended)
        .chain(large)
        .map(|one| one.to_string())
        .collect();
    all.join(" ")
}

#[test]
fn numbers_and_path_change() {
    let none = ChangeDef::default;
    let med = |change| ChangeDef {
        med: Some(change),
        ..none()
    };
    let prepend = |asn, count| ChangeDef {
        prepend: Some(Prepend { asn, count }),
        ..none()
    };
    let pref = changed(
        ChangeDef {
            local_pref: Some(200),
            ..none()
        },
        "10.0.0.0/8",
        false,
    );
    assert_eq!(pref.outcome, Outcome::AcceptChanged);
    assert_eq!(pref.out.as_ref().local_pref(), Some(200));
    for (change, expected) in [
        (MedChange::Set(7), Some(7)),
        (MedChange::Add(5), Some(25)),
        (MedChange::Add(u32::MAX), Some(u32::MAX)),
        (MedChange::Subtract(5), Some(15)),
        (MedChange::Subtract(50), Some(0)),
        (MedChange::Remove, None),
    ] {
        let judged = changed(med(change), "10.0.0.0/8", false);
        assert_eq!(judged.out.as_ref().med(), expected, "{change:?}");
    }
    for (asn, count, expected) in [
        (PrependAs::Own, 2, "64500 64500 64601 64602"),
        (PrependAs::Peer, 1, "64601 64601 64602"),
        (PrependAs::Asn(Asn(7)), 1, "7 64601 64602"),
    ] {
        let judged = changed(prepend(asn, count), "10.0.0.0/8", true);
        assert_eq!(judged.out.as_ref().as_path().to_string(), expected);
    }
}

#[test]
fn paths_change_before_anything_is_put_in_front() {
    let range = |text: &str| -> AsnRange { text.parse().unwrap() };
    let with = |as_path: AsPathChange, prepend| ChangeDef {
        as_path,
        prepend,
        ..ChangeDef::default()
    };
    let none = AsPathChange::default();
    let twice = Prepend {
        asn: PrependAs::Own,
        count: 2,
    };
    for (change, prepend, export, expected) in [
        (
            AsPathChange {
                replace: vec![range("64602-64700")],
                ..none.clone()
            },
            None,
            false,
            "64601 64500",
        ),
        (
            AsPathChange {
                replace_peer: true,
                ..none.clone()
            },
            None,
            false,
            "64500 64602",
        ),
        (
            AsPathChange {
                keep_last: Some(1),
                ..none.clone()
            },
            Some(twice),
            true,
            "64500 64500 64602",
        ),
        (
            AsPathChange {
                replace: vec![range("64601")],
                remove_private: true,
                ..none.clone()
            },
            None,
            true,
            "64500",
        ),
    ] {
        let judged = changed(with(change.clone(), prepend), "10.0.0.0/8", export);
        let path = judged.out.as_ref().as_path().to_string();
        assert_eq!(path, expected, "{change:?}");
    }
}

/// The receiver's AS is in no path of the other tests.
#[test]
fn the_receivers_as_is_replaced_on_the_way_to_it() {
    let to_receiver = AsPathChange {
        replace: vec![],
        replace_to: true,
        ..AsPathChange::default()
    };
    let ours = ChangeDef {
        as_path: to_receiver,
        ..ChangeDef::default()
    };
    let behind = ChangeDef {
        prepend: Some(Prepend {
            asn: PrependAs::Asn(to().asn),
            count: 1,
        }),
        ..ChangeDef::default()
    };
    let statements = |first: ChangeDef, second: ChangeDef| {
        [first, second].map(|set| StatementDef {
            set,
            ..StatementDef::default()
        })
    };
    let policy = policy(true, statements(behind, ours).into());
    let exported = judge(&policy, "10.0.0.0/8", true);
    assert_eq!(
        exported.out.as_ref().as_path().to_string(),
        "64500 64601 64602"
    );
    let imported = judge(&policy, "10.0.0.0/8", false);
    assert_eq!(
        imported.out.as_ref().as_path().to_string(),
        "64605 64601 64602"
    );
    assert!(policy.uses_to() && !policy.uses_peer());
}

#[test]
fn communities_change() {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    for (replace, remove, remove_set, add, expected) in [
        (
            &[][..],
            &[][..],
            "",
            &["64500:9", "rt:1:1", "9:9:9"][..],
            "64601:1 64500:9 rt:64601:1 rt:1:1 1:2:3 9:9:9",
        ),
        (&[], &["64601:*"], "", &[], "rt:64601:1 1:2:3"),
        (&[], &["*:*", "*:*:*", "rt:*:*"], "", &[], ""),
        (&[], &[], "marks", &["1:1"], "1:1 rt:64601:1 1:2:3"),
        (
            &["5:5", "5:5", "6:6"],
            &[],
            "",
            &[],
            "5:5 6:6 rt:64601:1 1:2:3",
        ),
        (
            &["5:5:5"],
            &["5:5:*"],
            "",
            &["7:7:7"],
            "64601:1 rt:64601:1 7:7:7",
        ),
    ] {
        let community = crate::CommunityChange {
            replace: parse(replace),
            remove: patterns(remove),
            remove_sets: if remove_set.is_empty() {
                vec![]
            } else {
                vec![remove_set.into()]
            },
            add: parse(add),
        };
        let judged = changed(
            ChangeDef {
                community,
                ..ChangeDef::default()
            },
            "10.0.0.0/8",
            false,
        );
        assert_eq!(judged.outcome, Outcome::AcceptChanged);
        assert_eq!(communities(judged.out.as_ref()), expected);
    }
}

#[test]
fn next_hops_change_within_the_family() {
    let change = |next_hop| ChangeDef {
        next_hop: Some(next_hop),
        ..ChangeDef::default()
    };
    let address = NextHopChange::Address("203.0.113.1".parse().unwrap());
    for (next_hop, export, expected) in [
        (address, false, "203.0.113.1"),
        (NextHopChange::Own, false, "198.18.0.1"),
        (NextHopChange::Own, true, "198.18.0.2"),
        (NextHopChange::Peer, true, "198.18.1.1"),
    ] {
        let judged = changed(change(next_hop), "10.0.0.0/8", export);
        assert_eq!(
            judged.out.as_ref().next_hop().unwrap().to_string(),
            expected,
            "{next_hop:?}"
        );
    }
    for next_hop in [address, NextHopChange::Own, NextHopChange::Peer] {
        let judged = changed(change(next_hop), "2001:db8::/32", true);
        assert_eq!(
            judged.outcome,
            Outcome::Accept,
            "{next_hop:?} does not fit an IPv6 route"
        );
    }
}

fn statement(matches: MatchDef, set: ChangeDef, then: Verdict) -> StatementDef {
    StatementDef {
        name: String::new(),
        matches,
        set,
        then,
    }
}

#[test]
fn later_statements_see_changes_and_the_first_verdict_counts() {
    let add = |text: &str| ChangeDef {
        community: crate::CommunityChange {
            add: vec![text.parse().unwrap()],
            ..crate::CommunityChange::default()
        },
        ..ChangeDef::default()
    };
    let on = |text: &str| MatchDef {
        community: values(&[text]),
        ..MatchDef::default()
    };
    let policy = policy(
        true,
        vec![
            statement(on("8:8"), ChangeDef::default(), Verdict::Reject),
            statement(MatchDef::default(), add("8:8"), Verdict::Continue),
            statement(on("8:8"), ChangeDef::default(), Verdict::Reject),
            statement(MatchDef::default(), ChangeDef::default(), Verdict::Accept),
        ],
    );
    let judged = judge(&policy, "10.0.0.0/8", false);
    assert_eq!(judged.outcome, Outcome::Reject { statement: 2 });
    assert_eq!(
        judged.hits,
        Hits {
            statements: vec![0, 1, 1, 0],
            default: 0
        }
    );
    assert_eq!(policy.statement_label(2), "statement 3");
    assert_eq!(policy.statement_label(Outcome::DEFAULT), "end of policy");
}

#[test]
fn the_end_of_a_policy_rejects_unless_told() {
    let judged = judge(&policy(false, vec![]), "10.0.0.0/8", false);
    assert_eq!(
        judged.outcome,
        Outcome::Reject {
            statement: Outcome::DEFAULT
        }
    );
    assert_eq!(judged.hits.default, 1);
    assert_eq!(
        judge(&policy(true, vec![]), "10.0.0.0/8", false).outcome,
        Outcome::Accept
    );
    let med = ChangeDef {
        med: Some(MedChange::Set(1)),
        ..ChangeDef::default()
    };
    let judged = judge(
        &policy(
            true,
            vec![statement(MatchDef::default(), med, Verdict::Continue)],
        ),
        "10.0.0.0/8",
        false,
    );
    assert_eq!(judged.outcome, Outcome::AcceptChanged);
    assert_eq!(judged.out.as_ref().med(), Some(1));
}

#[test]
fn changes_that_cancel_out_are_no_change() {
    let med = |change| ChangeDef {
        med: Some(change),
        ..ChangeDef::default()
    };
    let all = MatchDef::default;
    let policy = policy(
        true,
        vec![
            statement(all(), med(MedChange::Add(3)), Verdict::Continue),
            statement(all(), med(MedChange::Subtract(3)), Verdict::Continue),
        ],
    );
    assert_eq!(judge(&policy, "10.0.0.0/8", false).outcome, Outcome::Accept);
}

#[test]
fn uses_name_what_a_memo_must_hold_apart() {
    let uses = |matches: MatchDef, set: ChangeDef| {
        let policy = policy(false, vec![statement(matches, set, Verdict::Accept)]);
        [policy.uses_prefix(), policy.uses_peer(), policy.uses_to()]
    };
    let (any, same) = (MatchDef::default, ChangeDef::default);
    let path: SetMatch<AsPathExpression> = values(&["^1_"]);
    assert_eq!(
        uses(
            MatchDef {
                as_path: path,
                ..any()
            },
            same()
        ),
        [false; 3]
    );
    let prefix = MatchDef {
        prefix: named("nets"),
        ..any()
    };
    assert_eq!(uses(prefix, same()), [true, false, false]);
    let from = MatchDef {
        peer: peer(&["c1"], &[], &[]),
        ..any()
    };
    assert_eq!(uses(from, same()), [false, true, false]);
    let to = MatchDef {
        to: peer(&["c1"], &[], &[]),
        ..any()
    };
    assert_eq!(uses(to, same()), [false, false, true]);
    let family = MatchDef {
        family: Some(Family::Ipv4),
        ..any()
    };
    assert_eq!(uses(family, same()), [false; 3], "memos are a family's");
    for (next_hop, expected) in [
        (NextHopChange::Peer, [false, true, false]),
        (
            NextHopChange::Address(IpAddr::from([192, 0, 2, 1])),
            [false; 3],
        ),
    ] {
        let change = ChangeDef {
            next_hop: Some(next_hop),
            ..same()
        };
        assert_eq!(uses(any(), change), expected);
    }
    let own = ChangeDef {
        next_hop: Some(NextHopChange::Own),
        ..same()
    };
    assert_eq!(uses(any(), own), [false, true, true]);
    let prepend = Prepend {
        asn: PrependAs::Peer,
        count: 1,
    };
    let prepend = ChangeDef {
        prepend: Some(prepend),
        ..same()
    };
    assert_eq!(uses(any(), prepend), [false, true, false]);
}

#[test]
fn built_in_policies_are_shared_and_have_version_0() {
    assert!(Arc::ptr_eq(&Policy::accept(), &Policy::accept()));
    assert_eq!(
        (Policy::reject().name(), Policy::reject().version()),
        ("reject", 0)
    );
    assert_eq!(
        judge(&Policy::accept(), "::/0", false).outcome,
        Outcome::Accept
    );
    let rejected = judge(&Policy::reject(), "::/0", true);
    assert_eq!(
        rejected.outcome,
        Outcome::Reject {
            statement: Outcome::DEFAULT
        }
    );
    assert_eq!(policy(true, vec![]).version(), 7);
}

#[test]
fn hits_of_shards_add_up() {
    let hits = |statements: [u64; 2], default| Hits {
        statements: statements.to_vec(),
        default,
    };
    let mut sum = hits([1, 20], 300);
    sum.add(&hits([4000, 50_000], 600_000));
    assert_eq!(sum, hits([4001, 50_020], 600_300));
}
