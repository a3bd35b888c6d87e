//! Taking the shards' batches: packed once for each group, queued for each member.

use std::sync::Arc;

use thruway_rib::{Cursor, EgressBatch, GroupId, Packed, PeerId, Stream};
use thruway_wire::Family;

use super::readers::Purpose;
use super::{Egress, Group, Member, Notice, Place, SentCount, member_mut, note_waiting};
use crate::GroupRegistry;
use crate::ingress::conns::Conns;
use crate::limits::COPY_BELOW;
use crate::shared::rings::WorkerRings;

impl Egress {
    /// Takes batches off the rings, packs and queues them; the shards to wake.
    pub(crate) fn absorb(
        &mut self,
        rings: &WorkerRings,
        groups: &GroupRegistry,
        conns: &mut Conns,
    ) -> u32 {
        let mut wake = 0;
        for (shard, ring) in rings.from_shard.iter().enumerate() {
            for _ in 0..self.bounds.egress_batches {
                let Some(batch) = ring.pop() else { break };
                // The shard may wait for this place.
                if ring.len() + 1 >= ring.capacity() {
                    wake |= 1 << shard;
                }
                self.take(shard, batch);
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.work_off(id, groups, conns);
        }
        self.dirty = dirty;
        wake
    }

    /// Sorts a batch to its group. One of a group that has no member here any more is dropped.
    fn take(&mut self, shard: usize, batch: Arc<EgressBatch>) {
        if let Some(told) = self.shards_told.get_mut(shard) {
            told.taken = told.taken.max(batch.number);
            told.absorbed += 1;
        }
        let id = batch.group;
        let Some(Some(group)) = self.groups.get_mut(id.index()) else {
            return;
        };
        if let Some(pending) = group.pending.get_mut(shard) {
            pending.push_back(batch);
            if !std::mem::replace(&mut group.dirty, true) {
                self.dirty.push(id);
            }
        }
    }

    /// Works off a group's batches: of each shard in order, of several shards together where the
    /// members are the same.
    fn work_off(&mut self, id: GroupId, registry: &GroupRegistry, conns: &mut Conns) {
        let Some(mut group) = self.groups.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        group.dirty = false;
        let mut heads = Vec::with_capacity(self.shards);
        loop {
            heads.clear();
            for shard in 0..self.shards {
                self.answers(&mut group, shard, registry, conns);
                let pending = group.pending.get_mut(shard);
                if let Some(batch) = pending.and_then(|pending| pending.pop_front()) {
                    self.detach_slow(&group, shard, &batch, conns);
                    heads.push((shard, batch));
                }
            }
            if heads.is_empty() {
                break;
            }
            self.stream(&mut group, &heads, registry, conns);
        }
        if let Some(slot) = self.groups.get_mut(id.index()) {
            *slot = Some(group);
        }
    }

    /// Works off the readers' answers at the head of a shard's queue.
    fn answers(
        &mut self,
        group: &mut Group,
        shard: usize,
        registry: &GroupRegistry,
        conns: &mut Conns,
    ) {
        let Some(pending) = group.pending.get_mut(shard) else {
            return;
        };
        while pending
            .front()
            .is_some_and(|batch| batch.stream != Stream::Group)
        {
            let Some(batch) = pending.pop_front() else {
                break;
            };
            match batch.stream {
                Stream::Group => {}
                Stream::Lost { reader } => self.lost(reader),
                Stream::Reader {
                    reader: id,
                    next,
                    done,
                } => {
                    let Some(reader) = self.readers.get_mut(&id) else {
                        continue;
                    };
                    reader.in_flight = false;
                    reader.cursor = next;
                    let (purpose, members) = (reader.purpose, std::mem::take(&mut reader.members));
                    let packed = match purpose {
                        Purpose::CatchUp => pack(&mut group.packer, [&*batch], registry),
                        Purpose::Refresh(family) => {
                            let batch = only(batch, family);
                            pack(&mut group.packer, [&batch], registry)
                        }
                        Purpose::Anchor => Packed::default(),
                    };
                    self.queue(&packed, &members, conns, |_| true);
                    if let Some(reader) = self.readers.get_mut(&id) {
                        reader.members = members;
                    }
                    match purpose {
                        Purpose::Anchor => self.anchored(id, next),
                        _ if done => self.finish(id),
                        _ => {}
                    }
                }
            }
        }
    }

    /// True where members hold as much as they may together.
    pub(super) fn is_full(&self, conns: &Conns) -> bool {
        self.held.octets() + conns.overhead() > self.bounds.egress_bytes
    }

    /// Members whose queue is too long leave the stream before this batch. What most of a group has not
    /// taken yet is held once for all of them, so it is how far a member is behind the others that counts.
    fn detach_slow(&mut self, group: &Group, shard: usize, batch: &EgressBatch, conns: &Conns) {
        let bounds = self.bounds;
        let full = self.is_full(conns);
        let (high, max) = match full {
            false => (bounds.member_high, bounds.member_max),
            true => (bounds.member_low, bounds.member_low),
        };
        let mut lags = std::mem::take(&mut self.lags);
        lags.clear();
        let members = group.members.iter().filter_map(|&peer| {
            let member = self.members.get(peer.index())?.as_deref()?;
            (*member.places.get(shard)? == Place::InStep).then(|| conns.queued(member.conn))
        });
        lags.extend(members);
        if lags.iter().any(|lag| *lag > high) {
            // Of an even number the one nearer to the front: of two, the slow one leaves.
            let middle = lags.len().saturating_sub(1) / 2;
            let common = match lags.as_slice() {
                [_] => 0,
                _ => *lags.select_nth_unstable(middle).1,
            };
            self.detach(group, shard, batch, conns, max.min(common + high));
        }
        self.lags = lags;
    }

    /// Takes members with more than `most` octets out of the stream.
    fn detach(
        &mut self,
        group: &Group,
        shard: usize,
        batch: &EgressBatch,
        conns: &Conns,
        most: usize,
    ) {
        for &peer in &group.members {
            let Some(member) = member_mut(&mut self.members, peer) else {
                continue;
            };
            let conn = member.conn;
            let Some(place) = member.places.get_mut(shard) else {
                continue;
            };
            if *place != Place::InStep || conns.queued(conn) <= most {
                continue;
            }
            *place = Place::Waiting(Cursor::Log(batch.from));
            note_waiting(&mut self.waiting, peer);
            self.detached += 1;
            if !std::mem::replace(&mut member.slow, true) {
                self.notices.push(Notice::Slow(peer, true));
            }
        }
    }

    /// Packs one batch of each shard, together where every member in step with one of the shards is so
    /// with all, and queues them.
    fn stream(
        &mut self,
        group: &mut Group,
        heads: &[(usize, Arc<EgressBatch>)],
        registry: &GroupRegistry,
        conns: &mut Conns,
    ) {
        let members = std::mem::take(&mut group.members);
        let asked = heads.iter().fold(0, |mask, (shard, _)| mask | 1 << shard);
        let steps = |member: &Member| in_step(member) & asked;
        let mut masks = members.iter().filter_map(|&peer| {
            self.members
                .get(peer.index())?
                .as_deref()
                .map(steps)
                .filter(|mask| *mask != 0)
        });
        if masks.all(|mask| mask == asked) {
            let packed = pack(
                &mut group.packer,
                heads.iter().map(|(_, batch)| &**batch),
                registry,
            );
            self.queue(&packed, &members, conns, |member| steps(member) != 0);
        } else {
            for (shard, batch) in heads {
                let packed = pack(&mut group.packer, [&**batch], registry);
                self.queue(&packed, &members, conns, |member| {
                    in_step(member) >> shard & 1 == 1
                });
            }
        }
        group.members = members;
    }

    /// Queues packed messages for those of `members` that are wanted.
    fn queue(
        &mut self,
        packed: &Packed,
        members: &[PeerId],
        conns: &mut Conns,
        wanted: impl Fn(&Member) -> bool,
    ) {
        // Shards tell a group only what its encoder takes.
        debug_assert_eq!(packed.unsendable, 0, "a route was told that cannot be sent");
        self.messages += u64::from(packed.messages);
        for &peer in members {
            let Some(member) = member_mut(&mut self.members, peer) else {
                continue;
            };
            if !wanted(member) {
                continue;
            }
            for (bytes, count) in packed.slices_for(peer) {
                self.bytes += bytes.len() as u64;
                member.told.add(SentCount {
                    updates: count.messages.into(),
                    announced: count.announced.into(),
                    withdrawn: count.withdrawn.into(),
                });
                // A small part would keep all of the pack in memory: queues could then hold far more
                // than their lengths say.
                let small = bytes.len() * COPY_BELOW < packed.bytes().len();
                let bytes = if small { self.held.copy(&bytes) } else { bytes };
                conns.push(member.conn, bytes);
            }
        }
    }
}

/// Bit n: in step with shard n.
fn in_step(member: &Member) -> u32 {
    let places = member.places.iter().enumerate();
    places.fold(0, |mask, (shard, place)| {
        mask | u32::from(*place == Place::InStep) << shard
    })
}

fn pack<'b>(
    packer: &mut thruway_rib::Packer,
    batches: impl IntoIterator<Item = &'b EgressBatch>,
    registry: &GroupRegistry,
) -> Packed {
    batches.into_iter().for_each(|batch| packer.absorb(batch));
    packer.pack(&|peer| registry.source(peer))
}

/// The runs of one family: a walk goes through the whole table, a refresh is for one family.
fn only(batch: Arc<EgressBatch>, family: Family) -> EgressBatch {
    let mut batch = Arc::try_unwrap(batch).unwrap_or_else(|shared| EgressBatch {
        shard: shared.shard,
        group: shared.group,
        runs: shared.runs.clone(),
        nlri4: shared.nlri4.clone(),
        nlri6: shared.nlri6.clone(),
        sets: shared.sets.clone(),
        ..EgressBatch::default()
    });
    batch.runs.retain(|run| run.family == family);
    batch
}
