//! Definitions: what the configuration says, as plain data. Texts inside are checked where they are
//! read, so that an error can name its line; what needs a look at other definitions is checked by
//! [`crate::compile`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thruway_wire::{Asn, Family, Prefix};

use crate::{AnyCommunity, AsPathExpression, AsnRange, CommunityPattern, PrefixEntry};

/// The named sets that policies refer to, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SetDefs {
    /// Prefixes with the lengths that each accepts.
    pub prefix_sets: BTreeMap<String, Vec<PrefixEntry>>,
    /// Communities, of any kinds together.
    pub community_sets: BTreeMap<String, Vec<CommunityPattern>>,
    /// AS numbers.
    pub as_sets: BTreeMap<String, Vec<AsnRange>>,
    /// AS path expressions.
    pub as_path_sets: BTreeMap<String, Vec<AsPathExpression>>,
}

/// A named policy: its statements in order, and what becomes of a route that none of them judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PolicyDef {
    /// Its name, unique.
    pub name: String,
    /// True where the end of the policy accepts. By default it rejects: what nobody thought of
    /// should not leak (RFC 8212's reason).
    pub default_accept: bool,
    /// The statements.
    pub statements: Vec<StatementDef>,
}

/// Conditions that must all hold, then changes, then a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct StatementDef {
    /// A name for `show` and `explain`; may be empty.
    pub name: String,
    /// The conditions.
    pub matches: MatchDef,
    /// The changes.
    pub set: ChangeDef,
    /// The verdict.
    pub then: Verdict,
}

/// What a statement decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The route passes; later statements are not asked.
    Accept,
    /// The route is stopped.
    Reject,
    /// The next statement is asked, with the changes made so far.
    #[default]
    Continue,
}

/// Conditions. Each field that is not empty must hold; within a field, one value is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct MatchDef {
    /// The family.
    pub family: Option<Family>,
    /// The destination.
    pub prefix: SetMatch<PrefixEntry>,
    /// The next hop's address lies within one of the prefixes, whatever lengths they accept.
    pub next_hop: SetMatch<PrefixEntry>,
    /// Expressions on the AS path.
    pub as_path: SetMatch<AsPathExpression>,
    /// The path's last AS. A path that ends in an AS_SET has none.
    pub origin_as: SetMatch<AsnRange>,
    /// The path's first AS. A path that begins with an AS_SET has none.
    pub neighbor_as: SetMatch<AsnRange>,
    /// An AS anywhere in the path.
    pub as_path_contains: SetMatch<AsnRange>,
    /// Path length as the decision counts it (an AS_SET is 1).
    pub as_path_length: Option<LengthMatch>,
    /// A community.
    pub community: SetMatch<CommunityPattern>,
    /// All of these communities.
    pub community_all: Vec<CommunityPattern>,
    /// The peer that the route came from.
    pub peer: PeerMatch,
    /// The peer that it would go to. Never holds on import.
    pub to: PeerMatch,
}

/// Values, and names of sets of values. Empty stands for "not asked".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct SetMatch<T> {
    /// Values in place.
    pub values: Vec<T>,
    /// Names of sets.
    pub sets: Vec<String>,
}

impl<T> Default for SetMatch<T> {
    fn default() -> Self {
        SetMatch {
            values: Vec::new(),
            sets: Vec::new(),
        }
    }
}

impl<T> SetMatch<T> {
    /// True where nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.sets.is_empty()
    }
}

/// Bounds of a path's length, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthMatch {
    /// The smallest.
    pub ge: u16,
    /// The largest.
    pub le: u16,
}

/// A peer, by any of these; each field that is not empty must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PeerMatch {
    /// Configured names.
    pub name: Vec<String>,
    /// AS numbers.
    pub asn: Vec<AsnRange>,
    /// Addresses.
    pub address: Vec<Prefix>,
}

impl PeerMatch {
    /// True where nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.asn.is_empty() && self.address.is_empty()
    }
}

/// Changes, made in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ChangeDef {
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<MedChange>,
    /// The path as it came.
    pub as_path: AsPathChange,
    /// AS numbers in front of the path.
    pub prepend: Option<Prepend>,
    /// Communities.
    pub community: CommunityChange,
    /// The next hop.
    pub next_hop: Option<NextHopChange>,
}

/// What becomes of MULTI_EXIT_DISC. A route without one counts as 0 where a number is added or
/// taken away; results stay between 0 and 4,294,967,295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MedChange {
    /// This number.
    Set(u32),
    /// So much more.
    Add(u32),
    /// So much less.
    Subtract(u32),
    /// None.
    Remove,
}

/// Changes to the path as it came, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct AsPathChange {
    /// Our AS takes the place of each of these.
    pub replace: Vec<AsnRange>,
    /// And of the AS of the peer that the route came from.
    pub replace_peer: bool,
    /// And of the AS of the peer that it would go to; on import of none.
    pub replace_to: bool,
    /// Private AS numbers go (RFC 6996).
    pub remove_private: bool,
    /// So many stay at the end, an AS_SET counted as one: at least 1.
    pub keep_last: Option<u8>,
}

/// An AS in front of the path, `count` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Prepend {
    /// Which AS.
    pub asn: PrependAs,
    /// How often: 1 to [`crate::limits::PREPEND_COUNT_MAX`].
    pub count: u8,
}

/// The AS to prepend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrependAs {
    /// Our own.
    Own,
    /// The AS of the peer that the route came from.
    Peer,
    /// This one.
    Asn(Asn),
}

/// Changes to communities, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CommunityChange {
    /// The new ones, for every kind that is among them: other communities of these kinds go.
    pub replace: Vec<AnyCommunity>,
    /// What matches one of these goes.
    pub remove: Vec<CommunityPattern>,
    /// Names of community sets whose members go too.
    pub remove_sets: Vec<String>,
    /// These come, unless they are there.
    pub add: Vec<AnyCommunity>,
}

impl CommunityChange {
    /// True where nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replace.is_empty()
            && self.remove.is_empty()
            && self.remove_sets.is_empty()
            && self.add.is_empty()
    }
}

/// What becomes of the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextHopChange {
    /// Our address of the route's family toward the receiving peer (on import: toward the sending
    /// one). Where there is none, the next hop stays.
    Own,
    /// The address of the peer that the route came from, where it is of the route's family.
    Peer,
    /// This one, for routes of its family.
    Address(IpAddr),
}
