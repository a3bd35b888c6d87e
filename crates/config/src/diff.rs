//! What a reload changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use thruway_policy::{PolicyDef, SetDefs};

use super::keys::{EXCHANGE, Effect, Key, PEER, SERVER};
use super::load::used_sets;
use super::{Config, Expect, Peer};

/// The difference between a running configuration and a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Keys of `[server]` that changed and need a restart of the daemon.
    pub restart: Vec<&'static str>,
    /// Keys of `[server]` that changed and can change as it runs.
    pub server: Vec<&'static str>,
    /// What changed of the virtual network; all of it can change as it runs.
    pub exchange: Vec<&'static str>,
    /// Names of peers that are new.
    pub added: Vec<String>,
    /// Names of peers that are gone.
    pub removed: Vec<String>,
    /// Peers whose session must start anew.
    pub reset: Vec<PeerChange>,
    /// Peers whose session goes on.
    pub in_place: Vec<PeerChange>,
    /// Names of policies that are new, gone or different, sets that they use included.
    pub policies: Vec<String>,
    /// Expectations that are new, gone or different.
    pub expect: Vec<ExpectChange>,
    /// Every key that changes, with its values.
    pub keys: Vec<KeyChange>,
}

/// A key that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// Where it stands: `server`, `exchange`, or a peer's name.
    pub place: String,
    /// The key.
    pub key: &'static str,
    /// When it takes effect.
    pub effect: Effect,
    /// Its value in force.
    pub from: String,
    /// Its value then.
    pub to: String,
}

/// A peer and the keys that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerChange {
    /// Its name.
    pub name: String,
    /// The keys.
    pub keys: Vec<&'static str>,
}

/// An expectation that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectChange {
    /// Its name.
    pub name: String,
    /// `new`, `gone` or `changed`.
    pub how: &'static str,
}

impl fmt::Display for ExpectChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.how)
    }
}

impl Diff {
    /// Compares two configurations. Peers are the same where their names are.
    #[must_use]
    pub fn new(old: &Config, new: &Config) -> Self {
        let mut diff = Diff {
            policies: policies(old, new),
            expect: expectations(old, new),
            ..Diff::default()
        };
        for key in differing(SERVER, &old.server, &new.server) {
            match key.effect {
                Effect::Restart => diff.restart.push(key.name),
                _ => diff.server.push(key.name),
            }
            diff.keys
                .push(key.change("server", &old.server, &new.server));
        }
        // Where only one side has them, the mode changed: that is a restart.
        if let (Some(old), Some(new)) = (&old.exchange, &new.exchange) {
            for key in differing(EXCHANGE, old, new) {
                diff.exchange.push(key.name);
                diff.keys.push(key.change("exchange", old, new));
            }
        }
        if old.server.mode != new.server.mode {
            // Other peers altogether. None of them comes or goes before the restart.
            return diff;
        }
        let (before, after) = (by_name(old), by_name(new));
        let only_in = |peers: &[Peer], others: &BTreeMap<&str, &Peer>| {
            let fresh = peers
                .iter()
                .filter(|peer| !others.contains_key(peer.name.as_str()));
            fresh.map(|peer| peer.name.clone()).collect()
        };
        diff.added = only_in(&new.peers, &before);
        diff.removed = only_in(&old.peers, &after);
        for peer in &new.peers {
            if let Some(before) = before.get(peer.name.as_str()) {
                diff.peer(before, peer);
            }
        }
        diff
    }

    fn peer(&mut self, old: &Peer, new: &Peer) {
        let changed = || differing(PEER, old, new);
        let keys: Vec<&'static str> = changed().map(|key| key.name).collect();
        if keys.is_empty() {
            return;
        }
        self.keys
            .extend(changed().map(|key| key.change(&new.name, old, new)));
        let change = PeerChange {
            name: new.name.clone(),
            keys,
        };
        if changed().any(|key| key.effect == Effect::Session) {
            self.reset.push(change);
        } else {
            self.in_place.push(change);
        }
    }

    /// The expectations that differ, as texts.
    #[must_use]
    pub fn expectations(&self) -> Vec<String> {
        self.expect.iter().map(ToString::to_string).collect()
    }

    /// True where nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Diff::default()
    }
}

fn differing<'a, T>(
    keys: &'static [Key<T>],
    old: &'a T,
    new: &'a T,
) -> impl Iterator<Item = &'static Key<T>> + 'a {
    keys.iter().filter(move |key| !(key.same)(old, new))
}

impl<T> Key<T> {
    fn change(&self, place: &str, old: &T, new: &T) -> KeyChange {
        KeyChange {
            place: place.to_owned(),
            key: self.name,
            effect: self.effect,
            from: (self.show)(old),
            to: (self.show)(new),
        }
    }
}

fn by_name(config: &Config) -> BTreeMap<&str, &Peer> {
    config
        .peers
        .iter()
        .map(|peer| (peer.name.as_str(), peer))
        .collect()
}

/// Names of policies that differ, in themselves or in a set that they use.
fn policies(old: &Config, new: &Config) -> Vec<String> {
    fn defs(config: &Config) -> BTreeMap<&str, &PolicyDef> {
        config
            .policy_defs
            .iter()
            .map(|def| (def.name.as_str(), def))
            .collect()
    }
    let (before, after) = (defs(old), defs(new));
    // `prepend` of "self" is compiled with our AS in it.
    let own_as_changed = old.server.asn != new.server.asn;
    let changed = |name: &&&str| match (before.get(*name), after.get(*name)) {
        (Some(before), Some(after)) => {
            own_as_changed || before != after || !same_sets(after, &old.sets, &new.sets)
        }
        _ => true,
    };
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    names
        .iter()
        .filter(changed)
        .map(|name| (*name).to_owned())
        .collect()
}

/// Expectations that differ, by name.
fn expectations(old: &Config, new: &Config) -> Vec<ExpectChange> {
    let find = |all: &[Expect], name: &str| all.iter().find(|one| one.name == name).cloned();
    let both = old.expect.iter().chain(&new.expect);
    let names: BTreeSet<&str> = both.map(|one| one.name.as_str()).collect();
    let change = |name: &str| {
        let how = match (find(&old.expect, name), find(&new.expect, name)) {
            (Some(before), Some(after)) if before == after => return None,
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "gone",
            _ => "new",
        };
        Some(ExpectChange {
            name: name.to_owned(),
            how,
        })
    };
    names.into_iter().filter_map(change).collect()
}

fn same_sets(policy: &PolicyDef, old: &SetDefs, new: &SetDefs) -> bool {
    used_sets(std::iter::once(policy))
        .into_iter()
        .all(|(table, name)| match table {
            "prefix-set" => old.prefix_sets.get(name) == new.prefix_sets.get(name),
            "community-set" => old.community_sets.get(name) == new.community_sets.get(name),
            "as-set" => old.as_sets.get(name) == new.as_sets.get(name),
            _ => old.as_path_sets.get(name) == new.as_path_sets.get(name),
        })
}
