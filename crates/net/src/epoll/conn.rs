//! One connection over epoll: what it waits for, reading, writing, closing.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::epoll::{self, EventFlags};
use rustix::net::RecvFlags;

use super::outbox::Outbox;
use super::{Due, EpollTransport};
use crate::limits::READ_BYTES_PER_SOCKET;
use crate::socket::{self, is_retry};
use crate::table::Key;
use crate::turn::{Pending, Turn};
use crate::{ConnId, ConnectOptions, Event};

/// Where a connection stands.
pub(super) enum Phase {
    Connecting(Box<ConnectOptions>),
    Open,
    /// A graceful close: what is left is sent, then our direction is shut. Input is thrown away.
    Closing,
}

pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) fd: OwnedFd,
    pub(super) phase: Phase,
    pub(super) reading: bool,
    /// The send under way.
    pub(super) outbox: Option<Box<Outbox>>,
    /// Why sending failed. What the neighbour said before is still delivered: it may be the
    /// NOTIFICATION that explains the failure.
    pub(super) fault: Option<io::Error>,
    pub(super) deadline: Option<Instant>,
    /// The neighbour's FIN came while we are closing.
    eof: bool,
    /// Our FIN is sent.
    shut: bool,
    /// What the kernel was told; empty: the socket is not in the set.
    interest: EventFlags,
}

/// What reading came to.
enum Input {
    /// For now, or for this turn.
    Later,
    End(Option<io::Error>),
}

impl Conn {
    pub(super) fn new(id: ConnId, fd: OwnedFd, phase: Phase) -> Self {
        Conn {
            id,
            fd,
            phase,
            reading: true,
            outbox: None,
            fault: None,
            deadline: None,
            eof: false,
            shut: false,
            interest: EventFlags::empty(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting(_))
    }

    pub(super) fn may_send(&self) -> bool {
        self.is_open() && self.outbox.is_none() && self.fault.is_none()
    }

    fn wants_input(&self) -> bool {
        match self.phase {
            Phase::Connecting(_) => false,
            Phase::Open => self.reading,
            Phase::Closing => !self.eof,
        }
    }

    /// Tells the kernel, where it has changed.
    pub(super) fn watch(&mut self, epoll: &OwnedFd, key: Key) -> io::Result<()> {
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, self.wants_input());
        wanted.set(
            EventFlags::OUT,
            self.is_connecting() || self.outbox.is_some(),
        );
        let token = epoll::EventData::new_u64(key.pack());
        if wanted == self.interest {
            return Ok(());
        } else if wanted.is_empty() {
            // A hang-up is reported whatever is asked for: out with it, or the wait never waits.
            epoll::delete(epoll, &self.fd)?;
        } else if self.interest.is_empty() {
            epoll::add(epoll, &self.fd, token, wanted)?;
        } else {
            epoll::modify(epoll, &self.fd, token, wanted)?;
        }
        self.interest = wanted;
        Ok(())
    }

    fn connected(&self, options: &ConnectOptions) -> io::Result<(SocketAddr, SocketAddr)> {
        match socket::take_error(self.fd.as_fd()) {
            Some(error) => Err(error),
            None => socket::connected(self.fd.as_fd(), options),
        }
    }
}

impl EpollTransport {
    pub(super) fn handle_conn(
        &mut self,
        key: Key,
        flags: EventFlags,
        turn: &mut Turn,
        sink: &mut dyn FnMut(Event<'_>),
    ) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        if conn.is_connecting() {
            return self.finish_connect(key);
        }
        let gone = EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(EventFlags::IN | gone) && conn.wants_input() {
            match self.read(key, turn, sink) {
                Input::Later => {}
                Input::End(error) => return self.input_ended(key, error),
            }
        }
        if flags.intersects(EventFlags::OUT | gone) {
            self.write(key);
        }
        self.watch_or_end(key);
    }

    fn finish_connect(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Phase::Connecting(options) = &conn.phase else {
            return;
        };
        match conn.connected(options) {
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
                self.watch_or_end(key);
            }
            Err(error) => self.end(key, Some(error)),
        }
    }

    fn read(&mut self, key: Key, turn: &mut Turn, sink: &mut dyn FnMut(Event<'_>)) -> Input {
        let Some(conn) = self.conns.get(key) else {
            return Input::Later;
        };
        let deliver = conn.is_open();
        let mut left = READ_BYTES_PER_SOCKET;
        while left > 0 && !turn.is_over() {
            let count = match rustix::net::recv(&conn.fd, &mut *self.buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Input::End(None),
                Ok((count, _)) => count,
                Err(error) if is_retry(error) => return Input::Later,
                Err(error) => return Input::End(Some(error.into())),
            };
            turn.input(count);
            left = left.saturating_sub(count);
            if deliver && let Some(bytes) = self.buffer.get(..count) {
                self.counters.received += count as u64;
                self.counters.reads += 1;
                sink(Event::Received {
                    conn: conn.id,
                    bytes,
                });
            }
            if count < self.buffer.len() {
                return Input::Later; // empty by now, or it is reported again
            }
        }
        Input::Later
    }

    fn input_ended(&mut self, key: Key, error: Option<io::Error>) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if let Some(fault) = conn.fault.take() {
            return self.end(key, Some(fault));
        }
        if error.is_none() && matches!(conn.phase, Phase::Closing) && !conn.shut {
            // The neighbour may still read: the rest and our FIN go out first.
            conn.eof = true;
            return self.watch_or_end(key);
        }
        self.end(key, error);
    }

    /// Goes on with the send under way, and with what follows it.
    pub(super) fn write(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Some(outbox) = conn.outbox.as_mut() else {
            return;
        };
        match outbox.write(conn.fd.as_fd()) {
            Ok(written) => {
                self.counters.sent += written.octets as u64;
                self.counters.writes += written.calls;
                if written.all {
                    self.sent(key);
                } else {
                    self.counters.short_sends += 1;
                    self.watch_or_end(key);
                }
            }
            Err(error) => self.send_failed(key, error),
        }
    }

    fn sent(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Some(outbox) = conn.outbox.take() else {
            return;
        };
        let (id, bytes) = (conn.id, outbox.total);
        self.outboxes.give_back(outbox);
        match conn.phase {
            Phase::Closing => self.shut(key),
            _ => self.pending.push_back(Pending::Sent {
                key,
                conn: id,
                bytes,
            }),
        }
    }

    fn send_failed(&mut self, key: Key, error: io::Error) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if let Some(outbox) = conn.outbox.take() {
            self.outboxes.give_back(outbox);
        }
        if !conn.is_open() || !conn.reading {
            return self.end(key, Some(error));
        }
        // Makes sure that reading comes to an end; what is unread stays readable.
        socket::shut_both(conn.fd.as_fd());
        conn.fault = Some(error);
        self.watch_or_end(key);
    }

    pub(super) fn close_gracefully(&mut self, key: Key, last: Bytes, deadline: Duration) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        match conn.phase {
            Phase::Connecting(_) => return self.end(key, None),
            Phase::Closing => return,
            Phase::Open => conn.phase = Phase::Closing,
        }
        if let Some(fault) = conn.fault.take() {
            return self.end(key, Some(fault));
        }
        conn.deadline = Some(self.deadlines.add(deadline, Due::Conn(key)));
        if let Some(outbox) = conn.outbox.as_mut() {
            outbox.push(last);
            return self.watch_or_end(key);
        }
        conn.outbox = self.outboxes.take(&mut [last].into());
        if conn.outbox.is_some() {
            self.write(key);
        } else {
            self.shut(key);
        }
        self.watch_or_end(key);
    }

    /// Everything is sent: our FIN, and then we wait for the neighbour's.
    fn shut(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if let Err(error) = socket::shut_write(conn.fd.as_fd()) {
            return self.end(key, Some(error));
        }
        conn.shut = true;
        if conn.eof {
            self.end(key, None);
        }
    }
}
