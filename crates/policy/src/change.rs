//! Compiled changes to a route's attributes.

use std::net::IpAddr;
use std::sync::Arc;

use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::{Asn, Community, ExtendedCommunity, Family, LargeCommunity, NextHop};

use crate::{AsSet, CommunitySet, MedChange, RouteContext};

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    LocalPref(u32),
    Med(MedChange),
    /// These, and the peer's where it says so, become ours.
    ReplaceAs {
        asns: AsSet,
        peer: bool,
        to: bool,
        own: Asn,
    },
    RemovePrivate,
    KeepLast(u8),
    Prepend(Asn, u8),
    PrependPeer(u8),
    ReplaceCommunities(Communities),
    RemoveCommunities(Arc<CommunitySet>),
    AddCommunities(Communities),
    NextHop(IpAddr),
    NextHopOwn,
    NextHopPeer,
}

/// Values by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Communities {
    pub(crate) standard: Vec<Community>,
    pub(crate) extended: Vec<ExtendedCommunity>,
    pub(crate) large: Vec<LargeCommunity>,
}

impl Change {
    /// Makes the change.
    pub(crate) fn apply(&self, ctx: &RouteContext<'_>, set: &mut AttrSetBuf) {
        match self {
            Change::LocalPref(value) => set.set_local_pref(Some(*value)),
            Change::Med(change) => {
                let value = change.apply(set.as_ref().med());
                set.set_med(value);
            }
            Change::ReplaceAs {
                asns,
                peer,
                to,
                own,
            } => {
                let peer = peer.then_some(ctx.peer.asn);
                let to = ctx.to.filter(|_| *to).map(|to| to.asn);
                set.edit_path(|asn| {
                    let goes = [peer, to].contains(&Some(asn)) || asns.contains(asn);
                    Some(if goes { *own } else { asn })
                });
            }
            Change::RemovePrivate => set.edit_path(|asn| (!is_private(asn)).then_some(asn)),
            Change::KeepLast(count) => set.keep_last(usize::from(*count)),
            Change::Prepend(asn, count) => set.prepend(*asn, *count),
            Change::PrependPeer(count) => set.prepend(ctx.peer.asn, *count),
            Change::ReplaceCommunities(values) => values.replace(set),
            Change::RemoveCommunities(patterns) => patterns.remove_from(set),
            Change::AddCommunities(values) => values.add(set),
            Change::NextHop(addr) => set_next_hop(ctx.family, Some(*addr), set),
            Change::NextHopOwn => {
                let peer = ctx.to.unwrap_or(ctx.peer);
                let own = match ctx.family {
                    Family::Ipv4 => peer.local_v4.map(IpAddr::from),
                    Family::Ipv6 => peer.local_v6.map(IpAddr::from),
                };
                set_next_hop(ctx.family, own, set);
            }
            Change::NextHopPeer => set_next_hop(ctx.family, Some(ctx.peer.addr), set),
        }
    }
}

/// RFC 6996 §5.
fn is_private(asn: Asn) -> bool {
    matches!(asn.0, 64_512..=65_534 | 4_200_000_000..=4_294_967_294)
}

/// Sets the next hop where `addr` is of the route's family.
fn set_next_hop(family: Family, addr: Option<IpAddr>, set: &mut AttrSetBuf) {
    let fits = |addr: &IpAddr| addr.is_ipv4() == (family == Family::Ipv4);
    if let Some(addr) = addr.filter(fits) {
        set.set_next_hop(Some(NextHop::from(addr)));
    }
}

impl MedChange {
    fn apply(self, med: Option<u32>) -> Option<u32> {
        let current = med.unwrap_or(0);
        match self {
            MedChange::Set(value) => Some(value),
            MedChange::Add(more) => Some(current.saturating_add(more)),
            MedChange::Subtract(less) => Some(current.saturating_sub(less)),
            MedChange::Remove => None,
        }
    }
}

impl Communities {
    /// Only kinds that are among the values are touched.
    fn replace(&self, set: &mut AttrSetBuf) {
        if !self.standard.is_empty() {
            set.set_communities(self.standard.iter().copied());
        }
        if !self.extended.is_empty() {
            set.set_communities(self.extended.iter().copied());
        }
        if !self.large.is_empty() {
            set.set_communities(self.large.iter().copied());
        }
    }

    fn add(&self, set: &mut AttrSetBuf) {
        self.standard
            .iter()
            .for_each(|value| set.add_community(*value));
        self.extended
            .iter()
            .for_each(|value| set.add_community(*value));
        self.large
            .iter()
            .for_each(|value| set.add_community(*value));
    }
}

impl CommunitySet {
    /// Takes away what the patterns describe.
    fn remove_from(&self, set: &mut AttrSetBuf) {
        if self.has_standard() {
            set.retain_communities(|value| !self.contains_standard(value));
        }
        if self.has_extended() {
            set.retain_communities(|value| !self.contains_extended(value));
        }
        if self.has_large() {
            set.retain_communities(|value| !self.contains_large(value));
        }
    }
}
