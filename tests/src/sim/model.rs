//! What each host must have been told, worked out anew from what every host announces: no handles,
//! no logs, no groups.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use thruway_engine::PeerRole;
use thruway_rib::{AddPathSend, Eligibility, PeerClass};
use thruway_wire::attrs::{AttrSet, AttrSetBuf, code};
use thruway_wire::{Asn, Community, Family, NextHop, Prefix};

use super::host::{Phase, Route};
use super::world::{SERVER, SERVER_AS, Station};

/// A path in the model.
#[derive(Clone, Copy, Debug)]
struct Path<'a> {
    from: usize,
    station: &'a Station,
    path_id: u32,
    route: &'a Route,
}

impl Path<'_> {
    fn external(&self) -> bool {
        self.station.host.config.asn != SERVER_AS
    }

    /// The source reflects nothing: it is the server's own network.
    fn local(&self) -> bool {
        self.station.config.role == PeerRole::Local
    }

    fn local_pref(&self) -> u32 {
        // RFC 8326 §4.2: on receipt from another AS.
        if self.external()
            && self
                .route
                .communities
                .contains(&Community::GRACEFUL_SHUTDOWN)
        {
            return 0;
        }
        match self.route.local_pref {
            _ if self.station.config.local_pref.is_some() => {
                self.station.config.local_pref.unwrap_or(100)
            }
            Some(value) if !self.external() => value,
            _ => 100,
        }
    }

    fn neighbor(&self) -> u32 {
        self.route.path.first().copied().unwrap_or(0)
    }

    /// Negative: this one is better (RFC 4271 §9.1.2.2). `med` is left out between neighbour ASes.
    fn compare(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.station.host.config, &other.station.host.config);
        self.prefer(other)
            .then(a.router_id.cmp(&b.router_id))
            .then(a.addr.cmp(&b.addr))
            .then(self.path_id.cmp(&other.path_id))
    }

    /// The steps before the router id.
    fn prefer(&self, other: &Self) -> Ordering {
        let med = || {
            if self.neighbor() == other.neighbor() {
                self.route
                    .med
                    .unwrap_or(0)
                    .cmp(&other.route.med.unwrap_or(0))
            } else {
                Ordering::Equal
            }
        };
        let rank = |path: &Self| path.station.config.rank;
        rank(other)
            .cmp(&rank(self))
            .then(other.local_pref().cmp(&self.local_pref()))
            .then(self.route.path.len().cmp(&other.route.path.len()))
            .then(self.route.origin.cmp(&other.route.origin))
            .then_with(med)
            .then(other.external().cmp(&self.external()))
    }
}

/// The best and what ties with it, at most `most`, the better first.
fn ties<'a>(paths: &[Path<'a>], most: usize) -> Vec<Path<'a>> {
    let Some(first) = best(paths) else {
        return Vec::new();
    };
    let same = |a: &Path<'_>, b: &Path<'_>| (a.from, a.path_id) == (b.from, b.path_id);
    // One with a higher MED than another of its neighbour AS is out, whatever the best says to it.
    let beaten = |path: &Path<'_>| {
        let others = paths.iter().filter(|other| !same(other, path));
        let mut rivals = others.filter(|other| other.neighbor() == path.neighbor());
        rivals.any(|other| other.prefer(path) == Ordering::Less)
    };
    let mut left: Vec<Path<'a>> = paths.to_vec();
    left.retain(|path| !beaten(path) && path.prefer(&first) == Ordering::Equal);
    let mut chosen = Vec::new();
    while chosen.len() < most
        && let Some(next) = best(&left)
    {
        left.retain(|path| !same(path, &next));
        chosen.push(next);
    }
    chosen
}

/// The best of some paths: first within each neighbour AS, since MED compares only there, then of
/// those.
fn best<'a>(paths: &[Path<'a>]) -> Option<Path<'a>> {
    let longest = |paths: &mut dyn Iterator<Item = Path<'a>>| {
        paths.reduce(|best, path| {
            if path.compare(&best) == Ordering::Less {
                path
            } else {
                best
            }
        })
    };
    let neighbors: BTreeSet<u32> = paths.iter().map(Path::neighbor).collect();
    let mut winners = neighbors.into_iter().filter_map(|neighbor| {
        longest(
            &mut paths
                .iter()
                .copied()
                .filter(|path| path.neighbor() == neighbor),
        )
    });
    longest(&mut winners)
}

/// True where a path of `from` may go to `to` at all.
fn eligible(matrix: &Eligibility, from: &Path<'_>, to: &Station) -> bool {
    let role = |station: &Station| station.config.role;
    let internal = |station: &Station| {
        matches!(
            role(station),
            PeerRole::Internal | PeerRole::ReflectorClient | PeerRole::Local
        )
    };
    let communities = &from.route.communities;
    let held = communities.contains(&Community::NO_ADVERTISE)
        || !internal(to) && communities.contains(&Community::NO_EXPORT);
    let allowed = matrix.allows(from.station.config.class, to.config.class);
    allowed && !(held && to.config.export.interpret_communities)
}

/// A route as a host sees it.
fn told(path: &Path<'_>, to: &Station) -> Vec<u8> {
    let mut set: AttrSetBuf = path.route.set();
    let family_v4 = matches!(path.route.next_hop, std::net::IpAddr::V4(_));
    let internal = to.host.config.asn == SERVER_AS;
    if to.config.export.prepend_own_as {
        set.prepend(SERVER_AS, 1);
    }
    if to.config.export.next_hop_self && family_v4 {
        set.set_next_hop(Some(NextHop::V4(SERVER.into())));
    }
    if !to.config.export.med {
        set.set_med(None);
    }
    set.set_local_pref(internal.then(|| path.local_pref()));
    if to.config.export.cluster.is_some() && !path.external() && !path.local() {
        let id = path.station.host.config.router_id;
        set.set_raw(code::ORIGINATOR_ID, 0x80, &id.0.to_be_bytes());
        set.set_raw(code::CLUSTER_LIST, 0x80, &SERVER);
    }
    octets(&AttrSet::new(set.as_ref()))
}

/// A set's octets: what makes two of them equal.
#[must_use]
pub fn octets(set: &AttrSet) -> Vec<u8> {
    set.as_ref().bytes.to_vec()
}

/// A table as sets of attributes: path identifiers are the sender's to choose.
pub type Table = BTreeMap<Prefix, BTreeSet<Vec<u8>>>;

/// What a host must have been told.
#[must_use]
pub fn expected(stations: &[Station], matrix: &Eligibility, to: usize) -> Table {
    let receiver = &stations[to];
    let mut table = Table::new();
    for (prefix, paths) in accepted(stations) {
        if !receiver.host.config.families.contains(prefix.family()) {
            continue;
        }
        let chosen = choose(&paths, prefix.family(), matrix, receiver, to);
        if !chosen.is_empty() {
            let sets = chosen.iter().map(|path| told(path, receiver)).collect();
            table.insert(prefix, sets);
        }
    }
    table
}

/// Paths that a host is told under one matrix and was not under another, though what it had of the prefix has
/// the same octets: what tells two paths apart may be left out on the way to it.
#[must_use]
pub fn alike(stations: &[Station], old: &Eligibility, new: &Eligibility, to: usize) -> u64 {
    let receiver = &stations[to];
    let told = |matrix, family, paths: &[Path<'_>]| -> BTreeMap<(usize, u32), Vec<u8>> {
        let chosen = choose(paths, family, matrix, receiver, to).into_iter();
        chosen
            .map(|path| ((path.from, path.path_id), told(&path, receiver)))
            .collect()
    };
    let mut alike = 0;
    for (prefix, paths) in &accepted(stations) {
        let family = prefix.family();
        let (before, after) = (told(old, family, paths), told(new, family, paths));
        let others = after.iter().filter(|(path, _)| !before.contains_key(*path));
        let known = |set: &Vec<u8>| before.values().any(|known| known == set);
        alike += others.filter(|(_, set)| known(set)).count() as u64;
    }
    alike
}

/// All paths that import lets in, by prefix.
fn accepted(stations: &[Station]) -> BTreeMap<Prefix, Vec<Path<'_>>> {
    let mut by_prefix: BTreeMap<Prefix, Vec<Path<'_>>> = BTreeMap::new();
    for (from, station) in stations.iter().enumerate() {
        if station.host.phase != Phase::Up {
            continue;
        }
        for ((prefix, path_id), route) in &station.host.announces {
            let loops = route.path.iter().any(|asn| Asn(*asn) == SERVER_AS);
            let judged = station.config.import.is_some() || station.host.config.asn == SERVER_AS;
            if !loops && judged {
                let path = Path {
                    from,
                    station,
                    path_id: *path_id,
                    route,
                };
                by_prefix.entry(*prefix).or_default().push(path);
            }
        }
    }
    by_prefix
}

/// For each kind of source and kind of receiver: prefixes advertised, kept back by the matrix, and beaten by
/// another kind's path.
#[must_use]
pub fn tally(
    stations: &[Station],
    matrix: &Eligibility,
) -> BTreeMap<(PeerClass, PeerClass), [u64; 3]> {
    let mut tally: BTreeMap<_, [u64; 3]> = BTreeMap::new();
    let to_any = |to: &PeerClass| (0..32).any(|from| matrix.allows(PeerClass(from), *to));
    let receivers: Vec<PeerClass> = (0..32).map(PeerClass).filter(to_any).collect();
    for paths in accepted(stations).values() {
        let class = |path: &Path<'_>| path.station.config.class;
        let kinds: BTreeSet<PeerClass> = paths.iter().map(class).collect();
        for &to in &receivers {
            let may = |path: &Path<'_>| matrix.allows(class(path), to);
            let allowed: Vec<Path<'_>> = paths.iter().copied().filter(may).collect();
            let winner = best(&allowed).map(|best| class(&best));
            for &from in &kinds {
                let place = match winner {
                    _ if !matrix.allows(from, to) => 1,
                    Some(winner) if winner == from => 0,
                    _ => 2,
                };
                tally.entry((from, to)).or_default()[place] += 1;
            }
        }
    }
    tally
}

fn choose<'a>(
    paths: &[Path<'a>],
    family: Family,
    matrix: &Eligibility,
    receiver: &Station,
    to: usize,
) -> Vec<Path<'a>> {
    if receiver.config.export.policy.is_none() && receiver.host.config.asn != SERVER_AS {
        return Vec::new();
    }
    let may = |path: &Path<'_>| path.from != to && eligible(matrix, path, receiver);
    if receiver.host.config.add_path_receive.contains(family) {
        let all: Vec<Path<'a>> = paths.iter().copied().filter(may).collect();
        let [send, _] = receiver.config.export.add_path;
        let AddPathSend::Multipath(most) = send else {
            return all;
        };
        // Its own paths take part: what ties with them is used with them.
        let eligible = |path: &Path<'_>| eligible(matrix, path, receiver);
        let all: Vec<Path<'a>> = paths.iter().copied().filter(eligible).collect();
        let ties = ties(&all, usize::from(most)).into_iter();
        return ties.filter(|path| path.from != to).collect();
    }
    if receiver.config.export.alternatives {
        // Its own path takes part, and by its MED may take another one out, unless it is the answer: the
        // answer is the group's.
        let eligible = |path: &Path<'_>| eligible(matrix, path, receiver);
        let all: Vec<Path<'a>> = paths.iter().copied().filter(eligible).collect();
        let shared = best(&all).filter(|best| best.from != to);
        let rest = || paths.iter().copied().filter(may).collect::<Vec<_>>();
        return shared.or_else(|| best(&rest())).into_iter().collect();
    }
    best(paths).filter(may).into_iter().collect()
}

/// What a host has been told.
#[must_use]
pub fn actual(station: &Station) -> Table {
    let mut table = Table::new();
    for ((prefix, _), set) in &station.host.table {
        table.entry(*prefix).or_default().insert(octets(set));
    }
    table
}

/// Takes out of what a host must have been told what its limits may hold back.
fn hold_back(station: &Station, expected: &mut Table, actual: &Table) {
    for (family, limit) in Family::ALL.into_iter().zip(station.config.max_advertised) {
        let told = actual.keys().filter(|prefix| prefix.family() == family);
        if limit.is_some_and(|limit| told.count() >= limit.max as usize) {
            expected.retain(|prefix, _| prefix.family() != family || actual.contains_key(prefix));
        }
    }
}

/// The first host and prefix where a host was not told what the model says, and what both say.
#[must_use]
pub fn difference(stations: &[Station], matrix: &Eligibility) -> Option<(usize, Prefix, String)> {
    let up = stations
        .iter()
        .enumerate()
        .filter(|(_, station)| station.host.phase == Phase::Up);
    up.into_iter().find_map(|(index, station)| {
        let (mut expected, actual) = (expected(stations, matrix, index), actual(station));
        hold_back(station, &mut expected, &actual);
        let prefixes: BTreeSet<&Prefix> = expected.keys().chain(actual.keys()).collect();
        let prefix = prefixes
            .into_iter()
            .find(|at| expected.get(at) != actual.get(at))?;
        let (model, host) = (expected.get(prefix), actual.get(prefix));
        let role = station.config.role;
        let text = format!("host {index} ({role:?}), {prefix}: model {model:x?}, host {host:x?}");
        Some((index, *prefix, text))
    })
}
