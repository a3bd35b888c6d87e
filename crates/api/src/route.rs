//! Paths, and which of them are asked for.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thruway_wire::attrs::{AttrFlags, AttrSetRef};
use thruway_wire::{Community, ExtendedCommunity, Family, LargeCommunity, Prefix};

/// Which prefixes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All, or all of a family.
    All(Option<Family>),
    /// This one.
    Exact(Prefix),
    /// This one and its more specifics.
    Longer(Prefix),
    /// The longest that covers this one.
    Longest(Prefix),
}

/// Which of a peer's routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerTable {
    /// Adj-RIB-In: what it advertised to us, rejected routes included.
    Learned,
    /// What of that was rejected, and why.
    Rejected,
    /// Adj-RIB-Out: what it was advertised.
    Advertised,
}

impl PeerTable {
    /// All of them.
    pub const ALL: [PeerTable; 3] = [
        PeerTable::Learned,
        PeerTable::Rejected,
        PeerTable::Advertised,
    ];

    /// Its name in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PeerTable::Learned => "learned",
            PeerTable::Rejected => "rejected",
            PeerTable::Advertised => "advertised",
        }
    }

    /// The table of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.as_str() == name)
    }
}

/// A path.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Prefix.
    pub network: Prefix,
    /// Next hop.
    pub next_hop: Option<IpAddr>,
    /// AS path.
    pub as_path: String,
    /// Kind of source: `EBgp`; `Igp` for internal peers and the network's own.
    pub origin: String,
    /// Address of the peer whose path it is.
    pub source_peer: Option<IpAddr>,
    /// Our address in the session with it.
    pub local_address: Option<IpAddr>,
    /// As the field's tools print it; it has no part in the decision.
    pub weight: u32,
    /// Name of the peer whose path it is.
    pub peer: String,
    /// ORIGIN: `IGP`, `EGP`, `INCOMPLETE`.
    pub origin_code: String,
    /// MULTI_EXIT_DISC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// LOCAL_PREF.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    /// Standard communities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<Community>,
    /// Extended communities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended_communities: Vec<ExtendedCommunity>,
    /// IPv6 address specific extended communities (RFC 5701): type, `[address]`, local part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ipv6_extended_communities: Vec<String>,
    /// Large communities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large_communities: Vec<LargeCommunity>,
    /// ADD-PATH identifier.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub path_id: u32,
    /// It is the best of all.
    pub best: bool,
    /// `fresh`, `stale` or `long-lived`.
    pub stale: String,
    /// Import changed its attributes.
    pub changed: bool,
    /// Why import did not accept it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// Where it lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// `explain --to`: `told`, or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
}

/// The step of the decision process that a path lost at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// Its number.
    pub step: u8,
    /// In words.
    pub why: String,
    /// Name of the peer with the better path.
    pub to: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Route {
    /// The part of a path that its attributes tell.
    #[must_use]
    pub fn from_attrs(network: Prefix, set: AttrSetRef<'_>) -> Self {
        let meta = set.meta;
        let origin_code = match meta.origin {
            0 => "IGP",
            1 => "EGP",
            _ => "INCOMPLETE",
        };
        Route {
            network,
            next_hop: set.next_hop().map(|next_hop| next_hop.addr()),
            as_path: set.as_path().to_string(),
            origin: String::new(),
            source_peer: None,
            local_address: None,
            weight: 32_768,
            peer: String::new(),
            origin_code: origin_code.to_owned(),
            med: meta.flags.has(AttrFlags::MED).then_some(meta.med),
            local_pref: meta
                .flags
                .has(AttrFlags::LOCAL_PREF)
                .then_some(meta.local_pref),
            communities: set.communities().collect(),
            extended_communities: set.extended_communities().collect(),
            ipv6_extended_communities: set
                .ipv6_extended_communities()
                .map(|community| community.to_string())
                .collect(),
            large_communities: set.large_communities().collect(),
            path_id: 0,
            best: false,
            stale: "fresh".to_owned(),
            changed: false,
            rejected: None,
            lost: None,
            told: None,
        }
    }
}
