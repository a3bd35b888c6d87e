//! Two sessions, joined by connections in memory, under one clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use thruway_wire::message::frame;
use thruway_wire::{Asn, FamilySet, RouterId, Time};

use crate::timers::Jitter;
use crate::{
    Actions, ConnId, DownReason, Negotiated, Refresh, RemoteAs, Session, SessionConfig, Stale,
    State,
};

/// What is on its way to a side.
#[derive(Debug)]
enum Event {
    Connected(ConnId),
    ConnectFailed,
    Accepted(ConnId),
    Bytes(ConnId, Vec<u8>),
    Closed(ConnId),
}

/// What a side did in one call.
#[derive(Default)]
struct Sink {
    connect: bool,
    cancel: bool,
    output: Vec<(ConnId, Option<Vec<u8>>)>,
    ups: u64,
    downs: u64,
    refused: Vec<String>,
}

impl Actions for Sink {
    fn connect(&mut self) {
        self.connect = true;
    }

    fn cancel_connect(&mut self) {
        self.cancel = true;
        self.connect = false;
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.output.push((conn, Some(bytes.to_vec())));
    }

    fn send_in_order(&mut self, conn: ConnId, bytes: &[u8]) {
        self.send(conn, bytes);
    }

    fn close(&mut self, conn: ConnId, _graceful: bool) {
        self.output.push((conn, None));
    }

    fn established(&mut self, _conn: ConnId, _negotiated: &Negotiated) {
        self.ups += 1;
    }

    fn down(&mut self, _reason: &DownReason, _retain: FamilySet) {
        self.downs += 1;
    }

    fn failed(&mut self, _conn: Option<ConnId>, reason: &DownReason) {
        self.refused.push(reason.to_string());
    }

    fn stale(&mut self, _what: Stale) {}

    fn refresh(&mut self, _refresh: Refresh) {}

    fn damped(&mut self, _damped: &crate::Damped) {}

    fn state(&mut self, _from: State, _to: State) {}
}

/// One end. A connection has the same id at both ends.
pub(super) struct Side {
    pub(super) session: Session,
    pub(super) listens: bool,
    pub(super) ups: u64,
    pub(super) downs: u64,
    /// By arrival; each connection keeps its order.
    arrivals: BTreeMap<(Time, u64), Event>,
    /// Last arrival planned on each connection.
    last: BTreeMap<ConnId, Time>,
    open: Vec<ConnId>,
    dialing: bool,
}

pub(super) struct Pair {
    pub(super) sides: [Side; 2],
    pub(super) now: Time,
    jitter: Jitter,
    next_conn: u64,
    sequence: u64,
    /// Longest way of a message.
    latency: Duration,
}

impl Pair {
    pub(super) fn new(configs: [SessionConfig; 2], seed: u64, latency: Duration) -> Self {
        let mut which = 0;
        let sides = configs.map(|config| {
            which += 1;
            Side {
                session: Session::new(config, seed.wrapping_mul(2).wrapping_add(which)),
                listens: true,
                ups: 0,
                downs: 0,
                arrivals: BTreeMap::new(),
                last: BTreeMap::new(),
                open: Vec::new(),
                dialing: false,
            }
        });
        let jitter = Jitter::new(seed);
        Pair {
            sides,
            now: Time::from_secs(1),
            jitter,
            next_conn: 0,
            sequence: 0,
            latency,
        }
    }

    pub(super) fn start(&mut self, side: usize) {
        self.call(side, |session, now, sink| session.start(now, sink));
    }

    /// One call into a session, and all that follows from it at once.
    pub(super) fn call(
        &mut self,
        side: usize,
        event: impl FnOnce(&mut Session, Time, &mut dyn Actions),
    ) {
        let mut sink = Sink::default();
        event(&mut self.sides[side].session, self.now, &mut sink);
        self.sides[side].ups += sink.ups;
        self.sides[side].downs += sink.downs;
        assert!(
            self.sides[side].ups - self.sides[side].downs <= 1,
            "one session at a time"
        );
        for (conn, bytes) in sink.output {
            self.carry(side, conn, bytes);
        }
        if sink.cancel {
            self.sides[side].dialing = false;
        }
        if sink.connect {
            self.dial(side);
        }
    }

    fn dial(&mut self, side: usize) {
        self.sides[side].dialing = true;
        if !self.sides[1 - side].listens {
            return self.plan(side, ConnId(u64::MAX), Event::ConnectFailed);
        }
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.plan(1 - side, conn, Event::Accepted(conn));
        self.plan(side, conn, Event::Connected(conn));
    }

    fn carry(&mut self, side: usize, conn: ConnId, bytes: Option<Vec<u8>>) {
        match bytes {
            Some(bytes) => self.plan(1 - side, conn, Event::Bytes(conn, bytes)),
            None => {
                self.sides[side].open.retain(|open| *open != conn);
                self.plan(1 - side, conn, Event::Closed(conn));
            }
        }
    }

    fn plan(&mut self, side: usize, conn: ConnId, event: Event) {
        // Between none and all of the latency.
        let span = self.jitter.shorten(self.latency * 4) - self.latency * 3;
        let side = &mut self.sides[side];
        let last = side.last.entry(conn).or_insert(Time::ZERO);
        let at = (self.now + span).max(*last);
        *last = at;
        self.sequence += 1;
        side.arrivals.insert((at, self.sequence), event);
    }

    /// Goes on to the next thing that happens, if that is before `end`.
    fn step(&mut self, end: Time) -> bool {
        let arrival = |side: &Side| side.arrivals.keys().next().map_or(Time::NEVER, |key| key.0);
        let next = |side: &Side| arrival(side).min(side.session.deadline());
        let which = usize::from(next(&self.sides[1]) < next(&self.sides[0]));
        let at = next(&self.sides[which]);
        if at > end {
            return false;
        }
        self.now = self.now.max(at);
        let side = &mut self.sides[which];
        if side.session.deadline() <= at {
            self.call(which, |session, now, sink| session.tick(now, false, sink));
        } else if let Some((_, event)) = side.arrivals.pop_first() {
            self.deliver(which, event);
        }
        true
    }

    fn deliver(&mut self, which: usize, event: Event) {
        let side = &mut self.sides[which];
        match event {
            Event::Accepted(conn) => {
                side.open.push(conn);
                self.call(which, |session, now, sink| {
                    session.accepted(now, conn, sink);
                });
            }
            Event::Connected(conn) => {
                side.open.push(conn);
                if std::mem::take(&mut side.dialing) {
                    self.call(which, |session, now, sink| {
                        session.connected(now, conn, sink);
                    });
                } else {
                    self.carry(which, conn, None);
                }
            }
            Event::ConnectFailed => {
                if std::mem::take(&mut side.dialing) {
                    self.call(which, |session, now, sink| {
                        session.connect_failed(now, "no", sink);
                    });
                }
            }
            Event::Bytes(conn, bytes) if side.open.contains(&conn) => {
                let max = side.session.receive_len_max(conn);
                let message = frame(&bytes, max).unwrap().unwrap();
                self.call(which, |session, now, sink| {
                    session.message(now, conn, message, sink);
                });
            }
            Event::Closed(conn) if side.open.contains(&conn) => {
                side.open.retain(|open| *open != conn);
                self.call(which, |session, now, sink| {
                    session.closed(now, conn, None, sink);
                });
            }
            Event::Bytes(..) | Event::Closed(_) => {}
        }
    }

    pub(super) fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.step(end) {}
        self.now = end;
    }

    /// Both are Established, on the same connection, and nothing else is open.
    pub(super) fn agree(&self) -> bool {
        let [a, b] = &self.sides;
        a.session.conn().is_some()
            && a.session.conn() == b.session.conn()
            && a.open.len() == 1
            && b.open.len() == 1
    }

    /// Every connection breaks, without a word.
    pub(super) fn cut(&mut self) {
        for which in 0..2 {
            let open: VecDeque<_> = self.sides[which].open.drain(..).collect();
            self.sides[which].arrivals.clear();
            if std::mem::take(&mut self.sides[which].dialing) {
                self.call(which, |session, now, sink| {
                    session.connect_failed(now, "cut", sink);
                });
            }
            for conn in open {
                self.call(which, |session, now, sink| {
                    session.closed(now, conn, Some("cut"), sink);
                });
            }
        }
    }

    /// One side loses its connections; the other one is not told.
    pub(super) fn cut_one(&mut self, which: usize) {
        let open: VecDeque<_> = self.sides[which].open.drain(..).collect();
        for conn in open {
            self.call(which, |session, now, sink| {
                session.closed(now, conn, Some("cut"), sink);
            });
        }
    }
}

/// 10.0.0.1 in AS 64501 and 10.0.0.2 in AS 64502; both call.
pub(super) fn configs() -> [SessionConfig; 2] {
    let side = |ours: u32, theirs: u32| {
        let id = RouterId(0x0a00_0000 + ours - 64500);
        SessionConfig::new(Asn(ours), id, RemoteAs::One(Asn(theirs)))
    };
    [side(64501, 64502), side(64502, 64501)]
}

#[test]
fn one_calls_and_it_stays_up_for_a_day() {
    let mut configs = configs();
    configs[1].passive = true;
    let mut pair = Pair::new(configs, 1, Duration::from_millis(40));
    pair.start(1);
    pair.start(0);
    pair.run(5);
    assert!(pair.agree());
    pair.run(86_400);
    assert!(pair.agree());
    assert_eq!((pair.sides[0].ups, pair.sides[0].downs), (1, 0));
    let keepalives = pair.sides[0].session.counters().received[3];
    assert!((2880..3850).contains(&keepalives), "{keepalives}");
}

#[test]
fn two_passive_ones_wait_for_ever() {
    let configs = configs().map(|mut config| {
        config.passive = true;
        config
    });
    let mut pair = Pair::new(configs, 1, Duration::from_millis(40));
    pair.start(0);
    pair.start(1);
    pair.run(10_000);
    assert_eq!(
        pair.sides.each_ref().map(|side| side.session.state()),
        [State::Active; 2]
    );
}

#[test]
fn a_peer_that_comes_late_is_found() {
    let mut pair = Pair::new(configs(), 3, Duration::from_millis(40));
    pair.sides[1].listens = false;
    pair.start(0);
    pair.run(1000);
    assert_eq!(pair.sides[0].ups, 0);
    pair.sides[1].listens = true;
    pair.start(1);
    pair.run(5);
    assert!(pair.agree());
}

#[test]
fn a_session_that_breaks_is_made_anew() {
    let mut pair = Pair::new(configs(), 4, Duration::from_millis(40));
    pair.start(0);
    pair.start(1);
    pair.run(10);
    for round in 0..20 {
        assert!(pair.agree(), "round {round}");
        pair.cut();
        assert!(!pair.agree());
        pair.run(80);
    }
    assert!(pair.agree());
    assert_eq!(pair.sides[0].downs, 20);
}

#[test]
fn wrong_numbers_never_meet_and_never_storm() {
    let mut configs = configs();
    configs[1].remote_as = RemoteAs::One(Asn(64999));
    let mut pair = Pair::new(configs, 5, Duration::from_millis(40));
    pair.start(0);
    pair.start(1);
    pair.run(3600);
    assert_eq!(pair.sides[0].ups + pair.sides[1].ups, 0);
    let opens = pair.sides[0].session.counters().sent[0];
    assert!(opens < 200, "{opens} attempts in an hour");
    let (_, reason) = pair.sides[0].session.last_down().unwrap();
    assert!(reason.to_string().contains("Bad Peer AS") || reason.to_string().contains("Cease"));
}
