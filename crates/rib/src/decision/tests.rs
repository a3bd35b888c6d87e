//! Each step alone, MED where it is not transitive, and the laws.

use std::sync::Arc;

use proptest::prelude::*;
use thruway_wire::attrs::{AttrSet, AttrSetBuf, OPTIONAL, code};
use thruway_wire::{Asn, Community, RouterId};

use super::*;
use crate::table::paths::Tag;
use crate::tests::{path, profile};
use crate::{PeerProfile, ShardId};

/// A path to put into a contest.
#[derive(Clone, Debug)]
struct Entry {
    peer: PeerProfile,
    set: AttrSetBuf,
    id: u32,
}

fn entry(peer: u16, set: AttrSetBuf) -> Entry {
    Entry {
        peer: profile(peer),
        set,
        id: 0,
    }
}

struct Contest {
    config: DecisionConfig,
    sets: Sets,
    peers: Peers,
    paths: Vec<Path>,
    ids: Vec<u32>,
}

impl Contest {
    fn new(config: DecisionConfig, entries: &[Entry]) -> Contest {
        let mut sets = Sets::new(ShardId(0), 1);
        let mut peers = Peers::default();
        let mut paths = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let handle = Handle::new(0, index as u32);
            sets.put(handle, AttrSet::new(entry.set.as_ref()));
            peers.set(&Arc::new(entry.peer.clone()));
            let digest = Digest::new(entry.peer.rank, entry.set.as_ref().meta);
            let tag = Tag::new(0, 0, false).with_odd(entry.set.as_ref().med().is_some());
            paths.push(Path {
                received: handle,
                accepted: handle,
                peer: entry.peer.id,
                tag,
                digest,
            });
        }
        let ids = entries.iter().map(|entry| entry.id).collect();
        Contest {
            config,
            sets,
            peers,
            paths,
            ids,
        }
    }

    fn judge(&self) -> Judge<'_> {
        Judge {
            config: self.config,
            sets: &self.sets,
            peers: &self.peers,
            family: 0,
        }
    }

    fn best(&self) -> Option<usize> {
        let id = |index: u32| self.ids[index as usize];
        let choice = self.judge().best(&self.paths, &mut Vec::new(), &id)?;
        Some(choice.index)
    }

    fn explain(&self) -> (Option<usize>, Vec<Option<(Step, usize)>>) {
        self.judge().explain(&self.paths, |_| true, &|index: u32| {
            self.ids[index as usize]
        })
    }
}

fn with(asns: &[u32], change: impl FnOnce(&mut AttrSetBuf)) -> AttrSetBuf {
    let mut set = path(asns);
    change(&mut set);
    set
}

/// A row: the step, a path, and one that loses to it at exactly that step though it is better, or as
/// good, in every later one.
type Row = (Step, Entry, Entry);

fn internal(peer: u16, set: AttrSetBuf) -> Entry {
    let mut entry = entry(peer, set);
    entry.peer.internal = true;
    entry
}

fn ranked(peer: u16, rank: u8, set: AttrSetBuf) -> Entry {
    let mut entry = entry(peer, set);
    entry.peer.rank = rank;
    entry
}

fn pref(asns: &[u32], value: u32) -> AttrSetBuf {
    with(asns, |set| set.set_local_pref(Some(value)))
}

/// The steps that a digest decides.
fn early_rows() -> Vec<Row> {
    let stale = with(&[1], |set| set.add_community(Community::LLGR_STALE));
    let origin = |asns: &[u32], value| with(asns, |set| set.set_origin(value));
    let two = || path(&[1, 2]);
    vec![
        (
            Step::LongLivedStale,
            entry(2, path(&[1, 2, 3])),
            ranked(1, 9, stale),
        ),
        (
            Step::Rank,
            ranked(2, 2, two()),
            ranked(1, 1, pref(&[1], 200)),
        ),
        (
            Step::Rank,
            ranked(2, 200, two()),
            ranked(1, 199, pref(&[1], 200)),
        ),
        (
            Step::LocalPref,
            entry(2, pref(&[1, 2], 101)),
            entry(1, path(&[1])),
        ),
        (
            Step::LocalPref,
            entry(2, pref(&[1, 2], 40_000)),
            entry(1, pref(&[1], 30_000)),
        ),
        (Step::LocalPref, entry(2, two()), entry(1, pref(&[1], 0))),
        (Step::AsPathLen, entry(2, origin(&[1], 2)), entry(1, two())),
        (Step::Origin, entry(2, two()), entry(1, origin(&[1, 2], 1))),
    ]
}

/// The steps from MED on.
fn late_rows() -> Vec<Row> {
    let med = |value| with(&[1, 2], |set| set.set_med(Some(value)));
    let clusters = |count: usize| {
        with(&[1, 2], |set| {
            set.set_raw(code::ORIGINATOR_ID, OPTIONAL, &[0, 0, 0, 1]);
            set.set_raw(code::CLUSTER_LIST, OPTIONAL, &vec![7; 4 * count]);
        })
    };
    let two = || path(&[1, 2]);
    let mut addressed = entry(1, two());
    addressed.peer.router_id = RouterId(3);
    let mut second = entry(2, two());
    second.id = 5;
    let mut first = second.clone();
    first.id = 4;
    vec![
        (Step::Med, internal(2, med(4)), entry(1, med(5))),
        (Step::External, entry(2, two()), internal(1, path(&[3, 2]))),
        (Step::RouterId, entry(1, two()), entry(2, two())),
        (Step::RouterId, internal(3, clusters(9)), internal(2, two())),
        (
            Step::ClusterLen,
            internal(3, clusters(1)),
            internal(2, clusters(2)),
        ),
        (Step::PeerAddr, addressed, entry(2, two())),
        (Step::PathId, first, second),
    ]
}

#[test]
fn paths_tie_where_only_the_steps_from_the_router_id_on_tell_them_apart() {
    for (step, better, worse) in early_rows().into_iter().chain(late_rows()) {
        let contest = Contest::new(DecisionConfig::default(), &[worse, better]);
        let top = contest.paths.iter().map(|path| path.digest).max();
        let top = top.expect("two paths");
        let level = (0..).zip(&contest.paths);
        let level = level.filter(|(_, path)| path.digest == top);
        let mut ties: Vec<Candidate> = level
            .map(|(index, path)| Candidate::new(index, path))
            .collect();
        contest.judge().ties(&mut ties, top);
        let indexes: Vec<u32> = ties.iter().map(|tie| tie.index).collect();
        let expected: &[u32] = if step < Step::RouterId { &[1] } else { &[0, 1] };
        assert_eq!(indexes, expected, "{step}");
    }
}

#[test]
fn each_step_decides_alone() {
    for (step, better, worse) in early_rows().into_iter().chain(late_rows()) {
        for swap in [false, true] {
            let mut entries = vec![better.clone(), worse.clone()];
            if swap {
                entries.reverse();
            }
            let contest = Contest::new(DecisionConfig::default(), &entries);
            let best = usize::from(swap);
            assert_eq!(contest.best(), Some(best), "{step}");
            let (first, lost) = contest.explain();
            assert_eq!(first, Some(best), "{step}");
            assert_eq!((lost[best], lost[1 - best]), (None, Some((step, best))));
        }
    }
    assert_eq!(Step::LongLivedStale.number(), 1);
    assert_eq!(Step::PathId.number(), 11);
}

/// A and C are of one neighbour AS: A's MED is lower, B beats A by its identifier, C beats B. So the
/// best of all three is B, of B and C it is C.
fn circle() -> [Entry; 3] {
    let med = |asn, value| with(&[asn, 9], |set| set.set_med(Some(value)));
    [
        entry(3, med(1, 10)),
        entry(2, med(2, 0)),
        entry(1, med(1, 20)),
    ]
}

#[test]
fn med_is_not_transitive_and_no_order_changes_the_answer() {
    let [a, b, c] = circle();
    let best = |entries: &[&Entry], config| {
        let entries: Vec<Entry> = entries.iter().map(|entry| (*entry).clone()).collect();
        entries[Contest::new(config, &entries).best().unwrap()]
            .peer
            .id
            .0
    };
    let config = DecisionConfig::default();
    for order in [
        [&a, &b, &c],
        [&c, &b, &a],
        [&b, &c, &a],
        [&c, &a, &b],
        [&a, &c, &b],
    ] {
        assert_eq!(best(&order, config), 2);
    }
    assert_eq!(best(&[&b, &c], config), 1, "without A, C is not out");
    assert_eq!(best(&[&a, &c], config), 3);
    let always = DecisionConfig {
        always_compare_med: true,
        ..config
    };
    assert_eq!(
        best(&[&b, &c], always),
        2,
        "compared between all, 0 is the lowest"
    );
    let contest = Contest::new(config, &[a, b, c]);
    let (best, lost) = contest.explain();
    assert_eq!(best, Some(1));
    assert_eq!(
        lost,
        [Some((Step::RouterId, 1)), None, Some((Step::Med, 0))]
    );
}

#[test]
fn a_missing_med_is_the_best_or_the_worst() {
    let entries = [
        entry(1, with(&[1], |set| set.set_med(Some(7)))),
        entry(2, path(&[1])),
    ];
    let best = |missing_med_worst| {
        let config = DecisionConfig {
            missing_med_worst,
            ..DecisionConfig::default()
        };
        Contest::new(config, &entries).best()
    };
    assert_eq!((best(false), best(true)), (Some(1), Some(0)));
}

#[test]
fn dead_and_rejected_paths_take_no_part() {
    let mut contest = Contest::new(DecisionConfig::default(), &circle());
    contest.paths[1].digest = Digest::REJECTED;
    assert_eq!(contest.best(), Some(0));
    let family = &mut contest.peers.get_mut(PeerId(3)).unwrap().families[0];
    family.count(0).unwrap().received = 1;
    contest.peers.turn(PeerId(3), 0, Life::Fresh, Life::Dead);
    assert_eq!(contest.best(), Some(2));
    contest.paths.clear();
    assert_eq!(contest.best(), None);
}

fn any_entry(peer: u16) -> impl Strategy<Value = Entry> {
    let asns = prop::collection::vec(1..4u32, 1..4);
    (
        asns,
        prop::option::of(0..3u32),
        prop::option::of(99..102u32),
        0..2u8,
        any::<bool>(),
    )
        .prop_map(move |(asns, med, pref, origin, internal)| {
            let mut set = path(&asns);
            set.set_med(med);
            set.set_local_pref(pref);
            set.set_origin(origin);
            let mut entry = entry(peer, set);
            entry.peer.internal = internal;
            entry.peer.asn = Asn(asns[0]);
            entry
        })
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    (1..8u16).prop_flat_map(|count| (0..count).map(any_entry).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn the_best_depends_on_no_order(
        entries in any_entries(), turn in 0..8usize, always in any::<bool>(), worst in any::<bool>(),
    ) {
        let config = DecisionConfig { always_compare_med: always, missing_med_worst: worst };
        let best = Contest::new(config, &entries).best().unwrap();
        let mut turned = entries.clone();
        let by = turn % entries.len();
        turned.rotate_left(by);
        let other = Contest::new(config, &turned).best().unwrap();
        prop_assert_eq!(entries[best].peer.id, turned[other].peer.id);
        turned.reverse();
        let other = Contest::new(config, &turned).best().unwrap();
        prop_assert_eq!(entries[best].peer.id, turned[other].peer.id);
    }

    #[test]
    fn explain_agrees_with_best_and_gives_each_other_path_a_reason(entries in any_entries()) {
        let contest = Contest::new(DecisionConfig::default(), &entries);
        let (best, lost) = contest.explain();
        prop_assert_eq!(best, contest.best());
        for (index, lost) in lost.iter().enumerate() {
            prop_assert_eq!(lost.is_none(), Some(index) == best);
            prop_assert!(lost.is_none_or(|(_, to)| to != index));
        }
    }

    #[test]
    fn without_med_the_best_stays_the_best_of_any_part(entries in any_entries(), gone in 0..8usize) {
        let mut entries = entries;
        entries.iter_mut().for_each(|entry| entry.set.set_med(None));
        let best = entries[Contest::new(DecisionConfig::default(), &entries).best().unwrap()].peer.id;
        let gone = gone % entries.len();
        if entries[gone].peer.id != best {
            entries.remove(gone);
            let again = Contest::new(DecisionConfig::default(), &entries).best().unwrap();
            prop_assert_eq!(entries[again].peer.id, best);
        }
    }
}
