//! D: time passes.

use thruway_wire::Time;
use thruway_wire::message::{MessageType, encode_keepalive};
use thruway_wire::notification::Notification;

use super::Session;
use crate::conn::{Conn, Phase};
use crate::limits::HOLD_GRACE;
use crate::timers::after;
use crate::wait::{Active, Connect, Wait};
use crate::{Actions, ConnId, DownReason, Refresh};

/// What a connection's timers demand.
enum Due {
    /// The hold timer expired (RFC 4271 §6.5).
    Hold,
    /// The SendHoldTimer expired (RFC 9687).
    SendHold,
    /// An OPEN has waited long enough for a rival.
    Deferred,
    /// A KEEPALIVE goes out.
    Keepalive,
}

impl Session {
    /// When [`tick`](Self::tick) is due next; [`Time::NEVER`] where no timer runs.
    #[must_use]
    pub fn deadline(&self) -> Time {
        let conns = self
            .conns
            .iter()
            .map(|conn| conn.deadline().min(self.hold_at(conn)));
        let idle = self.wait.deadline().min(self.retention.deadline());
        conns.fold(idle, Time::min)
    }

    /// Does what time demands. `unread`: input of one of the connections waits unread, so that an
    /// expired hold timer may be our own slowness; it is then looked at again a little later.
    pub fn tick(&mut self, now: Time, unread: bool, out: &mut dyn Actions) {
        if now < self.deadline() {
            return;
        }
        self.retention.tick(now, out);
        // Each due timer moves or ends its connection, so this ends.
        while let Some((id, due)) = self.due(now) {
            match due {
                Due::Hold if unread => self.grace_until = now + HOLD_GRACE,
                Due::Hold => {
                    let reason = DownReason::Sent(Notification::hold_timer_expired());
                    self.end(now, id, reason, out);
                }
                Due::SendHold => {
                    let reason = DownReason::Sent(Notification::send_hold_timer_expired());
                    self.end(now, id, reason, out);
                }
                Due::Deferred => self.resume(now, id, out),
                Due::Keepalive => self.keepalive(now, id, out),
            }
        }
        while let Some(family) = self
            .established_mut()
            .and_then(|live| live.overdue_refresh(now))
        {
            out.refresh(Refresh::End(family));
        }
        self.tick_wait(now, out);
        self.advertise_state(out);
    }

    fn due(&self, now: Time) -> Option<(ConnId, Due)> {
        self.conns.iter().find_map(|conn| {
            let is_due = |at: Time| at <= now;
            let due = match &conn.phase {
                _ if is_due(self.hold_at(conn)) => Due::Hold,
                Phase::OpenSent(state) if is_due(state.deferred_until()) => Due::Deferred,
                Phase::OpenConfirm(state) if is_due(state.keepalive_at) => Due::Keepalive,
                Phase::Established(state) if is_due(state.send_hold_at) => Due::SendHold,
                Phase::Established(state) if is_due(state.keepalive_at) => Due::Keepalive,
                _ => return None,
            };
            Some((conn.id, due))
        })
    }

    /// When the hold timer of `conn` expires.
    fn hold_at(&self, conn: &Conn) -> Time {
        let at = match &conn.phase {
            Phase::OpenSent(state) => state.hold_at,
            Phase::OpenConfirm(state) => state.hold_at,
            Phase::Established(state) => after(self.heard, state.negotiated.hold_time),
        };
        at.max(self.grace_until)
    }

    fn keepalive(&mut self, now: Time, id: ConnId, out: &mut dyn Actions) {
        let Some(conn) = self.conns.find_mut(id) else {
            return;
        };
        match &mut conn.phase {
            Phase::OpenSent(_) => return,
            Phase::OpenConfirm(state) => {
                state.keepalive_at = now + state.negotiated.keepalive_interval(&mut self.jitter);
            }
            Phase::Established(state) => {
                state.keepalive_at = now + state.negotiated.keepalive_interval(&mut self.jitter);
            }
        }
        self.transmit(id, MessageType::Keepalive, out, encode_keepalive);
    }

    /// The timers of Idle, Connect and Active.
    fn tick_wait(&mut self, now: Time, out: &mut dyn Actions) {
        match self.wait {
            Wait::Idle(idle) if idle.until <= now => self.begin(now, out),
            Wait::Connect(Connect { expires }) if expires <= now => {
                out.cancel_connect();
                out.failed(None, &DownReason::ConnectTimeout);
                if self.conns.is_empty() {
                    self.last_down = Some((now, DownReason::ConnectTimeout));
                }
                self.begin(now, out);
            }
            Wait::Active(Active { retry_at }) if retry_at <= now => {
                if self.conns.is_empty() {
                    self.begin(now, out);
                } else {
                    self.retry_later(now);
                }
            }
            _ => {}
        }
    }
}
