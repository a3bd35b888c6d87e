//! Start, stop, reset and reconfigure.

use std::time::Duration;

use thruway_wire::notification::Notification;
use thruway_wire::{Asn, FamilySet, Time};

use super::script::{Script, THEM, config, open};
use crate::{RemoteAs, SessionConfig, State};

#[test]
fn a_stopped_session_stays_stopped() {
    let mut t = Script::established(config(), &open());
    t.stop(Notification::peer_deconfigured(), None);
    t.expect(&[
        "1: NOTIFICATION 6/3",
        "1: close",
        "down: stopped 6/3",
        "Established > Idle",
    ]);
    assert_eq!(t.session.deadline(), Time::NEVER);
    assert_eq!(t.session.next_attempt(), None);
    t.wait(1_000_000);
    t.accept(2);
    t.expect(&["2: NOTIFICATION 6/5", "2: close"]);
    t.stop(Notification::administrative_shutdown(), None);
    t.expect(&[]);
    t.session.start(t.now, &mut t.log);
    t.expect(&["Idle > Active"]);
}

#[test]
fn a_stop_ends_a_call() {
    let mut active = config();
    active.passive = false;
    let mut t = Script::started(active);
    t.stop(Notification::administrative_shutdown(), None);
    t.expect(&["cancel", "Connect > Idle"]);
    t.connected(1);
    t.expect(&["1: drop"]);
}

#[test]
fn a_stop_ends_both_connections() {
    let mut active = config();
    active.passive = false;
    let mut t = Script::started(active);
    t.accept(1);
    t.connected(2);
    t.log.0.clear();
    t.stop(Notification::administrative_shutdown(), None);
    t.expect(&[
        "1: NOTIFICATION 6/2",
        "1: close",
        "1: failed: stopped 6/2",
        "2: NOTIFICATION 6/2",
        "2: close",
        "2: failed: stopped 6/2",
        "OpenSent > Idle",
    ]);
}

#[test]
fn too_many_prefixes_restart_after_a_while() {
    let mut t = Script::established(config(), &open());
    t.stop(
        Notification::max_prefixes_reached(),
        Some(Duration::from_secs(300)),
    );
    t.expect(&[
        "1: NOTIFICATION 6/1",
        "1: close",
        "down: stopped 6/1",
        "Established > Idle",
    ]);
    t.wait(299);
    t.accept(2);
    t.expect(&["2: NOTIFICATION 6/5", "2: close"]);
    t.wait(1);
    t.expect(&["Idle > Active"]);
    let mut t = Script::established(config(), &open());
    t.stop(
        Notification::max_prefixes_reached(),
        Some(Duration::from_secs(300)),
    );
    t.session.start(t.now, &mut t.log);
    assert_eq!(
        t.session.state(),
        State::Active,
        "an operator need not wait"
    );
}

#[test]
fn a_reset_lets_the_peer_come_back_at_once() {
    let mut t = Script::established(config(), &open());
    t.session
        .reset(t.now, Notification::administrative_reset(), &mut t.log);
    t.expect(&[
        "1: NOTIFICATION 6/4",
        "1: close",
        "down: stopped 6/4",
        "Established > Idle",
    ]);
    t.establish(2, &open());
    let mut active = config();
    active.passive = false;
    let mut t = Script::established(active, &open());
    t.session
        .reset(t.now, Notification::administrative_reset(), &mut t.log);
    t.log.0.clear();
    t.wait(1);
    t.expect(&["connect", "Idle > Connect"]);
}

#[test]
fn a_reset_does_not_start_what_is_stopped() {
    let mut t = Script::new(config());
    t.session
        .reset(t.now, Notification::administrative_reset(), &mut t.log);
    t.expect(&[]);
    assert!(t.session.is_stopped());
}

#[test]
fn what_needs_a_reset() {
    type Change = fn(&mut SessionConfig);
    let table: &[(bool, Change)] = &[
        (false, |_| {}),
        (false, |c| c.passive = false),
        (false, |c| c.connect_retry = Duration::from_secs(1)),
        (false, |c| c.idle_hold = Duration::from_secs(9)),
        (false, |c| c.idle_hold_max = Duration::from_secs(9)),
        (false, |c| c.send_hold = Some(Duration::ZERO)),
        (false, |c| c.remote_as = RemoteAs::OneOf(vec![THEM, Asn(1)])),
        (true, |c| c.remote_as = RemoteAs::One(Asn(1))),
        (true, |c| c.hold_time = 30),
        (true, |c| c.families = FamilySet::IPV4),
        (true, |c| c.add_path[0].send = true),
        (true, |c| c.graceful_restart = None),
        (true, |c| c.local_as = Asn(1)),
        (true, |c| c.role_strict = true),
    ];
    for (row, (reset, change)) in table.iter().enumerate() {
        let mut t = Script::established(config(), &open());
        let mut changed = config();
        change(&mut changed);
        assert_eq!(t.session.reconfigure(changed.clone()), *reset, "row {row}");
        assert_eq!(t.session.config(), &changed);
        let mut t = Script::started(config());
        assert!(
            !t.session.reconfigure(changed),
            "nothing runs yet, row {row}"
        );
    }
}

#[test]
fn turning_active_calls_and_turning_passive_does_not() {
    let mut t = Script::started(config());
    let mut active = config();
    active.passive = false;
    assert!(!t.session.reconfigure(active));
    t.session.tick(t.now, false, &mut t.log);
    t.expect(&["connect", "Active > Connect"]);
    t.session.connect_failed(t.now, "refused", &mut t.log);
    assert!(!t.session.reconfigure(config()));
    assert_eq!(t.session.deadline(), Time::NEVER);
}
