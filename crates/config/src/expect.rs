//! `[[expect]]`: what must stay true of the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thruway_exchange::Kind;
use thruway_rib::Extent;
use thruway_wire::Prefix;

use super::reader::{Reader, Section, Spot, keys};
use super::resolve::Place;
use super::suggest::hint;
use super::value::Many;
use super::{Mode, Peer};

/// What the network's own session is called where it stands for its hosts.
const HOSTS: &str = "hosts";
/// Every peer.
const ALL: &str = "all";
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
    let Some(list) = value.get_ref().as_array() else {
        let line = reader.line(value.span());
        let message = "expectations are written as [[expect]], with two brackets";
        reader.error(line, "expect", message);
        return Vec::new();
    };
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
    warn_against(&all, &names, reader);
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
            reader.error(section.line, &place("name"), "it needs a name");
            return None;
        };
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
        let message = match claims.as_slice() {
            [Claim::Accepted(..)] if !bounded => "`accepted-from` needs `min` or `max`",
            [Claim::Advertised(..) | Claim::Accepted(..)] => return claims.pop(),
            [_] if bounded => "`min` and `max` go with `advertised-to` and `accepted-from` only",
            [_] => return claims.pop(),
            _ => {
                "it needs one of `advertised-to`, `never-advertised-to`, `best-from`, \
                 `accepted-from`, `sessions`"
            }
        };
        reader.error(section.line, &section.path, message);
        None
    }
}

/// What the rest of the file makes impossible.
fn warn_never(expect: &Expect, peers: &[(Peer, Place)], line: usize, reader: &mut Reader) {
    let key = format!("expect.{}", expect.name);
    let mut warn = |who: &Who, peer: &Peer, why: &str| {
        let message = format!("it can never hold of {who}: {why} `{}`", peer.name);
        reader.warn(line, &key, message);
    };
    let of = |who: &Who| -> Vec<&Peer> {
        let all = peers.iter().map(|(peer, _)| peer);
        all.filter(|peer| who.is(peer)).collect()
    };
    let is_reject = |policy: &Option<String>| policy.as_deref().is_none_or(|it| it == "reject");
    match &expect.claim {
        Claim::Advertised(to, bounds) if bounds.max != Some(0) => {
            for who in to {
                for peer in of(who)
                    .into_iter()
                    .filter(|it| is_reject(&it.export.policy))
                {
                    warn(who, peer, "nothing is advertised to");
                }
            }
        }
        Claim::BestFrom(from) => {
            let all: Vec<&Peer> = from.iter().flat_map(of).collect();
            if let (Some(who), Some(peer)) = (from.first(), all.first())
                && all.iter().all(|peer| is_reject(&peer.import.policy))
            {
                warn(who, peer, "nothing is accepted from");
            }
        }
        Claim::Accepted(from, bounds) if bounds.min.is_some_and(|min| min > 0) => {
            for who in from {
                for peer in of(who)
                    .into_iter()
                    .filter(|it| is_reject(&it.import.policy))
                {
                    warn(who, peer, "nothing is accepted from");
                }
            }
        }
        Claim::Sessions(of_whom) => {
            for who in of_whom {
                for peer in of(who).into_iter().filter(|peer| peer.shutdown) {
                    warn(who, peer, "`shutdown` holds down");
                }
            }
        }
        _ => {}
    }
}

/// What two of them make impossible together.
fn warn_against(all: &[Expect], lines: &BTreeMap<String, usize>, reader: &mut Reader) {
    for (index, one) in all.iter().enumerate() {
        let Claim::Advertised(to, bounds) = &one.claim else {
            continue;
        };
        if bounds.max == Some(0) {
            continue;
        }
        let against = |other: &&Expect| {
            let Claim::Never(never) = &other.claim else {
                return false;
            };
            other.learned_from.is_empty()
                && covers(other.extent, one.extent)
                && never.iter().any(|who| *who == Who::All || to.contains(who))
        };
        if let Some(other) = all.iter().find(against) {
            let line = lines.get(&one.name).copied().unwrap_or(index + 1);
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
