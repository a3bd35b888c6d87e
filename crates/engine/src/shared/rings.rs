//! The bounded queues between workers.
//!
//! ```text
//!  worker a                      shard s (worker s)                     worker b
//!  ingress ──ToShard──► [a→s] ──► apply ─┐
//!                                  groups ├─ToEgress─► [s→b] ──► egress
//!          ◄──Back──── [s→a] ◄── returns ─┘
//!                                  pulls  ◄───Back──── [b→s] ◄── egress
//! ```
//!
//! Three rings for each pair, each a fixed array. Whoever finds one full keeps what it has and goes
//! on: ingress stops reading, a shard leaves the changes in its log, egress lets its readers wait.

use std::ops::BitOrAssign;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use thruway_rib::{EgressBatch, EgressRequest, GroupId, PeerId, Returns, ShardBatch, ShardId};

/// Ingress to shard.
#[derive(Debug, Default)]
pub(crate) struct ToShard {
    pub(crate) batch: ShardBatch,
    /// Groups come or go in it.
    pub(crate) control: bool,
    /// Members that come and go in it, in order. Joins are answered by [`Back::Joined`] once it is
    /// applied.
    pub(crate) members: Vec<Change>,
}

/// A peer joins a group, with its session's number, or leaves it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Join(GroupId, PeerId, u32),
    Leave(GroupId, PeerId),
}

/// Shard to egress.
pub(crate) type ToEgress = Arc<EgressBatch>;

/// What flows against the data, and never has anything wait for it.
#[derive(Debug)]
pub(crate) enum Back {
    /// Shard to ingress.
    Returns(Returns),
    /// Shard to egress: the peer is a member there now. The number is the session's own, so that an
    /// answer to an earlier session is told apart.
    Joined(ShardId, GroupId, PeerId, u32),
    /// Egress to shard.
    Request(EgressRequest),
}

type Ring<T> = Arc<ArrayQueue<T>>;

/// Whom to wake for what was pushed. Bit n: worker n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wake {
    /// Somebody waits for it.
    pub(crate) now: u32,
    /// Nobody waits: it is enough to take it along with what comes next.
    pub(crate) late: u32,
}

impl Wake {
    /// For what a worker finds in `ring`, which nobody waits for. A ring that fills up does not wait.
    pub(crate) fn late<T>(worker: usize, ring: &ArrayQueue<T>) -> Wake {
        let bit = 1 << worker;
        if ring.len() * 2 >= ring.capacity() {
            Wake { now: bit, late: 0 }
        } else {
            Wake { now: 0, late: bit }
        }
    }

    /// For what a worker has to do at once.
    pub(crate) fn now(worker: usize) -> Wake {
        Wake {
            now: 1 << worker,
            late: 0,
        }
    }
}

impl BitOrAssign for Wake {
    fn bitor_assign(&mut self, other: Wake) {
        self.now |= other.now;
        self.late |= other.late;
    }
}

impl BitOrAssign<u32> for Wake {
    fn bitor_assign(&mut self, now: u32) {
        self.now |= now;
    }
}

/// One worker's ends of all rings. Made by [`rings`].
#[derive(Debug)]
pub struct WorkerRings {
    /// By shard: this worker's batches for it.
    pub(crate) to_shard: Vec<Ring<ToShard>>,
    /// By worker: batches for this worker's shard; empty where it has none.
    pub(crate) from_ingress: Vec<Ring<ToShard>>,
    /// By worker: what this worker's shard has to tell; empty where it has none.
    pub(crate) to_egress: Vec<Ring<ToEgress>>,
    /// By shard: what it has to tell this worker.
    pub(crate) from_shard: Vec<Ring<ToEgress>>,
    /// By worker.
    pub(crate) back_to: Vec<Ring<Back>>,
    /// By worker.
    pub(crate) back_from: Vec<Ring<Back>>,
}

/// The rings between `workers` workers of which the first `shards` have a shard; each holds `bound`
/// batches (at least 1).
#[must_use]
pub fn rings(workers: usize, shards: usize, bound: usize) -> Vec<WorkerRings> {
    let bound = bound.max(1);
    let data = grid(workers, shards, bound);
    let told = grid(shards, workers, bound);
    let back = grid(workers, workers, bound);
    (0..workers)
        .map(|worker| WorkerRings {
            to_shard: row(&data, worker),
            from_ingress: if worker < shards {
                column(&data, worker)
            } else {
                Vec::new()
            },
            to_egress: row(&told, worker),
            from_shard: column(&told, worker),
            back_to: row(&back, worker),
            back_from: column(&back, worker),
        })
        .collect()
}

fn grid<T>(from: usize, to: usize, bound: usize) -> Vec<Vec<Ring<T>>> {
    let ring = || Arc::new(ArrayQueue::new(bound));
    (0..from)
        .map(|_| (0..to).map(|_| ring()).collect())
        .collect()
}

fn row<T>(grid: &[Vec<Ring<T>>], from: usize) -> Vec<Ring<T>> {
    grid.get(from).cloned().unwrap_or_default()
}

fn column<T>(grid: &[Vec<Ring<T>>], to: usize) -> Vec<Ring<T>> {
    grid.iter().filter_map(|row| row.get(to)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_shares_bounded_rings() {
        let ends = rings(3, 2, 0);
        let [first, _, third] = ends.as_slice() else {
            panic!("three workers")
        };
        assert_eq!((first.to_shard.len(), first.from_ingress.len()), (2, 3));
        assert_eq!((third.to_shard.len(), third.from_ingress.len()), (2, 0));
        assert_eq!((third.from_shard.len(), third.to_egress.len()), (2, 0));
        assert!(third.to_shard[0].push(ToShard::default()).is_ok());
        assert!(
            third.to_shard[0].push(ToShard::default()).is_err(),
            "a bound of one, not of none"
        );
        assert!(first.from_ingress[0].is_empty() && first.from_ingress[2].is_full());
        let back = Back::Joined(ShardId(0), GroupId(1), PeerId(2), 3);
        assert!(first.back_to[2].push(back).is_ok());
        assert!(third.back_from[0].is_full());
    }
}
