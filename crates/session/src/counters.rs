//! What `show` tells of a session, counted as it happens.

use serde::{Deserialize, Serialize};
use thruway_wire::message::MessageType;

/// Messages by type, in the order OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE-REFRESH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages received.
    pub received: [u64; 5],
    /// Messages sent.
    pub sent: [u64; 5],
    /// Times the session reached Established.
    pub established: u64,
    /// Times it left it.
    pub flaps: u64,
    /// Connections that the peer opened and that were refused.
    pub refused: u64,
    /// Connections closed by the collision rule.
    pub collisions: u64,
}

impl Counters {
    /// The place of a type in [`Counters::received`] and [`Counters::sent`].
    #[must_use]
    pub const fn index(kind: MessageType) -> usize {
        match kind {
            MessageType::Open => 0,
            MessageType::Update => 1,
            MessageType::Notification => 2,
            MessageType::Keepalive => 3,
            MessageType::RouteRefresh => 4,
        }
    }

    pub(crate) fn count_received(&mut self, kind: MessageType) {
        add(&mut self.received, kind, 1);
    }

    pub(crate) fn count_sent(&mut self, kind: MessageType) {
        add(&mut self.sent, kind, 1);
    }

    pub(crate) fn add_updates_sent(&mut self, count: u64) {
        add(&mut self.sent, MessageType::Update, count);
    }
}

fn add(counts: &mut [u64; 5], kind: MessageType, more: u64) {
    if let Some(count) = counts.get_mut(Counters::index(kind)) {
        *count += more;
    }
}
