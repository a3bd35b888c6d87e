//! What goes into a worker and what comes out of it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thruway_rib::{Eligibility, Foreseen, PeerId, PlanRow, Proposal, Query, RouteRow, TallyRow};
use thruway_session::{ConnId, Damped, DownReason, Negotiated, State};
use thruway_wire::update::Verdict;
use thruway_wire::{Family, Link, WireError};

use crate::control::outlook::{ConfigChange, Outlook};
use crate::control::status::WorkerStatus;
use crate::{PeerConfig, RangeConfig, TransportConfig};

/// Everything that can happen to a worker from outside, but for time and its fellow workers. Owned,
/// it can be written down and played again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input<'a> {
    /// A neighbour's connection was adopted for this worker; its token from
    /// [`crate::Worker::next_conn`].
    Accepted {
        /// Which.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The neighbour.
        remote: SocketAddr,
    },
    /// [`Sink::connect`] succeeded.
    Connected {
        /// Which.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The neighbour.
        remote: SocketAddr,
    },
    /// [`Sink::connect`] failed; the last of `conn`.
    ConnectFailed {
        /// Which.
        conn: ConnId,
        /// The system's words.
        error: Cow<'a, str>,
    },
    /// Octets arrived.
    Received {
        /// Which.
        conn: ConnId,
        /// In order, cut anywhere.
        bytes: Cow<'a, [u8]>,
    },
    /// Everything of the last [`Sink::send`] is with the kernel.
    Sent {
        /// Which.
        conn: ConnId,
    },
    /// The connection is gone; the last of `conn`.
    Closed {
        /// Which.
        conn: ConnId,
        /// The system's words, where it broke.
        error: Option<Cow<'a, str>>,
    },
    /// The operator, or the control plane.
    Command(Box<Command>),
}

/// What the control plane tells a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// A peer of this worker; see [`crate::PeerDirectory`]. Starts its session.
    AddPeer(PeerConfig),
    /// Another configuration for a peer of this worker. Policies and limits change in place; what
    /// the session negotiates takes a reset, which is done.
    UpdatePeer(PeerConfig),
    /// The peer goes (Cease/3). [`Event::PeerGone`] when nothing of it is left.
    RemovePeer(PeerId),
    /// A range, told to every worker. Replaces one of the same name.
    SetRange(RangeConfig),
    /// The range goes, and its peers with it.
    RemoveRange(Arc<str>),
    /// What an operator asks of a session.
    Reset {
        /// Whose.
        peer: PeerId,
        /// How.
        kind: Reset,
    },
    /// The eligibility matrix changed; told to every worker.
    Eligibility(Eligibility),
    /// Ask the shard of this worker, if there is one. Answered by [`Reply::Rows`] and
    /// [`Reply::Done`].
    Query {
        /// Echoed.
        id: QueryId,
        /// What.
        query: Query,
    },
    /// What would become of this worker's peers under other configurations; nothing is changed.
    /// Answered by [`Reply::Outlook`].
    #[serde(skip)]
    Outlook {
        /// Echoed.
        id: QueryId,
        /// The peers that would change.
        changes: Arc<Vec<ConfigChange>>,
    },
    /// What a proposal would do to the routes of this worker's shard; nothing is changed. Answered by
    /// [`Reply::PlanRows`], and [`Reply::Planned`] at the end.
    #[serde(skip)]
    Plan {
        /// Echoed.
        id: QueryId,
        /// What would be in force.
        proposal: Arc<Proposal>,
    },
    /// Forget a query; no reply follows.
    Cancel(QueryId),
    /// Answered by [`Reply::Status`].
    Status(QueryId),
    /// Answered by [`Reply::Settled`] when all that had come to this worker before has gone through
    /// it: to the shards, through this worker's shard, and what shards had told it into connections'
    /// queues. What goes from worker to worker takes a round over all of them for each stage:
    /// [`crate::limits::SETTLE_ROUNDS`] rounds, each begun when all have answered the one before.
    Settle(QueryId),
    /// End every session with a Cease/2 and this text; [`Event::Drained`] when all are closed.
    Shutdown(String),
}

/// Names a question of the control plane.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct QueryId(pub u64);

/// What an operator asks of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reset {
    /// Send everything again.
    SoftOut,
    /// Ask for everything again (ROUTE-REFRESH).
    SoftIn,
    /// End the session (Cease/4) with a text, and start anew.
    Hard(String),
    /// End the session (Cease/2) with a text, and stay down.
    Shutdown(String),
    /// Start a session that was shut down.
    Start,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTarget<'a> {
    /// Who.
    pub peer: PeerId,
    /// The neighbour.
    pub remote: SocketAddr,
    /// How.
    pub transport: &'a TransportConfig,
}

/// How to end a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// Send what is under way and then `last` (may be empty), and wait for the neighbour's end, but
    /// not longer than [`crate::limits::CLOSE_DEADLINE`].
    Graceful {
        /// Whole messages: a NOTIFICATION, as a rule.
        last: Bytes,
    },
    /// At once.
    Now,
}

/// What a worker asks of the world. Calls must not come back into the worker.
pub trait Sink {
    /// Connect; answered by [`Input::Connected`] or [`Input::ConnectFailed`].
    fn connect(&mut self, conn: ConnId, target: &ConnectTarget<'_>);
    /// Takes all of `chunks`, at most [`crate::limits::SEND_CHUNKS`] of them. Not called again for
    /// `conn` before [`Input::Sent`].
    fn send(&mut self, conn: ConnId, chunks: &mut VecDeque<Bytes>);
    /// Stop or go on reading. Reading is on at first. Octets that are on their way already may
    /// still be handed in.
    fn set_reading(&mut self, conn: ConnId, on: bool);
    /// End a connection, or an attempt at one. Answered by [`Input::Closed`].
    fn close(&mut self, conn: ConnId, how: Close);
    /// True where octets wait unread on the socket: asked before a hold timer ends a session.
    fn unread(&self, conn: ConnId) -> bool;
    /// The link that our end of a connection shares with its neighbour, if it does (RFC 2545 §3): asked
    /// when a session comes up.
    fn link(&self, local: SocketAddr, remote: SocketAddr) -> Option<Link> {
        let _ = (local, remote);
        None
    }
    /// Something worth a log line or a metric.
    fn event(&mut self, event: Event);
    /// An answer.
    fn reply(&mut self, to: QueryId, reply: Reply);
    /// Asked before each [`Reply::Rows`]: false leaves the question where it is until a later turn, so
    /// that a slow reader of a large answer costs no memory. [`Reply::Done`] may follow without it.
    /// A worker that waits for room takes no turns for it: wake it when there is some.
    fn has_room(&self, to: QueryId) -> bool {
        let _ = to;
        true
    }
}

/// Something worth a log line.
#[derive(Clone, Debug)]
pub enum Event {
    /// A session changed its state.
    State {
        /// Whose.
        peer: PeerId,
        /// From.
        from: State,
        /// To.
        to: State,
    },
    /// A session is Established.
    Up {
        /// Whose.
        peer: PeerId,
        /// What was agreed on.
        negotiated: Box<Negotiated>,
    },
    /// It was, and is no more.
    Down {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: DownReason,
    },
    /// An attempt ended before Established.
    AttemptFailed {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: DownReason,
    },
    /// The peer failed again and again: its connections are refused for a while (Cease/5).
    Damped {
        /// Whose.
        peer: PeerId,
        /// Since when, until when, how many failures.
        damped: Damped,
    },
    /// A connection that nobody wanted was closed.
    Refused {
        /// From where.
        remote: SocketAddr,
        /// Why.
        why: Refusal,
    },
    /// A neighbour in a range became a peer.
    DynamicPeer {
        /// Its number.
        peer: PeerId,
        /// Its name.
        name: Arc<str>,
        /// Its address.
        addr: IpAddr,
    },
    /// Nothing of a removed or dynamic peer is left; its number is free again.
    PeerGone(PeerId),
    /// The session is external and has no policy, so routes stay out (RFC 8212).
    NoPolicy {
        /// Whose.
        peer: PeerId,
        /// No import policy.
        import: bool,
        /// No export policy.
        export: bool,
    },
    /// All numbers of update groups are taken: the peer is advertised nothing.
    TooManyGroups {
        /// Whose.
        peer: PeerId,
    },
    /// A malformed UPDATE (RFC 7606).
    UpdateError {
        /// Whose.
        peer: PeerId,
        /// What was done.
        verdict: Verdict,
        /// What was wrong, if it has a place.
        error: Option<WireError>,
        /// So many more since the last of these events that were not told.
        suppressed: u32,
    },
    /// A prefix limit.
    Limit {
        /// Whose.
        peer: PeerId,
        /// Family.
        family: Family,
        /// Of what the peer tells, or of what is advertised to it.
        direction: LimitDirection,
        /// What.
        limit: LimitEvent,
        /// Largest count.
        max: u32,
        /// Prefixes held.
        held: u32,
    },
    /// The peer's table has arrived (End-of-RIB).
    TableReceived {
        /// Whose.
        peer: PeerId,
        /// Family.
        family: Family,
    },
    /// The peer was sent its table (End-of-RIB).
    TableSent {
        /// Whose.
        peer: PeerId,
        /// Family.
        family: Family,
    },
    /// The peer does not read; it left the stream, or came back.
    Slow {
        /// Whose.
        peer: PeerId,
        /// It left.
        behind: bool,
    },
    /// The first time in this session that the peer cannot be sent a route that it may have
    /// (RFC 8654 §5, RFC 8950 §4); status counts all.
    Unsendable {
        /// Whose.
        peer: PeerId,
    },
    /// [`Command::Shutdown`] is through.
    Drained,
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No peer has the address.
    Unknown,
    /// The range is full.
    RangeFull,
    /// The range is shut down.
    RangeShutdown,
    /// No number is left, or too many connections.
    Resources,
    /// The server is shutting down.
    Shutdown,
}

/// What a prefix limit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitEvent {
    /// The warning threshold was passed.
    Near,
    /// The limit was passed, and nothing was done.
    Over,
    /// Prefixes are held back.
    Blocking,
    /// The session ends.
    Restarting,
    /// There is room again: the peer was asked to send anew, or is told what was held back.
    Room,
}

/// Which routes a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitDirection {
    /// Those that the peer tells.
    Received,
    /// Those that it is told.
    Advertised,
}

/// Answers.
#[derive(Debug)]
pub enum Reply {
    /// Some rows; more or `Done` follows.
    Rows(Vec<RouteRow>),
    /// That was all.
    Done,
    /// Too many questions wait.
    Busy,
    /// How this worker is.
    Status(Box<WorkerStatus>),
    /// The whole answer of one shard to [`Query::Tally`]: to be added up over the shards.
    Tally(Vec<TallyRow>),
    /// The answer to [`Command::Settle`].
    Settled(Settled),
    /// The answer to [`Command::Outlook`].
    Outlook(Vec<Outlook>),
    /// Routes that a plan lists.
    PlanRows(Vec<PlanRow>),
    /// The counts of one shard: a plan's end there.
    Planned(Foreseen),
}

/// How a worker stood when it answered [`Command::Settle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// False: it was not through after [`crate::limits::SETTLE_WAIT`].
    pub through: bool,
    /// Octets in connections' queues, which the neighbours have still to read.
    pub queued: u64,
    /// Sessions that do not keep up with what is advertised to them and catch up later.
    pub behind: u32,
}
