//! What a shard knows about peers and groups: plain data, made by the engine from the configuration and
//! the session, replaced as a whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use serde::{Deserialize, Serialize};
use thruway_policy::Policy;
use thruway_wire::encode::{Encoding, Rewrite};
use thruway_wire::{Asn, Family, FamilySet, Prefix, RouterId};

use crate::{GroupId, PeerClass, PeerId, WorkerId};

/// Who may be advertised whose routes, by class: bit `to` of row `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eligibility(pub [u32; 32]);

impl Eligibility {
    /// True where routes of class `from` may go to class `to`.
    #[must_use]
    pub fn allows(&self, from: PeerClass, to: PeerClass) -> bool {
        self.0
            .get(from.index())
            .is_some_and(|row| row >> (to.0 & 31) & 1 == 1)
    }
}

/// How the decision process compares (RFC 4271 §9.1.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionConfig {
    /// Compare MED between different neighbour ASes too.
    pub always_compare_med: bool,
    /// A missing MED is the worst, not 0.
    pub missing_med_worst: bool,
}

/// A peer as its import side needs it.
#[derive(Clone, Debug)]
pub struct PeerProfile {
    /// Its number.
    pub id: PeerId,
    /// Its name in the configuration.
    pub name: String,
    /// Its AS.
    pub asn: Asn,
    /// Its address.
    pub addr: IpAddr,
    /// Its BGP identifier, from its OPEN.
    pub router_id: RouterId,
    /// Our addresses toward it, by family: what `next-hop = "self"` means in its policies.
    pub local: (Option<Ipv4Addr>, Option<Ipv6Addr>),
    /// Our link-local address on the link that we share with it, if we do.
    pub link_local: Option<Ipv6Addr>,
    /// iBGP.
    pub internal: bool,
    /// Its row in the eligibility matrix.
    pub class: PeerClass,
    /// The exchange's rank of its kind (EXCHANGE.md preference): higher is better, 0 where there is none.
    pub rank: u8,
    /// Worker that owns the session: where notes go.
    pub home: WorkerId,
    /// Families whose NLRI it sends with path identifiers.
    pub add_path_rx: FamilySet,
    /// Import policy; `None` accepts nothing (RFC 8212).
    pub import: Option<Arc<Policy>>,
    /// Checks before the policy.
    pub hygiene: Hygiene,
    /// Limits by family.
    pub limits: [Option<Arc<PrefixLimit>>; 2],
}

/// Inbound checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hygiene {
    /// Our AS: a path that holds it more than `allow_own_as` times is a loop (RFC 4271 §9.1.2).
    pub local_as: Asn,
    /// Occurrences of our AS to put up with.
    pub allow_own_as: u8,
    /// Our identifier: ORIGINATOR_ID must not be it (RFC 4456 §8).
    pub router_id: RouterId,
    /// Our cluster: CLUSTER_LIST must not hold it (RFC 4456 §8).
    pub cluster_id: RouterId,
    /// The path's first AS must be the peer's (RFC 4271 §6.3), external peers only.
    pub enforce_first_as: bool,
    /// AS_SET and AS_CONFED_SET are accepted (RFC 9774 says no).
    pub allow_as_sets: bool,
    /// Longest path accepted, in AS hops.
    pub as_path_max: u16,
    /// What next hop is accepted.
    pub next_hop: NextHopCheck,
    /// Prefixes that no network may route ([`Prefix::is_martian`]) and that are taken all the same, with
    /// what lies in them.
    pub martians: Arc<[Prefix]>,
    /// Well-known communities are obeyed: GRACEFUL_SHUTDOWN sets LOCAL_PREF 0 (RFC 8326).
    pub interpret_communities: bool,
}

impl Hygiene {
    /// True where a prefix that no network may route may be announced here.
    #[must_use]
    pub fn admits_martian(&self, prefix: Prefix) -> bool {
        self.martians.iter().any(|known| known.covers(prefix))
    }
}

/// Which next hops a peer may announce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NextHopCheck {
    /// Its own address.
    Peer,
    /// Its own, or that of a peer of the same AS (the addresses, kept by the engine).
    SameAs(Arc<[IpAddr]>),
    /// Any in these prefixes.
    Subnet(Arc<[Prefix]>),
    /// Any that is unicast.
    Any,
}

/// A limit on the prefixes that one peer has in the table, over all shards.
#[derive(Debug)]
pub struct PrefixLimit {
    /// Largest count.
    pub max: u32,
    /// Count at which to warn.
    pub warn_at: u32,
    /// What to do above it.
    pub action: LimitAction,
    /// Counts paths after policy, not as received.
    pub accepted_only: bool,
    /// Prefixes held, the sum over all shards.
    pub held: AtomicU32,
}

/// What happens above a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitAction {
    /// Say so.
    Warn,
    /// Keep what is there, take no further prefixes until there is room.
    Block,
    /// End the session (Cease/1), come back later.
    Restart,
}

/// A limit on the prefixes that a peer is advertised, over all shards.
#[derive(Clone, Debug)]
pub struct AdvertisedLimit {
    /// Largest count.
    pub max: u32,
    /// Count at which to warn.
    pub warn_at: u32,
    /// What to do above it. Only [`LimitAction::Warn`] tells more than `max`.
    pub action: LimitAction,
    /// Prefixes advertised, the sum over all shards. A limit that is changed goes on with its count.
    pub held: Arc<AtomicU32>,
}

/// How many paths a group's members get of a prefix (RFC 7911).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AddPathSend {
    /// The best, without identifiers.
    #[default]
    Off,
    /// All that they may have.
    All,
    /// The best n.
    Best(u8),
    /// The best, and those that tie with it at every step before the router id (8): what a router
    /// would spread packets over. At most n, the better first.
    Multipath(u8),
}

/// An update group: members whose bytes are the same.
#[derive(Clone, Debug)]
pub struct GroupProfile {
    /// Its number.
    pub id: GroupId,
    /// Families of its members. Members with other families are in another group.
    pub families: FamilySet,
    /// Its members' column in the eligibility matrix.
    pub class: PeerClass,
    /// Who may be advertised whose routes.
    pub eligibility: Eligibility,
    /// Its members are external to us.
    pub external: bool,
    /// A member masked out of the group's answer, and a group whose policy refuses the best path,
    /// get the best over the rest (RFC 7947 §2.3.2.1); else nothing.
    pub alternatives: bool,
    /// Well-known communities hold routes back (RFC 1997).
    pub interpret_communities: bool,
    /// Its members know of long-lived stale routes; others are not advertised them (RFC 9494 §4.3).
    pub long_lived: bool,
    /// Export policy; `None` exports nothing (RFC 8212).
    pub export: Option<Arc<Policy>>,
    /// Facts of the member where the policy matches on the receiver (then the group has one member).
    pub to: Option<Arc<PeerProfile>>,
    /// Limits on what is advertised to the member, by family: only with `to`, and there from the group's first
    /// profile to its last.
    pub limits: Option<[AdvertisedLimit; 2]>,
    /// ADD-PATH by family.
    pub add_path: [AddPathSend; 2],
    /// Attribute changes on the way out; `reflect` is filled in a source where `cluster` is set.
    pub rewrite: Rewrite,
    /// Reflector's cluster: ORIGINATOR_ID and CLUSTER_LIST are added to routes of internal peers.
    pub cluster: Option<RouterId>,
    /// Message form.
    pub encoding: Encoding,
}

impl GroupProfile {
    /// Message form of a family's routes.
    #[must_use]
    pub fn encoding_of(&self, family: Family) -> Encoding {
        let send = self.add_path.get(family.index()).copied();
        Encoding {
            add_path: send.unwrap_or_default() != AddPathSend::Off,
            ..self.encoding
        }
    }
}
