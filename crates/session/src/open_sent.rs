//! OpenSent: our OPEN is out, the peer's is awaited (RFC 4271 §8.2.2).

use thruway_wire::Time;
use thruway_wire::message::{MessageType, RawMessage};
use thruway_wire::notification::Notification;
use thruway_wire::open::Open;

use crate::SessionConfig;
use crate::direction::Direction;
use crate::limits::{COLLISION_WAIT, OPEN_HOLD};
use crate::negotiate::{Negotiated, negotiate};
use crate::timers::after;

/// Waits for the peer's OPEN.
#[derive(Debug)]
pub(crate) struct OpenSent {
    /// The hold timer, at its large value.
    pub(crate) hold_at: Time,
    /// The OPEN is there, but our answer waits for a rival.
    pub(crate) deferred: Option<Box<Deferred>>,
}

/// An OPEN that fits, on the connection that would lose a collision with one that has no OPEN yet.
/// If we answered, the peer could have its session here before it sees our OPEN there, and the two
/// sides would each close what the other one keeps.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) negotiated: Negotiated,
    /// Then the answer goes out in any case.
    pub(crate) until: Time,
    /// The peer's KEEPALIVE came meanwhile.
    pub(crate) alive: bool,
}

impl Deferred {
    pub(crate) fn new(now: Time, negotiated: Negotiated) -> Self {
        let until = after(now, negotiated.keepalive).min(now + COLLISION_WAIT);
        Deferred {
            negotiated,
            until,
            alive: false,
        }
    }
}

impl OpenSent {
    pub(crate) fn new(now: Time) -> Self {
        OpenSent {
            hold_at: now + OPEN_HOLD,
            deferred: None,
        }
    }

    /// When the wait for a rival ends.
    pub(crate) fn deferred_until(&self) -> Time {
        self.deferred
            .as_ref()
            .map_or(Time::NEVER, |deferred| deferred.until)
    }

    /// An OPEN that fits gives what was negotiated; the KEEPALIVE after it may come early.
    ///
    /// # Errors
    /// What is wrong with the OPEN (RFC 4271 §6.2), or 5/1 for any other message (RFC 6608 §4).
    pub(crate) fn message(
        &mut self,
        config: &SessionConfig,
        direction: Direction,
        message: RawMessage<'_>,
    ) -> Result<Option<Negotiated>, Notification> {
        match (message.kind, &mut self.deferred) {
            (MessageType::Open, None) => {
                negotiate(config, direction, Open::parse(message.body())?).map(Some)
            }
            (MessageType::Keepalive, Some(deferred)) => {
                deferred.alive = true;
                Ok(None)
            }
            _ => Err(unexpected(Notification::fsm_error_in_open_sent(), message)),
        }
    }
}

/// `error` with the type of the message that came out of turn (RFC 6608 §4).
pub(crate) fn unexpected(error: Notification, message: RawMessage<'_>) -> Notification {
    let code = message
        .bytes
        .get(thruway_wire::limits::HEADER_LEN - 1)
        .copied();
    error.with_data(code.as_slice())
}
