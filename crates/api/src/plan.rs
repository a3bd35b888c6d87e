//! What a changed configuration would do.

use serde::{Deserialize, Serialize};
use thruway_exchange::Kind;

/// A configuration that is not in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// The file's text, with the members of sets in the place of files that hold them.
    pub text: String,
}

/// What would happen if the file were put in force.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Keys of `[server]` that take a restart: a reload is refused.
    pub restart: Vec<String>,
    /// Keys of `[server]` that change as it runs.
    pub server: Vec<String>,
    /// What changes of the virtual network besides its sessions.
    pub exchange: Vec<String>,
    /// Policies that change.
    pub policies: Vec<String>,
    /// New peers and ranges.
    pub added: Vec<String>,
    /// Peers and ranges that go, with their sessions.
    pub removed: Vec<SessionChange>,
    /// Peers whose sessions start anew.
    pub reset: Vec<SessionChange>,
    /// Peers that change while their sessions go on.
    pub in_place: Vec<SessionChange>,
    /// The switch moves.
    pub switch: Option<Move>,
    /// The preference changes.
    pub preference: Option<Move>,
    /// Prefixes whose best kind of source the new preference changes.
    pub contested: u64,
    /// The network's prefixes that are new.
    pub vnet_added: Vec<String>,
    /// And those that go.
    pub vnet_removed: Vec<String>,
    /// Pairs of kinds between which another number of prefixes would flow.
    pub effects: Vec<Effect>,
    /// Limits of the new file, and what counts against them.
    pub limits: Vec<LimitForecast>,
    /// What else an operator should know.
    pub notes: Vec<String>,
}

/// A peer or range that changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionChange {
    /// Its name.
    pub name: String,
    /// What changes.
    pub keys: Vec<String>,
    /// Its sessions that are Established.
    pub sessions: Vec<String>,
}

/// From one setting to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// In force now.
    pub from: String,
    /// Then.
    pub to: String,
}

/// Prefixes that flow between two kinds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// Learned from.
    pub from: Kind,
    /// Advertised to.
    pub to: Kind,
    /// Prefixes now.
    pub now: u64,
    /// Prefixes then.
    pub then: u64,
}

/// A limit of the new file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitForecast {
    /// The session.
    pub peer: String,
    /// `max-prefixes` or `max-advertised`.
    pub key: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Largest count.
    pub limit: u32,
    /// Count at which it warns.
    pub warn_at: u32,
    /// What happens above the limit.
    pub action: String,
    /// What would count against it.
    pub count: u64,
    /// Within the limit and below the threshold.
    pub fits: bool,
    /// What would happen, in words.
    pub effect: String,
}
