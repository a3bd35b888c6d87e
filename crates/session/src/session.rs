//! The session: one peer, up to two connections.

mod clock;
mod commands;
mod ending;
mod events;
mod opening;

use thruway_wire::message::MessageType;
use thruway_wire::notification::Notification;
use thruway_wire::{FamilySet, Time, limits as wire_limits};

use crate::conn::{Conns, Phase};
use crate::restart::Retention;
use crate::timers::{Backoff, Jitter};
use crate::wait::Wait;
use crate::{Actions, ConnId, Counters, Damped, DownReason, Negotiated, SessionConfig, State};

/// The state machine of one peer.
///
/// - **A, getters**: [`state`](Self::state), [`negotiated`](Self::negotiated), …
/// - **B, events in**: connections ([`accepted`](Self::accepted), [`connected`](Self::connected),
///   [`connect_failed`](Self::connect_failed), [`closed`](Self::closed)), messages
///   ([`update_received`](Self::update_received) first for UPDATEs, [`message`](Self::message) for
///   all else), errors in them ([`frame_error`](Self::frame_error),
///   [`update_error`](Self::update_error)), [`end_of_rib`](Self::end_of_rib), and what became of
///   our output ([`send_queue`](Self::send_queue), [`sent`](Self::sent)).
/// - **C, commands**: [`start`](Self::start), [`stop`](Self::stop), [`reset`](Self::reset),
///   [`reconfigure`](Self::reconfigure), [`request_refresh`](Self::request_refresh),
///   [`refresh_marker`](Self::refresh_marker).
/// - **D, time**: after any of the above ask [`deadline`](Self::deadline) and call
///   [`tick`](Self::tick) no earlier. The deadline moves with each UPDATE; a caller may keep an
///   older one: `tick` does nothing before its time.
///
/// `now` must not run backwards. Events of a connection that the session does not know (any more)
/// are ignored. A new session is stopped.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    wait: Wait,
    conns: Conns,
    /// The Established connection, and when a message restarted its hold timer: beside each other
    /// for the sake of `update_received`.
    live: Option<ConnId>,
    heard: Time,
    /// Unread input keeps the hold timer from ending the session until then.
    grace_until: Time,
    retention: Retention,
    jitter: Jitter,
    /// Failures since the last session that lasted.
    damping: Backoff,
    /// Attempts to connect since the last session.
    retries: Backoff,
    /// The peer refuses OPENs with capabilities: leave them out in the next one.
    bare: bool,
    counters: Counters,
    last_sent: Option<(Time, Notification)>,
    last_received: Option<(Time, Notification)>,
    last_down: Option<(Time, DownReason)>,
    /// The last state that the caller was told.
    told: State,
    /// Where messages are made.
    scratch: Vec<u8>,
}

// A: getters
impl Session {
    /// A stopped session. `seed` is for jitter alone; give each session another one.
    #[must_use]
    pub fn new(config: SessionConfig, seed: u64) -> Self {
        Session {
            config,
            wait: Wait::STOPPED,
            conns: Conns::default(),
            live: None,
            heard: Time::ZERO,
            grace_until: Time::ZERO,
            retention: Retention::default(),
            jitter: Jitter::new(seed),
            damping: Backoff::default(),
            retries: Backoff::default(),
            bare: false,
            counters: Counters::default(),
            last_sent: None,
            last_received: None,
            last_down: None,
            told: State::Idle,
            scratch: Vec::with_capacity(wire_limits::MESSAGE_LEN_MAX),
        }
    }

    /// The state (RFC 4271 §8.2.2), with two connections open that of the one further along.
    #[must_use]
    pub fn state(&self) -> State {
        let furthest = self.conns.iter().map(crate::conn::Conn::state).max();
        furthest.unwrap_or_else(|| self.wait.state())
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The Established connection.
    #[must_use]
    pub fn conn(&self) -> Option<ConnId> {
        self.live
    }

    /// True where `conn` is one of this session's connections.
    #[must_use]
    pub fn has_conn(&self, conn: ConnId) -> bool {
        self.conns.find(conn).is_some()
    }

    /// What was agreed on, while Established.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.established().map(|state| &state.negotiated)
    }

    /// Since when the session is Established.
    #[must_use]
    pub fn established_at(&self) -> Option<Time> {
        self.established().map(|state| state.since)
    }

    /// When the session tries again by itself: out of Idle, or the next connection.
    #[must_use]
    pub fn next_attempt(&self) -> Option<Time> {
        Some(self.wait.deadline()).filter(|at| *at != Time::NEVER && self.conns.is_empty())
    }

    /// Why the peer's connections are refused for now, where it is for its failures.
    #[must_use]
    pub fn damped(&self) -> Option<Damped> {
        match self.wait {
            Wait::Idle(idle) if idle.refuses && idle.failures > 0 => Some(Damped {
                since: idle.since,
                until: idle.until,
                failures: idle.failures,
            }),
            _ => None,
        }
    }

    /// True where an operator stopped it (or never started it).
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.wait, Wait::Idle(idle) if idle.until == Time::NEVER)
    }

    /// Families whose routes are kept from an earlier session.
    #[must_use]
    pub fn stale_families(&self) -> FamilySet {
        self.retention.families()
    }

    /// Messages and flaps since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The last NOTIFICATION that we sent.
    #[must_use]
    pub fn last_sent(&self) -> Option<(Time, &Notification)> {
        self.last_sent
            .as_ref()
            .map(|(at, notification)| (*at, notification))
    }

    /// The last NOTIFICATION of the peer.
    #[must_use]
    pub fn last_received(&self) -> Option<(Time, &Notification)> {
        self.last_received
            .as_ref()
            .map(|(at, notification)| (*at, notification))
    }

    /// Why the last session or attempt ended.
    #[must_use]
    pub fn last_down(&self) -> Option<(Time, &DownReason)> {
        self.last_down.as_ref().map(|(at, reason)| (*at, reason))
    }

    /// Largest message that may arrive on `conn` now, in octets: `max_len` of
    /// [`message::frame`](thruway_wire::message::frame). Ask again after each message until the
    /// session is Established.
    #[must_use]
    pub fn receive_len_max(&self, conn: ConnId) -> usize {
        match self.negotiated() {
            Some(negotiated) if self.live == Some(conn) && negotiated.extended_message_rx => {
                wire_limits::EXTENDED_MESSAGE_LEN_MAX
            }
            _ => wire_limits::MESSAGE_LEN_MAX,
        }
    }
}

// Shared by the parts below.
impl Session {
    fn established(&self) -> Option<&crate::established::Established> {
        match &self.conns.find(self.live?)?.phase {
            Phase::Established(state) => Some(state),
            _ => None,
        }
    }

    fn established_mut(&mut self) -> Option<&mut crate::established::Established> {
        match &mut self.conns.find_mut(self.live?)?.phase {
            Phase::Established(state) => Some(state),
            _ => None,
        }
    }

    /// Makes a message with `encode` and hands it over.
    fn transmit(
        &mut self,
        conn: ConnId,
        kind: MessageType,
        out: &mut dyn Actions,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        self.scratch.clear();
        encode(&mut self.scratch);
        self.counters.count_sent(kind);
        out.send(conn, &self.scratch);
    }

    /// Tells the caller about a change of state, once an event is done with.
    fn advertise_state(&mut self, out: &mut dyn Actions) {
        let state = self.state();
        let told = std::mem::replace(&mut self.told, state);
        if told != state {
            out.state(told, state);
        }
    }
}
