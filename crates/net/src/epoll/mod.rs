//! The transport over epoll: level-triggered, one receive buffer for all sockets.

mod conn;
mod outbox;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use thruway_wire::Prefix;

use self::conn::{Conn, Phase};
use self::outbox::Outboxes;
use crate::deadline::Deadlines;
use crate::error;
use crate::limits::{ACCEPT_REST, ACCEPTS, EPOLL_EVENTS, READ_BYTES};
use crate::listeners::Listeners;
use crate::table::{Key, Table};
use crate::turn::{Pending, Turn};
use crate::{
    AcceptOptions, Accepted, Close, ConnId, ConnectOptions, Counters, Event, ListenOptions,
    ListenerId, Md5Key, Transport, TransportKind, Waker, socket,
};

/// The upper octet of an event's token says what it is about.
const TOKEN_LISTENER: u64 = 1 << 56;
const TOKEN_WAKER: u64 = 2 << 56;
const TOKEN_KIND: u64 = 0xff << 56;

/// What a deadline is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Conn(Key),
    Rest(ListenerId),
}

/// See the module's text.
pub(crate) struct EpollTransport {
    epoll: OwnedFd,
    waker: Waker,
    listeners: Listeners,
    conns: Table<Conn>,
    deadlines: Deadlines<Due>,
    pending: VecDeque<Pending>,
    outboxes: Outboxes,
    /// What the kernel reported and no turn has come to yet. The kernel would report it again, but
    /// from its own front: those at the end would never have their turn.
    ready: Vec<epoll::Event>,
    next_ready: usize,
    buffer: Box<[u8]>,
    counters: Counters,
}

impl EpollTransport {
    pub(crate) fn open() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| error::during("cannot make an epoll instance", error))?;
        let waker = Waker::new()?;
        let token = epoll::EventData::new_u64(TOKEN_WAKER);
        epoll::add(&epoll, waker.fd(), token, epoll::EventFlags::IN)?;
        Ok(EpollTransport {
            epoll,
            waker,
            listeners: Listeners::default(),
            conns: Table::new(),
            deadlines: Deadlines::new(),
            pending: VecDeque::new(),
            outboxes: Outboxes::default(),
            ready: Vec::with_capacity(EPOLL_EVENTS),
            next_ready: 0,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            counters: Counters::default(),
        })
    }

    fn watch_listener(&self, id: ListenerId) -> io::Result<()> {
        let Some(listener) = self.listeners.get(id) else {
            return Ok(());
        };
        let token = epoll::EventData::new_u64(TOKEN_LISTENER | u64::from(id.0));
        Ok(epoll::add(
            &self.epoll,
            listener.fd(),
            token,
            epoll::EventFlags::IN,
        )?)
    }

    /// Starts a connection attempt.
    fn start_connect(&mut self, id: ConnId, options: &ConnectOptions) -> io::Result<()> {
        self.conns.admits(id)?;
        let socket = socket::connecting(options)?;
        match socket.connect(&options.remote.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let phase = Phase::Connecting(Box::new(options.clone()));
        let key = self.conns.insert(id, Conn::new(id, socket.into(), phase))?;
        let at = self.deadlines.add(options.timeout, Due::Conn(key));
        if let Some(conn) = self.conns.get_mut(key) {
            conn.deadline = Some(at);
        }
        self.watch(key)
    }

    /// Tells the kernel what a connection waits for now.
    fn watch(&mut self, key: Key) -> io::Result<()> {
        match self.conns.get_mut(key) {
            Some(conn) => conn.watch(&self.epoll, key),
            None => Ok(()),
        }
    }

    /// As `watch`, where an error ends the connection.
    fn watch_or_end(&mut self, key: Key) {
        if let Err(error) = self.watch(key) {
            self.end(key, Some(error));
        }
    }

    /// Forgets a connection and queues its last event.
    fn end(&mut self, key: Key, error: Option<io::Error>) {
        let Some(id) = self.conns.get(key).map(|conn| conn.id) else {
            return;
        };
        let Some(mut conn) = self.conns.remove(id) else {
            return;
        };
        if let Some(outbox) = conn.outbox.take() {
            self.outboxes.give_back(outbox);
        }
        self.pending.push_back(match (conn.phase, error) {
            (Phase::Connecting(_), Some(error)) => Pending::ConnectFailed { conn: id, error },
            (_, error) => Pending::Closed { conn: id, error },
        });
        // Dropping the only descriptor takes the socket out of the epoll set.
    }

    /// Hands out what waits. False where the budget ended that.
    fn deliver(&mut self, turn: &mut Turn, sink: &mut dyn FnMut(Event<'_>)) -> bool {
        while let Some(pending) = self.pending.pop_front() {
            if let Some(key) = pending.needs_open()
                && !self.conns.get(key).is_some_and(Conn::is_open)
            {
                continue;
            }
            if let Some(event) = pending.into_event() {
                sink(event);
                turn.event();
            }
            if turn.is_over() {
                return self.pending.is_empty();
            }
        }
        true
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.pending.is_empty() {
            self.deadlines.limit(timeout)
        } else {
            Some(Duration::ZERO)
        };
        let timeout = self.waker.park(timeout);
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        self.ready.clear();
        self.next_ready = 0;
        let room = rustix::buffer::spare_capacity(&mut self.ready);
        match epoll::wait(&self.epoll, room, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error::during("epoll_wait", error)),
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
                // Fails only where it is watched already.
                Due::Rest(id) => drop(self.watch_listener(id)),
            }
        }
    }

    fn handle(&mut self, event: epoll::Event, turn: &mut Turn, sink: &mut dyn FnMut(Event<'_>)) {
        let token = event.data.u64();
        match token & TOKEN_KIND {
            TOKEN_WAKER => self.waker.clear(),
            TOKEN_LISTENER => self.accept(ListenerId(token as u32), turn, sink),
            _ => self.handle_conn(Key::unpack(token), event.flags, turn, sink),
        }
    }

    fn accept(&mut self, id: ListenerId, turn: &mut Turn, sink: &mut dyn FnMut(Event<'_>)) {
        let Some(listener) = self.listeners.get(id) else {
            return;
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..ACCEPTS {
            match rustix::net::accept_with(listener.fd(), flags) {
                Ok(fd) => {
                    // An error here: the neighbour is gone already.
                    let Ok((local, peer)) = socket::addresses(fd.as_fd()) else {
                        continue;
                    };
                    sink(Event::Accepted {
                        listener: id,
                        socket: Accepted { fd, peer, local },
                    });
                    turn.event();
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
                Err(_) => {
                    // Out of files or memory: it would be reported again at once, for ever.
                    self.counters.accept_errors += 1;
                    let _ = epoll::delete(&self.epoll, listener.fd());
                    self.deadlines.add(ACCEPT_REST, Due::Rest(id));
                    return;
                }
            }
        }
    }
}

impl Transport for EpollTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Epoll
    }

    fn listen(&mut self, options: &ListenOptions) -> io::Result<ListenerId> {
        let id = self.listeners.open(options)?;
        match self.watch_listener(id) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.listeners.remove(id);
                Err(error)
            }
        }
    }

    fn unlisten(&mut self, listener: ListenerId) {
        self.listeners.remove(listener);
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
            match self.conns.key(conn) {
                Some(key) if self.conns.get(key).is_some_and(Conn::is_connecting) => {
                    self.end(key, Some(error));
                }
                _ => self
                    .pending
                    .push_back(Pending::ConnectFailed { conn, error }),
            }
        }
    }

    fn adopt(&mut self, conn: ConnId, socket: Accepted, options: &AcceptOptions) -> io::Result<()> {
        socket::adopted(socket.fd.as_fd(), socket.local, options)?;
        let key = self
            .conns
            .insert(conn, Conn::new(conn, socket.fd, Phase::Open))?;
        self.watch(key)
            .inspect_err(|_| drop(self.conns.remove(conn)))
    }

    fn send(&mut self, conn: ConnId, queue: &mut VecDeque<Bytes>) -> usize {
        let Some(key) = self.conns.key(conn) else {
            return 0;
        };
        let Some(state) = self.conns.get_mut(key) else {
            return 0;
        };
        if !state.may_send() {
            return 0;
        }
        let Some(outbox) = self.outboxes.take(queue) else {
            return 0;
        };
        let total = outbox.total;
        state.outbox = Some(outbox);
        self.write(key);
        total
    }

    fn set_reading(&mut self, conn: ConnId, on: bool) {
        let Some(key) = self.conns.key(conn) else {
            return;
        };
        let Some(state) = self.conns.get_mut(key) else {
            return;
        };
        state.reading = on;
        if let Some(fault) = state.fault.take_if(|_| !on) {
            return self.end(key, Some(fault));
        }
        // Off is told to the kernel when there is something to read: mostly reading is on again
        // before that.
        if on {
            self.watch_or_end(key);
        }
    }

    fn unread(&self, conn: ConnId) -> usize {
        let state = self.conns.key(conn).and_then(|key| self.conns.get(key));
        state
            .filter(|state| state.is_open())
            .map_or(0, |state| socket::unread(state.fd.as_fd()))
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
        if self.next_ready >= self.ready.len() {
            self.wait(if waited {
                Some(Duration::ZERO)
            } else {
                timeout
            })?;
            if self.waker.unpark() {
                sink(Event::Woken);
            }
        }
        while let Some(&event) = self.ready.get(self.next_ready) {
            self.next_ready += 1;
            self.handle(event, &mut turn, sink);
            if turn.is_over() {
                break;
            }
        }
        self.expire();
        self.deliver(&mut turn, sink);
        Ok(())
    }
}
