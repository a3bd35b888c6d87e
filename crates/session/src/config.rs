//! What a session is told about its peer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thruway_wire::{Asn, FamilySet, RouterId};

/// Which AS numbers the peer may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteAs {
    /// This one.
    One(Asn),
    /// Any of these.
    OneOf(Vec<Asn>),
    /// Whatever its OPEN says.
    Any,
}

impl RemoteAs {
    /// True where a peer in `asn` is welcome.
    #[must_use]
    pub fn allows(&self, asn: Asn) -> bool {
        match self {
            RemoteAs::One(one) => *one == asn,
            RemoteAs::OneOf(list) => list.contains(&asn),
            RemoteAs::Any => true,
        }
    }
}

impl RemoteAs {
    /// True where whoever was welcome by `older` still is: then a session may go on.
    #[must_use]
    pub fn covers(&self, older: &RemoteAs) -> bool {
        match older {
            RemoteAs::One(asn) => self.allows(*asn),
            RemoteAs::OneOf(list) => list.iter().all(|asn| self.allows(*asn)),
            RemoteAs::Any => *self == RemoteAs::Any,
        }
    }
}

/// BGP role of this speaker toward the peer (RFC 9234 §4.1); the value is that of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Role {
    /// We give the peer transit.
    Provider = 0,
    /// We are a route server.
    RouteServer = 1,
    /// The peer is a route server.
    RouteServerClient = 2,
    /// The peer gives us transit.
    Customer = 3,
    /// Neither pays.
    Peer = 4,
}

impl Role {
    /// The role of a wire value, if it is assigned.
    #[must_use]
    pub const fn from_wire(value: u8) -> Option<Role> {
        match value {
            0 => Some(Role::Provider),
            1 => Some(Role::RouteServer),
            2 => Some(Role::RouteServerClient),
            3 => Some(Role::Customer),
            4 => Some(Role::Peer),
            _ => None,
        }
    }

    /// The one role that the other side may have (RFC 9234 §4.2, table 2).
    #[must_use]
    pub const fn counterpart(self) -> Role {
        match self {
            Role::Provider => Role::Customer,
            Role::RouteServer => Role::RouteServerClient,
            Role::RouteServerClient => Role::RouteServer,
            Role::Customer => Role::Provider,
            Role::Peer => Role::Peer,
        }
    }
}

/// What is offered of ADD-PATH (RFC 7911) for one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AddPathOffer {
    /// The peer may send us several paths a prefix.
    pub receive: bool,
    /// We would like to send several.
    pub send: bool,
}

/// What is offered of graceful restart (RFC 4724). Offering it is what makes us a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrOffer {
    /// Seconds that the peer should wait for us; up to 4,095.
    pub restart_time: u16,
    /// Families whose forwarding state outlives our own restart. Empty: we only help.
    pub families: FamilySet,
    /// The N bit (RFC 8538): a NOTIFICATION starts a graceful restart, too.
    pub notification: bool,
    /// Helper's own bound on the peer's restart time, seconds.
    pub helper_time_max: u16,
}

impl Default for GrOffer {
    fn default() -> Self {
        GrOffer {
            restart_time: 120,
            families: FamilySet::EMPTY,
            notification: true,
            helper_time_max: crate::limits::RESTART_TIME_MAX,
        }
    }
}

/// Plain data: what a session needs to know about its peer. `internal` is not in it: the AS number
/// in the peer's OPEN decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionConfig {
    /// Our AS number toward this peer.
    pub local_as: Asn,
    /// Our BGP identifier, not zero.
    pub router_id: RouterId,
    /// The peer's AS number.
    pub remote_as: RemoteAs,
    /// Never open a connection, wait for the peer's.
    pub passive: bool,
    /// Offered hold time, seconds: 0 (off) or at least 3.
    pub hold_time: u16,
    /// Between attempts to connect; shortened by up to a quarter at random (RFC 4271 §10).
    pub connect_retry: Duration,
    /// SendHoldTimer (RFC 9687). `None`: 8 minutes or twice the hold time, whichever is more. Zero:
    /// off.
    pub send_hold: Option<Duration>,
    /// In Idle after a failure; doubles with each failure in a row.
    pub idle_hold: Duration,
    /// Where the doubling ends.
    pub idle_hold_max: Duration,
    /// Families offered.
    pub families: FamilySet,
    /// ADD-PATH, by [`Family::index`](thruway_wire::Family::index).
    pub add_path: [AddPathOffer; 2],
    /// Offer messages up to 65,535 octets (RFC 8654).
    pub extended_message: bool,
    /// Offer ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// Offer enhanced route refresh (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// Offer graceful restart, and help a peer that restarts.
    pub graceful_restart: Option<GrOffer>,
    /// Keep a peer's routes as long-lived stale (RFC 9494) for at most so many seconds after its
    /// restart time. Needs `graceful_restart`.
    pub long_lived: Option<u32>,
    /// Our role (RFC 9234), external peers only.
    pub role: Option<Role>,
    /// Refuse an external peer that does not tell its role.
    pub role_strict: bool,
    /// Host and domain name to tell the peer.
    pub fqdn: Option<(String, String)>,
    /// Offer IPv4 routes with IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Offer 4-octet AS numbers (RFC 6793). Off only to play an old speaker.
    pub as4: bool,
}

impl SessionConfig {
    /// A configuration with the defaults of this speaker.
    #[must_use]
    pub fn new(local_as: Asn, router_id: RouterId, remote_as: RemoteAs) -> Self {
        SessionConfig {
            local_as,
            router_id,
            remote_as,
            passive: false,
            hold_time: 90,
            connect_retry: Duration::from_secs(120),
            send_hold: None,
            idle_hold: Duration::from_secs(1),
            idle_hold_max: Duration::from_secs(60),
            families: FamilySet::ALL,
            add_path: [AddPathOffer::default(); 2],
            extended_message: true,
            route_refresh: true,
            enhanced_route_refresh: true,
            graceful_restart: Some(GrOffer::default()),
            long_lived: None,
            role: None,
            role_strict: false,
            fqdn: None,
            extended_next_hop: false,
            as4: true,
        }
    }

    /// The same without anything that takes a capability: for a peer that refuses OPENs with
    /// capabilities (RFC 5492 §3).
    pub(crate) fn without_capabilities(&self) -> Self {
        SessionConfig {
            families: self.families.intersection(FamilySet::IPV4),
            add_path: [AddPathOffer::default(); 2],
            extended_message: false,
            route_refresh: false,
            enhanced_route_refresh: false,
            graceful_restart: None,
            long_lived: None,
            role: None,
            fqdn: None,
            extended_next_hop: false,
            as4: false,
            ..self.clone()
        }
    }

    /// True where a session made with `older` would have to be made anew for this configuration.
    pub(crate) fn needs_reset(&self, older: &Self) -> bool {
        let timers_aside = SessionConfig {
            remote_as: older.remote_as.clone(),
            passive: older.passive,
            connect_retry: older.connect_retry,
            send_hold: older.send_hold,
            idle_hold: older.idle_hold,
            idle_hold_max: older.idle_hold_max,
            ..self.clone()
        };
        timers_aside != *older || !self.remote_as.covers(&older.remote_as)
    }
}
