//! Ingress: from UPDATEs to one batch for each shard.

use std::collections::VecDeque;

use thruway_rib::limits::SHARDS_MAX;
use thruway_rib::{
    GroupId, Handle, InternStats, Interner, PeerId, Returns, ShardBatch, ShardEvent, ShardId,
    WorkerId, shard_of,
};
use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::update::UpdateView;
use thruway_wire::{Family, Ipv4Prefix, Ipv6Prefix, Nlri, PrefixKey};

use crate::limits::{INGRESS_BACKLOG_BATCHES, SHARD_BATCH_EVENTS_MAX};
use crate::shared::rings::{Change, ToShard, WorkerRings};

/// The sets of this worker's sessions, and the batches that are being filled.
#[derive(Debug)]
pub(crate) struct Ingress {
    id: WorkerId,
    seed: u64,
    /// NLRI in a batch before it is sent.
    full: usize,
    interner: Interner,
    scratch: AttrSetBuf,
    lanes: Vec<Lane>,
    pub(crate) announced: u64,
    pub(crate) withdrawn: u64,
}

/// Toward one shard.
#[derive(Debug)]
struct Lane {
    open: ToShard,
    /// The shard is to have a turn, though there is nothing to tell it.
    nudge: bool,
    /// Full batches that found the ring full.
    backlog: VecDeque<ToShard>,
    /// Batches that went into the ring.
    sent: u64,
}

/// A prefix family and its place in a batch.
pub(crate) trait Lined: PrefixKey {
    fn nlri(batch: &mut ShardBatch) -> &mut Vec<Nlri<Self>>;
}

impl Lined for Ipv4Prefix {
    fn nlri(batch: &mut ShardBatch) -> &mut Vec<Nlri<Self>> {
        &mut batch.nlri4
    }
}

impl Lined for Ipv6Prefix {
    fn nlri(batch: &mut ShardBatch) -> &mut Vec<Nlri<Self>> {
        &mut batch.nlri6
    }
}

impl Ingress {
    pub(crate) fn new(id: WorkerId, shards: usize, seed: u64, full: usize) -> Self {
        let lane = || Lane {
            open: opened(id),
            nudge: false,
            backlog: VecDeque::new(),
            sent: 0,
        };
        Ingress {
            id,
            seed,
            full,
            interner: Interner::new(id, shards, seed),
            scratch: AttrSetBuf::new(),
            lanes: (0..shards).map(|_| lane()).collect(),
            announced: 0,
            withdrawn: 0,
        }
    }

    /// Takes an UPDATE apart. Withdrawn routes go first: a prefix that stands in both places is
    /// announced (RFC 4271 §4.3).
    /// `local_pref` takes the place of what the UPDATE says.
    pub(crate) fn update(&mut self, peer: PeerId, local_pref: Option<u32>, view: &UpdateView<'_>) {
        self.withdraw(peer, view.withdrawn4());
        self.withdraw(peer, view.withdrawn6());
        for (part, family) in view.announced() {
            view.canonical(part, &mut self.scratch);
            if local_pref.is_some() {
                self.scratch.set_local_pref(local_pref);
            }
            let handle = self.interner.intern(self.scratch.as_ref());
            match family {
                Family::Ipv4 => self.announce(peer, handle, view.announced4(part)),
                Family::Ipv6 => self.announce(peer, handle, view.announced6()),
            }
        }
    }

    fn announce<P: Lined>(
        &mut self,
        peer: PeerId,
        handle: Handle,
        nlri: impl Iterator<Item = Nlri<P>>,
    ) {
        if !handle.is_some() {
            return self.withdraw(peer, nlri);
        }
        let counts = self.split(nlri);
        for (shard, (lane, &count)) in self.lanes.iter_mut().zip(&counts).enumerate() {
            if count == 0 {
                continue;
            }
            self.announced += u64::from(count);
            let batch = &mut lane.open.batch;
            let set = self.interner.grant(handle, shard_id(shard));
            let new_set = set.is_some();
            batch.sets.extend(set);
            let family = P::FAMILY;
            batch.events.push(ShardEvent::Announce {
                peer,
                family,
                handle,
                new_set,
                count,
            });
        }
        if counts.iter().all(|&count| count == 0) {
            self.interner.release_if_unused(handle);
        }
    }

    fn withdraw<P: Lined>(&mut self, peer: PeerId, nlri: impl Iterator<Item = Nlri<P>>) {
        let counts = self.split(nlri);
        for (lane, &count) in self.lanes.iter_mut().zip(&counts) {
            if count > 0 {
                self.withdrawn += u64::from(count);
                let event = ShardEvent::Withdraw {
                    peer,
                    family: P::FAMILY,
                    count,
                };
                lane.open.batch.events.push(event);
            }
        }
    }

    /// Appends each NLRI to its shard's batch; how many went where.
    fn split<P: Lined>(&mut self, nlri: impl Iterator<Item = Nlri<P>>) -> [u32; SHARDS_MAX] {
        let mut counts = [0; SHARDS_MAX];
        if let ([lane], [count, ..]) = (self.lanes.as_mut_slice(), &mut counts) {
            let to = P::nlri(&mut lane.open.batch);
            let before = to.len();
            to.extend(nlri);
            *count = (to.len() - before) as u32;
            return counts;
        }
        let (seed, shards) = (self.seed, self.lanes.len());
        for nlri in nlri {
            let shard = shard_of(&nlri.prefix, seed, shards).index();
            if let (Some(lane), Some(count)) = (self.lanes.get_mut(shard), counts.get_mut(shard)) {
                P::nlri(&mut lane.open.batch).push(nlri);
                *count += 1;
            }
        }
        counts
    }

    /// Tells every shard, behind the data so far.
    pub(crate) fn broadcast(&mut self, event: &ShardEvent) {
        for lane in &mut self.lanes {
            lane.open.batch.events.push(event.clone());
            lane.open.control |= matches!(event, ShardEvent::Group(_) | ShardEvent::GroupGone(_));
        }
    }

    /// Tells every shard of a new member; each answers with [`crate::shared::rings::Back::Joined`].
    pub(crate) fn join(&mut self, group: GroupId, peer: PeerId, epoch: u32) {
        self.broadcast(&ShardEvent::Join(group, peer));
        self.lanes
            .iter_mut()
            .for_each(|lane| lane.open.members.push(Change::Join(group, peer, epoch)));
    }

    /// Tells every shard that a member has gone.
    pub(crate) fn leave(&mut self, group: GroupId, peer: PeerId) {
        self.broadcast(&ShardEvent::Leave(group, peer));
        self.lanes
            .iter_mut()
            .for_each(|lane| lane.open.members.push(Change::Leave(group, peer)));
    }

    /// Gives every shard a turn.
    pub(crate) fn nudge(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.nudge = true);
    }

    /// Takes back what a shard no longer holds.
    pub(crate) fn returned(&mut self, returns: &mut Returns) {
        self.interner.returned(returns);
    }

    /// Sends full batches. Between UPDATEs.
    pub(crate) fn flush_full(&mut self, rings: &WorkerRings) -> u32 {
        let mut wake = 0;
        for (shard, lane) in self.lanes.iter_mut().enumerate() {
            let batch = &lane.open.batch;
            if batch.nlri4.len() + batch.nlri6.len() >= self.full
                || batch.events.len() >= SHARD_BATCH_EVENTS_MAX
            {
                wake |= send(&mut self.interner, lane, self.id, shard, rings);
            }
        }
        wake
    }

    /// Sends what there is, while the rings have room. At the end of a turn. `late`: also where there
    /// are only sets to forget.
    pub(crate) fn flush(&mut self, rings: &WorkerRings, late: bool) -> u32 {
        let mut wake = self.drain_backlog(rings);
        for (shard, (lane, ring)) in self.lanes.iter_mut().zip(&rings.to_shard).enumerate() {
            if !lane.backlog.is_empty() || ring.is_full() {
                continue;
            }
            // A shard keeps its copy of a set until it hears that the set is gone, also where there is
            // nothing else to say.
            let nudge = std::mem::take(&mut lane.nudge);
            let freed = late && self.interner.has_freed(shard_id(shard));
            if nudge || freed || !lane.open.batch.events.is_empty() {
                wake |= send(&mut self.interner, lane, self.id, shard, rings);
            }
        }
        wake
    }

    fn drain_backlog(&mut self, rings: &WorkerRings) -> u32 {
        let mut wake = 0;
        for (shard, (lane, ring)) in self.lanes.iter_mut().zip(&rings.to_shard).enumerate() {
            while let Some(batch) = lane.backlog.pop_front() {
                if let Err(batch) = ring.push(batch) {
                    lane.backlog.push_front(batch);
                    break;
                }
                lane.sent += 1;
                wake |= 1 << shard;
            }
        }
        wake
    }

    /// True where no further UPDATE may be taken: a shard is too far behind.
    pub(crate) fn blocked(&self) -> bool {
        self.lanes
            .iter()
            .any(|lane| lane.backlog.len() >= INGRESS_BACKLOG_BATCHES)
    }

    /// True where something waits to be sent and its ring has room.
    pub(crate) fn can_flush(&self, rings: &WorkerRings) -> bool {
        self.lanes.iter().zip(&rings.to_shard).any(|(lane, ring)| {
            let waits = !lane.backlog.is_empty() || !lane.open.batch.events.is_empty();
            waits && !ring.is_full()
        })
    }

    /// True where a shard is to forget sets.
    pub(crate) fn has_freed(&self) -> bool {
        (0..self.lanes.len()).any(|shard| self.interner.has_freed(shard_id(shard)))
    }

    /// Batches sent, by shard.
    pub(crate) fn sent(&self) -> impl Iterator<Item = u64> + '_ {
        self.lanes.iter().map(|lane| lane.sent)
    }

    /// What that will be when all that is here now has gone.
    pub(crate) fn pending(&self) -> Vec<u64> {
        let waiting = |lane: &Lane| {
            let open = lane.nudge || !lane.open.batch.events.is_empty();
            lane.backlog.len() as u64 + u64::from(open)
        };
        self.lanes
            .iter()
            .map(|lane| lane.sent + waiting(lane))
            .collect()
    }

    pub(crate) fn stats(&self) -> InternStats {
        self.interner.stats()
    }
}

/// Closes the lane's batch and sends it, behind the backlog; the shard's bit where it went.
fn send(
    interner: &mut Interner,
    lane: &mut Lane,
    from: WorkerId,
    shard: usize,
    rings: &WorkerRings,
) -> u32 {
    let mut batch = std::mem::replace(&mut lane.open, opened(from));
    interner.take_freed(shard_id(shard), &mut batch.batch.freed);
    if lane.backlog.is_empty()
        && let Some(ring) = rings.to_shard.get(shard)
    {
        match ring.push(batch) {
            Ok(()) => {
                lane.sent += 1;
                return 1 << shard;
            }
            Err(full) => batch = full,
        }
    }
    lane.backlog.push_back(batch);
    0
}

fn opened(from: WorkerId) -> ToShard {
    let batch = ShardBatch {
        from,
        ..ShardBatch::default()
    };
    ToShard {
        batch,
        ..ToShard::default()
    }
}

/// Shards are few: the number fits.
pub(crate) fn shard_id(shard: usize) -> ShardId {
    ShardId(u8::try_from(shard).unwrap_or(u8::MAX))
}
