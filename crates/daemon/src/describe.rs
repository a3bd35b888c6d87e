//! What only the configuration knows of peers and routes, added to what the workers say.

use std::net::IpAddr;

use thruway_api::{Peer, PeerLimit, PolicyHits, Route, RouteCounts, StatementHits};
use thruway_config::{Config, MaxPrefixes, Peer as PeerFile};
use thruway_engine::PeerRole;
use thruway_engine::status::PeerStatus;
use thruway_exchange::Kind;
use thruway_policy::Hits;
use thruway_rib::{LimitAction, PeerId, RouteRow};
use thruway_wire::attrs::{AttrSet, AttrSetBuf, AttrSetRef, code};
use thruway_wire::{Asn, ExtendedCommunity, Family, Ipv6ExtendedCommunity, NextHop};

use super::daemon::Daemon;
use super::local::LOCAL_NAME;
use super::switch::file_of;
use crate::view::{Names, Snapshot};

/// LOCAL_PREF that an internal peer is advertised where a route has none.
const DEFAULT_LOCAL_PREF: u32 = 100;

/// What happens to routes on their way to one peer, after the table.
#[derive(Clone)]
pub(crate) struct Export {
    asn: Asn,
    file: PeerFile,
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

    /// The export side of a peer. `None` for the network's own session, which gets routes as they are.
    pub(crate) fn export_of(&self, peer: &PeerStatus) -> Option<Export> {
        let config: &Config = &self.config();
        let file = file_of(config, &peer.name, peer.range.as_deref())?;
        Some(Export {
            asn: config.server.asn,
            file: file.clone(),
            local: peer.ends.map(|(ours, _)| ours.ip()),
        })
    }
}

impl Export {
    /// A route as the peer was told it: the table holds it before the group's own changes.
    pub(crate) fn route(&self, names: &Names, row: &RouteRow) -> Route {
        let mut shown = row.clone();
        let set = row.accepted.as_ref().unwrap_or(&row.attrs);
        shown.accepted = Some(self.rewrite(set.as_ref(), row.prefix.family()));
        let mut route = names.route(&shown);
        route.changed = row.accepted.is_some();
        route.local_address = self.local;
        if names.is_local(row.peer) {
            route.source_peer = self.local;
        }
        route
    }

    fn rewrite(&self, told: AttrSetRef<'_>, family: Family) -> AttrSet {
        let export = &self.file.export;
        let mut set = AttrSetBuf::default();
        set.copy_from(told);
        if export.prepend_own_as {
            set.prepend(self.asn, 1);
        }
        if export.next_hop_self {
            let own = match (family, self.local) {
                (Family::Ipv4, Some(IpAddr::V4(end))) => Some(export.own_v4.unwrap_or(end)),
                (Family::Ipv4, _) => export.own_v4,
                (Family::Ipv6, _) => None,
            };
            let own_v6 = match (family, self.local) {
                (Family::Ipv6, Some(IpAddr::V6(end))) => Some(export.own_v6.unwrap_or(end)),
                (Family::Ipv6, _) => export.own_v6,
                (Family::Ipv4, _) => None,
            };
            let own = own.map(NextHop::V4).or(own_v6.map(NextHop::V6));
            if own.is_some() {
                set.set_next_hop(own);
            }
        }
        if !export.send_med {
            set.remove(code::MED);
        }
        match self.file.role {
            PeerRole::RouteServerClient | PeerRole::External => {
                set.remove(code::LOCAL_PREF);
                set.retain_communities(|it: ExtendedCommunity| it.is_transitive());
                set.retain_communities(|it: Ipv6ExtendedCommunity| it.is_transitive());
            }
            PeerRole::Internal | PeerRole::ReflectorClient | PeerRole::Local => {
                let own = set.as_ref().local_pref();
                set.set_local_pref(Some(own.unwrap_or(DEFAULT_LOCAL_PREF)));
            }
        }
        AttrSet::new(set.as_ref())
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
