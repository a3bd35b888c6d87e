//! One shard of the RIB: what peers advertised, what is best, what was advertised to groups.
//!
//! ```text
//!  ShardBatch ──► apply ──► table (slots, paths) ──► decide ──► log ──► groups ──► EgressBatch
//!                   │ import: hygiene, policy           ▲         │        │ eligibility, export,
//!                   ▼                                   │         ▼        ▼ what each member has
//!                 sets (handles, uses, grants)       sweep     readers   Packer ──► octets
//! ```
//!
//! - [`Interner`] (one a worker) numbers attribute sets; a shard counts their uses in plain arrays and
//!   gives its grants back when nothing uses a set any more. No count is shared between threads.
//! - [`Shard`] keeps every path, rejected ones included, in sixteen octets. The decision process is a function
//!   with numbered [`Step`]s, never an order between two paths.
//! - A change costs one log entry, whatever the number of groups. Groups and readers are positions in the
//!   log; an entry that nobody has read stands for all later changes of its slot.
//! - A group keeps what was advertised to its members: per prefix one route for all and one for that route's
//!   source. Readers (members that join or fell behind) are advertised from that, and hold no state here.
//! - The end of a session is a mark on a generation of paths; one circular sweeper does the rest.
//!
//! The crate names no clock, socket, file or thread; budgets are arguments, output goes to sinks of
//! the caller.
#![forbid(unsafe_code)]

mod adj_rib_in;
mod adj_rib_out;
pub mod batch;
mod core;
mod decision;
pub mod fuzzing;
mod hash;
mod ids;
pub mod limits;
mod plan;
mod profile;
mod query;
mod shard;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub use adj_rib_in::import::Rejection;
pub use adj_rib_out::packer::{Held, Packed, PackedCount, Packer};
pub use batch::{
    Audience, Cursor, EgressBatch, EgressRequest, EgressSink, OutRun, Returns, ShardBatch,
    ShardEvent, ShardNote, Stream,
};
pub use decision::Step;
pub use hash::shard_of;
pub use ids::{GroupId, Handle, PeerClass, PeerId, ShardId, WorkerId};
pub use plan::{
    ExportCount, Fate, Foreseen, Foresight, ImportCount, PlanRow, Proposal, ProposedGroup,
    ProposedRoute, Watchings,
};
pub use profile::{
    AddPathSend, AdvertisedLimit, DecisionConfig, Eligibility, GroupProfile, Hygiene, LimitAction,
    NextHopCheck, PeerProfile, PrefixLimit,
};
pub use query::tally::Tally;
pub use query::{
    Filter, NotAdvertised, PeerCounters, Query, QueryCursor, RouteRow, ShardCounters, Staleness,
    TallyRow,
};
pub use shard::{Shard, ShardConfig};
pub use table::intern::{InternStats, Interner};
pub use watch::{Extent, PeerCount, Watch, WatchCount, Watched};
