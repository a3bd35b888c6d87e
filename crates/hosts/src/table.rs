//! Paths of the local session, the next hops that each prefix should have, and what is installed.
//!
//! Nothing in here touches the kernel. A prefix whose paths or next hops change is queued once,
//! however often they change; [`Table::changes`] then gives what the kernel lacks, and
//! [`Table::done`] takes what became of it.

mod check;
mod entry;
mod hops;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use thruway_api::{HostsTotals, HostsView, KernelTable};
use thruway_wire::{Family, Prefix};

use self::check::Check;
pub(crate) use self::check::{Found, Owner};
use self::entry::{Entry, Path, Problem};
pub(crate) use self::hops::{Gateway, Hop, Lookup};
use self::hops::{HopId, NextHops};

/// One thing to do in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) prefix: Prefix,
    pub(crate) kind: ChangeKind,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// The prefix is not there: put it there.
    Add(Arc<[Hop]>),
    /// It is there with other next hops.
    Replace(Arc<[Hop]>),
    /// It is there and should not be.
    Remove,
    /// A route of ours where none belongs: it has this metric and type of service.
    Clear { metric: u32, tos: u8 },
}

/// Why the kernel did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is a route with this prefix and metric already.
    Exists,
    /// There is no such route.
    Missing,
    /// Not now, in words: it lacks memory, or somebody else is at it.
    Busy(String),
    /// Anything else, in words.
    Other(String),
}

/// The hosts' routes.
pub(crate) struct Table {
    kernel: Option<KernelTable>,
    entries: HashMap<Prefix, Entry>,
    hops: NextHops,
    queue: VecDeque<Prefix>,
    /// Number of the stream; paths of an earlier one are stale.
    session: u32,
    /// All routes are to leave the kernel.
    retiring: bool,
    totals: HostsTotals,
    check: Check,
    /// The set computed last: most prefixes share theirs with the one before.
    recent: Arc<[Hop]>,
    scratch: Vec<Hop>,
}

impl Table {
    pub(crate) fn new(kernel: Option<KernelTable>) -> Self {
        Table {
            kernel,
            entries: HashMap::new(),
            hops: NextHops::default(),
            queue: VecDeque::new(),
            session: 0,
            retiring: false,
            totals: HostsTotals::default(),
            check: Check::default(),
            recent: Arc::from([]),
            scratch: Vec::new(),
        }
    }

    /// Where routes go.
    pub(crate) fn kernel(&self) -> Option<KernelTable> {
        self.kernel
    }

    pub(crate) fn totals(&self) -> HostsTotals {
        HostsTotals {
            waiting: self.queue.len() as u64,
            ..self.totals
        }
    }

    pub(crate) fn view(&self, session: String) -> HostsView {
        let installs = self.kernel.is_some();
        let wanted = self.entries.iter().filter(|(_, entry)| entry.is_wanted());
        let mut routes: Vec<_> = wanted
            .map(|(prefix, entry)| entry.view(*prefix, &self.hops, installs))
            .collect();
        routes.sort_unstable_by_key(|route| route.network);
        HostsView {
            session,
            kernel: self.kernel,
            totals: self.totals(),
            routes,
        }
    }

    /// A path was announced.
    pub(crate) fn announce(&mut self, prefix: Prefix, id: u32, next_hop: IpAddr) {
        let hop = self.hops.take(next_hop);
        let path = Path {
            id,
            hop,
            session: self.session,
        };
        let replaced = self.edit(prefix, true, |entry| entry.announce(path));
        if let Some(old) = replaced {
            self.hops.give_back(old);
        }
    }

    /// A path was withdrawn.
    pub(crate) fn withdraw(&mut self, prefix: Prefix, id: u32) {
        let withdrawn = self.edit(prefix, true, |entry| entry.withdraw(id));
        if let Some(hop) = withdrawn {
            self.hops.give_back(hop);
        }
    }

    /// A new stream: paths so far are stale until it brings them again.
    pub(crate) fn begin_session(&mut self) {
        self.session = self.session.wrapping_add(1);
    }

    /// The stream has told all routes of a family: those that are still stale go.
    pub(crate) fn end_of_rib(&mut self, family: Family) {
        let session = self.session;
        let stale: Vec<(Prefix, u32)> = self
            .entries
            .iter()
            .filter(|(prefix, _)| prefix.family() == family)
            .flat_map(|(prefix, entry)| entry.stale(session).map(|id| (*prefix, id)))
            .collect();
        for (prefix, id) in stale {
            self.withdraw(prefix, id);
        }
    }

    /// Next hops that nobody has looked up yet.
    pub(crate) fn unresolved(&mut self) -> Vec<IpAddr> {
        self.hops.take_pending()
    }

    /// Every next hop in use.
    pub(crate) fn next_hops(&self) -> Vec<IpAddr> {
        self.hops.addresses()
    }

    /// What next hops resolve to now. Prefixes with one that resolves otherwise than before are
    /// queued. Gives next hops that cannot be reached any more, or can again.
    pub(crate) fn resolved(
        &mut self,
        found: Vec<(IpAddr, Lookup)>,
    ) -> Vec<(IpAddr, Result<(), String>)> {
        let mut changed: Vec<HopId> = Vec::new();
        let mut news = Vec::new();
        for (addr, lookup) in found {
            let way = lookup.as_ref().map(|_| ()).map_err(Clone::clone);
            let Some((id, was_lost)) = self.hops.set(addr, lookup) else {
                continue;
            };
            changed.push(id);
            if was_lost || way.is_err() {
                news.push((addr, way));
            }
        }
        if changed.is_empty() {
            return news;
        }
        let users = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.uses(&changed));
        let users: Vec<Prefix> = users.map(|(prefix, _)| *prefix).collect();
        for prefix in users {
            self.edit(prefix, true, Entry::reconsider);
        }
        news
    }

    /// What the kernel has, as far as it is known.
    #[cfg(test)]
    pub(crate) fn installed(&self) -> HashMap<Prefix, Arc<[Hop]>> {
        let entries = self.entries.iter();
        entries
            .filter_map(|(prefix, entry)| Some((*prefix, entry.installed.clone()?)))
            .collect()
    }

    /// True where something may have to be written.
    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next changes to make, at most `max`; each has its answer in [`Table::done`].
    pub(crate) fn changes(&mut self, max: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        while changes.len() < max
            && let Some(prefix) = self.queue.pop_front()
        {
            let kind = self.judge(prefix);
            changes.extend(kind.map(|kind| Change { prefix, kind }));
        }
        changes
    }

    /// A change was not made after all.
    pub(crate) fn again(&mut self, prefix: Prefix) {
        self.edit(prefix, true, |_| ());
    }

    /// What became of a change. True where only the kernel's whole table tells what is there.
    pub(crate) fn done(&mut self, change: &Change, outcome: Result<(), Refusal>) -> bool {
        let Change { prefix, kind } = change;
        match (outcome, kind) {
            (Ok(()), ChangeKind::Add(hops) | ChangeKind::Replace(hops)) => {
                self.totals.installed += 1;
                let put_back = self.edit(*prefix, false, |entry| entry.put(hops));
                self.totals.repaired += u64::from(put_back);
            }
            (Ok(()), ChangeKind::Remove) => {
                self.totals.removed += 1;
                self.edit(*prefix, true, Entry::gone);
            }
            // Found by a comparison, and looked for again by the next one.
            (_, ChangeKind::Clear { .. }) => {}
            (Err(Refusal::Exists), _) => {
                self.edit(*prefix, false, |entry| {
                    entry.problem = Some(Problem::Foreign);
                });
                return true;
            }
            (Err(Refusal::Missing), ChangeKind::Replace(_) | ChangeKind::Remove) => {
                self.edit(*prefix, true, Entry::gone);
            }
            (Err(Refusal::Missing), ChangeKind::Add(_)) => {
                self.refuse(*prefix, "the kernel does not know the way", false);
            }
            // What is installed stays until it is tried again, in a moment.
            (Err(Refusal::Busy(text)), _) => self.refuse(*prefix, &text, false),
            // What is installed now is not what should be: it is taken out.
            (Err(Refusal::Other(text)), ChangeKind::Replace(_)) => {
                self.refuse(*prefix, &text, true);
            }
            (Err(Refusal::Other(text)), _) => self.refuse(*prefix, &text, false),
        }
        false
    }

    fn refuse(&mut self, prefix: Prefix, text: &str, queue: bool) {
        let problem = Problem::Refused(Arc::from(text));
        self.edit(prefix, queue, |entry| entry.problem = Some(problem));
    }

    /// Somebody else took a route of ours out of the kernel.
    pub(crate) fn lost(&mut self, prefix: Prefix) {
        let known = self.entries.get(&prefix);
        if known.is_some_and(|entry| entry.installed.is_some()) {
            self.edit(prefix, true, |entry| {
                entry.gone();
                entry.lost = true;
            });
        }
    }

    /// Somebody else's route, which may have been in our way, is gone.
    pub(crate) fn cleared(&mut self, prefix: Prefix) {
        let known = self.entries.get(&prefix);
        if known.is_some_and(|entry| entry.problem == Some(Problem::Foreign)) {
            self.edit(prefix, true, |entry| entry.problem = None);
        }
    }

    /// The network changed: what the kernel refused may be possible now.
    pub(crate) fn retry_refused(&mut self) {
        let refused = self.entries.iter().filter(|(_, entry)| entry.is_refused());
        let refused: Vec<Prefix> = refused.map(|(prefix, _)| *prefix).collect();
        for prefix in refused {
            self.edit(prefix, true, Entry::reconsider);
        }
    }

    /// Leftovers of an earlier run go.
    pub(crate) fn sweep_leftovers(&mut self) {
        let left = self.entries.iter().filter(|(_, entry)| entry.leftover);
        let left: Vec<Prefix> = left.map(|(prefix, _)| *prefix).collect();
        for prefix in left {
            self.edit(prefix, true, |entry| entry.leftover = false);
        }
    }

    /// All routes are to leave the kernel; paths stay.
    pub(crate) fn retire(&mut self) {
        self.retiring = true;
        self.sweep_leftovers();
        self.queue_all();
    }

    /// Routes go elsewhere from now on; what is installed there is not known yet.
    pub(crate) fn move_to(&mut self, kernel: Option<KernelTable>) {
        self.kernel = kernel;
        self.retiring = false;
        self.queue.clear();
        let prefixes: Vec<Prefix> = self.entries.keys().copied().collect();
        for prefix in prefixes {
            self.edit(prefix, false, |entry| {
                entry.queued = false;
                entry.problem = None;
                entry.forget();
                entry.leftover = false;
                entry.lost = false;
            });
        }
        self.hops.forget();
        self.queue_all();
    }

    /// The same table with another bound of next hops, or another wish for the end.
    pub(crate) fn adjust(&mut self, kernel: KernelTable) {
        self.kernel = Some(kernel);
        self.queue_all();
    }

    fn queue_all(&mut self) {
        let prefixes: Vec<Prefix> = self.entries.keys().copied().collect();
        for prefix in prefixes {
            self.edit(prefix, true, |_| ());
        }
    }

    /// Changes an entry, with the counters that go with it; an entry that holds nothing any more is
    /// dropped.
    fn edit<R>(&mut self, prefix: Prefix, queue: bool, change: impl FnOnce(&mut Entry) -> R) -> R {
        let entry = self.entries.entry(prefix).or_default();
        entry.uncount(&mut self.totals);
        let result = change(entry);
        if entry.is_empty() {
            self.entries.remove(&prefix);
            return result;
        }
        entry.count(&mut self.totals);
        if queue && !entry.queued && !entry.leftover && self.kernel.is_some() {
            entry.queued = true;
            self.queue.push_back(prefix);
        }
        result
    }

    /// What the kernel lacks for one prefix.
    fn judge(&mut self, prefix: Prefix) -> Option<ChangeKind> {
        let max = usize::from(self.kernel?.max_paths).max(1);
        let mut hops = std::mem::take(&mut self.scratch);
        let entry = self.entries.get_mut(&prefix)?;
        entry.queued = false;
        hops.clear();
        if !self.retiring && !entry.is_barred() {
            entry.hops(&self.hops, max, &mut hops);
        }
        // No network may route it, whatever policy lets it in: no host sends there.
        let martian = prefix.is_martian();
        let wanted = (!hops.is_empty() && !martian).then(|| self.shared(&hops));
        self.scratch = hops;
        self.edit(prefix, false, |entry| entry.judge(wanted, martian))
    }

    /// The set as it is kept: prefixes in a row mostly have the same.
    fn shared(&mut self, hops: &[Hop]) -> Arc<[Hop]> {
        if *self.recent != *hops {
            self.recent = Arc::from(hops);
        }
        Arc::clone(&self.recent)
    }
}
