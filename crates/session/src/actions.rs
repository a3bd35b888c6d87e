//! What a session asks of its caller.

use std::fmt;

use serde::{Deserialize, Serialize};
use thruway_wire::notification::Notification;
use thruway_wire::{Family, FamilySet, Time};

use crate::Negotiated;

/// A connection, as the caller names it. Never reused within one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnId(pub u64);

/// The states of RFC 4271 §8.2.2. With two connections open, that of the one further along.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum State {
    /// Nothing is tried: stopped, or waiting after a failure.
    #[default]
    Idle,
    /// A connection to the peer is being opened.
    Connect,
    /// Waiting for the peer's connection, or for the next try.
    Active,
    /// Connected; our OPEN is out.
    OpenSent,
    /// The peer's OPEN was accepted; its KEEPALIVE is missing.
    OpenConfirm,
    /// Routes flow.
    Established,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Idle => "Idle",
            State::Connect => "Connect",
            State::Active => "Active",
            State::OpenSent => "OpenSent",
            State::OpenConfirm => "OpenConfirm",
            State::Established => "Established",
        })
    }
}

/// Why a session or an attempt at one ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownReason {
    /// We ended it with this NOTIFICATION.
    Sent(Notification),
    /// The operator ended it; the peer was told with this NOTIFICATION (inside a Hard Reset where
    /// both sides know that, RFC 8538 §3).
    Stopped(Notification),
    /// The peer ended it with this NOTIFICATION.
    Received(Notification),
    /// The connection closed without one; the text is the system's, where there was an error.
    Closed(Option<String>),
    /// The connection could not be opened; the text is the system's.
    ConnectFailed(String),
    /// The connection could not be opened within the connect-retry time.
    ConnectTimeout,
    /// The peer opened a new connection: it restarted before the old one broke (RFC 4724 §5).
    Restarted,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownReason::Sent(notification) => write!(f, "sent {notification}"),
            DownReason::Stopped(notification) => write!(f, "stopped: {notification}"),
            DownReason::Received(notification) => write!(f, "received {notification}"),
            DownReason::Closed(None) => f.write_str("the peer closed the connection"),
            DownReason::Closed(Some(error)) => write!(f, "the connection broke: {error}"),
            DownReason::ConnectFailed(error) => write!(f, "cannot connect: {error}"),
            DownReason::ConnectTimeout => f.write_str("cannot connect: no answer"),
            DownReason::Restarted => f.write_str("the peer restarted"),
        }
    }
}

/// Why a peer's connections are refused for a while (RFC 4271 §8.1.1: DampPeerOscillations).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damped {
    /// When the last failure brought it about.
    pub since: Time,
    /// When it ends by itself; [`Session::start`](crate::Session::start) ends it at once.
    pub until: Time,
    /// Failures in a row.
    pub failures: u8,
}

/// What becomes of routes that [`Actions::down`] let stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stale {
    /// Withdraw those of this family that were not announced anew (RFC 4724 §4.2).
    Sweep(Family),
    /// Those of this family are long-lived stale from now on (RFC 9494 §4.2): least preferred, and
    /// those with `NO_LLGR` go.
    LongLived(Family),
}

/// A ROUTE-REFRESH of the peer (RFC 2918, RFC 7313).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refresh {
    /// Send it the family again; between markers if
    /// [`enhanced_route_refresh`](Negotiated::enhanced_route_refresh).
    Request(Family),
    /// It begins to send the family again: mark what there is.
    Begin(Family),
    /// It has sent it: withdraw what is still marked.
    End(Family),
}

/// The sink for what a session does. Calls come in the order in which they must take effect.
pub trait Actions {
    /// Open a connection to the peer. Answered by [`Session::connected`](crate::Session::connected)
    /// or [`connect_failed`](crate::Session::connect_failed).
    fn connect(&mut self);

    /// Give up the attempt of the last [`connect`](Actions::connect). No answer is needed; a late
    /// one does no harm.
    fn cancel_connect(&mut self);

    /// Send a whole message at the next message boundary, ahead of UPDATEs that wait.
    fn send(&mut self, conn: ConnId, bytes: &[u8]);

    /// Send a whole message behind the UPDATEs handed over so far.
    fn send_in_order(&mut self, conn: ConnId, bytes: &[u8]);

    /// Close: gracefully (what [`send`](Actions::send) got still goes out, UPDATEs need not), or at
    /// once. Later events of `conn` may still be handed in; they are ignored. Not called after
    /// [`Session::closed`](crate::Session::closed).
    fn close(&mut self, conn: ConnId, graceful: bool);

    /// The session is Established on `conn`. At most one is at a time.
    fn established(&mut self, conn: ConnId, negotiated: &Negotiated);

    /// The session left Established: once for each [`established`](Actions::established). Routes of
    /// the families in `retain` stay as stale (RFC 4724 §4.2), all others go, older stale ones too.
    fn down(&mut self, reason: &DownReason, retain: FamilySet);

    /// An attempt ended before Established. `conn` is `None` where there was no connection yet.
    fn failed(&mut self, conn: Option<ConnId>, reason: &DownReason);

    /// Retained routes change their standing. Comes before `established` where the new session
    /// cannot refresh them, and before `down` where a second restart meets older stale routes.
    fn stale(&mut self, what: Stale);

    /// The peer asks for, begins or ends a refresh.
    fn refresh(&mut self, refresh: Refresh);

    /// From now on the peer's connections are refused for its failures.
    fn damped(&mut self, damped: &Damped);

    /// The state changed, for the log.
    fn state(&mut self, from: State, to: State);
}
