//! Announcements and withdrawals: look up, replace, decide, log.
//!
//! The shard calls it for each event of a batch. The hot path of everything that comes in: no allocation where a
//! path replaces one of the same peer, no second look at a slot, and looks ahead so that the memory is there.

use std::ops::Range;

use thruway_wire::Nlri;

use crate::adj_rib_in::limit::Counting;
use crate::adj_rib_in::peers::{Count, Life, Peer};
use crate::core::Core;
use crate::table::paths::{Digest, Path, Tag};
use crate::table::{MISS, Table, TableKey};
use crate::{Handle, PeerId, ShardNote};

/// NLRI whose look-ups overlap: the misses of one hide behind those of the others.
const RUN: usize = 32;

/// The slots of a batch's next NLRI, whatever their events: most events have too few NLRI for their
/// misses to overlap. No slot is freed while a batch is applied, so a slot found stays the prefix's.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    start: usize,
    end: usize,
    hashes: [u64; RUN],
    slots: [u32; RUN],
    /// Bit n: a prefix of the run whose hash ends in n may have got a slot since the run was looked up.
    made: u64,
}

impl Ahead {
    /// Hash and slot of the NLRI at `at`, which rises from call to call. The slot may be missing though an
    /// NLRI before it has made it.
    #[inline]
    fn at<P: TableKey>(&mut self, table: &Table<P>, nlri: &[Nlri<P>], at: usize) -> (u64, u32) {
        if at >= self.end {
            let run = nlri.get(at..).unwrap_or_default();
            let run = run.get(..RUN).unwrap_or(run);
            (self.start, self.end) = (at, at + run.len());
            self.made = 0;
            table.find_run(run, &mut self.hashes, &mut self.slots);
        }
        let place = at - self.start;
        let hash = self.hashes.get(place).copied().unwrap_or(0);
        (hash, self.slots.get(place).copied().unwrap_or(MISS))
    }

    /// The slot of a prefix that the look-up missed, if another one of the run was the same.
    #[inline]
    fn made<P: TableKey>(&mut self, table: &Table<P>, hash: u64, prefix: &P) -> Option<u32> {
        let bit = 1 << (hash & 63);
        if self.made & bit != 0 {
            return table.find(hash, prefix);
        }
        self.made |= bit;
        None
    }
}

/// One event with its NLRI.
#[derive(Debug)]
struct Event {
    peer: PeerId,
    generation: u8,
    counting: Counting,
    /// What the event changed in its generation's counts.
    added: Count,
    removed: Count,
    /// Uses of `received` that new paths make.
    uses: u32,
    received: Handle,
    /// The verdict, where it is the same for all prefixes.
    verdict: Option<Verdict>,
}

/// What import makes of a set.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    accepted: Handle,
    digest: Digest,
    odd: bool,
}

impl Verdict {
    const REJECTED: Verdict = Verdict {
        accepted: Handle::NONE,
        digest: Digest::REJECTED,
        odd: false,
    };

    fn new<P: TableKey>(core: &mut Core, peer: PeerId, received: Handle, prefix: P) -> Self {
        let accepted = core.import(peer, received, prefix, Life::Fresh);
        let (digest, odd) = core.digest(peer, P::FAMILY, accepted);
        Verdict {
            accepted,
            digest,
            odd,
        }
    }
}

impl Event {
    fn new<P: TableKey>(core: &Core, peer: PeerId, count: u32) -> Option<Event> {
        let known: &Peer = core.peers.get(peer).filter(|peer| peer.up)?;
        Some(Event {
            peer,
            generation: known.families.get(P::INDEX)?.current,
            counting: Counting::new(known.limit(P::INDEX), count),
            added: Count::default(),
            removed: Count::default(),
            uses: 0,
            received: Handle::NONE,
            verdict: None,
        })
    }

    /// The path that the event makes of a prefix, the first of its peer's.
    #[inline]
    fn path<P: TableKey>(&self, core: &mut Core, nlri: &Nlri<P>) -> Path {
        let verdict = match self.verdict {
            _ if core.keeps_out(self.peer, nlri.prefix) => Verdict::REJECTED,
            Some(verdict) => verdict,
            None => Verdict::new(core, self.peer, self.received, nlri.prefix),
        };
        Path {
            received: self.received,
            accepted: verdict.accepted,
            peer: self.peer,
            tag: Tag::new(self.generation, 0, nlri.path_id != 0).with_odd(verdict.odd),
            digest: verdict.digest,
        }
    }

    /// Counts a path that the peer did not have.
    #[inline]
    fn entered(&mut self, core: &mut Core, path: &Path) {
        self.added.received += 1;
        self.uses += 1;
        if path.accepted.is_some() {
            self.added.accepted += 1;
            if path.accepted != path.received {
                core.sets.acquire(path.accepted, 1);
            }
        }
    }

    /// Takes back what [`admit`] counted of a new path: the table has no room for it.
    #[cold]
    fn refused(&mut self, path: &Path) {
        if !self.counting.accepted_only() || path.accepted.is_some() {
            self.counting.release();
        }
    }

    fn finish<P: TableKey>(self, core: &mut Core) {
        core.sets.acquire(self.received, self.uses);
        let Some(of) = core
            .peers
            .get_mut(self.peer)
            .and_then(|peer| peer.families.get_mut(P::INDEX))
        else {
            return;
        };
        if let Some(count) = of.count(self.generation) {
            count.received += self.added.received;
            count.accepted += self.added.accepted;
            debug_assert!(count.received >= self.removed.received);
            debug_assert!(count.accepted >= self.removed.accepted);
            count.received = count.received.saturating_sub(self.removed.received);
            count.accepted = count.accepted.saturating_sub(self.removed.accepted);
        }
        let news = self.counting.finish(of);
        core.blocked |= of.blocked;
        if news.near {
            core.note(self.peer, ShardNote::LimitNear(self.peer, P::FAMILY));
        }
        if news.reached {
            core.note(self.peer, ShardNote::LimitReached(self.peer, P::FAMILY));
        }
    }
}

/// Takes the part `range` of a batch's NLRI, of a peer with one set.
pub(crate) fn announce<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    ahead: &mut Ahead,
    (peer, received): (PeerId, Handle),
    nlri: &[Nlri<P>],
    range: Range<usize>,
) {
    let Some(mut event) = Event::new::<P>(core, peer, range.len() as u32) else {
        return;
    };
    event.received = received;
    let Some(first) = nlri.get(range.start) else {
        return;
    };
    let uses_prefix = core
        .peers
        .get(peer)
        .and_then(|peer| peer.profile.import.as_ref())
        .is_some_and(|policy| policy.uses_prefix());
    if !uses_prefix {
        event.verdict = Some(Verdict::new(core, peer, received, first.prefix));
    }
    for at in range {
        let (hash, slot) = ahead.at(table, nlri, at);
        let Some(nlri) = nlri.get(at) else { break };
        let known = match slot {
            MISS => ahead.made(table, hash, &nlri.prefix),
            slot => Some(slot),
        };
        if let Some(slot) = known {
            put(table, core, &mut event, slot, nlri);
        } else {
            begin(table, core, &mut event, hash, nlri);
        }
    }
    event.finish::<P>(core);
}

/// Makes a slot for a prefix that has none: there is nothing to compare its path with.
#[inline]
fn begin<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    event: &mut Event,
    hash: u64,
    nlri: &Nlri<P>,
) {
    let mut path = event.path(core, nlri);
    if !admit::<P>(core, event, &mut path, true, false) {
        return;
    }
    let log = path.accepted.is_some().then_some(&mut core.log);
    if table.begin(hash, nlri, path, log) {
        event.entered(core, &path);
    } else {
        event.refused(&path);
    }
}

/// Puts a peer's path into a slot.
#[inline]
fn put<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    event: &mut Event,
    slot: u32,
    nlri: &Nlri<P>,
) {
    let path = event.path(core, nlri);
    match table.position(slot, event.peer, nlri.path_id) {
        Some(index) => replace(table, core, event, slot, index, path),
        None => insert(table, core, event, slot, nlri.path_id, path),
    }
}

/// A path where the peer had none.
fn insert<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    event: &mut Event,
    slot: u32,
    id: u32,
    mut path: Path,
) {
    let sub = match id {
        0 if table.paths(slot).is_empty() => Some(0),
        _ => table.free_sub(slot, event.peer),
    };
    let Some(sub) = sub else {
        return drop_if_empty(table, core, slot);
    };
    path.tag = Tag::new(event.generation, sub, id != 0).with_odd(path.tag.is_odd());
    if !admit::<P>(core, event, &mut path, true, false) {
        return drop_if_empty(table, core, slot);
    }
    let best = seen(table, core, slot);
    if !table.push(slot, path, id) {
        event.refused(&path);
        return drop_if_empty(table, core, slot);
    }
    event.entered(core, &path);
    if path.accepted.is_none() {
        return;
    }
    let index = table.paths(slot).len() - 1;
    core.decide_after(table, slot, index, Digest::REJECTED);
    touch(table, core, slot, best, false);
}

/// A path where the peer had one.
fn replace<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    event: &mut Event,
    slot: u32,
    index: usize,
    mut path: Path,
) {
    let Some(old) = table.paths(slot).get(index).copied() else {
        return;
    };
    path.tag = old
        .tag
        .with_generation(event.generation)
        .with_odd(path.tag.is_odd());
    if path == old {
        return;
    }
    let life = core.peers.life(P::INDEX, old.peer, old.tag);
    let was_held = life != Life::Dead;
    let was_accepted = was_held && old.accepted.is_some();
    if !admit::<P>(core, event, &mut path, !was_held, was_accepted) {
        return; // a dead path stays for the sweeper
    }
    let best = seen(table, core, slot);
    move_count::<P>(core, event, &old, was_held);
    event.added.received += 1;
    event.added.accepted += u32::from(path.accepted.is_some());
    event.uses += 1;
    if path.accepted.is_some() && path.accepted != path.received {
        core.sets.acquire(path.accepted, 1);
    }
    core.release(&old);
    if let Some(place) = table.paths_mut(slot).get_mut(index) {
        *place = path;
    }
    let before = if was_held {
        old.digest
    } else {
        Digest::REJECTED
    };
    if old.accepted == path.accepted && before == path.digest {
        return; // only the session, or what import takes away, is another
    }
    // A dead path may still stand first: what takes its place must beat what it beat.
    core.decide_after(table, slot, index, old.digest);
    touch(table, core, slot, best, !was_held);
}

/// Asks the limit. Over a limit on accepted paths a path is kept, rejected; over one on received paths
/// it stays out: false.
#[inline]
fn admit<P: TableKey>(
    core: &mut Core,
    event: &mut Event,
    path: &mut Path,
    new: bool,
    was_accepted: bool,
) -> bool {
    let accepted_only = event.counting.accepted_only();
    let asks = if accepted_only {
        path.accepted.is_some() && !was_accepted
    } else {
        new
    };
    if accepted_only && was_accepted && path.accepted.is_none() {
        event.counting.release();
    }
    if !asks {
        return true;
    }
    let Some(of) = core
        .peers
        .get_mut(event.peer)
        .and_then(|p| p.families.get_mut(P::INDEX))
    else {
        return false;
    };
    if event.counting.admit(of) {
        return true;
    }
    path.accepted = Handle::NONE;
    path.digest = Digest::REJECTED;
    path.tag = path.tag.with_odd(false);
    accepted_only
}

/// Takes a replaced path out of its generation's counts.
fn move_count<P: TableKey>(core: &mut Core, event: &mut Event, old: &Path, was_held: bool) {
    let accepted = u32::from(old.accepted.is_some());
    if !was_held {
        core.peers.took_dead(P::INDEX, old);
    } else if old.tag.generation() == event.generation {
        event.removed.received += 1;
        event.removed.accepted += accepted;
    } else if let Some(count) = core
        .peers
        .get_mut(old.peer)
        .and_then(|peer| peer.families.get_mut(P::INDEX)?.count(old.tag.generation()))
    {
        count.received = count.received.saturating_sub(1);
        count.accepted = count.accepted.saturating_sub(accepted);
    }
}

/// Takes a peer's NLRI out, the part `range` of a batch's.
pub(crate) fn withdraw<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    ahead: &mut Ahead,
    peer: PeerId,
    nlri: &[Nlri<P>],
    range: Range<usize>,
) {
    let Some(mut event) = Event::new::<P>(core, peer, range.len() as u32) else {
        return;
    };
    for at in range {
        let (hash, slot) = ahead.at(table, nlri, at);
        let Some(nlri) = nlri.get(at) else { break };
        let slot = match slot {
            MISS => table.find(hash, &nlri.prefix),
            slot => Some(slot),
        };
        if let Some(slot) = slot
            && let Some(index) = table.position(slot, peer, nlri.path_id)
        {
            take(table, core, &mut event, slot, index);
        }
    }
    event.finish::<P>(core);
}

fn take<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    event: &mut Event,
    slot: u32,
    index: usize,
) {
    let Some(old) = table.paths(slot).get(index).copied() else {
        return;
    };
    let was_held = core.peers.life(P::INDEX, old.peer, old.tag) != Life::Dead;
    if was_held && (!event.counting.accepted_only() || old.accepted.is_some()) {
        event.counting.release();
    }
    move_count::<P>(core, event, &old, was_held);
    remove(table, core, slot, index, !was_held);
}

/// Takes a path out of its slot, decides again and logs. The counts are the caller's.
pub(crate) fn remove<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    slot: u32,
    index: usize,
    was_dead: bool,
) {
    let first = table
        .paths(slot)
        .first()
        .map_or(Digest::REJECTED, |path| path.digest);
    let med = table.slot(slot).is_some_and(|slot| slot.med_mattered());
    let best = seen(table, core, slot);
    let Some(old) = table.remove(slot, index) else {
        return;
    };
    core.release(&old);
    if index == 0 || med && old.digest == first || core.peers.any_dead(P::INDEX) {
        core.decide(table, slot);
    }
    if old.accepted.is_some() {
        touch(table, core, slot, best, was_dead);
    } else {
        drop_if_empty(table, core, slot);
    }
}

/// What followers see of a best path.
type Seen = (Handle, PeerId, u16);

#[inline]
fn best_of<P: TableKey>(table: &Table<P>, slot: u32) -> Seen {
    let best = table.paths(slot).first().copied().unwrap_or_default();
    (best.accepted, best.peer, best.tag.sub())
}

/// What followers see of the best path before a change; `None` where they hear of every change.
#[inline]
fn seen<P: TableKey>(table: &Table<P>, core: &Core, slot: u32) -> Option<Seen> {
    let all = core.all_paths_matter.get(P::INDEX).is_none_or(|all| *all);
    (!all).then(|| best_of(table, slot))
}

/// Logs a change, unless it is of a path that no follower asks about. Of a dead path followers may have
/// been advertised when it was the best, though it no longer stands first.
#[inline]
fn touch<P: TableKey>(
    table: &mut Table<P>,
    core: &mut Core,
    slot: u32,
    before: Option<Seen>,
    was_dead: bool,
) {
    if was_dead
        || before.is_none_or(|before| best_of(table, slot) != before)
        || core.peers.any_dead(P::INDEX)
    {
        table.touch(slot, &mut core.log);
    } else {
        drop_if_empty(table, core, slot);
    }
}

/// A slot without paths goes when the log entry that says so is gone.
fn drop_if_empty<P: TableKey>(table: &mut Table<P>, core: &mut Core, slot: u32) {
    if table.slot(slot).is_some_and(|slot| slot.path_count() == 0) {
        table.touch(slot, &mut core.log);
    }
}
