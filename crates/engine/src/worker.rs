//! One worker.

use std::sync::Arc;

use thruway_session::ConnId;
use thruway_wire::Time;

use crate::{GroupRegistry, Input, PeerIdPool, Sink, WorkerConfig, WorkerRings};

/// What a turn left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// There is more to do: take another turn soon (after asking the sockets).
    pub more: bool,
    /// Bit n: worker n has something new in a ring; wake it (this worker's own bit is never set).
    pub wake: u32,
}

/// One worker: its sessions' ingress and egress, and its shard if it has one.
///
/// - **in**: [`handle`](Self::handle) takes one input. It only notes what must be written or told to
///   shards; call [`turn`](Self::turn) after each round of inputs.
/// - **turn**: does a bounded piece of all work: timers, batches to shards, the shard, egress, sends.
/// - **time**: [`deadline`](Self::deadline) says when a turn is due without any input.
#[derive(Debug)]
pub struct Worker {
    config: WorkerConfig,
}

impl Worker {
    /// A worker with its ends of the rings.
    #[must_use]
    pub fn new(
        config: WorkerConfig,
        rings: WorkerRings,
        groups: Arc<GroupRegistry>,
        ids: Arc<PeerIdPool>,
    ) -> Self {
        let _ = (rings, groups, ids);
        Worker { config }
    }

    /// A token for a connection that is about to be adopted.
    #[must_use]
    pub fn next_conn(&mut self) -> ConnId {
        ConnId(u64::from(self.config.id.0))
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut dyn Sink) {
        let _ = (now, input, out);
    }

    /// Does a bounded piece of work.
    pub fn turn(&mut self, now: Time, out: &mut dyn Sink) -> Turn {
        let _ = (now, out);
        Turn::default()
    }

    /// When the next timer is due; [`Time::NEVER`]: none runs.
    #[must_use]
    pub fn deadline(&self) -> Time {
        Time::NEVER
    }
}
