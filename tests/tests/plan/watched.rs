//! What is watched: as it is, as it is foretold, and as it is found after the change.

use std::collections::{BTreeMap, BTreeSet};

use thruway_rib::{Extent, Foreseen, GroupId, PeerId, Proposal, Watch, WatchCount, Watched};
use thruway_tests::sim::rng::Rng;
use thruway_tests::sim::world::World;
use thruway_wire::Prefix;

use crate::{Told, told};

/// Some watches, and what they count before a change.
pub(super) struct Watching {
    watches: Vec<Watch>,
}

impl Watching {
    /// Each kind of watch once, over prefixes and sources at random.
    pub(super) fn new(world: &mut World, rng: &mut Rng) -> Self {
        let kinds = [Watched::Advertised, Watched::Best, Watched::Accepted];
        let mut watches = Vec::new();
        for watched in kinds {
            for extent in extents(world, rng) {
                let filtered = watched == Watched::Advertised && rng.one_in(2);
                let sources = world.stations.iter().map(|it| it.peer);
                let sources: Vec<PeerId> = sources.filter(|_| rng.one_in(2)).collect();
                watches.push(Watch {
                    extent,
                    learned_from: filtered.then_some(sources),
                    watched,
                    peers: Vec::new(),
                });
            }
        }
        let mut this = Watching { watches };
        this.place(world);
        this
    }

    /// Names every peer with the group that it is in now.
    fn place(&mut self, world: &mut World) {
        let status = world.status();
        let groups: BTreeMap<PeerId, Option<GroupId>> = status
            .iter()
            .flat_map(|worker| &worker.peers)
            .map(|peer| (peer.peer, peer.group))
            .collect();
        let of = |peer: PeerId| groups.get(&peer).copied().flatten();
        let peers = world.stations.iter().map(|it| (it.peer, of(it.peer)));
        let peers: Vec<_> = peers.collect();
        for watch in &mut self.watches {
            watch.peers.clone_from(&peers);
        }
    }

    pub(super) fn watches(&self) -> Vec<Watch> {
        self.watches.clone()
    }

    /// What was counted before is what hosts had, and what was foretold is what is counted now.
    pub(super) fn check(
        mut self,
        world: &mut World,
        foreseen: &[Foreseen],
        before: &[Told],
        what: &str,
    ) {
        let (now, then) = sums(&self.watches, foreseen);
        self.check_told(world, &now, before, what);
        self.place(world);
        let proposal = Proposal {
            watches: self.watches(),
            ..Proposal::default()
        };
        let (found, _) = world.plan(proposal);
        let (found, _) = sums(&self.watches, &found);
        let after = told(world);
        self.check_told(world, &found, &after, what);
        for ((watch, then), found) in self.watches.iter().zip(&then).zip(&found) {
            let what = format!("{what}: {:?} of {:?}", watch.watched, watch.extent);
            assert_eq!(then.prefixes, found.prefixes, "{what}: prefixes");
            for (at, station) in world.stations.iter().enumerate() {
                let limited = station.config.max_advertised[0].is_some();
                if watch.watched == Watched::Advertised && limited {
                    continue;
                }
                let (then, found) = (&then.peers[at], &found.peers[at]);
                assert_eq!(
                    (then.has, then.lacks),
                    (found.has, found.lacks),
                    "{what}: {:?}",
                    station.peer
                );
            }
        }
        self.check_unstirred(world);
    }

    /// What hosts hold, seen from their side.
    fn check_told(&self, world: &World, counts: &[WatchCount], told: &[Told], what: &str) {
        for (watch, count) in self.watches.iter().zip(counts) {
            if watch.watched != Watched::Advertised || watch.learned_from.is_some() {
                continue;
            }
            for (at, station) in world.stations.iter().enumerate() {
                let prefixes: BTreeSet<Prefix> = told[at].keys().map(|key| key.0).collect();
                let has = prefixes.iter().filter(|it| watch.extent.has(**it)).count();
                assert_eq!(
                    count.peers[at].has, has as i64,
                    "{what}: {:?} advertised to {:?}",
                    watch.extent, station.peer
                );
            }
        }
    }

    /// At rest nothing is counted twice.
    fn check_unstirred(&self, world: &mut World) {
        let proposal = Proposal {
            watches: self.watches(),
            ..Proposal::default()
        };
        let (first, _) = world.plan(proposal.clone());
        let mut stirred = vec![None; first.len()];
        for part in first.iter().filter_map(|part| part.watched.as_ref()) {
            stirred[part.shard.index()] = part.stirred;
        }
        assert!(stirred.iter().any(Option::is_some), "the world is at rest");
        let (again, _) = world.plan(Proposal {
            stirred: stirred.clone(),
            ..proposal
        });
        let counted = again.iter().filter_map(|part| part.watched.as_ref());
        for part in counted {
            assert_eq!(stirred[part.shard.index()], None, "counted again");
        }
    }
}

fn extents(world: &World, rng: &mut Rng) -> Vec<Extent> {
    let known: Vec<Prefix> = world
        .stations
        .iter()
        .flat_map(|station| station.host.table.keys().map(|key| key.0))
        .collect();
    let mut extents = vec![Extent::All];
    if !known.is_empty() {
        let one = known[rng.below(known.len())];
        extents.push(Extent::Exact(one));
        let wide = match one {
            Prefix::V4(_) => "0.0.0.0/1",
            Prefix::V6(_) => "2000::/3",
        };
        extents.push(Extent::Within(wide.parse().expect("a prefix")));
    }
    extents
}

/// What there is, and what would be.
fn sums(watches: &[Watch], foreseen: &[Foreseen]) -> (Vec<WatchCount>, Vec<WatchCount>) {
    let mut now = WatchCount::none(watches);
    let mut then = now.clone();
    for part in foreseen.iter().filter_map(|part| part.watched.as_ref()) {
        for (at, (is, more)) in part.now.iter().zip(&part.then).enumerate() {
            now[at].add(is);
            then[at].add(is);
            then[at].add(more);
        }
    }
    (now, then)
}
