//! All groups of a shard: who goes next, what the log must keep, what is advertised to readers.
//!
//! The shard calls it: `run` in each turn, `request` for what egress asks, `trim` behind every batch. It must never
//! give up a log entry that a group or a reader has still to see, nor let one group's work keep the others
//! from their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use thruway_wire::{Family, Ipv4Prefix, Ipv6Prefix, Nlri};

use crate::adj_rib_out::group::Group;
use crate::adj_rib_out::one_path::advertise_state;
use crate::adj_rib_out::runs::{BuildKey, Builder};
use crate::batch::EgressSink;
use crate::core::Core;
use crate::limits::{
    CHANGE_LOG_LEN_MAX, EGRESS_BATCH_NLRI_MAX, LOG_SLACK, LOG_SPAN_MAX, WORKERS_MAX,
};
use crate::table::log::{Logged, SlotRef};
use crate::table::sets::Retire;
use crate::table::{Table, TableKey};
use crate::{
    Cursor, EgressBatch, EgressRequest, GroupId, GroupProfile, Handle, PeerId, Returns, ShardId,
    Stream, WorkerId,
};

/// Log entries of one batch, told or not: what a worker still has to take holds no more of the log.
const BATCH_POSITIONS_MAX: u64 = EGRESS_BATCH_NLRI_MAX as u64;

/// Slots or log entries that one pull looks at, whatever it tells.
const LOOKS_MAX: u32 = 1 << 16;

/// Visits whose misses overlap.
const RUN: usize = 16;

/// Both families' tables.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) v4: Table<Ipv4Prefix>,
    pub(crate) v6: Table<Ipv6Prefix>,
}

impl Tables {
    pub(crate) fn new(seed: u64) -> Self {
        Tables {
            v4: Table::new(seed),
            v6: Table::new(seed),
        }
    }

    /// Slots to walk, by family.
    pub(crate) fn slots(&self) -> [u32; 2] {
        [self.v4.len(), self.v6.len()]
    }

    /// Where a slot's last log entry is.
    fn logged(&self, core: &Core, slot: SlotRef) -> Option<u64> {
        core.log.position(self.last_entry(slot))
    }

    fn last_entry(&self, slot: SlotRef) -> Logged {
        let logged = match slot.family() {
            0 => self.v4.slot(slot.slot()).map(|place| place.logged()),
            _ => self.v6.slot(slot.slot()).map(|place| place.logged()),
        };
        logged.unwrap_or_default()
    }

    fn trimmed(&mut self, slot: SlotRef, position: u64) -> bool {
        match slot.family() {
            0 => self.v4.trimmed(slot.slot(), position),
            _ => self.v6.trimmed(slot.slot(), position),
        }
    }

    fn free(&mut self, slot: SlotRef) {
        match slot.family() {
            0 => self.v4.free(slot.slot()),
            _ => self.v6.free(slot.slot()),
        }
    }
}

/// A batch that some workers have still to take.
#[derive(Debug)]
struct Unseen {
    number: u64,
    from: u64,
    workers: u32,
}

/// A reader between two pulls.
#[derive(Debug)]
struct Reader {
    worker: WorkerId,
    number: u32,
    position: u64,
}

/// The groups of a shard.
#[derive(Debug)]
pub(crate) struct Groups {
    shard: ShardId,
    list: Vec<Option<Box<Group>>>,
    /// Whose turn it is.
    next: usize,
    number: u64,
    unseen: VecDeque<Unseen>,
    readers: Vec<Reader>,
    retained: [u64; WORKERS_MAX],
    /// Groups with limits on what is advertised to them.
    limited: usize,
    builder: Builder,
}

impl Groups {
    pub(crate) fn new(shard: ShardId) -> Self {
        Groups {
            shard,
            list: Vec::new(),
            next: 0,
            number: 0,
            unseen: VecDeque::new(),
            readers: Vec::new(),
            retained: [u64::MAX; WORKERS_MAX],
            limited: 0,
            builder: Builder::default(),
        }
    }

    pub(crate) fn get(&self, group: GroupId) -> Option<&Group> {
        self.list.get(group.index())?.as_deref()
    }

    fn get_mut(&mut self, group: GroupId) -> Option<&mut Group> {
        self.list.get_mut(group.index())?.as_deref_mut()
    }

    fn iter(&self) -> impl Iterator<Item = &Group> {
        self.list.iter().filter_map(Option::as_deref)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.list.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// A group exists, or its export side changed.
    pub(crate) fn set(&mut self, profile: &Arc<GroupProfile>, core: &mut Core, slots: [u32; 2]) {
        let index = profile.id.index();
        if self.list.len() <= index {
            self.list.resize_with(index + 1, || None);
        }
        match self.list.get_mut(index) {
            Some(Some(group)) if Arc::ptr_eq(&group.profile, profile) => return,
            Some(Some(group)) => group.set_profile(profile, core, slots),
            Some(place) => {
                let cursor = core.log.end();
                core.log.pass(cursor);
                *place = Some(Box::new(Group::new(profile.clone(), cursor)));
            }
            None => {}
        }
        self.note_interest(core);
    }

    /// The group has no members left anywhere.
    pub(crate) fn remove(&mut self, group: GroupId, core: &mut Core) {
        let Some(mut gone) = self.list.get_mut(group.index()).and_then(Option::take) else {
            return;
        };
        gone.clear(core);
        self.note_interest(core);
        self.forget_idle_workers();
    }

    /// Whether changes of paths that are not the best concern anyone, and room anyone at all.
    fn note_interest(&mut self, core: &mut Core) {
        let limited = self.iter().filter(|group| group.profile.limits.is_some());
        self.limited = limited.count();
        for (family, matter) in core.all_paths_matter.iter_mut().enumerate() {
            *matter = self
                .iter()
                .any(|group| group.profile.alternatives || group.is_many(family));
        }
    }

    pub(crate) fn join(
        &mut self,
        group: GroupId,
        peer: PeerId,
        home: WorkerId,
        core: &Core,
        slots: [u32; 2],
    ) {
        let Some(group) = self.get_mut(group) else {
            return;
        };
        if !group.members.join(peer, home) || !group.profile.alternatives {
            return;
        }
        // What the group has of the new member, it must be advertised otherwise.
        let has = Family::ALL.map(|family| core.peers.counters(peer, family).received > 0);
        if has.contains(&true) {
            group.look_again(slots);
        }
    }

    pub(crate) fn leave(&mut self, group: GroupId, peer: PeerId) {
        if let Some(group) = self.get_mut(group) {
            group.members.leave(peer);
        }
        self.forget_idle_workers();
    }

    /// Workers without members need not say what they have seen.
    fn forget_idle_workers(&mut self) {
        let busy = self
            .iter()
            .fold(0, |workers, group| workers | group.members.workers());
        for unseen in &mut self.unseen {
            unseen.workers &= busy;
        }
        self.drop_seen();
    }

    fn drop_seen(&mut self) {
        while self
            .unseen
            .front()
            .is_some_and(|unseen| unseen.workers == 0)
        {
            self.unseen.pop_front();
        }
    }

    /// True where some group has slots to look at.
    pub(crate) fn has_work(&self, core: &Core) -> bool {
        self.iter().any(|group| has_work(group, core))
    }

    /// True where some group walks the tables.
    pub(crate) fn is_walking(&self) -> bool {
        self.iter()
            .any(|group| group_walks(group) || group.wants_room())
    }

    /// The slowest group's place in the log.
    pub(crate) fn advertised_upto(&self) -> u64 {
        let cursors = self.iter().map(|group| group.cursor);
        cursors.min().unwrap_or(u64::MAX)
    }

    /// Lets groups follow the log; see [`crate::Shard::run_groups`].
    pub(crate) fn run(
        &mut self,
        tables: &mut Tables,
        core: &mut Core,
        mut budget: u32,
        sink: &mut dyn EgressSink,
    ) -> bool {
        let count = self.list.len();
        let mut stuck = 0;
        self.ask_again(tables, core);
        while budget > 0 && stuck < count {
            let at = self.next % count;
            self.next = at + 1;
            if self.turn(at, tables, core, &mut budget, sink) {
                stuck = 0;
            } else {
                stuck += 1;
            }
        }
        self.thin(tables, core);
        self.cap(CHANGE_LOG_LEN_MAX - LOG_SLACK, tables, core);
        self.trim(tables, core);
        (budget == 0 || self.wants_room()) && self.has_work(core)
    }

    /// True where there is room for something that a limit held back.
    fn wants_room(&self) -> bool {
        self.limited > 0 && self.iter().any(Group::wants_room)
    }

    /// Has groups look again at what limits held back and there is room for.
    fn ask_again(&mut self, tables: &mut Tables, core: &mut Core) {
        if self.limited == 0 {
            return;
        }
        for group in self.iter_mut() {
            group.ask_again(&mut tables.v4, core);
            group.ask_again(&mut tables.v6, core);
        }
    }

    /// One group's turn; false where it had nothing to do or its workers no room.
    fn turn(
        &mut self,
        at: usize,
        tables: &mut Tables,
        core: &mut Core,
        budget: &mut u32,
        sink: &mut dyn EgressSink,
    ) -> bool {
        let Some(group) = self.list.get_mut(at).and_then(Option::as_deref_mut) else {
            return false;
        };
        let mut turn = Turn {
            tables,
            core,
            builder: &mut self.builder,
            budget: *budget,
        };
        let walked = turn.walk(group);
        *budget = turn.budget;
        let listens = !group.members.is_empty();
        if !has_log(group, turn.core) || listens && !sink.has_room(group.profile.id) {
            return walked;
        }
        let from = turn.follow(group, listens);
        *budget = turn.budget;
        if let Some(from) = from {
            let batch = self.batch(at, core, from);
            sink.batch(batch);
        }
        true
    }

    /// Makes the batch of what the builder holds for the group at `at`.
    fn batch(&mut self, at: usize, core: &Core, from: u64) -> EgressBatch {
        let mut batch = EgressBatch {
            shard: self.shard,
            from,
            ..EgressBatch::default()
        };
        self.builder.finish(&mut batch, &core.sets);
        if let Some(group) = self.list.get(at).and_then(Option::as_deref) {
            self.number += 1;
            batch.group = group.profile.id;
            batch.number = self.number;
            batch.upto = group.cursor;
            batch.workers = group.members.workers();
            let unseen = Unseen {
                number: self.number,
                from,
                workers: batch.workers,
            };
            self.unseen.push_back(unseen);
        }
        batch
    }

    /// Handles a request of egress; see [`crate::Shard::request`].
    pub(crate) fn request(
        &mut self,
        request: &EgressRequest,
        tables: &mut Tables,
        core: &mut Core,
    ) -> Option<EgressBatch> {
        match *request {
            EgressRequest::Pull { .. } => return self.pull(request, tables, core),
            EgressRequest::Retain { worker, seq } => {
                if let Some(retained) = self.retained.get_mut(worker.index()) {
                    *retained = seq;
                }
            }
            EgressRequest::Seen { worker, number } => {
                let bit = 1u32.checked_shl(u32::from(worker.0)).unwrap_or(0);
                for unseen in self
                    .unseen
                    .iter_mut()
                    .take_while(|unseen| unseen.number <= number)
                {
                    unseen.workers &= !bit;
                }
                self.drop_seen();
            }
            EgressRequest::Stop { worker, reader } => {
                self.readers
                    .retain(|known| (known.worker, known.number) != (worker, reader));
            }
        }
        self.trim(tables, core);
        None
    }

    fn pull(
        &mut self,
        request: &EgressRequest,
        tables: &Tables,
        core: &Core,
    ) -> Option<EgressBatch> {
        let EgressRequest::Pull {
            worker,
            reader,
            group,
            cursor,
            budget,
            withdraw,
        } = *request
        else {
            return None;
        };
        let mut batch = EgressBatch {
            shard: self.shard,
            group,
            ..EgressBatch::default()
        };
        self.readers
            .retain(|known| (known.worker, known.number) != (worker, reader));
        let known = self.list.get(group.index()).and_then(Option::as_deref);
        let Some(group) = known.filter(|group| group.members.on(worker)) else {
            // The data ring, which brings the group and its members, is behind this request.
            batch.stream = Stream::Reader {
                reader,
                next: cursor,
                done: false,
            };
            if let Some(position) = held(cursor) {
                self.readers.push(Reader {
                    worker,
                    number: reader,
                    position,
                });
            }
            return Some(batch);
        };
        let mut read = Read {
            tables,
            core,
            group,
            builder: &mut self.builder,
            budget,
            withdraw,
        };
        let Some(next) = read.go(cursor) else {
            batch.stream = Stream::Lost { reader };
            return Some(batch);
        };
        let done = next == Cursor::Log(group.cursor) && group.fill.is_none();
        batch.stream = Stream::Reader { reader, next, done };
        (batch.from, batch.upto) = (group.cursor, group.cursor);
        self.builder.finish(&mut batch, &core.sets);
        if let Some(position) = held(next).filter(|_| !done) {
            self.readers.push(Reader {
                worker,
                number: reader,
                position,
            });
        }
        Some(batch)
    }

    /// The oldest log position that someone needs.
    fn floor(&self, core: &Core) -> u64 {
        let cursors = self.iter().map(|group| group.cursor);
        let unseen = self.unseen.iter().map(|unseen| unseen.from);
        let readers = self.readers.iter().map(|reader| reader.position);
        let retained = self.retained.iter().copied();
        let oldest = cursors.chain(unseen).chain(readers).chain(retained).min();
        oldest.unwrap_or(u64::MAX).min(core.log.end())
    }

    /// Drops the log's entries that all have passed, and the slots that went empty with them.
    pub(crate) fn trim(&mut self, tables: &mut Tables, core: &mut Core) {
        if core.log.len() == 0 {
            return;
        }
        let floor = self.floor(core);
        if floor == core.log.base() {
            return;
        }
        core.log.trim(floor, |position, slot| {
            if tables.trimmed(slot, position) && !self.iter().any(|group| group.holds(slot)) {
                tables.free(slot);
            }
        });
        let base = core.log.base();
        for group in self.iter_mut() {
            group.sent.iter_mut().for_each(|sent| sent.trim(base));
        }
    }

    /// Drops log entries that stragglers need not read.
    fn thin(&mut self, tables: &Tables, core: &mut Core) {
        if !core.log.is_long(LOG_SLACK, CHANGE_LOG_LEN_MAX) {
            return;
        }
        let upto = self.advertised_upto();
        for group in self.iter_mut() {
            for (family, sent) in group.sent.iter_mut().enumerate() {
                sent.compact(upto, |slot| tables.logged(core, SlotRef::new(family, slot)));
            }
        }
        core.log.compact(upto, |slot| tables.last_entry(slot));
    }

    /// Keeps the log within its bound. Readers that are too far behind lose their place; a group whose
    /// workers take nothing is brought up by a walk later.
    pub(crate) fn cap(&mut self, most: usize, tables: &Tables, core: &mut Core) {
        let end = core.log.end();
        if core.log.len() <= most && end - core.log.base() <= LOG_SPAN_MAX {
            return;
        }
        let oldest = end - most as u64 / 2;
        let slots = tables.slots();
        for group in self.iter_mut().filter(|group| group.cursor < oldest) {
            group.cursor = end;
            group.look_again(slots);
        }
        core.log.pass(end);
        self.readers.retain(|reader| reader.position >= oldest);
        self.unseen.retain(|unseen| unseen.from >= oldest);
        for retained in self.retained.iter_mut().filter(|seq| **seq < oldest) {
            *retained = u64::MAX;
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.iter().map(Group::memory).sum()
    }
}

/// The log position that a reader needs kept.
fn held(cursor: Cursor) -> Option<u64> {
    match cursor {
        Cursor::Start => None,
        Cursor::Walk { since, .. } => Some(since),
        Cursor::Log(position) => Some(position),
    }
}

fn has_log(group: &Group, core: &Core) -> bool {
    group.cursor < core.log.end()
}

fn group_walks(group: &Group) -> bool {
    group.fill.is_some() || group.recheck.iter().any(|recheck| recheck.remaining > 0)
}

fn has_work(group: &Group, core: &Core) -> bool {
    has_log(group, core) || group_walks(group) || group.wants_room()
}

/// Neighbours in the log.
struct Run {
    slots: [SlotRef; RUN],
    len: usize,
    /// Bit n: no later entry names the slot, which else is looked at there.
    last: u16,
}

const _: () = assert!(RUN <= u16::BITS as usize);

/// One group's share of a turn.
struct Turn<'a> {
    tables: &'a mut Tables,
    core: &'a mut Core,
    builder: &'a mut Builder,
    budget: u32,
}

impl Turn<'_> {
    /// Slots that one group takes before the next has its turn.
    fn share(&self) -> u32 {
        self.budget.min(EGRESS_BATCH_NLRI_MAX as u32)
    }

    /// First fill and second looks: nothing goes out here. True where there was something to do.
    fn walk(&mut self, group: &mut Group) -> bool {
        if !group_walks(group) {
            return false;
        }
        let share = self.share();
        let Tables { v4, v6 } = &mut *self.tables;
        let mut left = share;
        left -= group.fill_slots(v4, self.core, left);
        left -= group.fill_slots(v6, self.core, left);
        left -= group.recheck_slots(v4, self.core, left);
        left -= group.recheck_slots(v6, self.core, left);
        self.budget -= share - left;
        true
    }

    /// Follows the log for one batch; `Some`: what it tells is in the builder, and begins at this
    /// position.
    fn follow(&mut self, group: &mut Group, listens: bool) -> Option<u64> {
        let share = u64::from(self.share());
        let first = group.cursor;
        let end = self.core.log.end().min(first + share);
        let mut from = None;
        let mut full = false;
        while group.cursor < end && !full {
            let run = self.look(group.cursor, end);
            full = run.len == 0;
            for (at, slot) in run.slots.iter().take(run.len).enumerate() {
                let position = group.cursor;
                if run.last >> at & 1 == 1 && !group.fills_later(*slot) {
                    self.visit(group, *slot, listens);
                }
                group.cursor += 1;
                if from.is_none() && !self.builder.is_empty() {
                    from = Some(position);
                }
                full = self.builder.len() >= EGRESS_BATCH_NLRI_MAX
                    || from.is_some_and(|from| group.cursor - from >= BATCH_POSITIONS_MAX);
                if full {
                    break;
                }
            }
        }
        group.end_visits(self.core);
        self.budget = self.budget.saturating_sub((group.cursor - first) as u32);
        self.core.log.pass(group.cursor);
        from
    }

    /// Reads what the visits from `position` on will read, so that their misses overlap.
    fn look(&self, position: u64, end: u64) -> Run {
        let mut run = Run {
            slots: [SlotRef::default(); RUN],
            len: 0,
            last: 0,
        };
        let mut sum = 0;
        let entries = self.core.log.run(position).zip(position..end);
        for (place, (slot, position)) in run.slots.iter_mut().zip(entries) {
            let (logged, warm) = match slot.family() {
                0 => self.tables.v4.ahead(slot.slot()),
                _ => self.tables.v6.ahead(slot.slot()),
            };
            sum ^= warm;
            *place = slot;
            run.last |= u16::from(logged.is_at(position)) << run.len;
            run.len += 1;
        }
        debug_assert!(run.len > 0, "the log reaches from each group to its end");
        std::hint::black_box(sum);
        run
    }

    fn visit(&mut self, group: &mut Group, slot: SlotRef, listens: bool) {
        let out = listens.then_some(&mut *self.builder);
        let (at, position) = (slot.slot(), group.cursor);
        match slot.family() {
            0 => group.visit(&self.tables.v4, self.core, at, out, position),
            _ => group.visit(&self.tables.v6, self.core, at, out, position),
        }
    }
}

/// One pull of a reader. It changes nothing in the group: it tells what was advertised to the group.
struct Read<'a> {
    tables: &'a Tables,
    core: &'a Core,
    group: &'a Group,
    builder: &'a mut Builder,
    budget: u32,
    /// The walk takes back what the group is not advertised.
    withdraw: bool,
}

impl Read<'_> {
    /// Goes on from `cursor`; returns where the next pull goes on, `None` where the log no longer
    /// reaches back so far.
    fn go(&mut self, mut cursor: Cursor) -> Option<Cursor> {
        loop {
            cursor = match cursor {
                Cursor::Start => Cursor::Walk {
                    family: Family::Ipv4,
                    slot: 0,
                    since: self.group.cursor,
                },
                Cursor::Walk {
                    family,
                    slot,
                    since,
                } => {
                    if since < self.core.log.base() {
                        return None;
                    }
                    let (slot, more) = match family {
                        Family::Ipv4 => self.walk(&self.tables.v4, slot),
                        Family::Ipv6 => self.walk(&self.tables.v6, slot),
                    };
                    match family {
                        _ if more => {
                            return Some(Cursor::Walk {
                                family,
                                slot,
                                since,
                            });
                        }
                        Family::Ipv4 => Cursor::Walk {
                            family: Family::Ipv6,
                            slot: 0,
                            since,
                        },
                        Family::Ipv6 => Cursor::Log(since),
                    }
                }
                Cursor::Log(position) => {
                    if position < self.core.log.base() {
                        return None;
                    }
                    return Some(Cursor::Log(self.log(position)));
                }
            };
        }
    }

    /// Tells the slots from `slot` on; returns the next slot, and whether more are to come.
    fn walk<P: TableKey + BuildKey>(&mut self, table: &Table<P>, slot: u32) -> (u32, bool) {
        // Ahead of the first fill there is nothing to tell yet.
        let filled = match self.group.fill {
            Some((family, _)) if family < P::INDEX => 0,
            Some((family, next)) if family == P::INDEX => next,
            _ => table.len(),
        };
        let wants = self.group.profile.families.contains(P::FAMILY);
        let mut at = slot;
        while wants && at < filled {
            if self.builder.len() >= self.budget as usize || at - slot >= LOOKS_MAX {
                return (at, true);
            }
            self.advertise(table, at, self.withdraw);
            at += 1;
        }
        let filling = self
            .group
            .fill
            .is_some_and(|(family, _)| family <= P::INDEX);
        (at.max(filled), filling)
    }

    fn advertise<P: TableKey + BuildKey>(&mut self, table: &Table<P>, slot: u32, again: bool) {
        let Some(prefix) = table
            .slot(slot)
            .filter(|slot| slot.is_used())
            .map(|slot| slot.prefix())
        else {
            return;
        };
        let group = self.group;
        if group.is_many(P::INDEX) {
            if let Some(sent) = group.sent.get(P::INDEX) {
                sent.advertise(slot, self.builder, &group.members, prefix);
            }
        } else if let Some(advertised) = group.advertised.get(P::INDEX) {
            let nlri = Nlri { path_id: 0, prefix };
            advertise_state(
                self.builder,
                &group.members,
                nlri,
                &advertised.get(slot),
                again,
            );
        }
    }

    /// Tells how the slots stand that changed from `position` on; returns how far it came.
    fn log(&mut self, from: u64) -> u64 {
        let (core, end) = (self.core, self.group.cursor);
        let entries = core.log.from(from);
        let entries = entries.take_while(|(position, _)| *position < end);
        for (looks, (position, slot)) in (0..).zip(entries) {
            if self.builder.len() >= self.budget as usize || looks >= LOOKS_MAX {
                return position;
            }
            self.advertise_gone(&self.tables.v4, position);
            self.advertise_gone(&self.tables.v6, position);
            // A later entry that the group has passed will tell it; one that the group has not
            // passed comes with the group's stream.
            let later = self
                .tables
                .logged(self.core, slot)
                .is_some_and(|last| last > position && last < self.group.cursor);
            if !later {
                match slot.family() {
                    0 => self.advertise(&self.tables.v4, slot.slot(), true),
                    _ => self.advertise(&self.tables.v6, slot.slot(), true),
                }
            }
        }
        from.max(end)
    }

    /// Takes back paths that went at `position` (ADD-PATH).
    fn advertise_gone<P: TableKey + BuildKey>(&mut self, table: &Table<P>, position: u64) {
        let group = self.group;
        if !group.is_many(P::INDEX) {
            return;
        }
        let Some(sent) = group.sent.get(P::INDEX) else {
            return;
        };
        for (slot, path_id, source) in sent.gone_at(position) {
            if let Some(prefix) = table.slot(slot).map(|slot| slot.prefix()) {
                let audience = group.members.all_but(source);
                self.builder.withdraw(audience, Nlri { path_id, prefix });
            }
        }
    }
}

/// Groups and owners, when a set dies.
pub(crate) struct Keeper<'a> {
    pub(crate) groups: &'a mut Groups,
    pub(crate) returns: &'a mut Vec<Returns>,
}

impl Retire for Keeper<'_> {
    fn retire(&mut self, handle: Handle, released: &mut Vec<Handle>) {
        for group in self.groups.iter_mut() {
            group.exports.retire(handle, released);
        }
    }

    fn returned(&mut self, handle: Handle, grants: u32) {
        if let Some(returns) = self.returns.get_mut(handle.owner()) {
            returns.grants.push((handle, grants));
        }
    }
}
