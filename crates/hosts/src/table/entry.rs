//! One prefix of the hosts' table.

use std::sync::Arc;

use thruway_api::{HostRoute, HostState, HostsTotals};
use thruway_wire::Prefix;

use super::ChangeKind;
use super::hops::{Hop, HopId, NextHops};

/// A path as the session told it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) id: u32,
    pub(super) hop: HopId,
    pub(super) session: u32,
}

/// Why a prefix is not in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// None of its next hops can be reached.
    NextHops,
    /// The kernel would not have it; in its words.
    Refused(Arc<str>),
    /// A route of somebody else has the prefix and the metric.
    Foreign,
    /// No network may route it.
    Martian,
}

/// What a foreign route's owner should know.
const FOREIGN: &str = "another program's route has this prefix and metric";
/// What a martian's neighbour should know.
const MARTIAN: &str = "martian: no network may route this prefix";

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// One or a few, in no order.
    paths: Vec<Path>,
    /// What the kernel has, as far as it is known.
    pub(super) installed: Option<Arc<[Hop]>>,
    pub(super) problem: Option<Problem>,
    /// In the kernel since an earlier run; nothing has asked for it yet.
    pub(super) leftover: bool,
    /// Somebody else took it out of the kernel.
    pub(super) lost: bool,
    pub(super) queued: bool,
    /// There is more than one route of ours with the prefix and the metric.
    pub(super) surplus: bool,
    /// The comparison that found it in the kernel.
    pub(super) seen: u32,
}

impl Entry {
    /// Adds or replaces a path; gives the next hop of the one that it replaces.
    pub(super) fn announce(&mut self, path: Path) -> Option<HopId> {
        self.leftover = false;
        self.reconsider();
        match self.paths.iter_mut().find(|old| old.id == path.id) {
            Some(old) => Some(std::mem::replace(old, path).hop),
            None => {
                self.paths.push(path);
                None
            }
        }
    }

    /// Takes a path out; gives its next hop.
    pub(super) fn withdraw(&mut self, id: u32) -> Option<HopId> {
        let at = self.paths.iter().position(|path| path.id == id)?;
        self.reconsider();
        Some(self.paths.swap_remove(at).hop)
    }

    /// Ids of paths that the session has not brought.
    pub(super) fn stale(&self, session: u32) -> impl Iterator<Item = u32> + '_ {
        let stale = move |path: &&Path| path.session != session;
        self.paths.iter().filter(stale).map(|path| path.id)
    }

    pub(super) fn uses(&self, hops: &[HopId]) -> bool {
        self.paths.iter().any(|path| hops.contains(&path.hop))
    }

    /// Something is new: what was refused may be possible. A foreign route is still there.
    pub(super) fn reconsider(&mut self) {
        if self.is_refused() {
            self.problem = None;
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.problem, Some(Problem::Refused(_)))
    }

    /// The kernel is not to be asked for it.
    pub(super) fn is_barred(&self) -> bool {
        matches!(self.problem, Some(Problem::Refused(_) | Problem::Foreign))
    }

    /// Hosts should have it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.paths.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.installed.is_none()
    }

    /// The kernel's next hops of its paths: in order, each once, at most `max`.
    pub(super) fn hops(&self, known: &NextHops, max: usize, out: &mut Vec<Hop>) {
        for path in &self.paths {
            let gateways = known.gateways(path.hop).iter();
            out.extend(gateways.map(|gateway| gateway.hop));
        }
        out.sort_unstable();
        out.dedup();
        out.truncate(max);
    }

    /// What the kernel lacks, with `wanted` to be there.
    pub(super) fn judge(
        &mut self,
        wanted: Option<Arc<[Hop]>>,
        martian: bool,
    ) -> Option<ChangeKind> {
        if martian {
            self.problem = self.is_wanted().then_some(Problem::Martian);
        } else if !self.is_barred() {
            let lacks = wanted.is_none() && self.is_wanted();
            self.problem = lacks.then_some(Problem::NextHops);
        }
        match (&self.installed, wanted) {
            // The kernel takes one of several out, and another is in the next one's way: then its
            // table is read again.
            (Some(_), _) if self.surplus => Some(ChangeKind::Remove),
            (None, None) => None,
            (None, Some(hops)) => Some(ChangeKind::Add(hops)),
            (Some(old), Some(hops)) => (*old != hops).then_some(ChangeKind::Replace(hops)),
            (Some(_), None) => Some(ChangeKind::Remove),
        }
    }

    /// It is in the kernel with these next hops. True where it was put back.
    pub(super) fn put(&mut self, hops: &Arc<[Hop]>) -> bool {
        self.installed = Some(Arc::clone(hops));
        self.problem = None;
        std::mem::take(&mut self.lost)
    }

    /// What the kernel has is to be asked again.
    pub(super) fn forget(&mut self) {
        self.lost |= self.installed.take().is_some();
        self.surplus = false;
        if self.problem == Some(Problem::Foreign) {
            self.problem = None;
        }
    }

    /// It is not in the kernel any more.
    pub(super) fn gone(&mut self) {
        self.installed = None;
        self.surplus = false;
    }

    pub(super) fn count(&self, totals: &mut HostsTotals) {
        for (counter, counts) in self.counters(totals) {
            *counter += u64::from(counts);
        }
    }

    pub(super) fn uncount(&self, totals: &mut HostsTotals) {
        for (counter, counts) in self.counters(totals) {
            *counter -= u64::from(counts);
        }
    }

    fn counters<'t>(&self, totals: &'t mut HostsTotals) -> [(&'t mut u64, bool); 4] {
        let wanted = self.is_wanted();
        [
            (&mut totals.routes, wanted),
            (&mut totals.in_kernel, wanted && self.installed.is_some()),
            (&mut totals.errors, wanted && self.problem.is_some()),
            (&mut totals.leftovers, self.leftover),
        ]
    }

    pub(super) fn view(&self, network: Prefix, known: &NextHops, installs: bool) -> HostRoute {
        let mut ids: Vec<HopId> = self.paths.iter().map(|path| path.hop).collect();
        ids.sort_unstable_by_key(|id| known.address(*id));
        ids.dedup();
        let next_hops: Vec<_> = ids.iter().map(|id| known.view(*id)).collect();
        let error = match &self.problem {
            _ if !installs => None,
            None => None,
            Some(Problem::Foreign) => Some(FOREIGN.to_owned()),
            Some(Problem::Martian) => Some(MARTIAN.to_owned()),
            Some(Problem::Refused(text)) => Some(text.to_string()),
            Some(Problem::NextHops) => next_hops.iter().find_map(|hop| hop.error.clone()),
        };
        HostRoute {
            network,
            state: match self.installed {
                Some(_) => HostState::InKernel,
                None => HostState::InRib,
            },
            error,
            next_hops,
        }
    }
}
