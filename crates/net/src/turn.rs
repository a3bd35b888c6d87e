//! What one `poll` may still hand out, and what waits to be handed out.

use std::io;

use crate::limits::{POLL_BYTES, POLL_EVENTS};
use crate::table::Key;
use crate::{ConnId, Event};

/// The budget of one `poll`: a worker's turn has other things to do as well.
pub(crate) struct Turn {
    events: usize,
    octets: usize,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Turn {
            events: POLL_EVENTS,
            octets: POLL_BYTES,
        }
    }

    /// Counts an event.
    #[inline]
    pub(crate) fn event(&mut self) {
        self.events = self.events.saturating_sub(1);
    }

    /// Counts input, delivered or thrown away.
    #[inline]
    pub(crate) fn input(&mut self, octets: usize) {
        self.event();
        self.octets = self.octets.saturating_sub(octets);
    }

    /// True once the budget is used up.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.events == 0 || self.octets == 0
    }
}

/// An event that waits for `poll`, or for its end.
pub(crate) enum Pending {
    /// Delivered only if the connection is still open then.
    Connected {
        key: Key,
        conn: ConnId,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
    },
    /// Delivered only if the connection is still open then.
    Sent {
        key: Key,
        conn: ConnId,
        bytes: usize,
    },
    /// The end.
    ConnectFailed { conn: ConnId, error: io::Error },
    /// The end.
    Closed {
        conn: ConnId,
        error: Option<io::Error>,
    },
    /// Input that was received before reading went off, and reading is on again (io_uring).
    Held { key: Key },
}

impl Pending {
    /// The connection that must still be open for the event to have a meaning.
    pub(crate) fn needs_open(&self) -> Option<Key> {
        match self {
            Pending::Connected { key, .. } | Pending::Sent { key, .. } => Some(*key),
            _ => None,
        }
    }

    /// As the caller sees it; `None` for what the transport has to do itself.
    pub(crate) fn into_event(self) -> Option<Event<'static>> {
        Some(match self {
            Pending::Connected {
                conn,
                local,
                remote,
                ..
            } => Event::Connected {
                conn,
                local,
                remote,
            },
            Pending::Sent { conn, bytes, .. } => Event::Sent { conn, bytes },
            Pending::ConnectFailed { conn, error } => Event::ConnectFailed { conn, error },
            Pending::Closed { conn, error } => Event::Closed { conn, error },
            Pending::Held { .. } => return None,
        })
    }
}
