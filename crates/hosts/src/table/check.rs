//! The comparison with what the kernel has: only differences are work.

use std::collections::HashSet;
use std::sync::Arc;

use thruway_wire::Prefix;

use super::entry::{Entry, Problem};
use super::{Change, ChangeKind, Hop, Table};

/// A route in the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) prefix: Prefix,
    pub(crate) owner: Owner,
    /// In order.
    pub(crate) hops: &'a [Hop],
}

/// Whose route it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It has our protocol number and metric.
    Ours,
    /// Another's with our metric, in our way.
    Foreign,
    /// It has our protocol number, but is not where we put routes: of a run with another metric.
    Stray { metric: u32, tos: u8 },
}

/// A comparison under way.
#[derive(Default)]
pub(super) struct Check {
    /// Its number: entries that were found have it.
    round: u32,
    /// Routes of ours that are not what was thought to be there.
    odd: Vec<(Prefix, Arc<[Hop]>)>,
    /// Prefixes in whose place there is somebody else's route.
    foreign: HashSet<Prefix>,
    strays: Vec<Change>,
}

impl Table {
    /// What the kernel has is told from now on, route by route.
    pub(crate) fn begin_check(&mut self) {
        self.check = Check {
            round: self.check.round.wrapping_add(1),
            ..Check::default()
        };
    }

    /// One route that the kernel has.
    pub(crate) fn see(&mut self, found: Found<'_>) {
        let round = self.check.round;
        let prefix = found.prefix;
        match (found.owner, self.entries.get_mut(&prefix)) {
            (Owner::Stray { metric, tos }, _) => {
                let kind = ChangeKind::Clear { metric, tos };
                self.check.strays.push(Change { prefix, kind });
            }
            (Owner::Foreign, entry) => {
                if entry.is_some() {
                    self.check.foreign.insert(prefix);
                }
            }
            // A route can be told twice where others change the table meanwhile.
            (Owner::Ours, Some(entry)) if entry.installed.as_deref() == Some(found.hops) => {
                entry.seen = round;
            }
            (Owner::Ours, _) => {
                let hops = self.shared(found.hops);
                self.check.odd.push((prefix, hops));
            }
        }
    }

    /// All was told: takes it for what is installed. Routes of ours that nothing has asked for stay
    /// as leftovers where they may, and go where not. Gives strays to take out, and how many routes
    /// were not as they were thought to be.
    pub(crate) fn end_check(&mut self, keep_leftovers: bool) -> (Vec<Change>, usize) {
        let Check {
            round,
            odd,
            foreign,
            strays,
        } = std::mem::take(&mut self.check);
        self.check.round = round;
        let mut differences = odd.len();
        for (prefix, hops) in odd {
            let known = self.entries.contains_key(&prefix);
            self.edit(prefix, true, |entry| {
                if entry.seen == round && entry.installed.as_ref() != Some(&hops) {
                    entry.surplus = true;
                    return;
                }
                entry.seen = round;
                entry.installed = Some(hops);
                entry.lost = false;
                entry.leftover |= !known && keep_leftovers;
            });
        }
        let differs = |(prefix, entry): &(&Prefix, &Entry)| {
            let gone = entry.installed.is_some() && entry.seen != round;
            let cleared = entry.problem == Some(Problem::Foreign)
                && (entry.seen == round || !foreign.contains(*prefix));
            gone || cleared
        };
        let differing = self.entries.iter().filter(differs);
        let differing: Vec<Prefix> = differing.map(|(prefix, _)| *prefix).collect();
        differences += differing.len();
        for prefix in differing {
            self.edit(prefix, true, |entry| {
                if entry.seen != round {
                    entry.forget();
                }
                if entry.problem == Some(Problem::Foreign) {
                    entry.problem = None;
                }
            });
        }
        for prefix in foreign {
            let said = [Some(Problem::Foreign), Some(Problem::Martian)];
            let known = self.entries.get(&prefix);
            if known.is_some_and(|e| e.installed.is_none() && !said.contains(&e.problem)) {
                self.edit(prefix, true, |entry| entry.problem = Some(Problem::Foreign));
            }
        }
        let strays = if keep_leftovers { Vec::new() } else { strays };
        (strays, differences)
    }
}
