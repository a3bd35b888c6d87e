//! One shard of the RIB.

use std::sync::atomic::Ordering;

use thruway_policy::Hits;
use thruway_wire::{Family, Ipv4Prefix, Ipv6Prefix};

use crate::adj_rib_in::apply::{self, Ahead};
use crate::adj_rib_in::sweep::{self, Sweeper};
use crate::adj_rib_out::groups::{Groups, Keeper, Tables};
use crate::core::Core;
use crate::limits::WORKERS_MAX;
use crate::table::TableKey;
use crate::{
    DecisionConfig, EgressBatch, EgressRequest, EgressSink, GroupId, PeerCounters, PeerId, Returns,
    ShardBatch, ShardCounters, ShardEvent, ShardId, ShardNote, WorkerId,
};

/// What a shard is made with.
#[derive(Clone, Copy, Debug)]
pub struct ShardConfig {
    /// Its number.
    pub id: ShardId,
    /// Workers of the daemon.
    pub workers: usize,
    /// The decision process.
    pub decision: DecisionConfig,
    /// Keys the hashes of its tables.
    pub seed: u64,
}

/// One shard: its tables, log and groups. All of it is called by one thread at a time, between the
/// calls it is at rest.
///
/// A turn: [`Shard::apply`] for each batch that came, [`Shard::request`] for each request,
/// [`Shard::sweep`], [`Shard::run_groups`], and at the end [`Shard::take_returns`] for each worker.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    pub(crate) tables: Tables,
    pub(crate) core: Core,
    pub(crate) groups: Groups,
    sweepers: [Sweeper; 2],
    returns: Vec<Returns>,
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(config: ShardConfig) -> Self {
        let workers = config.workers.clamp(1, WORKERS_MAX);
        let returns = || Returns {
            shard: config.id,
            ..Returns::default()
        };
        Shard {
            id: config.id,
            tables: Tables::new(config.seed),
            core: Core::new(&config),
            groups: Groups::new(config.id),
            sweepers: Default::default(),
            returns: (0..workers).map(|_| returns()).collect(),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Takes what ingress sent and empties `batch`, whose storage may be used again.
    pub fn apply(&mut self, batch: &mut ShardBatch) {
        for handle in batch.freed.drain(..) {
            self.core.sets.freed(handle);
        }
        let mut events = std::mem::take(&mut batch.events);
        let mut sets = batch.sets.drain(..);
        for event in &events {
            if let ShardEvent::Announce {
                handle,
                new_set: true,
                ..
            } = event
                && let Some(set) = sets.next()
            {
                self.core.sets.put(*handle, set);
            }
        }
        debug_assert!(
            sets.next().is_none(),
            "a set for each event that brings one"
        );
        drop(sets);
        let (mut next4, mut next6) = Default::default();
        for event in events.drain(..) {
            match event.family() {
                Some(Family::Ipv4) => self.data::<Ipv4Prefix>(batch, &event, &mut next4),
                Some(Family::Ipv6) => self.data::<Ipv6Prefix>(batch, &event, &mut next6),
                None => self.control(batch.from, event),
            }
        }
        batch.events = events;
        batch.nlri4.clear();
        batch.nlri6.clear();
        self.groups.trim(&mut self.tables, &mut self.core);
    }

    /// An event with NLRI, of which `next` counts those already taken.
    fn data<P: ShardKey>(
        &mut self,
        batch: &ShardBatch,
        event: &ShardEvent,
        (next, ahead): &mut (usize, Ahead),
    ) {
        let count = event.count();
        let (nlri, range) = (P::received(batch), *next..*next + count);
        debug_assert!(range.end <= nlri.len(), "events and NLRI agree");
        *next += count;
        let (table, core) = (P::table(&mut self.tables), &mut self.core);
        match event {
            ShardEvent::Announce { peer, handle, .. } => {
                core.counters.announced += count as u64;
                if core.sets.granted(*handle) {
                    apply::announce(table, core, ahead, (*peer, *handle), nlri, range);
                } else {
                    apply::withdraw(table, core, ahead, *peer, nlri, range);
                }
            }
            ShardEvent::Withdraw { peer, .. } => {
                core.counters.withdrawn += count as u64;
                apply::withdraw(table, core, ahead, *peer, nlri, range);
            }
            _ => {}
        }
    }

    /// An event without NLRI, from worker `from`.
    fn control(&mut self, from: WorkerId, event: ShardEvent) {
        let slots = self.tables.slots();
        let core = &mut self.core;
        match event {
            ShardEvent::Announce { .. } | ShardEvent::Withdraw { .. } => {}
            ShardEvent::PeerUp(profile) => {
                sweep::peer_up(core, &profile, slots);
                self.renew(profile.id, Family::Ipv4);
                self.renew(profile.id, Family::Ipv6);
            }
            ShardEvent::PeerDown { peer, forget, .. } if core.peers.get(peer).is_none() => {
                if forget {
                    core.notes.push((from, ShardNote::Swept(peer)));
                }
            }
            ShardEvent::PeerDown {
                peer,
                retain,
                forget,
            } => {
                sweep::peer_down(core, peer, retain, forget, slots);
            }
            ShardEvent::MarkStale(peer, family) => {
                sweep::mark_stale(core, peer, family.index());
                self.renew(peer, family);
            }
            // Whether a restart is over is for the session to say: it sends SweepStale then.
            ShardEvent::EndOfRib(..) => {}
            ShardEvent::SweepStale(peer, family) => {
                let slots = slots.get(family.index()).copied().unwrap_or(0);
                sweep::sweep_stale(core, peer, family.index(), slots);
            }
            ShardEvent::LongLived(peer, family) => {
                let slots = slots.get(family.index()).copied().unwrap_or(0);
                sweep::long_lived(core, peer, family.index(), slots);
            }
            ShardEvent::Group(profile) => self.groups.set(&profile, core, slots),
            ShardEvent::GroupGone(group) => self.groups.remove(group, core),
            ShardEvent::Join(group, peer) => self.groups.join(group, peer, from, core, slots),
            ShardEvent::Leave(group, peer) => self.groups.leave(group, peer),
        }
    }

    /// Gives a peer a generation for what it tells next.
    fn renew(&mut self, peer: PeerId, family: Family) {
        let core = &mut self.core;
        if sweep::renew(core, peer, family.index()) {
            return;
        }
        match family {
            Family::Ipv4 => sweep::merge_generations(&mut self.tables.v4, core, peer),
            Family::Ipv6 => sweep::merge_generations(&mut self.tables.v6, core, peer),
        }
        let renewed = sweep::renew(core, peer, family.index());
        debug_assert!(renewed, "three lives need three generations");
    }

    /// Lets groups follow the change log, `budget` slots at most in all. True where more is to do and
    /// the sink may have room for it.
    pub fn run_groups(&mut self, budget: u32, sink: &mut dyn EgressSink) -> bool {
        self.groups
            .run(&mut self.tables, &mut self.core, budget, sink)
    }

    /// Handles a request of egress, in the order in which a worker sent them. A pull is answered with
    /// one batch for the worker that asked (the caller has room for it); the reader's members must have
    /// joined before, else they may be advertised their own paths. An answer without NLRI that
    /// is not `done` means: nothing to tell yet (the group is unknown or still being built), pull again
    /// in a later turn.
    pub fn request(&mut self, request: &EgressRequest) -> Option<EgressBatch> {
        self.groups
            .request(request, &mut self.tables, &mut self.core)
    }

    /// Goes on with removing what dead sessions left and with judging paths again, `budget` slots at
    /// most. True where more is to do.
    pub fn sweep(&mut self, budget: u32) -> bool {
        let [v4, v6] = &mut self.sweepers;
        let taken = v4.run(&mut self.tables.v4, &mut self.core, budget);
        v6.run(&mut self.tables.v6, &mut self.core, budget - taken);
        self.is_sweeping()
    }

    fn is_sweeping(&self) -> bool {
        self.core.jobs.iter().any(|jobs| *jobs > 0)
    }

    /// What goes back to a worker: grants of its sets and notes for its peers. Call it at the end of
    /// a turn, for each worker.
    pub fn take_returns(&mut self, worker: WorkerId) -> Option<Returns> {
        if self.core.sets.has_zero() {
            let Shard {
                core,
                groups,
                returns,
                ..
            } = self;
            core.sets.collect(&mut Keeper { groups, returns });
        }
        self.note_room();
        self.note_unsendable();
        for (home, note) in self.core.notes.drain(..) {
            if let Some(returns) = self.returns.get_mut(home.index()) {
                returns.notes.push(note);
            }
        }
        let returns = self.returns.get_mut(worker.index())?;
        if returns.grants.is_empty() && returns.notes.is_empty() {
            return None;
        }
        Some(std::mem::replace(
            returns,
            Returns {
                shard: self.id,
                ..Returns::default()
            },
        ))
    }

    /// Notes peers that were held back by a limit which has room again.
    fn note_room(&mut self) {
        let core = &mut self.core;
        if core.blocked == 0 {
            return;
        }
        core.blocked = 0;
        for peer in core.peers.iter_mut() {
            for family in Family::ALL {
                let limit = peer.limit(family.index()).cloned();
                let Some(of) = peer.families.get_mut(family.index()) else {
                    continue;
                };
                if crate::adj_rib_in::limit::room_again(limit.as_ref(), of) {
                    let id = peer.profile.id;
                    core.notes
                        .push((peer.profile.home, ShardNote::LimitRoom(id, family)));
                } else {
                    core.blocked |= of.blocked;
                }
            }
        }
    }

    /// True where neither groups nor sweeper have anything to do.
    #[must_use]
    pub fn idle(&self) -> bool {
        !self.is_sweeping() && !self.groups.has_work(&self.core)
    }

    /// True while a sweep, a group's first fill or a second look at its answers goes on: what they find
    /// is not in the log yet.
    #[must_use]
    pub fn is_walking(&self) -> bool {
        self.is_sweeping() || self.groups.is_walking()
    }

    /// The change log's end.
    #[must_use]
    pub fn log_end(&self) -> u64 {
        self.core.log.end()
    }

    /// The position up to which every group has followed the change log.
    #[must_use]
    pub fn advertised_upto(&self) -> u64 {
        self.groups.advertised_upto()
    }

    /// Its numbers.
    #[must_use]
    pub fn counters(&self) -> ShardCounters {
        let (sets, derived) = self.core.sets.counts();
        let Tables { v4, v6 } = &self.tables;
        let tables = v4.memory() + v6.memory() + self.core.sets.memory();
        let memory = tables + self.core.log.memory() + self.groups.memory();
        ShardCounters {
            prefixes: [v4.prefix_count(), v6.prefix_count()],
            paths: [v4.path_count(), v6.path_count()],
            sets,
            derived,
            log: self.core.log.len() as u32,
            memory: memory as u64,
            ..self.core.counters
        }
    }

    /// A peer's numbers for a family.
    #[must_use]
    pub fn peer_counters(&self, peer: PeerId, family: Family) -> PeerCounters {
        self.core.peers.counters(peer, family)
    }

    /// Prefixes (paths, with ADD-PATH) that a member of a group is advertised.
    #[must_use]
    pub fn advertised(&self, group: GroupId, peer: PeerId, family: Family) -> u32 {
        let Some(group) = self.groups.get(group) else {
            return 0;
        };
        let family = family.index();
        if group.is_many(family) {
            group.sent.get(family).map_or(0, |sent| sent.count(peer))
        } else {
            group
                .advertised
                .get(family)
                .map_or(0, |advertised| advertised.count(peer))
        }
    }

    /// How often a group's members could not be sent a path that they may have.
    #[must_use]
    pub fn unsendable(&self, group: GroupId, family: Family) -> u64 {
        let group = self.groups.get(group);
        group.map_or(0, |group| group.exports.unsendable(family))
    }

    /// Says so where groups could not be sent a path for the first time.
    fn note_unsendable(&mut self) {
        let Shard { core, groups, .. } = self;
        for id in core.unsendable.drain(..) {
            let workers = groups.get(id).map_or(0, |group| group.members.workers());
            let homes = (0..WORKERS_MAX as u8).filter(|worker| workers >> worker & 1 == 1);
            let notes = homes.map(|worker| (WorkerId(worker), ShardNote::Unsendable(id)));
            core.notes.extend(notes);
        }
    }

    /// Prefixes that a limit holds back from the members of a group.
    #[must_use]
    pub fn held_back(&self, group: GroupId, family: Family) -> u32 {
        let group = self.groups.get(group);
        group.map_or(0, |group| group.waiting(family.index()))
    }

    /// How often the statements of a peer's import policy held. Verdicts that were remembered do not
    /// count again.
    #[must_use]
    pub fn import_hits(&self, peer: PeerId) -> Option<&Hits> {
        Some(&self.core.peers.get(peer)?.hits)
    }

    /// How often the statements of a group's export policy held; see [`Shard::import_hits`].
    #[must_use]
    pub fn export_hits(&self, group: GroupId) -> Option<&Hits> {
        Some(&self.groups.get(group)?.exports.hits)
    }

    /// The sum that a limit holds over all shards, for checks.
    #[must_use]
    pub fn limit_held(&self, peer: PeerId, family: Family) -> Option<u32> {
        let limit = self.core.peers.get(peer)?.limit(family.index())?;
        Some(limit.held.load(Ordering::Relaxed))
    }
}

impl ShardEvent {
    /// The family of an event with NLRI.
    fn family(&self) -> Option<Family> {
        match self {
            ShardEvent::Announce { family, .. } | ShardEvent::Withdraw { family, .. } => {
                Some(*family)
            }
            _ => None,
        }
    }

    /// NLRI of an event.
    fn count(&self) -> usize {
        match self {
            ShardEvent::Announce { count, .. } | ShardEvent::Withdraw { count, .. } => {
                *count as usize
            }
            _ => 0,
        }
    }
}

/// A family's table among the shard's.
trait ShardKey: TableKey {
    fn table(tables: &mut Tables) -> &mut crate::table::Table<Self>;
}

impl ShardKey for Ipv4Prefix {
    fn table(tables: &mut Tables) -> &mut crate::table::Table<Self> {
        &mut tables.v4
    }
}

impl ShardKey for Ipv6Prefix {
    fn table(tables: &mut Tables) -> &mut crate::table::Table<Self> {
        &mut tables.v6
    }
}

#[cfg(test)]
mod tests;
