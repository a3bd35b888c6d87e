//! Watches: how far routes are as an operator expects them, counted slot by slot.
//!
//! A watch says which prefixes it is about and what of them is counted for whom. It is counted over the live
//! tables, and by a plan over the shadow of what a proposal would make of them, by the same lines: what
//! is foretold is what will be found. Whether the counts are good or bad is not for this crate to say.

use serde::{Deserialize, Serialize};
use thruway_wire::Prefix;

use crate::adj_rib_out::groups::Tables;
use crate::core::Core;
use crate::decision::Candidate;
use crate::plan::routes_now;
use crate::table::{Table, TableKey};
use crate::{GroupId, PeerId, QueryCursor, Shard};

/// Watches that are passed over in the time of a slot.
const WATCHES_A_SLOT: usize = 16;

/// Which prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// All.
    All,
    /// This one.
    Exact(Prefix),
    /// It and all more specific ones.
    Within(Prefix),
}

impl Extent {
    /// True where a prefix is one of them.
    #[must_use]
    pub fn has(&self, prefix: Prefix) -> bool {
        match self {
            Extent::All => true,
            Extent::Exact(one) => *one == prefix,
            Extent::Within(outer) => outer.covers(prefix),
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watched {
    /// Prefixes that the peers are advertised.
    Advertised,
    /// Prefixes whose best path comes from the peers.
    Best,
    /// Paths accepted from the peers.
    Accepted,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which prefixes.
    pub extent: Extent,
    /// Of what is advertised, only routes from these; `None`: all.
    pub learned_from: Option<Vec<PeerId>>,
    /// What of them.
    pub watched: Watched,
    /// For whom, and the group that each is in.
    pub peers: Vec<(PeerId, Option<GroupId>)>,
}

/// What one peer of a watch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCount {
    /// What the watch counts.
    pub has: i64,
    /// Prefixes that others announce, and it is not advertised.
    pub lacks: i64,
    /// One of those that it has, and one that it lacks.
    pub examples: [Option<Prefix>; 2],
}

/// The counts of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchCount {
    /// Prefixes with a path that is accepted.
    pub prefixes: i64,
    /// By peer, in the watch's order.
    pub peers: Vec<PeerCount>,
    /// A prefix whose best path is from none of the peers, and whose it is.
    pub elsewhere: Option<(Prefix, PeerId)>,
}

/// What is known of a prefix.
pub(crate) struct Facts<'a> {
    pub(crate) prefix: Prefix,
    /// Whose accepted paths there are, a peer once for each.
    pub(crate) accepted: &'a [PeerId],
    pub(crate) best: Option<PeerId>,
    /// Whose routes a peer is advertised.
    pub(crate) told: &'a dyn Fn((PeerId, Option<GroupId>)) -> Vec<PeerId>,
}

impl WatchCount {
    /// Nothing counted yet, for each watch.
    #[must_use]
    pub fn none(watches: &[Watch]) -> Vec<WatchCount> {
        let none = |watch: &Watch| WatchCount {
            peers: vec![PeerCount::default(); watch.peers.len()],
            ..WatchCount::default()
        };
        watches.iter().map(none).collect()
    }

    /// Adds what another shard has of each watch.
    pub fn add_all(sums: &mut [WatchCount], parts: &[WatchCount]) {
        for (sum, part) in sums.iter_mut().zip(parts) {
            sum.add(part);
        }
    }

    /// Adds what another shard has.
    pub fn add(&mut self, other: &WatchCount) {
        self.prefixes += other.prefixes;
        self.elsewhere = self.elsewhere.or(other.elsewhere);
        for (sum, part) in self.peers.iter_mut().zip(&other.peers) {
            sum.has += part.has;
            sum.lacks += part.lacks;
            for (own, others) in sum.examples.iter_mut().zip(part.examples) {
                *own = own.or(others);
            }
        }
    }

    /// Counts a prefix in, or out again (`sign` -1).
    fn count(&mut self, watch: &Watch, facts: &Facts<'_>, sign: i64) {
        let example = |place: &mut Option<Prefix>| {
            if sign > 0 {
                place.get_or_insert(facts.prefix);
            }
        };
        let from = |peer: &PeerId| match &watch.learned_from {
            None => true,
            Some(sources) => sources.contains(peer),
        };
        self.prefixes += sign * i64::from(facts.best.is_some());
        for (count, (peer, group)) in self.peers.iter_mut().zip(&watch.peers) {
            match watch.watched {
                Watched::Advertised => {
                    let told = (facts.told)((*peer, *group)).iter().any(from);
                    let others = |source: &&PeerId| *source != peer && from(source);
                    let [has, lacks] = &mut count.examples;
                    if told {
                        count.has += sign;
                        example(has);
                    } else if facts.accepted.iter().any(|it| others(&it)) {
                        count.lacks += sign;
                        example(lacks);
                    }
                }
                Watched::Best => count.has += sign * i64::from(facts.best == Some(*peer)),
                Watched::Accepted => {
                    let own = facts.accepted.iter().filter(|source| *source == peer);
                    count.has += sign * own.count() as i64;
                }
            }
        }
        if let (Watched::Best, Some(best), true) = (watch.watched, facts.best, sign > 0)
            && !watch.peers.iter().any(|(peer, _)| *peer == best)
        {
            self.elsewhere.get_or_insert((facts.prefix, best));
        }
    }
}

/// Counts a prefix for every watch that is about it.
pub(crate) fn count(counts: &mut [WatchCount], watches: &[Watch], facts: &Facts<'_>, sign: i64) {
    for (count, watch) in counts.iter_mut().zip(watches) {
        if watch.extent.has(facts.prefix) {
            count.count(watch, facts, sign);
        }
    }
}

/// What a prefix takes of a slice's budget, beside a slot that is passed.
pub(crate) fn cost(watches: &[Watch], prefix: Prefix) -> u32 {
    let about = watches.iter().filter(|watch| watch.extent.has(prefix));
    let looks: usize = about.map(|watch| 1 + watch.peers.len()).sum();
    let passed = watches.len() / WATCHES_A_SLOT;
    u32::try_from(looks + passed).unwrap_or(u32::MAX)
}

/// Whose accepted paths a slot has, and whose is the best.
pub(crate) fn sources<P: TableKey>(
    core: &Core,
    table: &Table<P>,
    slot: u32,
    candidates: &mut Vec<Candidate>,
) -> (Vec<PeerId>, Option<PeerId>) {
    let paths = table.paths(slot);
    let judge = core.judge(P::INDEX);
    let path_id = |index: u32| {
        let path = paths.get(index as usize);
        path.map_or(0, |path| table.path_id(slot, path))
    };
    let best = judge.best_where(paths, candidates, &path_id, |path| judge.visible(path));
    let best = best.and_then(|best| Some(paths.get(best.index)?.peer));
    let accepted = paths.iter().filter(|path| judge.visible(path));
    (accepted.map(|path| path.peer).collect(), best)
}

/// A count over the live tables of a shard, between slices.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    cursor: QueryCursor,
    candidates: Vec<Candidate>,
}

impl Shard {
    /// What changes whenever a count could: equal, and there is nothing to count anew. `None` while something
    /// goes on whose end is not in it yet.
    #[must_use]
    pub fn stirred(&self) -> Option<u64> {
        let counters = self.counters();
        let parts = [
            counters.announced,
            counters.withdrawn,
            self.log_end(),
            self.advertised_upto(),
            counters.paths.iter().map(|paths| u64::from(*paths)).sum(),
        ];
        let mix =
            |sum: u64, part: &u64| sum.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(*part);
        self.idle().then(|| parts.iter().fold(0, mix))
    }

    /// Goes on with a count, `budget` slots at most. True where it is complete.
    pub(crate) fn watch(
        &self,
        watching: &mut Watching,
        watches: &[Watch],
        counts: &mut [WatchCount],
        mut budget: u32,
    ) -> bool {
        let Tables { v4, v6 } = &self.tables;
        let exact = |watch: &Watch| matches!(watch.extent, Extent::Exact(_));
        if watches.iter().all(exact) {
            let mut prefixes: Vec<Prefix> = Vec::new();
            for watch in watches {
                if let Extent::Exact(prefix) = watch.extent
                    && !prefixes.contains(&prefix)
                {
                    prefixes.push(prefix);
                }
            }
            for prefix in prefixes {
                match prefix {
                    Prefix::V4(prefix) => self.watch_one(v4, prefix, watching, watches, counts),
                    Prefix::V6(prefix) => self.watch_one(v6, prefix, watching, watches, counts),
                }
            }
            return true;
        }
        if watching.cursor.family == 0 {
            if !self.watch_slots(v4, watching, watches, counts, &mut budget) {
                return false;
            }
            watching.cursor = QueryCursor { family: 1, slot: 0 };
        }
        self.watch_slots(v6, watching, watches, counts, &mut budget)
    }

    fn watch_one<P: TableKey>(
        &self,
        table: &Table<P>,
        prefix: P,
        watching: &mut Watching,
        watches: &[Watch],
        counts: &mut [WatchCount],
    ) {
        if let Some(slot) = table.find(table.hash(&prefix), &prefix) {
            self.watch_slot(table, (slot, prefix), watching, watches, counts);
        }
    }

    fn watch_slots<P: TableKey>(
        &self,
        table: &Table<P>,
        watching: &mut Watching,
        watches: &[Watch],
        counts: &mut [WatchCount],
        budget: &mut u32,
    ) -> bool {
        while watching.cursor.slot < table.len() {
            let Some(left) = budget.checked_sub(1) else {
                return false;
            };
            *budget = left;
            let slot = watching.cursor.slot;
            watching.cursor.slot += 1;
            let used = table.slot(slot).filter(|slot| slot.is_used());
            let Some(prefix) = used.map(|slot| slot.prefix()) else {
                continue;
            };
            if watches.iter().any(|watch| watch.extent.has(prefix.into())) {
                self.watch_slot(table, (slot, prefix), watching, watches, counts);
            }
            *budget = budget.saturating_sub(cost(watches, prefix.into()));
        }
        true
    }

    fn watch_slot<P: TableKey>(
        &self,
        table: &Table<P>,
        (slot, prefix): (u32, P),
        watching: &mut Watching,
        watches: &[Watch],
        counts: &mut [WatchCount],
    ) {
        let (accepted, best) = sources(&self.core, table, slot, &mut watching.candidates);
        let facts = Facts {
            prefix: prefix.into(),
            accepted: &accepted,
            best,
            told: &|receiver| self.told::<P>(slot, receiver),
        };
        count(counts, watches, &facts, 1);
    }

    /// Whose routes a receiver is advertised of a slot.
    pub(crate) fn told<P: TableKey>(
        &self,
        slot: u32,
        (peer, group): (PeerId, Option<GroupId>),
    ) -> Vec<PeerId> {
        let group = group.and_then(|group| self.groups.get(group));
        let Some(group) = group.filter(|group| group.members.has(peer)) else {
            return Vec::new();
        };
        let routes = routes_now::<P>(group, slot, peer);
        routes.into_iter().map(|(_, _, source)| source).collect()
    }
}
