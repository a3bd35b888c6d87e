//! One worker's turn: ingress, shard, egress, and the rings between workers.
//!
//! A [`Worker`] is a value without threads, sockets or clock. The daemon pins one to each core and
//! feeds it from its transport; the simulator interleaves many on one thread. All input is one enum,
//! [`Input`]; all output goes into a [`Sink`].
#![forbid(unsafe_code)]

mod bounds;
mod commands;
mod config;
mod conns;
mod directory;
mod effects;
mod egress;
pub mod fuzzing;
mod ingress;
mod io;
pub mod limits;
mod peers;
mod profile;
mod receive;
mod registry;
mod rings;
mod sessions;
mod settle;
mod shard_stage;
mod snapshot;
pub mod status;
#[cfg(test)]
mod testing;
mod timers;
mod worker;

pub use config::{
    ExportConfig, LimitConfig, PeerConfig, PeerRole, PolicyRef, RangeConfig, TransportConfig,
    WorkerConfig,
};
pub use directory::{PeerDirectory, PeerIdPool, Place};
pub use io::{
    Close, Command, ConnectTarget, Event, Input, LimitDirection, LimitEvent, QueryId, Refusal,
    Reply, Reset, Settled, Sink,
};
pub use registry::GroupRegistry;
pub use rings::{WorkerRings, rings};
pub use thruway_session::ConnId;
pub use worker::{Turn, Worker};
