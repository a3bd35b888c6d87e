//! What `show` and the metrics tell, counted as things happen: a snapshot never walks a table.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thruway_policy::Hits;
use thruway_rib::{GroupId, PeerId, ShardCounters, WorkerId};
use thruway_session::{Counters as Messages, Damped, DownReason, Negotiated, State};
use thruway_wire::notification::Notification;
use thruway_wire::{Family, FamilySet, Time};

use crate::PeerRole;

/// One worker at one moment. Peers' parts are spread: the session's on its worker, the table's on
/// every worker with a shard, to be summed.
#[derive(Clone, Debug, Default)]
pub struct WorkerStatus {
    /// Which.
    pub worker: WorkerId,
    /// When.
    pub now: Time,
    /// Sessions of this worker.
    pub peers: Vec<PeerStatus>,
    /// What this worker's shard holds of each peer.
    pub tables: Vec<PeerTable>,
    /// How often statements held in this worker's shard: of peers' import policies.
    pub import_hits: Vec<(PeerId, Hits)>,
    /// Of groups' export policies.
    pub export_hits: Vec<(GroupId, Hits)>,
    /// This worker's shard, if it has one.
    pub shard: Option<ShardCounters>,
    /// This worker's counters.
    pub counters: Counters,
}

/// A session.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its number.
    pub peer: PeerId,
    /// Its name.
    pub name: Arc<str>,
    /// Its address.
    pub addr: SocketAddr,
    /// What it is.
    pub role: PeerRole,
    /// Of a range.
    pub dynamic: bool,
    /// The range's name.
    pub range: Option<Arc<str>>,
    /// Held down by the operator.
    pub shutdown: bool,
    /// Its state.
    pub state: State,
    /// When it became Established.
    pub since: Option<Time>,
    /// Ends of the Established connection: ours, theirs.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// What was agreed on.
    pub negotiated: Option<Negotiated>,
    /// Families of these that a malformed UPDATE has disabled (RFC 7606 §2).
    pub disabled: FamilySet,
    /// Messages by type, and flaps.
    pub messages: Messages,
    /// Octets of messages received.
    pub bytes_in: u64,
    /// Octets of messages sent.
    pub bytes_out: u64,
    /// The last NOTIFICATION that we sent.
    pub last_sent: Option<(Time, Notification)>,
    /// The last that we received.
    pub last_received: Option<(Time, Notification)>,
    /// Why the session ended last.
    pub last_down: Option<(Time, DownReason)>,
    /// Its connections are refused for its failures.
    pub damped: Option<Damped>,
    /// Malformed UPDATEs, by what was done: attribute discarded, withdrawn, family disabled, reset.
    pub update_errors: [u64; 4],
    /// Routes announced to it since it is known, as queued for it, repetitions included.
    pub routes_announced: u64,
    /// Routes withdrawn from it.
    pub routes_withdrawn: u64,
    /// Its update group.
    pub group: Option<GroupId>,
    /// Octets that wait for its socket.
    pub queued: usize,
    /// It left the stream because it did not read, and catches up.
    pub behind: bool,
    /// Its table has been sent.
    pub table_sent: bool,
    /// Its End-of-RIB has come, by family.
    pub table_received: [bool; 2],
    /// No import policy, so nothing is accepted (RFC 8212).
    pub no_import_policy: bool,
    /// No export policy, so nothing is advertised (RFC 8212).
    pub no_export_policy: bool,
    /// Longest time between two KEEPALIVEs or UPDATEs from the peer.
    pub quiet_max: Duration,
}

/// What one shard holds of a peer, and told it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerTable {
    /// Whose.
    pub peer: PeerId,
    /// By family.
    pub families: [TableCounts; 2],
}

/// Counts of one peer and family in one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Paths received.
    pub received: u64,
    /// Of these, accepted.
    pub accepted: u64,
    /// Of these, stale.
    pub stale: u64,
    /// Held back by a limit.
    pub blocked: u64,
    /// Routes advertised to the peer.
    pub advertised: u64,
    /// Prefixes that a limit keeps from the peer.
    pub held_back: u64,
    /// How often the peer could not be sent a path that it may have (RFC 8654 §5, RFC 8950 §4).
    pub unsendable: u64,
}

/// Counters of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns.
    pub turns: u64,
    /// Messages received.
    pub messages_in: u64,
    /// UPDATEs received.
    pub updates_in: u64,
    /// NLRI announced to us.
    pub announced_in: u64,
    /// NLRI withdrawn from us.
    pub withdrawn_in: u64,
    /// Octets received.
    pub bytes_in: u64,
    /// UPDATEs encoded; each may go to many members.
    pub updates_encoded: u64,
    /// Octets queued for members.
    pub bytes_queued: u64,
    /// Octets handed to sockets.
    pub bytes_out: u64,
    /// Attribute sets interned here and alive.
    pub sets: u64,
    /// Octets of them.
    pub sets_bytes: u64,
    /// Octets in members' queues.
    pub queued: u64,
    /// Times that a member left the stream because it did not read.
    pub detached: u64,
    /// Times that reading was stopped for a full ring.
    pub paused: u64,
    /// Longest time between two turns.
    pub turn_gap_max: Duration,
}

impl PeerTable {
    /// Counts of a family.
    #[must_use]
    pub fn family(&self, family: Family) -> TableCounts {
        self.families
            .get(family.index())
            .copied()
            .unwrap_or_default()
    }
}
