//! From one group to another, without a reset: what the old group told and the new one does not has to
//! be withdrawn, also where its prefix is gone by the time the new group's table is walked.
//!
//! A member in step does not know its place in the log. So it first gets an anchor from each shard: the
//! answer to a pull of the old group says where the log stood, and stands itself in the ring behind all
//! that the member has taken. From there on the log is held, and with it every slot that empties, until
//! the new group's walk has passed.

use thruway_rib::{Cursor, PeerId};

use super::readers::{Purpose, Reader};
use super::{Egress, Notice, Place, member_mut, position};

impl Egress {
    /// Begins to take a member out of its group; [`Notice::Anchored`] follows.
    pub(crate) fn begin_move(&mut self, peer: PeerId) {
        let Some(member) = member_mut(&mut self.members, peer) else {
            return;
        };
        if std::mem::replace(&mut member.moving, true) {
            return;
        }
        let (group, places) = (member.group, member.places);
        let held: Vec<_> = (0..self.shards)
            .map(|shard| self.position_of(peer, shard))
            .collect();
        self.leave_readers(peer, None);
        for ((shard, held), place) in held.into_iter().enumerate().zip(places) {
            if place == Place::InStep {
                self.add_reader(Reader {
                    group,
                    shard,
                    cursor: Cursor::Start,
                    members: vec![peer],
                    in_flight: false,
                    withdraw: false,
                    purpose: Purpose::Anchor,
                });
            } else {
                self.anchor(peer, shard, held);
            }
        }
        self.moved.push(peer);
        self.note_anchored(peer);
    }

    /// Where a member that is not in step stands; `None`: nothing was told yet, or an anchor holds.
    pub(super) fn position_of(&self, peer: PeerId, shard: usize) -> Option<u64> {
        let member = self.members.get(peer.index())?.as_ref()?;
        match member.places.get(shard)? {
            Place::Waiting(cursor) => position(*cursor),
            Place::Reading(id) => position(self.readers.get(id)?.cursor),
            Place::Joining | Place::InStep | Place::Anchored => None,
        }
    }

    /// The old group's stream ends here for the member.
    pub(super) fn anchor(&mut self, peer: PeerId, shard: usize, at: Option<u64>) {
        let Some(member) = member_mut(&mut self.members, peer) else {
            return;
        };
        if let (Some(place), Some(anchor)) =
            (member.places.get_mut(shard), member.anchors.get_mut(shard))
        {
            *place = Place::Anchored;
            *anchor = [*anchor, at].into_iter().flatten().min();
        }
    }

    /// Says so once no shard's anchor is missing.
    pub(super) fn note_anchored(&mut self, peer: PeerId) {
        let Some(member) = member_mut(&mut self.members, peer) else {
            return;
        };
        let missing = member
            .places
            .iter()
            .take(self.shards)
            .any(|p| *p != Place::Anchored);
        if member.moving && !missing {
            self.notices.push(Notice::Anchored(peer));
        }
    }

    /// The new group's walk is through: nothing behind the anchor matters any more.
    pub(super) fn weigh_anchor(&mut self, peer: PeerId, shard: usize) {
        let Some(member) = member_mut(&mut self.members, peer) else {
            return;
        };
        if let Some(anchor) = member.anchors.get_mut(shard) {
            *anchor = None;
        }
        if member.anchors.iter().all(Option::is_none) {
            self.moved.retain(|moved| *moved != peer);
        }
    }
}
