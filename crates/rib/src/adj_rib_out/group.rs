//! One update group: a cursor into the change log and what was advertised to its members.
//!
//! `groups` visits it with slots of the log; what it answers stays in `one_path` or `add_path`. Its answer is the
//! group's, never a member's: what a member may not have of it is an audience on a run. What it says was
//! advertised must be what egress gets to encode, for counts, `explain` and plans are read off it.

use std::sync::Arc;

use thruway_wire::{Ipv4Prefix, Ipv6Prefix, Nlri};

use crate::adj_rib_out::add_path::{Change, Sent, SentTable};
use crate::adj_rib_out::export::Exports;
use crate::adj_rib_out::members::Members;
use crate::adj_rib_out::one_path::{Advertised, AdvertisedTable, advertise_change};
use crate::adj_rib_out::quota::{Quota, Whose};
use crate::adj_rib_out::runs::{BuildKey, Builder};
use crate::core::Core;
use crate::decision::Candidate;
use crate::table::log::SlotRef;
use crate::table::paths::{Digest, Path, Tag};
use crate::table::{Table, TableKey};
use crate::{AddPathSend, AdvertisedLimit, GroupProfile, Handle, PeerId};

/// A walk that looks whether the group's answers still hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recheck {
    at: u32,
    /// The table's length when the walk last went on.
    len: u32,
    /// From the last slot to the first: what is over a limit goes, and the first stay.
    down: bool,
    pub(crate) remaining: u32,
}

impl Recheck {
    /// The next slot of a table that has some, round and round.
    fn step(&mut self, len: u32) -> u32 {
        if self.down {
            self.at = if self.at == 0 { len } else { self.at } - 1;
            return self.at;
        }
        let slot = if self.at >= len { 0 } else { self.at };
        self.at = slot + 1;
        slot
    }
}

/// Room that visits work in.
#[derive(Debug, Default)]
struct Scratch {
    candidates: Vec<Candidate>,
    eligible: Vec<(u32, Handle)>,
    rest: Vec<(u32, Handle)>,
    kept: Vec<(u32, Handle)>,
    sent: Vec<Sent>,
}

/// The answer over a path, good for all slots that have no other one: neighbours in the log mostly share
/// their set.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    family: usize,
    accepted: Handle,
    peer: PeerId,
    tag: Tag,
    /// `NONE`: nothing is advertised.
    advertised: Handle,
    /// Uses of `advertised` that are not counted yet.
    uses: u32,
}

impl Repeat {
    #[inline]
    fn is(&self, family: usize, path: &Path) -> bool {
        (self.accepted, self.peer) == (path.accepted, path.peer)
            && self.tag == path.tag
            && self.family == family
    }
}

/// An update group in one shard.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) profile: Arc<GroupProfile>,
    pub(crate) members: Members,
    /// Log position up to which the group was advertised.
    pub(crate) cursor: u64,
    /// The first fill: the next slot of a family. Slots behind it are advertised by the walk, not by the log.
    pub(crate) fill: Option<(usize, u32)>,
    pub(crate) recheck: [Recheck; 2],
    pub(crate) advertised: [AdvertisedTable; 2],
    pub(crate) sent: [SentTable; 2],
    pub(crate) exports: Exports,
    quotas: [Quota; 2],
    /// From a visit to the next: whatever else is advertised in between ends it, as runs are gathered by what
    /// was advertised last.
    repeat: Option<Repeat>,
    scratch: Scratch,
}

impl Group {
    /// A group that will be filled from the table; changes count from log position `cursor` on.
    pub(crate) fn new(profile: Arc<GroupProfile>, cursor: u64) -> Self {
        Group {
            exports: Exports::new(&profile),
            profile,
            members: Members::default(),
            cursor,
            fill: Some((0, 0)),
            recheck: Default::default(),
            advertised: Default::default(),
            sent: Default::default(),
            quotas: Default::default(),
            repeat: None,
            scratch: Scratch::default(),
        }
    }

    /// Takes a new profile: all answers are looked at again, what differs goes through the log.
    pub(crate) fn set_profile(
        &mut self,
        profile: &Arc<GroupProfile>,
        core: &mut Core,
        slots: [u32; 2],
    ) {
        if !same_exports(&self.profile, profile) {
            self.exports.clear(&mut core.sets);
            self.exports = Exports::new(profile);
        }
        for family in 0..2 {
            let old = self
                .profile
                .add_path
                .get(family)
                .copied()
                .unwrap_or_default();
            let new = profile.add_path.get(family).copied().unwrap_or_default();
            debug_assert_eq!(
                old == AddPathSend::Off,
                new == AddPathSend::Off,
                "sessions with and without ADD-PATH are in different groups"
            );
        }
        let old = std::mem::replace(&mut self.profile, profile.clone());
        self.replace_limits(&old, core);
        self.look_again(slots);
        for (family, (recheck, slots)) in self.recheck.iter_mut().zip(slots).enumerate() {
            let limit = limit(&self.profile, family);
            if limit.is_some_and(AdvertisedLimit::is_over) {
                (recheck.at, recheck.down) = (slots, true);
            }
        }
    }

    fn replace_limits(&mut self, old: &GroupProfile, core: &mut Core) {
        let Group {
            profile, quotas, ..
        } = self;
        debug_assert_eq!(old.limits.is_some(), profile.limits.is_some());
        let (Some([old4, old6]), Some([new4, new6]), Some(to)) =
            (&old.limits, &profile.limits, &profile.to)
        else {
            return;
        };
        let [v4, v6] = quotas;
        let whose = |limit| Whose { limit, to };
        v4.replace::<Ipv4Prefix>(old4, whose(new4), core);
        v6.replace::<Ipv6Prefix>(old6, whose(new6), core);
    }

    /// Looks at all slots again.
    pub(crate) fn look_again(&mut self, slots: [u32; 2]) {
        for (recheck, slots) in self.recheck.iter_mut().zip(slots) {
            (recheck.remaining, recheck.len) = (slots, slots);
        }
    }

    /// Lets go of everything.
    pub(crate) fn clear(&mut self, core: &mut Core) {
        self.exports.clear(&mut core.sets);
        self.advertised
            .iter_mut()
            .for_each(|advertised| advertised.clear(&mut core.sets));
        self.sent
            .iter_mut()
            .for_each(|sent| sent.clear(&mut core.sets));
        for (family, quota) in self.quotas.iter_mut().enumerate() {
            quota.clear(limit(&self.profile, family));
        }
    }

    /// True where a limit holds a slot back.
    pub(crate) fn waits(&self, family: usize, slot: u32) -> bool {
        self.quotas
            .get(family)
            .is_some_and(|quota| quota.waits(slot))
    }

    /// Prefixes of a family that a limit holds back.
    pub(crate) fn waiting(&self, family: usize) -> u32 {
        self.quotas.get(family).map_or(0, Quota::waiting)
    }

    /// True where there is room again for what a limit held back.
    pub(crate) fn wants_room(&self) -> bool {
        let quotas = self.quotas.iter().enumerate();
        quotas.into_iter().any(|(family, quota)| {
            limit(&self.profile, family).is_some_and(|limit| quota.wants(limit, self.cursor))
        })
    }

    /// Has slots looked at again for which there is room.
    pub(crate) fn ask_again<P: TableKey>(&mut self, table: &mut Table<P>, core: &mut Core) {
        if let Some(quota) = self.quotas.get_mut(P::INDEX)
            && let Some(limit) = limit(&self.profile, P::INDEX)
        {
            quota.ask(limit, self.cursor, table, core);
        }
    }

    /// True where the member may be advertised the group's new answer: `has` says whether it has something of
    /// it.
    fn admits<P: TableKey>(&mut self, core: &mut Core, slot: u32, has: bool) -> bool {
        let Some(to) = &self.profile.to else {
            return true;
        };
        let had = if self.is_many(P::INDEX) {
            let sent = self.sent.get(P::INDEX);
            sent.is_some_and(|sent| others(sent.get(slot), to.id))
        } else {
            let advertised = self.advertised.get(P::INDEX);
            advertised.is_some_and(|advertised| advertised.get(slot).of(to.id).is_some())
        };
        let (Some(quota), Some(limit)) = (
            self.quotas.get_mut(P::INDEX),
            limit(&self.profile, P::INDEX),
        ) else {
            return true;
        };
        quota.admit::<P>(Whose { limit, to }, core, slot, (had, has))
    }

    /// The member of a group with limits.
    #[inline]
    fn limited(&self) -> Option<PeerId> {
        self.profile.limits.as_ref()?;
        Some(self.profile.to.as_ref()?.id)
    }

    /// True where members get several paths of a family.
    #[inline]
    pub(crate) fn is_many(&self, family: usize) -> bool {
        self.profile
            .add_path
            .get(family)
            .is_some_and(|send| *send != AddPathSend::Off)
    }

    /// True where the group was advertised something of a slot.
    pub(crate) fn holds(&self, slot: SlotRef) -> bool {
        let (family, slot) = (slot.family(), slot.slot());
        self.waits(family, slot)
            || self
                .advertised
                .get(family)
                .is_some_and(|advertised| !advertised.get(slot).is_nothing())
            || self
                .sent
                .get(family)
                .is_some_and(|sent| !sent.get(slot).is_empty())
    }

    /// True where the first fill will come by a slot, so that the log need not tell it.
    #[inline]
    pub(crate) fn fills_later(&self, slot: SlotRef) -> bool {
        self.fill.is_some_and(|(family, next)| {
            slot.family() > family || slot.family() == family && slot.slot() >= next
        })
    }

    /// Finds the group's answer for a slot anew and tells the members through `out` what changed.
    /// `position` is the log's where it says that the slot changed. [`Group::end_visits`] follows on the last
    /// visit of a turn.
    pub(crate) fn visit<P: TableKey + BuildKey>(
        &mut self,
        table: &Table<P>,
        core: &mut Core,
        slot: u32,
        out: Option<&mut Builder>,
        position: u64,
    ) {
        let Some(place) = table.slot(slot).filter(|slot| slot.is_used()) else {
            return;
        };
        let prefix = place.prefix();
        if self.is_many(P::INDEX) {
            self.end_visits(core);
            return self.visit_many(table, core, slot, out, (prefix, position));
        }
        if let [only] = table.paths_of(place)
            && let Some(repeat) = &mut self.repeat
            && repeat.is(P::INDEX, only)
            && let Some(advertised) = self.advertised.get_mut(P::INDEX)
            && advertised.begin(slot, repeat.advertised, only.peer)
        {
            if let Some(out) = out.filter(|_| repeat.advertised.is_some()) {
                out.again(Nlri { path_id: 0, prefix });
            }
            repeat.uses += 1;
            return;
        }
        self.end_visits(core);
        self.visit_one(table, core, slot, out, prefix);
    }

    /// Counts what the visits put off.
    pub(crate) fn end_visits(&mut self, core: &mut Core) {
        if let Some(repeat) = self.repeat.take()
            && repeat.advertised.is_some()
        {
            core.sets.acquire(repeat.advertised, repeat.uses);
        }
    }

    /// A visit where members get several paths a prefix.
    fn visit_many<P: TableKey + BuildKey>(
        &mut self,
        table: &Table<P>,
        core: &mut Core,
        slot: u32,
        out: Option<&mut Builder>,
        (prefix, position): (P, u64),
    ) {
        self.list(table, core, slot, prefix);
        if let Some(member) = self.limited() {
            let has = others(&self.scratch.sent, member);
            if !self.admits::<P>(core, slot, has) {
                self.scratch.sent.clear();
            }
        }
        let Some(sent) = self.sent.get_mut(P::INDEX) else {
            return;
        };
        let mut change = Change {
            sets: &mut core.sets,
            members: &self.members,
            out,
            position,
        };
        sent.set(slot, &self.scratch.sent, &mut change, prefix);
    }

    /// A visit where members get one path a prefix.
    fn visit_one<P: TableKey + BuildKey>(
        &mut self,
        table: &Table<P>,
        core: &mut Core,
        slot: u32,
        out: Option<&mut Builder>,
        prefix: P,
    ) {
        let mut new = self.answer(table, core, slot, prefix);
        let limited = self.limited();
        if let Some(member) = limited
            && !self.admits::<P>(core, slot, new.of(member).is_some())
        {
            new = Advertised::default();
        }
        let Some(advertised) = self.advertised.get_mut(P::INDEX) else {
            return;
        };
        let old = advertised.get(slot);
        if let [only] = table.paths(slot)
            && old.is_nothing()
            && limited.is_none()
            && !self.exports.by_prefix()
        {
            self.repeat = Some(Repeat {
                family: P::INDEX,
                accepted: only.accepted,
                peer: only.peer,
                tag: only.tag,
                advertised: new.handle,
                uses: 0,
            });
        }
        if old == new {
            return;
        }
        if let Some(out) = out {
            let reflects = self.profile.cluster.is_some();
            let nlri = Nlri { path_id: 0, prefix };
            advertise_change(out, &self.members, reflects, nlri, &old, &new);
        }
        advertised.set(slot, &old, new, &mut core.sets);
    }

    /// True where the group's answer for a slot is no longer what was advertised to it.
    fn differs<P: TableKey>(&mut self, table: &Table<P>, core: &mut Core, slot: u32) -> bool {
        let Some(prefix) = table
            .slot(slot)
            .filter(|slot| slot.is_used())
            .map(|slot| slot.prefix())
        else {
            return false;
        };
        // Too much is advertised: a visit takes back what is over the limit.
        let over = limit(&self.profile, P::INDEX).is_some_and(AdvertisedLimit::is_over);
        if over && self.holds(SlotRef::new(P::INDEX, slot)) && !self.waits(P::INDEX, slot) {
            return true;
        }
        if self.is_many(P::INDEX) {
            self.list(table, core, slot, prefix);
            if self.waits(P::INDEX, slot) {
                // It is advertised when there is room; where nothing is left to tell, it waits no more.
                return self
                    .limited()
                    .is_none_or(|member| !others(&self.scratch.sent, member));
            }
            let sent = self.sent.get(P::INDEX);
            return sent.is_some_and(|sent| sent.get(slot) != self.scratch.sent.as_slice());
        }
        let new = self.answer(table, core, slot, prefix);
        if self.waits(P::INDEX, slot) {
            return self.limited().is_none_or(|member| new.of(member).is_none());
        }
        self.advertised
            .get(P::INDEX)
            .is_some_and(|advertised| advertised.get(slot) != new)
    }

    /// Looks at up to `budget` slots whether the answer still holds; where not, the log says that they
    /// changed. Returns how many it took.
    pub(crate) fn recheck_slots<P: TableKey>(
        &mut self,
        table: &mut Table<P>,
        core: &mut Core,
        budget: u32,
    ) -> u32 {
        let Some(mut recheck) = self.recheck.get(P::INDEX).copied() else {
            return 0;
        };
        if recheck.remaining > 0 {
            // Slots that came since lie in the way round: they are passed on top.
            recheck.remaining += table.len() - recheck.len;
            recheck.len = table.len();
        }
        let steps = recheck.remaining.min(budget);
        for _ in 0..steps {
            let slot = recheck.step(table.len());
            if !self.fills_later(SlotRef::new(P::INDEX, slot)) && self.differs(table, core, slot) {
                table.touch(slot, &mut core.log);
            }
        }
        recheck.remaining -= steps;
        recheck.down &= recheck.remaining > 0;
        if let Some(place) = self.recheck.get_mut(P::INDEX) {
            *place = recheck;
        }
        steps
    }

    /// Fills up to `budget` slots of a family for the first time. Returns how many it took.
    pub(crate) fn fill_slots<P: TableKey + BuildKey>(
        &mut self,
        table: &Table<P>,
        core: &mut Core,
        budget: u32,
    ) -> u32 {
        let Some((family, first)) = self.fill.filter(|(family, _)| *family == P::INDEX) else {
            return 0;
        };
        let end = table.len().min(first.saturating_add(budget));
        for slot in first..end {
            self.visit(table, core, slot, None, self.cursor);
        }
        self.end_visits(core);
        self.fill = match end == table.len() {
            false => Some((family, end)),
            true if family == 0 => Some((1, 0)),
            true => None,
        };
        end - first
    }

    /// The group's answer for a slot with one path a prefix.
    pub(crate) fn answer<P: TableKey>(
        &mut self,
        table: &Table<P>,
        core: &mut Core,
        slot: u32,
        prefix: P,
    ) -> Advertised {
        let mut advertised = Advertised::default();
        let paths = table.paths(slot);
        if paths.is_empty() || !self.profile.families.contains(P::FAMILY) {
            return advertised;
        }
        if let [only] = *paths {
            // Most prefixes have one path, and nothing to choose.
            if core.judge(P::INDEX).visible(&only) {
                let handle = self.may(core, only, prefix);
                let source = handle.is_some().then_some(only.peer);
                (advertised.handle, advertised.source) = (handle, source.unwrap_or_default());
            }
            return advertised;
        }
        if !self.profile.alternatives {
            if let Some(best) = self.best_of_all(table, core, slot) {
                advertised.handle = self.may(core, best, prefix);
                advertised.source = best.peer;
            }
            return if advertised.handle.is_some() {
                advertised
            } else {
                Advertised::default()
            };
        }
        let Some((best, handle)) = self.pick(table, core, slot, prefix, None) else {
            return advertised;
        };
        (advertised.handle, advertised.source) = (handle, best.peer);
        if paths.len() > 1
            && self.members.has(best.peer)
            && let Some((next, handle)) = self.pick(table, core, slot, prefix, Some(best.peer))
        {
            (advertised.alternate, advertised.alternate_source) = (handle, next.peer);
        }
        advertised
    }

    /// The best of all paths, whoever may have it.
    fn best_of_all<P: TableKey>(
        &mut self,
        table: &Table<P>,
        core: &Core,
        slot: u32,
    ) -> Option<Path> {
        let paths = table.paths(slot);
        let judge = core.judge(P::INDEX);
        let known = table.slot(slot)?;
        let first = paths.first().filter(|first| judge.visible(first));
        if let Some(first) = first
            && !(known.med_mattered() && core.peers.any_dead(P::INDEX))
        {
            return Some(*first);
        }
        let path_id = |index: u32| {
            paths
                .get(index as usize)
                .map_or(0, |path| table.path_id(slot, path))
        };
        let choice = judge.best(paths, &mut self.scratch.candidates, &path_id)?;
        paths.get(choice.index).copied()
    }

    /// The set that the group would be advertised of a visible path, `NONE` where it may not have it.
    #[inline]
    fn may<P: TableKey>(&mut self, core: &mut Core, path: Path, prefix: P) -> Handle {
        let class = core.peers.hot(path.peer).map(|hot| hot.class);
        let allowed =
            class.is_some_and(|class| self.profile.eligibility.allows(class, self.profile.class));
        if !allowed {
            return Handle::NONE;
        }
        self.exports.verdict(&self.profile, core, &path, prefix)
    }

    /// The best of the paths that the group may have, those of `without` left out, and its set.
    ///
    /// What the group may not have takes no part in the decision: its MED must not remove what the group
    /// may have.
    fn pick<P: TableKey>(
        &mut self,
        table: &Table<P>,
        core: &mut Core,
        slot: u32,
        prefix: P,
        without: Option<PeerId>,
    ) -> Option<(Path, Handle)> {
        let paths = table.paths(slot);
        let first = *paths.first()?;
        if !table.slot(slot)?.med_mattered()
            && Some(first.peer) != without
            && core.judge(P::INDEX).visible(&first)
        {
            // The best of all is the best of some, if it is among them and no MED took part.
            let handle = self.may(core, first, prefix);
            if handle.is_some() {
                return Some((first, handle));
            }
        }
        let mut below = None;
        loop {
            let top = self.level(core, P::INDEX, paths, without, below)?;
            below = Some(top);
            self.scratch.eligible.clear();
            for (index, path) in (0..).zip(paths) {
                let level = path.digest == top && Some(path.peer) != without;
                if !level || !core.judge(P::INDEX).visible(path) {
                    continue;
                }
                let handle = self.may(core, *path, prefix);
                if handle.is_some() {
                    self.scratch.eligible.push((index, handle));
                }
            }
            if let Some((index, handle)) = self.settle(table, core, slot, top) {
                return Some((*paths.get(index)?, handle));
            }
        }
    }

    /// The highest digest below `below` among the paths that may take part.
    fn level(
        &self,
        core: &Core,
        family: usize,
        paths: &[Path],
        without: Option<PeerId>,
        below: Option<Digest>,
    ) -> Option<Digest> {
        let judge = core.judge(family);
        paths
            .iter()
            .filter(|path| Some(path.peer) != without && below.is_none_or(|d| path.digest < d))
            .filter(|path| judge.visible(path))
            .map(|path| path.digest)
            .max()
    }

    /// The winner among `scratch.eligible`, which share a digest, with its set.
    fn settle<P: TableKey>(
        &mut self,
        table: &Table<P>,
        core: &Core,
        slot: u32,
        digest: Digest,
    ) -> Option<(usize, Handle)> {
        let Scratch {
            candidates,
            eligible,
            ..
        } = &mut self.scratch;
        if let [(index, handle)] = eligible.as_slice() {
            return Some((*index as usize, *handle));
        }
        let paths = table.paths(slot);
        candidates.clear();
        candidates.extend(eligible.iter().filter_map(|(index, _)| {
            let path = paths.get(*index as usize)?;
            Some(Candidate::new(*index, path))
        }));
        let path_id = |index: u32| {
            paths
                .get(index as usize)
                .map_or(0, |path| table.path_id(slot, path))
        };
        let choice = core
            .judge(P::INDEX)
            .settle_equal(candidates, digest, &path_id)?;
        let (_, handle) = eligible
            .iter()
            .find(|(index, _)| *index as usize == choice.index)?;
        Some((choice.index, *handle))
    }

    /// The group's answer for a slot with several paths a prefix.
    pub(crate) fn list_of<P: TableKey>(
        &mut self,
        table: &Table<P>,
        core: &mut Core,
        slot: u32,
        prefix: P,
    ) -> &[Sent] {
        self.list(table, core, slot, prefix);
        &self.scratch.sent
    }

    /// The same, into `scratch.sent`.
    fn list<P: TableKey>(&mut self, table: &Table<P>, core: &mut Core, slot: u32, prefix: P) {
        self.scratch.sent.clear();
        if !self.profile.families.contains(P::FAMILY) {
            return;
        }
        let paths = table.paths(slot);
        self.scratch.eligible.clear();
        for (index, path) in (0..).zip(paths) {
            if !core.judge(P::INDEX).visible(path) {
                continue;
            }
            let handle = self.may(core, *path, prefix);
            if handle.is_some() {
                self.scratch.eligible.push((index, handle));
            }
        }
        let most = match self.profile.add_path.get(P::INDEX).copied() {
            Some(AddPathSend::Best(most)) => usize::from(most),
            Some(AddPathSend::Multipath(most)) => {
                self.keep_ties(table, core, slot);
                usize::from(most)
            }
            _ => usize::MAX,
        };
        if self.scratch.eligible.len() > most {
            self.keep_best(table, core, slot, most);
        }
        let Scratch { eligible, sent, .. } = &mut self.scratch;
        sent.extend(eligible.iter().filter_map(|(index, handle)| {
            let path = paths.get(*index as usize)?;
            Some(Sent {
                handle: *handle,
                source: path.peer,
                sub: path.tag.sub(),
            })
        }));
        sent.sort_unstable_by_key(Sent::key);
    }

    /// Keeps the best of `scratch.eligible` and what ties with it (EXCHANGE: ECMP).
    fn keep_ties<P: TableKey>(&mut self, table: &Table<P>, core: &Core, slot: u32) {
        let Scratch {
            candidates,
            eligible,
            ..
        } = &mut self.scratch;
        let paths = table.paths(slot);
        let path = |index: u32| paths.get(index as usize);
        let digest = |index: u32| path(index).map_or(Digest::REJECTED, |path| path.digest);
        let Some(top) = eligible.iter().map(|(index, _)| digest(*index)).max() else {
            return;
        };
        eligible.retain(|(index, _)| digest(*index) == top);
        candidates.clear();
        let of = |index: u32| Some(Candidate::new(index, path(index)?));
        candidates.extend(eligible.iter().filter_map(|(index, _)| of(*index)));
        core.judge(P::INDEX).ties(candidates, top);
        eligible.retain(|(index, _)| candidates.iter().any(|tie| tie.index == *index));
    }

    /// Keeps the best `most` of `scratch.eligible`: the decision process, run again without those it chose.
    fn keep_best<P: TableKey>(&mut self, table: &Table<P>, core: &Core, slot: u32, most: usize) {
        let paths = table.paths(slot);
        let digest = |index: u32| {
            paths
                .get(index as usize)
                .map_or(Digest::REJECTED, |path| path.digest)
        };
        let mut rest = std::mem::take(&mut self.scratch.rest);
        let mut kept = std::mem::take(&mut self.scratch.kept);
        kept.clear();
        std::mem::swap(&mut rest, &mut self.scratch.eligible);
        while kept.len() < most {
            let Some(top) = rest.iter().map(|(index, _)| digest(*index)).max() else {
                break;
            };
            let level = rest
                .iter()
                .filter(|(index, _)| digest(*index) == top)
                .copied();
            self.scratch.eligible.clear();
            self.scratch.eligible.extend(level);
            let Some((best, handle)) = self.settle(table, core, slot, top) else {
                break;
            };
            kept.push((best as u32, handle));
            rest.retain(|(index, _)| *index as usize != best);
        }
        self.scratch.kept = std::mem::replace(&mut self.scratch.eligible, kept);
        self.scratch.rest = rest;
    }

    /// Octets allocated.
    pub(crate) fn memory(&self) -> usize {
        let advertised: usize = self.advertised.iter().map(AdvertisedTable::memory).sum();
        let sent: usize = self.sent.iter().map(SentTable::memory).sum();
        let quotas: usize = self.quotas.iter().map(Quota::memory).sum();
        advertised + sent + quotas + self.exports.memory()
    }
}

/// A group's limit for a family.
fn limit(profile: &GroupProfile, family: usize) -> Option<&AdvertisedLimit> {
    profile.limits.as_ref()?.get(family)
}

/// True where some path is not the member's own.
fn others(sent: &[Sent], member: PeerId) -> bool {
    sent.iter().any(|sent| sent.source != member)
}

/// True where what the export side remembers still holds: only the matrix or a limit is another.
fn same_exports(old: &GroupProfile, new: &GroupProfile) -> bool {
    let policy = |profile: &GroupProfile| profile.export.as_ref().map(Arc::as_ptr);
    let to = |profile: &GroupProfile| profile.to.as_ref().map(Arc::as_ptr);
    policy(old) == policy(new) && to(old) == to(new)
}
