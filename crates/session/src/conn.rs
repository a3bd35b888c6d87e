//! A connection and the (at most two) connections of a session.

use thruway_wire::Time;

use crate::direction::Direction;
use crate::established::Established;
use crate::limits::CONNECTIONS_MAX;
use crate::open_confirm::OpenConfirm;
use crate::open_sent::OpenSent;
use crate::{ConnId, State};

/// An open connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) direction: Direction,
    /// Our OPEN on it had no capabilities (RFC 5492 §3: the peer refuses OPENs that have them).
    pub(crate) bare: bool,
    pub(crate) phase: Phase,
}

/// The states of a connection. Boxed where they hold what was negotiated.
#[derive(Debug)]
pub(crate) enum Phase {
    OpenSent(OpenSent),
    OpenConfirm(Box<OpenConfirm>),
    Established(Box<Established>),
}

impl Conn {
    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::OpenSent(_) => State::OpenSent,
            Phase::OpenConfirm(_) => State::OpenConfirm,
            Phase::Established(_) => State::Established,
        }
    }

    /// Its next timer, the hold timer aside: that one is the session's to judge.
    pub(crate) fn deadline(&self) -> Time {
        match &self.phase {
            Phase::OpenSent(state) => state.deferred_until(),
            Phase::OpenConfirm(state) => state.keepalive_at,
            Phase::Established(state) => state.deadline(),
        }
    }
}

/// The connections of a session.
#[derive(Debug, Default)]
pub(crate) struct Conns([Option<Conn>; CONNECTIONS_MAX]);

impl Conns {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Conn> + Clone {
        self.0.iter().flatten()
    }

    pub(crate) fn find(&self, id: ConnId) -> Option<&Conn> {
        self.iter().find(|conn| conn.id == id)
    }

    pub(crate) fn find_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.0.iter_mut().flatten().find(|conn| conn.id == id)
    }

    /// The one that is not `id`.
    pub(crate) fn other(&self, id: ConnId) -> Option<&Conn> {
        self.iter().find(|conn| conn.id != id)
    }

    pub(crate) fn take(&mut self, id: ConnId) -> Option<Conn> {
        self.0
            .iter_mut()
            .find_map(|slot| slot.take_if(|conn| conn.id == id))
    }

    /// Puts `conn` in a free place; the caller saw that there is one.
    pub(crate) fn insert(&mut self, conn: Conn) {
        debug_assert!(!self.is_full() && self.find(conn.id).is_none());
        if let Some(slot) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(conn);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.iter().count() == CONNECTIONS_MAX
    }
}
