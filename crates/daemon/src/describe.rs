//! What only the configuration knows of peers and routes, added to what the workers say.

use std::net::IpAddr;

use thruway_api::{Peer, PeerLimit, PolicyHits, Route, RouteCounts, StatementHits};
use thruway_config::{MaxPrefixes, Peer as PeerFile};
use thruway_engine::PeerRole;
use thruway_engine::status::PeerStatus;
use thruway_exchange::Kind;
use thruway_policy::Hits;
use thruway_rib::{LimitAction, PeerId, RouteRow};
use thruway_wire::Family;

use super::daemon::Daemon;
use super::local::LOCAL_NAME;
use super::switch::file_of;
use crate::view::{Names, Snapshot};

/// A receiver of routes, for those that say what it was advertised.
#[derive(Clone)]
pub(crate) struct Receiver {
    /// Our end of its session.
    local: Option<IpAddr>,
}

impl Daemon {
    /// Adds what only the configuration knows: the AS of a peer without a session, its role's name in
    /// the file, what it is to the virtual network, and its limits.
    pub(crate) fn fill_in_configured(&self, list: &mut [Peer]) {
        let config = self.config();
        for peer in list {
            if peer.name == LOCAL_NAME && config.exchange.is_some() {
                peer.kind = Some(Kind::Network);
                peer.role = role_name(PeerRole::Local).to_owned();
                peer.asn = Some(config.server.asn);
                continue;
            }
            let Some(file) = file_of(&config, &peer.name, peer.range.as_deref()) else {
                continue;
            };
            peer.role = role_name(file.role).to_owned();
            peer.kind = file.kind;
            peer.site.clone_from(&file.site);
            if let (None, thruway_session::RemoteAs::One(asn)) = (peer.asn, &file.asn) {
                peer.asn = Some(*asn);
            }
            peer.limits = limits(file, [&peer.ipv4, &peer.ipv6]);
        }
    }

    /// Adds how often the statements of a peer's policies held.
    pub(crate) fn fill_in_hits(&self, snapshot: &Snapshot, id: PeerId, peer: &mut Peer) {
        let config = self.config();
        let name = |policy: &Option<String>, hits: &Hits| {
            let policy = config.policies.get(policy.as_deref()?)?;
            let statements = (0u16..)
                .zip(&hits.statements)
                .map(|(index, hits)| StatementHits {
                    statement: policy.statement_label(index),
                    hits: *hits,
                });
            Some(PolicyHits {
                policy: policy.name().to_owned(),
                statements: statements.collect(),
                default: hits.default,
            })
        };
        let Some(file) = file_of(&config, &peer.name, peer.range.as_deref()) else {
            return;
        };
        peer.import_policy = name(&file.import.policy, &snapshot.import_hits(id));
        let group = snapshot.group(id);
        let hits = group.map(|group| snapshot.export_hits(group));
        peer.export_policy = name(&file.export.policy, &hits.unwrap_or_default());
    }

    /// Peers by name or address, or all of a site, in the order of their addresses.
    pub(crate) fn find_peers<'s>(
        &self,
        snapshot: &'s Snapshot,
        wanted: &str,
    ) -> Vec<&'s PeerStatus> {
        if let Some(peer) = snapshot.find(wanted) {
            return vec![peer];
        }
        let config = self.config();
        let of_site = |peer: &&PeerStatus| {
            let file = file_of(&config, &peer.name, peer.range.as_deref());
            file.is_some_and(|file| file.site.as_deref() == Some(wanted))
        };
        let mut peers: Vec<_> = snapshot.peers().filter(of_site).collect();
        peers.sort_by_key(|peer| peer.addr.ip());
        peers
    }

    /// True where the configuration has an NVA or gateway of this name.
    pub(crate) fn has_site(&self, wanted: &str) -> bool {
        let config = self.config();
        let mut sites = config.peers.iter().filter_map(|file| file.site.as_deref());
        sites.any(|site| site == wanted)
    }
}

impl Receiver {
    pub(crate) fn new(peer: &PeerStatus) -> Self {
        Receiver {
            local: peer.ends.map(|(ours, _)| ours.ip()),
        }
    }

    /// A route as it arrives there.
    pub(crate) fn route(&self, names: &Names, row: &RouteRow) -> Route {
        let mut route = names.route(row);
        route.changed = false;
        route.local_address = self.local;
        if names.is_local(row.peer) {
            route.source_peer = self.local;
        }
        route
    }
}

/// A peer's limits, and what counts against them.
fn limits(file: &PeerFile, counts: [&RouteCounts; 2]) -> Vec<PeerLimit> {
    let mut list = Vec::new();
    for (family, counts) in Family::ALL.into_iter().zip(counts) {
        let of = |limits: &[Option<MaxPrefixes>; 2]| limits.get(family.index()).copied().flatten();
        if let Some(limit) = of(&file.import.max_prefixes) {
            let count = if limit.accepted_only {
                counts.accepted
            } else {
                counts.received
            };
            list.push(peer_limit("received", family, limit, count, counts.blocked));
        }
        if let Some(limit) = of(&file.export.max_advertised) {
            let (count, held) = (counts.advertised, counts.held_back);
            list.push(peer_limit("advertised", family, limit, count, held));
        }
    }
    list
}

fn peer_limit(
    direction: &str,
    family: Family,
    limit: MaxPrefixes,
    count: u64,
    held_back: u64,
) -> PeerLimit {
    PeerLimit {
        direction: direction.to_owned(),
        family: family.to_string(),
        limit: limit.limit,
        warn_at: limit.warn_at,
        action: action_name(limit.action).to_owned(),
        count,
        held_back,
    }
}

/// As the configuration file has it.
pub(crate) fn action_name(action: LimitAction) -> &'static str {
    match action {
        LimitAction::Warn => "warn",
        LimitAction::Block => "block",
        LimitAction::Restart => "restart",
    }
}

fn role_name(role: PeerRole) -> &'static str {
    match role {
        PeerRole::RouteServerClient => "route-server-client",
        PeerRole::External => "external",
        PeerRole::Internal => "internal",
        PeerRole::ReflectorClient => "route-reflector-client",
        PeerRole::Local => "local",
    }
}
