//! `Faulty` keeps a transport's promises while it misbehaves.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::{End, Stream, V4, drive, idle, pattern};
use thruway_net::{ConnId, Faults, Faulty, TransportChoice};

on_both!(
    short_and_late_is_still_whole,
    resets_end_connections_and_say_so,
    reading_off_holds_what_is_late,
    no_faults_change_nothing,
);

fn faulty(choice: TransportChoice, faults: Faults) -> End {
    let (inner, _) = thruway_net::open(choice).unwrap();
    End::over(Box::new(Faulty::new(inner, faults)))
}

/// A faulty end with one connection (id 2) from a good one (id 1).
fn pair(choice: TransportChoice, faults: Faults) -> (End, ConnId, End, ConnId) {
    let (mut good, mut bad) = (End::new(choice), faulty(choice, faults));
    let (_, addr) = bad.listen(V4);
    let near = good.connect(1, addr);
    drive([&mut good, &mut bad], |[good, bad]| {
        good.conn(near).connected.is_some() && !bad.accepted.is_empty()
    });
    let (_, socket) = bad.accepted.pop_front().unwrap();
    let far = bad.adopt(2, socket);
    (good, near, bad, far)
}

fn short_and_late_is_still_whole(choice: TransportChoice) {
    for seed in 0..5 {
        let faults = Faults {
            seed,
            short: 900,
            delay: 300,
            reset: 0,
        };
        let (mut good, near, mut bad, far) = pair(choice, faults);
        let total = 300_000;
        let (mut up, mut down) = (Stream::new(near, total, 7000), Stream::new(far, total, 900));
        while good.conn(near).received.len() < total || bad.conn(far).received.len() < total {
            up.pump(&mut good);
            down.pump(&mut bad);
            good.poll(Duration::from_millis(1));
            bad.poll(Duration::from_millis(1));
        }
        assert!(bad.conn(far).received == pattern(0, total));
        assert!(good.conn(near).received == pattern(0, total));
        assert!(bad.conn(far).reads > 200, "about 640 octets a piece");
        good.close(near, b"bye");
        drive([&mut good, &mut bad], |[good, bad]| {
            good.conn(near).is_over() && bad.conn(far).is_over()
        });
        assert!(bad.conn(far).received.ends_with(b"bye"));
    }
}

fn resets_end_connections_and_say_so(choice: TransportChoice) {
    let faults = Faults {
        seed: 1,
        short: 500,
        delay: 500,
        reset: 300,
    };
    let (mut good, mut bad) = (End::new(choice), faulty(choice, faults));
    let (_, addr) = bad.listen(V4);
    for id in 0..50 {
        good.connect(id, addr);
    }
    drive([&mut good, &mut bad], |[good, bad]| {
        good.conns.values().all(|conn| conn.connected.is_some()) && bad.accepted.len() == 50
    });
    for id in 0..50 {
        let (_, socket) = bad.accepted.pop_front().unwrap();
        bad.adopt(id, socket);
        good.send(ConnId(id), vec![1; 2000]);
    }
    drive([&mut good, &mut bad], |[_, bad]| {
        bad.conns
            .values()
            .all(|conn| conn.is_over() || conn.received.len() == 2000)
    });
    let reset = |end: &End| end.conns.values().filter(|conn| conn.is_over()).count();
    drive([&mut good, &mut bad], |[good, bad]| {
        reset(good) == reset(bad)
    });
    assert!((5..40).contains(&reset(&bad)), "{}", reset(&bad));
    for conn in bad.conns.values().filter(|conn| conn.is_over()) {
        let error = conn.closed.as_ref().unwrap().as_ref().expect("an error");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

fn reading_off_holds_what_is_late(choice: TransportChoice) {
    let faults = Faults {
        seed: 3,
        short: 500,
        delay: 1000,
        reset: 0,
    };
    let (mut good, near, mut bad, far) = pair(choice, faults);
    good.send(near, pattern(0, 3000));
    drive([&mut good], |[good]| good.conn(near).sent == 3000);
    bad.poll(Duration::from_millis(5)); // has it now, and delivers it late
    bad.transport.set_reading(far, false);
    bad.send(far, "out");
    drive([&mut good, &mut bad], |[_, bad]| bad.conn(far).sent == 3);
    idle([&mut good, &mut bad], Duration::from_millis(20));
    assert_eq!(bad.conn(far).reads, 0);
    assert_eq!(bad.transport.unread(far), 3000);
    bad.transport.set_reading(far, true);
    drive([&mut good, &mut bad], |[_, bad]| {
        bad.conn(far).received.len() == 3000
    });
    assert_eq!(bad.conn(far).received, pattern(0, 3000));
}

fn no_faults_change_nothing(choice: TransportChoice) {
    let (mut good, near, mut bad, far) = pair(choice, Faults::default());
    good.send(near, "in");
    drive([&mut good, &mut bad], |[_, bad]| {
        bad.conn(far).received == b"in"
    });
    assert_eq!(bad.conn(far).reads, 1);
    assert_eq!(bad.transport.kind(), good.transport.kind());
    bad.close(far, b"out");
    good.close(near, b"");
    drive([&mut good, &mut bad], |[good, bad]| {
        good.conn(near).is_over() && bad.conn(far).is_over()
    });
    assert_eq!(bad.transport.connections(), 0);
}
