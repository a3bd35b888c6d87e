//! B: what happens to a session.

use thruway_wire::message::{MessageType, RawMessage};
use thruway_wire::notification::Notification;
use thruway_wire::{Family, Time};

use super::Session;
use crate::conn::Phase;
use crate::direction::Direction;
use crate::established::Heard;
use crate::open_confirm::OpenConfirm;
use crate::wait::{Active, Idle, Wait};
use crate::{Actions, ConnId, DownReason};

impl Session {
    /// The peer opened `conn`.
    pub fn accepted(&mut self, now: Time, conn: ConnId, out: &mut dyn Actions) {
        if self.has_conn(conn) {
            return;
        }
        match self.wait {
            Wait::Idle(Idle { refuses: true, .. }) => {
                return self.refuse(now, conn, out);
            }
            Wait::Idle(Idle { until, .. }) => {
                let retry_at = if self.config.passive {
                    Time::NEVER
                } else {
                    until
                };
                self.wait = Wait::Active(Active { retry_at });
            }
            Wait::Connect(_) | Wait::Active(_) => {}
        }
        self.make_room(now, out);
        self.open(now, conn, Direction::Incoming, out);
        self.advertise_state(out);
    }

    /// The connection of the last [`Actions::connect`] is there.
    pub fn connected(&mut self, now: Time, conn: ConnId, out: &mut dyn Actions) {
        if self.has_conn(conn) {
            return;
        }
        if !matches!(self.wait, Wait::Connect(_)) || self.conns.is_full() {
            // It was given up in the meantime.
            return out.close(conn, false);
        }
        self.wait = Wait::LISTEN;
        self.open(now, conn, Direction::Outgoing, out);
        self.advertise_state(out);
    }

    /// The connection of the last [`Actions::connect`] will not come. `error` is the system's text.
    pub fn connect_failed(&mut self, now: Time, error: &str, out: &mut dyn Actions) {
        if !matches!(self.wait, Wait::Connect(_)) {
            return;
        }
        let reason = DownReason::ConnectFailed(error.to_owned());
        out.failed(None, &reason);
        if self.conns.is_empty() {
            self.last_down = Some((now, reason));
        }
        self.retry_later(now);
        self.advertise_state(out);
    }

    /// `conn` is closed, with the system's text where that was an error. Its last event.
    pub fn closed(&mut self, now: Time, conn: ConnId, error: Option<&str>, out: &mut dyn Actions) {
        self.end(now, conn, DownReason::Closed(error.map(str::to_owned)), out);
        self.advertise_state(out);
    }

    /// A whole message came in on `conn`. UPDATEs go to
    /// [`update_received`](Self::update_received) first, and come here where that says `false`.
    pub fn message(
        &mut self,
        now: Time,
        conn: ConnId,
        message: RawMessage<'_>,
        out: &mut dyn Actions,
    ) {
        if !self.has_conn(conn) {
            return;
        }
        self.counters.count_received(message.kind);
        if message.kind == MessageType::Notification {
            let notification = Notification::parse(message.body());
            self.last_received = Some((now, notification.clone()));
            self.end(now, conn, DownReason::Received(notification), out);
        } else if let Err(error) = self.take_message(now, conn, message, out) {
            self.end(now, conn, DownReason::Sent(error), out);
        }
        self.advertise_state(out);
    }

    fn take_message(
        &mut self,
        now: Time,
        id: ConnId,
        message: RawMessage<'_>,
        out: &mut dyn Actions,
    ) -> Result<(), Notification> {
        let Some(conn) = self.conns.find_mut(id) else {
            return Ok(());
        };
        match &mut conn.phase {
            Phase::OpenSent(state) => {
                let bare = conn.bare.then(|| self.config.without_capabilities());
                let config = bare.as_ref().unwrap_or(&self.config);
                if let Some(negotiated) = state.message(config, conn.direction, message)? {
                    self.opened(now, id, negotiated, out);
                }
            }
            Phase::OpenConfirm(_) => {
                OpenConfirm::message(message)?;
                self.establish(now, id, out);
            }
            Phase::Established(state) => match state.message(now, &self.config, message)? {
                Heard::Alive => self.heard = now,
                Heard::Refresh(refresh) => out.refresh(refresh),
                Heard::Nothing => {}
            },
        }
        Ok(())
    }

    /// An UPDATE came in on `conn`. True where it may: then its hold timer is restarted and the
    /// UPDATE is the caller's. Else the UPDATE belongs to [`message`](Self::message).
    #[inline]
    pub fn update_received(&mut self, now: Time, conn: ConnId) -> bool {
        let live = self.live == Some(conn);
        if live {
            self.heard = now;
            self.counters.count_received(MessageType::Update);
        }
        live
    }

    /// The octets of `conn` are no message: `notification` is what
    /// [`message::frame`](thruway_wire::message::frame) answers (RFC 4271 §6.1).
    pub fn frame_error(
        &mut self,
        now: Time,
        conn: ConnId,
        notification: Notification,
        out: &mut dyn Actions,
    ) {
        self.end(now, conn, DownReason::Sent(notification), out);
        self.advertise_state(out);
    }

    /// An UPDATE of `conn` has a verdict of reset: `notification` is what it answers
    /// (RFC 4271 §6.3).
    pub fn update_error(
        &mut self,
        now: Time,
        conn: ConnId,
        notification: Notification,
        out: &mut dyn Actions,
    ) {
        self.end(now, conn, DownReason::Sent(notification), out);
        self.advertise_state(out);
    }

    /// The Established connection brought the End-of-RIB of `family` (RFC 4724 §2).
    pub fn end_of_rib(&mut self, _now: Time, family: Family, out: &mut dyn Actions) {
        if let Some(state) = self.established_mut() {
            state.filling.remove(family);
            self.retention.end_of_rib(family, out);
        }
    }

    /// The socket of `conn` took some output: restarts the SendHoldTimer (RFC 9687).
    pub fn sent(&mut self, now: Time, conn: ConnId) {
        if self
            .established()
            .is_some_and(|state| state.send_hold_at != Time::NEVER)
        {
            self.send_queue(now, conn, false);
            self.send_queue(now, conn, true);
        }
    }

    /// Output waits for the socket of `conn`, or (`waits` is false) none does any more.
    pub fn send_queue(&mut self, now: Time, conn: ConnId, waits: bool) {
        if self.live != Some(conn) {
            return;
        }
        let span = self
            .established()
            .and_then(|state| state.send_hold(&self.config));
        let Some(state) = self.established_mut() else {
            return;
        };
        match span {
            Some(span) if waits && state.send_hold_at == Time::NEVER => {
                state.send_hold_at = now + span;
            }
            Some(_) if waits => {}
            _ => state.send_hold_at = Time::NEVER,
        }
    }

    /// `count` UPDATEs went to the connection: for [`counters`](Self::counters) alone.
    pub fn count_updates_sent(&mut self, count: u64) {
        self.counters.add_updates_sent(count);
    }
}
