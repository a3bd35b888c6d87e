//! Connections: what has come and was not parsed yet, and what waits to go out.
//!
//! Ingress keeps half messages here between reads, and egress what a socket has not taken. Both have bounds; who is
//! over one is not read from, or left to catch up later: nothing is dropped.

use std::collections::VecDeque;
use std::mem;
use std::net::SocketAddr;

use ahash::RandomState;
use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use thruway_rib::PeerId;
use thruway_session::ConnId;
use thruway_wire::limits::HEADER_LEN;

use crate::limits::{PARTING_MAX, PRIORITY_BYTES_MAX, SEND_BYTES, SEND_CHUNKS};
use crate::{Close, Sink};

/// A connection of this worker, from its first event or our request for it to its last event.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) peer: PeerId,
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    /// [`Sink::close`] was called; only the last event is awaited.
    pub(crate) closing: bool,
    pub(crate) reading: bool,
    /// Whole messages wait in the carry: a turn goes on with them.
    pub(crate) stalled: bool,
    pub(crate) carry: Carry,
    pub(crate) outbox: Outbox,
}

impl Conn {
    pub(crate) fn new(peer: PeerId, ends: Option<(SocketAddr, SocketAddr)>) -> Self {
        Conn {
            peer,
            ends,
            closing: false,
            reading: true,
            stalled: false,
            carry: Carry::default(),
            outbox: Outbox::default(),
        }
    }
}

/// Octets that wait to be parsed: a straddling message, as a rule nothing.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    bytes: Vec<u8>,
    start: usize,
}

impl Carry {
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Moving what is left to the front is cheap while it is small, and bounds the waste.
        if self.start > self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn consume(&mut self, octets: usize) {
        debug_assert!(octets <= self.len());
        self.start = (self.start + octets).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Takes off `input` what completes the first message here, or its header where that is not
    /// whole yet.
    pub(crate) fn complete<'i>(&mut self, mut input: &'i [u8]) -> &'i [u8] {
        for _ in 0..2 {
            let held = self.as_slice();
            let want = match held.get(HEADER_LEN - 3..HEADER_LEN - 1) {
                Some(&[high, low]) if held.len() >= HEADER_LEN => {
                    usize::from(u16::from_be_bytes([high, low]))
                }
                _ => HEADER_LEN,
            };
            let take = want.saturating_sub(held.len()).min(input.len());
            let (head, rest) = input.split_at(take);
            self.push(head);
            input = rest;
        }
        input
    }
}

/// What waits to go out, in whole messages.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Ahead of everything: OPEN, KEEPALIVE, NOTIFICATION.
    priority: VecDeque<Bytes>,
    priority_bytes: usize,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Octets handed over and not with the kernel yet.
    in_flight: usize,
    /// In the worker's list of connections to send on.
    dirty: bool,
}

impl Outbox {
    /// Octets of UPDATEs that wait, those under way included.
    pub(crate) fn queued(&self) -> usize {
        self.queued + self.in_flight
    }

    fn waits(&self) -> bool {
        !self.priority.is_empty() || !self.queue.is_empty()
    }
}

/// All connections of a worker.
#[derive(Debug)]
pub(crate) struct Conns {
    map: HashMap<ConnId, Conn, RandomState>,
    /// Those with something to send and nothing under way.
    dirty: Vec<ConnId>,
    /// Scratch for one send.
    chunks: VecDeque<Bytes>,
    next: u64,
    /// By peer: connections that are being closed gracefully, oldest first.
    parting: HashMap<PeerId, VecDeque<ConnId>, RandomState>,
    /// Octets in all queues.
    pub(crate) queued: usize,
    /// Pieces in all queues.
    pieces: usize,
    /// Octets handed to sockets since start.
    pub(crate) bytes_out: u64,
}

impl Conns {
    pub(crate) fn new(seed: u64) -> Self {
        Conns {
            map: HashMap::with_hasher(RandomState::with_seeds(seed, 7, 8, 9)),
            dirty: Vec::new(),
            chunks: VecDeque::new(),
            next: 0,
            parting: HashMap::with_hasher(RandomState::with_seeds(seed, 10, 11, 12)),
            queued: 0,
            pieces: 0,
            bytes_out: 0,
        }
    }

    /// Octets that the queues take beside what stands in them, which members share.
    pub(crate) fn overhead(&self) -> usize {
        self.pieces * size_of::<Bytes>()
    }

    pub(crate) fn next_id(&mut self) -> ConnId {
        self.next += 1;
        ConnId(self.next)
    }

    /// Adds a connection. Its token stays out of [`Conns::next_id`]'s way, also when inputs are
    /// played again.
    pub(crate) fn insert(&mut self, id: ConnId, conn: Conn) {
        self.next = self.next.max(id.0);
        self.map.insert(id, conn);
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.map.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.map.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let conn = self.map.remove(&id)?;
        self.parted(conn.peer, id);
        self.queued -= conn.outbox.queued;
        self.pieces -= conn.outbox.queue.len();
        Some(conn)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Octets of UPDATEs that wait on a connection.
    pub(crate) fn queued(&self, id: ConnId) -> usize {
        self.map.get(&id).map_or(0, |conn| conn.outbox.queued())
    }

    /// Queues whole messages behind the others.
    pub(crate) fn push(&mut self, id: ConnId, bytes: Bytes) {
        let Some(conn) = self.map.get_mut(&id).filter(|conn| !conn.closing) else {
            return;
        };
        self.queued += bytes.len();
        self.pieces += 1;
        conn.outbox.queued += bytes.len();
        conn.outbox.queue.push_back(bytes);
        note_dirty(&mut self.dirty, id, &mut conn.outbox);
    }

    /// Queues a whole message ahead of UPDATEs. False: too many wait, the peer does not read.
    #[must_use]
    pub(crate) fn push_priority(&mut self, id: ConnId, bytes: Bytes) -> bool {
        let Some(conn) = self.map.get_mut(&id).filter(|conn| !conn.closing) else {
            return true;
        };
        let outbox = &mut conn.outbox;
        outbox.priority_bytes += bytes.len();
        outbox.priority.push_back(bytes);
        let fits = outbox.priority_bytes <= PRIORITY_BYTES_MAX;
        note_dirty(&mut self.dirty, id, outbox);
        fits
    }

    /// What was handed over is with the kernel. True: more waits.
    pub(crate) fn sent(&mut self, id: ConnId) -> Option<bool> {
        let conn = self.map.get_mut(&id)?;
        conn.outbox.in_flight = 0;
        let waits = conn.outbox.waits();
        if waits {
            note_dirty(&mut self.dirty, id, &mut conn.outbox);
        }
        Some(waits)
    }

    fn parted(&mut self, peer: PeerId, id: ConnId) {
        if let Some(parting) = self.parting.get_mut(&peer) {
            parting.retain(|other| *other != id);
            if parting.is_empty() {
                self.parting.remove(&peer);
            }
        }
    }

    /// Ends a connection. UPDATEs that wait are dropped; session messages go with it if `graceful`.
    ///
    /// A graceful end waits for the neighbour's, so a peer that opens one connection after the other would
    /// hold as many: of those that are being closed the oldest goes at once where they are too many.
    pub(crate) fn close(&mut self, id: ConnId, graceful: bool, out: &mut dyn Sink) {
        if !self.end(id, graceful, out) {
            return;
        }
        let Some(peer) = self.map.get(&id).map(|conn| conn.peer) else {
            return;
        };
        if !graceful {
            return self.parted(peer, id);
        }
        let parting = self.parting.entry(peer).or_default();
        parting.push_back(id);
        if parting.len() > PARTING_MAX
            && let Some(oldest) = parting.pop_front()
        {
            out.close(oldest, Close::Now);
        }
    }

    /// False: it is unknown, or ends gracefully already.
    fn end(&mut self, id: ConnId, graceful: bool, out: &mut dyn Sink) -> bool {
        let Some(conn) = self.map.get_mut(&id) else {
            return false;
        };
        let again = mem::replace(&mut conn.closing, true);
        if again && graceful {
            return false;
        }
        self.queued -= mem::take(&mut conn.outbox.queued);
        self.pieces -= conn.outbox.queue.len();
        conn.outbox.queue.clear();
        conn.carry = Carry::default();
        let how = if graceful {
            let mut last = BytesMut::with_capacity(conn.outbox.priority_bytes);
            conn.outbox
                .priority
                .drain(..)
                .for_each(|bytes| last.extend_from_slice(&bytes));
            Close::Graceful {
                last: last.freeze(),
            }
        } else {
            conn.outbox.priority.clear();
            Close::Now
        };
        out.close(id, how);
        true
    }

    /// Hands over what waits, one piece a connection; calls `handed` for each.
    pub(crate) fn flush(
        &mut self,
        out: &mut dyn Sink,
        mut handed: impl FnMut(ConnId, PeerId, usize),
    ) {
        let mut dirty = mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            let Some(conn) = self.map.get_mut(&id) else {
                continue;
            };
            conn.outbox.dirty = false;
            if conn.closing || conn.outbox.in_flight > 0 {
                continue;
            }
            let pieces = conn.outbox.queue.len();
            let (queued, octets) = fill(&mut conn.outbox, &mut self.chunks);
            self.pieces -= pieces - conn.outbox.queue.len();
            if octets == 0 {
                continue;
            }
            self.queued -= queued;
            self.bytes_out += octets as u64;
            out.send(id, &mut self.chunks);
            self.chunks.clear();
            handed(id, conn.peer, octets);
        }
        self.dirty = dirty;
    }
}

fn note_dirty(dirty: &mut Vec<ConnId>, id: ConnId, outbox: &mut Outbox) {
    if !outbox.dirty && outbox.in_flight == 0 {
        outbox.dirty = true;
        dirty.push(id);
    }
}

/// Moves one send's worth into `chunks`; octets of it that were UPDATEs, and all of them.
fn fill(outbox: &mut Outbox, chunks: &mut VecDeque<Bytes>) -> (usize, usize) {
    let mut octets = 0;
    while chunks.len() < SEND_CHUNKS {
        let Some(bytes) = outbox.priority.pop_front() else {
            break;
        };
        octets += bytes.len();
        chunks.push_back(bytes);
    }
    outbox.priority_bytes -= octets;
    let mut queued = 0;
    while chunks.len() < SEND_CHUNKS && octets + queued < SEND_BYTES {
        let Some(bytes) = outbox.queue.pop_front() else {
            break;
        };
        queued += bytes.len();
        chunks.push_back(bytes);
    }
    outbox.queued -= queued;
    outbox.in_flight = octets + queued;
    (queued, octets + queued)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use thruway_wire::message::{encode_keepalive, frame};

    use super::*;
    use crate::{ConnectTarget, Event, QueryId, Reply};

    #[derive(Default)]
    struct Net {
        sent: Vec<Vec<u8>>,
        closed: Vec<Close>,
    }

    impl Sink for Net {
        fn connect(&mut self, _conn: ConnId, _target: &ConnectTarget<'_>) {}

        fn send(&mut self, _conn: ConnId, chunks: &mut VecDeque<Bytes>) {
            self.sent.push(chunks.drain(..).flatten().collect());
        }

        fn set_reading(&mut self, _conn: ConnId, _on: bool) {}

        fn close(&mut self, _conn: ConnId, how: Close) {
            self.closed.push(how);
        }

        fn unread(&self, _conn: ConnId) -> bool {
            false
        }

        fn event(&mut self, _event: Event) {}

        fn reply(&mut self, _to: QueryId, _reply: Reply) {}
    }

    fn conns() -> (Conns, ConnId) {
        let mut conns = Conns::new(1);
        let id = conns.next_id();
        let end = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 179);
        conns.insert(id, Conn::new(PeerId(3), Some((end, end))));
        (conns, id)
    }

    #[test]
    fn a_message_cut_anywhere_is_completed_without_the_next_one() {
        let mut stream = Vec::new();
        encode_keepalive(&mut stream);
        encode_keepalive(&mut stream);
        for cut in 1..HEADER_LEN {
            let mut carry = Carry::default();
            carry.push(&stream[..cut]);
            let rest = carry.complete(&stream[cut..]);
            assert_eq!(rest.len(), HEADER_LEN, "cut at {cut}");
            let message = frame(carry.as_slice(), 4096);
            assert!(message.is_ok_and(|message| message.is_some()));
            carry.consume(HEADER_LEN);
            assert!(carry.is_empty());
        }
        // Octet by octet.
        let mut carry = Carry::default();
        for octet in &stream[..HEADER_LEN] {
            assert!(carry.complete(&[*octet]).is_empty());
        }
        assert_eq!(carry.as_slice(), &stream[..HEADER_LEN]);
    }

    #[test]
    fn session_messages_go_first_and_one_send_is_under_way() {
        let (mut conns, id) = conns();
        let mut net = Net::default();
        conns.push(id, Bytes::from_static(b"update"));
        assert!(conns.push_priority(id, Bytes::from_static(b"keepalive ")));
        conns.flush(&mut net, |_, peer, octets| {
            assert_eq!((peer, octets), (PeerId(3), 16));
        });
        conns.push(id, Bytes::from_static(b"more"));
        conns.flush(&mut net, |_, _, _| panic!("one is under way"));
        assert_eq!(net.sent, [b"keepalive update".to_vec()]);
        assert_eq!(conns.sent(id), Some(true));
        conns.flush(&mut net, |_, _, _| {});
        assert_eq!(net.sent.len(), 2);
        assert_eq!(conns.sent(id), Some(false));
        assert_eq!(
            (conns.queued, conns.queued(id), conns.overhead()),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_graceful_close_takes_session_messages_along_and_drops_updates() {
        let (mut conns, id) = conns();
        let mut net = Net::default();
        conns.push(id, Bytes::from_static(b"update"));
        assert!(conns.push_priority(id, Bytes::from_static(b"cease")));
        conns.close(id, true, &mut net);
        conns.close(id, true, &mut net);
        conns.push(id, Bytes::from_static(b"late"));
        conns.flush(&mut net, |_, _, _| panic!("it is closing"));
        let last = Bytes::from_static(b"cease");
        assert_eq!(net.closed, [Close::Graceful { last }]);
        assert_eq!(conns.queued, 0);
        assert!(conns.remove(id).is_some() && conns.len() == 0);
    }

    #[test]
    fn of_too_many_connections_that_part_the_oldest_goes_at_once() {
        let (mut conns, first) = conns();
        let mut net = Net::default();
        conns.close(first, true, &mut net);
        let end = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 179);
        let mut part = |conns: &mut Conns, peer| {
            let id = conns.next_id();
            conns.insert(id, Conn::new(PeerId(peer), Some((end, end))));
            conns.close(id, true, &mut net);
            net.closed.iter().filter(|how| **how == Close::Now).count()
        };
        for _ in 1..PARTING_MAX {
            assert_eq!(part(&mut conns, 3), 0);
        }
        assert_eq!(part(&mut conns, 4), 0, "another peer's");
        assert_eq!(part(&mut conns, 3), 1);
        assert!(conns.remove(first).is_some());
        assert_eq!(part(&mut conns, 3), 2, "one that was told to go has gone");
    }

    #[test]
    fn a_peer_that_makes_us_answer_and_does_not_read_is_noticed() {
        let (mut conns, id) = conns();
        let piece = Bytes::from(vec![0; PRIORITY_BYTES_MAX / 4]);
        let fits: Vec<bool> = (0..5)
            .map(|_| conns.push_priority(id, piece.clone()))
            .collect();
        assert_eq!(fits, [true, true, true, true, false]);
    }
}
