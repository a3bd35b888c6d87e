//! From the table to the kernel and back: batches, next hops, what others change.
//!
//! What is thought to be in the kernel is what our requests were answered with, corrected by what the
//! kernel tells of others. It does not tell everything: what it had no room for is lost, and IPv4
//! routes go with their link or address without a word. Then, and now and then in any case, its whole
//! table is read ([`Routing::compare`]).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use thruway_api::KernelTable;
use thruway_wire::Prefix;

use super::kernel::{Fib, Kernel, Notes};
use super::limits::{
    BATCH, CHECK, CHECK_REST, CLEARINGS, DRAINS, RECOVER, RESOLVE_DELAY, RESYNC_DELAY, RESYNC_REST,
    RETRY,
};
use super::shared::Shared;
use super::table::{Change, Refusal, Table};

#[cfg(test)]
mod tests;

/// The kernel's side of the task. Time comes with each call.
pub(super) struct Routing<K = Kernel> {
    kernel: K,
    /// Changes of others wait to be read.
    more: bool,
    /// When all next hops are looked up again.
    resolve_at: Option<Instant>,
    /// When the kernel's whole table is read, for a reason.
    compare_at: Option<Instant>,
    /// When it is read without any.
    check_at: Instant,
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
        Ok(Routing::new(Kernel::open(target)?, Instant::now()))
    }

    /// What others change, to wait for.
    pub(super) fn monitor(&self) -> BorrowedFd<'_> {
        self.kernel.as_fd()
    }
}

impl<K: Fib> Routing<K> {
    fn new(kernel: K, now: Instant) -> Self {
        Routing {
            kernel,
            more: false,
            resolve_at: None,
            compare_at: None,
            check_at: now + CHECK,
            retry_at: None,
            compare_rest: now,
            resolve_rest: now,
            paused: false,
            complaint: String::new(),
        }
    }

    /// The same table, with other bounds.
    pub(super) fn set_target(&mut self, target: KernelTable) {
        self.kernel.set_target(target);
    }

    /// When it wants its turn.
    pub(super) fn wake_at(&self, table: &Shared, now: Instant) -> Option<Instant> {
        let busy = self.more || (!self.paused && table.lock().has_work());
        let now = busy.then_some(now);
        let check = Some(self.check_at);
        let times = [now, self.resolve_at, self.compare_at, self.retry_at, check];
        times.into_iter().flatten().min()
    }

    /// Reads what others did, does what is due, and writes one batch. The table is locked for a
    /// moment at a time: whoever looks at it does not wait for the kernel.
    pub(super) fn turn(&mut self, table: &Shared, keep_leftovers: bool, now: Instant) {
        self.listen(table, now);
        if self.more {
            // What is done now would be younger than what is still to be read. The end comes: a
            // queue that is full takes nothing before it is empty.
            return;
        }
        if self.compare_at.is_some_and(|at| at <= now) || self.check_at <= now {
            self.compare(table, keep_leftovers, now);
        }
        let mut hops = Vec::new();
        if self.resolve_at.is_some_and(|at| at <= now) {
            self.resolve_at = None;
            self.settle();
            let mut table = table.lock();
            table.retry_refused();
            hops = table.next_hops();
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            table.lock().retry_refused();
        }
        hops.extend(table.lock().unresolved());
        self.resolve(table, &hops, now);
        if self.write(table, now) {
            // Our own changes come back to the monitor: they must not fill its buffer.
            self.listen(table, now);
        }
    }

    /// Takes the kernel's whole table for what is installed.
    ///
    /// What others change meanwhile is heard afterwards, and corrects what was read. That holds only
    /// where the monitor loses nothing without saying so: its queue is read to the end before.
    pub(super) fn compare(&mut self, table: &Shared, keep_leftovers: bool, now: Instant) {
        self.drain(table, now);
        if self.more {
            self.compare_at = Some(now);
            return;
        }
        let (begun, used) = (Instant::now(), cpu_time());
        self.settle();
        table.lock().begin_check();
        let read = self.kernel.installed(&mut |found| table.lock().see(found));
        self.compare_rest = now + begun.elapsed() * RESYNC_REST;
        self.check_at = now + CHECK.max(cpu_time().saturating_sub(used) * CHECK_REST);
        self.compare_at = None;
        match read {
            Ok(true) => {
                let (strays, differences) = table.lock().end_check(keep_leftovers);
                tracing::debug!(differences, took = ?begun.elapsed(), "the kernel's table was read");
                self.paused = false;
                self.clear_strays(&strays, now);
            }
            // Somebody is at it.
            Ok(false) => self.compare_soon(now),
            Err(error) => {
                tracing::warn!("cannot read the kernel's table: {error}");
                self.compare_at = Some(now + RECOVER);
            }
        }
        // What was lost on the way asks for another one.
        self.listen(table, now);
    }

    /// Takes all routes out of the kernel: at the end, and before they go elsewhere.
    pub(super) fn clear(&mut self, table: &Shared, now: Instant) {
        table.lock().retire();
        for _ in 0..CLEARINGS {
            self.paused = false;
            while self.write(table, now) {
                self.listen(table, now);
            }
            // What was put there without our knowledge goes, too.
            self.compare(table, false, now);
            if !table.lock().has_work() {
                break;
            }
        }
    }

    /// Takes out routes of ours that lie where none belongs.
    fn clear_strays(&mut self, strays: &[Change], now: Instant) {
        if strays.is_empty() {
            return;
        }
        tracing::info!(routes = strays.len(), "routes of an earlier run have to go");
        for batch in strays.chunks(BATCH) {
            if let Err(error) = self.kernel.write(batch) {
                tracing::warn!("cannot write to the kernel's table: {error}");
                break;
            }
        }
        // A removal names no next hops: one of a route that had gone may have met another.
        self.compare_soon(now);
    }

    /// Waits until the kernel has done what it told of.
    fn settle(&mut self) {
        if let Err(error) = self.kernel.settle() {
            tracing::debug!(%error, "the kernel did not say that it is done");
        }
    }

    /// Writes a batch. False where there is nothing to write, or the kernel cannot be asked at all.
    fn write(&mut self, table: &Shared, now: Instant) -> bool {
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
                let mut table = table.lock();
                changes.iter().for_each(|change| table.again(change.prefix));
                self.compare_at = Some(now + RECOVER);
                self.paused = true;
                return false;
            }
        };
        let mut uncertain = false;
        let mut table = table.lock();
        let mut left = changes.iter();
        for (outcome, change) in outcomes.into_iter().zip(left.by_ref()) {
            if let Err(refusal) = &outcome {
                let delay = if matches!(refusal, Refusal::Busy(_)) {
                    RECOVER
                } else {
                    RETRY
                };
                let at = self.retry_at.unwrap_or(now + delay);
                self.retry_at = Some(at.min(now + delay));
                complain(&mut self.complaint, change.prefix, refusal);
            }
            uncertain |= table.done(change, outcome);
        }
        left.for_each(|change| table.again(change.prefix));
        drop(table);
        if uncertain {
            self.compare_soon(now);
        }
        true
    }

    /// Reads what others did to the end, or at least a lot of it.
    fn drain(&mut self, table: &Shared, now: Instant) {
        for _ in 0..DRAINS {
            self.listen(table, now);
            if !self.more {
                return;
            }
        }
    }

    /// Reads what others did.
    fn listen(&mut self, table: &Shared, now: Instant) {
        let notes = self.kernel.heard();
        self.more = notes.more;
        let mut table = table.lock();
        notes.lost.iter().for_each(|prefix| table.lost(*prefix));
        notes
            .cleared
            .iter()
            .for_each(|prefix| table.cleared(*prefix));
        if notes.resync {
            self.compare_soon(now);
        }
        if notes.resolve || concerns(&notes, &table) {
            let at = self.resolve_rest.max(now + RESOLVE_DELAY);
            self.resolve_at.get_or_insert(at);
        }
    }

    fn compare_soon(&mut self, now: Instant) {
        let at = self.compare_rest.max(now + RESYNC_DELAY);
        self.compare_at.get_or_insert(at);
    }

    fn resolve(&mut self, table: &Shared, hops: &[IpAddr], now: Instant) {
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
                self.resolve_at = Some(now + RECOVER);
            }
        }
        self.resolve_rest = now + begun.elapsed() * RESYNC_REST;
    }
}

/// Says why the kernel refused a route, not for each of many.
fn complain(last: &mut String, prefix: Prefix, refusal: &Refusal) {
    if let Refusal::Busy(why) | Refusal::Other(why) = refusal
        && why != last
    {
        tracing::warn!("the kernel refuses hosts' routes, {prefix} first: {why}");
        last.clone_from(why);
    }
}

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
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
