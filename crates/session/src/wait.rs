//! The states without a connection (RFC 4271 §8.2.2): Idle, Connect, Active.

use thruway_wire::Time;

use crate::State;

/// What the session does toward its next connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Idle(Idle),
    Connect(Connect),
    Active(Active),
}

/// Nothing is tried until the idle hold is over, or, stopped, until a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// [`Time::NEVER`] where an operator stopped the session.
    pub(crate) until: Time,
    /// The peer's own connections are turned away, too. RFC 4271 does that in all of Idle. Here a
    /// peer that merely lost its session may be back before we would call it.
    pub(crate) refuses: bool,
    /// Failures in a row that brought it here; 0: none did.
    pub(crate) failures: u8,
    /// When it began.
    pub(crate) since: Time,
}

/// Our connection is being opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect {
    /// The ConnectRetryTimer: the attempt is given up then.
    pub(crate) expires: Time,
}

/// Listening, or busy with an open connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active {
    /// The ConnectRetryTimer; [`Time::NEVER`] where it is off.
    pub(crate) retry_at: Time,
}

impl Wait {
    /// Stopped, as every session begins.
    pub(crate) const STOPPED: Wait = Wait::Idle(Idle {
        until: Time::NEVER,
        refuses: true,
        failures: 0,
        since: Time::ZERO,
    });
    /// Listening, with no intent to call.
    pub(crate) const LISTEN: Wait = Wait::Active(Active {
        retry_at: Time::NEVER,
    });

    pub(crate) fn state(&self) -> State {
        match self {
            Wait::Idle(_) => State::Idle,
            Wait::Connect(_) => State::Connect,
            Wait::Active(_) => State::Active,
        }
    }

    /// When its one timer expires.
    pub(crate) fn deadline(&self) -> Time {
        match self {
            Wait::Idle(Idle { until, .. }) => *until,
            Wait::Connect(Connect { expires }) => *expires,
            Wait::Active(Active { retry_at }) => *retry_at,
        }
    }
}
