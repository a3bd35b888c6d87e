//! Import: hygiene, then the peer's policy.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thruway_wire::{Asn, RouterId};

/// Why a path is not accepted; in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// Our AS stands in the path too often (RFC 4271 §9.1.2).
    AsLoop(Asn),
    /// AS 0 in the path or AGGREGATOR (RFC 7607 §2).
    AsZero,
    /// AS_SET or AS_CONFED_SET (RFC 9774 §3).
    AsSet,
    /// A confederation segment from outside (RFC 5065 §4).
    Confederation,
    /// The path's first AS is not the peer's (RFC 4271 §6.3).
    FirstAs {
        /// What stands there.
        found: Asn,
        /// The peer's.
        expected: Asn,
    },
    /// AS_PATH too long.
    PathTooLong {
        /// Hops.
        len: u16,
        /// Most.
        max: u16,
    },
    /// ORIGINATOR_ID is ours (RFC 4456 §8).
    OriginatorLoop(RouterId),
    /// CLUSTER_LIST holds our cluster (RFC 4456 §8).
    ClusterLoop(RouterId),
    /// The next hop is not one that the peer may announce.
    NextHop(Option<IpAddr>),
    /// No import policy is configured (RFC 8212 §2).
    NoPolicy,
    /// The import policy says no.
    Policy {
        /// Its name.
        policy: String,
        /// Label of the statement.
        statement: String,
    },
    /// Over the limit on accepted prefixes.
    OverLimit,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
