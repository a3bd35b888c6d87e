//! Established: routes flow (RFC 4271 §8.2.2).

use std::time::Duration;

use thruway_wire::message::{MessageType, RawMessage};
use thruway_wire::notification::Notification;
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::{Family, FamilySet, Time};

use crate::limits::{REFRESH_STALE_MAX, SEND_HOLD_MIN};
use crate::open_confirm::OpenConfirm;
use crate::open_sent::unexpected;
use crate::{ConnId, Negotiated, Refresh, SessionConfig};

/// A session at work. Its hold timer is the session's `heard`, which each UPDATE moves.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) negotiated: Negotiated,
    pub(crate) since: Time,
    pub(crate) keepalive_at: Time,
    /// The SendHoldTimer (RFC 9687): runs while output waits for the socket.
    pub(crate) send_hold_at: Time,
    /// See [`OpenConfirm::rival`].
    pub(crate) rival: Option<ConnId>,
    /// By family: a refresh that began must have ended by then (RFC 7313 §4).
    pub(crate) refresh_until: [Time; 2],
    /// Families whose End-of-RIB a peer with graceful restart has still to send: until then its refresh
    /// markers do not count (RFC 7313 §4).
    pub(crate) filling: FamilySet,
}

/// What a message means to a session at work.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The peer lives.
    Alive,
    /// A ROUTE-REFRESH to act on.
    Refresh(Refresh),
    /// A ROUTE-REFRESH to ignore.
    Nothing,
}

impl Established {
    pub(crate) fn new(now: Time, confirmed: OpenConfirm) -> Self {
        let filling = match confirmed.negotiated.ends_tables {
            true => confirmed.negotiated.families,
            false => FamilySet::EMPTY,
        };
        Established {
            filling,
            negotiated: confirmed.negotiated,
            since: now,
            keepalive_at: confirmed.keepalive_at,
            send_hold_at: Time::NEVER,
            rival: confirmed.rival,
            refresh_until: [Time::NEVER; 2],
        }
    }

    /// All timers but the hold timer.
    pub(crate) fn deadline(&self) -> Time {
        let refresh = self
            .refresh_until
            .iter()
            .fold(Time::NEVER, |at, until| at.min(*until));
        self.keepalive_at.min(self.send_hold_at).min(refresh)
    }

    /// # Errors
    /// 5/3 for an OPEN (RFC 6608 §4), 7/1 for a malformed marker of a refresh (RFC 7313 §5).
    pub(crate) fn message(
        &mut self,
        now: Time,
        config: &SessionConfig,
        message: RawMessage<'_>,
    ) -> Result<Heard, Notification> {
        match message.kind {
            MessageType::Keepalive | MessageType::Update => Ok(Heard::Alive),
            MessageType::RouteRefresh => self.route_refresh(now, config, message),
            MessageType::Open | MessageType::Notification => Err(unexpected(
                Notification::fsm_error_in_established(),
                message,
            )),
        }
    }

    /// A message about a family that is not in use, or of a kind that was not offered, is ignored
    /// (RFC 2918 §4, RFC 7313 §4.2).
    fn route_refresh(
        &mut self,
        now: Time,
        config: &SessionConfig,
        message: RawMessage<'_>,
    ) -> Result<Heard, Notification> {
        if !config.route_refresh {
            return Ok(Heard::Nothing);
        }
        let parsed = match RouteRefresh::parse(message.body()) {
            Err(error) if self.negotiated.enhanced_route_refresh => return Err(error),
            Err(_) => None,
            Ok(parsed) => parsed,
        };
        let Some((family, subtype)) = parsed
            .and_then(|refresh| Some((Family::from_wire(refresh.family)?, refresh.subtype)))
            .filter(|(family, _)| self.negotiated.families.contains(*family))
        else {
            return Ok(Heard::Nothing);
        };
        Ok(match subtype {
            RouteRefresh::REQUEST => Heard::Refresh(Refresh::Request(family)),
            RouteRefresh::BEGIN if self.filling.contains(family) => Heard::Nothing,
            RouteRefresh::BEGIN if self.negotiated.enhanced_route_refresh => {
                self.set_refresh(family, now + REFRESH_STALE_MAX);
                Heard::Refresh(Refresh::Begin(family))
            }
            RouteRefresh::END if self.set_refresh(family, Time::NEVER) != Time::NEVER => {
                Heard::Refresh(Refresh::End(family))
            }
            _ => Heard::Nothing,
        })
    }

    /// Sets the end of a refresh and gives what stood there.
    pub(crate) fn set_refresh(&mut self, family: Family, until: Time) -> Time {
        let slot = self.refresh_until.get_mut(family.index());
        slot.map_or(Time::NEVER, |slot| std::mem::replace(slot, until))
    }

    /// A family whose refresh should have ended by `now`; asking clears it.
    pub(crate) fn overdue_refresh(&mut self, now: Time) -> Option<Family> {
        let families = self.negotiated.families;
        let family = families.iter().find(|family| {
            self.refresh_until
                .get(family.index())
                .is_some_and(|at| *at <= now)
        })?;
        self.set_refresh(family, Time::NEVER);
        Some(family)
    }

    /// The SendHoldTime (RFC 9687 §4.4, §6): more than the hold time; off with it.
    pub(crate) fn send_hold(&self, config: &SessionConfig) -> Option<Duration> {
        let hold = Duration::from_secs(u64::from(self.negotiated.hold_time));
        match config.send_hold {
            _ if hold.is_zero() => None,
            None => Some(SEND_HOLD_MIN.max(hold * 2)),
            Some(span) if span.is_zero() => None,
            Some(span) => Some(span.max(hold + Duration::from_secs(1))),
        }
    }
}
