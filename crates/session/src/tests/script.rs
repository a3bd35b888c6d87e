//! A session with a script: what goes in, and the transcript of what comes out.

use std::time::Duration;

use thruway_wire::message::{MessageType, RawMessage, encode_keepalive, frame};
use thruway_wire::notification::Notification;
use thruway_wire::open::{Capability, Open};
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::{Asn, Family, FamilySet, RouterId, Time, limits};

use crate::{
    Actions, ConnId, DownReason, Negotiated, Refresh, RemoteAs, Session, SessionConfig, Stale,
    State,
};

/// Writes each action down as a line.
#[derive(Default)]
pub(super) struct Transcript(pub(super) Vec<String>);

/// A message in a word or two.
pub(super) fn name(bytes: &[u8]) -> String {
    let message = frame(bytes, limits::MESSAGE_LEN_MAX).unwrap().unwrap();
    assert_eq!(message.bytes.len(), bytes.len());
    match message.kind {
        MessageType::Open => "OPEN".to_owned(),
        MessageType::Update => "UPDATE".to_owned(),
        MessageType::Keepalive => "KEEPALIVE".to_owned(),
        MessageType::Notification => {
            let notification = Notification::parse(message.body());
            format!(
                "NOTIFICATION {}/{}",
                notification.code, notification.subcode
            )
        }
        MessageType::RouteRefresh => {
            let refresh = RouteRefresh::parse(message.body()).unwrap().unwrap();
            format!("REFRESH {} {}", refresh.family, refresh.subtype)
        }
    }
}

fn short(reason: &DownReason) -> String {
    match reason {
        DownReason::Sent(n) => format!("sent {}/{}", n.code, n.subcode),
        DownReason::Stopped(n) => format!("stopped {}/{}", n.code, n.subcode),
        DownReason::Received(n) => format!("received {}/{}", n.code, n.subcode),
        DownReason::Closed(None) => "closed".to_owned(),
        DownReason::Closed(Some(error)) => format!("broken: {error}"),
        DownReason::ConnectFailed(error) => format!("cannot connect: {error}"),
        DownReason::ConnectTimeout => "connect timeout".to_owned(),
        DownReason::Restarted => "restarted".to_owned(),
    }
}

fn list(families: FamilySet) -> String {
    let names: Vec<_> = families.iter().map(|family| format!(" {family}")).collect();
    names.concat()
}

impl Actions for Transcript {
    fn connect(&mut self) {
        self.0.push("connect".to_owned());
    }

    fn cancel_connect(&mut self) {
        self.0.push("cancel".to_owned());
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.0.push(format!("{}: {}", conn.0, name(bytes)));
    }

    fn send_in_order(&mut self, conn: ConnId, bytes: &[u8]) {
        self.0.push(format!("{}: in order {}", conn.0, name(bytes)));
    }

    fn close(&mut self, conn: ConnId, graceful: bool) {
        self.0.push(format!(
            "{}: {}",
            conn.0,
            if graceful { "close" } else { "drop" }
        ));
    }

    fn established(&mut self, conn: ConnId, _negotiated: &Negotiated) {
        self.0.push(format!("{}: up", conn.0));
    }

    fn down(&mut self, reason: &DownReason, retain: FamilySet) {
        let kept = if retain.is_empty() {
            String::new()
        } else {
            format!(", keep{}", list(retain))
        };
        self.0.push(format!("down: {}{kept}", short(reason)));
    }

    fn failed(&mut self, conn: Option<ConnId>, reason: &DownReason) {
        let conn = conn.map(|conn| format!("{}: ", conn.0)).unwrap_or_default();
        self.0.push(format!("{conn}failed: {}", short(reason)));
    }

    fn stale(&mut self, what: Stale) {
        self.0.push(match what {
            Stale::Sweep(family) => format!("sweep {family}"),
            Stale::LongLived(family) => format!("long-lived {family}"),
        });
    }

    fn refresh(&mut self, refresh: Refresh) {
        self.0.push(match refresh {
            Refresh::Request(family) => format!("refresh {family}"),
            Refresh::Begin(family) => format!("refresh {family} begins"),
            Refresh::End(family) => format!("refresh {family} ends"),
        });
    }

    fn damped(&mut self, _damped: &crate::Damped) {}

    fn state(&mut self, from: State, to: State) {
        self.0.push(format!("{from} > {to}"));
    }
}

pub(super) const US: Asn = Asn(64500);
pub(super) const THEM: Asn = Asn(64501);

/// Our side: 10.0.0.2 in AS 64500, passive, toward AS 64501.
pub(super) fn config() -> SessionConfig {
    let mut config = SessionConfig::new(US, RouterId(0x0a00_0002), RemoteAs::One(THEM));
    config.passive = true;
    config
}

/// The peer's OPEN: 10.0.0.1 in AS 64501, with both families.
pub(super) fn open() -> Open {
    let family = |family: Family| Capability::Multiprotocol(family.to_wire());
    Open {
        version: 4,
        my_as: 64501,
        hold_time: 90,
        router_id: RouterId(0x0a00_0001),
        capabilities: vec![
            family(Family::Ipv4),
            family(Family::Ipv6),
            Capability::RouteRefresh,
            Capability::FourOctetAs(THEM),
        ],
    }
}

/// The peer's OPEN with more capabilities.
pub(super) fn open_with(more: impl IntoIterator<Item = Capability>) -> Open {
    let mut open = open();
    open.capabilities.extend(more);
    open
}

/// A graceful restart capability for IPv4.
pub(super) fn gr(restart_time: u16, notification: bool, preserved: bool) -> Capability {
    Capability::GracefulRestart {
        restarting: false,
        notification,
        restart_time,
        families: vec![(Family::Ipv4.to_wire(), preserved)],
    }
}

/// A long-lived graceful restart capability for IPv4.
pub(super) fn llgr(stale_time: u32, preserved: bool) -> Capability {
    let family = Family::Ipv4.to_wire();
    Capability::LongLivedGracefulRestart(vec![(family, preserved, stale_time)])
}

pub(super) struct Script {
    pub(super) session: Session,
    pub(super) now: Time,
    pub(super) log: Transcript,
}

impl Script {
    pub(super) fn new(config: SessionConfig) -> Self {
        let session = Session::new(config, 1);
        Script {
            session,
            now: Time::from_secs(1000),
            log: Transcript::default(),
        }
    }

    /// Started, with nothing in the transcript.
    pub(super) fn started(config: SessionConfig) -> Self {
        let mut script = Script::new(config);
        script.session.start(script.now, &mut script.log);
        script.log.0.clear();
        script
    }

    /// Established on connection 1, which the peer opened with `open`.
    pub(super) fn established(config: SessionConfig, open: &Open) -> Self {
        let mut script = Script::started(config);
        script.establish(1, open);
        script
    }

    pub(super) fn establish(&mut self, conn: u64, open: &Open) {
        self.accept(conn);
        self.open(conn, open);
        self.keepalive(conn);
        assert_eq!(self.session.state(), State::Established, "{:?}", self.log.0);
        self.log.0.clear();
    }

    pub(super) fn accept(&mut self, conn: u64) {
        self.session.accepted(self.now, ConnId(conn), &mut self.log);
    }

    pub(super) fn connected(&mut self, conn: u64) {
        self.session
            .connected(self.now, ConnId(conn), &mut self.log);
    }

    pub(super) fn close(&mut self, conn: u64) {
        self.session
            .closed(self.now, ConnId(conn), None, &mut self.log);
    }

    pub(super) fn bytes(&mut self, conn: u64, bytes: &[u8]) {
        let message = frame(bytes, limits::MESSAGE_LEN_MAX).unwrap().unwrap();
        self.session
            .message(self.now, ConnId(conn), message, &mut self.log);
    }

    pub(super) fn open(&mut self, conn: u64, open: &Open) {
        let mut bytes = Vec::new();
        open.encode(&mut bytes);
        self.bytes(conn, &bytes);
    }

    pub(super) fn keepalive(&mut self, conn: u64) {
        let mut bytes = Vec::new();
        encode_keepalive(&mut bytes);
        self.bytes(conn, &bytes);
    }

    pub(super) fn notification(&mut self, conn: u64, notification: &Notification) {
        let mut bytes = Vec::new();
        notification.encode(&mut bytes);
        self.bytes(conn, &bytes);
    }

    pub(super) fn refresh(&mut self, conn: u64, family: Family, subtype: u8) {
        let mut bytes = Vec::new();
        RouteRefresh {
            family: family.to_wire(),
            subtype,
        }
        .encode(&mut bytes);
        self.bytes(conn, &bytes);
    }

    /// An UPDATE, the way a caller hands it in.
    pub(super) fn update(&mut self, conn: u64) {
        if !self.session.update_received(self.now, ConnId(conn)) {
            let message = RawMessage {
                kind: MessageType::Update,
                bytes: &update(),
            };
            self.session
                .message(self.now, ConnId(conn), message, &mut self.log);
        }
    }

    pub(super) fn stop(&mut self, notification: Notification, restart_after: Option<Duration>) {
        self.session
            .stop(self.now, notification, restart_after, &mut self.log);
    }

    /// Time passes second by second; the session ticks at its deadlines.
    pub(super) fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.session.deadline() <= end {
            self.now = self.now.max(self.session.deadline());
            self.session.tick(self.now, false, &mut self.log);
        }
        self.now = end;
    }

    /// Time passes while the peer keeps connection `conn` alive.
    pub(super) fn wait_alive(&mut self, conn: u64, seconds: u64) {
        for _ in 0..seconds {
            self.wait(1);
            self.keepalive(conn);
        }
    }

    /// The transcript since the last look, without KEEPALIVEs of running sessions if `quiet`.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log.0)
    }

    #[track_caller]
    pub(super) fn expect(&mut self, lines: &[&str]) {
        assert_eq!(self.take(), lines);
    }

    /// Like `expect`, KEEPALIVEs aside.
    #[track_caller]
    pub(super) fn expect_quiet(&mut self, lines: &[&str]) {
        let mut log = self.take();
        log.retain(|line| !line.ends_with("KEEPALIVE"));
        assert_eq!(log, lines);
    }
}

/// An empty UPDATE: the End-of-RIB of IPv4.
pub(super) fn update() -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    bytes.extend_from_slice(&[0, 23, 2, 0, 0, 0, 0]);
    bytes
}
