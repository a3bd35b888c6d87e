//! A transport that behaves badly, from a seed: for tests of what stands above it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use thruway_wire::Prefix;

use crate::{
    AcceptOptions, Accepted, Close, ConnId, ConnectOptions, Counters, Event, ListenOptions,
    ListenerId, Md5Key, Transport, TransportKind, Waker,
};

/// What goes wrong, and how often. Each number is out of 1,000 events of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The same seed and the same events give the same faults.
    pub seed: u64,
    /// Input comes in small pieces.
    pub short: u16,
    /// A connection's events wait for up to [`Faults::DELAY`] polls.
    pub delay: u16,
    /// The connection is reset.
    pub reset: u16,
}

impl Faults {
    /// Longest delay, in polls.
    pub const DELAY: u64 = 5;
}

/// Any transport, with faults.
pub struct Faulty {
    inner: Box<dyn Transport>,
    faults: Faults,
    random: u64,
    /// Connections with something to deliver or to remember; ordered, for the seed's sake.
    lines: BTreeMap<ConnId, Line>,
}

/// What a connection has to deliver.
#[derive(Default)]
struct Line {
    events: VecDeque<Held>,
    /// Polls to wait.
    wait: u64,
    paused: bool,
    /// Reset by us: only its end counts any more.
    reset: bool,
}

enum Held {
    Received(Vec<u8>),
    Sent(usize),
    Connected(SocketAddr, SocketAddr),
    ConnectFailed(io::Error),
    Closed(Option<io::Error>),
}

impl Faulty {
    /// Puts faults before `inner`.
    #[must_use]
    pub fn new(inner: Box<dyn Transport>, faults: Faults) -> Self {
        Faulty {
            inner,
            faults,
            random: faults.seed,
            lines: BTreeMap::new(),
        }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn happens(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.next() % 1000 < u64::from(per_mille)
    }

    /// Queues an event of a connection, or a fault in its place.
    fn take(&mut self, conn: ConnId, event: Held) {
        let delay = if self.happens(self.faults.delay) {
            1 + self.next() % Faults::DELAY
        } else {
            0
        };
        let data = matches!(event, Held::Received(_) | Held::Sent(_));
        let reset = data && self.happens(self.faults.reset);
        let line = self.lines.entry(conn).or_default();
        line.wait = line.wait.max(delay);
        let event = match event {
            Held::Closed(_) if line.reset => {
                Held::Closed(Some(io::ErrorKind::ConnectionReset.into()))
            }
            _ if line.reset => return,
            event => event,
        };
        line.events.push_back(event);
        if reset {
            line.reset = true;
            line.events.clear();
            self.inner.close(conn, Close::Now);
        }
    }

    fn deliver(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        let ids: Vec<ConnId> = self.lines.keys().copied().collect();
        for conn in ids {
            let Some(line) = self.lines.get_mut(&conn) else {
                continue;
            };
            if line.wait > 0 {
                line.wait -= 1;
                continue;
            }
            let paused = line.paused;
            for event in std::mem::take(&mut line.events) {
                match event {
                    Held::Received(bytes) if paused => self.put_back(conn, bytes),
                    Held::Received(bytes) => self.deliver_input(conn, &bytes, sink),
                    Held::Sent(bytes) => sink(Event::Sent { conn, bytes }),
                    Held::Connected(local, remote) => {
                        sink(Event::Connected {
                            conn,
                            local,
                            remote,
                        });
                    }
                    Held::ConnectFailed(error) => {
                        self.lines.remove(&conn);
                        sink(Event::ConnectFailed { conn, error });
                    }
                    Held::Closed(error) => {
                        self.lines.remove(&conn);
                        sink(Event::Closed { conn, error });
                    }
                }
            }
        }
    }

    fn put_back(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.events.push_back(Held::Received(bytes));
        }
    }

    fn deliver_input(&mut self, conn: ConnId, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) {
        let short = self.happens(self.faults.short);
        let mut rest = bytes;
        while !rest.is_empty() {
            // Mostly within a BGP header, where pieces hurt most; sometimes beyond.
            let bound = if self.next().is_multiple_of(4) {
                5000
            } else {
                40
            };
            let cut = 1 + (self.next() % bound) as usize;
            let (piece, after) = match rest.split_at_checked(cut) {
                Some(halves) if short => halves,
                _ => (rest, [].as_slice()),
            };
            sink(Event::Received { conn, bytes: piece });
            rest = after;
        }
    }

    fn has_something_to_deliver(&self) -> bool {
        let waits = |line: &Line| {
            line.events
                .iter()
                .any(|event| !(line.paused && matches!(event, Held::Received(_))))
        };
        self.lines.values().any(waits)
    }
}

impl Transport for Faulty {
    fn kind(&self) -> TransportKind {
        self.inner.kind()
    }

    fn listen(&mut self, options: &ListenOptions) -> io::Result<ListenerId> {
        self.inner.listen(options)
    }

    fn unlisten(&mut self, listener: ListenerId) {
        self.inner.unlisten(listener);
    }

    fn local_addr(&self, listener: ListenerId) -> io::Result<SocketAddr> {
        self.inner.local_addr(listener)
    }

    fn set_md5(
        &mut self,
        listener: ListenerId,
        remove: &[Prefix],
        add: &[Md5Key],
    ) -> io::Result<()> {
        self.inner.set_md5(listener, remove, add)
    }

    fn connect(&mut self, conn: ConnId, options: &ConnectOptions) {
        self.lines.remove(&conn); // of a former use of the id
        self.inner.connect(conn, options);
    }

    fn adopt(&mut self, conn: ConnId, socket: Accepted, options: &AcceptOptions) -> io::Result<()> {
        self.lines.remove(&conn); // of a former use of the id
        self.inner.adopt(conn, socket, options)
    }

    fn send(&mut self, conn: ConnId, queue: &mut VecDeque<Bytes>) -> usize {
        // The caller has not heard of the last send's end yet, so there must not be a next one.
        let line = self.lines.get(&conn);
        if line.is_some_and(|line| line.events.iter().any(|held| matches!(held, Held::Sent(_)))) {
            return 0;
        }
        self.inner.send(conn, queue)
    }

    fn set_reading(&mut self, conn: ConnId, on: bool) {
        if !on {
            self.lines.entry(conn).or_default().paused = true;
        } else if let Some(line) = self.lines.get_mut(&conn) {
            line.paused = false;
        }
        self.inner.set_reading(conn, on);
    }

    fn unread(&self, conn: ConnId) -> usize {
        let held = self.lines.get(&conn).map_or(0, |line| {
            let octets = line.events.iter().map(|event| match event {
                Held::Received(bytes) => bytes.len(),
                _ => 0,
            });
            octets.sum()
        });
        held + self.inner.unread(conn)
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.events
                .retain(|event| matches!(event, Held::Closed(_) | Held::ConnectFailed(_)));
        }
        self.inner.close(conn, how);
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn connections(&self) -> usize {
        self.inner.connections()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }

    fn poll(
        &mut self,
        timeout: Option<Duration>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> io::Result<()> {
        let timeout = if self.has_something_to_deliver() {
            Some(Duration::ZERO)
        } else {
            timeout
        };
        let mut events = Vec::new();
        self.inner.poll(timeout, &mut |event| match event {
            Event::Received { conn, bytes } => events.push((conn, Held::Received(bytes.to_vec()))),
            Event::Sent { conn, bytes } => events.push((conn, Held::Sent(bytes))),
            Event::Closed { conn, error } => events.push((conn, Held::Closed(error))),
            Event::ConnectFailed { conn, error } => {
                events.push((conn, Held::ConnectFailed(error)));
            }
            Event::Connected {
                conn,
                local,
                remote,
            } => {
                events.push((conn, Held::Connected(local, remote)));
            }
            other @ (Event::Accepted { .. } | Event::Woken) => sink(other),
        })?;
        for (conn, event) in events {
            self.take(conn, event);
        }
        self.deliver(sink);
        Ok(())
    }
}
