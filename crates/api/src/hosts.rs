//! The routes of the virtual network's hosts.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thruway_wire::Prefix;

/// The hosts' routes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostsView {
    /// The session with the route server: `connecting`, `established`, or how it broke.
    pub session: String,
    /// Where routes are installed; absent where they are computed and shown only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelTable>,
    /// How many of each.
    pub totals: HostsTotals,
    /// In the order of their prefixes.
    pub routes: Vec<HostRoute>,
}

/// Where routes are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelTable {
    /// The kernel's table.
    pub table: u32,
    /// Protocol number that marks the routes as ours.
    pub protocol: u8,
    /// Metric of the routes.
    pub metric: u32,
    /// Next hops of a route at most.
    pub max_paths: u8,
    /// Routes stay when the server stops.
    pub keep_on_exit: bool,
}

/// Counters of the hosts' side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostsTotals {
    /// Prefixes that hosts should have.
    pub routes: u64,
    /// Of these, in the kernel.
    pub in_kernel: u64,
    /// Of these, with an error.
    pub errors: u64,
    /// Routes of an earlier run in the kernel that nothing has asked for yet.
    pub leftovers: u64,
    /// Routes that wait to be written to the kernel.
    pub waiting: u64,
    /// Routes written to the kernel, since the start.
    pub installed: u64,
    /// Routes taken out of the kernel, since the start.
    pub removed: u64,
    /// Routes put back that somebody else had taken out, since the start.
    pub repaired: u64,
}

/// One prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRoute {
    /// The destination.
    pub network: Prefix,
    /// Where it is.
    pub state: HostState,
    /// Why it is not in the kernel, or not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its ECMP set, in the order of the addresses.
    pub next_hops: Vec<HostHop>,
}

/// Where a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Known to the server only.
    InRib,
    /// In the kernel's table.
    InKernel,
}

impl std::fmt::Display for HostState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            HostState::InRib => "in-rib",
            HostState::InKernel => "in-kernel",
        })
    }
}

/// A next hop of a route, and what it resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostHop {
    /// As the route has it.
    pub address: IpAddr,
    /// The neighbours that the kernel sends to; empty where nothing is installed.
    pub via: Vec<HostGateway>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A neighbour on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostGateway {
    /// The next hop itself where it is on-link, else the router on the way to it.
    pub gateway: IpAddr,
    /// Name of the link.
    pub interface: String,
}
