//! OpenConfirm: both OPENs fit, the peer's KEEPALIVE is awaited (RFC 4271 §8.2.2).

use thruway_wire::Time;
use thruway_wire::message::{MessageType, RawMessage};
use thruway_wire::notification::Notification;

use crate::open_sent::unexpected;
use crate::timers::{Jitter, after};
use crate::{ConnId, Negotiated};

/// Waits for the KEEPALIVE that accepts our OPEN.
#[derive(Debug)]
pub(crate) struct OpenConfirm {
    pub(crate) negotiated: Negotiated,
    /// The hold timer, at the negotiated value.
    pub(crate) hold_at: Time,
    pub(crate) keepalive_at: Time,
    /// The connection that was open besides this one when our KEEPALIVE went out: a collision, not
    /// a restart of the peer.
    pub(crate) rival: Option<ConnId>,
}

impl OpenConfirm {
    pub(crate) fn new(
        now: Time,
        negotiated: Negotiated,
        rival: Option<ConnId>,
        jitter: &mut Jitter,
    ) -> Self {
        let hold_at = after(now, negotiated.hold_time);
        let keepalive_at = now + negotiated.keepalive_interval(jitter);
        OpenConfirm {
            negotiated,
            hold_at,
            keepalive_at,
            rival,
        }
    }

    /// A KEEPALIVE is the way to Established.
    ///
    /// # Errors
    /// 5/2 for any other message (RFC 6608 §4).
    pub(crate) fn message(message: RawMessage<'_>) -> Result<(), Notification> {
        match message.kind {
            MessageType::Keepalive => Ok(()),
            _ => Err(unexpected(
                Notification::fsm_error_in_open_confirm(),
                message,
            )),
        }
    }
}
