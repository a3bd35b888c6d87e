//! Readers: how members get what they have missed.

use thruway_rib::{Cursor, EgressRequest, GroupId, PeerId};
use thruway_wire::Family;

use super::{Egress, Notice, Place, member_mut, note_waiting, position};
use crate::ingress::conns::Conns;

/// Pulls a group's routes from one shard for some members.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) group: GroupId,
    pub(super) shard: usize,
    pub(super) cursor: Cursor,
    pub(super) members: Vec<PeerId>,
    /// An answer is on its way.
    pub(super) in_flight: bool,
    pub(super) withdraw: bool,
    pub(super) purpose: Purpose,
}

/// What becomes of a reader's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// They are brought into step.
    CatchUp,
    /// One family is told again: the one member stays where it is.
    Refresh(Family),
    /// The one member leaves the stream behind the first answer, which is not for telling.
    Anchor,
}

impl Egress {
    /// Starts readers for members that wait and whose queues have drained, one for all that stand at
    /// the same point, and pulls for those that have no answer on its way.
    pub(crate) fn pull(&mut self, conns: &Conns) {
        if self.is_full(conns) {
            return;
        }
        let mut fresh: Vec<u32> = Vec::new();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&peer| {
            for shard in 0..self.shards {
                self.start(peer, shard, conns, &mut fresh);
            }
            self.waits(peer)
        });
        self.waiting = waiting;
        self.pull_idle(conns);
    }

    fn waits(&self, peer: PeerId) -> bool {
        self.members
            .get(peer.index())
            .and_then(|member| member.as_ref())
            .is_some_and(|member| member.places.iter().any(|p| matches!(p, Place::Waiting(_))))
    }

    fn start(&mut self, peer: PeerId, shard: usize, conns: &Conns, fresh: &mut Vec<u32>) {
        let Some(member) = member_mut(&mut self.members, peer) else {
            return;
        };
        let Some(place) = member.places.get_mut(shard) else {
            return;
        };
        let Place::Waiting(cursor) = *place else {
            return;
        };
        if conns.queued(member.conn) > self.bounds.member_low {
            return;
        }
        let (group, withdraw) = (member.group, member.withdraw);
        let found = fresh.iter().find(|id| {
            self.readers.get(*id).is_some_and(|reader| {
                (reader.group, reader.shard, reader.cursor, reader.withdraw)
                    == (group, shard, cursor, withdraw)
            })
        });
        let id = match found {
            Some(id) => *id,
            None => {
                self.next_reader = self.next_reader.wrapping_add(1);
                fresh.push(self.next_reader);
                self.next_reader
            }
        };
        *place = Place::Reading(id);
        let reader = self.readers.entry(id).or_insert_with(|| Reader {
            group,
            shard,
            cursor,
            members: Vec::new(),
            in_flight: false,
            withdraw,
            purpose: Purpose::CatchUp,
        });
        reader.members.push(peer);
    }

    /// A reader of its own for a refresh.
    pub(super) fn start_refresh(
        &mut self,
        shard: usize,
        group: GroupId,
        peer: PeerId,
        family: Family,
    ) {
        self.add_reader(Reader {
            group,
            shard,
            cursor: Cursor::Start,
            members: vec![peer],
            in_flight: false,
            withdraw: false,
            purpose: Purpose::Refresh(family),
        });
    }

    pub(super) fn add_reader(&mut self, reader: Reader) {
        self.next_reader = self.next_reader.wrapping_add(1);
        self.readers.insert(self.next_reader, reader);
    }

    /// Pulls for readers whose last answer is through. Members that do not keep up are left behind
    /// where they stand, as long as one member does.
    fn pull_idle(&mut self, conns: &Conns) {
        let low = self.bounds.member_low;
        let (members, waiting) = (&mut self.members, &mut self.waiting);
        for (&id, reader) in self
            .readers
            .iter_mut()
            .filter(|(_, reader)| !reader.in_flight)
        {
            let ready = |peer: PeerId| {
                let member = members.get(peer.index()).and_then(|member| member.as_ref());
                member.is_none_or(|member| conns.queued(member.conn) <= low)
            };
            let all = reader.members.len();
            let keep: Vec<bool> = reader.members.iter().map(|&peer| ready(peer)).collect();
            let fast = keep.iter().filter(|ready| **ready).count();
            if fast == 0 {
                continue;
            }
            if fast < all {
                let cursor = reader.cursor;
                let mut keep = keep.into_iter();
                reader.members.retain(|&peer| {
                    let keep = keep.next().unwrap_or(true);
                    if !keep {
                        park(members, waiting, peer, reader.shard, cursor);
                    }
                    keep
                });
            }
            reader.in_flight = true;
            let anchor = reader.purpose == Purpose::Anchor;
            let budget = if anchor { 1 } else { self.bounds.pull_nlri };
            if let Some(told) = self.shards_told.get_mut(reader.shard) {
                told.requests.push_back(EgressRequest::Pull {
                    worker: self.id,
                    reader: id,
                    group: reader.group,
                    cursor: reader.cursor,
                    budget,
                    withdraw: reader.withdraw,
                });
            }
        }
    }

    /// The reader has answered in full.
    pub(super) fn finish(&mut self, id: u32) {
        let Some(reader) = self.readers.remove(&id) else {
            return;
        };
        for peer in reader.members {
            match reader.purpose {
                Purpose::CatchUp => self.in_step(peer, reader.shard),
                Purpose::Refresh(family) => self.refreshed(peer, reader.shard, family),
                Purpose::Anchor => {}
            }
        }
    }

    fn refreshed(&mut self, peer: PeerId, shard: usize, family: Family) {
        let Some(member) = member_mut(&mut self.members, peer) else {
            return;
        };
        let Some(refresh) = member.refresh.get_mut(family.index()) else {
            return;
        };
        refresh.shards &= !(1 << shard);
        if refresh.shards != 0 {
            return;
        }
        self.notices.push(Notice::Refreshed(peer, family));
        if std::mem::take(&mut refresh.again) {
            self.notices.push(Notice::Refresh(peer, family));
        }
    }

    /// The first answer says where the log stands at this point of the ring. The reader stops: the
    /// position is held by the member from here on.
    pub(super) fn anchored(&mut self, id: u32, next: Cursor) {
        // The shard does not know the group yet: the reader pulls once more.
        let Some(at) = position(next) else { return };
        let Some(reader) = self.readers.remove(&id) else {
            return;
        };
        if let Some(told) = self.shards_told.get_mut(reader.shard) {
            told.stop(self.id, id);
        }
        for peer in reader.members {
            // One that was detached meanwhile has not taken all that stands before; what would bring it
            // into step again ends here.
            let held = self.position_of(peer, reader.shard);
            self.leave_readers(peer, Some(reader.shard));
            self.anchor(peer, reader.shard, held.into_iter().chain([at]).min());
            self.note_anchored(peer);
        }
    }

    fn in_step(&mut self, peer: PeerId, shard: usize) {
        self.weigh_anchor(peer, shard);
        let shards = self.shards;
        let Some(member) = member_mut(&mut self.members, peer) else {
            return;
        };
        if let Some(place) = member.places.get_mut(shard) {
            *place = Place::InStep;
        }
        let before = member.initial;
        member.initial &= !(1 << shard);
        if before != 0 && member.initial == 0 {
            self.notices.push(Notice::Told(peer, member.families));
        }
        if !member.settled(shards) {
            return;
        }
        member.withdraw = false;
        if std::mem::take(&mut member.slow) {
            self.notices.push(Notice::Slow(peer, false));
        }
        for (family, refresh) in Family::ALL.into_iter().zip(&mut member.refresh) {
            if refresh.shards == 0 && std::mem::take(&mut refresh.again) {
                self.notices.push(Notice::Refresh(peer, family));
            }
        }
    }

    /// The reader's position has left the log: its members cannot be brought into step.
    pub(super) fn lost(&mut self, id: u32) {
        let Some(reader) = self.readers.remove(&id) else {
            return;
        };
        self.notices
            .extend(reader.members.into_iter().map(Notice::Lost));
    }

    /// Takes a member out of all readers, or those at one shard; one without members stops.
    pub(super) fn leave_readers(&mut self, peer: PeerId, shard: Option<usize>) {
        let (worker, told) = (self.id, &mut self.shards_told);
        self.readers.retain(|&id, reader| {
            if shard.is_some_and(|shard| shard != reader.shard) {
                return true;
            }
            reader.members.retain(|member| *member != peer);
            let keep = !reader.members.is_empty();
            if !keep && let Some(told) = told.get_mut(reader.shard) {
                told.stop(worker, id);
            }
            keep
        });
    }
}

impl super::Told {
    /// Takes back the reader's pull, or tells the shard that no more come.
    fn stop(&mut self, worker: thruway_rib::WorkerId, id: u32) {
        self.requests.retain(
            |request| !matches!(request, EgressRequest::Pull { reader, .. } if *reader == id),
        );
        self.requests
            .push_back(EgressRequest::Stop { worker, reader: id });
    }
}

/// Leaves a member behind at `cursor`. A refresh's reader waits with its member instead: it has but
/// one.
fn park(
    members: &mut [Option<Box<super::Member>>],
    waiting: &mut Vec<PeerId>,
    peer: PeerId,
    shard: usize,
    cursor: Cursor,
) {
    let Some(member) = member_mut(members, peer) else {
        return;
    };
    if let Some(place) = member.places.get_mut(shard) {
        *place = Place::Waiting(cursor);
        note_waiting(waiting, peer);
    }
}
