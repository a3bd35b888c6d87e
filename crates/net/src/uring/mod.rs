//! The transport over io_uring: standing requests, completions in batches, buffers that belong to
//! the kernel until their completion.

mod buffers;
mod conn;
mod outbox;
mod ring;

use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use io_uring::cqueue;
use thruway_wire::Prefix;

use self::buffers::Buffers;
use self::conn::{Conn, Connecting, Phase, Receive};
use self::outbox::Outboxes;
use self::ring::{Ring, Token};
use crate::deadline::Deadlines;
use crate::limits::{ACCEPT_REST, DROP_WAIT, RING_BUFFERS};
use crate::listeners::{Listener, Listeners};
use crate::table::{Key, Table};
use crate::turn::{Pending, Turn};
use crate::{
    AcceptOptions, Accepted, Close, ConnId, ConnectOptions, Counters, Event, ListenOptions,
    ListenerId, Md5Key, Transport, TransportKind, Waker, socket,
};

/// What a deadline is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Conn(Key),
    Rest(ListenerId),
}

/// See the module's text.
pub(crate) struct UringTransport {
    ring: Ring,
    /// Leaked where the kernel may still write to them, see `drop`.
    buffers: ManuallyDrop<Buffers>,
    waker: Waker,
    listeners: Listeners,
    /// Ended listeners whose accept request has not completed.
    retired: Vec<(ListenerId, Listener)>,
    conns: Table<Conn>,
    deadlines: Deadlines<Due>,
    pending: VecDeque<Pending>,
    outboxes: Outboxes,
    /// Connections that found no free buffer, in the order in which they get the next ones.
    starved: VecDeque<Key>,
    counters: Counters,
}

impl UringTransport {
    pub(crate) fn open() -> io::Result<Self> {
        let mut ring = Ring::open()?;
        let buffers = ManuallyDrop::new(Buffers::register(&ring.submitter())?);
        let waker = Waker::new()?;
        ring.watch(&waker);
        Ok(UringTransport {
            ring,
            buffers,
            waker,
            listeners: Listeners::default(),
            retired: Vec::new(),
            conns: Table::new(),
            deadlines: Deadlines::new(),
            pending: VecDeque::new(),
            outboxes: Outboxes::default(),
            starved: VecDeque::new(),
            counters: Counters::default(),
        })
    }

    fn start_connect(&mut self, id: ConnId, options: &ConnectOptions) -> io::Result<()> {
        self.conns.admits(id)?;
        let socket = socket::connecting(options)?;
        let connecting = Connecting {
            options: options.clone(),
            addr: options.remote.into(),
        };
        let phase = Phase::Connecting(Box::new(connecting));
        let key = self.conns.insert(id, Conn::new(id, socket.into(), phase))?;
        let at = self.deadlines.add(options.timeout, Due::Conn(key));
        let Some(conn) = self.conns.get_mut(key) else {
            return Ok(());
        };
        conn.deadline = Some(at);
        if let Phase::Connecting(connecting) = &conn.phase {
            self.ring.connect(conn.fd.as_fd(), key, &connecting.addr);
            conn.connecting = true;
        }
        Ok(())
    }

    fn arm_listener(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.armed = true;
            self.ring.accept(listener.fd(), id);
        }
    }

    /// Gives the starved another chance: as many as there are free buffers, the longest waiting
    /// first.
    fn feed_starved(&mut self) {
        let free = usize::from(RING_BUFFERS).saturating_sub(self.ring.backlog());
        for _ in 0..self.starved.len().min(free) {
            let Some(key) = self.starved.pop_front() else {
                return;
            };
            if let Some(conn) = self.conns.get_mut(key)
                && conn.receive == Receive::Starved
            {
                conn.receive = Receive::Idle;
                self.request_input(key);
            }
        }
    }

    /// Hands out what waits. False where the budget ended that.
    fn deliver(&mut self, turn: &mut Turn, sink: &mut dyn FnMut(Event<'_>)) -> bool {
        while let Some(pending) = self.pending.pop_front() {
            if let Some(key) = pending.needs_open()
                && !self.conns.get(key).is_some_and(Conn::is_open)
            {
                continue;
            }
            if let Pending::Held { key } = pending {
                self.deliver_held(key, turn, sink);
            } else if let Some(event) = pending.into_event() {
                sink(event);
                turn.event();
            }
            if turn.is_over() {
                return self.pending.is_empty();
            }
        }
        true
    }

    fn complete(&mut self, cqe: &cqueue::Entry, turn: &mut Turn, sink: &mut dyn FnMut(Event<'_>)) {
        match Token::of(cqe) {
            Token::Receive(key) => self.received(key, cqe, turn, sink),
            Token::Send(key) => self.sent(key, cqe.result()),
            Token::Connect(key) => self.connected(key, cqe.result()),
            Token::Accept(id) => self.accepted(id, cqe, turn, sink),
            Token::Waker => {
                self.waker.clear();
                if !cqueue::more(cqe.flags()) {
                    self.ring.watch(&self.waker);
                }
            }
            Token::Cancel => {}
        }
    }

    fn accepted(
        &mut self,
        id: ListenerId,
        cqe: &cqueue::Entry,
        turn: &mut Turn,
        sink: &mut dyn FnMut(Event<'_>),
    ) {
        let more = cqueue::more(cqe.flags());
        let known = match self.listeners.get_mut(id) {
            Some(listener) => {
                listener.armed = more;
                true
            }
            None => false,
        };
        // Dropped, and so closed, where the listener has ended or the neighbour is gone already.
        if let Some(fd) = accepted_fd(cqe)
            && known
            && let Ok((local, peer)) = socket::addresses(fd.as_fd())
        {
            sink(Event::Accepted {
                listener: id,
                socket: Accepted { fd, peer, local },
            });
            turn.event();
        }
        if more {
            return;
        }
        if !known {
            self.retired.retain(|(retired, _)| *retired != id);
            return;
        }
        match -cqe.result() {
            libc::EINTR | libc::EAGAIN | libc::ECONNABORTED | libc::EPROTO => self.arm_listener(id),
            errno if errno > 0 => {
                // Out of files or memory: it would fail again at once, for ever.
                self.counters.accept_errors += 1;
                self.deadlines.add(ACCEPT_REST, Due::Rest(id));
            }
            _ => self.arm_listener(id),
        }
    }

    fn expire(&mut self) {
        while let Some((at, due)) = self.deadlines.due() {
            match due {
                Due::Conn(key) => {
                    if self
                        .conns
                        .get(key)
                        .is_some_and(|conn| conn.deadline == Some(at))
                    {
                        self.end(key, Some(io::ErrorKind::TimedOut.into()));
                    }
                }
                Due::Rest(id) => self.arm_listener(id),
            }
        }
    }
}

/// The connection that an accept's completion carries.
fn accepted_fd(cqe: &cqueue::Entry) -> Option<OwnedFd> {
    if cqe.result() < 0 || !matches!(Token::of(cqe), Token::Accept(_)) {
        return None;
    }
    // SAFETY: the kernel has just made this descriptor for us, and each completion is handled once.
    Some(unsafe { OwnedFd::from_raw_fd(cqe.result()) })
}

impl Transport for UringTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::IoUring
    }

    fn listen(&mut self, options: &ListenOptions) -> io::Result<ListenerId> {
        let id = self.listeners.open(options)?;
        self.arm_listener(id);
        Ok(id)
    }

    fn unlisten(&mut self, listener: ListenerId) {
        if let Some(removed) = self.listeners.remove(listener) {
            // The request holds the socket: without this it would listen on until cancelled. It
            // also completes a request that is not submitted yet.
            socket::shut_both(removed.fd());
            if removed.armed {
                self.ring.cancel(Token::Accept(listener));
                self.retired.push((listener, removed));
            }
        }
    }

    fn local_addr(&self, listener: ListenerId) -> io::Result<SocketAddr> {
        self.listeners.addr(listener)
    }

    fn set_md5(
        &mut self,
        listener: ListenerId,
        remove: &[Prefix],
        add: &[Md5Key],
    ) -> io::Result<()> {
        self.listeners.set_md5(listener, remove, add)
    }

    fn connect(&mut self, conn: ConnId, options: &ConnectOptions) {
        if let Err(error) = self.start_connect(conn, options) {
            self.pending
                .push_back(Pending::ConnectFailed { conn, error });
        }
    }

    fn adopt(&mut self, conn: ConnId, socket: Accepted, options: &AcceptOptions) -> io::Result<()> {
        socket::adopted(socket.fd.as_fd(), socket.local, options)?;
        let key = self
            .conns
            .insert(conn, Conn::new(conn, socket.fd, Phase::Open))?;
        self.arm(key);
        Ok(())
    }

    fn send(&mut self, conn: ConnId, queue: &mut VecDeque<Bytes>) -> usize {
        let Some(key) = self.conns.key(conn) else {
            return 0;
        };
        if !self.conns.get(key).is_some_and(Conn::may_send) {
            return 0;
        }
        let Some(outbox) = self.outboxes.take(queue) else {
            return 0;
        };
        let total = outbox.total;
        self.start_send(key, outbox);
        total
    }

    fn set_reading(&mut self, conn: ConnId, on: bool) {
        let Some(key) = self.conns.key(conn) else {
            return;
        };
        let Some(state) = self.conns.get_mut(key) else {
            return;
        };
        if state.reading == on {
            return;
        }
        state.reading = on;
        if on {
            if !state.held.is_empty() || state.ended.is_some() {
                self.pending.push_back(Pending::Held { key });
            }
            return self.arm(key);
        }
        state.calm = 0;
        if let Some(fault) = state.fault.take() {
            return self.end(key, Some(fault));
        }
        if state.is_open() && state.receive == Receive::Standing {
            state.receive = Receive::Cancelled;
            self.ring.cancel(Token::Receive(key));
        }
    }

    fn unread(&self, conn: ConnId) -> usize {
        let Some(key) = self.conns.key(conn) else {
            return 0;
        };
        match self.conns.get(key) {
            Some(state) if state.is_open() => {
                socket::unread(state.fd.as_fd()) + state.held.len() + self.ring.waiting(key)
            }
            _ => 0,
        }
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        let Some(key) = self.conns.key(conn) else {
            return;
        };
        match how {
            Close::Now => self.end(key, None),
            Close::Graceful { last, deadline } => self.close_gracefully(key, last, deadline),
        }
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn connections(&self) -> usize {
        self.conns.len()
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn poll(
        &mut self,
        timeout: Option<Duration>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> io::Result<()> {
        let mut turn = Turn::new();
        let waited = !self.pending.is_empty();
        if !self.deliver(&mut turn, sink) || turn.is_over() {
            return Ok(());
        }
        self.feed_starved();
        // Those that starve wait for a buffer, which is free again: their requests come first.
        let wait = if waited || !self.pending.is_empty() || !self.starved.is_empty() {
            Some(Duration::ZERO)
        } else {
            self.deadlines.limit(timeout)
        };
        self.ring.enter(self.waker.park(wait))?;
        if self.waker.unpark() {
            sink(Event::Woken);
        }
        while let Some(cqe) = self.ring.next() {
            self.complete(&cqe, &mut turn, sink);
            if turn.is_over() {
                break;
            }
        }
        self.expire();
        self.deliver(&mut turn, sink);
        Ok(())
    }
}

impl Drop for UringTransport {
    /// Waits until the kernel lets go of everything, or leaks what it may still touch.
    fn drop(&mut self) {
        self.ring.cancel_all();
        let end = Instant::now() + DROP_WAIT;
        while self.ring.in_flight() > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.ring.enter(Some(left)).is_err() {
                break;
            }
            while let Some(cqe) = self.ring.next() {
                drop(accepted_fd(&cqe));
            }
        }
        while let Some(cqe) = self.ring.next() {
            drop(accepted_fd(&cqe));
        }
        // SAFETY: taken once, here; nothing uses the field after `drop`.
        let buffers = unsafe { ManuallyDrop::take(&mut self.buffers) };
        if self.ring.in_flight() == 0 {
            return buffers.unregister(&self.ring.submitter());
        }
        buffers.leak();
        for key in self.conns.keys() {
            if let Some(conn) = self.conns.get_mut(key) {
                conn.leak();
            }
        }
    }
}
