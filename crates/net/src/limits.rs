//! Every bound of this crate.

use std::time::Duration;

/// Connections that may wait in a listener, unless the caller says otherwise. A restart of the
/// server makes every neighbour connect at once; the kernel caps this at net.core.somaxconn.
pub const LISTEN_BACKLOG: u32 = 1024;

/// How long a connection attempt may take, unless the caller says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait of one `poll`: the kernel refuses numbers that are too large.
pub const POLL_WAIT: Duration = Duration::from_secs(3600);

/// Connections of one transport.
pub const CONNECTIONS: usize = 4096;

/// Listeners of one transport.
pub const LISTENERS: usize = 64;

/// Connections that one listener gives in one `poll` (epoll).
pub const ACCEPTS: usize = 64;

/// How long a listener rests after `accept` failed: out of files, for example.
pub const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Chunks that one `send` takes: the kernel's UIO_MAXIOV.
pub const SEND_CHUNKS: usize = 1024;

/// Octets above which one `send` takes no further chunk. A KEEPALIVE waits behind one `send` at
/// most, so this is small; a quarter of it costs a third more per octet, four times it gains less.
pub const SEND_BYTES: usize = 256 << 10;

/// Chunk lists that are kept for reuse once their send is done.
pub const IDLE_OUTBOXES: usize = 64;

/// Events that one `poll` hands out before it returns.
pub const POLL_EVENTS: usize = 1024;

/// Octets that one `poll` hands out, or throws away in a graceful close, before it returns.
pub const POLL_BYTES: usize = 32 << 10;

/// Octets of the one receive buffer that all sockets share (epoll).
pub const READ_BYTES: usize = 32 << 10;

/// Octets that one socket may give before the next one has its turn (epoll).
pub const READ_BYTES_PER_SOCKET: usize = 32 << 10;

/// Kernel events fetched at once (epoll).
pub const EPOLL_EVENTS: usize = 1024;

/// TCP_NOTSENT_LOWAT: unsent octets in the kernel above which a socket takes no more, so that a
/// KEEPALIVE or NOTIFICATION does not wait behind megabytes of UPDATEs.
pub const NOTSENT_LOWAT: u32 = 128 << 10;

/// Longest TCP MD5 key (TCP_MD5SIG_MAXKEYLEN).
pub const MD5_KEY: usize = 80;

/// Requests that wait for the next submission (io_uring).
pub const SQ_ENTRIES: u32 = 512;

/// Completions that wait in the ring (io_uring). See [`RING_COMPLETIONS`].
pub const CQ_ENTRIES: u32 = 16 << 10;

/// Octets that a ring takes of RLIMIT_MEMLOCK where the process may not exceed it (io_uring): 64
/// and 4 for a request, 16 for a completion, and some pages.
pub const RING_LOCKED: usize = SQ_ENTRIES as usize * 68 + CQ_ENTRIES as usize * 16 + (20 << 10);

/// Receive buffers (io_uring). What a flood can fill before anybody else has its turn: 1 MiB was
/// 10 ms of work for the one behind it, and costs as much an octet.
pub const RING_BUFFERS: u16 = 8;

/// Octets of a receive buffer (io_uring).
pub const RING_BUFFER_BYTES: usize = 16 << 10;

/// Receives in a row, without a pause, after which a socket is read by a standing (multishot)
/// request again (io_uring).
pub const CALM_RECEIVES: u8 = 8;

/// How long a transport that is dropped waits for its requests to be cancelled (io_uring).
pub const DROP_WAIT: Duration = Duration::from_secs(1);

/// Completions that can wait at once, those of `accept` not counted (it ends by itself when the
/// ring is full, and loses nothing): per connection a receive, a send or connect, and a cancel;
/// per receive buffer one; per listener an end and a cancel; the waker's.
pub const RING_COMPLETIONS: usize = CONNECTIONS * 3 + RING_BUFFERS as usize + LISTENERS * 2 + 1;

const _: () = assert!(
    RING_COMPLETIONS <= CQ_ENTRIES as usize,
    "the ring must not overflow"
);
const _: () = assert!(RING_BUFFERS.is_power_of_two(), "the kernel asks for it");
