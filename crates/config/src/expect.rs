//! `[[expect]]`: what must stay true of the network.
//!
//! Read here, judged by the daemon: this room knows who is meant and what can never hold, and nothing of routes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thruway_exchange::Kind;
use thruway_rib::{Extent, LimitAction};
use thruway_wire::{Family, Prefix};

use super::limits::EXPECTATIONS_MAX;
use super::reader::{Reader, Section, Spot, keys, tables_of};
use super::resolve::Place;
use super::suggest::hint;
use super::value::Many;
use super::{Mode, Peer};

/// What the network's own session is called where it stands for its hosts.
const HOSTS: &str = "hosts";
/// Every peer.
const ALL: &str = "all";
/// Characters of a name at most.
const NAME_MAX: usize = 64;
/// Keys that say what is expected.
const CLAIMS: [&str; 5] = [
    "advertised-to",
    "never-advertised-to",
    "best-from",
    "accepted-from",
    "sessions",
];
/// What a kind's name follows.
const KIND: &str = "kind:";

keys! {
    /// Keys of `[[expect]]`.
    pub(super) struct ExpectKeys {
        name: String = "name",
        prefix: Prefix = "prefix",
        within: Prefix = "within",
        learned_from: Many<Who> = "learned-from",
        advertised_to: Many<Who> = "advertised-to",
        never_advertised_to: Many<Who> = "never-advertised-to",
        best_from: Many<Who> = "best-from",
        accepted_from: Many<Who> = "accepted-from",
        sessions: Many<Who> = "sessions",
        min: u32 = "min",
        max: u32 = "max",
    }
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expect {
    /// Its name, unique.
    pub name: String,
    /// Which prefixes it is about.
    pub extent: Extent,
    /// Only routes from these; empty: from everybody.
    pub learned_from: Vec<Who>,
    /// What is expected.
    pub claim: Claim,
}

/// What is expected of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Claim {
    /// Each that there is is advertised to each of these; or so many of them, where there are bounds.
    Advertised(Vec<Who>, Bounds),
    /// None is advertised to any of these.
    Never(Vec<Who>),
    /// The best path of each comes from one of these.
    BestFrom(Vec<Who>),
    /// So many paths are accepted from each of these.
    Accepted(Vec<Who>, Bounds),
    /// All sessions of these are Established.
    Sessions(Vec<Who>),
}

/// From so many to so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// At least.
    pub min: Option<u32>,
    /// At most.
    pub max: Option<u32>,
}

/// Whom an expectation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Who {
    /// A peer, a range of peers, an NVA or a gateway.
    Name(String),
    /// All of a kind.
    Kind(Kind),
    /// Everybody.
    All,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Name(name) => f.write_str(name),
            Who::Kind(Kind::Network) => f.write_str(HOSTS),
            Who::Kind(kind) => write!(f, "{KIND}{}", kind.as_str()),
            Who::All => f.write_str(ALL),
        }
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == ALL {
            return Ok(Who::All);
        }
        if text == HOSTS {
            return Ok(Who::Kind(Kind::Network));
        }
        let Some(name) = text.strip_prefix(KIND) else {
            return Ok(Who::Name(text.to_owned()));
        };
        let names = Kind::ALL.map(Kind::as_str);
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
        kind.map(Who::Kind).ok_or_else(|| {
            format!(
                "no kind has the name `{name}`{}",
                hint(name, names.into_iter())
            )
        })
    }
}

impl Who {
    /// True for a peer of the configuration, and for those of its range.
    #[must_use]
    pub fn is(&self, peer: &Peer) -> bool {
        match self {
            Who::Name(name) => *name == peer.name || peer.site.as_ref() == Some(name),
            Who::Kind(kind) => peer.kind == Some(*kind),
            Who::All => true,
        }
    }
}

/// Reads all of them. `peers` and `mode` say whom they may be about.
pub(super) fn read(
    top: &Section<'_>,
    peers: &[(Peer, Place)],
    mode: Mode,
    reader: &mut Reader,
) -> Vec<Expect> {
    let Some(value) = top.value("expect") else {
        return Vec::new();
    };
    let list = tables_of(value, ("expect", "expectations"), reader);
    if list.len() > EXPECTATIONS_MAX {
        let line = reader.line(value.span());
        let message = format!("{} expectations, {EXPECTATIONS_MAX} at most", list.len());
        reader.error(line, "expect", message);
        return Vec::new();
    }
    let mut names = BTreeMap::new();
    let mut all = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("expect[{}]", index + 1);
        let Some(section) = Section::new(value, path, reader) else {
            continue;
        };
        section.check_keys(&[ExpectKeys::KEYS], reader);
        let keys = ExpectKeys::read(&section, reader);
        keys.check_who(peers, mode, reader);
        let Some(expect) = keys.into_expect(&section, reader) else {
            continue;
        };
        if let Some(first) = names.insert(expect.name.clone(), section.line) {
            let message = format!("the expectation in line {first} has the same name");
            reader.error(section.line, &section.key("name"), message);
        }
        warn_never(&expect, peers, section.line, reader);
        all.push(expect);
    }
    warn_against(&all, peers, &names, reader);
    all
}

impl ExpectKeys {
    /// Whoever is named is there.
    fn check_who(&self, peers: &[(Peer, Place)], mode: Mode, reader: &mut Reader) {
        let lists = [
            &self.learned_from,
            &self.advertised_to,
            &self.never_advertised_to,
            &self.best_from,
            &self.accepted_from,
            &self.sessions,
        ];
        let names: BTreeSet<&str> = peers
            .iter()
            .flat_map(|(peer, _)| [Some(peer.name.as_str()), peer.site.as_deref()])
            .flatten()
            .collect();
        for spot in lists.into_iter().flatten().flat_map(|list| &list.value.0) {
            match &spot.value {
                Who::Name(name) if !names.contains(name.as_str()) => {
                    let hint = hint(name, names.iter().copied());
                    let message = format!("no peer, NVA or gateway has the name `{name}`{hint}");
                    reader.error_at(spot, message);
                }
                Who::Kind(_) if mode != Mode::Exchange => {
                    let message = "only peers of a virtual network (mode `exchange`) have a kind";
                    reader.error_at(spot, message);
                }
                _ => {}
            }
        }
    }

    fn into_expect(self, section: &Section<'_>, reader: &mut Reader) -> Option<Expect> {
        let place = |key: &str| section.key(key);
        let Some(name) = self.name.clone() else {
            if section.value("name").is_none() {
                reader.error(section.line, &place("name"), "it needs a name");
            }
            return None;
        };
        let plain = |it: char| !it.is_control() && !it.is_whitespace();
        let len = name.value.chars().count();
        if !(1..=NAME_MAX).contains(&len) || !name.value.chars().all(plain) {
            let message = format!("1 to {NAME_MAX} characters without spaces are needed");
            reader.error_at(&name, message);
            return None;
        }
        let extent = match (&self.prefix, &self.within) {
            (Some(_), Some(within)) => {
                reader.error_at(within, "either `prefix` or `within`, not both");
                return None;
            }
            (Some(prefix), None) => Extent::Exact(prefix.value),
            (None, Some(within)) => Extent::Within(within.value),
            (None, None) => Extent::All,
        };
        let learned_from = self.learned_from.clone();
        let claim = self.claim(section, reader)?;
        let of_routes = extent != Extent::All || learned_from.is_some();
        if matches!(claim, Claim::Sessions(_)) && of_routes {
            let message = "`sessions` is about no prefix and no source";
            reader.error(section.line, &place("sessions"), message);
            return None;
        }
        if let (Claim::BestFrom(_) | Claim::Accepted(..), Some(spot)) = (&claim, &learned_from) {
            let message = "it goes with `advertised-to` and `never-advertised-to` only";
            reader.error_at(spot, message);
            return None;
        }
        Some(Expect {
            name: name.value,
            extent,
            learned_from: learned_from.map_or_else(Vec::new, |list| list.value.values()),
            claim,
        })
    }

    fn claim(self, section: &Section<'_>, reader: &mut Reader) -> Option<Claim> {
        let bounds = Bounds {
            min: self.min.as_ref().map(|spot| spot.value),
            max: self.max.as_ref().map(|spot| spot.value),
        };
        if let (
            Bounds {
                min: Some(min),
                max: Some(max),
            },
            Some(spot),
        ) = (bounds, &self.max)
            && min > max
        {
            reader.error_at(
                spot,
                format!("it is below `min`, which is {min}: this can never hold"),
            );
            return None;
        }
        let mut claims = Vec::new();
        let mut claim = |list: Option<Spot<Many<Who>>>, of: &dyn Fn(Vec<Who>) -> Claim| {
            if let Some(list) = list {
                claims.push(of(list.value.values()));
            }
        };
        claim(self.advertised_to, &|to| Claim::Advertised(to, bounds));
        claim(self.never_advertised_to, &Claim::Never);
        claim(self.best_from, &Claim::BestFrom);
        claim(self.accepted_from, &|from| Claim::Accepted(from, bounds));
        claim(self.sessions, &Claim::Sessions);
        let bounded = bounds != Bounds::default();
        // What could not be read has been said.
        let unread = |key: &&str| section.value(key).is_some();
        let keys = CLAIMS.iter().filter(|key| unread(key)).count();
        let bounds_unread = [("min", bounds.min), ("max", bounds.max)]
            .iter()
            .any(|(key, read)| read.is_none() && section.value(key).is_some());
        if keys > claims.len() || bounds_unread {
            return None;
        }
        let message = match claims.as_slice() {
            [Claim::Accepted(..)] if !bounded => "`accepted-from` needs `min` or `max`",
            [Claim::Advertised(..) | Claim::Accepted(..)] => return claims.pop(),
            [_] if bounded => "`min` and `max` go with `advertised-to` and `accepted-from` only",
            [_] => return claims.pop(),
            [] => {
                "it needs one of `advertised-to`, `never-advertised-to`, `best-from`, \
                 `accepted-from`, `sessions`"
            }
            _ => "it says several things: an expectation for each",
        };
        reader.error(section.line, &section.path, message);
        None
    }
}

/// What the rest of the file makes impossible.
fn warn_never(expect: &Expect, peers: &[(Peer, Place)], line: usize, reader: &mut Reader) {
    let key = format!("expect.{}", expect.name);
    let mut warn = |why: String| reader.warn(line, &key, format!("it can never hold: {why}"));
    let of = |who: &Who| -> Vec<&Peer> {
        let all = peers.iter().map(|(peer, _)| peer);
        all.filter(|peer| who.is(peer)).collect()
    };
    let all = |list: &[Who]| -> Vec<&Peer> { list.iter().flat_map(of).collect() };
    match &expect.claim {
        Claim::Advertised(to, bounds) => {
            let min = match (expect.extent, *bounds == Bounds::default()) {
                (Extent::Exact(_), true) => 1,
                _ => bounds.min.unwrap_or(0),
            };
            if let (Extent::Exact(prefix), 2..) = (expect.extent, min) {
                warn(format!("{prefix} is one prefix, not {min}"));
            }
            for peer in all(to) {
                if let Some(why) = deaf(peer, expect, *bounds, min) {
                    warn(why);
                }
            }
        }
        Claim::BestFrom(from) => {
            let why = all(from).into_iter().map(mute);
            let why: Option<Vec<String>> = why.collect();
            if let Some(first) = why.and_then(|why| why.into_iter().next()) {
                warn(first);
            }
        }
        Claim::Accepted(from, bounds) => {
            let min = bounds.min.unwrap_or(0);
            for peer in all(from).into_iter().filter(|_| min > 0) {
                if let Some(why) = mute(peer).or_else(|| too_few(peer, min)) {
                    warn(why);
                }
            }
        }
        Claim::Sessions(of_whom) => {
            for who in of_whom.iter().filter(|who| of(who).is_empty()) {
                reader.warn(line, &key, format!("it is about nobody: there is no {who}"));
            }
            for peer in all(of_whom).into_iter().filter(|peer| peer.shutdown) {
                let message = format!("it can never hold: `shutdown` holds `{}` down", peer.name);
                reader.warn(line, &key, message);
            }
        }
        Claim::Never(_) => {}
    }
}

fn is_reject(policy: Option<&String>) -> bool {
    policy.is_none_or(|policy| policy == "reject")
}

/// Why a peer is never advertised what is expected.
fn deaf(peer: &Peer, expect: &Expect, bounds: Bounds, min: u32) -> Option<String> {
    let name = &peer.name;
    let wanted = min > 0 || bounds == Bounds::default();
    if wanted && is_reject(peer.export.policy.as_ref()) {
        return Some(format!("nothing is advertised to `{name}`"));
    }
    // Peers of a gateway's kind do not tell each other, whatever the switch says.
    let own =
        |who: &Who| matches!(who, Who::Kind(kind) if Some(*kind) == peer.kind && kind.is_gateway());
    let sources = &expect.learned_from;
    if min > 0 && !sources.is_empty() && sources.iter().all(own) {
        return Some(format!("routes of its kind are not advertised to `{name}`"));
    }
    let limits = peer.export.max_advertised.iter().flatten();
    let most = limits.filter(|limit| limit.action == LimitAction::Block);
    let most: Option<u32> = most.map(|limit| limit.limit).max();
    let both = peer.export.max_advertised.iter().all(Option::is_some);
    let most = most.filter(|_| both || matches!(expect.extent, Extent::Exact(_)));
    most.filter(|most| min > *most)
        .map(|most| format!("`max-advertised` of `{name}` is {most}"))
}

/// Why nothing is ever accepted from a peer.
fn mute(peer: &Peer) -> Option<String> {
    let name = &peer.name;
    if is_reject(peer.import.policy.as_ref()) {
        return Some(format!("nothing is accepted from `{name}`"));
    }
    peer.shutdown
        .then(|| format!("`shutdown` holds `{name}` down"))
}

/// Why so many are never accepted from a peer.
fn too_few(peer: &Peer, min: u32) -> Option<String> {
    let families = Family::ALL.into_iter();
    let families = families.filter(|family| peer.session.families.contains(*family));
    let all: Option<Vec<u32>> = families
        .map(|family| peer.import.max_prefixes.get(family.index()).copied()?)
        .map(|limit| limit.filter(|limit| limit.action != LimitAction::Warn))
        .map(|limit| limit.map(|limit| limit.limit))
        .collect();
    let most: u32 = all?.iter().fold(0, |sum, limit| sum.saturating_add(*limit));
    (min > most).then(|| format!("`max-prefixes` of `{}` lets {most} in", peer.name))
}

/// What two of them make impossible together.
fn warn_against(
    all: &[Expect],
    peers: &[(Peer, Place)],
    lines: &BTreeMap<String, usize>,
    reader: &mut Reader,
) {
    let of = |list: &[Who]| -> BTreeSet<&str> {
        let all = peers.iter().map(|(peer, _)| peer);
        let mine = all.filter(|peer| list.iter().any(|who| who.is(peer)));
        mine.map(|peer| peer.name.as_str()).collect()
    };
    let against = |one: &Expect, other: &Expect| match (&one.claim, &other.claim) {
        (Claim::Advertised(to, bounds), Claim::Never(never)) => {
            let some = *bounds == Bounds::default() || bounds.min.is_some_and(|min| min > 0);
            some && other.learned_from.is_empty()
                && covers(other.extent, one.extent)
                && (never.iter().any(|who| to.contains(who)) || !of(to).is_disjoint(&of(never)))
        }
        (Claim::Advertised(to, Bounds { min: Some(min), .. }), Claim::Advertised(too, most)) => {
            most.max.is_some_and(|max| max < *min)
                && covers(other.extent, one.extent)
                && other.learned_from.is_empty()
                && !of(to).is_disjoint(&of(too))
        }
        (Claim::BestFrom(from), Claim::BestFrom(others)) => {
            let exact = matches!(one.extent, Extent::Exact(_)) && one.extent == other.extent;
            exact && of(from).is_disjoint(&of(others))
        }
        _ => false,
    };
    for (index, one) in all.iter().enumerate() {
        let mut others = all.iter().enumerate();
        let found = others.find(|(at, other)| *at != index && against(one, other));
        if let Some((_, other)) = found {
            let line = lines.get(&one.name).copied().unwrap_or(0);
            let message = format!("it and `{}` can never both hold", other.name);
            reader.warn(line, &format!("expect.{}", one.name), message);
        }
    }
}

/// True where every prefix of the second is one of the first.
fn covers(outer: Extent, inner: Extent) -> bool {
    match (outer, inner) {
        (Extent::All, _) => true,
        (Extent::Exact(a), Extent::Exact(b)) => a == b,
        (Extent::Within(a), Extent::Exact(b) | Extent::Within(b)) => a.covers(b),
        _ => false,
    }
}
