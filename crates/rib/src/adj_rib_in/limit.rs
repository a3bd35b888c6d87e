//! Limits on the prefixes of a peer, over all shards.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::adj_rib_in::peers::PeerFamily;
use crate::limits::{SHARD_BATCH_NLRI_MAX, SHARDS_MAX};
use crate::{LimitAction, PrefixLimit};

/// What other shards may have taken in and not yet counted: one event each.
const IN_FLIGHT: u32 = (SHARDS_MAX * SHARD_BATCH_NLRI_MAX) as u32;

/// The news that counting brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) near: bool,
    pub(crate) reached: bool,
}

/// Counts the paths of one event against a limit. Far below it the sum is added once, at the end.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    limit: Option<Arc<PrefixLimit>>,
    /// Paths that need no look at the shared count.
    credit: u32,
    taken: u32,
    freed: u32,
    news: News,
}

impl Counting {
    /// Of an event with `count` NLRI.
    pub(crate) fn new(limit: Option<&Arc<PrefixLimit>>, count: u32) -> Self {
        let Some(limit) = limit else {
            return Counting::default();
        };
        let ends = limit.warn_at.min(limit.max);
        let room = ends
            .saturating_sub(limit.held.load(Relaxed))
            .saturating_sub(IN_FLIGHT);
        let credit = if count as usize <= SHARD_BATCH_NLRI_MAX {
            room.min(count)
        } else {
            0
        };
        Counting {
            limit: Some(limit.clone()),
            credit,
            ..Counting::default()
        }
    }

    /// True where accepted paths count, not received ones.
    #[inline]
    pub(crate) fn accepted_only(&self) -> bool {
        self.limit.as_ref().is_some_and(|limit| limit.accepted_only)
    }

    /// Counts one more path. False where it must stay out.
    #[inline]
    pub(crate) fn admit(&mut self, of: &mut PeerFamily) -> bool {
        let Some(limit) = &self.limit else {
            return true;
        };
        if self.taken < self.credit {
            self.taken += 1;
            return true;
        }
        let held = limit.held.fetch_add(1, Relaxed) + 1;
        if held > limit.warn_at && !of.near {
            of.near = true;
            self.news.near = true;
        }
        if held <= limit.max {
            return true;
        }
        if !of.reached {
            of.reached = true;
            self.news.reached = true;
        }
        if limit.action == LimitAction::Warn {
            return true;
        }
        limit.held.fetch_sub(1, Relaxed);
        of.blocked += 1;
        false
    }

    /// Counts one path less.
    #[inline]
    pub(crate) fn release(&mut self) {
        self.freed += 1;
    }

    /// Adds up; returns what is to be told.
    pub(crate) fn finish(self, of: &mut PeerFamily) -> News {
        let Some(limit) = self.limit else {
            return News::default();
        };
        if self.taken > 0 {
            limit.held.fetch_add(self.taken, Relaxed);
        }
        if self.freed > 0 {
            let held = limit
                .held
                .fetch_sub(self.freed, Relaxed)
                .saturating_sub(self.freed);
            settle(&limit, of, held);
        }
        self.news
    }
}

/// Forgets what was told and no longer holds.
fn settle(limit: &PrefixLimit, of: &mut PeerFamily, held: u32) {
    of.near &= held > limit.warn_at;
    of.reached &= held > limit.max || (of.blocked > 0 && held == limit.max);
}

/// A limit took the place of another one, with what was counted: what it says of that.
pub(crate) fn replaced(limit: Option<&Arc<PrefixLimit>>, of: &mut PeerFamily) -> News {
    let held = limit.map_or(0, |limit| limit.held.load(Relaxed));
    of.near = limit.is_some_and(|limit| held > limit.warn_at);
    of.reached = limit.is_some_and(|limit| held > limit.max);
    News {
        near: of.near,
        reached: of.reached,
    }
}

/// Takes `count` paths off a limit at once.
pub(crate) fn release_all(limit: Option<&Arc<PrefixLimit>>, of: &mut PeerFamily, count: u32) {
    if let Some(limit) = limit {
        let held = limit.held.fetch_sub(count, Relaxed).saturating_sub(count);
        settle(limit, of, held);
    }
}

/// True, once, where paths were held back and there is room again.
pub(crate) fn room_again(limit: Option<&Arc<PrefixLimit>>, of: &mut PeerFamily) -> bool {
    if of.blocked == 0 {
        return false;
    }
    // One that only warns takes all; under another one there may be more than before.
    let room = limit.is_none_or(|limit| {
        limit.action == LimitAction::Warn || limit.held.load(Relaxed) < limit.max
    });
    if room {
        of.blocked = 0;
        of.reached = false;
    }
    room
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn limit(max: u32, action: LimitAction) -> Arc<PrefixLimit> {
        let held = AtomicU32::new(0);
        Arc::new(PrefixLimit {
            max,
            warn_at: max / 2,
            action,
            accepted_only: false,
            held,
        })
    }

    fn admit(limit: &Arc<PrefixLimit>, of: &mut PeerFamily, count: u32) -> (u32, News) {
        let mut counting = Counting::new(Some(limit), count);
        let taken = (0..count).filter(|_| counting.admit(of)).count() as u32;
        (taken, counting.finish(of))
    }

    #[test]
    fn block_takes_exactly_the_limit_and_says_so_once() {
        let (limit, mut of) = (limit(10, LimitAction::Block), PeerFamily::default());
        assert_eq!(admit(&limit, &mut of, 4), (4, News::default()));
        let news = News {
            near: true,
            reached: true,
        };
        assert_eq!(admit(&limit, &mut of, 8), (6, news));
        assert_eq!(admit(&limit, &mut of, 1), (0, News::default()));
        assert_eq!((of.blocked, limit.held.load(Relaxed)), (3, 10));
        assert!(!room_again(Some(&limit), &mut of));
        let mut counting = Counting::new(Some(&limit), 1);
        counting.release();
        counting.finish(&mut of);
        assert!(room_again(Some(&limit), &mut of));
        assert!(!room_again(Some(&limit), &mut of), "told once");
        assert_eq!(
            admit(&limit, &mut of, 2),
            (
                1,
                News {
                    near: false,
                    reached: true
                }
            )
        );
    }

    #[test]
    fn far_below_the_limit_nothing_is_shared_until_the_end() {
        let (limit, mut of) = (
            limit(1_000_000, LimitAction::Restart),
            PeerFamily::default(),
        );
        let mut counting = Counting::new(Some(&limit), 100);
        assert!((0..100).all(|_| counting.admit(&mut of)));
        assert_eq!(limit.held.load(Relaxed), 0);
        assert_eq!(counting.finish(&mut of), News::default());
        assert_eq!(limit.held.load(Relaxed), 100);
    }

    #[test]
    fn a_limit_that_is_too_small_for_what_is_there_says_so() {
        let (limit, mut of) = (limit(10, LimitAction::Restart), PeerFamily::default());
        for (held, near, reached) in [(5, false, false), (10, true, false), (11, true, true)] {
            limit.held.store(held, Relaxed);
            assert_eq!(replaced(Some(&limit), &mut of), News { near, reached });
        }
        assert_eq!(replaced(None, &mut of), News::default());
        assert!(!of.near && !of.reached);
    }

    #[test]
    fn warn_takes_all() {
        let (limit, mut of) = (limit(3, LimitAction::Warn), PeerFamily::default());
        assert_eq!(
            admit(&limit, &mut of, 5),
            (
                5,
                News {
                    near: true,
                    reached: true
                }
            )
        );
        release_all(Some(&limit), &mut of, 5);
        assert_eq!(
            (of.near, of.reached, limit.held.load(Relaxed)),
            (false, false, 0)
        );
    }

    #[test]
    fn what_was_held_back_is_asked_for_when_the_limit_leaves_room() {
        let blocked = || {
            let mut of = PeerFamily::default();
            of.blocked = 4;
            of
        };
        for (max, action, room) in [
            (2, LimitAction::Block, false),
            (3, LimitAction::Block, true),
            (2, LimitAction::Restart, false),
            (3, LimitAction::Restart, true),
            (2, LimitAction::Warn, true),
        ] {
            let (limit, mut of) = (limit(max, action), blocked());
            limit.held.store(2, Relaxed);
            assert_eq!(room_again(Some(&limit), &mut of), room, "{max} {action:?}");
            assert_eq!(of.blocked == 0, room);
        }
        assert!(room_again(None, &mut blocked()));
    }
}
