//! The decision ladder (RFC 4271 §9.1.2.2, RFC 4456 §9, RFC 7947, RFC 9494 §4.3).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The step of the ladder at which a path lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// 1: the exchange's rank of the source's kind.
    Rank,
    /// 2: long-lived stale loses (RFC 9494 §4.3).
    LongLivedStale,
    /// 3: higher LOCAL_PREF (RFC 4271 §9.1.1).
    LocalPref,
    /// 4: shorter AS_PATH (§9.1.2.2 a).
    AsPathLen,
    /// 5: lower ORIGIN (b).
    Origin,
    /// 6: lower MULTI_EXIT_DISC within a neighbour AS (c).
    Med,
    /// 7: external over internal (d).
    External,
    /// 8: lower BGP identifier, or ORIGINATOR_ID (f, RFC 4456 §9). (e), the cost to the next hop, is
    /// equal for all: a route server is not on the way.
    RouterId,
    /// 9: shorter CLUSTER_LIST (RFC 4456 §9).
    ClusterLen,
    /// 10: lower peer address (g).
    PeerAddr,
    /// 11: lower received path identifier (RFC 7911), so that nothing ties.
    PathId,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Rank => "rank",
            Step::LongLivedStale => "long-lived stale",
            Step::LocalPref => "local preference",
            Step::AsPathLen => "AS path length",
            Step::Origin => "origin",
            Step::Med => "MED",
            Step::External => "external over internal",
            Step::RouterId => "router id",
            Step::ClusterLen => "cluster list length",
            Step::PeerAddr => "peer address",
            Step::PathId => "path id",
        })
    }
}
