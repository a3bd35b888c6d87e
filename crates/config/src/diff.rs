//! What a reload changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thruway_policy::{PolicyDef, SetDefs};

use super::load::used_sets;
use super::{Config, Exchange, Peer, Server};

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
}

/// A peer and the keys that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerChange {
    /// Its name.
    pub name: String,
    /// The keys.
    pub keys: Vec<&'static str>,
}

/// What a changed key means for a running session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Said in the OPEN or built into the connection.
    Reset,
    /// Read whenever it is needed.
    InPlace,
}
use Effect::{InPlace, Reset};

type Same<T> = fn(&T, &T) -> bool;

/// Compares one field.
macro_rules! same {
    ($($field:ident).+) => {
        |old, new| old.$($field).+ == new.$($field).+
    };
}

/// Every key of a peer.
pub(super) const PEER: &[(&str, Effect, Same<Peer>)] = &[
    ("address", Reset, |old, new| {
        old.target.address() == new.target.address()
    }),
    ("prefix", Reset, |old, new| {
        new.target.takes_all_of(&old.target)
    }),
    // A wider one disturbs nobody who is there.
    ("prefix", InPlace, |old, new| {
        old.target.prefix() == new.target.prefix() || !new.target.takes_all_of(&old.target)
    }),
    ("port", Reset, |old, new| {
        old.target.port() == new.target.port()
    }),
    ("peers-max", InPlace, |old, new| {
        old.target.peers_max() == new.target.peers_max()
    }),
    ("role", Reset, same!(role)),
    ("kind", Reset, same!(kind)),
    ("site", InPlace, same!(site)),
    ("preference", InPlace, same!(rank)),
    ("asn", Reset, |old, new| new.asn.covers(&old.asn)),
    // More AS numbers than before disturb nobody who is there.
    ("asn", InPlace, |old, new| {
        old.asn == new.asn || !new.asn.covers(&old.asn)
    }),
    ("description", InPlace, same!(description)),
    ("shutdown", Reset, |old, new| old.shutdown || !new.shutdown),
    ("shutdown", InPlace, |old, new| {
        !old.shutdown || new.shutdown
    }),
    ("local-address", Reset, same!(connection.local_address)),
    ("passive", InPlace, same!(connection.passive)),
    ("connect-retry", InPlace, same!(connection.connect_retry)),
    ("idle-hold", InPlace, same!(connection.idle_hold)),
    ("idle-hold-max", InPlace, same!(connection.idle_hold_max)),
    ("md5", Reset, same!(connection.md5)),
    ("gtsm", Reset, same!(connection.gtsm_hops)),
    ("ttl", Reset, same!(connection.ttl)),
    ("families", Reset, same!(session.families)),
    ("hold-time", Reset, same!(session.hold_time)),
    ("send-hold", InPlace, same!(session.send_hold)),
    ("add-path", Reset, |old, new| {
        old.session.add_path_receive == new.session.add_path_receive
            && old.export.add_path == new.export.add_path
    }),
    ("extended-message", Reset, same!(session.extended_message)),
    ("extended-next-hop", Reset, same!(session.extended_next_hop)),
    ("graceful-restart", Reset, same!(session.graceful_restart)),
    ("long-lived", Reset, same!(session.long_lived)),
    ("bgp-role", Reset, same!(session.bgp_role)),
    ("bgp-role-strict", Reset, same!(session.bgp_role_strict)),
    ("import", InPlace, same!(import.policy)),
    ("export", InPlace, same!(export.policy)),
    ("max-prefixes", InPlace, same!(import.max_prefixes)),
    ("max-advertised", InPlace, same!(export.max_advertised)),
    (
        "interpret-communities",
        InPlace,
        same!(export.interpret_communities),
    ),
    ("allow-as-sets", InPlace, same!(import.allow_as_sets)),
    ("allow-own-as", InPlace, same!(import.allow_own_as)),
    ("allow-martians", InPlace, same!(import.allow_martians)),
    ("enforce-first-as", InPlace, same!(import.enforce_first_as)),
    ("as-path-max", InPlace, same!(import.as_path_max)),
    ("next-hop", InPlace, same!(import.next_hop)),
    ("next-hop-self", InPlace, same!(export.next_hop_self)),
    ("own-next-hop", InPlace, |old, new| {
        (old.export.own_v4, old.export.own_v6) == (new.export.own_v4, new.export.own_v6)
    }),
    ("prepend-own-as", InPlace, same!(export.prepend_own_as)),
    ("send-med", InPlace, same!(export.send_med)),
    ("alternatives", InPlace, same!(export.alternatives)),
];

/// Every key of the server. `Reset` stands for a restart of the daemon.
pub(super) const SERVER: &[(&str, Effect, Same<Server>)] = &[
    ("mode", Reset, same!(mode)),
    ("asn", Reset, same!(asn)),
    ("router-id", Reset, same!(router_id)),
    ("listen", Reset, same!(listen)),
    ("api", Reset, same!(api)),
    ("api-hosts", InPlace, same!(api_hosts)),
    ("api-socket", Reset, same!(api_socket)),
    ("state", Reset, same!(state)),
    ("workers", Reset, same!(workers)),
    ("pin-workers", Reset, same!(pin_workers)),
    ("transport", Reset, same!(transport)),
    ("log", InPlace, same!(log)),
    ("cluster-id", Reset, same!(cluster_id)),
    (
        "always-compare-med",
        Reset,
        same!(decision.always_compare_med),
    ),
    (
        "missing-med-worst",
        Reset,
        same!(decision.missing_med_worst),
    ),
];

/// What the virtual network's tables say besides their sessions, which are peers.
pub(super) const EXCHANGE: &[(&str, Same<Exchange>)] = &[
    ("vnet", same!(vnet)),
    ("enabled", same!(enabled)),
    ("preference", same!(preference)),
    ("max-paths", same!(max_paths)),
    ("hosts", same!(hosts)),
    ("gateway", same!(gateways)),
    ("nva", same!(nvas)),
];

impl Diff {
    /// Compares two configurations. Peers are the same where their names are.
    #[must_use]
    pub fn new(old: &Config, new: &Config) -> Self {
        let mut diff = Diff {
            policies: policies(old, new),
            ..Diff::default()
        };
        for (key, effect, same) in SERVER {
            if !same(&old.server, &new.server) {
                match effect {
                    Reset => diff.restart.push(key),
                    InPlace => diff.server.push(key),
                }
            }
        }
        // Where only one side has them, the mode changed: that is a restart.
        if let (Some(old), Some(new)) = (&old.exchange, &new.exchange) {
            let changed = EXCHANGE.iter().filter(|(_, same)| !same(old, new));
            diff.exchange = changed.map(|(key, _)| *key).collect();
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
        let changed = || PEER.iter().filter(|(_, _, same)| !same(old, new));
        let keys: Vec<&'static str> = changed().map(|(key, ..)| *key).collect();
        if keys.is_empty() {
            return;
        }
        let change = PeerChange {
            name: new.name.clone(),
            keys,
        };
        if changed().any(|(_, effect, _)| *effect == Reset) {
            self.reset.push(change);
        } else {
            self.in_place.push(change);
        }
    }

    /// True where nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Diff::default()
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
