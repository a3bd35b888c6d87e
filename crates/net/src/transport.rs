//! The one seam for session I/O: what a worker asks of its sockets, and what it hears from them.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use thruway_wire::Prefix;

use crate::Waker;

/// The caller's token for a connection. It must not be used for another connection before
/// [`Event::Closed`] or [`Event::ConnectFailed`] was delivered for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// The transport's token for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Where. Port 0 lets the kernel choose ([`Transport::local_addr`] tells). An IPv6 listener
    /// takes IPv6 only, so that each address has one form.
    pub addr: SocketAddr,
    /// Connections that may wait for `accept`.
    pub backlog: u32,
    /// TCP MD5 keys (RFC 2385). They stand before the first SYN can come.
    pub md5: Vec<Md5Key>,
    /// SO_REUSEPORT: each worker may have its own listener on one address.
    pub reuse_port: bool,
}

impl ListenOptions {
    /// A plain listener on `addr`.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        ListenOptions {
            addr,
            backlog: crate::limits::LISTEN_BACKLOG,
            md5: Vec::new(),
            reuse_port: false,
        }
    }
}

/// A TCP MD5 key for the neighbours in a prefix; the longest prefix wins.
#[derive(Clone, PartialEq, Eq)]
pub struct Md5Key {
    /// One neighbour (a host prefix) or a range of them.
    pub prefix: Prefix,
    /// 1 to 80 octets.
    pub key: Vec<u8>,
}

impl fmt::Debug for Md5Key {
    // A key must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Md5Key({})", self.prefix)
    }
}

/// How to connect.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The neighbour.
    pub remote: SocketAddr,
    /// The local address, where it matters. The kernel chooses the port.
    pub local: Option<IpAddr>,
    /// TCP MD5 key (RFC 2385), 1 to 80 octets.
    pub md5: Option<Vec<u8>>,
    /// GTSM (RFC 5082): the neighbour is at most so many hops away, 1 for a direct one. Sends with
    /// TTL 255, whatever `ttl` says, and drops what comes from further away.
    pub gtsm_hops: Option<u8>,
    /// TTL of our packets; 1 for a direct eBGP neighbour.
    pub ttl: Option<u8>,
    /// After this time the attempt fails with [`io::ErrorKind::TimedOut`].
    pub timeout: Duration,
}

impl ConnectOptions {
    /// A plain connection to `remote`.
    #[must_use]
    pub fn new(remote: SocketAddr) -> Self {
        ConnectOptions {
            remote,
            local: None,
            md5: None,
            gtsm_hops: None,
            ttl: None,
            timeout: crate::limits::CONNECT_TIMEOUT,
        }
    }
}

impl fmt::Debug for ConnectOptions {
    // A key must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("remote", &self.remote)
            .field("local", &self.local)
            .field("md5", &self.md5.is_some())
            .field("gtsm_hops", &self.gtsm_hops)
            .field("ttl", &self.ttl)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// What an accepted connection gets before its first octet is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptOptions {
    /// As in [`ConnectOptions::gtsm_hops`].
    pub gtsm_hops: Option<u8>,
    /// As in [`ConnectOptions::ttl`].
    pub ttl: Option<u8>,
}

/// A connection that a listener took and nobody serves yet. It may go to another worker's
/// transport; dropping it closes it.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, non-blocking and close-on-exec.
    pub fd: OwnedFd,
    /// The neighbour.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
}

impl Accepted {
    /// One end of a Unix socket pair, whose other end is in this process. Both addresses are
    /// 0.0.0.0, which no neighbour has; the options of TCP do not apply.
    #[must_use]
    pub fn from_unix(stream: std::os::unix::net::UnixStream) -> Self {
        let nobody = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0));
        Accepted {
            fd: stream.into(),
            peer: nobody,
            local: nobody,
        }
    }
}

/// What happened. Events of one connection come in the order in which they happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A neighbour connected. The caller decides, and calls [`Transport::adopt`] on the transport
    /// that is to serve it, or drops it.
    Accepted {
        /// Who took it.
        listener: ListenerId,
        /// The connection.
        socket: Accepted,
    },
    /// [`Transport::connect`] succeeded. Reading is on.
    Connected {
        /// Which.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The neighbour.
        remote: SocketAddr,
    },
    /// [`Transport::connect`] failed; the last event of `conn`.
    ConnectFailed {
        /// Which.
        conn: ConnId,
        /// Why.
        error: io::Error,
    },
    /// Input. Never empty.
    Received {
        /// Which.
        conn: ConnId,
        /// The octets: the transport's own buffer, for the time of the call.
        bytes: &'a [u8],
    },
    /// Everything that the last [`Transport::send`] took is with the kernel; the next may follow.
    Sent {
        /// Which.
        conn: ConnId,
        /// What that `send` returned.
        bytes: usize,
    },
    /// The connection is gone; the last event of `conn`. Comes also at the end of a
    /// [`Transport::close`].
    Closed {
        /// Which.
        conn: ConnId,
        /// `None`: the neighbour ended it (FIN), or the caller's `close` is through. What else
        /// ended it is the error; a graceful close that met its deadline gives `TimedOut`.
        error: Option<io::Error>,
    },
    /// [`Waker::wake`] was called, once or more often.
    Woken,
}

/// How to end a connection.
#[derive(Clone, Debug)]
pub enum Close {
    /// What `send` took and then `last` are sent, our direction is shut (FIN), and input is thrown
    /// away until the neighbour's FIN comes, so that unread input does not turn the close into an
    /// RST that overtakes a NOTIFICATION. `Closed` comes then, or after `deadline`.
    Graceful {
        /// The last message, if any: a NOTIFICATION. Empty for none.
        last: Bytes,
        /// From now on.
        deadline: Duration,
    },
    /// At once: what is not with the kernel yet is dropped.
    Now,
}

/// Which transport is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransportKind::IoUring => "io-uring",
            TransportKind::Epoll => "epoll",
        })
    }
}

/// Which transport is wanted; in text `auto`, `io-uring`, `epoll`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TransportChoice {
    /// io_uring where it works, else epoll.
    #[default]
    Auto,
    /// io_uring or an error.
    IoUring,
    /// epoll.
    Epoll,
}

impl fmt::Display for TransportChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransportChoice::Auto => "auto",
            TransportChoice::IoUring => "io-uring",
            TransportChoice::Epoll => "epoll",
        })
    }
}

/// A text that names no transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTransport(String);

impl fmt::Display for UnknownTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no transport: auto, io-uring or epoll", self.0)
    }
}

impl std::error::Error for UnknownTransport {}

impl FromStr for TransportChoice {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(TransportChoice::Auto),
            "io-uring" => Ok(TransportChoice::IoUring),
            "epoll" => Ok(TransportChoice::Epoll),
            _ => Err(UnknownTransport(text.to_owned())),
        }
    }
}

/// What a transport counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Octets received.
    pub received: u64,
    /// Octets that the kernel took.
    pub sent: u64,
    /// `Received` events.
    pub reads: u64,
    /// Kernel calls or requests that sent something.
    pub writes: u64,
    /// Sends that the kernel took in more than one piece.
    pub short_sends: u64,
    /// Times that a receive found no free buffer and was put off (io_uring).
    pub starved: u64,
    /// Times that `accept` failed (out of files, for example).
    pub accept_errors: u64,
}

/// The sockets of one worker. It lives on the thread that opened it.
///
/// - `poll` is the only place where events come from, and the only call that waits.
/// - The sink must not call into the transport: note the action, do it after `poll`.
/// - A call for a [`ConnId`] that is unknown or already ended does nothing: the caller cannot know
///   yet of an event that waits in the transport.
pub trait Transport {
    /// Which one this is.
    fn kind(&self) -> TransportKind;

    /// Starts to listen. Connections come as [`Event::Accepted`].
    ///
    /// # Errors
    /// The kernel's, with what was tried in the text; the limit on MD5 keys is named.
    fn listen(&mut self, options: &ListenOptions) -> io::Result<ListenerId>;

    /// Ends a listener; connections that it gave stay.
    fn unlisten(&mut self, listener: ListenerId);

    /// The address that a listener is bound to.
    ///
    /// # Errors
    /// `NotFound` for an unknown listener.
    fn local_addr(&self, listener: ListenerId) -> io::Result<SocketAddr>;

    /// Takes away the keys of `remove` (one that is not there is no error), then adds or replaces
    /// those of `add`. Connections that stand keep theirs.
    ///
    /// # Errors
    /// The kernel's; the limit on MD5 keys is named. Keys before the failing one are set.
    fn set_md5(
        &mut self,
        listener: ListenerId,
        remove: &[Prefix],
        add: &[Md5Key],
    ) -> io::Result<()>;

    /// Connects. The result comes as [`Event::Connected`] or [`Event::ConnectFailed`], also where
    /// the socket could not be made. [`Transport::close`] gives the attempt up, and ends in
    /// [`Event::Closed`].
    fn connect(&mut self, conn: ConnId, options: &ConnectOptions);

    /// Serves an accepted connection from now on. Reading is on.
    ///
    /// # Errors
    /// A socket option, or too many connections; the connection is closed then, without an event.
    fn adopt(&mut self, conn: ConnId, socket: Accepted, options: &AcceptOptions) -> io::Result<()>;

    /// Takes chunks from the front of `queue`, at most [`crate::limits::SEND_CHUNKS`] of them and
    /// only whole ones, and returns their length in octets. [`Event::Sent`] follows when all of it
    /// is with the kernel. Takes nothing, and returns 0, while an earlier `send` is under way, or
    /// where `conn` has ended or is closing.
    fn send(&mut self, conn: ConnId, queue: &mut VecDeque<Bytes>) -> usize;

    /// Turns reading off and on: back-pressure. No [`Event::Received`] comes while it is off;
    /// what was received already is kept. The neighbour's end of the connection may go unseen
    /// until reading is on again.
    fn set_reading(&mut self, conn: ConnId, on: bool);

    /// Octets that have come and were not delivered yet. Ask before a hold timer ends a session.
    fn unread(&self, conn: ConnId) -> usize;

    /// Ends a connection. No `Received` and no `Sent` come any more; [`Event::Closed`] does.
    /// `Close::Now` may follow a graceful one.
    fn close(&mut self, conn: ConnId, how: Close);

    /// A handle with which other threads end a wait in `poll`.
    fn waker(&self) -> Waker;

    /// Connections that the transport holds, those under way in either direction included.
    fn connections(&self) -> usize;

    /// What was counted.
    fn counters(&self) -> Counters;

    /// Starts what was asked for, waits until something happens but at most `timeout` (`None`: for
    /// ever), and hands what happened to `sink`: at most about
    /// [`crate::limits::POLL_EVENTS`] events and [`crate::limits::POLL_BYTES`] octets. What is
    /// left comes with the next call, which then does not wait. May return early without an event.
    ///
    /// # Errors
    /// The kernel's, for the wait itself; the transport is of no use then.
    fn poll(
        &mut self,
        timeout: Option<Duration>,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> io::Result<()>;
}
