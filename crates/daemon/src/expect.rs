//! Expectations: from what the configuration says to what shards count, and from counts to a judgement.
//!
//! The running server watches them (`watch`), and a plan judges what would come of a change by the same
//! lines.

pub(super) mod watch;

use std::collections::{BTreeSet, HashMap};

use thruway_api::{ExpectationState, PlannedExpectation};
use thruway_config::{Bounds, Claim, Config, Expect, Peer, Who};
use thruway_engine::status::PeerStatus;
use thruway_exchange::Kind;
use thruway_rib::{Extent, PeerCount, PeerId, Watch, WatchCount, Watched};
use thruway_wire::{Family, Prefix};

use super::local::LOCAL_NAME;
use super::plan::HOSTS;
use crate::view::Snapshot;

/// An expectation with those whom it is about, as they are at a moment.
pub(super) struct Asked<'a> {
    expect: &'a Expect,
    /// Its peers, in the order of the watch's.
    peers: Vec<&'a PeerStatus>,
    watch: Option<Watch>,
}

/// A judgement: how it stands, and why.
pub(super) type Judgement = (ExpectationState, String);

/// Every expectation of a configuration, ready to be counted.
pub(super) fn asked<'a>(config: &'a Config, snapshot: &'a Snapshot) -> Vec<Asked<'a>> {
    let files: HashMap<&str, &Peer> = config
        .peers
        .iter()
        .map(|file| (file.name.as_str(), file))
        .collect();
    let file = |peer: &PeerStatus| {
        files
            .get(peer.range.as_deref().unwrap_or(&peer.name))
            .copied()
    };
    let known: Vec<Known<'a>> = snapshot.peers().map(|peer| (peer, file(peer))).collect();
    let of = |expect| Asked::new(config, &known, expect);
    config.expect.iter().map(of).collect()
}

/// A session, and the file's part of it.
type Known<'a> = (&'a PeerStatus, Option<&'a Peer>);

/// What shards are to count.
pub(super) fn watches(asked: &[Asked<'_>]) -> Vec<Watch> {
    asked.iter().filter_map(|one| one.watch.clone()).collect()
}

/// Sessions at the moment that is judged.
#[derive(Default)]
pub(super) struct Sessions {
    /// Those that are not there any more.
    pub(super) down: BTreeSet<PeerId>,
    /// Peers that are new, or come back: nobody waits for their sessions yet.
    pub(super) fresh: BTreeSet<String>,
}

/// Judges each by the counts of [`watches`].
pub(super) fn judge(
    asked: &[Asked<'_>],
    counts: &[WatchCount],
    config: &Config,
    snapshot: &Snapshot,
    sessions: &Sessions,
) -> Vec<Judgement> {
    let mut counts = counts.iter();
    let judged = asked.iter().map(|one| match &one.watch {
        None => one.sessions(config, snapshot, sessions),
        Some(_) => match counts.next() {
            Some(count) => one.routes(count, snapshot, &sessions.down),
            None => (ExpectationState::Unjudged, "not counted".to_owned()),
        },
    });
    judged.collect()
}

/// What a change does to each expectation of the new configuration. `was` are the judgements of today.
pub(super) fn planned(
    asked: &[Asked<'_>],
    was: Vec<Judgement>,
    then: Vec<Judgement>,
) -> Vec<PlannedExpectation> {
    let both = was.into_iter().zip(then);
    let planned = asked.iter().zip(both).map(|(one, (was, then))| {
        use ExpectationState::Broken;
        PlannedExpectation {
            name: one.expect.name.clone(),
            now: was.0,
            then: then.0,
            breaks: was.0 != Broken && then.0 == Broken,
            detail: then.1,
        }
    });
    planned.collect()
}

impl<'a> Asked<'a> {
    /// What limits let through of what is counted, by `most`: how many of these families at most there may be
    /// of a peer, where one bounds them.
    pub(super) fn limit(
        &self,
        count: &mut WatchCount,
        most: impl Fn(Watched, &PeerStatus, &[Family]) -> Option<u64>,
    ) {
        let Some(watch) = &self.watch else {
            return;
        };
        let families: &[Family] = match self.expect.extent {
            Extent::All => &Family::ALL,
            Extent::Exact(prefix) | Extent::Within(prefix) => match prefix.family() {
                Family::Ipv4 => &[Family::Ipv4],
                Family::Ipv6 => &[Family::Ipv6],
            },
        };
        for (peer, count) in self.peers.iter().zip(&mut count.peers) {
            let Some(most) = most(watch.watched, peer, families) else {
                continue;
            };
            let over = count.has - count.has.min(i64::try_from(most).unwrap_or(i64::MAX));
            count.has -= over;
            count.lacks += over;
        }
    }

    /// What of it shards count.
    pub(super) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    fn new(config: &Config, known: &[Known<'a>], expect: &'a Expect) -> Self {
        let all = |list: &[Who]| -> Vec<&'a PeerStatus> {
            let mine = known.iter();
            let mine = mine.filter(|peer| list.iter().any(|who| is(who, config, peer)));
            mine.map(|(peer, _)| *peer).collect()
        };
        let (watched, peers) = match &expect.claim {
            Claim::Advertised(to, _) | Claim::Never(to) => {
                let mut up = all(to);
                up.retain(|peer| peer.since.is_some());
                (Some(Watched::Advertised), up)
            }
            Claim::BestFrom(from) => (Some(Watched::Best), all(from)),
            Claim::Accepted(from, _) => (Some(Watched::Accepted), all(from)),
            Claim::Sessions(_) => (None, Vec::new()),
        };
        let sources = &expect.learned_from;
        let learned_from =
            (!sources.is_empty()).then(|| all(sources).iter().map(|peer| peer.peer).collect());
        let watch = watched.map(|watched| Watch {
            extent: expect.extent,
            learned_from,
            watched,
            peers: peers.iter().map(|peer| (peer.peer, peer.group)).collect(),
        });
        Asked {
            expect,
            peers,
            watch,
        }
    }

    /// All sessions that the configuration has of them are Established.
    fn sessions(&self, config: &Config, snapshot: &Snapshot, then: &Sessions) -> Judgement {
        let Claim::Sessions(who) = &self.expect.claim else {
            return (ExpectationState::Unjudged, String::new());
        };
        let up = |peer: &&PeerStatus| peer.since.is_some() && !then.down.contains(&peer.peer);
        // A range has no number of sessions: one will do.
        let is_up = |file: &Peer| {
            let mine = |peer: &PeerStatus| peer.range.as_deref().unwrap_or(&peer.name) == file.name;
            snapshot.peers().filter(up).any(mine)
        };
        let wanted = config.peers.iter();
        let wanted = wanted.filter(|file| who.iter().any(|who| who.is(file)));
        let missing: Vec<&str> = wanted
            .filter(|file| !is_up(file) && (file.shutdown || !then.fresh.contains(&file.name)))
            .map(|file| file.name.as_str())
            .collect();
        match missing.as_slice() {
            [] => (ExpectationState::Holds, "all are Established".to_owned()),
            [one] => broken(format!("{one} has no session")),
            [one, more @ ..] => broken(format!("{one} and {} more have no session", more.len())),
        }
    }

    /// What the counts say.
    fn routes(
        &self,
        count: &WatchCount,
        snapshot: &Snapshot,
        down: &BTreeSet<PeerId>,
    ) -> Judgement {
        let counts = self.peers.iter().zip(&count.peers);
        let up = counts
            .clone()
            .filter(|(peer, _)| !down.contains(&peer.peer));
        let within = |peers: Vec<(&&PeerStatus, &PeerCount)>, bounds: &Bounds, what: &str| {
            let judged = peers.into_iter();
            judged
                .map(|(peer, count)| within(name(peer), count.has, bounds, what))
                .reduce(worse)
                .unwrap_or_else(|| unjudged("none of them is there"))
        };
        let all = |one: &dyn Fn(&PeerStatus, &PeerCount) -> Option<String>, good: &str| {
            let mut up = up.clone().peekable();
            if up.peek().is_none() {
                return unjudged("none of them has a session");
            }
            let found = up.find_map(|(peer, count)| one(peer, count));
            found.map_or_else(|| (ExpectationState::Holds, good.to_owned()), broken)
        };
        match &self.expect.claim {
            Claim::Advertised(_, bounds) if *bounds == Bounds::default() => all(
                &|peer, of| self.lacks(peer, of, count),
                "each is advertised",
            ),
            Claim::Advertised(_, bounds) => within(up.collect(), bounds, "advertised"),
            Claim::Never(_) => all(
                &|peer, count| {
                    let [example, _] = count.examples;
                    (count.has > 0).then(|| told("is advertised", example, name(peer), count.has))
                },
                "none is advertised",
            ),
            Claim::BestFrom(_) => self.best(count, snapshot),
            // Of who has no session nothing is accepted, but what a graceful restart keeps.
            Claim::Accepted(_, bounds) => within(counts.collect(), bounds, "accepted"),
            Claim::Sessions(_) => (ExpectationState::Unjudged, String::new()),
        }
    }

    /// What a receiver should have and has not.
    fn lacks(&self, peer: &PeerStatus, count: &PeerCount, all: &WatchCount) -> Option<String> {
        let name = name(peer);
        match (self.expect.extent, count.lacks) {
            (Extent::Exact(prefix), _) => {
                // Whoever announces it itself cannot have it from us.
                let missing = count.has == 0 && (count.lacks > 0 || all.prefixes == 0);
                missing.then(|| format!("{prefix} is not advertised to {name}"))
            }
            (_, 0) => None,
            (_, lacks) => {
                let [_, example] = count.examples;
                Some(told("is not advertised", example, name, lacks))
            }
        }
    }

    fn best(&self, count: &WatchCount, snapshot: &Snapshot) -> Judgement {
        if let (Extent::Exact(prefix), 0) = (self.expect.extent, count.prefixes) {
            return broken(format!("{prefix} is not there"));
        }
        let own: i64 = count.peers.iter().map(|peer| peer.has).sum();
        if own >= count.prefixes {
            return holds(count);
        }
        let example = count.elsewhere.map_or_else(
            || format!("{} prefixes come from elsewhere", count.prefixes - own),
            |(prefix, peer)| {
                let from = snapshot
                    .get(peer)
                    .map_or("a peer that is gone", |it| name(it));
                format!("the best path of {prefix} comes from {from}")
            },
        );
        broken(example)
    }
}

fn is(who: &Who, config: &Config, (peer, file): &Known<'_>) -> bool {
    if *peer.name == *LOCAL_NAME && config.exchange.is_some() {
        return *who == Who::Kind(Kind::Network);
    }
    let named = matches!(who, Who::Name(name) if *name == *peer.name);
    named || file.is_some_and(|file| who.is(file))
}

/// As people call it.
fn name(peer: &PeerStatus) -> &str {
    match &*peer.name {
        LOCAL_NAME => HOSTS,
        name => name,
    }
}

/// What is wrong with one prefix, and with how many.
fn told(what: &str, example: Option<Prefix>, to: &str, count: i64) -> String {
    match (example, count) {
        (Some(prefix), 1) => format!("{prefix} {what} to {to}"),
        (Some(prefix), many) => format!("{prefix} {what} to {to} ({many} prefixes in all)"),
        (None, many) => format!("{many} prefixes: each {what} to {to}"),
    }
}

fn within(name: &str, has: i64, bounds: &Bounds, what: &str) -> Judgement {
    let text = format!("{has} {what}: {name}");
    match bounds {
        Bounds { max: Some(max), .. } if has > i64::from(*max) => {
            broken(format!("{text}, at most {max} expected"))
        }
        Bounds { min: Some(min), .. } if has < i64::from(*min) => {
            broken(format!("{text}, at least {min} expected"))
        }
        _ => (ExpectationState::Holds, text),
    }
}

fn worse(a: Judgement, b: Judgement) -> Judgement {
    if b.0 == ExpectationState::Broken && a.0 != ExpectationState::Broken {
        b
    } else {
        a
    }
}

fn holds(count: &WatchCount) -> Judgement {
    let text = match count.prefixes {
        1 => "1 prefix".to_owned(),
        many => format!("{many} prefixes"),
    };
    (ExpectationState::Holds, text)
}

fn broken(why: String) -> Judgement {
    (ExpectationState::Broken, why)
}

fn unjudged(why: &str) -> Judgement {
    (ExpectationState::Unjudged, why.to_owned())
}
