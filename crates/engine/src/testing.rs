//! Configurations for tests.

use std::net::SocketAddr;

use thruway_policy::Policy;
use thruway_rib::{Hygiene, NextHopCheck, PeerId};
use thruway_session::{Negotiated, RemoteAs, SessionConfig};
use thruway_wire::open::Open;
use thruway_wire::{Asn, FamilySet, RouterId};

use crate::{ExportConfig, PeerConfig, PeerRole, PolicyRef, RangeConfig, TransportConfig};

const LOCAL_AS: Asn = Asn(64_500);
const ROUTER_ID: RouterId = RouterId(0xc000_02fe);

/// A route-server client with policies that accept.
pub(crate) fn peer(id: u16, addr: &str) -> PeerConfig {
    let role = PeerRole::RouteServerClient;
    let accept = Some(PolicyRef::new(Policy::accept()));
    PeerConfig {
        id: PeerId(id),
        name: format!("peer-{id}").into(),
        addr: SocketAddr::new(addr.parse().expect("an address"), 179),
        transport: TransportConfig::default(),
        session: SessionConfig::new(LOCAL_AS, ROUTER_ID, RemoteAs::Any),
        role,
        class: role.class(),
        rank: 0,
        import: accept.clone(),
        local_pref: None,
        hygiene: Hygiene {
            local_as: LOCAL_AS,
            allow_own_as: 0,
            martians: [].into(),
            router_id: ROUTER_ID,
            cluster_id: ROUTER_ID,
            enforce_first_as: true,
            allow_as_sets: false,
            as_path_max: 100,
            next_hop: NextHopCheck::Any,
            interpret_communities: true,
        },
        limits: [None, None],
        max_advertised: [None, None],
        export: ExportConfig::for_role(role, accept, None),
        shutdown: false,
    }
}

/// A range with such peers.
pub(crate) fn range(name: &str, prefix: &str) -> RangeConfig {
    RangeConfig {
        name: name.into(),
        prefix: prefix.parse().expect("a prefix"),
        asns: RemoteAs::Any,
        peers_max: 10,
        template: Box::new(peer(0, "0.0.0.0")),
    }
}

/// What a plain external session agrees on.
pub(crate) fn negotiated() -> Negotiated {
    let (peer_as, peer_id) = (Asn(64_601), RouterId(7));
    Negotiated {
        peer_as,
        peer_id,
        internal: false,
        outgoing: false,
        hold_time: 90,
        keepalive: 30,
        as4: true,
        extended_message_rx: false,
        extended_message_tx: false,
        families: FamilySet::ALL,
        add_path_rx: FamilySet::EMPTY,
        add_path_tx: FamilySet::EMPTY,
        extended_next_hop: false,
        route_refresh: true,
        enhanced_route_refresh: true,
        ends_tables: false,
        long_lived: false,
        peer_gr: None,
        role: None,
        peer_role: None,
        open: Open {
            version: 4,
            my_as: peer_as.to_as2(),
            hold_time: 90,
            router_id: peer_id,
            capabilities: Vec::new(),
        },
    }
}
