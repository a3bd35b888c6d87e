//! The helper's side of graceful restart (RFC 4724, RFC 8538, RFC 9494).

use thruway_wire::Family::{Ipv4, Ipv6};
use thruway_wire::notification::Notification;
use thruway_wire::open::Capability;
use thruway_wire::{Asn, FamilySet};

use super::script::{Script, THEM, config, gr, llgr, open, open_with};
use crate::{ConnId, RemoteAs, SessionConfig, State};

fn helped() -> SessionConfig {
    let mut config = config();
    config.long_lived = Some(1000);
    config
}

#[test]
fn routes_outlive_a_lost_connection_and_are_swept_by_end_of_rib() {
    let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
    t.close(1);
    t.expect(&["down: closed, keep ipv4", "Established > Idle"]);
    assert_eq!(t.session.stale_families(), FamilySet::IPV4);
    t.wait(60);
    t.establish(2, &open_with([gr(120, false, true)]));
    t.wait_alive(2, 200);
    t.log.0.clear();
    t.session.end_of_rib(t.now, Ipv6, &mut t.log);
    t.expect(&[]);
    t.session.end_of_rib(t.now, Ipv4, &mut t.log);
    t.expect(&["sweep ipv4"]);
    t.session.end_of_rib(t.now, Ipv4, &mut t.log);
    t.expect(&[]);
    assert!(t.session.stale_families().is_empty());
}

#[test]
fn the_restart_time_ends_the_wait() {
    let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
    t.close(1);
    t.wait(119);
    t.expect(&[
        "down: closed, keep ipv4",
        "Established > Idle",
        "Idle > Active",
    ]);
    t.wait(1);
    t.expect(&["sweep ipv4"]);
    t.establish(2, &open_with([gr(120, false, true)]));
}

#[test]
fn the_helper_bounds_the_restart_time() {
    let mut config = helped();
    config.graceful_restart.as_mut().unwrap().helper_time_max = 10;
    let mut t = Script::established(config, &open_with([gr(120, false, true)]));
    t.close(1);
    t.log.0.clear();
    t.wait(10);
    t.expect(&["Idle > Active", "sweep ipv4"]);
}

#[test]
fn a_peer_that_vouches_for_nothing_is_swept_before_it_is_up() {
    let ipv6_only = || {
        let mut open = open_with([gr(120, false, true)]);
        open.capabilities
            .retain(|c| *c != Capability::Multiprotocol(Ipv4.to_wire()));
        open
    };
    let empty = Capability::GracefulRestart {
        restarting: true,
        notification: false,
        restart_time: 120,
        families: Vec::new(),
    };
    for again in [
        open(),
        open_with([gr(120, false, false)]),
        open_with([empty]),
        ipv6_only(),
    ] {
        let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
        t.close(1);
        t.accept(2);
        t.open(2, &again);
        t.log.0.clear();
        t.keepalive(2);
        t.expect(&["sweep ipv4", "2: up", "OpenConfirm > Established"]);
    }
}

#[test]
fn another_peer_inherits_nothing() {
    let mut config = helped();
    config.remote_as = RemoteAs::OneOf(vec![THEM, Asn(64777)]);
    let mut t = Script::established(config, &open_with([gr(120, false, true)]));
    t.close(1);
    let mut other = open_with([gr(120, false, true), Capability::FourOctetAs(Asn(64777))]);
    other.my_as = 64777;
    t.accept(2);
    t.open(2, &other);
    t.log.0.clear();
    t.keepalive(2);
    t.expect(&["sweep ipv4", "2: up", "OpenConfirm > Established"]);
}

#[test]
fn a_second_restart_takes_what_was_stale() {
    let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
    t.close(1);
    t.establish(2, &open_with([gr(120, false, true)]));
    t.close(2);
    t.expect(&[
        "sweep ipv4",
        "down: closed, keep ipv4",
        "Established > Idle",
    ]);
}

#[test]
fn a_silent_peer_does_not_keep_stale_routes_for_ever() {
    let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
    t.close(1);
    t.establish(2, &open_with([gr(120, false, true)]));
    t.wait_alive(2, 899);
    t.expect_quiet(&[]);
    t.wait_alive(2, 1);
    t.expect_quiet(&["sweep ipv4"]);
}

/// How a session may end, and whether routes outlive that without and with the N bit.
#[test]
fn notifications_and_the_n_bit() {
    type End = fn(&mut Script);
    let table: &[(&str, [bool; 2], End)] = &[
        ("lost", [true, true], |t| t.close(1)),
        ("received 6/4", [false, true], |t| {
            t.notification(1, &Notification::administrative_reset());
        }),
        ("received a hard reset", [false, false], |t| {
            t.notification(1, &Notification::hard_reset().with_data([6, 2]));
        }),
        ("hold timer", [false, true], |t| t.wait(90)),
        ("sent 3/1", [false, true], |t| {
            let error = Notification::malformed_attribute_list();
            t.session.update_error(t.now, ConnId(1), error, &mut t.log);
        }),
        ("stopped", [false, false], |t| {
            t.stop(Notification::administrative_shutdown(), None);
        }),
        ("reset", [false, false], |t| {
            let error = Notification::other_configuration_change();
            t.session.reset(t.now, error, &mut t.log);
        }),
    ];
    for (what, kept, end) in table {
        for (n_bit, kept) in [false, true].into_iter().zip(kept) {
            let mut t = Script::established(helped(), &open_with([gr(120, n_bit, true)]));
            end(&mut t);
            let down = t
                .take()
                .into_iter()
                .find(|line| line.starts_with("down"))
                .unwrap();
            assert_eq!(
                down.ends_with("keep ipv4"),
                *kept,
                "{what}, N bit {n_bit}: {down}"
            );
            assert_eq!(!t.session.stale_families().is_empty(), *kept);
        }
    }
}

#[test]
fn a_stop_is_a_hard_reset_where_the_peer_knows_it() {
    let text = Notification::administrative_shutdown().with_text("bye");
    let mut t = Script::established(helped(), &open_with([gr(120, true, true)]));
    t.stop(text.clone(), None);
    t.expect(&[
        "1: NOTIFICATION 6/9",
        "1: close",
        "down: stopped 6/2",
        "Established > Idle",
    ]);
    assert_eq!(
        t.session.last_sent().unwrap().1.data,
        [6, 2, 3, b'b', b'y', b'e']
    );
    let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
    t.stop(text, None);
    t.expect(&[
        "1: NOTIFICATION 6/2",
        "1: close",
        "down: stopped 6/2",
        "Established > Idle",
    ]);
}

#[test]
fn a_stop_drops_what_was_kept() {
    let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
    t.close(1);
    t.log.0.clear();
    t.stop(Notification::administrative_shutdown(), None);
    t.expect(&["sweep ipv4"]);
    t.wait(1000);
    t.expect(&[]);
}

#[test]
fn a_peer_that_restarts_takes_over_with_its_open() {
    let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
    t.wait(10);
    t.accept(2);
    t.expect(&["2: OPEN"]);
    assert_eq!(
        t.session.conn(),
        Some(ConnId(1)),
        "a mere connect does no harm"
    );
    t.open(2, &open_with([gr(120, false, true)]));
    t.expect(&[
        "1: drop",
        "down: restarted, keep ipv4",
        "2: KEEPALIVE",
        "Established > OpenConfirm",
    ]);
    t.close(1);
    t.keepalive(2);
    t.expect(&["2: up", "OpenConfirm > Established"]);
    t.session.end_of_rib(t.now, Ipv4, &mut t.log);
    t.expect(&["sweep ipv4"]);
}

#[test]
fn a_bad_open_of_a_second_connection_is_no_restart() {
    let mut t = Script::established(helped(), &open_with([gr(120, false, true)]));
    t.wait(10);
    t.accept(2);
    let mut bad = open_with([gr(120, false, true)]);
    bad.hold_time = 1;
    t.open(2, &bad);
    t.expect(&[
        "2: OPEN",
        "2: NOTIFICATION 2/6",
        "2: close",
        "2: failed: sent 2/6",
    ]);
    assert_eq!(t.session.state(), State::Established);
}

#[test]
fn long_lived_follows_the_restart_time() {
    let mut t = Script::established(
        helped(),
        &open_with([gr(120, false, true), llgr(500, true)]),
    );
    t.close(1);
    t.wait(119);
    t.log.0.clear();
    t.wait(1);
    t.expect(&["long-lived ipv4"]);
    t.wait(499);
    t.expect(&[]);
    t.wait(1);
    t.expect(&["sweep ipv4"]);
}

#[test]
fn long_lived_is_bounded_by_us() {
    let mut config = helped();
    config.long_lived = Some(100);
    let mut t = Script::established(config, &open_with([gr(120, false, true), llgr(500, true)]));
    t.close(1);
    t.wait(219);
    t.log.0.clear();
    t.wait(1);
    t.expect(&["sweep ipv4"]);
}

#[test]
fn long_lived_alone_begins_at_once() {
    for restart in [gr(0, false, true), other_family()] {
        let mut t = Script::established(helped(), &open_with([restart, llgr(500, true)]));
        t.close(1);
        let log = t.take();
        assert!(log[0].starts_with("down: closed, keep ipv4"), "{log:?}");
        assert_eq!(log[1], "long-lived ipv4");
        t.wait(499);
        assert!(!t.take().contains(&"sweep ipv4".to_owned()));
        t.wait(1);
        t.expect(&["sweep ipv4"]);
    }
}

fn other_family() -> Capability {
    Capability::GracefulRestart {
        restarting: false,
        notification: false,
        restart_time: 2000,
        families: vec![(Ipv6.to_wire(), true)],
    }
}

#[test]
fn a_further_restart_neither_ends_nor_renews_the_stale_time() {
    let peer = open_with([gr(120, false, true), llgr(500, true)]);
    let mut t = Script::established(helped(), &peer);
    t.close(1);
    t.wait(320);
    t.establish(2, &peer);
    t.wait_alive(2, 100);
    t.log.0.clear();
    t.close(2);
    t.expect(&[
        "down: closed, keep ipv4",
        "long-lived ipv4",
        "Established > Idle",
    ]);
    t.wait(199);
    t.expect(&["Idle > Active"]);
    t.wait(1);
    t.expect(&["sweep ipv4"]);
}

#[test]
fn a_stale_time_that_ran_out_during_the_refill_counts_at_the_next_loss() {
    let peer = open_with([gr(120, false, true), llgr(500, true)]);
    let mut t = Script::established(helped(), &peer);
    t.close(1);
    t.wait(600);
    t.establish(2, &peer);
    t.wait_alive(2, 100);
    t.expect_quiet(&[]);
    t.close(2);
    t.expect(&[
        "sweep ipv4",
        "down: closed, keep ipv4",
        "Established > Idle",
    ]);
}

#[test]
fn long_lived_needs_its_own_vouching() {
    let mut t = Script::established(
        helped(),
        &open_with([gr(120, false, true), llgr(500, true)]),
    );
    t.close(1);
    t.wait(200);
    t.accept(2);
    t.open(2, &open_with([gr(120, false, true), llgr(500, false)]));
    t.log.0.clear();
    t.keepalive(2);
    t.expect(&["sweep ipv4", "2: up", "OpenConfirm > Established"]);
}

#[test]
fn a_long_jump_of_the_clock_runs_through_both_phases() {
    let mut t = Script::established(
        helped(),
        &open_with([gr(120, false, true), llgr(500, true)]),
    );
    t.close(1);
    t.log.0.clear();
    t.now = t.now + std::time::Duration::from_secs(100_000);
    t.session.tick(t.now, false, &mut t.log);
    t.expect(&["long-lived ipv4", "sweep ipv4", "Idle > Active"]);
}
