//! C: what an operator, or the caller, wants of a session.

use std::time::Duration;

use thruway_wire::message::MessageType;
use thruway_wire::notification::Notification;
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::{Family, Time};

use super::Session;
use crate::wait::{Active, Idle, Wait};
use crate::{Actions, ConnId, DownReason, SessionConfig};

impl Session {
    /// Starts it, also out of an idle hold; forgets earlier failures. What runs goes on.
    pub fn start(&mut self, now: Time, out: &mut dyn Actions) {
        if matches!(self.wait, Wait::Idle(_)) {
            self.damping.clear();
            self.retries.clear();
            self.begin(now, out);
            self.advertise_state(out);
        }
    }

    /// Stops it, with `notification` (a Cease, RFC 4486) to the peer. No routes are kept. With
    /// `restart_after` it starts again by itself; until then the peer is refused.
    pub fn stop(
        &mut self,
        now: Time,
        notification: Notification,
        restart_after: Option<Duration>,
        out: &mut dyn Actions,
    ) {
        let until = restart_after.map_or(Time::NEVER, |span| now + span);
        self.halt(
            now,
            notification,
            Idle {
                until,
                refuses: true,
                failures: 0,
                since: now,
            },
            out,
        );
    }

    /// Stops it like [`stop`](Self::stop) and lets it start again after the shortest idle hold.
    pub fn reset(&mut self, now: Time, notification: Notification, out: &mut dyn Actions) {
        if self.is_stopped() {
            return;
        }
        let until = now + self.jitter.shorten(self.config.idle_hold);
        self.damping.clear();
        self.halt(
            now,
            notification,
            Idle {
                until,
                refuses: false,
                failures: 0,
                since: now,
            },
            out,
        );
    }

    fn halt(&mut self, now: Time, notification: Notification, idle: Idle, out: &mut dyn Actions) {
        if matches!(self.wait, Wait::Connect(_)) {
            out.cancel_connect();
        }
        self.wait = Wait::Idle(idle);
        let reason = DownReason::Stopped(notification);
        while let Some(id) = self.any_conn() {
            self.end_conn(now, id, reason.clone(), out);
        }
        self.retention.clear(out);
        self.bare = false;
        self.advertise_state(out);
    }

    fn any_conn(&self) -> Option<ConnId> {
        self.conns.iter().next().map(|conn| conn.id)
    }

    /// True where what is running was made with another configuration and would have to be
    /// [`reset`](Self::reset) for this one.
    #[must_use]
    pub fn needs_reset(&self, config: &SessionConfig) -> bool {
        !self.conns.is_empty() && config.needs_reset(&self.config)
    }

    /// Takes a new configuration. True where what is running was made with the old one and must be
    /// [`reset`](Self::reset) for the new one to take effect.
    #[must_use]
    pub fn reconfigure(&mut self, config: SessionConfig) -> bool {
        let reset = self.needs_reset(&config);
        let was_passive = std::mem::replace(&mut self.config, config).passive;
        if let Wait::Active(active) = &mut self.wait {
            if self.config.passive {
                active.retry_at = Time::NEVER;
            } else if was_passive && self.conns.is_empty() {
                // Due: the next tick calls.
                *active = Active {
                    retry_at: Time::ZERO,
                };
            }
        }
        reset
    }

    /// Asks the peer to send `family` again (RFC 2918). False where it cannot.
    pub fn request_refresh(&mut self, family: Family, out: &mut dyn Actions) -> bool {
        let able = self.negotiated().is_some_and(|negotiated| {
            negotiated.route_refresh && negotiated.families.contains(family)
        });
        match self.live {
            Some(conn) if able => {
                let request = RouteRefresh {
                    family: family.to_wire(),
                    subtype: RouteRefresh::REQUEST,
                };
                self.transmit(conn, MessageType::RouteRefresh, out, |bytes| {
                    request.encode(bytes);
                });
                true
            }
            _ => false,
        }
    }

    /// Marks where a refresh of `family` begins or ends among the UPDATEs (RFC 7313 §4). False
    /// where the peer does not know such marks.
    pub fn refresh_marker(&mut self, family: Family, begin: bool, out: &mut dyn Actions) -> bool {
        let able = self.negotiated().is_some_and(|negotiated| {
            negotiated.enhanced_route_refresh && negotiated.families.contains(family)
        });
        match self.live {
            Some(conn) if able => {
                let subtype = if begin {
                    RouteRefresh::BEGIN
                } else {
                    RouteRefresh::END
                };
                let marker = RouteRefresh {
                    family: family.to_wire(),
                    subtype,
                };
                self.scratch.clear();
                marker.encode(&mut self.scratch);
                self.counters.count_sent(MessageType::RouteRefresh);
                out.send_in_order(conn, &self.scratch);
                true
            }
            _ => false,
        }
    }
}
