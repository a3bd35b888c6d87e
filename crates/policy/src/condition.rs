//! Compiled conditions. Those that cost least are asked first.

use std::sync::Arc;

use thruway_wire::attrs::AttrSetRef;
use thruway_wire::{Asn, Family, Prefix};

use crate::as_path::first_asn;
use crate::{
    AsPathSet, AsSet, CommunityPattern, CommunitySet, LengthMatch, PeerFacts, PrefixSet,
    RouteContext,
};

/// One condition. The variants stand in the order in which they are asked.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Family(Family),
    PathLength(LengthMatch),
    Peer(Peer),
    To(Peer),
    OriginAs(AnyOf<AsSet>),
    Prefix(AnyOf<PrefixSet>),
    NeighborAs(AnyOf<AsSet>),
    NextHop(AnyOf<PrefixSet>),
    Community(AnyOf<CommunitySet>),
    CommunityAll(Box<[CommunityPattern]>),
    PathContains(AnyOf<AsSet>),
    AsPath(AnyOf<AsPathSet>),
}

/// Sets of which one must match: those of a statement itself, and named ones that are shared.
pub(crate) type AnyOf<T> = Box<[Arc<T>]>;

/// A peer's name, AS and address; an empty field is not asked.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) names: Box<[Box<str>]>,
    pub(crate) asns: AsSet,
    pub(crate) addresses: Box<[Prefix]>,
}

impl Peer {
    fn matches(&self, facts: &PeerFacts) -> bool {
        let host = Prefix::host(facts.addr);
        (self.asns.is_empty() || self.asns.contains(facts.asn))
            && (self.addresses.is_empty()
                || self.addresses.iter().any(|prefix| prefix.covers(host)))
            && (self.names.is_empty() || self.names.iter().any(|name| **name == *facts.name))
    }
}

impl Condition {
    /// Place in the order of asking.
    pub(crate) fn cost(&self) -> u8 {
        match self {
            Condition::Family(_) => 0,
            Condition::PathLength(_) => 1,
            Condition::Peer(_) => 2,
            Condition::To(_) => 3,
            Condition::OriginAs(_) => 4,
            Condition::Prefix(_) => 5,
            Condition::NeighborAs(_) => 6,
            Condition::NextHop(_) => 7,
            Condition::Community(_) => 8,
            Condition::CommunityAll(_) => 9,
            Condition::PathContains(_) => 10,
            Condition::AsPath(_) => 11,
        }
    }

    /// True where it holds for a route with the attributes `set` (which earlier statements may have
    /// changed: those of `ctx` are the ones that came).
    pub(crate) fn holds(&self, ctx: &RouteContext<'_>, set: &AttrSetRef<'_>) -> bool {
        match self {
            Condition::Family(family) => ctx.family == *family,
            Condition::PathLength(length) => (length.ge..=length.le).contains(&set.meta.path_len),
            Condition::Peer(peer) => peer.matches(ctx.peer),
            Condition::To(peer) => ctx.to.is_some_and(|to| peer.matches(to)),
            Condition::OriginAs(sets) => {
                // 0 stands for "no origin"; AS 0 itself is in no valid path (RFC 7607).
                let origin = set.origin_as();
                origin != Asn::ZERO && sets.iter().any(|set| set.contains(origin))
            }
            Condition::Prefix(sets) => sets.iter().any(|set| set.contains(ctx.prefix)),
            Condition::NeighborAs(sets) => first_asn(set.as_path())
                .is_some_and(|first| sets.iter().any(|set| set.contains(first))),
            Condition::NextHop(sets) => set
                .next_hop()
                .is_some_and(|hop| sets.iter().any(|set| set.contains_addr(hop.addr()))),
            Condition::Community(sets) => sets.iter().any(|patterns| patterns.matches(set)),
            Condition::CommunityAll(patterns) => patterns.iter().all(|one| one.matches(set)),
            Condition::PathContains(sets) => set
                .as_path()
                .asns()
                .any(|asn| sets.iter().any(|set| set.contains(asn))),
            Condition::AsPath(sets) => {
                let path = set.as_path();
                sets.iter().any(|set| set.matches(path))
            }
        }
    }
}
