//! Route refresh, plain (RFC 2918) and enhanced (RFC 7313).

use thruway_wire::Family::{Ipv4, Ipv6};
use thruway_wire::FamilySet;
use thruway_wire::open::Capability;

use super::script::{Script, config, open, open_with};
use crate::State;

#[test]
fn requests_reach_the_caller() {
    let mut t = Script::established(config(), &open());
    t.refresh(1, Ipv4, 0);
    t.refresh(1, Ipv6, 0);
    t.expect(&["refresh ipv4", "refresh ipv6"]);
    // Without the enhanced capability marks mean nothing, nor does an unknown subtype.
    t.refresh(1, Ipv4, 1);
    t.refresh(1, Ipv4, 2);
    t.refresh(1, Ipv4, 255);
    t.expect(&[]);
    assert_eq!(t.session.counters().received[4], 5);
}

#[test]
fn what_was_not_negotiated_is_ignored() {
    let mut few = config();
    few.families = FamilySet::IPV4;
    let mut t = Script::established(few, &open());
    t.refresh(1, Ipv6, 0);
    t.expect(&[]);
    assert!(!t.session.request_refresh(Ipv6, &mut t.log));
    let mut off = config();
    off.route_refresh = false;
    let mut t = Script::established(off, &open());
    t.refresh(1, Ipv4, 0);
    t.expect(&[]);
}

#[test]
fn marks_come_in_pairs() {
    let mut t = Script::established(config(), &open_with([Capability::EnhancedRouteRefresh]));
    t.refresh(1, Ipv4, 2);
    t.expect(&[]);
    t.refresh(1, Ipv4, 1);
    t.refresh(1, Ipv6, 2);
    t.refresh(1, Ipv4, 2);
    t.refresh(1, Ipv4, 2);
    t.expect(&["refresh ipv4 begins", "refresh ipv4 ends"]);
}

#[test]
fn a_refresh_without_end_is_ended() {
    let mut t = Script::established(config(), &open_with([Capability::EnhancedRouteRefresh]));
    t.refresh(1, Ipv6, 1);
    t.wait_alive(1, 1799);
    t.expect_quiet(&["refresh ipv6 begins"]);
    t.wait_alive(1, 1);
    t.expect_quiet(&["refresh ipv6 ends"]);
    t.refresh(1, Ipv6, 2);
    t.expect(&[]);
}

#[test]
fn a_malformed_mark_ends_the_session() {
    let mut bad = vec![0xff; 16];
    bad.extend_from_slice(&[0, 24, 5, 0, 1, 1, 1, 0]);
    let mut t = Script::established(config(), &open_with([Capability::EnhancedRouteRefresh]));
    t.bytes(1, &bad);
    t.expect(&[
        "1: NOTIFICATION 7/1",
        "1: close",
        "down: sent 7/1",
        "Established > Idle",
    ]);
    let mut t = Script::established(config(), &open());
    t.bytes(1, &bad);
    assert_eq!(
        t.session.state(),
        State::Established,
        "only where marks were negotiated"
    );
}

#[test]
fn ours_go_where_the_peer_can_take_them() {
    let mut t = Script::established(config(), &open_with([Capability::EnhancedRouteRefresh]));
    assert!(t.session.request_refresh(Ipv4, &mut t.log));
    assert!(t.session.refresh_marker(Ipv6, true, &mut t.log));
    assert!(t.session.refresh_marker(Ipv6, false, &mut t.log));
    t.expect(&[
        "1: REFRESH ipv4 0",
        "1: in order REFRESH ipv6 1",
        "1: in order REFRESH ipv6 2",
    ]);
    assert_eq!(t.session.counters().sent[4], 3);

    let mut plain = open();
    plain
        .capabilities
        .retain(|capability| *capability != Capability::RouteRefresh);
    let mut t = Script::established(config(), &plain);
    assert!(!t.session.request_refresh(Ipv4, &mut t.log));
    assert!(!t.session.refresh_marker(Ipv4, true, &mut t.log));
    let mut t = Script::new(config());
    assert!(!t.session.request_refresh(Ipv4, &mut t.log));
    t.expect(&[]);
}

#[test]
fn marks_before_the_first_end_of_rib_of_a_restarting_peer_do_not_count() {
    let restart = Capability::GracefulRestart {
        restarting: true,
        notification: false,
        restart_time: 30,
        families: vec![(Ipv4.to_wire(), true)],
    };
    let peer = open_with([Capability::EnhancedRouteRefresh, restart]);
    let mut t = Script::established(config(), &peer);
    t.refresh(1, Ipv4, 1);
    t.refresh(1, Ipv4, 2);
    t.expect(&[]);
    t.session.end_of_rib(t.now, Ipv4, &mut t.log);
    t.refresh(1, Ipv4, 2);
    t.expect(&[]);
    t.refresh(1, Ipv4, 1);
    t.refresh(1, Ipv6, 1);
    t.refresh(1, Ipv4, 2);
    t.expect(&["refresh ipv4 begins", "refresh ipv4 ends"]);
}

#[test]
fn a_request_that_is_too_short_ends_the_session_where_marks_are_known() {
    let mut short = vec![0xff; 16];
    short.extend_from_slice(&[0, 22, 5, 0, 1, 0]);
    let mut t = Script::established(config(), &open_with([Capability::EnhancedRouteRefresh]));
    t.bytes(1, &short);
    assert_eq!(t.session.state(), State::Idle);
    let mut t = Script::established(config(), &open());
    t.bytes(1, &short);
    assert_eq!(t.session.state(), State::Established);
}
