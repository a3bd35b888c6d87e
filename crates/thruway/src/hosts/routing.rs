//! From the table to the kernel and back: batches, next hops, what others change.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use thruway_wire::Prefix;

use super::Shared;
use super::kernel::{Kernel, Monitor, Notes};
use super::limits::{BATCH, RESOLVE_DELAY, RESYNC_DELAY, RESYNC_REST, RETRY};
use super::table::{Refusal, Table};
use super::view::KernelTable;

/// The kernel's side of the task.
pub(super) struct Routing {
    kernel: Kernel,
    monitor: Monitor,
    target: KernelTable,
    /// Changes of others wait to be read.
    more: bool,
    /// When all next hops are looked up again.
    resolve_at: Option<Instant>,
    /// When the kernel's whole table is read.
    compare_at: Option<Instant>,
    /// When refused routes are tried again.
    retry_at: Option<Instant>,
    /// No comparison begins before.
    compare_rest: Instant,
    /// No lookup of all next hops begins before.
    resolve_rest: Instant,
    /// The kernel could not be asked: nothing is written before the next comparison.
    paused: bool,
    /// What the log said last about a refused route.
    complaint: String,
}

impl Routing {
    /// Opens the sockets.
    ///
    /// # Errors
    /// There are none to have.
    pub(super) fn open(target: KernelTable) -> io::Result<Self> {
        // The monitor first: what happens from now on is heard.
        let monitor = Monitor::open()?;
        Ok(Routing {
            kernel: Kernel::open(target)?,
            monitor,
            target,
            more: false,
            resolve_at: None,
            compare_at: None,
            retry_at: None,
            compare_rest: Instant::now(),
            resolve_rest: Instant::now(),
            paused: false,
            complaint: String::new(),
        })
    }

    /// The same table, with other bounds.
    pub(super) fn set_target(&mut self, target: KernelTable) {
        self.target = target;
        self.kernel.set_target(target);
    }

    /// When it wants its turn.
    pub(super) fn wake_at(&self, table: &Shared) -> Option<Instant> {
        let busy = self.more || (!self.paused && table.lock().has_work());
        let now = busy.then(Instant::now);
        let times = [now, self.resolve_at, self.compare_at, self.retry_at];
        times.into_iter().flatten().min()
    }

    /// What others change, to wait for.
    pub(super) fn monitor(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }

    /// Reads what others did, does what is due, and writes one batch. The table is locked for a
    /// moment at a time: whoever looks at it does not wait for the kernel.
    pub(super) fn turn(&mut self, table: &Shared, keep_leftovers: bool) {
        self.listen(table);
        let now = Instant::now();
        if self.compare_at.is_some_and(|at| at <= now) {
            self.compare(table, keep_leftovers);
        }
        let mut hops = Vec::new();
        if self.resolve_at.is_some_and(|at| at <= now) {
            self.resolve_at = None;
            let mut table = table.lock();
            table.retry_refused();
            hops = table.next_hops();
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            table.lock().retry_refused();
        }
        hops.extend(table.lock().unresolved());
        self.resolve(table, &hops);
        if self.write(table) {
            // Our own changes come back to the monitor: they must not fill its buffer.
            self.listen(table);
        }
    }

    /// Takes the kernel's whole table for what is installed.
    pub(super) fn compare(&mut self, table: &Shared, keep_leftovers: bool) {
        let begun = Instant::now();
        self.compare_at = None;
        match self.kernel.installed() {
            Ok(found) => {
                table.lock().adopt(found, keep_leftovers);
                self.compare_rest = rest(begun);
                self.paused = false;
            }
            Err(error) => {
                tracing::warn!("cannot read the kernel's table: {error}");
                self.compare_at = Some(begun + RETRY);
            }
        }
    }

    /// Takes all routes out of the kernel: at the end, and before they go elsewhere.
    pub(super) fn clear(&mut self, table: &Shared) {
        self.paused = false;
        table.lock().retire();
        while self.write(table) {
            // What others do now is of no interest, but must not fill the buffer.
            self.monitor.read(&self.target, self.kernel.port());
        }
    }

    /// Writes a batch. False where there is nothing to write, or the kernel cannot be asked at all.
    fn write(&mut self, table: &Shared) -> bool {
        if self.paused {
            return false;
        }
        let changes = table.lock().changes(BATCH);
        if changes.is_empty() {
            return false;
        }
        let outcomes = match self.kernel.write(&changes) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // Nobody knows how much of it was done.
                tracing::warn!("cannot write to the kernel's table: {error}");
                self.compare_at = Some(Instant::now() + RETRY);
                self.paused = true;
                return false;
            }
        };
        let mut uncertain = false;
        let mut table = table.lock();
        let mut left = changes.iter();
        for (outcome, change) in outcomes.into_iter().zip(left.by_ref()) {
            if let Err(refusal) = &outcome {
                self.retry_at.get_or_insert(Instant::now() + RETRY);
                complain(&mut self.complaint, change.prefix, refusal);
            }
            uncertain |= table.done(change, outcome);
        }
        left.for_each(|change| table.again(change.prefix));
        if uncertain {
            self.compare_soon();
        }
        true
    }

    /// Reads what others did.
    fn listen(&mut self, table: &Shared) {
        let port = self.kernel.port();
        let notes = self.monitor.read(&self.target, port);
        self.more = notes.more;
        let mut table = table.lock();
        notes.lost.iter().for_each(|prefix| table.lost(*prefix));
        notes
            .cleared
            .iter()
            .for_each(|prefix| table.cleared(*prefix));
        if notes.resync {
            self.compare_soon();
        }
        if notes.resolve || concerns(&notes, &table) {
            let at = self.resolve_rest.max(Instant::now() + RESOLVE_DELAY);
            self.resolve_at.get_or_insert(at);
        }
    }

    fn compare_soon(&mut self) {
        let at = self.compare_rest.max(Instant::now() + RESYNC_DELAY);
        self.compare_at.get_or_insert(at);
    }

    fn resolve(&mut self, table: &Shared, hops: &[IpAddr]) {
        if hops.is_empty() {
            return;
        }
        let begun = Instant::now();
        match self.kernel.resolve(hops) {
            Ok(found) => {
                for (next_hop, way) in table.lock().resolved(found) {
                    match way {
                        Ok(()) => tracing::info!(%next_hop, "hosts reach a next hop again"),
                        Err(why) => tracing::warn!("hosts: {why}"),
                    }
                }
            }
            Err(error) => {
                tracing::warn!("cannot look next hops up: {error}");
                self.resolve_at = Some(begun + RETRY);
            }
        }
        self.resolve_rest = rest(begun);
    }
}

/// Says why the kernel refused a route, not for each of many.
fn complain(last: &mut String, prefix: Prefix, refusal: &Refusal) {
    if let Refusal::Other(why) = refusal
        && why != last
    {
        tracing::warn!("the kernel refuses hosts' routes, {prefix} first: {why}");
        last.clone_from(why);
    }
}

/// When work that began then may be done again.
fn rest(begun: Instant) -> Instant {
    let now = Instant::now();
    now + (now - begun) * RESYNC_REST
}

/// A route of others over some next hop came or went.
fn concerns(notes: &Notes, table: &Table) -> bool {
    if notes.moved.is_empty() {
        return false;
    }
    let hops = table.next_hops();
    let over = |route: &Prefix| hops.iter().any(|hop| route.covers(Prefix::host(*hop)));
    notes.moved.iter().any(over)
}
