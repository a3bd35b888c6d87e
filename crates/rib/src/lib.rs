//! One shard of the RIB.
#![forbid(unsafe_code)]

pub mod batch;
mod egress;
mod hash;
mod ids;
mod import;
mod intern;
mod ladder;
pub mod limits;
mod profile;
mod query;
mod shard;

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
