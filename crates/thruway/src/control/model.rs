//! What the API says, as JSON: the daemon writes it, `thruway show` reads it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use thruway_exchange::Kind;
use thruway_wire::attrs::{AttrFlags, AttrSetRef};
use thruway_wire::{Asn, Community, ExtendedCommunity, LargeCommunity, Prefix, RouterId};

/// The daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its AS.
    pub asn: Asn,
    /// Its BGP identifier.
    pub router_id: RouterId,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Its configuration file.
    pub config: String,
    /// Transport in use.
    pub transport: String,
    /// Worker threads.
    pub workers: usize,
    /// Shards of the RIB.
    pub shards: usize,
    /// Sessions configured and dynamic.
    pub peers: usize,
    /// Of these, Established.
    pub established: usize,
    /// IPv4 prefixes.
    pub ipv4_prefixes: u64,
    /// IPv6 prefixes.
    pub ipv6_prefixes: u64,
    /// Paths.
    pub paths: u64,
    /// Distinct attribute sets.
    pub attribute_sets: u64,
    /// Resident memory, octets.
    pub memory: u64,
    /// Messages received.
    pub messages_in: u64,
    /// UPDATEs received.
    pub updates_in: u64,
    /// Octets received.
    pub bytes_in: u64,
    /// UPDATEs encoded; one may go to many peers.
    pub updates_encoded: u64,
    /// Octets sent.
    pub bytes_out: u64,
    /// Octets that wait for peers' sockets.
    pub queued: u64,
    /// Things that an operator should know.
    pub warnings: Vec<String>,
}

/// A peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Its AS: of the session, or as configured.
    pub asn: Option<Asn>,
    /// What it is.
    pub role: String,
    /// RFC 4271 state.
    pub state: String,
    /// Seconds in Established.
    pub uptime_seconds: Option<u64>,
    /// What it is to the virtual network, in exchange mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The NVA or gateway that it is a session of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// It came by a range.
    pub dynamic: bool,
    /// That range's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// Held down by an operator.
    pub shutdown: bool,
    /// Its BGP identifier.
    pub router_id: Option<RouterId>,
    /// Ends of the connection: ours, theirs.
    pub local_address: Option<SocketAddr>,
    /// Theirs.
    pub remote_address: Option<SocketAddr>,
    /// Seconds agreed on.
    pub hold_time: Option<u16>,
    /// Families and capabilities agreed on.
    pub capabilities: Vec<String>,
    /// Its update group.
    pub update_group: Option<u16>,
    /// IPv4 routes.
    pub ipv4: RouteCounts,
    /// IPv6 routes.
    pub ipv6: RouteCounts,
    /// Messages received: OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE-REFRESH.
    pub messages_in: [u64; 5],
    /// Messages sent.
    pub messages_out: [u64; 5],
    /// Octets received.
    pub bytes_in: u64,
    /// Octets sent.
    pub bytes_out: u64,
    /// Times the session was lost.
    pub flaps: u64,
    /// Octets that wait for its socket.
    pub queued: usize,
    /// It does not read as fast as it is told.
    pub slow: bool,
    /// Malformed UPDATEs: attribute discarded, treated as withdraw, family disabled, session reset.
    pub update_errors: [u64; 4],
    /// How often it could not be sent a route that it may have, for its size (RFC 8654) or next hop
    /// (RFC 8950).
    pub unsendable: u64,
    /// Why the session ended last, and how many seconds ago.
    pub last_error: Option<(String, u64)>,
    /// Its connections are refused for its failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damped: Option<PeerDamped>,
    /// Seconds of the longest silence in this session.
    pub longest_silence: f64,
    /// What an operator should know.
    pub notes: Vec<String>,
    /// How often each statement of its import policy held.
    #[serde(default)]
    pub import_policy: Option<PolicyHits>,
    /// Of its update group's export policy.
    #[serde(default)]
    pub export_policy: Option<PolicyHits>,
    /// Its limits.
    #[serde(default)]
    pub limits: Vec<PeerLimit>,
}

/// Connections of a peer that failed again and again are refused with Cease/5 (RFC 4271 §8.1.1).
/// `thruway reset NAME start` ends that; the keys `idle-hold` and `idle-hold-max` set the spans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerDamped {
    /// Failures in a row.
    pub failures: u8,
    /// Seconds since the last of them.
    pub since_seconds: f64,
    /// Seconds until connections are taken again.
    pub until_seconds: f64,
    /// How the last one ended.
    pub reason: String,
}

/// A limit on a peer's prefixes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerLimit {
    /// `received`: on what it tells; `advertised`: on what it is told.
    pub direction: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Largest count.
    pub limit: u32,
    /// Count at which it warns.
    pub warn_at: u32,
    /// What happens above the limit: `warn`, `block` or `restart`.
    pub action: String,
    /// The count now.
    pub count: u64,
    /// Prefixes that are held back.
    pub held_back: u64,
}

/// A policy's statements and how often each one's conditions held. A verdict that was remembered for
/// a whole attribute set counts once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyHits {
    /// Its name.
    pub policy: String,
    /// Statements in order.
    pub statements: Vec<StatementHits>,
    /// Routes that came to its end.
    pub default: u64,
}

/// One statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatementHits {
    /// Its number and name.
    pub statement: String,
    /// How often it held.
    pub hits: u64,
}

/// Routes of one peer and family.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteCounts {
    /// Paths held.
    pub received: u64,
    /// Of these, accepted.
    pub accepted: u64,
    /// Of these, rejected by checks or policy.
    pub rejected: u64,
    /// Kept over a restart or refresh.
    pub stale: u64,
    /// Of what it told, held back by a limit.
    #[serde(default)]
    pub blocked: u64,
    /// Told to the peer.
    pub advertised: u64,
    /// Kept from the peer by a limit.
    #[serde(default)]
    pub held_back: u64,
    /// Its End-of-RIB has come.
    pub received_all: bool,
    /// It was sent End-of-RIB.
    pub sent_all: bool,
}

/// A path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Prefix.
    pub network: Prefix,
    /// Next hop.
    pub next_hop: Option<IpAddr>,
    /// AS path.
    pub as_path: String,
    /// Kind of source: `EBgp`; `Igp` for internal peers and the network's own.
    pub origin: String,
    /// Address of the peer whose path it is.
    pub source_peer: Option<IpAddr>,
    /// Our address in the session with it.
    pub local_address: Option<IpAddr>,
    /// As the field's tools print it; it has no part in the decision.
    pub weight: u32,
    /// Name of the peer whose path it is.
    pub peer: String,
    /// ORIGIN: `IGP`, `EGP`, `INCOMPLETE`.
    pub origin_code: String,
    /// MULTI_EXIT_DISC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// LOCAL_PREF.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    /// Standard communities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<Community>,
    /// Extended communities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended_communities: Vec<ExtendedCommunity>,
    /// Large communities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large_communities: Vec<LargeCommunity>,
    /// ADD-PATH identifier.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub path_id: u32,
    /// It is the best of all.
    pub best: bool,
    /// `fresh`, `stale` or `long-lived`.
    pub stale: String,
    /// Import changed its attributes.
    pub changed: bool,
    /// Why import did not accept it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// Where it lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// `explain --to`: `told`, or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
}

/// The step of the decision process that a path lost at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// Its number.
    pub step: u8,
    /// In words.
    pub why: String,
    /// Name of the peer with the better path.
    pub to: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Route {
    /// The part of a path that its attributes tell.
    #[must_use]
    pub fn from_attrs(network: Prefix, set: AttrSetRef<'_>) -> Self {
        let meta = set.meta;
        let origin_code = match meta.origin {
            0 => "IGP",
            1 => "EGP",
            _ => "INCOMPLETE",
        };
        Route {
            network,
            next_hop: set.next_hop().map(|next_hop| next_hop.addr()),
            as_path: set.as_path().to_string(),
            origin: String::new(),
            source_peer: None,
            local_address: None,
            weight: 32_768,
            peer: String::new(),
            origin_code: origin_code.to_owned(),
            med: meta.flags.has(AttrFlags::MED).then_some(meta.med),
            local_pref: meta
                .flags
                .has(AttrFlags::LOCAL_PREF)
                .then_some(meta.local_pref),
            communities: set.communities().collect(),
            extended_communities: set.extended_communities().collect(),
            large_communities: set.large_communities().collect(),
            path_id: 0,
            best: false,
            stale: "fresh".to_owned(),
            changed: false,
            rejected: None,
            lost: None,
            told: None,
        }
    }
}

/// An error, as the API answers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// One sentence.
    pub error: String,
}
