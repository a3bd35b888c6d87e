//! What all tables and groups of a shard share, and the decision over one slot.

use thruway_wire::attrs::{AttrFlags, AttrSetBuf};
use thruway_wire::{Family, Prefix, encode};

use crate::adj_rib_in::peers::{Life, Peers};
use crate::decision::{Candidate, Judge};
use crate::query::ShardCounters;
use crate::table::log::Log;
use crate::table::paths::{Digest, Path};
use crate::table::sets::Sets;
use crate::table::{Table, TableKey};
use crate::{DecisionConfig, GroupId, Handle, PeerId, ShardConfig, ShardNote, WorkerId};

/// Everything of a shard but its tables and groups.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) decision: DecisionConfig,
    pub(crate) sets: Sets,
    pub(crate) peers: Peers,
    pub(crate) log: Log,
    pub(crate) scratch: AttrSetBuf,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) notes: Vec<(WorkerId, ShardNote)>,
    /// Groups that could not be sent a path for the first time.
    pub(crate) unsendable: Vec<GroupId>,
    /// Families in which a change of a path that is not the best can concern a group.
    pub(crate) all_paths_matter: [bool; 2],
    /// Peers that the sweeper works for, by family.
    pub(crate) jobs: [u32; 2],
    /// Peers may have paths held back by a limit; 0: none has.
    pub(crate) blocked: u32,
    pub(crate) counters: ShardCounters,
}

impl Core {
    pub(crate) fn new(config: &ShardConfig) -> Self {
        Core {
            decision: config.decision,
            sets: Sets::new(config.id, config.seed),
            peers: Peers::default(),
            log: Log::default(),
            scratch: AttrSetBuf::default(),
            candidates: Vec::new(),
            notes: Vec::new(),
            unsendable: Vec::new(),
            all_paths_matter: [false; 2],
            jobs: [0; 2],
            blocked: 0,
            counters: ShardCounters::default(),
        }
    }

    /// The decision process over a family's paths.
    #[inline]
    pub(crate) fn judge(&self, family: usize) -> Judge<'_> {
        Judge {
            config: self.decision,
            sets: &self.sets,
            peers: &self.peers,
            family,
        }
    }

    /// Leaves a note for a peer's home.
    pub(crate) fn note(&mut self, peer: PeerId, note: ShardNote) {
        if let Some(home) = self.peers.get(peer).map(|peer| peer.profile.home) {
            self.notes.push((home, note));
        }
    }

    /// What the decision process needs of an accepted set of a peer: the digest, and whether it is an odd one
    /// ([`crate::table::paths::Tag::is_odd`]).
    #[inline]
    pub(crate) fn digest(&self, peer: PeerId, family: Family, accepted: Handle) -> (Digest, bool) {
        let rank = self.peers.hot(peer).map_or(0, |hot| hot.rank);
        self.sets
            .get(accepted)
            .map_or((Digest::REJECTED, false), |set| {
                let meta = set.meta();
                let odd = meta.flags.has(AttrFlags::MED)
                    || !encode::always_sendable(family, set.as_ref());
                (Digest::new(rank, meta), odd)
            })
    }

    /// Counts the uses that a path makes of sets.
    #[inline]
    pub(crate) fn acquire(&mut self, path: &Path) {
        self.sets.acquire(path.received, 1);
        if path.accepted != path.received && path.accepted.is_some() {
            self.sets.acquire(path.accepted, 1);
        }
    }

    /// Lets go of a path's sets.
    #[inline]
    pub(crate) fn release(&mut self, path: &Path) {
        self.sets.release(path.received);
        if path.accepted != path.received && path.accepted.is_some() {
            self.sets.release(path.accepted);
        }
    }

    /// True for a prefix that no network may route, unless the peer may announce it.
    #[inline]
    pub(crate) fn keeps_out<P: TableKey>(&self, peer: PeerId, prefix: P) -> bool {
        prefix.is_martian() && !self.admits_martian(peer, prefix.into())
    }

    #[cold]
    fn admits_martian(&self, peer: PeerId, prefix: Prefix) -> bool {
        let peer = self.peers.get(peer);
        peer.is_some_and(|peer| peer.profile.hygiene.admits_martian(prefix))
    }

    /// Judges a received set for a peer; [`Core::keeps_out`] is the caller's.
    pub(crate) fn import<P: TableKey>(
        &mut self,
        peer: PeerId,
        received: Handle,
        prefix: P,
        life: Life,
    ) -> Handle {
        let Some(peer) = self.peers.get_mut(peer) else {
            return Handle::NONE;
        };
        let mut importer = crate::adj_rib_in::import::Importer {
            peer,
            sets: &mut self.sets,
            scratch: &mut self.scratch,
            family: P::FAMILY,
            long_lived: life == Life::LongLived,
        };
        importer.judge(received, || -> Prefix { prefix.into() })
    }

    /// Runs the decision process over all paths of a slot and puts the best first.
    pub(crate) fn decide<P: TableKey>(&mut self, table: &mut Table<P>, slot: u32) {
        let mut candidates = std::mem::take(&mut self.candidates);
        let paths = table.paths(slot);
        let path_id = |index: u32| {
            paths
                .get(index as usize)
                .map_or(0, |path| table.path_id(slot, path))
        };
        let choice = self.judge(P::INDEX).best(paths, &mut candidates, &path_id);
        self.candidates = candidates;
        let (best, med) = choice.map_or((0, false), |choice| (choice.index, choice.med_mattered));
        table.set_med_mattered(slot, med);
        if best > 0 {
            table.paths_mut(slot).swap(0, best);
        }
    }

    /// Decides after the path at `index` took the place of one with digest `before` (`REJECTED`: of
    /// none). Most changes need no decision process: only paths with the leading digest are compared further.
    #[inline]
    pub(crate) fn decide_after<P: TableKey>(
        &mut self,
        table: &mut Table<P>,
        slot: u32,
        index: usize,
        before: Digest,
    ) {
        let paths = table.paths(slot);
        let Some(first) = paths.first().copied() else {
            return;
        };
        let Some(new) = paths.get(index).copied() else {
            return;
        };
        if self.peers.any_dead(P::INDEX) {
            self.decide(table, slot);
        } else if index == 0 {
            if paths.len() > 1 && new.digest <= before {
                self.decide(table, slot);
            } else {
                table.set_med_mattered(slot, false);
            }
        } else if new.digest > first.digest {
            table.paths_mut(slot).swap(0, index);
            table.set_med_mattered(slot, false);
        } else if table.slot(slot).is_some_and(|slot| slot.med_mattered())
            || self.decision.missing_med_worst
        {
            if new.digest == first.digest || before == first.digest {
                self.decide(table, slot);
            }
        } else if new.digest == first.digest {
            if first.tag.is_odd() || new.tag.is_odd() {
                self.decide(table, slot);
            } else {
                self.duel(table, slot, index);
            }
        }
    }

    /// Decides between the best and another path with its digest, where neither has a MED: no MED can take
    /// them out, and the steps behind are an order, so that the others need no look.
    fn duel<P: TableKey>(&mut self, table: &mut Table<P>, slot: u32, index: usize) {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let paths = table.paths(slot);
        let mut digest = Digest::REJECTED;
        for index in [0, index] {
            if let Some(path) = paths.get(index) {
                digest = path.digest;
                candidates.push(Candidate::new(index as u32, path));
            }
        }
        let path_id = |index: u32| {
            paths
                .get(index as usize)
                .map_or(0, |path| table.path_id(slot, path))
        };
        let best = self
            .judge(P::INDEX)
            .settle_equal(&mut candidates, digest, &path_id);
        self.candidates = candidates;
        if best.is_some_and(|best| best.index == index) {
            table.paths_mut(slot).swap(0, index);
        }
    }
}
