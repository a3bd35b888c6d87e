//! Bounds of the hosts' side.

use std::time::Duration;

/// Orders of the composition that wait for the task.
pub(crate) const ORDERS_MAX: usize = 16;
/// Octets read off the session at a time; then the kernel has its turn.
pub(crate) const READ_MAX: usize = 128 * 1024;
/// Routes written to the kernel at a time. Each failure takes about a kilobyte of the socket's
/// buffer until it is read, and all of a batch's failures wait there at once.
pub(crate) const BATCH: usize = 128;
/// Octets of requests in one batch.
pub(crate) const BATCH_OCTETS: usize = 64 * 1024;
/// Datagrams read off the monitor at a time.
pub(crate) const NOTES_MAX: usize = 4096;
/// Answers that nobody wants any more, thrown away at a time: more than fit into the buffer.
pub(crate) const STALE_MAX: usize = 8192;
/// Receive buffer of the monitor: what others change while the task works.
pub(crate) const MONITOR_BUFFER: usize = 16 * 1024 * 1024;
/// Receive buffer of the socket that writes.
pub(crate) const COMMAND_BUFFER: usize = 1024 * 1024;
/// One datagram of the kernel at most: its dumps fill 32 KiB, and 64 KiB on large pages.
pub(crate) const DATAGRAM_MAX: usize = 128 * 1024;
/// Next hops are looked up again this long after the change that asks for it: changes come in
/// swarms, a link that comes up brings its addresses and routes along.
pub(crate) const RESOLVE_DELAY: Duration = Duration::from_millis(50);
/// The same for a comparison with the whole table of the kernel.
pub(crate) const RESYNC_DELAY: Duration = Duration::from_millis(200);
/// A comparison that took t is not repeated within this many times t.
pub(crate) const RESYNC_REST: u32 = 10;
/// The kernel's table is compared this long after the last comparison, whatever was heard or not:
/// what goes without a word is found.
pub(crate) const CHECK: Duration = Duration::from_secs(10);
/// Unless it took so much CPU time that this many times as much is longer: it may cost two per cent
/// of one core.
pub(crate) const CHECK_REST: u32 = 50;
/// Where the kernel could not be read or written, this long until the next comparison; routes that
/// it could not take at the moment are tried again after as long.
pub(crate) const RECOVER: Duration = Duration::from_secs(1);
/// At the end the table is emptied and looked at again this often.
pub(crate) const CLEARINGS: usize = 3;
/// Times that [`NOTES_MAX`] datagrams are read before a comparison is put off.
pub(crate) const DRAINS: usize = 16;
/// Routes that the kernel refused are tried again this often, besides after each change that may
/// be the cause.
pub(crate) const RETRY: Duration = Duration::from_secs(30);
/// Routes that an earlier run left are kept this long after the first table came, for neighbours
/// whose sessions are still coming up: traffic goes on across a restart.
pub(crate) const LEFTOVERS: Duration = Duration::from_secs(10);
/// And this long where the first table does not come.
pub(crate) const LEFTOVERS_MAX: Duration = Duration::from_secs(60);
/// The stream may refuse our octets this long before the session counts as broken.
pub(crate) const OUTBOX_MAX: usize = 64 * 1024 * 1024;
