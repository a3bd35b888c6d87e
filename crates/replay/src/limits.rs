//! Bounds of the load tools: each queue, buffer and wait has one.

use std::time::Duration;

/// Prefixes of one family in a generated table. Beyond it the short lengths would be used up.
pub const GENERATE_PREFIXES_MAX: u32 = 3_000_000;

/// Octets that an MRT file's reader holds at first; it grows to the largest record, which
/// [`thruway_wire::limits::MRT_RECORD_LEN_MAX`] bounds.
pub const MRT_FILE_BUFFER: usize = 1024 * 1024;

/// One attempt to connect.
pub const CONNECT_ATTEMPT: Duration = Duration::from_secs(5);

/// Pause between attempts: the server may be starting.
pub const CONNECT_RETRY: Duration = Duration::from_millis(200);

/// Sessions that a load brings up at a time.
pub const CONNECT_WAVE: usize = 50;

/// The next ones begin when these are up, or after this.
pub const WAVE_PATIENCE: Duration = Duration::from_secs(2);

/// A closing session's last octets get this long.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// Octets of UPDATEs that are handed to the transport as one piece. A KEEPALIVE waits behind one
/// send at most.
pub const CHUNK_BYTES: usize = 64 << 10;

/// Prefixes nobody sent that a receiver remembers.
pub const UNEXPECTED_MAX: usize = 10_000;

/// Attribute sets nobody sent that a receiver remembers, to show them.
pub const STRANGE_SETS_MAX: usize = 1000;

/// Octets of UPDATEs that one session hands to its transport at once.
pub const SEND_AHEAD_BYTES: usize = 256 << 10;

/// Until all sessions are up, unless the caller says otherwise.
pub const SESSIONS_TIMEOUT: Duration = Duration::from_secs(30);

/// A run in which nothing moves for so long is over, unless the caller says otherwise.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A run without a trace's own length, unless the caller says otherwise.
pub const RUN_TIMEOUT: Duration = Duration::from_secs(600);

/// Tables are compared when nothing came for so long: best paths may still change before.
pub const SETTLE: Duration = Duration::from_millis(300);

/// Between two calls of the progress callback.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// An update under churn that did not reach everybody after this is lost.
pub const CHURN_LOST_AFTER: Duration = Duration::from_secs(5);

/// Numbers of updates that are kept apart under churn, for each that may be under way: the slowest
/// holds up the others only when so many have passed it.
pub const CHURN_WINDOW: usize = 4;

/// Between two portions of updates that go out at a rate.
pub const CHURN_TURN: Duration = Duration::from_micros(500);

/// Octets of messages that a load client of several receivers remembers.
pub const MEMO_BYTES: usize = 256 << 20;

/// Differences of each kind that a report shows.
pub const EXAMPLES_MAX: usize = 5;

/// Octets that wait for the slowest sink of a relay; beyond, its sources wait.
pub const RELAY_QUEUE_BYTES: usize = 8 << 20;

/// Commands that wait for a speaker's thread; beyond, who gives them waits.
pub const SPEAKER_COMMANDS: usize = 1024;

/// Octets of records that a dump's writer collects before it writes.
pub const DUMP_BUFFER_BYTES: usize = 256 << 10;

/// Peers of a generated dump; each is a table in memory.
pub const GENERATE_PEERS_MAX: u16 = 256;
