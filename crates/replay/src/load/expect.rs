//! What each receiver should hold in the end.

use thruway_wire::attrs::{AttrFlags, AttrSet, AttrSetBuf, AttrSetRef, CommunityValue, code};
use thruway_wire::{
    Asn, Community, ExtendedCommunity, Family, FamilySet, Ipv4Prefix, Ipv6Prefix, LargeCommunity,
    Nlri, Prefix,
};

use super::Expect;
use crate::hash::{FastMap, fingerprint};
use crate::table::Table;

/// One prefix in so many is a probe, whose way is timed.
const PROBE_EVERY: u32 = 64;
const PROBE: u32 = 1 << 31;

/// How sets are made comparable: what the server may change is taken out or done likewise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Comparison {
    /// All attributes and the next hop, as sent.
    Transparent,
    /// The server's AS in front; MED and next hop are the server's own.
    Prepend(Asn),
}

impl Comparison {
    pub(crate) fn new(expect: Expect, server: Asn) -> Self {
        match expect {
            Expect::Transparent => Comparison::Transparent,
            Expect::Prepend => Comparison::Prepend(server),
        }
    }

    /// The fingerprint of a set as a receiver got it.
    pub(crate) fn received(self, set: &mut AttrSetBuf) -> u32 {
        settle(set);
        if let Comparison::Prepend(_) = self {
            set.set_next_hop(None);
            set.set_med(None);
        }
        short(fingerprint(set.as_ref()))
    }

    /// The fingerprint that a sent set should arrive with.
    pub(crate) fn sent(self, set: AttrSetRef<'_>, scratch: &mut AttrSetBuf) -> u32 {
        scratch.copy_from(set);
        settle(scratch);
        if let Comparison::Prepend(server) = self {
            scratch.set_next_hop(None);
            scratch.set_med(None);
            scratch.prepend(server, 1);
        }
        short(fingerprint(scratch.as_ref()))
    }
}

/// Half of a fingerprint is enough to tell a changed set from an unchanged one, and keeps receivers
/// small. Never one of the two lowest numbers nor the highest: those mean something else.
fn short(print: u64) -> u32 {
    ((print >> 32) as u32).clamp(2, u32::MAX - 1)
}

/// Takes out what has no meaning in another AS, as an internal server may add or change it, and
/// puts communities in order: they are sets, and some servers sort them.
fn settle(set: &mut AttrSetBuf) {
    let view = set.as_ref();
    let has_cluster_list = view.meta.cluster_len > 0;
    let flags = view.meta.flags;
    if flags.has(AttrFlags::LOCAL_PREF) {
        set.set_local_pref(None);
    }
    if flags.has(AttrFlags::ORIGINATOR_ID) {
        set.remove(code::ORIGINATOR_ID);
    }
    if has_cluster_list {
        set.remove(code::CLUSTER_LIST);
    }
    sort_communities::<Community>(set);
    sort_communities::<ExtendedCommunity>(set);
    sort_communities::<LargeCommunity>(set);
}

fn sort_communities<C: CommunityValue + Ord>(set: &mut AttrSetBuf) {
    let values = set.as_ref().community_values::<C>();
    if values.clone().is_sorted_by(|a, b| a < b) {
        return;
    }
    let mut values: Vec<C> = values.collect();
    values.sort_unstable();
    values.dedup();
    set.set_communities(values);
}

/// A prefix's place in [`Expected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    pub(crate) fn index(self) -> usize {
        (self.0 & !PROBE) as usize
    }

    pub(crate) fn is_probe(self) -> bool {
        self.0 & PROBE != 0
    }
}

/// All prefixes that receivers should get, each with the paths that were offered for it.
#[derive(Default)]
pub(crate) struct Expected {
    ipv4: FastMap<Ipv4Prefix, u32>,
    ipv6: FastMap<Ipv6Prefix, u32>,
    prefixes: Vec<Prefix>,
    // Offers of the prefix `i`: `starts[i]..starts[i + 1]`.
    starts: Vec<u32>,
    offers: Vec<Offer>,
    required: u64,
}

/// One sender's path for a prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) print: u32,
    pub(crate) sender: u32,
    pub(crate) group: u32,
    /// A community keeps it from external peers (RFC 1997); whether it is told on is the server's
    /// configuration.
    optional: bool,
    /// AS path length and ORIGIN: what every server compares first (RFC 4271 §9.1.2.2 a and b), in
    /// tables without LOCAL_PREF. The smallest is the best.
    pub(crate) rank: u32,
}

/// Collects offers, then sorts them by prefix.
#[derive(Default)]
pub(crate) struct Builder {
    expected: Expected,
    offers: Vec<(u32, Offer)>,
}

impl Builder {
    /// Adds what `table` leaves in place when all of it was told. `told` says which groups could be
    /// told; `add_path`: families in which path identifiers keep several paths of a prefix apart.
    pub(crate) fn add(
        &mut self,
        sender: u32,
        table: &Table,
        told: impl Fn(usize) -> bool,
        add_path: FamilySet,
        comparison: Comparison,
    ) {
        let mut scratch = AttrSetBuf::new();
        let mut offer = |group: usize, set: &AttrSet| Offer {
            print: comparison.sent(set.as_ref(), &mut scratch),
            sender,
            group: group as u32,
            optional: is_held_back(set.meta().flags),
            rank: u32::from(set.meta().path_len) << 8 | u32::from(set.meta().origin),
        };
        let groups_told = table
            .groups()
            .iter()
            .enumerate()
            .filter(|(index, _)| told(*index));
        if table.is_plain() {
            for (index, group) in groups_told {
                let Some(set) = &group.set else { continue };
                let offer = offer(index, set);
                for nlri in table.run(group).iter() {
                    self.offer(nlri.prefix, offer);
                }
            }
            return;
        }
        // The last word on each path counts.
        let mut last: FastMap<Nlri<Prefix>, usize> = FastMap::default();
        for (index, group) in groups_told {
            for mut nlri in table.run(group).iter() {
                if !add_path.contains(group.family) {
                    nlri.path_id = 0;
                }
                match group.set {
                    Some(_) => last.insert(nlri, index),
                    None => last.remove(&nlri),
                };
            }
        }
        for (nlri, index) in last {
            let set = table
                .groups()
                .get(index)
                .and_then(|group| group.set.as_ref());
            if let Some(set) = set {
                let offer = offer(index, set);
                self.offer(nlri.prefix, offer);
            }
        }
    }

    fn offer(&mut self, prefix: Prefix, offer: Offer) {
        let expected = &mut self.expected;
        let next = expected.prefixes.len() as u32;
        let place = match prefix {
            Prefix::V4(prefix) => *expected.ipv4.entry(prefix).or_insert(next),
            Prefix::V6(prefix) => *expected.ipv6.entry(prefix).or_insert(next),
        };
        if place == next {
            expected.prefixes.push(prefix);
        }
        self.offers.push((place, offer));
    }

    pub(crate) fn finish(self) -> Expected {
        let Builder {
            mut expected,
            mut offers,
        } = self;
        offers.sort_by_key(|(place, offer)| (*place, offer.sender));
        let by_place = offers.chunk_by(|(a, _), (b, _)| a == b);
        expected.starts.push(0);
        let mut end = 0;
        for run in by_place {
            end += run.len() as u32;
            expected.starts.push(end);
            expected.required += u64::from(run.iter().any(|(_, offer)| !offer.optional));
        }
        expected.offers = offers.into_iter().map(|(_, offer)| offer).collect();
        debug_assert_eq!(expected.starts.len(), expected.prefixes.len() + 1);
        expected
    }
}

/// True where RFC 1997 keeps the route from an external peer.
fn is_held_back(flags: AttrFlags) -> bool {
    flags.has(AttrFlags::NO_EXPORT)
        || flags.has(AttrFlags::NO_ADVERTISE)
        || flags.has(AttrFlags::NO_EXPORT_SUBCONFED)
}

impl Expected {
    /// Prefixes.
    pub(crate) fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Prefixes that a receiver must get.
    pub(crate) fn required(&self) -> u64 {
        self.required
    }

    pub(crate) fn prefix(&self, index: usize) -> Option<Prefix> {
        self.prefixes.get(index).copied()
    }

    #[inline]
    pub(crate) fn place4(&self, prefix: &Ipv4Prefix) -> Option<Place> {
        self.ipv4.get(prefix).copied().map(probing)
    }

    #[inline]
    pub(crate) fn place6(&self, prefix: &Ipv6Prefix) -> Option<Place> {
        self.ipv6.get(prefix).copied().map(probing)
    }

    pub(crate) fn place(&self, prefix: Prefix) -> Option<Place> {
        match prefix {
            Prefix::V4(prefix) => self.place4(&prefix),
            Prefix::V6(prefix) => self.place6(&prefix),
        }
    }

    pub(crate) fn offers(&self, index: usize) -> &[Offer] {
        let start = self.starts.get(index).copied().unwrap_or_default() as usize;
        let end = self.starts.get(index + 1).copied().unwrap_or_default() as usize;
        self.offers.get(start..end).unwrap_or_default()
    }

    /// True where the prefix must arrive.
    #[inline]
    pub(crate) fn is_required(&self, index: usize) -> bool {
        self.required as usize == self.prefixes.len()
            || self.offers(index).iter().any(|offer| !offer.optional)
    }
}

fn probing(index: u32) -> Place {
    Place(if index.is_multiple_of(PROBE_EVERY) {
        index | PROBE
    } else {
        index
    })
}

/// Families of `table` that `spoken` lacks.
pub(crate) fn unspoken(table: &Table, spoken: FamilySet) -> Vec<Family> {
    table
        .families()
        .filter(|family| !spoken.contains(*family))
        .collect()
}
