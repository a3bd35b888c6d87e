//! The virtual network: its switch, its NVAs and gateways, and who advertises to whom.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thruway_exchange::Kind;
use thruway_wire::{Asn, Prefix};

use crate::{HostsTotals, KernelTable};

/// The virtual network as it is now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeView {
    /// Route exchange is on.
    pub enabled: bool,
    /// Whose word that is: `file` or `command`.
    pub set_by: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// What the configuration file says.
    pub file_says: bool,
    /// The configuration file.
    pub config: String,
    /// Where a command's word is kept.
    pub state_file: String,
    /// Why it will not outlive a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Which kind of source wins for equal prefixes.
    pub preference: String,
    /// The server's AS.
    pub asn: Asn,
    /// The network's own address space.
    pub vnet: VnetView,
    /// NVAs and gateways.
    pub members: Vec<Member>,
    /// Who tells whom how much.
    pub matrix: Vec<MatrixCell>,
    /// What hosts get.
    pub hosts: HostsSummary,
}

/// The network's own address space.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VnetView {
    /// Its prefixes.
    pub prefixes: Vec<Prefix>,
    /// Networks peered with it.
    pub peered: Vec<PeeredView>,
    /// What the prefixes point at.
    pub next_hops: Vec<IpAddr>,
}

/// A peered network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeeredView {
    /// Its name.
    pub name: String,
    /// Its prefixes.
    pub prefixes: Vec<Prefix>,
}

/// An NVA or gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// `up`, `degraded` or `down`.
    pub state: String,
    /// Why it is degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its sessions.
    pub sessions: Vec<MemberSession>,
}

/// A session of an NVA or gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberSession {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Its AS.
    pub asn: Option<Asn>,
    /// RFC 4271 state.
    pub state: String,
    /// Seconds in Established.
    pub uptime_seconds: Option<u64>,
    /// When it was lost, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_since: Option<String>,
    /// Routes learned and accepted.
    pub learned: u64,
    /// Routes advertised.
    pub advertised: u64,
    /// Routes that a limit keeps from it.
    pub held_back: u64,
}

/// One cell of the matrix.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatrixCell {
    /// Learned from.
    pub from: Kind,
    /// Advertised to.
    pub to: Kind,
    /// Routes flow from there to there.
    pub allowed: bool,
    /// Prefixes that go there.
    pub prefixes: u64,
    /// Prefixes that the matrix keeps back.
    pub kept_back: u64,
    /// Prefixes for which another source is better.
    pub beaten: u64,
    /// Why nothing goes there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// What hosts get, in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostsSummary {
    /// Where routes are installed; absent where they are computed and shown only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelTable>,
    /// How many of each.
    pub totals: HostsTotals,
}

/// What a new position of the switch did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwitchReport {
    /// Route exchange is on.
    pub enabled: bool,
    /// It was not so before.
    pub changed: bool,
    /// Milliseconds until everybody was told what it changes.
    pub took_ms: f64,
    /// It has taken effect everywhere; false: not within the time that it may take.
    pub settled: bool,
    /// Routes announced to all sessions.
    pub announced: u64,
    /// Routes withdrawn from them.
    pub withdrawn: u64,
    /// By session, hosts included.
    pub peers: Vec<SwitchPeer>,
    /// Sessions whose neighbours have not read all of it yet.
    pub behind: Vec<String>,
    /// Where the position is kept.
    pub state_file: String,
    /// Why it will not outlive a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What one session was told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwitchPeer {
    /// Its name; `network` stands for the hosts.
    pub name: String,
    /// What it is.
    pub kind: Option<Kind>,
    /// Routes announced to it.
    pub announced: u64,
    /// Routes withdrawn from it.
    pub withdrawn: u64,
}
