//! One shard of the RIB.
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
mod runs;
mod sets;
mod shard;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod told;

pub use batch::{
    Audience, Cursor, EgressBatch, EgressRequest, OutRun, Returns, ShardBatch, ShardEvent,
    ShardNote, Stream,
};
pub use egress::{Packed, Packer};
pub use hash::shard_of;
pub use ids::{GroupId, Handle, PeerClass, PeerId, ShardId, WorkerId};
pub use import::Rejection;
pub use intern::{InternStats, Interner};
pub use ladder::Step;
pub use profile::{
    AddPathSend, Eligibility, GroupProfile, Hygiene, LadderConfig, LimitAction, NextHopCheck,
    PeerProfile, PrefixLimit,
};
pub use query::{
    Filter, NotTold, PeerCounters, Query, QueryCursor, RouteRow, ShardCounters, Staleness,
};
pub use shard::{EgressSink, Shard, ShardConfig};
