//! Bounds of the engine. Every queue and every turn has one.

use std::time::Duration;

/// Batches in one ring, unless the composition says otherwise. Tests run with 1.
pub const RING_LEN: usize = 64;
/// Update groups at most; one more leaves its session without exports, and says so.
pub const GROUPS_MAX: usize = 4096;
/// Peers at most, configured and dynamic: a peer's number has 16 bits.
pub const PEERS_MAX: usize = 60_000;
/// Connections that no peer claimed yet or any more, per worker, before new ones are refused.
pub const CONNS_MAX: usize = 16_384;

/// Messages of one session handled per turn, so that a flood from one peer cannot starve the rest.
pub const MESSAGES_PER_TURN: usize = 2048;
/// Octets that a connection may keep unparsed before reading stops. One largest message and one
/// receive of the transport always fit above it.
pub const CARRY_PAUSE_BYTES: usize = 256 << 10;
/// Octets below which reading goes on.
pub const CARRY_RESUME_BYTES: usize = 64 << 10;

/// Events that one batch toward a shard holds before it is sent on.
pub const SHARD_BATCH_EVENTS_MAX: usize = 4096;
/// Batches that wait in front of a full ring toward a shard before the worker stops reading.
pub const INGRESS_BACKLOG_BATCHES: usize = 2;
/// Batches that a shard applies per turn.
pub const SHARD_BATCHES_PER_TURN: usize = 16;
/// Slots that a sweep visits per turn.
pub const SWEEP_SLOTS_PER_TURN: u32 = 8192;
/// Log entries that update groups visit per turn.
pub const GROUP_ENTRIES_PER_TURN: u32 = 16_384;
/// Slots that queries visit per turn, all of them together; a row found counts as
/// [`thruway_rib::limits::ROW_SLOTS`]. One query goes on in a turn, and then stands behind the others, so a
/// route waits for one slice whoever asks.
pub const QUERY_SLOTS_PER_TURN: u32 = 2048;
/// Queries that wait in one shard; one more is answered with [`crate::Reply::Busy`].
pub const QUERIES_MAX: usize = 256;
/// NLRI that one pull asks for.
pub const PULL_NLRI: u32 = 4096;
/// Batches that egress takes off one shard's ring per turn.
pub const EGRESS_BATCHES_PER_TURN: usize = 16;

/// Octets that a member's queue may be longer than most queues of its group before it leaves the stream
/// and catches up by a reader. What most of them have not taken is in memory once.
pub const MEMBER_HIGH_BYTES: usize = 4 << 20;
/// Octets in a member's queue above which it leaves the stream, however long the others' queues are.
pub const MEMBER_MAX_BYTES: usize = 16 << 20;
/// Octets below which its reader pulls again.
pub const MEMBER_LOW_BYTES: usize = 1 << 20;
/// Octets handed to a socket at a time: what a KEEPALIVE may have to wait behind.
pub const SEND_BYTES: usize = 256 << 10;
/// Chunks handed to a socket at a time.
pub const SEND_CHUNKS: usize = 256;
/// Octets that session messages may hold of a connection's queue; a peer that does not read while it
/// makes us answer is closed.
pub const PRIORITY_BYTES_MAX: usize = 1 << 20;
/// Octets of messages that a worker's members hold together, shared ones counted once, above which no
/// reader pulls and members with more than [`MEMBER_LOW_BYTES`] leave the stream at once.
pub const EGRESS_BYTES_MAX: usize = 1 << 30;

/// A member's part of a pack is copied where it is smaller than the pack by more than this factor.
pub const COPY_BELOW: usize = 8;

/// Connections of one peer that are being closed gracefully: of more the oldest goes at once.
pub const PARTING_MAX: usize = 4;
/// How long a connection may take to end after its NOTIFICATION.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// Rows of a query's answer that are handed over at a time: what a slice finds, as a rule.
pub const REPLY_ROWS: usize = 32;
/// How long news that nobody waits for (grants, positions, freed sets) may lie before the worker that
/// they are for is woken for them alone.
pub const HOUSEKEEPING_WAIT: Duration = Duration::from_millis(20);
/// The same news of a prefix limit is told again after this time.
pub const LIMIT_NEWS: Duration = Duration::from_secs(60);
/// How long [`crate::Command::Settle`] may take before it is answered as not through: a worker that
/// takes nothing must not keep an operator waiting.
pub const SETTLE_WAIT: Duration = Duration::from_secs(5);
/// Rounds of [`crate::Command::Settle`] over all workers that bring a command's effect from its worker's
/// ingress through the shards into every connection's queue.
pub const SETTLE_ROUNDS: usize = 4;
/// [`crate::Command::Settle`]s that wait in one worker; one more is answered with [`crate::Reply::Busy`].
pub const SETTLES_MAX: usize = 16;
/// How often peers that a limit holds back are looked at: room may come about in another shard than
/// the one that blocks.
pub const LIMIT_LOOK: Duration = Duration::from_secs(1);
/// Log lines about malformed UPDATEs of one session per minute; the rest is counted.
pub const UPDATE_ERRORS_PER_MINUTE: u32 = 10;

const _: () = assert!(CARRY_RESUME_BYTES < CARRY_PAUSE_BYTES);
const _: () = assert!(MEMBER_LOW_BYTES < MEMBER_HIGH_BYTES);
const _: () = assert!(MEMBER_HIGH_BYTES < MEMBER_MAX_BYTES);
const _: () = assert!(MEMBER_MAX_BYTES < EGRESS_BYTES_MAX);

/// The bounds that a simulation makes small, so that it meets them often. The defaults are this
/// module's constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// [`MESSAGES_PER_TURN`].
    pub messages: usize,
    /// [`CARRY_PAUSE_BYTES`].
    pub carry_pause: usize,
    /// [`CARRY_RESUME_BYTES`].
    pub carry_resume: usize,
    /// [`thruway_rib::limits::SHARD_BATCH_NLRI_MAX`].
    pub batch_nlri: usize,
    /// [`SHARD_BATCHES_PER_TURN`].
    pub shard_batches: usize,
    /// [`SWEEP_SLOTS_PER_TURN`].
    pub sweep_slots: u32,
    /// [`GROUP_ENTRIES_PER_TURN`].
    pub group_entries: u32,
    /// [`QUERY_SLOTS_PER_TURN`].
    pub query_slots: u32,
    /// [`PULL_NLRI`].
    pub pull_nlri: u32,
    /// [`EGRESS_BATCHES_PER_TURN`].
    pub egress_batches: usize,
    /// [`MEMBER_HIGH_BYTES`].
    pub member_high: usize,
    /// [`MEMBER_MAX_BYTES`].
    pub member_max: usize,
    /// [`MEMBER_LOW_BYTES`].
    pub member_low: usize,
    /// [`EGRESS_BYTES_MAX`].
    pub egress_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            messages: MESSAGES_PER_TURN,
            carry_pause: CARRY_PAUSE_BYTES,
            carry_resume: CARRY_RESUME_BYTES,
            batch_nlri: thruway_rib::limits::SHARD_BATCH_NLRI_MAX,
            shard_batches: SHARD_BATCHES_PER_TURN,
            sweep_slots: SWEEP_SLOTS_PER_TURN,
            group_entries: GROUP_ENTRIES_PER_TURN,
            query_slots: QUERY_SLOTS_PER_TURN,
            pull_nlri: PULL_NLRI,
            egress_batches: EGRESS_BATCHES_PER_TURN,
            member_high: MEMBER_HIGH_BYTES,
            member_max: MEMBER_MAX_BYTES,
            member_low: MEMBER_LOW_BYTES,
            egress_bytes: EGRESS_BYTES_MAX,
        }
    }
}
