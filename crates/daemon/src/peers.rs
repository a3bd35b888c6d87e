//! From the configuration to what the engine takes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use thruway_config::{Config, MaxPrefixes, NextHopRule, Peer, Target};
use thruway_engine::{
    ExportConfig, LimitConfig, PeerConfig, PolicyRef, RangeConfig, TransportConfig,
};
use thruway_exchange::Kind;
use thruway_rib::{AddPathSend, Hygiene, NextHopCheck, PeerClass, PeerId};
use thruway_session::{AddPathOffer, GrOffer, RemoteAs, SessionConfig};
use thruway_wire::FamilySet;

/// LOCAL_PREF of routes whose sender has no say in it.
const DEFAULT_LOCAL_PREF: u32 = 100;

/// A peer of the configuration under its number. `None` for a range.
pub(super) fn peer(config: &Config, reflects: bool, peer: &Peer, id: PeerId) -> Option<PeerConfig> {
    match peer.target {
        Target::Address(addr) => Some(engine_peer(config, reflects, peer, (id, addr))),
        Target::Range { .. } => None,
    }
}

/// A range of the configuration. `None` for a single peer.
pub(super) fn range(config: &Config, reflects: bool, peer: &Peer) -> Option<RangeConfig> {
    let Target::Range { prefix, peers_max } = peer.target else {
        return None;
    };
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    Some(RangeConfig {
        name: peer.name.as_str().into(),
        prefix,
        asns: peer.asn.clone(),
        peers_max,
        template: Box::new(engine_peer(
            config,
            reflects,
            peer,
            (PeerId::default(), nobody),
        )),
    })
}

/// True where the server reflects routes between internal peers: one of them is its client.
pub(super) fn reflects(config: &Config) -> bool {
    let mut peers = config.peers.iter();
    peers.any(|peer| peer.role == thruway_engine::PeerRole::ReflectorClient)
}

fn engine_peer(
    config: &Config,
    reflects: bool,
    peer: &Peer,
    (id, addr): (PeerId, SocketAddr),
) -> PeerConfig {
    PeerConfig {
        id,
        name: peer.name.as_str().into(),
        addr,
        transport: transport(peer),
        session: session(config, peer),
        role: peer.role,
        class: peer
            .kind
            .map_or(peer.role.class(), |kind| PeerClass(kind.class())),
        rank: peer.rank,
        import: policy(config, peer.import.policy.as_deref()),
        local_pref: local_pref(peer),
        hygiene: hygiene(config, peer),
        limits: peer.import.max_prefixes.map(limit),
        max_advertised: peer.export.max_advertised.map(limit),
        export: export(config, reflects, peer),
        shutdown: peer.shutdown,
    }
}

fn limit(limit: Option<MaxPrefixes>) -> Option<LimitConfig> {
    limit.map(|limit| LimitConfig {
        max: limit.limit,
        warn_at: limit.warn_at,
        action: limit.action,
        accepted_only: limit.accepted_only,
        restart_after: limit.restart_after,
    })
}

/// What a gateway thinks of its routes is its own business: the kinds' preference decides, and then
/// the AS path.
fn local_pref(peer: &Peer) -> Option<u32> {
    let gateway = peer.kind.is_some_and(Kind::is_gateway);
    gateway.then_some(DEFAULT_LOCAL_PREF)
}

/// A peer that came by a range, as the range has it now.
pub(super) fn of_range(
    range: &RangeConfig,
    id: PeerId,
    name: &Arc<str>,
    addr: SocketAddr,
) -> PeerConfig {
    PeerConfig {
        id,
        name: Arc::clone(name),
        addr,
        ..(*range.template).clone()
    }
}

pub(super) fn transport(peer: &Peer) -> TransportConfig {
    TransportConfig {
        local: peer.connection.local_address,
        md5: peer.connection.md5.as_ref().map(|secret| secret.0.clone()),
        gtsm_hops: peer.connection.gtsm_hops,
        ttl: peer.connection.ttl,
    }
}

fn session(config: &Config, peer: &Peer) -> SessionConfig {
    let offered = &peer.session;
    let add_path = AddPathOffer {
        receive: offered.add_path_receive,
        send: peer.export.add_path != AddPathSend::Off,
    };
    let range = matches!(peer.target, Target::Range { .. });
    SessionConfig {
        passive: peer.connection.passive || range,
        hold_time: offered.hold_time,
        connect_retry: peer.connection.connect_retry,
        idle_hold: peer.connection.idle_hold,
        idle_hold_max: peer.connection.idle_hold_max,
        send_hold: offered.send_hold,
        families: offered.families,
        add_path: [add_path; 2],
        extended_message: offered.extended_message,
        graceful_restart: offered.graceful_restart.map(|gr| GrOffer {
            restart_time: gr.restart_time,
            families: FamilySet::EMPTY,
            notification: gr.notification,
            helper_time_max: gr.helper_time_max,
        }),
        long_lived: offered.long_lived,
        role: offered.bgp_role,
        role_strict: offered.bgp_role_strict,
        extended_next_hop: offered.extended_next_hop,
        ..SessionConfig::new(config.server.asn, config.server.router_id, peer.asn.clone())
    }
}

fn policy(config: &Config, name: Option<&str>) -> Option<PolicyRef> {
    config
        .policies
        .get(name?)
        .map(|policy| PolicyRef::new(Arc::clone(policy)))
}

fn hygiene(config: &Config, peer: &Peer) -> Hygiene {
    let import = &peer.import;
    Hygiene {
        local_as: config.server.asn,
        allow_own_as: import.allow_own_as,
        router_id: config.server.router_id,
        cluster_id: config.server.cluster_id,
        enforce_first_as: import.enforce_first_as,
        allow_as_sets: import.allow_as_sets,
        as_path_max: import.as_path_max,
        next_hop: match &import.next_hop {
            NextHopRule::Peer => NextHopCheck::Peer,
            NextHopRule::SameAs => NextHopCheck::SameAs(same_as(config, peer)),
            NextHopRule::Subnet(prefixes) => NextHopCheck::Subnet(prefixes.as_slice().into()),
            NextHopRule::Any => NextHopCheck::Any,
        },
        martians: import.allow_martians.as_slice().into(),
        interpret_communities: peer.export.interpret_communities,
    }
}

/// Addresses of configured peers that may be in the peer's AS.
fn same_as(config: &Config, peer: &Peer) -> Arc<[IpAddr]> {
    let shares = |other: &&Peer| match (&peer.asn, &other.asn) {
        (RemoteAs::One(mine), theirs) => theirs.allows(*mine),
        (mine, RemoteAs::One(theirs)) => mine.allows(*theirs),
        _ => false,
    };
    let peers = config.peers.iter().filter(shares);
    peers
        .filter_map(|other| match other.target {
            Target::Address(addr) => Some(addr.ip()),
            Target::Range { .. } => None,
        })
        .collect()
}

fn export(config: &Config, reflects: bool, peer: &Peer) -> ExportConfig {
    let export = &peer.export;
    let internal = matches!(
        peer.role,
        thruway_engine::PeerRole::Internal | thruway_engine::PeerRole::ReflectorClient
    );
    ExportConfig {
        policy: policy(config, export.policy.as_deref()),
        interpret_communities: export.interpret_communities,
        next_hop_self: export.next_hop_self,
        next_hop_v4: export.own_v4,
        next_hop_v6: export.own_v6,
        add_path: [export.add_path; 2],
        alternatives: export.alternatives,
        prepend_own_as: export.prepend_own_as,
        med: export.send_med,
        cluster: (reflects && internal).then_some(config.server.cluster_id),
    }
}
