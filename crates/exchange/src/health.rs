//! Whether a gateway has the sessions that it needs.

use serde::{Deserialize, Serialize};

use crate::Kind;

/// A gateway, as seen from its sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Health {
    /// All that it needs.
    Up,
    /// Some: its routes flow, but one more failure ends that.
    Degraded {
        /// Which instance is missing and since when.
        reason: String,
    },
    /// None.
    Down,
}

/// One instance of a gateway, and its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance<'a> {
    /// Its name or address.
    pub name: &'a str,
    /// Its session is established.
    pub up: bool,
    /// Where it is not: since when, in words that follow "since"; `None` where it never was.
    pub since: Option<&'a str>,
}

/// Sessions that a gateway of a kind needs. A VPN gateway is active-active: two instances, so that
/// one can fail.
const fn needed(kind: Kind) -> usize {
    match kind {
        Kind::Vpn => 2,
        _ => 1,
    }
}

impl Health {
    /// The health of a gateway whose known instances are `instances`: those that the configuration
    /// lists, or those that have connected from its subnet.
    #[must_use]
    pub fn of(kind: Kind, instances: &[Instance<'_>]) -> Health {
        let up = instances.iter().filter(|instance| instance.up).count();
        if up == 0 {
            return Health::Down;
        }
        let mut missing: Vec<String> = instances
            .iter()
            .filter(|instance| !instance.up)
            .map(|instance| match instance.since {
                Some(since) => format!("{} is down since {since}", instance.name),
                None => format!("{} has never connected", instance.name),
            })
            .collect();
        if instances.len() < needed(kind) {
            missing.push("the second instance has never connected".into());
        }
        if missing.is_empty() {
            Health::Up
        } else {
            Health::Degraded {
                reason: missing.join(", "),
            }
        }
    }

    /// `up`, `degraded` or `down`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Health::Up => "up",
            Health::Degraded { .. } => "degraded",
            Health::Down => "down",
        }
    }
}
