//! Bounds of the HTTP API: what strangers may hold of the server. docs/api.md has the figures, too.

use std::time::Duration;

/// Connections over TCP.
pub(super) const TCP_CONNECTIONS_MAX: usize = 1024;
/// Of them, from one address; from one /64 with IPv6.
pub(super) const ADDRESS_CONNECTIONS_MAX: usize = 512;
/// Connections over the Unix socket, whose users do not wait behind those of TCP.
pub(super) const UNIX_CONNECTIONS_MAX: usize = 64;
/// Answers that stream at a time, by way in.
pub(super) const STREAMS_MAX: usize = 64;
/// Other answers above [`WHOLE_BYTES`] that wait for their readers at a time, by way in.
pub(super) const LARGE_MAX: usize = 16;
/// Octets of an answer that any reader may leave lying; larger ones count.
pub(super) const WHOLE_BYTES: u64 = 64 << 10;
/// Requests that are worked on at a time, by way in; others wait.
pub(super) const AT_WORK_MAX: usize = 16;
/// Configurations that are checked at a time, by way in: each may be large.
pub(super) const CHECKS_MAX: usize = 2;

/// How long a connection may be without a request.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long a request's head may take from its first octet.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a request's body may take.
pub(super) const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a reader may take nothing of its answer.
pub(super) const STALL_TIME: Duration = Duration::from_secs(30);
/// When those that are told to come again may do so.
pub(super) const RETRY_AFTER: &str = "5";

/// Octets of a request's head, and of an answer that waits in front of a socket.
pub(super) const BUFFER_BYTES: usize = 16 << 10;
/// Octets of a streamed answer that are made at a time; one row may go beyond.
pub(super) const PIECE_BYTES: usize = 16 << 10;
/// Octets that the kernel may hold of an answer; Linux doubles it for its own books.
pub(super) const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Octets of a configuration that somebody asks about, its sets included.
pub(super) const PROPOSAL_MAX: usize = 16 << 20;

/// Refusals that the log names in a minute; of more it says how many.
pub(super) const REFUSALS_LOGGED_MAX: u32 = 60;
/// Octets of what somebody says of a change.
pub(super) const COMMENT_MAX: usize = 256;
/// Seconds that a change may wait for its confirmation: a day.
pub(super) const CONFIRM_SECONDS_MAX: u64 = 86_400;

/// Connections that the kernel keeps until they are accepted.
pub(super) const BACKLOG: u32 = 256;
/// Quiet before the kernel asks whether a neighbour is still there, and between its questions.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long accepting rests where the system has no room for another connection.
pub(super) const ACCEPT_REST: Duration = Duration::from_millis(200);
