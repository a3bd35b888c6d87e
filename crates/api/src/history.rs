//! Configurations that were in force.

use serde::{Deserialize, Serialize};

/// Which configuration runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its number; 0 where no history is kept.
    pub number: u64,
    /// The file says something else.
    pub file_differs: bool,
    /// It is a change that waits for its confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingView>,
}

/// A change that is taken back unless somebody confirms it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingView {
    /// Its number.
    pub number: u64,
    /// What it goes back to.
    pub back_to: u64,
    /// Who made it.
    pub author: String,
    /// Seconds that are left.
    pub seconds: u64,
}

/// The history.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryView {
    /// The oldest first.
    pub entries: Vec<HistoryEntry>,
    /// Files that make no sense, and why.
    pub damaged: Vec<String>,
}

/// One configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its number.
    pub number: u64,
    /// It is the one in force.
    pub running: bool,
    /// When it came into force, RFC 3339.
    pub at: String,
    /// Who brought it.
    pub author: String,
    /// What they said of it.
    pub comment: String,
    /// `start`, `reload`, `rollback` or `taken back`.
    pub kind: String,
    /// What changed, in a line.
    pub what: String,
}

/// The text of a configuration. It holds what the configuration holds, keys included.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationText {
    /// TOML that names no files.
    pub text: String,
}

/// A change was confirmed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmReport {
    /// Its number.
    pub number: u64,
}
