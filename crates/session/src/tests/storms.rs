//! Collisions by the thousand (RFC 4271 §6.8): both sides call at once, over slow and fast ways.

use std::time::Duration;

use thruway_wire::RouterId;
use thruway_wire::notification::Notification;

use super::pair::{Pair, configs};
use super::script::{Script, config, gr, open, open_with};
use crate::{ConnId, GrOffer, SessionConfig};

/// Starts both sides within `skew` of each other and sees them agree.
fn storm(configs: impl Fn() -> [SessionConfig; 2], skew_ms: u64) -> (u64, u64) {
    let (mut flaps, mut collisions) = (0, 0);
    for seed in 0..1000 {
        let latency = Duration::from_millis(1 + seed % 97);
        let mut pair = Pair::new(configs(), seed, latency);
        pair.start(0);
        pair.now = pair.now + Duration::from_millis(seed * 7919 % (skew_ms + 1));
        pair.start(1);
        pair.run(30);
        assert!(pair.agree(), "seed {seed}");
        flaps += pair.sides[0].downs + pair.sides[1].downs;
        collisions += pair.sides[0].session.counters().collisions;
        let [a, b] = &pair.sides;
        assert_eq!(a.session.negotiated().unwrap().outgoing, {
            !b.session.negotiated().unwrap().outgoing
        });
    }
    (flaps, collisions)
}

#[test]
fn both_call_at_once() {
    let (flaps, collisions) = storm(configs, 0);
    assert!(
        collisions > 500,
        "{collisions}: the test is about collisions"
    );
    assert!(flaps == 0, "{flaps} sessions lost to collisions");
}

#[test]
fn both_call_within_a_round_trip() {
    let (flaps, collisions) = storm(configs, 100);
    assert!(collisions > 100, "{collisions}");
    assert!(flaps == 0, "{flaps}");
}

#[test]
fn with_graceful_restart_for_ipv4() {
    let restarting = || {
        configs().map(|mut config| {
            let families = thruway_wire::FamilySet::IPV4;
            config.graceful_restart = Some(GrOffer {
                families,
                ..GrOffer::default()
            });
            config
        })
    };
    let (flaps, _) = storm(restarting, 100);
    assert!(flaps == 0, "{flaps}");
}

#[test]
fn with_equal_identifiers() {
    let equal = || {
        configs().map(|mut config| {
            config.router_id = RouterId(0x0a00_0001);
            config
        })
    };
    let (flaps, collisions) = storm(equal, 50);
    assert!(collisions > 100, "{collisions}");
    assert!(flaps == 0, "{flaps}");
}

/// Both connections in OpenSent; then the OPEN arrives on `first` and `second`.
fn collide(peer_id: u32, first: u64, second: u64) -> Vec<String> {
    let mut active = config();
    active.passive = false;
    let mut t = Script::started(active);
    t.connected(1);
    t.accept(2);
    let mut open = open();
    open.router_id = RouterId(peer_id);
    t.open(first, &open);
    t.log.0.clear();
    t.open(second, &open);
    t.take()
}

#[test]
fn the_connection_of_the_higher_identifier_stays() {
    let (lower, higher) = (0x0a00_0001, 0x0a00_0003);
    // Ours, 10.0.0.2, is higher: connection 1, which we opened, stays, whichever comes first.
    let lost = ["2: NOTIFICATION 6/7", "2: close", "2: failed: sent 6/7"];
    assert_eq!(collide(lower, 1, 2), lost);
    assert_eq!(collide(lower, 2, 1)[..3], lost);
    assert_eq!(collide(lower, 2, 1)[3], "1: KEEPALIVE");
    // Theirs is higher: connection 2 stays.
    let lost = ["1: NOTIFICATION 6/7", "1: close", "1: failed: sent 6/7"];
    assert_eq!(collide(higher, 2, 1), lost);
    assert_eq!(collide(higher, 1, 2)[..3], lost);
    // Equal ones: the higher AS number, theirs (RFC 6286 §2.3).
    assert_eq!(collide(0x0a00_0002, 2, 1), lost);
}

/// Connection 1 is ours and would win against connection 2, where the OPEN is.
fn deferred() -> Script {
    let mut active = config();
    active.passive = false;
    let mut t = Script::started(active);
    t.connected(1);
    t.accept(2);
    t.open(2, &open());
    t.expect(&["1: OPEN", "Connect > OpenSent", "2: OPEN"]);
    t
}

#[test]
fn the_answer_waits_for_the_connection_that_would_win() {
    let mut t = deferred();
    t.close(1);
    t.expect(&[
        "1: failed: closed",
        "2: KEEPALIVE",
        "OpenSent > OpenConfirm",
    ]);
    t.keepalive(2);
    t.expect(&["2: up", "OpenConfirm > Established"]);

    let mut t = deferred();
    t.keepalive(2);
    t.expect(&[]);
    t.close(1);
    t.expect(&[
        "1: failed: closed",
        "2: KEEPALIVE",
        "2: up",
        "OpenSent > Established",
    ]);

    let mut t = deferred();
    t.wait(1);
    t.expect(&[]);
    t.wait(1);
    t.expect(&["2: KEEPALIVE", "OpenSent > OpenConfirm"]);
    t.open(1, &open());
    t.expect(&[
        "2: NOTIFICATION 6/7",
        "2: close",
        "2: failed: sent 6/7",
        "1: KEEPALIVE",
    ]);

    let mut t = deferred();
    t.update(2);
    t.expect(&["2: NOTIFICATION 5/1", "2: close", "2: failed: sent 5/1"]);

    let mut t = deferred();
    t.close(2);
    t.open(1, &open());
    t.expect(&[
        "2: failed: closed",
        "1: KEEPALIVE",
        "OpenSent > OpenConfirm",
    ]);
}

#[test]
fn no_wait_for_a_connection_that_would_lose() {
    let mut active = config();
    active.passive = false;
    let mut t = Script::started(active);
    t.accept(2);
    t.connected(1);
    t.log.0.clear();
    t.open(1, &open());
    t.keepalive(1);
    t.expect(&[
        "1: KEEPALIVE",
        "OpenSent > OpenConfirm",
        "1: up",
        "OpenConfirm > Established",
    ]);
    t.open(2, &open());
    t.expect(&["2: NOTIFICATION 6/7", "2: close", "2: failed: sent 6/7"]);
}

/// What was open before the session is a collision; what comes right after it may be one.
#[test]
fn a_collision_is_no_restart() {
    let mut active = config();
    active.passive = false;
    let peer = open_with([gr(120, false, true)]);
    let mut t = Script::started(active.clone());
    t.accept(2);
    t.connected(1);
    t.open(1, &peer);
    t.keepalive(1);
    t.wait(60);
    t.open(2, &peer);
    assert_eq!(t.session.conn(), Some(ConnId(1)));

    let mut t = Script::established(active, &peer);
    t.accept(2);
    t.open(2, &peer);
    assert_eq!(t.session.conn(), Some(ConnId(1)));
    t.wait(2);
    t.accept(3);
    t.open(3, &peer);
    t.keepalive(3);
    assert_eq!(t.session.conn(), Some(ConnId(3)));
}

#[test]
fn while_established_a_new_connection_of_ours_or_theirs_does_no_harm() {
    let mut active = config();
    active.passive = false;
    let mut t = Script::started(active);
    let mut peer = open();
    peer.router_id = RouterId(0x0a00_0003);
    t.accept(1);
    t.connected(2);
    t.open(1, &peer);
    t.keepalive(1);
    // Connection 2 still hangs; the peer opens another one: there is room.
    t.log.0.clear();
    t.accept(3);
    t.expect(&[
        "2: NOTIFICATION 6/7",
        "2: close",
        "2: failed: sent 6/7",
        "3: OPEN",
    ]);
    t.open(3, &open());
    t.expect(&["3: NOTIFICATION 6/7", "3: close", "3: failed: sent 6/7"]);
    assert_eq!(t.session.conn(), Some(ConnId(1)));
}

/// Whatever happened, two sides that are left alone find each other again.
#[test]
fn after_any_chaos_there_is_peace() {
    let mut downs = 0;
    for seed in 0..300_u64 {
        let families = thruway_wire::FamilySet::IPV4;
        let configs = configs().map(|mut config| {
            config.passive = seed % 3 == 0 && config.local_as == thruway_wire::Asn(64501);
            config.graceful_restart = (seed % 2 == 0).then(|| GrOffer {
                families,
                ..GrOffer::default()
            });
            config
        });
        let mut pair = Pair::new(configs, seed, Duration::from_millis(1 + seed % 200));
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..40 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let side = (dice >> 8 & 1) as usize;
            match dice >> 16 & 7 {
                0 => pair.cut(),
                1 => pair.cut_one(side),
                2 => pair.call(side, |session, now, sink| {
                    session.reset(now, Notification::administrative_reset(), sink);
                }),
                3 => pair.call(side, |session, now, sink| {
                    session.stop(now, Notification::administrative_shutdown(), None, sink);
                }),
                4 => pair.sides[side].listens ^= true,
                5 => pair.run(dice >> 24 & 63),
                _ => pair.start(side),
            }
            pair.now = pair.now + Duration::from_millis(dice >> 32 & 255);
        }
        for side in 0..2 {
            pair.sides[side].listens = true;
            pair.start(side);
        }
        // Hold timer, idle hold and connect retry may all be in the way.
        pair.run(90 + 60 + 120);
        assert!(pair.agree(), "seed {seed}");
        downs += pair.sides[0].downs + pair.sides[1].downs;
    }
    assert!(downs > 300, "{downs}: chaos has an effect");
}
