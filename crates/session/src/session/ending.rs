//! How a connection, and with it perhaps the session, ends.

use thruway_wire::Time;
use thruway_wire::message::MessageType;
use thruway_wire::notification::Notification;

use super::Session;
use crate::conn::{Conn, Phase};
use crate::established::Established;
use crate::limits::{REFUSE_AFTER, STABLE_AFTER};
use crate::wait::{Idle, Wait};
use crate::{Actions, ConnId, DownReason};

impl Session {
    /// Ends a connection and, where it was the last one, decides what comes next.
    pub(super) fn end(&mut self, now: Time, id: ConnId, reason: DownReason, out: &mut dyn Actions) {
        let Some(conn) = self.conns.find(id) else {
            return;
        };
        let was_established = matches!(conn.phase, Phase::Established(_));
        let fault = is_fault(&reason);
        // A connection that merely breaks, or is not wanted, before it was a session says nothing
        // against the peer: it closes what it does not expect, or has a session with us already.
        let harmless = !was_established && is_harmless(&reason);
        self.note_bare(conn.bare, &reason);
        self.end_conn(now, id, reason, out);
        if let Some(other) = self.conns.other(id).map(|conn| conn.id) {
            return self.resume(now, other, out);
        }
        match self.wait {
            // Another attempt is under way, or its time is set.
            Wait::Connect(_) => {}
            Wait::Active(active) if harmless && active.retry_at != Time::NEVER => {}
            _ if harmless => self.retry_later(now),
            _ => self.idle(now, fault, out),
        }
    }

    /// Ends a connection: tells the peer, the transport, and the caller. What comes next is the
    /// business of whoever calls.
    pub(super) fn end_conn(
        &mut self,
        now: Time,
        id: ConnId,
        reason: DownReason,
        out: &mut dyn Actions,
    ) {
        let Some(conn) = self.conns.take(id) else {
            return;
        };
        self.part(now, &conn, &reason, out);
        match conn.phase {
            Phase::Established(state) => self.down(now, &state, &reason, out),
            Phase::OpenSent(_) | Phase::OpenConfirm(_) => {
                out.failed(Some(id), &reason);
                if !self.conns.is_empty() {
                    return;
                }
            }
        }
        self.last_down = Some((now, reason));
    }

    /// The last that goes over the connection.
    fn part(&mut self, now: Time, conn: &Conn, reason: &DownReason, out: &mut dyn Actions) {
        match reason {
            DownReason::Sent(notification) => {
                self.send_notification(now, conn.id, notification, out);
                // RFC 9687 §4.3: output is stuck, there is no use in waiting for it.
                let stuck = notification.code == Notification::send_hold_timer_expired().code;
                out.close(conn.id, !stuck);
            }
            DownReason::Stopped(notification) => {
                match hard_reset(conn, notification) {
                    Some(wrapped) => self.send_notification(now, conn.id, &wrapped, out),
                    None => self.send_notification(now, conn.id, notification, out),
                }
                out.close(conn.id, true);
            }
            DownReason::Received(_) => out.close(conn.id, true),
            // RFC 4724 §4.2: without a NOTIFICATION.
            DownReason::Restarted => out.close(conn.id, false),
            DownReason::Closed(_) | DownReason::ConnectFailed(_) | DownReason::ConnectTimeout => {}
        }
    }

    fn send_notification(
        &mut self,
        now: Time,
        id: ConnId,
        notification: &Notification,
        out: &mut dyn Actions,
    ) {
        self.transmit(id, MessageType::Notification, out, |bytes| {
            notification.encode(bytes);
        });
        self.last_sent = Some((now, notification.clone()));
    }

    /// The session itself is over.
    fn down(&mut self, now: Time, state: &Established, reason: &DownReason, out: &mut dyn Actions) {
        self.live = None;
        self.counters.flaps += 1;
        if now.since(state.since) >= STABLE_AFTER {
            self.damping.clear();
        }
        self.retention
            .down(now, &self.config, &state.negotiated, reason, out);
    }

    /// To Idle for a while that grows with each failure (RFC 4271 §8.1.1: DampPeerOscillations).
    fn idle(&mut self, now: Time, fault: bool, out: &mut dyn Actions) {
        let span = self
            .damping
            .next(self.config.idle_hold, self.config.idle_hold_max);
        let until = now + self.jitter.shorten(span);
        let failures = self.damping.failures();
        let refuses = fault || failures >= REFUSE_AFTER;
        let since = now;
        self.wait = Wait::Idle(Idle {
            until,
            refuses,
            failures,
            since,
        });
        if let Some(damped) = self.damped() {
            out.damped(&damped);
        }
    }

    /// RFC 5492 §3: a peer that knows no capabilities refuses the whole parameter; it gets an OPEN
    /// without, once.
    fn note_bare(&mut self, was_bare: bool, reason: &DownReason) {
        let unsupported = Notification::unsupported_optional_parameter();
        self.bare = !was_bare
            && matches!(reason, DownReason::Received(notification)
                if (notification.code, notification.subcode)
                    == (unsupported.code, unsupported.subcode));
    }
}

/// The peer did something wrong: its connections are refused while damping lasts.
fn is_fault(reason: &DownReason) -> bool {
    match reason {
        // All but: hold timer expired, Cease, SendHoldTimer expired.
        DownReason::Sent(notification) => !matches!(notification.code, 4 | 6 | 8),
        _ => false,
    }
}

fn is_harmless(reason: &DownReason) -> bool {
    match reason {
        DownReason::Closed(_) => true,
        DownReason::Received(notification) => {
            let collision = Notification::connection_collision();
            (notification.code, notification.subcode) == (collision.code, collision.subcode)
        }
        _ => false,
    }
}

/// The Hard Reset that carries `notification` (RFC 8538 §3.1), for a peer that knows it.
fn hard_reset(conn: &Conn, notification: &Notification) -> Option<Notification> {
    let Phase::Established(state) = &conn.phase else {
        return None;
    };
    let knows = state
        .negotiated
        .peer_gr
        .is_some_and(|peer| peer.notification);
    knows.then(|| {
        let mut data = vec![notification.code, notification.subcode];
        data.extend_from_slice(&notification.data);
        Notification::hard_reset().with_data(data)
    })
}
