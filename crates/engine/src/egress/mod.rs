//! Egress: from the shards' batches to the members' queues.
//!
//! ```text
//!  [shard 0 → worker] ─┐                     ┌─ in step ──────► every member in step with the shard
//!  [shard 1 → worker] ─┼─► by group ─► pack ─┤
//!  …                   ┘   (encoded once)    └─ reader's answer ► the reader's members
//! ```
//!
//! A member stands, toward each shard, at one [`Place`]: joining, waiting with a cursor, reading, or in
//! step. A member whose socket does not keep up leaves the stream with a cursor and catches up by a
//! reader when its queue has drained: nothing ever waits for it.

mod absorb;
mod moves;
mod readers;

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use thruway_rib::limits::SHARDS_MAX;
use thruway_rib::{
    Cursor, EgressBatch, EgressRequest, GroupId, GroupProfile, Held, Packer, PeerId, ShardId,
    WorkerId,
};
use thruway_session::ConnId;
use thruway_wire::{Family, FamilySet};

use crate::ingress::conns::Conns;
use crate::limits::Bounds;
use crate::shared::rings::{Back, Wake, WorkerRings};
use readers::Reader;

/// The members of this worker, their groups, and their readers.
#[derive(Debug)]
pub(crate) struct Egress {
    id: WorkerId,
    shards: usize,
    bounds: Bounds,
    /// By number.
    groups: Vec<Option<Box<Group>>>,
    /// By peer.
    members: Vec<Option<Box<Member>>>,
    readers: HashMap<u32, Reader, RandomState>,
    next_reader: u32,
    /// Members with a [`Place::Waiting`] (and maybe some that have none any more).
    waiting: Vec<PeerId>,
    /// Members with an anchor (and maybe some that have none any more).
    moved: Vec<PeerId>,
    /// Groups with batches to pack.
    dirty: Vec<GroupId>,
    /// By shard: what it has to be told.
    shards_told: Vec<Told>,
    notices: Vec<Notice>,
    /// What all members' queues hold, and the sends under way.
    pub(crate) held: Held,
    /// Scratch: how much waits for each member of a group.
    lags: Vec<usize>,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) detached: u64,
}

/// The members of one group on this worker.
#[derive(Debug)]
struct Group {
    packer: Packer,
    members: Vec<PeerId>,
    /// By shard: batches of this turn, in order.
    pending: [VecDeque<Arc<EgressBatch>>; SHARDS_MAX],
    dirty: bool,
}

impl Group {
    fn new(profile: &Arc<GroupProfile>, held: &Held) -> Self {
        Group {
            packer: Packer::new(profile.clone(), held),
            members: Vec::new(),
            pending: Default::default(),
            dirty: false,
        }
    }
}

/// One Established session.
#[derive(Debug)]
struct Member {
    group: GroupId,
    families: FamilySet,
    conn: ConnId,
    /// Tells answers to its joins from those to an earlier session's.
    epoch: u32,
    places: [Place; SHARDS_MAX],
    /// By shard: the log position where it left its former group. What that group told it and this
    /// one does not is withdrawn while the reader walks, so until then no slot behind this position
    /// may be given up.
    anchors: [Option<u64>; SHARDS_MAX],
    /// Bit n: shard n's table has not been told yet.
    initial: u32,
    /// It comes from another group and may hold anything.
    withdraw: bool,
    /// It is about to go to another group.
    moving: bool,
    refresh: [Refresh; 2],
    /// Queued for it since somebody asked.
    told: SentCount,
    slow: bool,
}

/// What was queued for a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SentCount {
    pub(crate) updates: u64,
    /// NLRI.
    pub(crate) announced: u64,
    pub(crate) withdrawn: u64,
}

impl SentCount {
    pub(crate) fn add(&mut self, more: SentCount) {
        self.updates += more.updates;
        self.announced += more.announced;
        self.withdrawn += more.withdrawn;
    }
}

/// Where a member stands toward one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The shard has not answered the join.
    Joining,
    /// A reader has to go on from here, once the queue has drained.
    Waiting(Cursor),
    /// A reader's.
    Reading(u32),
    /// The group's batches are its own.
    InStep,
    /// It left the stream to go to another group.
    Anchored,
}

/// A ROUTE-REFRESH being answered, for one family. The member stays in step meanwhile: both ways of
/// telling it something say what holds at that point of the shard's ring.
#[derive(Clone, Copy, Debug, Default)]
struct Refresh {
    /// Bit n: shard n's table is being told again.
    shards: u32,
    /// Asked for once more meanwhile.
    again: bool,
}

/// Requests toward one shard. Positions are sent as they change, the latest only.
#[derive(Debug)]
struct Told {
    /// Pulls and stops: at most one each a reader.
    requests: VecDeque<EgressRequest>,
    /// Batches taken off the ring, whosever they are.
    absorbed: u64,
    /// The last group batch taken off the ring, and the last that the shard knows of.
    taken: u64,
    seen: u64,
    /// The position that the shard knows of.
    retain: u64,
}

impl Refresh {
    /// One that was going on has to begin anew.
    fn again(self) -> Refresh {
        Refresh {
            shards: 0,
            again: self.again || self.shards != 0,
        }
    }
}

impl Member {
    /// In step with every shard.
    fn settled(&self, shards: usize) -> bool {
        self.places
            .iter()
            .take(shards)
            .all(|place| *place == Place::InStep)
    }
}

/// What the worker has to do about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The whole table was told: End-of-RIB is due.
    Told(PeerId, FamilySet),
    /// A refresh is through.
    Refreshed(PeerId, Family),
    /// It has left its group's stream at every shard and can go to another group.
    Anchored(PeerId),
    /// A refresh that was asked for earlier can begin.
    Refresh(PeerId, Family),
    /// It left the stream, or is back.
    Slow(PeerId, bool),
    /// It fell behind the change log.
    Lost(PeerId),
}

impl Egress {
    pub(crate) fn new(id: WorkerId, shards: usize, seed: u64, bounds: Bounds) -> Self {
        let told = || Told {
            requests: VecDeque::new(),
            absorbed: 0,
            taken: 0,
            seen: 0,
            retain: u64::MAX,
        };
        Egress {
            id,
            shards,
            bounds,
            groups: Vec::new(),
            members: Vec::new(),
            readers: HashMap::with_hasher(RandomState::with_seeds(seed, 10, 11, 12)),
            next_reader: 0,
            waiting: Vec::new(),
            moved: Vec::new(),
            dirty: Vec::new(),
            shards_told: (0..shards).map(|_| told()).collect(),
            notices: Vec::new(),
            held: Held::default(),
            lags: Vec::new(),
            messages: 0,
            bytes: 0,
            detached: 0,
        }
    }

    /// A session is up, or comes from another group (`moved`: after [`Notice::Anchored`]). Shards are
    /// told by the caller and answer with `joined`.
    pub(crate) fn add(
        &mut self,
        peer: PeerId,
        conn: ConnId,
        profile: &Arc<GroupProfile>,
        epoch: u32,
        moved: bool,
    ) {
        let before = self.remove(peer);
        if moved {
            self.moved.push(peer);
        }
        let initial = match &before {
            Some(before) if moved => before.initial,
            _ => (1 << self.shards) - 1,
        };
        let member = Member {
            group: profile.id,
            families: profile.families,
            conn,
            epoch,
            places: [Place::Joining; SHARDS_MAX],
            anchors: before
                .as_ref()
                .map_or_else(Default::default, |member| member.anchors),
            initial,
            withdraw: moved,
            moving: false,
            refresh: before.as_ref().map_or_else(Default::default, |member| {
                member.refresh.map(Refresh::again)
            }),
            told: before.map_or_else(Default::default, |member| member.told),
            slow: false,
        };
        grow(&mut self.members, peer.index());
        grow(&mut self.groups, profile.id.index());
        if let Some(slot) = self.members.get_mut(peer.index()) {
            *slot = Some(Box::new(member));
        }
        if let Some(slot) = self.groups.get_mut(profile.id.index()) {
            slot.get_or_insert_with(|| Box::new(Group::new(profile, &self.held)))
                .members
                .push(peer);
        }
    }

    /// The session is gone, or moves on. Its group goes with its last member.
    fn remove(&mut self, peer: PeerId) -> Option<Box<Member>> {
        let member = self.members.get_mut(peer.index())?.take()?;
        self.waiting.retain(|waiting| *waiting != peer);
        self.moved.retain(|moved| *moved != peer);
        self.leave_readers(peer, None);
        if let Some(slot) = self.groups.get_mut(member.group.index())
            && let Some(group) = slot
        {
            group.members.retain(|other| *other != peer);
            if group.members.is_empty() {
                *slot = None;
            }
        }
        Some(member)
    }

    /// The session is gone; what was queued for it since the last [`Egress::take_sent`].
    pub(crate) fn drop_member(&mut self, peer: PeerId) -> SentCount {
        self.remove(peer)
            .map_or_else(Default::default, |member| member.told)
    }

    /// A shard has the member in its group.
    pub(crate) fn joined(&mut self, shard: ShardId, group: GroupId, peer: PeerId, epoch: u32) {
        let Some(member) = member_mut(&mut self.members, peer) else {
            return;
        };
        if member.group != group || member.epoch != epoch {
            return;
        }
        if let Some(place) = member.places.get_mut(shard.index())
            && *place == Place::Joining
        {
            *place = Place::Waiting(Cursor::Start);
            note_waiting(&mut self.waiting, peer);
        }
    }

    /// Tells the member a family again (RFC 2918). False: not now, but [`Notice::Refresh`] follows.
    pub(crate) fn refresh(&mut self, peer: PeerId, family: Family) -> bool {
        let shards = self.shards;
        let Some(member) = member_mut(&mut self.members, peer) else {
            return false;
        };
        let (group, settled) = (member.group, member.settled(shards));
        let Some(refresh) = member.refresh.get_mut(family.index()) else {
            return false;
        };
        if refresh.shards != 0 || !settled {
            refresh.again = true;
            return false;
        }
        refresh.shards = (1 << shards) - 1;
        for shard in 0..shards {
            self.start_refresh(shard, group, peer, family);
        }
        true
    }

    /// What the worker has to do since the last call.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// What was queued for a member since the last call.
    pub(crate) fn take_sent(&mut self, peer: PeerId) -> SentCount {
        member_mut(&mut self.members, peer)
            .map_or_else(Default::default, |member| std::mem::take(&mut member.told))
    }

    /// The member's group, whether its table has been told, whether it is behind, and routes that it
    /// could not be told.
    pub(crate) fn standing(&self, peer: PeerId) -> Option<Standing> {
        let member = self.members.get(peer.index())?.as_ref()?;
        Some(Standing {
            group: member.group,
            told: member.initial == 0,
            slow: member.slow,
        })
    }

    /// Batches taken, by shard.
    pub(crate) fn absorbed(&self) -> impl Iterator<Item = u64> + '_ {
        self.shards_told.iter().map(|told| told.absorbed)
    }

    /// What that will be when all that waits now is taken.
    pub(crate) fn pending(&self, rings: &WorkerRings) -> Vec<u64> {
        let waiting = self.absorbed().zip(&rings.from_shard);
        waiting
            .map(|(absorbed, ring)| absorbed + ring.len() as u64)
            .collect()
    }

    /// Members that left the stream because they did not read.
    pub(crate) fn behind(&self) -> u32 {
        let members = self.members.iter().flatten();
        members.map(|member| u32::from(member.slow)).sum()
    }

    /// True while a member that reads has not been advertised all.
    pub(crate) fn is_catching_up(&self, conns: &Conns) -> bool {
        self.members.iter().flatten().any(|member| {
            let waits = member.moving || !member.settled(self.shards);
            waits && !member.slow && conns.queued(member.conn) <= self.bounds.member_low
        })
    }

    /// Passes requests and positions on to the shards, while the rings have room.
    pub(crate) fn flush(&mut self, rings: &WorkerRings) -> Wake {
        let mut wake = Wake::default();
        for shard in 0..self.shards {
            let retain = self.retain(shard);
            let (Some(told), Some(ring)) =
                (self.shards_told.get_mut(shard), rings.back_to.get(shard))
            else {
                continue;
            };
            wake |= told.flush(self.id, shard, retain, ring);
        }
        wake
    }

    /// The oldest position that a member toward a shard stands at.
    fn retain(&self, shard: usize) -> u64 {
        let waiting = self.waiting.iter().filter_map(|peer| {
            let member = self.members.get(peer.index())?.as_ref()?;
            match member.places.get(shard)? {
                Place::Waiting(cursor) => position(*cursor),
                _ => None,
            }
        });
        let moved = self.moved.iter().filter_map(|peer| {
            *self
                .members
                .get(peer.index())?
                .as_ref()?
                .anchors
                .get(shard)?
        });
        let reading = self.readers.values().filter(|reader| reader.shard == shard);
        let reading = reading.filter_map(|reader| position(reader.cursor));
        waiting
            .chain(moved)
            .chain(reading)
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// A member's standing, for `show`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) group: GroupId,
    pub(crate) told: bool,
    pub(crate) slow: bool,
}

impl Told {
    /// Pushes what is due. The position of a member that left goes before the news that its batch was
    /// handled, else the log could lose what it needs.
    fn flush(
        &mut self,
        worker: WorkerId,
        shard: usize,
        retain: u64,
        ring: &crossbeam::queue::ArrayQueue<Back>,
    ) -> Wake {
        let mut wake = Wake::default();
        let push = |request| ring.push(Back::Request(request)).is_ok();
        if retain != self.retain {
            if !push(EgressRequest::Retain {
                worker,
                seq: retain,
            }) {
                return wake;
            }
            wake |= Wake::late(shard, ring);
            self.retain = retain;
        }
        if self.taken != self.seen {
            if !push(EgressRequest::Seen {
                worker,
                number: self.taken,
            }) {
                return wake;
            }
            wake |= Wake::late(shard, ring);
            self.seen = self.taken;
        }
        while let Some(request) = self.requests.front() {
            if !push(request.clone()) {
                break;
            }
            wake |= Wake::now(shard);
            self.requests.pop_front();
        }
        wake
    }
}

/// The log position that a cursor needs.
fn position(cursor: Cursor) -> Option<u64> {
    match cursor {
        Cursor::Start => None,
        Cursor::Walk { since, .. } | Cursor::Log(since) => Some(since),
    }
}

fn member_mut(members: &mut [Option<Box<Member>>], peer: PeerId) -> Option<&mut Member> {
    members.get_mut(peer.index())?.as_deref_mut()
}

fn note_waiting(waiting: &mut Vec<PeerId>, peer: PeerId) {
    if !waiting.contains(&peer) {
        waiting.push(peer);
    }
}

/// Makes sure that `entries` has a place for `index`.
fn grow<T>(entries: &mut Vec<Option<T>>, index: usize) {
    if entries.len() <= index {
        entries.resize_with(index + 1, || None);
    }
}
