//! The shard's part of a turn: apply what ingress sent, sweep, tell groups and readers, answer
//! questions, give back.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use thruway_policy::Hits;
use thruway_rib::limits::WORKERS_MAX;
use thruway_rib::{
    EgressBatch, EgressRequest, EgressSink, Foresight, GroupId, PeerId, Query, QueryCursor,
    RouteRow, Shard, ShardConfig, ShardEvent, Tally, WorkerId,
};
use thruway_wire::Family;

use crate::control::status::{PeerTable, TableCounts};
use crate::limits::{Bounds, QUERIES_MAX, REPLY_ROWS};
use crate::shared::rings::{Back, Change, ToShard, Wake, WorkerRings};
use crate::{GroupRegistry, QueryId, Reply, Sink};

/// A shard and what surrounds it on its worker.
#[derive(Debug)]
pub(crate) struct ShardStage {
    pub(crate) shard: Shard,
    bounds: Bounds,
    /// This worker, and so this shard's place in others' rings.
    id: WorkerId,
    routes: Routes,
    /// By worker.
    workers: Vec<Remote>,
    queries: VecDeque<Asked>,
    /// A question was gone on with, and some are left.
    asking: bool,
    /// By peer: its group.
    groups: Vec<Option<GroupId>>,
    /// The worker whose ring is looked at first, in turn.
    first: usize,
    more: bool,
}

/// A worker as the shard sees it.
#[derive(Debug, Default)]
struct Remote {
    /// Pulls that wait for room in its ring: one a reader at most.
    pulls: VecDeque<EgressRequest>,
    /// Answers to joins that found the back ring full: one a join.
    joined: VecDeque<Back>,
    /// Batches of its ingress that were applied.
    applied: u64,
    /// The number of the last group batch sent to it, and of the last that it has handled.
    sent: u64,
    seen: u64,
}

#[derive(Debug)]
struct Asked {
    id: QueryId,
    question: Question,
}

/// A question and how far its answer is.
#[derive(Debug)]
enum Question {
    Rows(Listing),
    Tally(Tally, QueryCursor),
    Plan(Box<Foresight>),
}

/// Rows of a query.
#[derive(Debug)]
struct Listing {
    query: Query,
    cursor: QueryCursor,
    /// Found and not handed over yet.
    rows: Vec<RouteRow>,
    /// Nothing is left to find.
    done: bool,
}

/// Which workers have members of which group, and the rings to them.
#[derive(Debug, Default)]
struct Routes {
    groups: Vec<Audience>,
    rings: Vec<Arc<crossbeam::queue::ArrayQueue<Arc<EgressBatch>>>>,
    wake: u32,
    /// The last number seen, and by worker the last sent to it.
    number: u64,
    sent: [u64; WORKERS_MAX],
}

#[derive(Clone, Debug, Default)]
struct Audience {
    members: [u16; WORKERS_MAX],
    /// Bit n: worker n has members.
    mask: u32,
}

impl ShardStage {
    pub(crate) fn new(
        config: ShardConfig,
        id: WorkerId,
        bounds: Bounds,
        rings: &WorkerRings,
    ) -> Self {
        let workers = (0..config.workers).map(|_| Remote::default()).collect();
        ShardStage {
            shard: Shard::new(config),
            bounds,
            id,
            routes: Routes {
                rings: rings.to_egress.clone(),
                ..Routes::default()
            },
            workers,
            queries: VecDeque::new(),
            asking: false,
            groups: Vec::new(),
            first: 0,
            more: false,
        }
    }

    /// A bounded piece of everything; the workers to wake.
    pub(crate) fn turn(
        &mut self,
        rings: &WorkerRings,
        groups: &GroupRegistry,
        out: &mut dyn Sink,
    ) -> Wake {
        let mut wake = Wake::default();
        wake |= self.apply(rings, groups);
        let swept = self.shard.sweep(self.bounds.sweep_slots);
        let told = self
            .shard
            .run_groups(self.bounds.group_entries, &mut self.routes);
        wake |= mem::take(&mut self.routes.wake);
        wake |= self.answer_pulls();
        self.note_sent();
        self.answer_queries(out);
        wake |= self.give_back(rings);
        self.more = swept || told;
        wake
    }

    /// True where another turn finds work without anything new from outside.
    pub(crate) fn more(&self, rings: &WorkerRings) -> bool {
        self.more
            || self.asking
            || rings.from_ingress.iter().any(|ring| !ring.is_empty())
            || self
                .workers
                .iter()
                .zip(&self.routes.rings)
                .any(|(remote, ring)| !remote.pulls.is_empty() && !ring.is_full())
    }

    /// Batches applied, by worker.
    pub(crate) fn applied(&self) -> impl Iterator<Item = u64> + '_ {
        self.workers.iter().map(|remote| remote.applied)
    }

    /// What that will be when all that waits now is applied.
    pub(crate) fn pending(&self, rings: &WorkerRings) -> Vec<u64> {
        let waiting = self.applied().zip(&rings.from_ingress);
        waiting
            .map(|(applied, ring)| applied + ring.len() as u64)
            .collect()
    }

    fn apply(&mut self, rings: &WorkerRings, groups: &GroupRegistry) -> u32 {
        let mut wake = 0;
        let mut left = self.bounds.shard_batches;
        let workers = rings.from_ingress.len();
        self.first = (self.first + 1) % workers.max(1);
        let mut idle = 0;
        let mut worker = self.first;
        // One batch of each worker in turn, so that a busy one does not starve the others.
        while left > 0 && idle < workers {
            match rings
                .from_ingress
                .get(worker)
                .map(|ring| (ring.pop(), ring))
            {
                Some((Some(batch), ring)) => {
                    // The worker may wait for this place.
                    if ring.len() + 1 >= ring.capacity() {
                        wake |= 1 << worker;
                    }
                    self.apply_batch(batch, groups);
                    if let Some(remote) = self.workers.get_mut(worker) {
                        remote.applied += 1;
                    }
                    left -= 1;
                    idle = 0;
                }
                _ => idle += 1,
            }
            worker = (worker + 1) % workers.max(1);
        }
        wake
    }

    fn apply_batch(&mut self, mut batch: ToShard, groups: &GroupRegistry) {
        let from = batch.batch.from;
        if batch.control {
            self.settle_groups(&mut batch, groups);
        }
        // Joins first, so that a leave and a join of one group do not meet zero between them.
        for change in &batch.members {
            if let Change::Join(group, _, _) = change {
                self.routes.add(*group, from);
            }
        }
        self.shard.apply(&mut batch.batch);
        for change in batch.members {
            match change {
                Change::Join(group, peer, epoch) => self.joined(from, group, peer, epoch),
                Change::Leave(group, peer) => self.left(from, group, peer),
            }
        }
    }

    fn joined(&mut self, from: WorkerId, group: GroupId, peer: PeerId, epoch: u32) {
        self.note_group(peer, Some(group));
        let shard = self.shard.id();
        if let Some(remote) = self.workers.get_mut(from.index()) {
            remote
                .joined
                .push_back(Back::Joined(shard, group, peer, epoch));
        }
    }

    fn left(&mut self, from: WorkerId, group: GroupId, peer: PeerId) {
        self.routes.remove(group, from);
        if self.groups.get(peer.index()).copied().flatten() == Some(group) {
            self.note_group(peer, None);
        }
    }

    fn note_group(&mut self, peer: PeerId, group: Option<GroupId>) {
        if self.groups.len() <= peer.index() {
            self.groups.resize(peer.index() + 1, None);
        }
        if let Some(slot) = self.groups.get_mut(peer.index()) {
            *slot = group;
        }
    }

    /// What the shard holds of each peer and told it.
    pub(crate) fn tables(&self) -> Vec<PeerTable> {
        let peers = (0..=u16::MAX).map(PeerId).zip(&self.groups);
        let tables = peers.map(|(peer, group)| PeerTable {
            peer,
            families: Family::ALL.map(|family| self.counts(peer, *group, family)),
        });
        tables
            .filter(|table| table.families != <[TableCounts; 2]>::default())
            .collect()
    }

    /// How often statements of import policies held.
    pub(crate) fn import_hits(&self) -> Vec<(PeerId, Hits)> {
        let peers = (0..=u16::MAX).map(PeerId).zip(&self.groups);
        peers
            .filter_map(|(peer, _)| Some((peer, self.shard.import_hits(peer)?.clone())))
            .collect()
    }

    /// How often statements of export policies held.
    pub(crate) fn export_hits(&self) -> Vec<(GroupId, Hits)> {
        let mut groups: Vec<GroupId> = self.groups.iter().copied().flatten().collect();
        groups.sort_unstable();
        groups.dedup();
        groups
            .into_iter()
            .filter_map(|group| Some((group, self.shard.export_hits(group)?.clone())))
            .collect()
    }

    fn counts(&self, peer: PeerId, group: Option<GroupId>, family: Family) -> TableCounts {
        let held = self.shard.peer_counters(peer, family);
        let told = group.map_or(0, |group| self.shard.advertised(group, peer, family));
        let held_back = group.map_or(0, |group| self.shard.held_back(group, family));
        let unsendable = group.map_or(0, |group| self.shard.unsendable(group, family));
        TableCounts {
            received: held.received.into(),
            accepted: held.accepted.into(),
            stale: held.stale.into(),
            blocked: held.blocked.into(),
            advertised: told.into(),
            held_back: held_back.into(),
            unsendable,
        }
    }

    /// Puts the newest profile into each event of a group: this one may have been overtaken by
    /// another worker's.
    fn settle_groups(&self, batch: &mut ToShard, groups: &GroupRegistry) {
        for event in &mut batch.batch.events {
            match event {
                ShardEvent::Group(profile) => {
                    if let Some(newest) = groups.current(profile.id) {
                        *profile = newest;
                    }
                }
                ShardEvent::GroupGone(group) => groups.gone(*group, self.id.index()),
                _ => {}
            }
        }
    }

    /// Takes a request of egress.
    pub(crate) fn request(&mut self, from: WorkerId, request: EgressRequest) {
        let Some(remote) = self.workers.get_mut(from.index()) else {
            return;
        };
        match request {
            EgressRequest::Pull { .. } => remote.pulls.push_back(request),
            EgressRequest::Seen { number, .. } => {
                remote.seen = number;
                self.shard.request(&request);
            }
            EgressRequest::Stop {
                reader: stopped, ..
            } => {
                remote.pulls.retain(|pull| {
                    !matches!(pull, EgressRequest::Pull { reader, .. } if *reader == stopped)
                });
                self.shard.request(&request);
            }
            EgressRequest::Retain { .. } => {
                self.shard.request(&request);
            }
        }
    }

    fn answer_pulls(&mut self) -> u32 {
        let mut wake = 0;
        for (worker, (remote, ring)) in self.workers.iter_mut().zip(&self.routes.rings).enumerate()
        {
            while !remote.pulls.is_empty() && !ring.is_full() {
                let Some(pull) = remote.pulls.pop_front() else {
                    break;
                };
                let Some(batch) = self.shard.request(&pull) else {
                    continue;
                };
                let pushed = ring.push(Arc::new(batch));
                debug_assert!(pushed.is_ok(), "only this shard fills the ring");
                wake |= 1 << worker;
            }
        }
        wake
    }

    /// A worker that has handled all that it was sent has handled, as far as the log is concerned, the
    /// batches that went past it too.
    fn note_sent(&mut self) {
        let number = self.routes.number;
        for (worker, remote) in self.workers.iter_mut().enumerate() {
            remote.sent = self.routes.sent.get(worker).copied().unwrap_or_default();
            if remote.seen < number && remote.seen >= remote.sent {
                remote.seen = number;
                let worker = WorkerId(u8::try_from(worker).unwrap_or(u8::MAX));
                self.shard.request(&EgressRequest::Seen { worker, number });
            }
        }
    }

    /// Goes on with the first question whose asker has room, and puts it behind the others.
    fn answer_queries(&mut self, out: &mut dyn Sink) {
        self.asking = false;
        let ready = self.queries.iter().position(|asked| out.has_room(asked.id));
        let Some(mut asked) = ready.and_then(|at| self.queries.remove(at)) else {
            return;
        };
        let budget = self.bounds.query_slots;
        let done = match &mut asked.question {
            Question::Rows(listing) => listing.answer(&self.shard, asked.id, budget, out),
            Question::Tally(tally, cursor) => {
                let done = self.shard.tally(tally, cursor, budget);
                if done {
                    out.reply(asked.id, Reply::Tally(tally.rows()));
                }
                done
            }
            Question::Plan(walk) => plan(&self.shard, walk, asked.id, budget, out),
        };
        if !done {
            self.queries.push_back(asked);
        }
        self.asking = !self.queries.is_empty();
    }

    /// Asks a question, answered over the next turns.
    pub(crate) fn ask(&mut self, id: QueryId, query: Query, out: &mut dyn Sink) {
        let question = match &query {
            Query::Tally {
                eligibility: Some(eligibility),
            } => Question::Tally(Tally::new(eligibility), QueryCursor::default()),
            _ => Question::Rows(Listing {
                query,
                cursor: QueryCursor::default(),
                rows: Vec::new(),
                done: false,
            }),
        };
        self.put(Asked { id, question }, out);
    }

    /// Asks what a proposal would do.
    pub(crate) fn foresee(&mut self, id: QueryId, walk: Foresight, out: &mut dyn Sink) {
        let question = Question::Plan(Box::new(walk));
        self.put(Asked { id, question }, out);
    }

    fn put(&mut self, asked: Asked, out: &mut dyn Sink) {
        if self.queries.len() >= QUERIES_MAX {
            return out.reply(asked.id, Reply::Busy);
        }
        self.queries.push_back(asked);
    }

    /// Forgets a question.
    pub(crate) fn cancel(&mut self, id: QueryId) {
        self.queries.retain(|asked| asked.id != id);
    }

    fn give_back(&mut self, rings: &WorkerRings) -> Wake {
        let mut wake = Wake::default();
        for (worker, (remote, ring)) in self.workers.iter_mut().zip(&rings.back_to).enumerate() {
            while let Some(joined) = remote.joined.pop_front() {
                if let Err(joined) = ring.push(joined) {
                    remote.joined.push_front(joined);
                    break;
                }
                wake |= Wake::now(worker);
            }
            if ring.is_full() {
                continue;
            }
            let id = WorkerId(u8::try_from(worker).unwrap_or(u8::MAX));
            if let Some(returns) = self.shard.take_returns(id) {
                let told = !returns.notes.is_empty();
                // Only this worker fills the ring.
                let pushed = ring.push(Back::Returns(returns));
                debug_assert!(pushed.is_ok());
                wake |= if told {
                    Wake::now(worker)
                } else {
                    Wake::late(worker, ring)
                };
            }
        }
        wake
    }
}

impl Listing {
    /// Goes on, and hands over what there is room for. True at the end.
    fn answer(&mut self, shard: &Shard, id: QueryId, budget: u32, out: &mut dyn Sink) -> bool {
        if self.rows.is_empty() && !self.done {
            self.done = shard.query(&self.query, &mut self.cursor, budget, &mut self.rows);
        }
        while !self.rows.is_empty() && out.has_room(id) {
            let rest = self.rows.split_off(self.rows.len().min(REPLY_ROWS));
            let rows = mem::replace(&mut self.rows, rest);
            out.reply(id, Reply::Rows(rows));
        }
        let end = self.done && self.rows.is_empty();
        if end {
            out.reply(id, Reply::Done);
        }
        end
    }
}

/// Goes on with a plan. True at its end.
fn plan(shard: &Shard, walk: &mut Foresight, id: QueryId, budget: u32, out: &mut dyn Sink) -> bool {
    let done = shard.foresee(walk, budget);
    if walk.has_rows() {
        out.reply(id, Reply::PlanRows(walk.take_rows()));
    }
    if done {
        out.reply(id, Reply::Planned(walk.counts()));
    }
    done
}

impl Routes {
    fn add(&mut self, group: GroupId, worker: WorkerId) {
        if self.groups.len() <= group.index() {
            self.groups.resize(group.index() + 1, Audience::default());
        }
        let Some(audience) = self.groups.get_mut(group.index()) else {
            return;
        };
        if let Some(members) = audience.members.get_mut(worker.index()) {
            *members = members.saturating_add(1);
            audience.mask |= 1 << worker.0;
        }
    }

    fn remove(&mut self, group: GroupId, worker: WorkerId) {
        let Some(audience) = self.groups.get_mut(group.index()) else {
            return;
        };
        if let Some(members) = audience.members.get_mut(worker.index()) {
            *members = members.saturating_sub(1);
            if *members == 0 {
                audience.mask &= !(1 << worker.0);
            }
        }
    }

    fn mask(&self, group: GroupId) -> u32 {
        self.groups
            .get(group.index())
            .map_or(0, |audience| audience.mask)
    }
}

impl EgressSink for Routes {
    fn has_room(&self, group: GroupId) -> bool {
        let mask = self.mask(group);
        self.rings
            .iter()
            .enumerate()
            .all(|(worker, ring)| mask >> worker & 1 == 0 || !ring.is_full())
    }

    fn batch(&mut self, batch: EgressBatch) {
        let mask = self.mask(batch.group);
        let number = batch.number;
        self.number = self.number.max(number);
        let batch = Arc::new(batch);
        for (worker, ring) in self.rings.iter().enumerate() {
            if mask >> worker & 1 == 0 {
                continue;
            }
            let pushed = ring.push(batch.clone());
            debug_assert!(pushed.is_ok(), "asked for room before");
            if let Some(sent) = self.sent.get_mut(worker) {
                *sent = number;
            }
            self.wake |= 1 << worker;
        }
    }
}
