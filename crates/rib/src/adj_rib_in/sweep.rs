//! Sessions come and go: what that means for the paths that are there.
//!
//! A path's generation says which session, or which span between two refreshes, advertised it. Death, age
//! and long life are marks on generations, so they hold for all paths at once; one circular walk over
//! the slots then takes out the dead, judges again what a new profile or long life asks for, and
//! logs what changed.

use std::sync::Arc;

use thruway_wire::attrs::AttrFlags;
use thruway_wire::{Family, FamilySet};

use crate::adj_rib_in::apply::remove;
use crate::adj_rib_in::limit::{News, release_all};
use crate::adj_rib_in::peers::{Again, Count, Job, Life};
use crate::core::Core;
use crate::table::paths::Path;
use crate::table::{Table, TableKey};
use crate::{Handle, PeerId, PeerProfile, PrefixLimit, ShardNote};

/// The walk through one family's table.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    at: u32,
    /// The table's length when it was last looked at.
    len: u32,
}

impl Sweeper {
    /// Goes on for `budget` slots at most; returns how many it took. 0: nothing is pending.
    pub(crate) fn run<P: TableKey>(
        &mut self,
        table: &mut Table<P>,
        core: &mut Core,
        budget: u32,
    ) -> u32 {
        if core.jobs.get(P::INDEX).is_none_or(|jobs| *jobs == 0) {
            return 0;
        }
        finish_early::<P>(core);
        // Slots that came since lie in the way round: they are passed on top.
        let grown = table.len() - std::mem::replace(&mut self.len, table.len());
        for peer in core.peers.iter_mut() {
            if let Some(family) = peer.families.get_mut(P::INDEX)
                && family.job.remaining > 0
            {
                family.job.remaining += grown;
            }
        }
        let furthest = |core: &Core| {
            let jobs = core
                .peers
                .iter()
                .filter_map(|peer| peer.families.get(P::INDEX));
            jobs.map(|family| family.job.remaining).max().unwrap_or(0)
        };
        let steps = furthest(core).min(budget);
        for _ in 0..steps {
            if self.at >= table.len() {
                self.at = 0;
            }
            sweep_slot(table, core, self.at);
            self.at += 1;
        }
        pass::<P>(core, steps);
        steps
    }
}

/// Asks the sweeper to pass all slots for a peer.
pub(crate) fn plan(core: &mut Core, peer: PeerId, family: usize, slots: u32, again: Again) {
    let held = held(core, peer, family);
    let Some(of) = core
        .peers
        .get_mut(peer)
        .and_then(|peer| peer.families.get_mut(family))
    else {
        return;
    };
    let job = &mut of.job;
    let was = job.remaining > 0;
    // A walk under way may have passed slots that now need it: count them all again.
    job.remaining = if held == 0 { 0 } else { slots };
    job.judge |= again != Again::No;
    job.touch |= again == Again::All;
    let is = job.remaining > 0;
    if !is {
        *job = Job::default();
    }
    if let Some(jobs) = core.jobs.get_mut(family) {
        *jobs = *jobs - u32::from(was) + u32::from(is);
    }
}

/// Asks the sweeper to take what has died.
fn plan_dead(core: &mut Core, peer: PeerId, family: usize, slots: u32) {
    if core.peers.dead_paths(peer, family) > 0 {
        plan(core, peer, family, slots, Again::No);
    }
}

/// Paths of a peer in the table, dead ones included.
fn held(core: &Core, peer: PeerId, family: usize) -> u32 {
    let counters = core.peers.counters(peer, Family::ALL[family & 1]);
    counters.received + core.peers.dead_paths(peer, family)
}

/// Ends walks that have nothing left to find.
fn finish_early<P: TableKey>(core: &mut Core) {
    let done: Vec<PeerId> = core
        .peers
        .iter()
        .filter(|peer| {
            let family = peer.families.get(P::INDEX);
            family.is_some_and(|family| family.job.remaining > 0 && !family.job.judge)
        })
        .map(|peer| peer.profile.id)
        .filter(|peer| core.peers.dead_paths(*peer, P::INDEX) == 0)
        .collect();
    for peer in done {
        end(core, peer, P::INDEX);
    }
}

/// Counts `steps` slots as passed for everyone.
fn pass<P: TableKey>(core: &mut Core, steps: u32) {
    let mut done = Vec::new();
    for peer in core.peers.iter_mut() {
        let Some(family) = peer.families.get_mut(P::INDEX) else {
            continue;
        };
        if family.job.remaining == 0 {
            continue;
        }
        family.job.remaining = family.job.remaining.saturating_sub(steps);
        if family.job.remaining == 0 {
            done.push(peer.profile.id);
        }
    }
    for peer in done {
        end(core, peer, P::INDEX);
    }
}

fn end(core: &mut Core, peer: PeerId, family: usize) {
    if let Some(of) = core
        .peers
        .get_mut(peer)
        .and_then(|peer| peer.families.get_mut(family))
    {
        of.job = Job::default();
        if let Some(jobs) = core.jobs.get_mut(family) {
            *jobs -= 1;
        }
    }
    debug_assert_eq!(
        core.peers.dead_paths(peer, family),
        0,
        "a full walk takes all dead paths"
    );
    forget_if_swept(core, peer);
}

/// Drops a forgotten peer when nothing of it is left.
pub(crate) fn forget_if_swept(core: &mut Core, peer: PeerId) {
    let Some(known) = core.peers.get(peer) else {
        return;
    };
    let busy = known.families.iter().any(|family| family.job.remaining > 0);
    if known.forget && !busy {
        core.note(peer, ShardNote::Swept(peer));
        core.peers.remove(peer);
    }
}

/// Takes dead paths out of a slot and judges again those of peers that ask for it.
fn sweep_slot<P: TableKey>(table: &mut Table<P>, core: &mut Core, slot: u32) {
    let mut index = 0;
    let mut changed = false;
    while let Some(path) = table.paths(slot).get(index).copied() {
        let life = core.peers.life(P::INDEX, path.peer, path.tag);
        if life == Life::Dead {
            core.peers.took_dead(P::INDEX, &path);
            remove(table, core, slot, index, true);
            index = 0; // the paths have changed places
            continue;
        }
        let job = core
            .peers
            .get(path.peer)
            .and_then(|peer| peer.families.get(P::INDEX))
            .map_or_else(Job::default, |family| family.job);
        if job.remaining > 0 && job.judge {
            match judge_again(table, core, slot, path, life) {
                Verdict::Gone => {
                    remove(table, core, slot, index, false);
                    index = 0;
                    continue;
                }
                Verdict::Path(now) => {
                    changed |= now != path || job.touch;
                    if let Some(place) = table.paths_mut(slot).get_mut(index) {
                        *place = now;
                    }
                }
            }
        }
        index += 1;
    }
    if changed {
        core.decide(table, slot);
        table.touch(slot, &mut core.log);
    }
}

enum Verdict {
    Path(Path),
    Gone,
}

fn judge_again<P: TableKey>(
    table: &Table<P>,
    core: &mut Core,
    slot: u32,
    old: Path,
    life: Life,
) -> Verdict {
    let Some(prefix) = table.slot(slot).map(|slot| slot.prefix()) else {
        return Verdict::Path(old);
    };
    let no_llgr = core.sets.flags(old.received).has(AttrFlags::NO_LLGR);
    if life == Life::LongLived && no_llgr {
        uncount::<P>(core, &old); // RFC 9494 §4.2: not to be kept
        return Verdict::Gone;
    }
    let mut now = old;
    now.accepted = match core.keeps_out(old.peer, prefix) {
        true => Handle::NONE,
        false => core.import(old.peer, old.received, prefix, life),
    };
    if now.accepted.is_some() && old.accepted.is_none() && !admit_again::<P>(core, old.peer) {
        now.accepted = Handle::NONE;
    }
    let (digest, odd) = core.digest(old.peer, P::FAMILY, now.accepted);
    (now.digest, now.tag) = (digest, old.tag.with_odd(odd));
    if now.accepted != old.accepted {
        core.acquire(&now);
        core.release(&old);
        recount::<P>(core, &old, &now);
    }
    Verdict::Path(now)
}

/// Asks a limit on accepted paths whether one more may be.
fn admit_again<P: TableKey>(core: &mut Core, peer: PeerId) -> bool {
    let Some(known) = core.peers.get_mut(peer) else {
        return false;
    };
    let limit = known
        .limit(P::INDEX)
        .filter(|limit| limit.accepted_only)
        .cloned();
    let mut counting = crate::adj_rib_in::limit::Counting::new(limit.as_ref(), 1);
    let Some(of) = known.families.get_mut(P::INDEX) else {
        return false;
    };
    let admitted = counting.admit(of);
    let news = counting.finish(of);
    core.blocked |= of.blocked;
    tell(core, peer, P::FAMILY, news);
    admitted
}

/// Notes what counting against a limit brought.
fn tell(core: &mut Core, peer: PeerId, family: Family, news: News) {
    if news.near {
        core.note(peer, ShardNote::LimitNear(peer, family));
    }
    if news.reached {
        core.note(peer, ShardNote::LimitReached(peer, family));
    }
}

/// Counts a path whose acceptance changed.
fn recount<P: TableKey>(core: &mut Core, old: &Path, now: &Path) {
    let Some(peer) = core.peers.get_mut(old.peer) else {
        return;
    };
    let limit = peer
        .limit(P::INDEX)
        .filter(|limit| limit.accepted_only)
        .cloned();
    let Some(of) = peer.families.get_mut(P::INDEX) else {
        return;
    };
    let was = old.accepted.is_some();
    if was && now.accepted.is_none() {
        release_all(limit.as_ref(), of, 1);
    }
    if let Some(count) = of.count(old.tag.generation()) {
        count.accepted = count.accepted.saturating_sub(u32::from(was));
        count.accepted += u32::from(now.accepted.is_some());
    }
}

/// Counts a path that goes.
fn uncount<P: TableKey>(core: &mut Core, old: &Path) {
    let Some(peer) = core.peers.get_mut(old.peer) else {
        return;
    };
    let accepted = u32::from(old.accepted.is_some());
    let limit = peer.limit(P::INDEX).cloned();
    let Some(of) = peer.families.get_mut(P::INDEX) else {
        return;
    };
    let share = match &limit {
        Some(limit) if limit.accepted_only => accepted,
        _ => 1,
    };
    release_all(limit.as_ref(), of, share);
    if let Some(count) = of.count(old.tag.generation()) {
        count.received = count.received.saturating_sub(1);
        count.accepted = count.accepted.saturating_sub(accepted);
    }
}

/// Turns a peer's generations of one life into another's, and counts what dies.
fn turn(core: &mut Core, peer: PeerId, family: usize, from: Life, to: Life) -> Count {
    let moved = core.peers.turn(peer, family, from, to);
    if to == Life::Dead
        && let Some(known) = core.peers.get_mut(peer)
    {
        let limit = known.limit(family).cloned();
        if let Some(of) = known.families.get_mut(family) {
            let accepted_only = limit.as_ref().is_some_and(|limit| limit.accepted_only);
            let share = if accepted_only {
                moved.accepted
            } else {
                moved.received
            };
            release_all(limit.as_ref(), of, share);
        }
    }
    moved
}

/// The session is up, or its import side changed.
pub(crate) fn peer_up(core: &mut Core, profile: &Arc<PeerProfile>, slots: [u32; 2]) {
    if let Some(old) = core.peers.get(profile.id).map(|peer| peer.profile.clone()) {
        core.peers.move_limits(&old, profile);
    }
    let changed = core.peers.get(profile.id).map(|peer| {
        let limits = |profile: &PeerProfile| profile.limits.each_ref().map(pointer);
        limits(&peer.profile) != limits(profile)
    });
    let again = core.peers.set(profile);
    if changed == Some(true) {
        heed_limits(core, profile.id);
    }
    if again != Again::No {
        for (family, slots) in slots.into_iter().enumerate() {
            plan(core, profile.id, family, slots, again);
        }
    }
}

fn pointer(limit: &Option<Arc<PrefixLimit>>) -> Option<*const PrefixLimit> {
    limit.as_ref().map(Arc::as_ptr)
}

/// A peer has other limits: what they say of the paths that are there is said anew. Each shard moves its
/// part of the count, so that the last one sees it all.
fn heed_limits(core: &mut Core, peer: PeerId) {
    for family in Family::ALL {
        let Some(known) = core.peers.get_mut(peer) else {
            return;
        };
        let limit = known.limit(family.index()).cloned();
        let Some(of) = known.families.get_mut(family.index()) else {
            continue;
        };
        let news = crate::adj_rib_in::limit::replaced(limit.as_ref(), of);
        tell(core, peer, family, news);
    }
}

/// The session is gone.
pub(crate) fn peer_down(
    core: &mut Core,
    peer: PeerId,
    retain: FamilySet,
    forget: bool,
    slots: [u32; 2],
) {
    let Some(known) = core.peers.get_mut(peer) else {
        return;
    };
    known.up = false;
    known.forget |= forget;
    for (family, slots) in Family::ALL.into_iter().zip(slots) {
        let index = family.index();
        if retain.contains(family) && !forget {
            // What was stale before is not kept a second time (RFC 4724 §4.2).
            turn(core, peer, index, Life::Stale, Life::Dead);
            turn(core, peer, index, Life::Fresh, Life::Stale);
        } else {
            for from in [Life::Fresh, Life::Stale, Life::LongLived] {
                turn(core, peer, index, from, Life::Dead);
            }
        }
        plan_dead(core, peer, index, slots);
        if let Some(of) = core
            .peers
            .get_mut(peer)
            .and_then(|peer| peer.families.get_mut(index))
        {
            of.blocked = 0;
            (of.near, of.reached) = (false, false);
        }
    }
    forget_if_swept(core, peer);
}

/// What the peer advertised so far is stale until advertised again.
pub(crate) fn mark_stale(core: &mut Core, peer: PeerId, family: usize) {
    turn(core, peer, family, Life::Fresh, Life::Stale);
}

/// Drops what is still stale.
pub(crate) fn sweep_stale(core: &mut Core, peer: PeerId, family: usize, slots: u32) {
    turn(core, peer, family, Life::Stale, Life::Dead);
    turn(core, peer, family, Life::LongLived, Life::Dead);
    plan_dead(core, peer, family, slots);
}

/// Turns stale into long-lived stale (RFC 9494 §4.2).
pub(crate) fn long_lived(core: &mut Core, peer: PeerId, family: usize, slots: u32) {
    if turn(core, peer, family, Life::Stale, Life::LongLived).received > 0 {
        plan(core, peer, family, slots, Again::Judge);
    }
}

/// Gives the peer a generation for what it tells next; true where one was free.
pub(crate) fn renew(core: &mut Core, peer: PeerId, family: usize) -> bool {
    let known = core
        .peers
        .get(peer)
        .and_then(|peer| peer.families.get(family));
    let Some(current) = known.map(|family| family.current) else {
        return true;
    };
    core.peers.generation_life(peer, family, current) == Life::Fresh
        || core.peers.renew(peer, family)
}

/// Brings a peer's stale generations together where none is left to give: walks the whole table, which
/// only a peer that asks for refresh after refresh without an end brings about.
pub(crate) fn merge_generations<P: TableKey>(table: &mut Table<P>, core: &mut Core, peer: PeerId) {
    for life in [Life::Stale, Life::LongLived] {
        let into = (0..crate::adj_rib_in::peers::GENERATIONS)
            .find(|generation| core.peers.generation_life(peer, P::INDEX, *generation) == life);
        let Some(into) = into else { continue };
        for slot in 0..table.len() {
            for path in table.paths_mut(slot) {
                let other = path.peer == peer && path.tag.generation() != into;
                if other && core.peers.life(P::INDEX, peer, path.tag) == life {
                    core.peers.move_path(P::INDEX, path, into);
                    path.tag = path.tag.with_generation(into);
                }
            }
        }
    }
    for slot in 0..table.len() {
        if table.paths(slot).iter().any(|path| path.peer == peer) {
            sweep_slot(table, core, slot);
        }
    }
}
