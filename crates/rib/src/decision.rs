//! The decision process (RFC 4271 §9.1.2.2, RFC 4456 §9, RFC 9494 §4.3).
//!
//! A function over candidates, not an order between two of them: MED compares only within a neighbour
//! AS (step 6), so that "better than" is not transitive and the second best is not the second of a sort
//! but the decision process run again without the first. Age never counts: two instances must agree.

use std::fmt;

use serde::{Deserialize, Serialize};
use thruway_wire::attrs::{AttrFlags, AttrMeta};

use crate::adj_rib_in::peers::{Life, Peers};
use crate::table::paths::{Digest, Path, local_pref};
use crate::table::sets::Sets;
use crate::{DecisionConfig, Handle, PeerId};

/// The step of the decision process at which a path lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// 1: long-lived stale loses to everything else (RFC 9494 §4.3).
    LongLivedStale,
    /// 2: higher rank of the source's kind (EXCHANGE preference).
    Rank,
    /// 3: higher LOCAL_PREF (RFC 4271 §9.1.1).
    LocalPref,
    /// 4: shorter AS_PATH (§9.1.2.2 a).
    AsPathLen,
    /// 5: lower ORIGIN (b).
    Origin,
    /// 6: lower MULTI_EXIT_DISC within a neighbour AS (c).
    Med,
    /// 7: external over internal (d).
    External,
    /// 8: lower BGP identifier, or ORIGINATOR_ID (f, RFC 4456 §9). (e), the cost to the next hop, is
    /// equal for all: a route server is not on the way.
    RouterId,
    /// 9: shorter CLUSTER_LIST (RFC 4456 §9).
    ClusterLen,
    /// 10: lower peer address (g).
    PeerAddr,
    /// 11: lower received path identifier (RFC 7911), so that nothing ties.
    PathId,
}

impl Step {
    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::LongLivedStale => "long-lived stale",
            Step::Rank => "rank",
            Step::LocalPref => "local preference",
            Step::AsPathLen => "AS path length",
            Step::Origin => "origin",
            Step::Med => "MED",
            Step::External => "external over internal",
            Step::RouterId => "router id",
            Step::ClusterLen => "cluster list length",
            Step::PeerAddr => "peer address",
            Step::PathId => "path id",
        })
    }
}

/// A path in the running.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Which of the slot's paths.
    pub(crate) index: u32,
    pub(crate) accepted: Handle,
    pub(crate) peer: PeerId,
    odd: bool,
}

impl Candidate {
    #[inline]
    pub(crate) fn new(index: u32, path: &Path) -> Self {
        let (accepted, peer) = (path.accepted, path.peer);
        Candidate {
            index,
            accepted,
            peer,
            odd: path.tag.is_odd(),
        }
    }
}

/// What the decision process looks things up in.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) config: DecisionConfig,
    pub(crate) sets: &'a Sets,
    pub(crate) peers: &'a Peers,
    pub(crate) family: usize,
}

/// The winner, by its place among the paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) index: usize,
    /// MED took some path out: without that one, or the one that did it, another may win.
    pub(crate) med_mattered: bool,
}

/// Where each step leaves its losers.
trait Lost {
    /// At `step` lost `loser`; `rest` holds those that stay.
    fn lost(&mut self, step: Step, loser: Candidate, rest: &[Candidate]);
}

/// Most decisions do not ask why.
struct NobodyAsks;

impl Lost for NobodyAsks {
    #[inline]
    fn lost(&mut self, _: Step, _: Candidate, _: &[Candidate]) {}
}

/// Each path's step, and the path that it lost to.
struct Reasons<'a> {
    judge: Judge<'a>,
    steps: Vec<Option<(Step, Option<u32>)>>,
}

impl Lost for Reasons<'_> {
    fn lost(&mut self, step: Step, loser: Candidate, rest: &[Candidate]) {
        let (neighbor, _) = self.judge.med(&loser);
        // MED is lost to one of the same neighbour AS, other steps to the best of all.
        let to = rest
            .iter()
            .find(|other| step == Step::Med && self.judge.med(other).0 == neighbor);
        if let Some(place) = self.steps.get_mut(loser.index as usize) {
            *place = Some((step, to.map(|to| to.index)));
        }
    }
}

impl Judge<'_> {
    fn meta(&self, candidate: &Candidate) -> AttrMeta {
        self.sets
            .get(candidate.accepted)
            .map_or_else(AttrMeta::default, |set| *set.meta())
    }

    /// The AS that MED compares within, and the MED.
    #[inline]
    fn med(&self, candidate: &Candidate) -> (u32, u32) {
        let (neighbor, med, present) = self.sets.med(candidate.accepted);
        let neighbor = if self.config.always_compare_med {
            0
        } else {
            neighbor.0
        };
        let med = if !present && self.config.missing_med_worst {
            u32::MAX
        } else {
            med
        };
        (neighbor, med)
    }

    fn internal(&self, peer: PeerId) -> bool {
        self.peers.hot(peer).is_some_and(|hot| hot.internal)
    }

    /// ORIGINATOR_ID stands in for the identifier of the peer (RFC 4456 §9).
    fn router_id(&self, candidate: &Candidate) -> u32 {
        let Some(hot) = self.peers.hot(candidate.peer) else {
            return 0;
        };
        let own = hot.router_id.0;
        // From external peers the attribute is not taken (RFC 7606 §7.9).
        if !hot.internal
            || !self
                .sets
                .flags(candidate.accepted)
                .has(AttrFlags::ORIGINATOR_ID)
        {
            return own;
        }
        let set = self.sets.get(candidate.accepted);
        set.and_then(|set| set.as_ref().originator_id())
            .map_or(own, |id| id.0)
    }

    fn cluster_len(&self, candidate: &Candidate) -> u8 {
        if self.internal(candidate.peer) {
            self.meta(candidate).cluster_len
        } else {
            0
        }
    }

    /// Runs the steps before the router id, in which paths can tie. Those that are known to be equal
    /// up to step 5 need not run these.
    fn prefer(
        &self,
        candidates: &mut Vec<Candidate>,
        all_steps: bool,
        lost: &mut impl Lost,
    ) -> bool {
        if all_steps {
            let stale = |c: &Candidate| self.sets.flags(c.accepted).has(AttrFlags::LLGR_STALE);
            cut(candidates, Step::LongLivedStale, stale, lost);
            let rank = |c: &Candidate| 255 - self.peers.hot(c.peer).map_or(0, |hot| hot.rank);
            cut(candidates, Step::Rank, rank, lost);
            cut(
                candidates,
                Step::LocalPref,
                |c| u32::MAX - local_pref(&self.meta(c)),
                lost,
            );
            cut(candidates, Step::AsPathLen, |c| self.meta(c).path_len, lost);
            cut(candidates, Step::Origin, |c| self.meta(c).origin, lost);
        }
        let med_mattered = self.cut_med(candidates, lost);
        cut(candidates, Step::External, |c| self.internal(c.peer), lost);
        med_mattered
    }

    /// Runs all steps over `candidates`, of which the winner stays.
    fn settle(
        &self,
        candidates: &mut Vec<Candidate>,
        all_steps: bool,
        path_id: &impl Fn(u32) -> u32,
        lost: &mut impl Lost,
    ) -> bool {
        let med_mattered = self.prefer(candidates, all_steps, lost);
        cut(candidates, Step::RouterId, |c| self.router_id(c), lost);
        cut(candidates, Step::ClusterLen, |c| self.cluster_len(c), lost);
        let addr = |c: &Candidate| self.peers.get(c.peer).map(|peer| peer.profile.addr);
        cut(candidates, Step::PeerAddr, addr, lost);
        cut(candidates, Step::PathId, |c| path_id(c.index), lost);
        debug_assert!(candidates.len() <= 1, "the last step leaves no tie");
        med_mattered
    }

    /// Step 6: out goes what has a higher MED than another of its neighbour AS.
    fn cut_med(&self, candidates: &mut Vec<Candidate>, lost: &mut impl Lost) -> bool {
        if candidates.len() < 2 || !candidates.iter().any(|c| c.odd) {
            return false;
        }
        let [first, others @ ..] = candidates.as_slice() else {
            return false;
        };
        let (_, first) = self.med(first);
        if others.iter().all(|other| self.med(other).1 == first) {
            return false;
        }
        // Sorted, each neighbour AS begins with its lowest MED.
        candidates.sort_unstable_by_key(|c| (self.med(c), c.index));
        let mut lowest = None;
        let mut kept = 0;
        for at in 0..candidates.len() {
            let Some((neighbor, med)) = candidates.get(at).map(|c| self.med(c)) else {
                break;
            };
            if matches!(lowest, Some((known, low)) if known == neighbor && med > low) {
                continue;
            }
            lowest = Some((neighbor, med));
            candidates.swap(kept, at);
            kept += 1;
        }
        let (rest, losers) = candidates.split_at(kept);
        for loser in losers {
            lost.lost(Step::Med, *loser, rest);
        }
        let any = !losers.is_empty();
        candidates.truncate(kept);
        any
    }

    /// Which candidate wins; `candidates` must be accepted, and equal up to step 5 as far as `digest`,
    /// which all of them share, tells.
    pub(crate) fn settle_equal(
        &self,
        candidates: &mut Vec<Candidate>,
        digest: Digest,
        path_id: &impl Fn(u32) -> u32,
    ) -> Option<Choice> {
        let med_mattered = candidates.len() > 1
            && self.settle(candidates, digest.is_rough(), path_id, &mut NobodyAsks);
        let index = candidates.first()?.index as usize;
        Some(Choice {
            index,
            med_mattered,
        })
    }

    /// Leaves of `candidates`, which share a digest, those that only steps from the router id on tell
    /// apart.
    pub(crate) fn ties(&self, candidates: &mut Vec<Candidate>, digest: Digest) {
        self.prefer(candidates, digest.is_rough(), &mut NobodyAsks);
    }

    /// True where a path takes part: accepted, of a session that lives.
    #[inline]
    pub(crate) fn visible(&self, path: &Path) -> bool {
        path.digest.is_accepted() && self.peers.life(self.family, path.peer, path.tag) != Life::Dead
    }

    /// The best of all visible paths.
    pub(crate) fn best(
        &self,
        paths: &[Path],
        candidates: &mut Vec<Candidate>,
        path_id: &impl Fn(u32) -> u32,
    ) -> Option<Choice> {
        let dead = self.peers.any_dead(self.family);
        let seen = |path: &Path| {
            if dead {
                self.visible(path)
            } else {
                path.digest.is_accepted()
            }
        };
        self.best_where(paths, candidates, path_id, seen)
    }

    /// The best of the paths that `seen` takes, all of them visible.
    #[inline]
    pub(crate) fn best_where(
        &self,
        paths: &[Path],
        candidates: &mut Vec<Candidate>,
        path_id: &impl Fn(u32) -> u32,
        seen: impl Fn(&Path) -> bool,
    ) -> Option<Choice> {
        candidates.clear();
        let mut top = Digest::REJECTED;
        for (index, path) in (0..).zip(paths) {
            if path.digest < top || !seen(path) {
                continue;
            }
            if path.digest > top {
                top = path.digest;
                candidates.clear();
            }
            candidates.push(Candidate::new(index, path));
        }
        self.settle_equal(candidates, top, path_id)
    }

    /// For each path the step at which it lost and the path that it lost to, by index; `None` for the
    /// best and for what takes no part. `eligible` says what takes part.
    pub(crate) fn explain(
        &self,
        paths: &[Path],
        eligible: impl Fn(&Path) -> bool,
        path_id: &impl Fn(u32) -> u32,
    ) -> (Option<usize>, Vec<Option<(Step, usize)>>) {
        let mut candidates: Vec<Candidate> = (0..)
            .zip(paths)
            .filter(|(_, path)| eligible(path))
            .map(|(index, path)| Candidate::new(index, path))
            .collect();
        let mut reasons = Reasons {
            judge: *self,
            steps: vec![None; paths.len()],
        };
        self.settle(&mut candidates, true, path_id, &mut reasons);
        let best = candidates.first().map(|best| best.index);
        let to = |(step, to): (Step, Option<u32>)| Some((step, to.or(best)? as usize));
        let steps = reasons
            .steps
            .into_iter()
            .map(|lost| lost.and_then(to))
            .collect();
        (best.map(|best| best as usize), steps)
    }
}

/// One step: only those with the lowest key stay.
#[inline]
fn cut<K: Ord>(
    candidates: &mut Vec<Candidate>,
    step: Step,
    key: impl Fn(&Candidate) -> K,
    lost: &mut impl Lost,
) {
    if candidates.len() < 2 {
        return;
    }
    let mut lowest = None;
    let mut alike = true;
    for key in candidates.iter().map(&key) {
        match &lowest {
            Some(known) if *known <= key => alike &= *known == key,
            known => {
                alike &= known.is_none();
                lowest = Some(key);
            }
        }
    }
    let Some(lowest) = lowest.filter(|_| !alike) else {
        return;
    };
    candidates.retain(|candidate| {
        let stays = key(candidate) == lowest;
        if !stays {
            lost.lost(step, *candidate, &[]);
        }
        stays
    });
}

#[cfg(test)]
mod tests;
