//! Hold, keepalive and send hold timers, and a clock that jumps.

use std::time::Duration;

use thruway_wire::Time;

use super::script::{Script, config, open};
use crate::{ConnId, State};

#[test]
fn hold_timer_in_each_state() {
    let mut t = Script::started(config());
    t.accept(1);
    t.wait(239);
    t.expect(&["1: OPEN", "Active > OpenSent"]);
    t.wait(1);
    let end = [
        "1: NOTIFICATION 4/0",
        "1: close",
        "1: failed: sent 4/0",
        "OpenSent > Idle",
    ];
    t.expect(&end);

    let mut t = Script::started(config());
    t.accept(1);
    t.open(1, &open());
    t.log.0.clear();
    t.wait(89);
    t.expect_quiet(&[]);
    t.wait(1);
    t.expect_quiet(&[
        "1: NOTIFICATION 4/0",
        "1: close",
        "1: failed: sent 4/0",
        "OpenConfirm > Idle",
    ]);

    let mut t = Script::established(config(), &open());
    t.wait(80);
    t.keepalive(1);
    t.wait(80);
    t.update(1);
    t.wait(89);
    t.expect_quiet(&[]);
    t.wait(1);
    t.expect_quiet(&[
        "1: NOTIFICATION 4/0",
        "1: close",
        "down: sent 4/0",
        "Established > Idle",
    ]);
}

#[test]
fn route_refresh_is_no_sign_of_life() {
    let mut t = Script::established(config(), &open());
    t.wait(60);
    t.refresh(1, thruway_wire::Family::Ipv4, 0);
    t.wait(30);
    assert_eq!(t.session.state(), State::Idle);
}

#[test]
fn keepalives_go_out_in_time_and_never_too_often() {
    for (hold, least, most) in [(90, 22.5, 30.0), (3, 1.0, 1.0), (9, 2.25, 3.0)] {
        let mut opening = open();
        opening.hold_time = hold;
        let mut t = Script::established(config(), &opening);
        let mut last = t.now;
        for _ in 0..200 {
            t.update(1);
            t.now = t.session.deadline();
            t.session.tick(t.now, false, &mut t.log);
            t.expect(&["1: KEEPALIVE"]);
            let gap = (t.now - last).as_secs_f64();
            assert!(gap >= least && gap <= most, "{gap}");
            last = t.now;
        }
    }
}

#[test]
fn hold_time_zero_needs_no_life() {
    let mut opening = open();
    opening.hold_time = 0;
    let mut t = Script::established(config(), &opening);
    assert_eq!(t.session.deadline(), Time::NEVER);
    t.wait(1_000_000);
    t.session.send_queue(t.now, ConnId(1), true);
    assert_eq!(
        t.session.deadline(),
        Time::NEVER,
        "RFC 9687: no send hold timer either"
    );
    t.expect(&[]);
    assert_eq!(t.session.state(), State::Established);
}

#[test]
fn unread_input_gives_grace_and_silence_does_not() {
    let mut t = Script::established(config(), &open());
    t.now = t.now + Duration::from_secs(500);
    t.session.tick(t.now, true, &mut t.log);
    t.expect_quiet(&[]);
    assert!(t.session.deadline() > t.now);
    t.now = t.session.deadline();
    t.session.tick(t.now, true, &mut t.log);
    t.expect_quiet(&[]);
    t.update(1);
    t.wait(89);
    t.expect_quiet(&[]);
    t.wait(1);
    t.expect_quiet(&[
        "1: NOTIFICATION 4/0",
        "1: close",
        "down: sent 4/0",
        "Established > Idle",
    ]);
}

#[test]
fn a_clock_that_jumps_ahead_ends_the_session_once() {
    let mut t = Script::established(config(), &open());
    t.now = t.now + Duration::from_secs(1_000_000);
    t.session.tick(t.now, false, &mut t.log);
    t.expect(&[
        "1: NOTIFICATION 4/0",
        "1: close",
        "down: sent 4/0",
        "Established > Idle",
    ]);
    t.now = Time(u64::MAX - 1);
    t.session.tick(t.now, false, &mut t.log);
    t.expect(&["Idle > Active"]);
    t.session.tick(t.now, false, &mut t.log);
    t.expect(&[]);
}

#[test]
fn a_tick_before_its_time_does_nothing() {
    let mut t = Script::established(config(), &open());
    let at = t.session.deadline();
    t.session.tick(Time(at.0 - 1), false, &mut t.log);
    t.expect(&[]);
    t.session.tick(at, false, &mut t.log);
    t.expect(&["1: KEEPALIVE"]);
}

/// The peer lives but reads nothing.
fn stuck(t: &mut Script, seconds: u64) {
    for _ in 0..seconds {
        t.update(1);
        t.wait(1);
    }
}

#[test]
fn send_hold_timer_drops_a_peer_that_reads_nothing() {
    let mut t = Script::established(config(), &open());
    t.session.send_queue(t.now, ConnId(1), true);
    stuck(&mut t, 400);
    t.session.sent(t.now, ConnId(1));
    stuck(&mut t, 479);
    t.session.send_queue(t.now, ConnId(1), true);
    t.expect_quiet(&[]);
    stuck(&mut t, 1);
    t.expect_quiet(&[
        "1: NOTIFICATION 8/0",
        "1: drop",
        "down: sent 8/0",
        "Established > Idle",
    ]);
}

#[test]
fn send_hold_timer_stops_with_the_queue() {
    let mut t = Script::established(config(), &open());
    t.session.send_queue(t.now, ConnId(1), true);
    stuck(&mut t, 400);
    t.session.send_queue(t.now, ConnId(1), false);
    t.session.sent(t.now, ConnId(1));
    stuck(&mut t, 1000);
    t.expect_quiet(&[]);
}

#[test]
fn send_hold_time_is_more_than_the_hold_time() {
    for (send_hold, hold, seconds) in [
        (None, 90, 480),
        (None, 300, 600),
        (Some(10), 90, 91),
        (Some(100), 90, 100),
    ] {
        let (mut config, mut opening) = (config(), open());
        config.hold_time = 1000;
        config.send_hold = send_hold.map(Duration::from_secs);
        opening.hold_time = hold;
        let mut t = Script::established(config, &opening);
        t.session.send_queue(t.now, ConnId(1), true);
        stuck(&mut t, seconds - 1);
        assert_eq!(t.session.state(), State::Established);
        stuck(&mut t, 1);
        assert_eq!(t.session.state(), State::Idle, "{send_hold:?} {hold}");
    }
    let mut off = config();
    off.send_hold = Some(Duration::ZERO);
    let mut t = Script::established(off, &open());
    t.session.send_queue(t.now, ConnId(1), true);
    stuck(&mut t, 5000);
    assert_eq!(t.session.state(), State::Established);
}
