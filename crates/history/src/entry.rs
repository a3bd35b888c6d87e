//! What the folder holds, as types.

use serde::{Deserialize, Serialize};

/// How a configuration came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The server started with it.
    Start,
    /// A reload.
    Reload,
    /// Somebody went back to an older one.
    Rollback,
    /// A change was taken back: nobody confirmed it.
    TakenBack,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Start => "start",
            Kind::Reload => "reload",
            Kind::Rollback => "rollback",
            Kind::TakenBack => "taken back",
        }
    }
}

/// One configuration of the past, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Who.
    pub author: String,
    /// What they said of it.
    pub comment: String,
    /// How.
    pub kind: Kind,
    /// What changed, in a line.
    pub what: String,
    /// The change that this took back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<u64>,
    /// Of its text.
    pub sha256: String,
}

/// What is to be remembered of a change.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Who.
    pub author: String,
    /// What they say of it.
    pub comment: String,
    /// How.
    pub kind: Kind,
    /// What changes, in a line.
    pub what: String,
    /// The change that this takes back.
    pub undone: Option<u64>,
}

/// A file that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its name.
    pub file: String,
    /// What is wrong.
    pub why: String,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Its number.
    pub number: u64,
    /// The digest of what the file said when it was passed over: until the file says something else, what
    /// runs comes from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
}

/// A change that goes back unless somebody confirms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Its number.
    pub number: u64,
    /// The number of what ran before.
    pub back_to: u64,
    /// Once confirmed, this digest of the file is passed over ([`Running::taken_back`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<String>,
    /// Taken back, this one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
    /// Seconds since 1970 at which its time is over.
    pub until: u64,
    /// Who made it.
    pub author: String,
}
