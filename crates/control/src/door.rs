//! One way into the API, and what may be under way on it: connections, long and large answers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::limits::{ADDRESS_CONNECTIONS_MAX, AT_WORK_MAX, CHECKS_MAX, LARGE_MAX, STREAMS_MAX};
use super::problem::Problem;
use super::refusals::Refusals;
use super::server::RouteServer;

/// Why a connection or a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There were too many connections.
    Connections,
    /// There were too many from its address.
    Address,
    /// It meant another server.
    Host,
    /// A page of somewhere else wanted to change something.
    Origin,
    /// It showed no token, or one that is not taken.
    Token,
    /// It spoke no TLS that is spoken here, or showed no certificate that is taken.
    Tls,
    /// Nobody is let in: something is wrong with what says who may.
    Closed,
    /// Its role does not reach so far.
    Role,
    /// No request came.
    Idle,
    /// A request's head did not end.
    SlowHead,
    /// A request's body did not end.
    SlowBody,
    /// The reader took nothing of its answer.
    Stalled,
    /// Too many long answers were under way.
    Answers,
}

impl Reason {
    const ALL: [(Reason, &'static str); 13] = [
        (Reason::Connections, "connections"),
        (Reason::Address, "address"),
        (Reason::Host, "host"),
        (Reason::Origin, "origin"),
        (Reason::Token, "token"),
        (Reason::Tls, "tls"),
        (Reason::Closed, "closed"),
        (Reason::Role, "role"),
        (Reason::Idle, "idle"),
        (Reason::SlowHead, "slow_head"),
        (Reason::SlowBody, "slow_body"),
        (Reason::Stalled, "stalled"),
        (Reason::Answers, "answers"),
    ];
}

/// One way in: TCP or the Unix socket. Neither waits behind the other.
#[derive(Debug)]
pub(super) struct Door {
    /// `tcp` or `unix`.
    pub(super) name: &'static str,
    connections_max: usize,
    open: Mutex<Open>,
    streams: Arc<Semaphore>,
    large: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    at_work: Semaphore,
    counts: [AtomicU64; Reason::ALL.len()],
}

/// Connections that are open.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// By address; none from the Unix socket.
    from: HashMap<IpAddr, usize>,
}

/// A connection's place among those that are open, until it is dropped.
pub(super) struct Entry {
    door: Arc<Door>,
    from: Option<IpAddr>,
}

impl Door {
    pub(super) fn new(name: &'static str, connections_max: usize) -> Arc<Self> {
        Arc::new(Door {
            name,
            connections_max,
            open: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            large: Arc::new(Semaphore::new(LARGE_MAX)),
            checks: Arc::new(Semaphore::new(CHECKS_MAX)),
            at_work: Semaphore::new(AT_WORK_MAX),
            counts: Default::default(),
        })
    }

    pub(super) fn count(&self, reason: Reason) {
        if let Some(count) = self.counts.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often something was turned away, by reason.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = Reason::ALL.iter().map(|(_, name)| *name);
        names.zip(
            self.counts
                .iter()
                .map(|count| count.load(Ordering::Relaxed)),
        )
    }

    /// Connections that are open.
    pub(super) fn connections(&self) -> usize {
        self.open().all
    }

    /// A place among the answers that stream.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.place(&self.streams, "long answers are being read")
    }

    /// A place among the configurations that are checked.
    pub(super) fn check(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.place(&self.checks, "configurations are being checked")
    }

    /// A place among the large answers that wait for their readers.
    pub(super) fn large(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.place(&self.large, "large answers are being read")
    }

    /// A turn among the requests that are worked on. `None`: never.
    pub(super) async fn work(&self) -> Option<SemaphorePermit<'_>> {
        self.at_work.acquire().await.ok()
    }

    fn place(&self, of: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(of).try_acquire_owned().map_err(|_| {
            self.count(Reason::Answers);
            let text = format!("as many {what} as there may be at a time; try again later");
            Problem(StatusCode::SERVICE_UNAVAILABLE, text)
        })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection, where there is one.
    pub(super) fn enter(self: &Arc<Self>, from: Option<IpAddr>) -> Result<Entry, Reason> {
        let mut open = self.open();
        if open.all >= self.connections_max {
            return Err(Reason::Connections);
        }
        if let Some(from) = from {
            let mine = open.from.entry(from).or_default();
            if *mine >= ADDRESS_CONNECTIONS_MAX {
                return Err(Reason::Address);
            }
            *mine += 1;
        }
        open.all += 1;
        let door = Arc::clone(self);
        Ok(Entry { door, from })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.door.open();
        open.all = open.all.saturating_sub(1);
        let Some(from) = self.from else { return };
        if let Some(mine) = open.from.get_mut(&from) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                open.from.remove(&from);
            }
        }
    }
}

/// What an answer may need: the server, the way that the request came, and the ways that there are.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) server: Arc<dyn RouteServer>,
    pub(super) door: Arc<Door>,
    pub(super) doors: [Arc<Door>; 2],
    pub(super) refusals: Arc<Refusals>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let door = Door::new("tcp", ADDRESS_CONNECTIONS_MAX + 1);
        let addr = |n: u8| Some(IpAddr::from([127, 0, 0, n]));
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..ADDRESS_CONNECTIONS_MAX {
            entries.push(door.enter(addr(1)).ok().unwrap());
        }
        assert_eq!(door.enter(addr(1)).err(), Some(Reason::Address));
        entries.push(door.enter(addr(2)).ok().unwrap());
        assert_eq!(door.enter(addr(2)).err(), Some(Reason::Connections));
        drop(entries.remove(0));
        assert!(door.enter(addr(1)).is_ok());
        drop(entries);
        assert_eq!(door.connections(), 0);
        assert!(door.open().from.is_empty());
    }

    #[test]
    fn reasons_stand_in_their_order() {
        for (at, (reason, _)) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }
}
