//! One connection over io_uring: which requests it has, and what their completions mean.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use io_uring::cqueue;
use socket2::SockAddr;

use super::buffers::{Buffers, Filled};
use super::outbox::Outbox;
use super::ring::Token;
use super::{Due, UringTransport};
use crate::limits::CALM_RECEIVES;
use crate::socket;
use crate::table::Key;
use crate::turn::{Pending, Turn};
use crate::{ConnId, ConnectOptions, Event};

/// Where a connection stands.
pub(super) enum Phase {
    Connecting(Box<Connecting>),
    Open,
    /// A graceful close: what is left is sent, then our direction is shut. Input is thrown away.
    Closing,
    /// Nothing matters any more but the last completions.
    Ending(Pending),
}

/// A connection attempt. In a box: the kernel reads the address where it stands.
pub(super) struct Connecting {
    pub(super) options: ConnectOptions,
    pub(super) addr: SockAddr,
}

/// The receive request of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receive {
    /// There is none.
    Idle,
    /// There is none, for want of a buffer; the connection waits for its turn.
    Starved,
    /// One that ends with its first input.
    Once,
    /// One that goes on.
    Standing,
    /// One that goes on, and whose end was asked for.
    Cancelled,
}

pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) fd: OwnedFd,
    pub(super) phase: Phase,
    pub(super) reading: bool,
    pub(super) receive: Receive,
    /// Receives since reading was last turned on or a buffer was missing. While that happens
    /// often, requests are made one by one: a standing one would have to be cancelled each time, or
    /// would take more than its share of the buffers.
    pub(super) calm: u8,
    /// Received while reading was off.
    pub(super) held: Vec<u8>,
    /// How input ended while reading was off, or behind what is held.
    pub(super) ended: Option<Option<io::Error>>,
    /// The send under way, with the kernel.
    pub(super) outbox: Option<Box<Outbox>>,
    /// What a graceful close sends behind it.
    last: Bytes,
    /// Why sending failed. What the neighbour said before is still delivered: it may be the
    /// NOTIFICATION that explains the failure.
    pub(super) fault: Option<io::Error>,
    pub(super) deadline: Option<Instant>,
    /// The connect request is with the kernel.
    pub(super) connecting: bool,
    /// The address of a connect request that has lost its meaning.
    address: Option<Box<Connecting>>,
    /// The neighbour's FIN came while we are closing.
    eof: bool,
    /// Our FIN is sent.
    shut: bool,
}

impl Conn {
    pub(super) fn new(id: ConnId, fd: OwnedFd, phase: Phase) -> Self {
        Conn {
            id,
            fd,
            phase,
            reading: true,
            receive: Receive::Idle,
            calm: CALM_RECEIVES,
            held: Vec::new(),
            ended: None,
            outbox: None,
            last: Bytes::new(),
            fault: None,
            deadline: None,
            connecting: false,
            address: None,
            eof: false,
            shut: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(super) fn may_send(&self) -> bool {
        self.is_open() && self.outbox.is_none() && self.fault.is_none()
    }

    fn wants_input(&self) -> bool {
        match self.phase {
            Phase::Open => self.reading && self.ended.is_none(),
            Phase::Closing => !self.eof,
            Phase::Connecting(_) | Phase::Ending(_) => false,
        }
    }

    /// Never frees what the kernel may still read.
    pub(super) fn leak(&mut self) {
        if let Some(outbox) = self.outbox.take() {
            Box::leak(outbox);
        }
        if let Some(address) = self.address.take() {
            Box::leak(address);
        }
        if let Phase::Connecting(connecting) = std::mem::replace(&mut self.phase, Phase::Closing) {
            Box::leak(connecting);
        }
    }

    fn in_flight(&self) -> bool {
        let receives = !matches!(self.receive, Receive::Idle | Receive::Starved);
        receives || self.outbox.is_some() || self.connecting
    }
}

impl UringTransport {
    /// Asks for input, where it is wanted and not asked for yet.
    pub(super) fn arm(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.receive != Receive::Idle || !conn.wants_input() {
            return;
        }
        if conn.calm < CALM_RECEIVES && !self.starved.is_empty() {
            // Buffers are short: those that wait for one come before those that just had one.
            conn.receive = Receive::Starved;
            self.starved.push_back(key);
        } else {
            self.request_input(key);
        }
    }

    /// As `arm`, without a look at who waits.
    pub(super) fn request_input(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.wants_input() {
            let standing = conn.calm >= CALM_RECEIVES;
            conn.receive = if standing {
                Receive::Standing
            } else {
                Receive::Once
            };
            self.ring.receive(conn.fd.as_fd(), key, standing);
        }
    }

    /// A completion of a receive.
    pub(super) fn received(
        &mut self,
        key: Key,
        cqe: &cqueue::Entry,
        turn: &mut Turn,
        sink: &mut dyn FnMut(Event<'_>),
    ) {
        if let Some(filled) = Buffers::of(cqe) {
            self.input(key, &filled, turn, sink);
            self.buffers.give_back(filled);
        }
        let more = cqueue::more(cqe.flags());
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if !more {
            conn.receive = Receive::Idle;
        }
        match cqe.result() {
            0 => self.input_ended(key, None),
            1.. => {}
            error => self.receive_failed(key, -error),
        }
        if !more {
            self.arm(key);
            self.finish(key);
        }
    }

    fn input(
        &mut self,
        key: Key,
        filled: &Filled,
        turn: &mut Turn,
        sink: &mut dyn FnMut(Event<'_>),
    ) {
        let bytes = self.buffers.bytes(filled);
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if bytes.is_empty() {
            return;
        }
        turn.input(bytes.len());
        if !conn.is_open() {
            return;
        }
        self.counters.received += bytes.len() as u64;
        if conn.reading && conn.held.is_empty() {
            if self.starved.is_empty() {
                conn.calm = conn.calm.saturating_add(1);
            }
            self.counters.reads += 1;
            sink(Event::Received {
                conn: conn.id,
                bytes,
            });
        } else {
            conn.held.extend_from_slice(bytes);
        }
    }

    fn receive_failed(&mut self, key: Key, errno: i32) {
        match errno {
            libc::ENOBUFS => {
                let Some(conn) = self.conns.get_mut(key) else {
                    return;
                };
                self.counters.starved += 1;
                conn.calm = 0; // one buffer a turn from now on
                conn.receive = Receive::Starved;
                self.starved.push_back(key);
            }
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            _ => self.input_ended(key, Some(io::Error::from_raw_os_error(errno))),
        }
    }

    /// Hands out what came while reading was off.
    pub(super) fn deliver_held(
        &mut self,
        key: Key,
        turn: &mut Turn,
        sink: &mut dyn FnMut(Event<'_>),
    ) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if !conn.is_open() || !conn.reading {
            return;
        }
        let held = std::mem::take(&mut conn.held);
        if !held.is_empty() {
            turn.input(held.len());
            self.counters.reads += 1;
            sink(Event::Received {
                conn: conn.id,
                bytes: &held,
            });
        }
        if let Some(ended) = conn.ended.take() {
            self.input_ended(key, ended);
        }
    }

    fn input_ended(&mut self, key: Key, error: Option<io::Error>) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        match conn.phase {
            Phase::Open if !conn.reading || !conn.held.is_empty() => conn.ended = Some(error),
            Phase::Open => {
                let error = conn.fault.take().or(error);
                self.end(key, error);
            }
            // The neighbour may still read: the rest and our FIN go out first.
            Phase::Closing if error.is_none() && !conn.shut => conn.eof = true,
            Phase::Closing => self.end(key, error),
            Phase::Connecting(_) | Phase::Ending(_) => {}
        }
    }

    /// A completion of a connect.
    pub(super) fn connected(&mut self, key: Key, result: i32) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        conn.connecting = false;
        if let Phase::Connecting(connecting) = &conn.phase {
            let ends = match result {
                0 => socket::connected(conn.fd.as_fd(), &connecting.options),
                _ => Err(io::Error::from_raw_os_error(-result)),
            };
            match ends {
                Ok((local, remote)) => {
                    conn.phase = Phase::Open;
                    conn.deadline = None;
                    let id = conn.id;
                    self.pending.push_back(Pending::Connected {
                        key,
                        conn: id,
                        local,
                        remote,
                    });
                    self.arm(key);
                }
                Err(error) => self.end(key, Some(error)),
            }
        }
        self.finish(key);
    }

    /// Takes a send on.
    pub(super) fn start_send(&mut self, key: Key, mut outbox: Box<Outbox>) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        self.counters.writes += 1;
        self.ring.send(conn.fd.as_fd(), key, &mut outbox);
        conn.outbox = Some(outbox);
    }

    /// A completion of a send.
    pub(super) fn sent(&mut self, key: Key, result: i32) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Some(mut outbox) = conn.outbox.take() else {
            return;
        };
        let octets = usize::try_from(result).unwrap_or(0);
        self.counters.sent += octets as u64;
        let retry = result >= 0 || matches!(-result, libc::EINTR | libc::EAGAIN);
        if matches!(conn.phase, Phase::Ending(_)) {
            self.outboxes.give_back(outbox);
        } else if outbox.advance(octets) {
            self.all_sent(key, outbox);
        } else if retry {
            self.counters.short_sends += 1;
            self.start_send(key, outbox);
        } else {
            self.outboxes.give_back(outbox);
            self.send_failed(key, io::Error::from_raw_os_error(-result));
        }
        self.finish(key);
    }

    fn all_sent(&mut self, key: Key, outbox: Box<Outbox>) {
        let bytes = outbox.total;
        self.outboxes.give_back(outbox);
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        match conn.phase {
            Phase::Closing => self.send_last(key),
            _ => self.pending.push_back(Pending::Sent {
                key,
                conn: conn.id,
                bytes,
            }),
        }
    }

    fn send_failed(&mut self, key: Key, error: io::Error) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if !conn.is_open() || !conn.reading {
            return self.end(key, Some(error));
        }
        // Makes sure that reading comes to an end; what is unread stays readable.
        socket::shut_both(conn.fd.as_fd());
        conn.fault = Some(error);
        self.arm(key);
    }

    pub(super) fn close_gracefully(&mut self, key: Key, last: Bytes, deadline: Duration) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        match conn.phase {
            Phase::Connecting(_) => return self.end(key, None),
            Phase::Closing | Phase::Ending(_) => return,
            Phase::Open => conn.phase = Phase::Closing,
        }
        if let Some(fault) = conn.fault.take() {
            return self.end(key, Some(fault));
        }
        conn.eof = conn.ended.take().is_some();
        conn.held = Vec::new();
        conn.calm = CALM_RECEIVES;
        conn.deadline = Some(self.deadlines.add(deadline, Due::Conn(key)));
        conn.last = last;
        if conn.outbox.is_none() {
            self.send_last(key);
        }
        self.arm(key);
        self.finish(key);
    }

    /// What was under way is sent: now the last message, or, when that is out, our FIN.
    fn send_last(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let last = std::mem::take(&mut conn.last);
        if let Some(outbox) = self.outboxes.take(&mut [last].into()) {
            return self.start_send(key, outbox);
        }
        if let Err(error) = socket::shut_write(conn.fd.as_fd()) {
            return self.end(key, Some(error));
        }
        conn.shut = true;
        if conn.eof {
            self.end(key, None);
        }
    }

    /// Begins the end: whatever is in flight is cancelled, and its completions awaited.
    pub(super) fn end(&mut self, key: Key, error: Option<io::Error>) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let last_event = match (&conn.phase, error) {
            (Phase::Ending(_), _) => return,
            (Phase::Connecting(_), Some(error)) => Pending::ConnectFailed {
                conn: conn.id,
                error,
            },
            (_, error) => Pending::Closed {
                conn: conn.id,
                error,
            },
        };
        if conn.connecting {
            self.ring.cancel(Token::Connect(key));
        }
        if conn.outbox.is_some() {
            self.ring.cancel(Token::Send(key));
        }
        if matches!(conn.receive, Receive::Once | Receive::Standing) {
            self.ring.cancel(Token::Receive(key));
        }
        conn.deadline = None;
        conn.held = Vec::new();
        let old = std::mem::replace(&mut conn.phase, Phase::Ending(last_event));
        if let Phase::Connecting(connecting) = old {
            conn.address = Some(connecting); // the kernel may not have read it yet
        }
        self.finish(key);
    }

    /// Closes the socket and queues the last event, once nothing is in flight.
    pub(super) fn finish(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        if !matches!(conn.phase, Phase::Ending(_)) || conn.in_flight() {
            return;
        }
        let Some(conn) = self.conns.remove(conn.id) else {
            return;
        };
        if let Phase::Ending(last_event) = conn.phase {
            self.pending.push_back(last_event);
        }
    }
}
