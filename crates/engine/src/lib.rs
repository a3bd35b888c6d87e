//! One worker's turn: ingress, shard, egress, and the rings between workers.
//!
//! A [`Worker`] is a value without threads, sockets or clock. The daemon pins one to each core and
//! feeds it from its transport; the simulator interleaves many on one thread. All input is one enum,
//! [`Input`]; all output goes into a [`Sink`].
#![forbid(unsafe_code)]

mod config;
mod control;
mod egress;
pub mod fuzzing;
mod ingress;
mod io;
pub mod limits;
mod session;
mod shard;
mod shared;
#[cfg(test)]
mod testing;
mod worker;

pub use config::{
    ExportConfig, LimitConfig, PeerConfig, PeerRole, PolicyRef, RangeConfig, TransportConfig,
    WorkerConfig,
};
pub use control::outlook::{Comes, ConfigChange, Outlook, propose};
pub use control::status;
pub use io::{
    Close, Command, ConnectTarget, Event, Input, LimitDirection, LimitEvent, QueryId, Refusal,
    Reply, Reset, Settled, Sink,
};
pub use shared::directory::{PeerDirectory, PeerIdPool, Place};
pub use shared::registry::GroupRegistry;
pub use shared::rings::{WorkerRings, rings};
pub use thruway_session::ConnId;
pub use worker::{Turn, Worker};
