//! From a fresh connection to Established.

use thruway_wire::Time;
use thruway_wire::message::{MessageType, encode_keepalive};
use thruway_wire::notification::Notification;

use super::Session;
use crate::collision::{Collision, judge};
use crate::conn::{Conn, Phase};
use crate::direction::Direction;
use crate::established::Established;
use crate::negotiate::our_open;
use crate::open_confirm::OpenConfirm;
use crate::open_sent::{Deferred, OpenSent};
use crate::wait::{Active, Connect, Wait};
use crate::{Actions, ConnId, DownReason, Negotiated};

impl Session {
    /// Begins to look for the peer: calls, or, passive, listens.
    pub(super) fn begin(&mut self, now: Time, out: &mut dyn Actions) {
        if self.config.passive {
            self.wait = Wait::LISTEN;
        } else {
            self.dial(now, out);
        }
    }

    /// Opens a connection to the peer (RFC 4271 §8.2.2: Connect).
    pub(super) fn dial(&mut self, now: Time, out: &mut dyn Actions) {
        let expires = now + self.jitter.shorten(self.config.connect_retry);
        self.wait = Wait::Connect(Connect { expires });
        out.connect();
    }

    /// Stops dialing, if that is what goes on: the peer is here already.
    fn hang_up(&mut self, out: &mut dyn Actions) {
        if matches!(self.wait, Wait::Connect(_)) {
            out.cancel_connect();
        }
        self.wait = Wait::LISTEN;
    }

    /// A connection is there: our OPEN goes out (RFC 4271 §8.2.2: events 16 and 17).
    pub(super) fn open(
        &mut self,
        now: Time,
        id: ConnId,
        direction: Direction,
        out: &mut dyn Actions,
    ) {
        let bare = self.bare;
        let phase = Phase::OpenSent(OpenSent::new(now));
        self.conns.insert(Conn {
            id,
            direction,
            bare,
            phase,
        });
        let open = our_open(&self.config, bare);
        self.transmit(id, MessageType::Open, out, |bytes| open.encode(bytes));
    }

    /// Turns a connection away before an OPEN (RFC 4486 §4).
    pub(super) fn refuse(&mut self, now: Time, id: ConnId, out: &mut dyn Actions) {
        let notification = Notification::connection_rejected();
        self.counters.refused += 1;
        self.transmit(id, MessageType::Notification, out, |bytes| {
            notification.encode(bytes);
        });
        self.last_sent = Some((now, notification));
        out.close(id, true);
    }

    /// Makes room for a connection of the peer. One that opens a second connection has given up
    /// its first, unless that is a session; and an attempt of ours beside a session is worth less.
    pub(super) fn make_room(&mut self, now: Time, out: &mut dyn Actions) {
        let mut attempts = self
            .conns
            .iter()
            .filter(|conn| !matches!(conn.phase, Phase::Established(_)));
        let incoming = attempts
            .clone()
            .find(|conn| conn.direction == Direction::Incoming);
        let outgoing = attempts.next().filter(|_| self.conns.is_full());
        let loser = incoming.or(outgoing).map(|conn| conn.id);
        drop(attempts);
        if let Some(id) = loser {
            self.collide(now, id, out);
        }
    }

    /// The peer's OPEN on `id` fits: only one connection may go on from here.
    pub(super) fn opened(
        &mut self,
        now: Time,
        id: ConnId,
        negotiated: Negotiated,
        out: &mut dyn Actions,
    ) {
        if let (Some(this), Some(other)) = (self.conns.find(id), self.conns.other(id)) {
            let other_id = other.id;
            match judge(now, &self.config, this, other, &negotiated) {
                Collision::None => {}
                Collision::Defer => return self.defer(now, id, negotiated),
                Collision::KeepThis => self.collide(now, other_id, out),
                Collision::Restarted => self.end_conn(now, other_id, DownReason::Restarted, out),
                Collision::KeepOther => return self.collide(now, id, out),
            }
        }
        self.confirm(now, id, negotiated, out);
    }

    /// The answer to an OPEN waits.
    fn defer(&mut self, now: Time, id: ConnId, negotiated: Negotiated) {
        if let Some(Conn {
            phase: Phase::OpenSent(state),
            ..
        }) = self.conns.find_mut(id)
        {
            state.deferred = Some(Box::new(Deferred::new(now, negotiated)));
        }
    }

    /// The answer to an OPEN need not wait any longer: the rival of `id` is gone, or too slow.
    pub(super) fn resume(&mut self, now: Time, id: ConnId, out: &mut dyn Actions) {
        let Some(Conn {
            phase: Phase::OpenSent(state),
            ..
        }) = self.conns.find_mut(id)
        else {
            return;
        };
        let Some(deferred) = state.deferred.take() else {
            return;
        };
        let alive = deferred.alive;
        self.confirm(now, id, deferred.negotiated, out);
        if alive {
            self.establish(now, id, out);
        }
    }

    /// Closes the connection that loses (RFC 4271 §6.8).
    fn collide(&mut self, now: Time, id: ConnId, out: &mut dyn Actions) {
        self.counters.collisions += 1;
        let reason = DownReason::Sent(Notification::connection_collision());
        self.end_conn(now, id, reason, out);
    }

    /// To OpenConfirm: our KEEPALIVE accepts the peer's OPEN.
    fn confirm(&mut self, now: Time, id: ConnId, negotiated: Negotiated, out: &mut dyn Actions) {
        let rival = self.conns.other(id).map(|conn| conn.id);
        let confirmed = OpenConfirm::new(now, negotiated, rival, &mut self.jitter);
        if let Some(conn) = self.conns.find_mut(id) {
            conn.phase = Phase::OpenConfirm(Box::new(confirmed));
        }
        self.transmit(id, MessageType::Keepalive, out, encode_keepalive);
        self.hang_up(out);
    }

    /// To Established.
    pub(super) fn establish(&mut self, now: Time, id: ConnId, out: &mut dyn Actions) {
        let Some(Conn {
            direction,
            bare,
            phase: Phase::OpenConfirm(confirmed),
            ..
        }) = self.conns.take(id)
        else {
            return;
        };
        let state = Box::new(Established::new(now, *confirmed));
        self.live = Some(id);
        self.heard = now;
        self.grace_until = now;
        self.retries.clear();
        self.counters.established += 1;
        self.retention.up(now, &state.negotiated, out);
        out.established(id, &state.negotiated);
        self.conns.insert(Conn {
            id,
            direction,
            bare,
            phase: Phase::Established(state),
        });
    }

    /// Listens, and calls again after a while (RFC 4271 §8.2.2: Active).
    pub(super) fn retry_later(&mut self, now: Time) {
        self.wait = if self.config.passive {
            Wait::LISTEN
        } else {
            let span = self
                .retries
                .next(crate::limits::RETRY_FIRST, self.config.connect_retry);
            Wait::Active(Active {
                retry_at: now + self.jitter.shorten(span),
            })
        };
    }
}
