//! Whose a connection is, and which numbers peers have: the little that workers share.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use ahash::RandomState;
use hashbrown::HashMap;
use thruway_rib::{PeerId, WorkerId};
use thruway_wire::Prefix;

use crate::{PeerConfig, RangeConfig, TransportConfig};

/// Where a neighbour's session lives, and what its accepted socket needs. Immutable; a changed
/// configuration makes a new one.
#[derive(Debug)]
pub struct PeerDirectory {
    workers: usize,
    seed: u64,
    peers: HashMap<IpAddr, Place, RandomState>,
    /// Longest first.
    ranges: Vec<(Prefix, TransportConfig)>,
}

/// An answer of [`PeerDirectory::find`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose worker.
    pub worker: WorkerId,
    /// The peer; `None`: a range's.
    pub peer: Option<PeerId>,
    /// What the socket needs.
    pub transport: TransportConfig,
}

impl PeerDirectory {
    /// A directory of these peers and ranges.
    pub fn new<'a>(
        workers: usize,
        seed: u64,
        peers: impl IntoIterator<Item = &'a PeerConfig>,
        ranges: impl IntoIterator<Item = &'a RangeConfig>,
    ) -> Self {
        let mut directory = PeerDirectory {
            workers: workers.max(1),
            seed,
            peers: HashMap::with_hasher(RandomState::with_seeds(seed, 1, 2, 3)),
            ranges: Vec::new(),
        };
        for peer in peers {
            let place = Place {
                worker: directory.home(peer.addr.ip()),
                peer: Some(peer.id),
                transport: peer.transport.clone(),
            };
            directory.peers.insert(peer.addr.ip(), place);
        }
        directory.ranges.extend(
            ranges
                .into_iter()
                .map(|range| (range.prefix, range.template.transport.clone())),
        );
        directory
            .ranges
            .sort_by_key(|(prefix, _)| u8::MAX - prefix.prefix_len());
        directory
    }

    /// The worker of any neighbour with this address, configured or not: commands about a peer go
    /// there, and its accepted connections.
    #[must_use]
    pub fn home(&self, addr: IpAddr) -> WorkerId {
        let hash = RandomState::with_seeds(self.seed, 4, 5, 6).hash_one(addr);
        let worker = hash % self.workers as u64;
        WorkerId(u8::try_from(worker).unwrap_or(0))
    }

    /// Who is at `addr`; `None`: nobody that is known, close the connection.
    #[must_use]
    pub fn find(&self, addr: IpAddr) -> Option<Place> {
        if let Some(place) = self.peers.get(&addr) {
            return Some(place.clone());
        }
        let host = Prefix::host(addr);
        let (_, transport) = self.ranges.iter().find(|(prefix, _)| prefix.covers(host))?;
        Some(Place {
            worker: self.home(addr),
            peer: None,
            transport: transport.clone(),
        })
    }
}

/// The numbers of peers, each given out once until it comes back. Shared by the control plane (for
/// configured peers) and the workers (for those of ranges); nobody asks on a hot path.
#[derive(Debug)]
pub struct PeerIdPool {
    inner: Mutex<Ids>,
}

#[derive(Debug)]
struct Ids {
    next: u16,
    max: u16,
    /// Oldest first, so that a number rests as long as it can.
    free: VecDeque<u16>,
}

impl PeerIdPool {
    /// `max` numbers.
    #[must_use]
    pub fn new(max: u16) -> Self {
        PeerIdPool {
            inner: Mutex::new(Ids {
                next: 0,
                max,
                free: VecDeque::new(),
            }),
        }
    }

    /// A free number; `None`: all are taken.
    #[must_use]
    pub fn take(&self) -> Option<PeerId> {
        let mut ids = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.next < ids.max {
            ids.next += 1;
            return Some(PeerId(ids.next - 1));
        }
        ids.free.pop_front().map(PeerId)
    }

    /// Gives a number back. Workers do so for the peers that they saw out.
    pub fn give_back(&self, id: PeerId) {
        let mut ids = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(id.0 < ids.next && !ids.free.contains(&id.0));
        ids.free.push_back(id.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{peer, range};

    #[test]
    fn a_peer_goes_before_a_range_and_a_longer_range_before_a_shorter() {
        let one = peer(7, "192.0.2.1");
        let mut wide = range("wide", "192.0.2.0/24");
        wide.template.transport.ttl = Some(1);
        let mut narrow = range("narrow", "192.0.2.128/25");
        narrow.template.transport.ttl = Some(2);
        let directory = PeerDirectory::new(4, 1, [&one], [&wide, &narrow]);
        let ttl = |addr: &str| {
            let place = directory.find(addr.parse().expect("an address"))?;
            Some((place.peer, place.transport.ttl))
        };
        assert_eq!(ttl("192.0.2.1"), Some((Some(PeerId(7)), None)));
        assert_eq!(ttl("192.0.2.2"), Some((None, Some(1))));
        assert_eq!(ttl("192.0.2.200"), Some((None, Some(2))));
        assert_eq!(ttl("198.51.100.1"), None);
    }

    #[test]
    fn every_worker_gets_neighbours_and_always_the_same() {
        let directory = PeerDirectory::new(4, 1, [], []);
        let again = PeerDirectory::new(4, 1, [], []);
        let mut seen = [0; 4];
        for n in 0..200 {
            let addr = IpAddr::from([10, 0, 0, n]);
            assert_eq!(directory.home(addr), again.home(addr));
            seen[directory.home(addr).index()] += 1;
        }
        assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
    }

    #[test]
    fn numbers_are_given_out_once_and_rest_long() {
        let pool = PeerIdPool::new(3);
        let taken: Vec<_> = (0..4).map(|_| pool.take()).collect();
        assert_eq!(
            taken,
            [Some(PeerId(0)), Some(PeerId(1)), Some(PeerId(2)), None]
        );
        pool.give_back(PeerId(2));
        pool.give_back(PeerId(0));
        assert_eq!(
            (pool.take(), pool.take(), pool.take()),
            (Some(PeerId(2)), Some(PeerId(0)), None)
        );
    }
}
