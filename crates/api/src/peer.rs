//! Peers: their sessions, limits and policies.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use thruway_exchange::Kind;
use thruway_wire::{Asn, RouterId};

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
    /// It does not read as fast as it is written to.
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
    /// `received`: on what it tells; `advertised`: on what is advertised to it.
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
    /// Advertised to the peer.
    pub advertised: u64,
    /// Kept from the peer by a limit.
    #[serde(default)]
    pub held_back: u64,
    /// Its End-of-RIB has come.
    pub received_all: bool,
    /// It was sent End-of-RIB.
    pub sent_all: bool,
}

/// What `POST /v1/peers/NAME/reset` does to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Import again what was received (RFC 2918 §4): by ROUTE-REFRESH where nothing is kept.
    SoftIn,
    /// Advertise everything again.
    SoftOut,
    /// Close the session with Cease/4 (RFC 4486 §4) and this text (RFC 9003).
    Hard(String),
    /// Close it with Cease/2 and this text, and keep it down.
    Shutdown(String),
    /// Let it come up again, and end a damping.
    Start,
}

impl Reset {
    /// What `kind` means in a request, with the text that goes along with it.
    ///
    /// # Errors
    /// The kinds that there are.
    pub fn parse(kind: &str, text: String) -> Result<Self, String> {
        Ok(match kind {
            "soft-in" => Reset::SoftIn,
            "soft-out" => Reset::SoftOut,
            "hard" => Reset::Hard(text),
            "shutdown" => Reset::Shutdown(text),
            "start" => Reset::Start,
            other => {
                return Err(format!(
                    "`{other}` is no reset: soft-in, soft-out, hard, shutdown, start"
                ));
            }
        })
    }

    /// Its name in a request.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Reset::SoftIn => "soft-in",
            Reset::SoftOut => "soft-out",
            Reset::Hard(_) => "hard",
            Reset::Shutdown(_) => "shutdown",
            Reset::Start => "start",
        }
    }
}

/// Whose session was reset.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetReport {
    /// The peers, with commas between them.
    pub peer: String,
    /// What was done.
    pub reset: String,
}
