//! What a changed configuration would do: `thruway plan`.

use serde::{Deserialize, Serialize};
use thruway_exchange::Kind;
use thruway_wire::Prefix;

use crate::PlannedExpectation;

/// A configuration that is not in force.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proposal {
    /// The file's text, with the members of sets in the place of files that hold them. Without it: the
    /// file that the server runs from, as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whose routes are to be listed, by name or address; `hosts` for the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// What would happen if the file were put in force.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
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
    /// Why the running server would refuse it, where it is not for a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What else an operator should know.
    pub notes: Vec<String>,
    /// Something would change.
    pub changes: bool,
    /// The number of what runs; 0 where no history is kept.
    #[serde(default)]
    pub running: u64,
    /// Of a rollback: the number of what it goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<u64>,
    /// Every key that changes, with its values.
    pub keys: Vec<PlannedKey>,
    /// What would become of routes: each session for which something would.
    pub routes: Vec<PlannedRoutes>,
    /// Each route of the peer that was asked about.
    pub listed: Vec<PlannedRoute>,
    /// Routes beyond those listed.
    pub not_listed: u64,
    /// What becomes of each expectation.
    #[serde(default)]
    pub expectations: Vec<PlannedExpectation>,
    /// Expectations that are new, gone or different.
    #[serde(default)]
    pub expect: Vec<String>,
}

/// A key that changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedKey {
    /// Where it stands: `server`, `exchange`, or a peer's name.
    pub place: String,
    /// The key.
    pub key: String,
    /// When it takes effect: `at once`, `routes`, `session` or `restart`.
    pub effect: String,
    /// In force now.
    pub from: String,
    /// Then.
    pub to: String,
}

/// What would become of the routes of a session and family.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRoutes {
    /// The session's name; `hosts` for the network's.
    pub peer: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// What becomes of the session, where it does not simply go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Routes advertised to it now.
    pub advertised_now: u64,
    /// Routes advertised to it then.
    pub advertised_then: u64,
    /// Of those then: not advertised now.
    pub announced: u64,
    /// Of those then: advertised with other attributes.
    pub changed: u64,
    /// Of those now: not advertised then.
    pub withdrawn: u64,
    /// Its routes that are accepted now.
    pub accepted_now: u64,
    /// Its routes that are accepted then.
    pub accepted_then: u64,
    /// Its routes that are rejected now and accepted then.
    pub newly_accepted: u64,
    /// Its routes that are accepted now and rejected then.
    pub newly_rejected: u64,
    /// Its routes that are accepted with other attributes.
    pub accepted_changed: u64,
    /// Its routes that go.
    pub gone: u64,
}

/// A route that changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRoute {
    /// `+`, `~` or `-`.
    pub mark: char,
    /// `advertised` to the peer, or `learned` from it.
    pub direction: String,
    /// Destination.
    pub network: Prefix,
    /// ADD-PATH identifier, 0 without.
    pub path_id: u32,
    /// Whose path it is, where it is advertised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why it is rejected then, or was now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Attributes that differ; all of them where the route comes or goes.
    pub attributes: Vec<AttributeChange>,
}

/// An attribute that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttributeChange {
    /// Its name.
    pub name: String,
    /// Now; `None`: it is not there.
    pub now: Option<String>,
    /// Then.
    pub then: Option<String>,
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
