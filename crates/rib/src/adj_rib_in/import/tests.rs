//! Each check alone, their order, and what holds after every policy.

use std::sync::Arc;

use thruway_wire::Ipv4Prefix;
use thruway_wire::attrs::{AttrSet, OPTIONAL, RawAttr, TRANSITIVE, code};

use super::*;
use crate::ShardId;
use crate::adj_rib_in::peers::Peers;
use crate::tests::{path, profile, v4};

fn fault(change: impl FnOnce(&mut PeerProfile), set: &AttrSetBuf) -> Option<Rejection> {
    let mut profile = profile(1);
    change(&mut profile);
    hygiene(&profile, set.as_ref())
}

fn with(change: impl FnOnce(&mut AttrSetBuf)) -> AttrSetBuf {
    let mut set = path(&[64601, 64602]);
    change(&mut set);
    set
}

fn segments(value: &[u8]) -> AttrSetBuf {
    let attrs = [(code::ORIGIN, &[0][..]), (code::AS_PATH, value)];
    let attr = |(code, value)| RawAttr {
        flags: TRANSITIVE,
        code,
        value,
    };
    let next_hop = Some(NextHop::V4([192, 0, 2, 1].into()));
    AttrSetBuf::from_parts(next_hop, attrs.into_iter().map(attr))
}

#[test]
fn a_good_path_passes() {
    assert_eq!(fault(|_| {}, &path(&[64601, 64602])), None);
}

#[test]
fn our_own_as_is_a_loop_unless_allowed() {
    let set = path(&[64601, 64500, 64500]);
    assert_eq!(fault(|_| {}, &set), Some(Rejection::AsLoop(Asn(64500))));
    assert_eq!(fault(|p| p.hygiene.allow_own_as = 2, &set), None);
    assert!(fault(|p| p.hygiene.allow_own_as = 1, &set).is_some());
}

#[test]
fn as_zero_and_sets_and_confederations_are_refused() {
    assert_eq!(fault(|_| {}, &path(&[64601, 0])), Some(Rejection::AsZero));
    let set = segments(&[2, 1, 0, 0, 0xfc, 0x59, 1, 1, 0, 0, 0, 7]);
    assert_eq!(fault(|_| {}, &set), Some(Rejection::AsSet));
    assert_eq!(fault(|p| p.hygiene.allow_as_sets = true, &set), None);
    let confed = segments(&[3, 1, 0, 0, 0, 7, 2, 1, 0, 0, 0xfc, 0x59]);
    assert_eq!(fault(|_| {}, &confed), Some(Rejection::Confederation));
}

#[test]
fn the_first_as_must_be_an_external_peers_own() {
    let set = path(&[64602]);
    let expect = Rejection::FirstAs {
        found: Asn(64602),
        expected: Asn(64601),
    };
    assert_eq!(
        fault(|p| p.hygiene.enforce_first_as = true, &set),
        Some(expect)
    );
    let internal = |p: &mut PeerProfile| (p.hygiene.enforce_first_as, p.internal) = (true, true);
    assert_eq!(fault(internal, &set), None);
    assert_eq!(fault(|_| {}, &set), None);
}

#[test]
fn long_paths_are_refused_above_the_limit_only() {
    let set = path(&[64601; 3]);
    assert_eq!(fault(|p| p.hygiene.as_path_max = 3, &set), None);
    let expect = Rejection::PathTooLong { len: 3, max: 2 };
    assert_eq!(fault(|p| p.hygiene.as_path_max = 2, &set), Some(expect));
}

#[test]
fn a_reflectors_loops_are_seen() {
    let originator = with(|set| set.set_raw(code::ORIGINATOR_ID, OPTIONAL, &[0, 0, 0, 99]));
    assert_eq!(
        fault(|_| {}, &originator),
        Some(Rejection::OriginatorLoop(RouterId(99)))
    );
    let cluster = with(|set| set.set_raw(code::CLUSTER_LIST, OPTIONAL, &[0, 0, 0, 7, 0, 0, 0, 98]));
    assert_eq!(
        fault(|_| {}, &cluster),
        Some(Rejection::ClusterLoop(RouterId(98)))
    );
    assert_eq!(
        fault(|p| p.hygiene.cluster_id = RouterId(97), &cluster),
        None
    );
}

#[test]
fn next_hops_are_checked_as_the_peer_is_configured() {
    let hop = |text: &str| {
        let addr: IpAddr = text.parse().unwrap();
        with(|set| set.set_next_hop(Some(addr.into())))
    };
    let passes = |check: &NextHopCheck, text: &str| {
        fault(|p| p.hygiene.next_hop = check.clone(), &hop(text)).is_none()
    };
    let peer = NextHopCheck::Peer;
    assert!(passes(&peer, "192.0.2.1") && passes(&peer, "::ffff:192.0.2.1"));
    assert!(!passes(&peer, "192.0.2.2"));
    let same = NextHopCheck::SameAs(Arc::new(["192.0.2.9".parse().unwrap()]));
    assert!(passes(&same, "192.0.2.9") && passes(&same, "192.0.2.1"));
    assert!(!passes(&same, "192.0.2.8"));
    let subnet = NextHopCheck::Subnet(Arc::new(["192.0.2.0/29".parse().unwrap()]));
    assert!(passes(&subnet, "192.0.2.7") && !passes(&subnet, "192.0.2.8"));
    for bad in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.0.9",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:240.0.0.1",
    ] {
        assert!(!passes(&NextHopCheck::Any, bad), "{bad}");
    }
    let why = fault(|_| {}, &hop("127.0.0.1"))
        .expect("it is refused")
        .to_string();
    assert_eq!(
        why,
        "next hop 127.0.0.1 cannot be resolved: a loopback address"
    );
    // A peer on this machine may mean it.
    let local = |p: &mut PeerProfile| p.addr = [127, 0, 1, 1].into();
    assert_eq!(fault(local, &hop("127.0.0.9")), None);
    assert!(fault(local, &hop("240.0.0.1")).is_some());
    assert!(passes(&NextHopCheck::Any, "198.51.100.1"));
    let ours = |text: &str| {
        let local = |p: &mut PeerProfile| {
            p.local = (Some([198, 51, 100, 9].into()), "2001:db8::9".parse().ok());
        };
        fault(local, &hop(text)).is_some()
    };
    assert!(ours("198.51.100.9") && ours("2001:db8::9") && ours("::ffff:198.51.100.9"));
    assert!(!ours("198.51.100.1") && !ours("2001:db8::1") && !ours("192.0.2.1"));
    let same_machine = |p: &mut PeerProfile| p.local.0 = Some([192, 0, 2, 1].into());
    assert_eq!(fault(same_machine, &hop("192.0.2.1")), None);
    let none = with(|set| set.set_next_hop(None));
    assert_eq!(fault(|_| {}, &none), Some(Rejection::NextHop(None)));
    let link_local = NextHop::V6LinkLocal {
        global: "2001:db8::1".parse().unwrap(),
        link_local: "fe80::1".parse().unwrap(),
    };
    let set = with(|set| set.set_next_hop(Some(link_local)));
    let check = |p: &mut PeerProfile| {
        (p.addr, p.hygiene.next_hop) = ("fe80::1".parse().unwrap(), NextHopCheck::Peer);
    };
    assert_eq!(fault(check, &set), None);
}

/// RFC 4271 §6.3, for our address on the link as for the others.
#[test]
fn our_link_local_address_is_nobody_s_way() {
    let alone: IpAddr = "fe80::11".parse().unwrap();
    let alone = with(|set| set.set_next_hop(Some(alone.into())));
    let on_link = |p: &mut PeerProfile| p.link_local = "fe80::11".parse().ok();
    let beside = |text: &str| NextHop::V6LinkLocal {
        global: "2001:db8::1".parse().unwrap(),
        link_local: text.parse().unwrap(),
    };
    let of_link = |text: &str| with(|set| set.set_next_hop(Some(beside(text))));
    assert!(fault(on_link, &alone).is_some());
    assert!(fault(on_link, &of_link("fe80::11")).is_some());
    assert_eq!(fault(on_link, &of_link("fe80::12")), None);
}

#[test]
fn the_first_check_that_fails_names_the_reason() {
    let mut set = path(&[64602, 64500, 0]);
    set.set_next_hop(None);
    let strict = |p: &mut PeerProfile| p.hygiene.enforce_first_as = true;
    assert!(matches!(fault(strict, &set), Some(Rejection::AsLoop(_))));
    let mut set = path(&[64602, 0]);
    set.set_next_hop(None);
    assert_eq!(fault(strict, &set), Some(Rejection::AsZero));
    let mut set = path(&[64602]);
    set.set_next_hop(None);
    assert!(matches!(
        fault(strict, &set),
        Some(Rejection::FirstAs { .. })
    ));
}

/// Judges one set for one peer; returns what is accepted.
fn judge(profile: PeerProfile, set: &AttrSetBuf, long_lived: bool) -> Option<AttrSet> {
    let mut sets = Sets::new(ShardId(0), 1);
    let mut peers = Peers::default();
    let handle = Handle::new(0, 3);
    sets.put(handle, AttrSet::new(set.as_ref()));
    peers.set(&Arc::new(profile));
    let peer = peers.get_mut(crate::PeerId(1)).unwrap();
    let mut scratch = AttrSetBuf::default();
    let family = Family::Ipv4;
    let mut importer = Importer {
        peer,
        sets: &mut sets,
        scratch: &mut scratch,
        family,
        long_lived,
    };
    let prefix: Ipv4Prefix = v4("10.0.0.0/8");
    let accepted = importer.judge(handle, || prefix.into());
    let again = importer.judge(handle, || panic!("the verdict was remembered"));
    assert_eq!(accepted, again);
    sets.get(accepted).cloned()
}

#[test]
fn graceful_shutdown_makes_an_external_path_the_last_choice() {
    let set = with(|set| set.add_community(Community::GRACEFUL_SHUTDOWN));
    let pref = |change: fn(&mut PeerProfile)| {
        let mut profile = profile(1);
        change(&mut profile);
        judge(profile, &set, false).unwrap().as_ref().local_pref()
    };
    assert_eq!(pref(|_| {}), Some(0));
    assert_eq!(pref(|p| p.internal = true), None);
    assert_eq!(pref(|p| p.hygiene.interpret_communities = false), None);
}

#[test]
fn a_long_lived_path_says_so() {
    let stale = judge(profile(1), &path(&[64601]), true).unwrap();
    assert!(
        stale
            .as_ref()
            .communities()
            .any(|c| c == Community::LLGR_STALE)
    );
    let fresh = judge(profile(1), &path(&[64601]), false).unwrap();
    assert_eq!(fresh.as_ref().communities().count(), 0);
}

#[test]
fn without_a_policy_nothing_is_accepted() {
    let mut closed = profile(1);
    closed.import = None;
    assert!(judge(closed.clone(), &path(&[64601]), false).is_none());
    closed.import = Some(Policy::reject());
    assert!(judge(closed.clone(), &path(&[64601]), false).is_none());
    let mut peers = Peers::default();
    peers.set(&Arc::new(closed));
    let (set, prefix) = (path(&[64601]), v4("10.0.0.0/8").into());
    let peer = peers.get(crate::PeerId(1)).unwrap();
    let found = reason(peer, Family::Ipv4, prefix, set.as_ref());
    assert_eq!(found.to_string(), "policy reject, statement end of policy");
}
