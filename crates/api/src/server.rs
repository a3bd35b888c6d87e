//! The server as a whole.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thruway_wire::{Asn, RouterId};

use crate::{Revision, SwitchReport};

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
    /// Which configuration runs.
    #[serde(default)]
    pub revision: Revision,
}

/// What a reload did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReloadReport {
    /// Peers and ranges that are new.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
    /// Those that are different.
    pub changed: Vec<String>,
    /// How many are as they were.
    pub unchanged: usize,
    /// Keys of `[server]` that are others.
    #[serde(default)]
    pub server: Vec<String>,
    /// Peers and ranges whose sessions ended for it, and come back.
    #[serde(default)]
    pub ended: Vec<String>,
    /// What changed of the virtual network besides its sessions.
    pub exchange: Vec<String>,
    /// What the switch did, where its position changed.
    pub switch: Option<SwitchReport>,
    /// What an operator should know of the file.
    pub warnings: Vec<String>,
    /// Expectations that are new, gone or different.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Expectations that it broke, by force.
    #[serde(default)]
    pub broken: Vec<String>,
    /// The number of what is in force now, where a history is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Seconds until it is taken back, unless somebody confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_seconds: Option<u64>,
}

/// An error, as the API answers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// One sentence.
    pub error: String,
}
