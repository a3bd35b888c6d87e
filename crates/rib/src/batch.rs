//! What travels between ingress, shards and egress. One value a turn and direction, not one a prefix.

use std::sync::Arc;

use thruway_wire::attrs::AttrSet;
use thruway_wire::{Family, FamilySet, Ipv4Prefix, Ipv6Prefix, Nlri};

use crate::{GroupId, GroupProfile, Handle, PeerId, PeerProfile, ShardId, WorkerId};

/// Ingress to shard: events in the order in which the sessions saw them.
#[derive(Debug, Default)]
pub struct ShardBatch {
    /// Where returns go.
    pub from: WorkerId,
    /// In order; Announce and Withdraw take their NLRI off the front of `nlri4` or `nlri6`.
    pub events: Vec<ShardEvent>,
    /// IPv4 NLRI of the events, in order.
    pub nlri4: Vec<Nlri<Ipv4Prefix>>,
    /// IPv6 NLRI of the events, in order.
    pub nlri6: Vec<Nlri<Ipv6Prefix>>,
    /// Sets that the shard does not hold yet, in the order of the events with `new_set`.
    pub sets: Vec<AttrSet>,
    /// Sets that their owner has freed ([`crate::Interner::take_freed`]): the shard drops its copies
    /// before it takes the events.
    pub freed: Vec<Handle>,
}

/// One thing that happened, in order with the data around it.
#[derive(Clone, Debug)]
pub enum ShardEvent {
    /// `count` NLRI with one set. Each event is one grant of the handle to the shard.
    Announce {
        /// From whom.
        peer: PeerId,
        /// Which NLRI array.
        family: Family,
        /// The set that the owner interned.
        handle: Handle,
        /// The set itself stands in `sets`.
        new_set: bool,
        /// NLRI.
        count: u32,
    },
    /// `count` NLRI are no longer reachable by the peer.
    Withdraw {
        /// From whom.
        peer: PeerId,
        /// Which NLRI array.
        family: Family,
        /// NLRI.
        count: u32,
    },
    /// The session is up, or its import side changed (policy, limits): a new profile. Paths that the
    /// shard holds of the peer are kept (stale after a graceful restart) and judged again.
    PeerUp(Arc<PeerProfile>),
    /// The session is gone: all paths go, but for `retain`, which turn stale (RFC 4724 §4.2).
    PeerDown {
        /// Who.
        peer: PeerId,
        /// Families to keep as stale.
        retain: FamilySet,
        /// The peer itself goes (removed from the configuration, or dynamic): say
        /// [`ShardNote::Swept`] when nothing of it is left.
        forget: bool,
    },
    /// End-of-RIB from the peer.
    EndOfRib(PeerId, Family),
    /// Marks the peer's paths stale: a BoRR (RFC 7313) or our own refresh of a peer that has it.
    MarkStale(PeerId, Family),
    /// Drops what is still stale: EoRR, End-of-RIB after restart, or the restart timer.
    SweepStale(PeerId, Family),
    /// Turns stale into long-lived stale (RFC 9494 §4.2).
    LongLived(PeerId, Family),
    /// A group exists, or its export side changed: advertised again where the answer differs.
    Group(Arc<GroupProfile>),
    /// The group has no members left anywhere.
    GroupGone(GroupId),
    /// The peer belongs to the group's members (its own paths are masked out there).
    Join(GroupId, PeerId),
    /// No longer.
    Leave(GroupId, PeerId),
}

/// Shard to ingress: flows back in local accumulators, never waits.
#[derive(Debug, Default)]
pub struct Returns {
    /// Which shard.
    pub shard: ShardId,
    /// Grants given back, summed by handle.
    pub grants: Vec<(Handle, u32)>,
    /// News for the peers' home workers.
    pub notes: Vec<ShardNote>,
}

/// What a shard has to say about a peer, or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardNote {
    /// The prefix count passed the warning threshold.
    LimitNear(PeerId, Family),
    /// The prefix count passed the limit; what follows depends on the limit's action.
    LimitReached(PeerId, Family),
    /// Routes were held back by a `block` limit and there is room again: ask for a refresh.
    LimitRoom(PeerId, Family),
    /// The count of prefixes that the peer is advertised passed the warning threshold.
    AdvertisedNear(PeerId, Family),
    /// It passed the limit, or would have: what follows depends on the limit's action.
    AdvertisedReached(PeerId, Family),
    /// The shard holds nothing back from the peer any more, and the count is within the limit.
    AdvertisedRoom(PeerId, Family),
    /// Members of the group cannot be sent a path that they may have ([`crate::NotAdvertised::TooLarge`],
    /// [`crate::NotAdvertised::NextHop`]): told once a shard.
    Unsendable(GroupId),
    /// Nothing of a forgotten peer is left; its id may be used again.
    Swept(PeerId),
}

/// Shard to egress: what to tell the members of one group on one worker.
#[derive(Debug, Default)]
pub struct EgressBatch {
    /// Which shard.
    pub shard: ShardId,
    /// Which group.
    pub group: GroupId,
    /// To the group's stream, or to one reader.
    pub stream: Stream,
    /// The workers that have members, as bits; 0 in a reader's.
    pub workers: u32,
    /// Counts the shard's group batches, from 1; egress names it in [`EgressRequest::Seen`]. 0 in a
    /// reader's.
    pub number: u64,
    /// Change log position before the batch: where a member that does not take it stands, and goes on by
    /// [`Cursor::Log`].
    pub from: u64,
    /// Change log position after the batch: where a member that took it stands.
    pub upto: u64,
    /// In order. Within a batch a prefix appears once for each receiver.
    pub runs: Vec<OutRun>,
    /// IPv4 NLRI of the runs.
    pub nlri4: Vec<Nlri<Ipv4Prefix>>,
    /// IPv6 NLRI of the runs.
    pub nlri6: Vec<Nlri<Ipv6Prefix>>,
    /// Sets of the runs.
    pub sets: Vec<AttrSet>,
}

/// Whom a batch is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// All members in step with this shard.
    #[default]
    Group,
    /// One reader's answer to its pull.
    Reader {
        /// Chosen by egress.
        reader: u32,
        /// Where to go on.
        next: Cursor,
        /// The reader has reached the group's position: batches of the group behind this one in the ring are its
        /// own too.
        done: bool,
    },
    /// The reader's position has left the change log: its members cannot be brought into step any
    /// more and must be closed (Cease/8).
    Lost {
        /// Chosen by egress.
        reader: u32,
    },
}

/// Where a reader stands in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// A new member, before its first pull.
    Start,
    /// Walking the table by slot; changes since `since` follow from the log.
    Walk {
        /// Family whose slots are walked.
        family: Family,
        /// Next slot.
        slot: u32,
        /// Log position when the walk began.
        since: u64,
    },
    /// Catching up through the change log.
    Log(u64),
}

/// NLRI with one set from one source for one audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutRun {
    /// The route's set, or `NONE`: withdrawn.
    pub handle: Handle,
    /// Index into `sets`; meaningless where withdrawn.
    pub set: u32,
    /// Whose path it is (for ORIGINATOR_ID, RFC 4456 §8); meaningless where withdrawn.
    pub source: PeerId,
    /// Which members.
    pub audience: Audience,
    /// Which NLRI array.
    pub family: Family,
    /// First NLRI.
    pub start: u32,
    /// NLRI.
    pub count: u32,
}

/// Members that a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Every member (of the group's stream, or of the reader).
    All,
    /// Every one but this.
    AllBut(PeerId),
    /// This one alone.
    Only(PeerId),
}

/// Egress to shard.
#[derive(Clone, Debug)]
pub enum EgressRequest {
    /// Send up to about `budget` NLRI from `cursor` to `reader` of `group`, then wait for the next pull.
    Pull {
        /// Who asks.
        worker: WorkerId,
        /// Echoed.
        reader: u32,
        /// Of which group.
        group: GroupId,
        /// From where.
        cursor: Cursor,
        /// About how many NLRI.
        budget: u32,
        /// In the walk, withdraw what the group does not announce: for a member that comes from
        /// another group and may hold anything.
        withdraw: bool,
    },
    /// The oldest log position that this worker's waiting members (detached, not reading now) still
    /// need (`u64::MAX`: none). A reader's own position is held by the shard from its pull on.
    Retain {
        /// Whose readers.
        worker: WorkerId,
        /// Position.
        seq: u64,
    },
    /// This worker has handled the shard's group batches up to `number`. Positions of members that
    /// did not take one were named in a `Retain` before. Until it is said, the log keeps what those
    /// batches tell: a member can be detached at any batch without a race.
    Seen {
        /// Who.
        worker: WorkerId,
        /// The last [`EgressBatch::number`].
        number: u64,
    },
    /// The reader pulls no more (its members are gone).
    Stop {
        /// Whose reader.
        worker: WorkerId,
        /// Which.
        reader: u32,
    },
}

/// Where group batches go: the rings to the workers that have members.
pub trait EgressSink {
    /// Asked before a batch is built: false leaves the group where it is.
    fn has_room(&self, group: GroupId) -> bool;

    /// Takes a batch of the group's stream. Called only after `has_room` said yes.
    fn batch(&mut self, batch: EgressBatch);
}
