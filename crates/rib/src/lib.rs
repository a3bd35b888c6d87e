//! One shard of the RIB: what peers told, what is best, what groups were told.
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
//! - [`Shard`] keeps every path, rejected ones included, in sixteen octets. The ladder is a function
//!   with numbered [`Step`]s, never an order between two paths.
//! - A change costs one log entry, whatever the number of groups. Groups and readers are positions in the
//!   log; an entry that nobody has read stands for all later changes of its slot.
//! - A group keeps what its members were told: per prefix one route for all and one for that route's
//!   source. Readers (members that join or fell behind) are told from that, and hold no state here.
//! - The end of a session is a mark on a generation of paths; one circular sweeper does the rest.
//!
//! The crate names no clock, socket, file or thread; budgets are arguments, output goes to sinks of
//! the caller.
#![forbid(unsafe_code)]

mod answer;
mod apply;
mod arena;
pub mod batch;
mod chunked;
mod core;
mod egress;
mod export;
pub mod fuzzing;
mod group;
mod groups;
mod hash;
mod ids;
mod import;
mod index;
mod intern;
mod ladder;
mod limit;
pub mod limits;
mod log;
mod many;
mod members;
mod paths;
mod peers;
mod profile;
mod query;
mod quota;
mod runs;
mod sets;
mod shard;
mod sweep;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod told;

pub use batch::{
    Audience, Cursor, EgressBatch, EgressRequest, OutRun, Returns, ShardBatch, ShardEvent,
    ShardNote, Stream,
};
pub use egress::{Held, Packed, PackedCount, Packer};
pub use hash::shard_of;
pub use ids::{GroupId, Handle, PeerClass, PeerId, ShardId, WorkerId};
pub use import::Rejection;
pub use intern::{InternStats, Interner};
pub use ladder::Step;
pub use profile::{
    AddPathSend, AdvertisedLimit, Eligibility, GroupProfile, Hygiene, LadderConfig, LimitAction,
    NextHopCheck, PeerProfile, PrefixLimit,
};
pub use query::{
    Filter, NotTold, PeerCounters, Query, QueryCursor, RouteRow, ShardCounters, Staleness, TallyRow,
};
pub use shard::{EgressSink, Shard, ShardConfig};
pub use tally::Tally;
