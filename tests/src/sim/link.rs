//! One connection: octets in both directions with the kernel's buffers between, and its end.

use std::collections::VecDeque;

use bytes::Bytes;
use thruway_engine::ConnId;

/// Octets that the kernel takes ahead of a reader.
pub const WINDOW: usize = 16 << 10;

/// A connection between a worker and a host.
#[derive(Debug)]
pub struct Link {
    /// The worker's end.
    pub worker: usize,
    /// Its name there.
    pub conn: ConnId,
    /// The host's end.
    pub host: usize,
    /// From the host to the worker.
    pub up: VecDeque<u8>,
    /// The worker reads.
    pub reading: bool,
    /// What the worker handed over and the kernel has not taken.
    pub in_flight: VecDeque<Bytes>,
    /// `Sent` is owed for what was in flight.
    pub owes_sent: bool,
    /// From the worker to the host, with the kernel.
    pub down: VecDeque<u8>,
    /// The worker closed: nothing more goes up.
    pub worker_closed: bool,
    /// The host closed, or the network did.
    pub host_closed: bool,
    /// Why, as the worker's system says it.
    pub error: Option<&'static str>,
}

impl Link {
    /// A fresh connection.
    #[must_use]
    pub fn new(worker: usize, conn: ConnId, host: usize) -> Self {
        Link {
            worker,
            conn,
            host,
            up: VecDeque::new(),
            reading: true,
            in_flight: VecDeque::new(),
            owes_sent: false,
            down: VecDeque::new(),
            worker_closed: false,
            host_closed: false,
            error: None,
        }
    }

    /// The kernel takes what fits; true where it took something.
    pub fn pump(&mut self) -> bool {
        let mut took = false;
        while let Some(chunk) = self.in_flight.front_mut() {
            let room = WINDOW.saturating_sub(self.down.len());
            if room == 0 && !self.worker_closed {
                break;
            }
            let part = if self.worker_closed {
                std::mem::take(chunk)
            } else {
                chunk.split_to(room.min(chunk.len()))
            };
            self.down.extend(part);
            if chunk.is_empty() {
                self.in_flight.pop_front();
            }
            took = true;
        }
        took
    }

    /// Up to `max` octets for the worker.
    pub fn take_up(&mut self, max: usize) -> Vec<u8> {
        let len = self.up.len().min(max);
        self.up.drain(..len).collect()
    }
}
