//! What `max-prefixes` with `block` leaves of what would be taken. The numbers are known, and not which routes:
//! what others are advertised of them is counted as if all came, and a note says so.

use thruway_api::{PlannedRoutes, RouteCounts};
use thruway_config::MaxPrefixes;
use thruway_rib::{ImportCount, LimitAction};

/// What a limit does to the routes of one peer and family.
#[derive(Clone, Copy)]
pub(super) struct Taking<'a> {
    /// The file's limit as it is, and as it would be.
    pub(super) limits: [Option<MaxPrefixes>; 2],
    pub(super) now: &'a RouteCounts,
    pub(super) import: &'a ImportCount,
    /// The session starts anew, and everything comes again.
    pub(super) anew: bool,
}

impl Taking<'_> {
    fn blocks(limit: Option<MaxPrefixes>) -> Option<MaxPrefixes> {
        limit.filter(|limit| limit.action == LimitAction::Block)
    }

    /// How many of `then` accepted ones there may be.
    pub(super) fn accepted(&self, then: u64) -> u64 {
        let Some(limit) = Self::blocks(self.limits[1]) else {
            return then;
        };
        let max = u64::from(limit.limit);
        if self.anew {
            return then.min(max);
        }
        // What is there stays; a limit on what is received lets through what was received before.
        let stays = self
            .now
            .accepted
            .saturating_sub(self.import.rejected + self.import.gone_accepted);
        match limit.accepted_only {
            true => then.min(max.max(stays)),
            false => then,
        }
    }

    /// Leaves of the routes what the limit does; says what cannot be known.
    pub(super) fn apply(&self, peer: &str, routes: &mut PlannedRoutes) -> Option<String> {
        let family = routes.family.clone();
        let all = routes.accepted_then;
        let then = self.accepted(all);
        if let Some(held) = all.checked_sub(then).filter(|held| *held > 0) {
            let unseen = held.saturating_sub(routes.newly_accepted);
            routes.newly_accepted = routes.newly_accepted.saturating_sub(held);
            routes.newly_rejected += unseen;
            routes.accepted_then = then;
            return Some(format!(
                "{peer}: max-prefixes takes {then} of {all} {family} routes, the first that come; what others are \
                 advertised of them is counted as if all came"
            ));
        }
        self.lifted().then(|| {
            format!(
                "{peer}: max-prefixes may have held {family} routes back; the peer is asked for them again, and what \
                 comes is not counted"
            )
        })
    }

    /// True where a limit was met that lets more through then.
    fn lifted(&self) -> bool {
        let Some(before) = Self::blocks(self.limits[0]) else {
            return false;
        };
        let count = match before.accepted_only {
            true => self.now.accepted,
            false => self.now.received,
        };
        let more = Self::blocks(self.limits[1]).is_none_or(|then| {
            then.limit > before.limit || then.accepted_only && !before.accepted_only
        });
        count >= u64::from(before.limit) && more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(limit: u32, accepted_only: bool) -> Option<MaxPrefixes> {
        Some(MaxPrefixes {
            limit,
            warn_at: limit,
            action: LimitAction::Block,
            accepted_only,
            restart_after: None,
        })
    }

    fn taking(
        limits: [Option<MaxPrefixes>; 2],
        anew: bool,
        (accepted, new): (u64, u64),
    ) -> (u64, u64, u64, bool) {
        let now = RouteCounts {
            received: 150,
            accepted,
            ..RouteCounts::default()
        };
        let import = ImportCount {
            accepted: new,
            ..ImportCount::default()
        };
        let mut routes = PlannedRoutes {
            family: "ipv4".to_owned(),
            accepted_now: accepted,
            accepted_then: accepted + new,
            newly_accepted: new,
            ..PlannedRoutes::default()
        };
        let taking = Taking {
            limits,
            now: &now,
            import: &import,
            anew,
        };
        let note = taking.apply("a", &mut routes);
        let PlannedRoutes {
            accepted_then,
            newly_accepted,
            newly_rejected,
            ..
        } = routes;
        (
            accepted_then,
            newly_accepted,
            newly_rejected,
            note.is_some(),
        )
    }

    #[test]
    fn a_limit_that_blocks_bounds_what_is_taken_anew() {
        // A session that starts anew, and one whose policy lets more through.
        assert_eq!(
            taking([None, limit(100, false)], true, (150, 0)),
            (100, 0, 50, true)
        );
        assert_eq!(
            taking([None, limit(100, true)], false, (0, 150)),
            (100, 100, 0, true)
        );
        // What is there stays.
        assert_eq!(
            taking([None, limit(100, true)], false, (120, 30)),
            (120, 0, 0, true)
        );
        assert_eq!(
            taking([None, limit(100, false)], false, (150, 0)),
            (150, 0, 0, false)
        );
        // One that held some back, and lets more through.
        assert_eq!(
            taking([limit(150, false), None], false, (150, 0)),
            (150, 0, 0, true)
        );
        assert_eq!(
            taking([limit(151, false), None], false, (150, 0)),
            (150, 0, 0, false)
        );
        assert_eq!(
            taking([limit(150, false); 2], false, (150, 0)),
            (150, 0, 0, false)
        );
    }
}
