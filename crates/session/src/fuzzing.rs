//! Entry points for fuzzing: ordinary functions that assert what must always hold.

use std::collections::BTreeSet;
use std::time::Duration;

use thruway_wire::message::{MessageType, RawMessage, encode_keepalive, frame};
use thruway_wire::notification::Notification;
use thruway_wire::open::{Capability, Open};
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::{AfiSafi, Asn, Family, FamilySet, RouterId, Time};

use crate::{
    Actions, ConnId, Counters, DownReason, GrOffer, Negotiated, Refresh, RemoteAs, Role, Session,
    SessionConfig, Stale, State,
};

/// Plays a sequence of events, drawn from `data`, to one session.
///
/// # Panics
/// Where the session breaks a promise: see `Checker`.
pub fn fuzz_session(data: &[u8]) {
    let Summary {
        counters,
        swept,
        refreshed,
    } = play(data);
    assert!(counters.flaps <= counters.established && counters.established <= counters.flaps + 1);
    assert!(
        swept <= 2 * counters.flaps,
        "at most once a family and session"
    );
    let requests = counters.received.last().copied().unwrap_or_default();
    assert!(
        refreshed <= 2 * requests,
        "a refresh acts once, or when it begins and ends"
    );
}

/// What a play came to, also for a test that sees whether the dice reach everything.
pub(crate) struct Summary {
    pub(crate) counters: Counters,
    pub(crate) swept: u64,
    pub(crate) refreshed: u64,
}

pub(crate) fn play(data: &[u8]) -> Summary {
    let mut input = Input(data);
    let mut player = Player::new(&mut input);
    while !input.0.is_empty() {
        player.event(&mut input);
        player.check();
    }
    let Checker {
        swept, refreshed, ..
    } = player.checker;
    Summary {
        counters: *player.session.counters(),
        swept,
        refreshed,
    }
}

/// Bytes as decisions; zeros once they run out.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn bit(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn family(&mut self) -> Family {
        if self.bit() {
            Family::Ipv6
        } else {
            Family::Ipv4
        }
    }
}

/// Drives the session and keeps the other end's books.
struct Player {
    session: Session,
    checker: Checker,
    now: Time,
    next_conn: u64,
}

impl Player {
    fn new(input: &mut Input<'_>) -> Self {
        let bits = input.byte();
        let mut config = SessionConfig::new(Asn(64500), RouterId(0x0a00_0002), RemoteAs::Any);
        config.passive = bits & 1 != 0;
        config.hold_time = if bits & 2 != 0 { 0 } else { 9 };
        config.graceful_restart = (bits & 4 != 0).then(GrOffer::default);
        config.long_lived = (bits & 8 != 0).then_some(600);
        config.role = (bits & 20 == 20).then_some(Role::RouteServer);
        config.enhanced_route_refresh = bits & 32 != 0;
        config.families = if bits & 64 != 0 {
            FamilySet::ALL
        } else {
            FamilySet::IPV4
        };
        config.send_hold = (bits & 128 != 0).then(|| Duration::from_secs(20));
        Player {
            session: Session::new(config, u64::from(input.byte())),
            checker: Checker::default(),
            now: Time::ZERO,
            next_conn: 0,
        }
    }

    fn event(&mut self, input: &mut Input<'_>) {
        match input.byte() % 32 {
            0 | 1 => self.session.start(self.now, &mut self.checker),
            2 => self.stop(input),
            3 | 4 => {
                let conn = self.new_conn();
                self.session.accepted(self.now, conn, &mut self.checker);
            }
            5 | 6 => {
                let conn = self.new_conn();
                self.checker.dialing = false;
                self.session.connected(self.now, conn, &mut self.checker);
            }
            7 => {
                self.checker.dialing = false;
                self.session
                    .connect_failed(self.now, "refused", &mut self.checker);
            }
            8 | 9 => {
                let conn = self.pick(input);
                self.checker.open.remove(&conn);
                self.session.closed(self.now, conn, None, &mut self.checker);
            }
            10..=17 => self.shake_hands(input),
            18..=22 => self.message(input),
            23..=25 => self.output(input),
            26 => self.errors(input),
            _ => self.pass_time(input),
        }
    }

    /// What a peer in order would say next.
    fn shake_hands(&mut self, input: &mut Input<'_>) {
        let conn = self.pick(input);
        let mut bytes = Vec::new();
        match self.session.state() {
            State::OpenSent => open(input).encode(&mut bytes),
            State::Established if input.bit() => refresh(input).encode(&mut bytes),
            _ => encode_keepalive(&mut bytes),
        }
        self.hand_in(conn, &bytes);
    }

    fn stop(&mut self, input: &mut Input<'_>) {
        let notification = Notification::administrative_shutdown();
        match input.byte() % 3 {
            0 => self
                .session
                .stop(self.now, notification, None, &mut self.checker),
            1 => {
                let after = Some(Duration::from_secs(30));
                self.session
                    .stop(self.now, notification, after, &mut self.checker);
            }
            _ => self
                .session
                .reset(self.now, notification, &mut self.checker),
        }
    }

    fn new_conn(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.checker.open.insert(conn);
        conn
    }

    /// One of the last few connections, open or not.
    fn pick(&mut self, input: &mut Input<'_>) -> ConnId {
        ConnId(
            self.next_conn
                .saturating_sub(1 + u64::from(input.byte() % 3)),
        )
    }

    fn message(&mut self, input: &mut Input<'_>) {
        let conn = self.pick(input);
        let mut bytes = Vec::new();
        match input.byte() % 8 {
            0..=2 => open(input).encode(&mut bytes),
            3 | 4 => encode_keepalive(&mut bytes),
            5 => Notification::new(input.byte() % 9, input.byte() % 12).encode(&mut bytes),
            6 => refresh(input).encode(&mut bytes),
            _ => return self.update(conn, &[0; 23]),
        }
        self.hand_in(conn, &bytes);
    }

    fn hand_in(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Ok(Some(message)) = frame(bytes, self.session.receive_len_max(conn)) {
            self.session
                .message(self.now, conn, message, &mut self.checker);
        }
    }

    fn update(&mut self, conn: ConnId, bytes: &[u8]) {
        if self.session.update_received(self.now, conn) {
            assert_eq!(self.checker.established, Some(conn));
        } else {
            let message = RawMessage {
                kind: MessageType::Update,
                bytes,
            };
            self.session
                .message(self.now, conn, message, &mut self.checker);
        }
    }

    fn output(&mut self, input: &mut Input<'_>) {
        let conn = self.pick(input);
        match input.byte() % 6 {
            0 => self.session.sent(self.now, conn),
            1 => self.session.send_queue(self.now, conn, true),
            2 => self.session.send_queue(self.now, conn, false),
            3 => self
                .session
                .end_of_rib(self.now, input.family(), &mut self.checker),
            4 => {
                self.session
                    .request_refresh(input.family(), &mut self.checker);
            }
            _ => {
                self.session
                    .refresh_marker(input.family(), input.bit(), &mut self.checker);
            }
        }
    }

    fn errors(&mut self, input: &mut Input<'_>) {
        let conn = self.pick(input);
        if input.bit() {
            let error = Notification::connection_not_synchronized();
            self.session
                .frame_error(self.now, conn, error, &mut self.checker);
        } else {
            let error = Notification::malformed_attribute_list();
            self.session
                .update_error(self.now, conn, error, &mut self.checker);
        }
        let mut config = self.session.config().clone();
        config.passive = input.bit();
        assert!(!self.session.reconfigure(config), "passive needs no reset");
    }

    fn pass_time(&mut self, input: &mut Input<'_>) {
        let to_deadline = self.session.deadline();
        self.now = match input.byte() {
            0..=99 if to_deadline != Time::NEVER => self.now.max(to_deadline),
            seconds => self.now + Duration::from_secs(u64::from(seconds)),
        };
        self.session.tick(self.now, input.bit(), &mut self.checker);
        assert!(
            self.session.deadline() > self.now,
            "tick leaves work behind"
        );
    }

    fn check(&self) {
        let session = &self.session;
        assert_eq!(
            session.state(),
            self.checker.state,
            "every change of state is told"
        );
        assert_eq!(session.conn(), self.checker.established);
        assert_eq!(
            session.negotiated().is_some(),
            self.checker.established.is_some()
        );
        assert_eq!(
            session.stale_families(),
            self.checker.stale,
            "stale routes have an end"
        );
        let ours = self
            .checker
            .open
            .iter()
            .filter(|conn| session.has_conn(**conn))
            .count();
        assert!(ours <= crate::limits::CONNECTIONS_MAX);
        assert_eq!(
            ours,
            self.checker.open.len(),
            "no connection is forgotten open"
        );
    }
}

fn refresh(input: &mut Input<'_>) -> RouteRefresh {
    let family = AfiSafi {
        afi: 1 + u16::from(input.byte() % 5 / 3),
        safi: 1,
    };
    RouteRefresh {
        family,
        subtype: input.byte() % 4,
    }
}

fn open(input: &mut Input<'_>) -> Open {
    let bits = input.byte();
    let ipv4 = Family::Ipv4.to_wire();
    let mut capabilities = vec![Capability::Multiprotocol(ipv4), Capability::RouteRefresh];
    if bits & 1 != 0 {
        capabilities.push(Capability::GracefulRestart {
            restarting: bits & 2 != 0,
            notification: bits & 4 != 0,
            restart_time: u16::from(input.byte()),
            families: vec![(ipv4, bits & 8 != 0)],
        });
        capabilities.push(Capability::EnhancedRouteRefresh);
    }
    if bits & 16 != 0 {
        let kept = (ipv4, bits & 8 != 0, u32::from(input.byte()));
        capabilities.push(Capability::LongLivedGracefulRestart(vec![kept]));
    }
    if bits & 32 != 0 {
        capabilities.push(Capability::Role(if input.bit() {
            2
        } else {
            input.byte() % 6
        }));
    }
    Open {
        version: 4,
        my_as: if bits & 64 != 0 { 64500 } else { 64501 },
        hold_time: [90, 0, 9, 9, 3, 30, 12, 1]
            .get(usize::from(input.byte() % 8))
            .copied()
            .unwrap_or(0),
        router_id: RouterId(0x0a00_0000 + u32::from(input.byte() % 4)),
        capabilities,
    }
}

/// The promises of [`Actions`], checked call by call.
#[derive(Default)]
pub(crate) struct Checker {
    pub(crate) open: BTreeSet<ConnId>,
    pub(crate) established: Option<ConnId>,
    dialing: bool,
    stale: FamilySet,
    state: State,
    swept: u64,
    refreshed: u64,
}

impl Actions for Checker {
    fn connect(&mut self) {
        assert!(!self.dialing, "one attempt at a time");
        self.dialing = true;
    }

    fn cancel_connect(&mut self) {
        self.dialing = false;
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        assert!(
            self.open.contains(&conn),
            "nothing goes to a closed connection"
        );
        let whole = frame(bytes, thruway_wire::limits::MESSAGE_LEN_MAX);
        assert!(
            matches!(whole, Ok(Some(message)) if message.bytes.len() == bytes.len()),
            "one whole message at a time"
        );
    }

    fn send_in_order(&mut self, conn: ConnId, bytes: &[u8]) {
        assert_eq!(self.established, Some(conn));
        self.send(conn, bytes);
    }

    fn close(&mut self, conn: ConnId, _graceful: bool) {
        assert!(self.open.remove(&conn), "closed once");
    }

    fn established(&mut self, conn: ConnId, negotiated: &Negotiated) {
        assert!(self.open.contains(&conn));
        assert!(!negotiated.families.is_empty());
        assert_eq!(
            self.established.replace(conn),
            None,
            "at most one is Established"
        );
    }

    fn down(&mut self, _reason: &DownReason, retain: FamilySet) {
        assert!(
            self.established.take().is_some(),
            "down follows established"
        );
        self.stale = retain;
    }

    fn failed(&mut self, conn: Option<ConnId>, _reason: &DownReason) {
        assert!(conn.is_none() || conn != self.established);
    }

    fn stale(&mut self, what: Stale) {
        match what {
            Stale::Sweep(family) => {
                assert!(self.stale.contains(family), "only what is stale is swept");
                self.stale.remove(family);
                self.swept += 1;
            }
            Stale::LongLived(family) => assert!(self.stale.contains(family)),
        }
    }

    fn refresh(&mut self, _refresh: Refresh) {
        assert!(self.established.is_some());
        self.refreshed += 1;
    }

    fn damped(&mut self, _damped: &crate::Damped) {}

    fn state(&mut self, from: State, to: State) {
        assert_eq!(self.state, from);
        assert_ne!(from, to);
        self.state = to;
    }
}
