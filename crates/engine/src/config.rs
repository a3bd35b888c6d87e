//! What the composition tells a worker about itself and its peers: plain data.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thruway_policy::Policy;
use thruway_rib::{
    AddPathSend, DecisionConfig, Eligibility, Hygiene, LimitAction, PeerClass, PeerId, WorkerId,
};
use thruway_session::{RemoteAs, SessionConfig};
use thruway_wire::{Prefix, RouterId};

use crate::limits::Bounds;

/// What makes one worker of N.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Which one.
    pub id: WorkerId,
    /// Workers in all.
    pub workers: usize,
    /// Shards in all; shard n lives on worker n.
    pub shards: usize,
    /// Keys every hash and every jitter. The same on all workers: they must agree on a prefix's
    /// shard.
    pub seed: u64,
    /// How the decision process compares.
    pub decision: DecisionConfig,
    /// Bounds of a turn and of queues.
    pub bounds: Bounds,
}

/// A policy by name. Equal names are one policy to update groups; a reload puts another compiled
/// policy under the name. Only the name is serialised.
#[derive(Clone, Serialize, Deserialize)]
pub struct PolicyRef {
    name: Arc<str>,
    #[serde(skip)]
    policy: Option<Arc<Policy>>,
}

impl PolicyRef {
    /// A compiled policy.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        PolicyRef {
            name: policy.name().into(),
            policy: Some(policy),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The compiled policy. One that was deserialised is `reject` until [`PolicyRef::resolve`].
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.clone().unwrap_or_else(Policy::reject)
    }

    /// Puts the compiled policy of this name in its place.
    pub fn resolve(&mut self, find: impl FnOnce(&str) -> Option<Arc<Policy>>) {
        self.policy = find(&self.name);
    }
}

impl fmt::Debug for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyRef({})", self.name)
    }
}

/// What a peer is to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerRole {
    /// RFC 7947: path and next hop untouched, an answer of its own.
    RouteServerClient,
    /// Plain eBGP.
    External,
    /// Plain iBGP.
    Internal,
    /// RFC 4456: a client of this reflector.
    ReflectorClient,
    /// The server's own network: its routes, and its hosts. iBGP inside the process; what it tells is
    /// the server's own, so that nothing is reflected and no rule of internal peers holds it back.
    Local,
}

impl PeerRole {
    /// All of them, in the order of their class.
    pub const ALL: [PeerRole; 5] = [
        PeerRole::RouteServerClient,
        PeerRole::External,
        PeerRole::Internal,
        PeerRole::ReflectorClient,
        PeerRole::Local,
    ];

    /// Its row and column in [`PeerRole::eligibility`].
    #[must_use]
    pub const fn class(self) -> PeerClass {
        PeerClass(match self {
            PeerRole::RouteServerClient => 0,
            PeerRole::External => 1,
            PeerRole::Internal => 2,
            PeerRole::ReflectorClient => 3,
            PeerRole::Local => 4,
        })
    }

    /// The matrix of plain BGP: everything goes to everyone, but for internal routes, which go to
    /// internal peers only where one side is a reflector's client (RFC 4271 §9.2.1, RFC 4456 §6).
    #[must_use]
    pub const fn eligibility() -> Eligibility {
        let all = 0b1_1111;
        let mut rows = [0; 32];
        rows[0] = all;
        rows[1] = all;
        rows[2] = all & !(1 << 2);
        rows[3] = all;
        rows[4] = all;
        Eligibility(rows)
    }
}

/// A limit on a peer's prefixes of one family, those that it tells or those that it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitConfig {
    /// Largest count.
    pub max: u32,
    /// Count at which to warn.
    pub warn_at: u32,
    /// What to do above `max`.
    pub action: LimitAction,
    /// Counts after policy, not as received. Means nothing for what is advertised to the peer.
    pub accepted_only: bool,
    /// With [`LimitAction::Restart`]: when to come back; `None`: when told to.
    pub restart_after: Option<Duration>,
}

/// How to reach a peer. The core does not look into it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportConfig {
    /// Local address, where it matters.
    pub local: Option<IpAddr>,
    /// TCP MD5 key (RFC 2385).
    #[serde(skip_serializing)]
    #[serde(default)]
    pub md5: Option<Vec<u8>>,
    /// GTSM (RFC 5082): hops at most.
    pub gtsm_hops: Option<u8>,
    /// TTL of our packets.
    pub ttl: Option<u8>,
}

impl fmt::Debug for TransportConfig {
    // A key must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportConfig")
            .field("local", &self.local)
            .field("md5", &self.md5.is_some())
            .field("gtsm_hops", &self.gtsm_hops)
            .field("ttl", &self.ttl)
            .finish()
    }
}

/// What goes out to a peer: all of it is part of its update group's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportConfig {
    /// Policy; `None` exports nothing to an external peer (RFC 8212), everything to an internal one.
    pub policy: Option<PolicyRef>,
    /// Well-known communities hold routes back (RFC 1997).
    pub interpret_communities: bool,
    /// Our own address is the next hop (RFC 4271 §5.1.3): plain eBGP. Else it is kept.
    pub next_hop_self: bool,
    /// Which, for IPv4 routes; `None`: our end of the session, where that is IPv4.
    pub next_hop_v4: Option<Ipv4Addr>,
    /// Which, for IPv6 routes; `None`: our end of the session, where that is IPv6.
    pub next_hop_v6: Option<Ipv6Addr>,
    /// How many paths, by family, where ADD-PATH was negotiated.
    pub add_path: [AddPathSend; 2],
    /// A member that may not have the best path gets the next (RFC 7947 §2.3.2.1).
    pub alternatives: bool,
    /// Our AS goes in front of the path: plain eBGP.
    pub prepend_own_as: bool,
    /// MULTI_EXIT_DISC is advertised onward.
    pub med: bool,
    /// Reflector's cluster (RFC 4456 §8), for reflector's clients and internal peers of a reflector.
    pub cluster: Option<RouterId>,
}

impl ExportConfig {
    /// What a role does without further words: RFC 7947 for route-server clients, RFC 4271 and 4456
    /// for the others. `cluster`: this speaker reflects, with this cluster identifier.
    #[must_use]
    pub fn for_role(role: PeerRole, policy: Option<PolicyRef>, cluster: Option<RouterId>) -> Self {
        let client = role == PeerRole::RouteServerClient;
        let external = role == PeerRole::External;
        ExportConfig {
            policy,
            interpret_communities: true,
            next_hop_self: external,
            next_hop_v4: None,
            next_hop_v6: None,
            add_path: [AddPathSend::Off; 2],
            alternatives: client,
            prepend_own_as: external,
            med: !external,
            cluster: cluster.filter(|_| !client && !external && role != PeerRole::Local),
        }
    }
}

/// A peer, or the template of a range's peers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerConfig {
    /// Its number, from [`crate::PeerIdPool`]. Meaningless in a template.
    pub id: PeerId,
    /// Its name.
    pub name: Arc<str>,
    /// Its address and port. Unspecified in a template.
    pub addr: SocketAddr,
    /// How to reach it.
    pub transport: TransportConfig,
    /// The session.
    pub session: SessionConfig,
    /// What it is.
    pub role: PeerRole,
    /// Its row and column in the eligibility matrix; [`PeerRole::class`] in plain BGP.
    pub class: PeerClass,
    /// The exchange's preference of its kind, 0 where there is none.
    pub rank: u8,
    /// Policy on import; `None` accepts nothing from an external peer (RFC 8212), everything from
    /// an internal one.
    pub import: Option<PolicyRef>,
    /// LOCAL_PREF in the place of what the peer sends, before anything looks at it. A change concerns
    /// what comes from then on, and asks the peer to send anew.
    pub local_pref: Option<u32>,
    /// Checks before the policy.
    pub hygiene: Hygiene,
    /// Limits by [`thruway_wire::Family::index`].
    pub limits: [Option<LimitConfig>; 2],
    /// Limits on what is advertised to the peer, by family. [`LimitAction::Block`] holds back what is too much,
    /// in the order of the table, and tells it when there is room.
    pub max_advertised: [Option<LimitConfig>; 2],
    /// What goes out.
    pub export: ExportConfig,
    /// Starts without a session (administratively down).
    pub shutdown: bool,
}

/// Any neighbour in a prefix.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RangeConfig {
    /// Its name; a peer of it is named after it and its address.
    pub name: Arc<str>,
    /// Whose connections are taken.
    pub prefix: Prefix,
    /// Which AS numbers they may have.
    pub asns: RemoteAs,
    /// Peers of it at a time, per worker.
    pub peers_max: u32,
    /// All the rest; its session is passive, its `id` and `addr` mean nothing.
    pub template: Box<PeerConfig>,
}
