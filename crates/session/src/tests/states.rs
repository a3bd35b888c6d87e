//! RFC 4271 §8.2.2 state by state, and a table of states and events.

use std::time::Duration;

use thruway_wire::notification::Notification;

use super::script::{Script, config, open};
use crate::{ConnId, State};

#[test]
fn passive_session_from_start_to_end() {
    let mut t = Script::new(config());
    t.session.start(t.now, &mut t.log);
    t.expect(&["Idle > Active"]);
    t.accept(7);
    t.expect(&["7: OPEN", "Active > OpenSent"]);
    t.open(7, &open());
    t.expect(&["7: KEEPALIVE", "OpenSent > OpenConfirm"]);
    assert!(!t.session.update_received(t.now, ConnId(7)));
    t.keepalive(7);
    t.expect(&["7: up", "OpenConfirm > Established"]);
    assert!(t.session.update_received(t.now, ConnId(7)));
    assert!(!t.session.update_received(t.now, ConnId(8)));
    assert_eq!(t.session.conn(), Some(ConnId(7)));
    t.close(7);
    t.expect(&["down: closed", "Established > Idle"]);
    assert_eq!(t.session.conn(), None);
    t.wait(2);
    t.expect(&["Idle > Active"]);
    let counters = t.session.counters();
    assert_eq!((counters.established, counters.flaps), (1, 1));
    assert_eq!(counters.received, [1, 1, 0, 1, 0]);
    assert_eq!(counters.sent, [1, 0, 0, 1, 0]);
}

#[test]
fn active_session_calls() {
    let mut config = config();
    config.passive = false;
    let mut t = Script::new(config);
    t.session.start(t.now, &mut t.log);
    t.expect(&["connect", "Idle > Connect"]);
    t.session.start(t.now, &mut t.log);
    t.expect(&[]);
    t.connected(1);
    t.expect(&["1: OPEN", "Connect > OpenSent"]);
    t.open(1, &open());
    t.keepalive(1);
    assert!(t.session.negotiated().unwrap().outgoing);
    t.expect(&[
        "1: KEEPALIVE",
        "OpenSent > OpenConfirm",
        "1: up",
        "OpenConfirm > Established",
    ]);
}

#[test]
fn failed_calls_are_repeated_ever_more_slowly() {
    let mut config = config();
    config.passive = false;
    config.connect_retry = Duration::from_secs(20);
    let mut t = Script::started(config);
    let mut waits = Vec::new();
    for _ in 0..6 {
        t.session.connect_failed(t.now, "refused", &mut t.log);
        t.expect(&["failed: cannot connect: refused", "Connect > Active"]);
        let at = t.session.deadline();
        assert_eq!(t.session.next_attempt(), Some(at));
        waits.push((at - t.now).as_secs_f64());
        t.now = at;
        t.session.tick(t.now, false, &mut t.log);
        t.expect(&["connect", "Active > Connect"]);
    }
    for (wait, full) in waits.iter().zip([5.0, 10.0, 20.0, 20.0, 20.0, 20.0]) {
        assert!(*wait >= full * 0.75 && *wait <= full, "{waits:?}");
    }
}

#[test]
fn a_call_without_answer_is_given_up_and_made_again() {
    let mut config = config();
    config.passive = false;
    let mut t = Script::started(config);
    t.wait(89);
    t.expect(&[]);
    t.wait(31);
    t.expect(&["cancel", "failed: connect timeout", "connect"]);
    assert_eq!(t.session.state(), State::Connect);
}

#[test]
fn a_peer_that_closes_in_open_sent_is_not_hammered() {
    let mut config = config();
    config.passive = false;
    let mut t = Script::started(config);
    t.connected(1);
    t.close(1);
    t.expect(&[
        "1: OPEN",
        "Connect > OpenSent",
        "1: failed: closed",
        "OpenSent > Active",
    ]);
    t.wait(3);
    t.expect(&[]);
    t.wait(2);
    t.expect(&["connect", "Active > Connect"]);
}

#[test]
fn a_stray_connection_does_not_disturb_the_call() {
    let mut config = config();
    config.passive = false;
    let mut t = Script::started(config);
    t.accept(1);
    t.close(1);
    t.expect(&[
        "1: OPEN",
        "Connect > OpenSent",
        "1: failed: closed",
        "OpenSent > Connect",
    ]);
    t.connected(2);
    t.expect(&["2: OPEN", "Connect > OpenSent"]);
}

#[test]
fn a_late_answer_to_a_call_that_was_given_up_is_closed() {
    let mut config = config();
    config.passive = false;
    let mut t = Script::started(config);
    t.accept(1);
    t.open(1, &open());
    t.expect(&[
        "1: OPEN",
        "Connect > OpenSent",
        "1: KEEPALIVE",
        "cancel",
        "OpenSent > OpenConfirm",
    ]);
    t.connected(2);
    t.expect(&["2: drop"]);
    t.session.connect_failed(t.now, "late", &mut t.log);
    t.expect(&[]);
}

#[test]
fn stopped_sessions_refuse() {
    let mut t = Script::new(config());
    t.accept(1);
    t.expect(&["1: NOTIFICATION 6/5", "1: close"]);
    assert_eq!(t.session.counters().refused, 1);
    assert!(!t.session.has_conn(ConnId(1)));
    assert!(t.session.is_stopped());
}

/// One row of the table: an event, and what it brings in OpenSent, OpenConfirm and Established.
struct Row {
    event: &'static str,
    run: fn(&mut Script),
    results: [&'static [&'static str]; 3],
}

const TABLE: &[Row] = &[
    Row {
        event: "OPEN",
        run: |t| t.open(1, &open()),
        results: [
            &["1: KEEPALIVE", "OpenSent > OpenConfirm"],
            &[
                "1: NOTIFICATION 5/2",
                "1: close",
                "1: failed: sent 5/2",
                "OpenConfirm > Idle",
            ],
            &[
                "1: NOTIFICATION 5/3",
                "1: close",
                "down: sent 5/3",
                "Established > Idle",
            ],
        ],
    },
    Row {
        event: "KEEPALIVE",
        run: |t| t.keepalive(1),
        results: [
            &[
                "1: NOTIFICATION 5/1",
                "1: close",
                "1: failed: sent 5/1",
                "OpenSent > Idle",
            ],
            &["1: up", "OpenConfirm > Established"],
            &[],
        ],
    },
    Row {
        event: "UPDATE",
        run: |t| t.update(1),
        results: [
            &[
                "1: NOTIFICATION 5/1",
                "1: close",
                "1: failed: sent 5/1",
                "OpenSent > Idle",
            ],
            &[
                "1: NOTIFICATION 5/2",
                "1: close",
                "1: failed: sent 5/2",
                "OpenConfirm > Idle",
            ],
            &[],
        ],
    },
    Row {
        event: "ROUTE-REFRESH",
        run: |t| t.refresh(1, thruway_wire::Family::Ipv4, 0),
        results: [
            &[
                "1: NOTIFICATION 5/1",
                "1: close",
                "1: failed: sent 5/1",
                "OpenSent > Idle",
            ],
            &[
                "1: NOTIFICATION 5/2",
                "1: close",
                "1: failed: sent 5/2",
                "OpenConfirm > Idle",
            ],
            &["refresh ipv4"],
        ],
    },
    Row {
        event: "NOTIFICATION",
        run: |t| t.notification(1, &Notification::administrative_reset()),
        results: [
            &["1: close", "1: failed: received 6/4", "OpenSent > Idle"],
            &["1: close", "1: failed: received 6/4", "OpenConfirm > Idle"],
            &["1: close", "down: received 6/4", "Established > Idle"],
        ],
    },
    Row {
        event: "header error",
        run: |t| {
            let error = Notification::connection_not_synchronized();
            t.session.frame_error(t.now, ConnId(1), error, &mut t.log);
        },
        results: [
            &[
                "1: NOTIFICATION 1/1",
                "1: close",
                "1: failed: sent 1/1",
                "OpenSent > Idle",
            ],
            &[
                "1: NOTIFICATION 1/1",
                "1: close",
                "1: failed: sent 1/1",
                "OpenConfirm > Idle",
            ],
            &[
                "1: NOTIFICATION 1/1",
                "1: close",
                "down: sent 1/1",
                "Established > Idle",
            ],
        ],
    },
    Row {
        event: "bad UPDATE",
        run: |t| {
            t.update(1);
            let error = Notification::malformed_attribute_list();
            t.session.update_error(t.now, ConnId(1), error, &mut t.log);
        },
        results: [
            &[
                "1: NOTIFICATION 5/1",
                "1: close",
                "1: failed: sent 5/1",
                "OpenSent > Idle",
            ],
            &[
                "1: NOTIFICATION 5/2",
                "1: close",
                "1: failed: sent 5/2",
                "OpenConfirm > Idle",
            ],
            &[
                "1: NOTIFICATION 3/1",
                "1: close",
                "down: sent 3/1",
                "Established > Idle",
            ],
        ],
    },
    Row {
        event: "closed",
        run: |t| {
            t.session
                .closed(t.now, ConnId(1), Some("reset"), &mut t.log);
        },
        results: [
            &["1: failed: broken: reset", "OpenSent > Active"],
            &["1: failed: broken: reset", "OpenConfirm > Active"],
            &["down: broken: reset", "Established > Idle"],
        ],
    },
    Row {
        event: "stop",
        run: |t| t.stop(Notification::administrative_shutdown(), None),
        results: [
            &[
                "1: NOTIFICATION 6/2",
                "1: close",
                "1: failed: stopped 6/2",
                "OpenSent > Idle",
            ],
            &[
                "1: NOTIFICATION 6/2",
                "1: close",
                "1: failed: stopped 6/2",
                "OpenConfirm > Idle",
            ],
            &[
                "1: NOTIFICATION 6/2",
                "1: close",
                "down: stopped 6/2",
                "Established > Idle",
            ],
        ],
    },
    Row {
        event: "start",
        run: |t| t.session.start(t.now, &mut t.log),
        results: [&[], &[], &[]],
    },
    Row {
        event: "a stranger's message",
        run: |t| t.keepalive(99),
        results: [&[], &[], &[]],
    },
    Row {
        event: "a stranger's end",
        run: |t| t.close(99),
        results: [&[], &[], &[]],
    },
    Row {
        event: "accepted twice",
        run: |t| t.accept(1),
        results: [&[], &[], &[]],
    },
    Row {
        event: "a call's late failure",
        run: late_failure,
        results: [&[], &[], &[]],
    },
    Row {
        event: "a call's late answer",
        run: |t| t.connected(5),
        results: [&["5: drop"]; 3],
    },
    Row {
        event: "a second connection",
        run: |t| t.accept(2),
        results: SECOND,
    },
];

fn late_failure(t: &mut Script) {
    t.session.connect_failed(t.now, "late", &mut t.log);
}

/// Before the session is up the peer's newer connection replaces the older one.
const SECOND: [&[&str]; 3] = [
    &[
        "1: NOTIFICATION 6/7",
        "1: close",
        "1: failed: sent 6/7",
        "2: OPEN",
    ],
    &[
        "1: NOTIFICATION 6/7",
        "1: close",
        "1: failed: sent 6/7",
        "2: OPEN",
        "OpenConfirm > OpenSent",
    ],
    &["2: OPEN"],
];

#[test]
fn every_event_in_every_state_of_a_connection() {
    for row in TABLE {
        for (steps, result) in row.results.iter().enumerate() {
            let mut t = Script::started(config());
            t.accept(1);
            if steps > 0 {
                t.open(1, &open());
            }
            if steps > 1 {
                t.keepalive(1);
            }
            t.log.0.clear();
            (row.run)(&mut t);
            assert_eq!(t.take(), *result, "{} in state {steps}", row.event);
        }
    }
}

#[test]
fn the_fsm_error_names_the_message() {
    let mut t = Script::established(config(), &open());
    t.open(1, &open());
    assert_eq!(t.session.last_sent().unwrap().1.data, [1]);
    let mut t = Script::started(config());
    t.accept(1);
    t.keepalive(1);
    assert_eq!(t.session.last_sent().unwrap().1.data, [4]);
}

#[test]
fn faults_are_damped_and_the_peer_refused_meanwhile() {
    let mut t = Script::started(config());
    let mut holds = Vec::new();
    for conn in (1..20).step_by(2) {
        t.accept(conn);
        t.keepalive(conn);
        assert_eq!(t.session.state(), State::Idle);
        holds.push((t.session.deadline() - t.now).as_secs_f64());
        t.log.0.clear();
        t.accept(conn + 1);
        let refusal = format!("{}: NOTIFICATION 6/5", conn + 1);
        let close = format!("{}: close", conn + 1);
        t.expect(&[&refusal, &close]);
        t.wait(60);
        t.expect(&["Idle > Active"]);
    }
    for (hold, full) in holds
        .iter()
        .zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0])
    {
        assert!(*hold >= full * 0.75 && *hold <= full, "{holds:?}");
    }
}

#[test]
fn a_peer_that_lost_its_session_may_come_back_at_once_but_not_all_the_time() {
    let mut t = Script::established(config(), &open());
    for conn in 2..4 {
        t.close(conn - 1);
        assert_eq!(t.session.state(), State::Idle);
        t.establish(conn, &open());
    }
    t.close(3);
    t.log.0.clear();
    t.accept(4);
    t.expect(&["4: NOTIFICATION 6/5", "4: close"]);
    t.wait(60);
    t.establish(5, &open());
    t.wait_alive(5, 61);
    t.close(5);
    t.establish(6, &open());
}

#[test]
fn errors_of_a_second_connection_leave_the_session_alone() {
    let mut t = Script::established(config(), &open());
    t.accept(2);
    t.keepalive(2);
    t.expect(&[
        "2: OPEN",
        "2: NOTIFICATION 5/1",
        "2: close",
        "2: failed: sent 5/1",
    ]);
    t.accept(3);
    t.close(3);
    t.expect(&["3: OPEN", "3: failed: closed"]);
    assert_eq!(t.session.conn(), Some(ConnId(1)));
    assert!(t.session.last_down().is_none());
}

#[test]
fn a_second_connection_ends_with_its_open_while_established() {
    let mut t = Script::established(config(), &open());
    t.accept(2);
    t.open(2, &open());
    t.expect(&[
        "2: OPEN",
        "2: NOTIFICATION 6/7",
        "2: close",
        "2: failed: sent 6/7",
    ]);
    assert_eq!(t.session.conn(), Some(ConnId(1)));
    assert_eq!(t.session.counters().collisions, 1);
}
