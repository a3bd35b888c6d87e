//! What a speaker holds of its neighbour's routes.

use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::update::{UpdateView, Verdict};
use thruway_wire::{Family, FamilySet, Nlri, Prefix};

use super::SpeakerStats;
use crate::hash::FastMap;
use crate::peer::Negotiated;

/// Routes received, by prefix and path identifier.
#[derive(Clone, Debug, Default)]
pub struct ReceivedTable {
    routes: FastMap<Nlri<Prefix>, AttrSet>,
    end_of_rib: FamilySet,
    count: [usize; 2],
}

impl ReceivedTable {
    /// Paths.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// True without paths.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Paths of one family.
    #[must_use]
    pub fn len_of(&self, family: Family) -> usize {
        self.count.get(family.index()).copied().unwrap_or_default()
    }

    /// The attributes of a prefix that came without a path identifier.
    #[must_use]
    pub fn get(&self, prefix: Prefix) -> Option<&AttrSet> {
        self.path(Nlri { path_id: 0, prefix })
    }

    /// The attributes of one path.
    #[must_use]
    pub fn path(&self, nlri: Nlri<Prefix>) -> Option<&AttrSet> {
        self.routes.get(&nlri)
    }

    /// All paths of a prefix: a walk over the table.
    pub fn paths(&self, prefix: Prefix) -> impl Iterator<Item = (u32, &AttrSet)> {
        let of_prefix = self
            .routes
            .iter()
            .filter(move |(nlri, _)| nlri.prefix == prefix);
        of_prefix.map(|(nlri, set)| (nlri.path_id, set))
    }

    /// All paths, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Nlri<Prefix>, &AttrSet)> {
        self.routes.iter().map(|(nlri, set)| (*nlri, set))
    }

    /// True where the family's End-of-RIB came (RFC 4724 §2).
    #[must_use]
    pub fn has_end_of_rib(&self, family: Family) -> bool {
        self.end_of_rib.contains(family)
    }

    pub(super) fn update(
        &mut self,
        body: &[u8],
        negotiated: &Negotiated,
        scratch: &mut AttrSetBuf,
        stats: &mut SpeakerStats,
    ) {
        stats.updates += 1;
        let view = UpdateView::parse(body, &negotiated.context());
        stats.malformed += u64::from(view.verdict() != Verdict::Ok);
        if let Some(family) = view.end_of_rib() {
            self.end_of_rib.insert(family);
            return;
        }
        for nlri in view.withdrawn4() {
            stats.withdrawn += 1;
            self.remove(Nlri {
                path_id: nlri.path_id,
                prefix: nlri.prefix.into(),
            });
        }
        for nlri in view.withdrawn6() {
            stats.withdrawn += 1;
            self.remove(Nlri {
                path_id: nlri.path_id,
                prefix: nlri.prefix.into(),
            });
        }
        for (part, family) in view.announced() {
            let set = AttrSet::new(view.canonical(part, scratch));
            match family {
                Family::Ipv4 => view.announced4(part).for_each(|nlri| {
                    stats.announced += 1;
                    let nlri = Nlri {
                        path_id: nlri.path_id,
                        prefix: nlri.prefix.into(),
                    };
                    self.insert(nlri, set.clone());
                }),
                Family::Ipv6 => view.announced6().for_each(|nlri| {
                    stats.announced += 1;
                    let nlri = Nlri {
                        path_id: nlri.path_id,
                        prefix: nlri.prefix.into(),
                    };
                    self.insert(nlri, set.clone());
                }),
            }
        }
    }

    fn insert(&mut self, nlri: Nlri<Prefix>, set: AttrSet) {
        if self.routes.insert(nlri, set).is_none()
            && let Some(count) = self.count.get_mut(nlri.prefix.family().index())
        {
            *count += 1;
        }
    }

    fn remove(&mut self, nlri: Nlri<Prefix>) {
        if self.routes.remove(&nlri).is_some()
            && let Some(count) = self.count.get_mut(nlri.prefix.family().index())
        {
            *count -= 1;
        }
    }
}
