//! OpenSent: our OPEN is out, the peer's is awaited (RFC 4271 §8.2.2).

use thruway_wire::Time;
use thruway_wire::message::{MessageType, RawMessage};
use thruway_wire::notification::Notification;
use thruway_wire::open::Open;

use crate::SessionConfig;
use crate::conn::Direction;
use crate::limits::OPEN_HOLD;
use crate::negotiate::{Negotiated, negotiate};

/// Waits for the peer's OPEN.
#[derive(Debug)]
pub(crate) struct OpenSent {
    /// The hold timer, at its large value.
    pub(crate) hold_at: Time,
}

impl OpenSent {
    pub(crate) fn new(now: Time) -> Self {
        OpenSent {
            hold_at: now + OPEN_HOLD,
        }
    }

    /// An OPEN that fits gives what was negotiated.
    ///
    /// # Errors
    /// What is wrong with the OPEN (RFC 4271 §6.2), or 5/1 for any other message (RFC 6608 §4).
    pub(crate) fn message(
        config: &SessionConfig,
        direction: Direction,
        message: RawMessage<'_>,
    ) -> Result<Negotiated, Notification> {
        match message.kind {
            MessageType::Open => negotiate(config, direction, Open::parse(message.body())?),
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
