//! The helper's side of graceful restart: routes that outlive their session (RFC 4724 §4.2,
//! RFC 8538, RFC 9494).
//!
//! ```text
//!   session down ──► stale ──restart time──► long-lived stale ──stale time──► swept
//!                      └──── session up, End-of-RIB (or no longer offered) ────┘
//! ```

use std::time::Duration;

use thruway_wire::{Asn, Family, FamilySet, Time};

use crate::limits::SYNC_MAX;
use crate::{Actions, DownReason, Negotiated, SessionConfig, Stale};

/// What is kept of each family.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    kept: [Option<Kept>; 2],
    /// Whose routes they are.
    peer_as: Asn,
}

/// Stale routes of one family.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// In the second phase (RFC 9494).
    long_lived: bool,
    /// The restart timer, then the long-lived stale timer.
    until: Time,
    /// Length of the second phase; zero where there is none.
    stale_time: Duration,
    /// The session is up again: its End-of-RIB must have come by then.
    sync_until: Time,
}

impl Retention {
    /// The session ended: tells the caller, and begins to keep what `reason` lets stand.
    pub(crate) fn down(
        &mut self,
        now: Time,
        config: &SessionConfig,
        negotiated: &Negotiated,
        reason: &DownReason,
        out: &mut dyn Actions,
    ) {
        self.peer_as = negotiated.peer_as;
        let survives = survives(negotiated, reason);
        let mut retain = FamilySet::EMPTY;
        for family in Family::ALL {
            let fresh = survives
                .then(|| keep(now, config, negotiated, family))
                .flatten();
            let older = self.slot(family).take();
            let kept = match older {
                // RFC 9494 §4.2: a further restart neither ends nor renews the second phase.
                Some(older) if older.long_lived && older.until > now && fresh.is_some() => {
                    Some(Kept {
                        sync_until: Time::NEVER,
                        ..older
                    })
                }
                // RFC 4724 §4.2: in a further restart, what was stale already goes.
                Some(_) if fresh.is_some() => {
                    out.stale(Stale::Sweep(family));
                    fresh
                }
                _ => fresh,
            };
            if kept.is_some() {
                retain.insert(family);
            }
            *self.slot(family) = kept;
        }
        out.down(reason, retain);
        for family in retain.iter() {
            if self.slot(family).is_some_and(|kept| kept.long_lived) {
                out.stale(Stale::LongLived(family));
            }
        }
    }

    /// The session is up again: sweeps what the peer does not vouch for, lets the rest wait for its
    /// End-of-RIB.
    pub(crate) fn up(&mut self, now: Time, negotiated: &Negotiated, out: &mut dyn Actions) {
        let same_peer = self.peer_as == negotiated.peer_as;
        for family in Family::ALL {
            let Some(kept) = self.slot(family) else {
                continue;
            };
            let vouched = negotiated.peer_gr.is_some_and(|peer| {
                let preserved = if kept.long_lived {
                    peer.long_lived_preserved
                } else {
                    peer.preserved
                };
                preserved.contains(family)
            });
            if same_peer && vouched && negotiated.families.contains(family) {
                kept.sync_until = now + SYNC_MAX;
            } else {
                self.sweep(family, out);
            }
        }
    }

    /// The routes of `family` are all there: what is still stale goes.
    pub(crate) fn end_of_rib(&mut self, family: Family, out: &mut dyn Actions) {
        self.sweep(family, out);
    }

    /// Nothing is kept any longer.
    pub(crate) fn clear(&mut self, out: &mut dyn Actions) {
        Family::ALL
            .into_iter()
            .for_each(|family| self.sweep(family, out));
    }

    pub(crate) fn tick(&mut self, now: Time, out: &mut dyn Actions) {
        for family in Family::ALL {
            let Some(kept) = self.slot(family) else {
                continue;
            };
            if now < kept.deadline() {
                continue;
            }
            if kept.sync_until == Time::NEVER && !kept.long_lived && !kept.stale_time.is_zero() {
                kept.long_lived = true;
                kept.until = kept.until + kept.stale_time;
                out.stale(Stale::LongLived(family));
            }
            if kept.deadline() <= now {
                self.sweep(family, out);
            }
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        self.kept
            .iter()
            .flatten()
            .fold(Time::NEVER, |at, kept| at.min(kept.deadline()))
    }

    /// Families with stale routes.
    pub(crate) fn families(&self) -> FamilySet {
        let is_kept = |family: &Family| {
            self.kept
                .get(family.index())
                .is_some_and(|kept| kept.is_some())
        };
        Family::ALL.into_iter().filter(is_kept).collect()
    }

    fn sweep(&mut self, family: Family, out: &mut dyn Actions) {
        if self.slot(family).take().is_some() {
            out.stale(Stale::Sweep(family));
        }
    }

    fn slot(&mut self, family: Family) -> &mut Option<Kept> {
        let [ipv4, ipv6] = &mut self.kept;
        match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        }
    }
}

impl Kept {
    /// While the session is up only the wait for End-of-RIB counts: RFC 4724 §4.2 stops the restart
    /// timer then, and RFC 9494 §4.2 lets the stale time pass without effect until the next loss.
    fn deadline(&self) -> Time {
        if self.sync_until == Time::NEVER {
            self.until
        } else {
            self.sync_until
        }
    }
}

/// Whether an end of this kind starts a graceful restart: a lost connection does, a NOTIFICATION
/// only where both sides said so and it is no Hard Reset (RFC 8538 §4).
fn survives(negotiated: &Negotiated, reason: &DownReason) -> bool {
    let Some(peer) = negotiated.peer_gr else {
        return false;
    };
    match reason {
        DownReason::Closed(_) | DownReason::Restarted => true,
        DownReason::Sent(notification) | DownReason::Received(notification) => {
            peer.notification && (notification.code, notification.subcode) != (6, 9)
        }
        DownReason::ConnectFailed(_) | DownReason::ConnectTimeout | DownReason::Stopped(_) => false,
    }
}

/// How long routes of `family` may stay, if at all.
fn keep(
    now: Time,
    config: &SessionConfig,
    negotiated: &Negotiated,
    family: Family,
) -> Option<Kept> {
    let (offer, peer) = (config.graceful_restart?, negotiated.peer_gr?);
    let listed = peer.families.contains(family);
    // RFC 9494 §4.2: the restart time of a family that only the long-lived capability lists is 0.
    let restart_time = if listed {
        peer.restart_time.min(offer.helper_time_max)
    } else {
        0
    };
    let stale_time = peer.long_lived.get(family.index()).copied().unwrap_or(0);
    let stale_time = stale_time.min(config.long_lived.unwrap_or(0));
    let kept = Kept {
        long_lived: restart_time == 0,
        until: now + Duration::from_secs(u64::from(restart_time)),
        stale_time: Duration::from_secs(u64::from(stale_time)),
        sync_until: Time::NEVER,
    };
    match (
        negotiated.families.contains(family),
        restart_time,
        stale_time,
    ) {
        (false, ..) | (_, 0, 0) => None,
        (true, 0, _) => Some(Kept {
            until: kept.until + kept.stale_time,
            ..kept
        }),
        (true, ..) => Some(kept),
    }
}
