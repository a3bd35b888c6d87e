//! Patterns by table, and their text.

use proptest::prelude::*;
use thruway_wire::attrs::{AttrSetBuf, RawAttr, code};

use super::*;

fn pattern(text: &str) -> CommunityPattern {
    text.parse().unwrap()
}

fn route(communities: &[&str]) -> AttrSetBuf {
    let mut set = AttrSetBuf::from_parts(
        None,
        [RawAttr {
            flags: 0x40,
            code: code::ORIGIN,
            value: &[0],
        }]
        .into_iter(),
    );
    for text in communities {
        match text.parse().unwrap() {
            AnyCommunity::Standard(value) => set.add_community(value),
            AnyCommunity::Extended(value) => set.add_community(value),
            AnyCommunity::Large(value) => set.add_community(value),
        }
    }
    set
}

#[test]
fn patterns_of_each_kind() {
    for (text, community, expected) in [
        ("65000:1", "65000:1", true),
        ("65000:1", "65000:2", false),
        ("65000:*", "65000:7", true),
        ("65000:*", "65001:7", false),
        ("*:666", "65001:666", true),
        ("65000:100-199", "65000:150", true),
        ("65000:100-199", "65000:200", false),
        ("no-export", "65535:65281", true),
        ("65000:*:*", "65000:1:2", true),
        ("65000:*:3", "65000:1:2", false),
        ("65000:*", "65000:1:2", false),
        ("rt:65000:*", "rt:65000:9", true),
        ("rt:65000:*", "soo:65000:9", false),
        ("rt:*:9", "rt:192.0.2.1:9", true),
        ("rt:192.0.2.1:*", "rt:192.0.2.1:9", true),
        ("rt:192.0.2.1:*", "rt:192.0.2.2:9", false),
        ("rt:70000-70009:*", "rt:70003L:9", true),
        ("rt:65000:*", "rt:65000L:9", false),
        ("0x43*", "0x43000001020304ff", true),
        ("0x430a*", "0x43000001020304ff", false),
        ("0x43000001020304ff", "0x43000001020304ff", true),
    ] {
        let set = route(&[community]);
        assert_eq!(
            pattern(text).matches(&set.as_ref()),
            expected,
            "{text} on {community}"
        );
        let compiled: CommunitySet = [pattern(text)].into_iter().collect();
        assert_eq!(
            compiled.matches(&set.as_ref()),
            expected,
            "set {text} on {community}"
        );
    }
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "", "1", "65536:1", "1:2:3:4", "rt:1", "rt:1:2:3", "0x", "0x1", "0xzz*", "a:b",
    ] {
        let error = text.parse::<CommunityPattern>().unwrap_err();
        assert!(
            error.contains("no community and no pattern"),
            "{text}: {error}"
        );
    }
}

#[test]
fn an_empty_set_matches_nothing() {
    let set = route(&["65000:1", "rt:65000:1", "1:2:3"]);
    assert!(CommunitySet::default().is_empty());
    assert!(!CommunitySet::default().matches(&set.as_ref()));
}

proptest! {
    #[test]
    fn text_round_trips(text in r"((rt|soo):)?(\*|[0-9]{1,5}(-[0-9]{1,6})?L?)(:(\*|[0-9]{1,4}(-[0-9]{1,5})?)){1,2}|0x[0-9a-f]{1,15}\*") {
        if let Ok(pattern) = text.parse::<CommunityPattern>() {
            prop_assert_eq!(pattern.to_string().parse(), Ok(pattern), "{}", text);
        }
    }
}

/// Parts of standard communities and two-octet administrators end at 65,535, those of large ones and
/// four-octet administrators at 4,294,967,295.
#[test]
fn numbers_have_their_bounds() {
    for good in [
        "65535:65535",
        "0:0",
        "4294967295:4294967295:4294967295",
        "rt:65535:4294967295",
        "rt:4294967295:65535",
    ] {
        assert!(good.parse::<CommunityPattern>().is_ok(), "{good}");
    }
    for bad in [
        "65536:1",
        "1:65536",
        "0-65536:1",
        "4294967296:1:1",
        "1:4294967296:1",
        "1:1:4294967296",
        "rt:65535:4294967296",
        "rt:65536:65536",
        "rt:4294967296:1",
        "2-1:1",
    ] {
        assert!(bad.parse::<CommunityPattern>().is_err(), "{bad}");
    }
}
