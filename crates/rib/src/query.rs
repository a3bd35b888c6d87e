//! Questions of the control plane, answered in slices.

pub(crate) mod answer;
pub(crate) mod tally;

use std::fmt;

use serde::{Deserialize, Serialize};
use thruway_wire::attrs::AttrSet;
use thruway_wire::{Family, Prefix};

use crate::{Eligibility, GroupId, PeerClass, PeerId, Rejection, Step};

/// What to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// All paths of the prefixes that pass.
    Routes(Filter),
    /// A peer's paths, rejected ones included.
    Learned(PeerId, Filter),
    /// A peer's rejected paths.
    Rejected(PeerId, Filter),
    /// What a peer was advertised as a member of a group, before the group's rewriting.
    Advertised {
        /// The member.
        peer: PeerId,
        /// Its group.
        group: GroupId,
        /// Which prefixes.
        filter: Filter,
    },
    /// All paths of one prefix with the step at which each lost; and, with `to`, why that member is
    /// advertised each path or not.
    Explain {
        /// The prefix, exactly.
        prefix: Prefix,
        /// A member and its group.
        to: Option<(PeerId, GroupId)>,
    },
    /// How many prefixes each kind of receiver has from each kind of source: [`TallyRow`]s, by
    /// [`crate::Shard::tally`]. Prefixes count; single members' own paths and policies do not.
    Tally {
        /// Under this matrix; `None`: the one in force.
        eligibility: Option<Eligibility>,
    },
}

/// Which prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// All of a family, or of both.
    All(Option<Family>),
    /// This one.
    Exact(Prefix),
    /// The longest that covers it. Each shard gives its own longest; the asker keeps the longest.
    Longest(Prefix),
    /// It and all more specific ones.
    Longer(Prefix),
}

/// Where an answer stands between slices. Default: before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryCursor {
    pub(crate) family: u8,
    pub(crate) slot: u32,
}

/// One path of an answer.
#[derive(Clone, Debug)]
pub struct RouteRow {
    /// Destination.
    pub prefix: Prefix,
    /// Whose path.
    pub peer: PeerId,
    /// Path identifier: received (`Routes`, `Learned`, …) or sent (`Advertised`); 0 without.
    pub path_id: u32,
    /// The set as received; as sent, before the group's rewriting, in `Advertised`.
    pub attrs: AttrSet,
    /// The set after import, where policy changed it; as it arrives at the member, in `Advertised`.
    pub accepted: Option<AttrSet>,
    /// It is the best of all.
    pub best: bool,
    /// How fresh it is.
    pub stale: Staleness,
    /// Why it was not accepted.
    pub rejection: Option<Rejection>,
    /// The step at which it lost, and to which peer's path. `None` for the best and for rejected ones.
    pub lost: Option<(Step, PeerId)>,
    /// `Explain` with `to`: whether the member is advertised this path, and if not, why.
    pub advertised: Option<Result<(), NotAdvertised>>,
}

/// What one kind of receiver has of one kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyRow {
    /// Kind of source.
    pub from: PeerClass,
    /// Kind of receiver.
    pub to: PeerClass,
    /// Prefixes whose best path, of those that the matrix allows, comes from there.
    pub prefixes: u64,
    /// Prefixes with an accepted path from there that the matrix keeps back.
    pub kept_back: u64,
    /// Prefixes with an allowed path from there for which another kind's is better.
    pub beaten: u64,
}

/// How fresh a path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Staleness {
    /// Advertised in this session.
    #[default]
    Fresh,
    /// Kept over a restart or refresh (RFC 4724 §4.2, RFC 7313 §4).
    Stale,
    /// Kept for long (RFC 9494 §4.2).
    LongLived,
}

/// Why a member is not advertised a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotAdvertised {
    /// Import rejected it.
    Rejected,
    /// It is the member's own.
    OwnPath,
    /// The member has not negotiated the family.
    Family,
    /// The eligibility matrix: this kind of source is not advertised to this kind of receiver.
    Matrix,
    /// NO_ADVERTISE, NO_EXPORT or NO_EXPORT_SUBCONFED (RFC 1997).
    Community,
    /// No export policy is configured (RFC 8212 §2).
    NoPolicy,
    /// The export policy says no.
    Policy {
        /// Its name.
        policy: String,
        /// Label of the statement.
        statement: String,
    },
    /// It is long-lived stale, and the member does not know of such routes (RFC 9494 §4.3).
    LongLived,
    /// Its attributes do not fit the member's messages (RFC 8654 §5).
    TooLarge,
    /// The member cannot be given its next hop with NLRI of the family (RFC 8950 §4, RFC 2545 §3).
    NextHop,
    /// The limit on what is advertised to the member holds the prefix back.
    Limit,
    /// Another path is better for this member.
    NotBest,
}

impl fmt::Display for NotAdvertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotAdvertised::Rejected => "rejected on import",
            NotAdvertised::OwnPath => "its own path",
            NotAdvertised::Family => "family not negotiated",
            NotAdvertised::Matrix => "not for this kind of peer",
            NotAdvertised::Community => "held back by a well-known community",
            NotAdvertised::NoPolicy => "no export policy",
            NotAdvertised::Policy { policy, statement } => {
                return write!(f, "policy {policy}, statement {statement}");
            }
            NotAdvertised::LongLived => "long-lived stale, and it does not know of such routes",
            NotAdvertised::TooLarge => "its attributes do not fit the peer's messages",
            NotAdvertised::NextHop => "the peer cannot be given its next hop",
            NotAdvertised::Limit => "held back by the limit on what is advertised to it",
            NotAdvertised::NotBest => "another path is better for it",
        })
    }
}

/// A peer's numbers in one shard, kept as things happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCounters {
    /// Paths held.
    pub received: u32,
    /// Of them, accepted.
    pub accepted: u32,
    /// Of them, stale or long-lived stale.
    pub stale: u32,
    /// Paths held back by a limit.
    pub blocked: u32,
}

impl PeerCounters {
    /// Held but not accepted.
    #[must_use]
    pub fn rejected(&self) -> u32 {
        self.received.saturating_sub(self.accepted)
    }
}

/// A shard's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCounters {
    /// Prefixes with a path, by family.
    pub prefixes: [u32; 2],
    /// Paths, by family.
    pub paths: [u32; 2],
    /// Attribute sets held, derived ones included.
    pub sets: u32,
    /// Of them, made by policy here.
    pub derived: u32,
    /// Entries of the change log.
    pub log: u32,
    /// NLRI announced to the shard since start.
    pub announced: u64,
    /// NLRI withdrawn since start.
    pub withdrawn: u64,
    /// Octets in the shard's tables, without the sets' own.
    pub memory: u64,
}
