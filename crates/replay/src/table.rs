//! What one peer says: runs of prefixes, each with one attribute set.

use std::time::Duration;

use thruway_wire::attrs::{AttrSet, AttrSetRef};
use thruway_wire::{Family, Ipv4Prefix, Ipv6Prefix, Nlri, Prefix};

/// The routes of one peer in the order in which they are told: a table, or a trace where runs have
/// times and may withdraw.
#[derive(Clone, Debug, Default)]
pub struct Table {
    groups: Vec<Group>,
    ipv4: Vec<Nlri<Ipv4Prefix>>,
    ipv6: Vec<Nlri<Ipv6Prefix>>,
}

/// A run of prefixes of one family with one attribute set.
#[derive(Clone, Debug)]
pub struct Group {
    /// When to tell it, from the start; zero in a table.
    pub at: Duration,
    /// The attributes, or `None` where the prefixes are withdrawn.
    pub set: Option<AttrSet>,
    /// The prefixes' family.
    pub family: Family,
    start: u32,
    end: u32,
}

impl Group {
    /// Prefixes in it.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// True where it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// A group's prefixes.
#[derive(Clone, Copy, Debug)]
pub enum Run<'a> {
    /// IPv4.
    V4(&'a [Nlri<Ipv4Prefix>]),
    /// IPv6.
    V6(&'a [Nlri<Ipv6Prefix>]),
}

impl<'a> Run<'a> {
    /// The prefixes with their path identifiers.
    pub fn iter(self) -> impl Iterator<Item = Nlri<Prefix>> + 'a {
        let (ipv4, ipv6): (&[_], &[_]) = match self {
            Run::V4(run) => (run, &[]),
            Run::V6(run) => (&[], run),
        };
        let ipv4 = ipv4.iter().map(|n| Nlri {
            path_id: n.path_id,
            prefix: n.prefix.into(),
        });
        let ipv6 = ipv6.iter().map(|n| Nlri {
            path_id: n.path_id,
            prefix: n.prefix.into(),
        });
        ipv4.chain(ipv6)
    }
}

impl Table {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Table::default()
    }

    /// A table of `prefixes`, all with `set`: the short way for tests and demonstrations.
    #[must_use]
    pub fn of(prefixes: &[Prefix], set: AttrSetRef<'_>) -> Self {
        let mut table = Table::new();
        let set = AttrSet::new(set);
        for family in Family::ALL {
            let mut of_family = prefixes.iter().filter(|prefix| prefix.family() == family);
            let run = of_family.by_ref().map(|prefix| Nlri {
                path_id: 0,
                prefix: *prefix,
            });
            table.push(Duration::ZERO, Some(set.clone()), family, run);
        }
        table
    }

    /// Appends a group; prefixes of another family than `family` are left out, and nothing is
    /// appended where none is left.
    pub fn push(
        &mut self,
        at: Duration,
        set: Option<AttrSet>,
        family: Family,
        prefixes: impl IntoIterator<Item = Nlri<Prefix>>,
    ) {
        let start = self.stored(family);
        for Nlri { path_id, prefix } in prefixes {
            match (family, prefix) {
                (Family::Ipv4, Prefix::V4(prefix)) => self.ipv4.push(Nlri { path_id, prefix }),
                (Family::Ipv6, Prefix::V6(prefix)) => self.ipv6.push(Nlri { path_id, prefix }),
                _ => {}
            }
        }
        let end = self.stored(family);
        if start < end {
            self.groups.push(Group {
                at,
                set,
                family,
                start,
                end,
            });
        }
    }

    fn stored(&self, family: Family) -> u32 {
        let len = match family {
            Family::Ipv4 => self.ipv4.len(),
            Family::Ipv6 => self.ipv6.len(),
        };
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// The groups in order.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// A group's prefixes; none where the group is of another table.
    #[must_use]
    pub fn run(&self, group: &Group) -> Run<'_> {
        let range = group.start as usize..group.end as usize;
        match group.family {
            Family::Ipv4 => Run::V4(self.ipv4.get(range).unwrap_or_default()),
            Family::Ipv6 => Run::V6(self.ipv6.get(range).unwrap_or_default()),
        }
    }

    /// NLRI in all groups, withdrawals included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(Group::len).sum()
    }

    /// True where nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The families that occur.
    pub fn families(&self) -> impl Iterator<Item = Family> + '_ {
        let held = |family| self.groups.iter().any(|group| group.family == family);
        Family::ALL.into_iter().filter(move |family| held(*family))
    }

    /// Every NLRI with its group's set, in order.
    pub fn routes(&self) -> impl Iterator<Item = (Nlri<Prefix>, Option<&AttrSet>)> {
        self.groups.iter().flat_map(|group| {
            self.run(group)
                .iter()
                .map(|nlri| (nlri, group.set.as_ref()))
        })
    }

    /// True where nothing is withdrawn, replaced or timed: each path is told once, at the start.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.groups
            .iter()
            .all(|group| group.set.is_some() && group.at.is_zero())
            && !self.has_path_ids()
    }

    /// True where path identifiers occur (RFC 7911).
    #[must_use]
    pub fn has_path_ids(&self) -> bool {
        self.ipv4.iter().any(|n| n.path_id != 0) || self.ipv6.iter().any(|n| n.path_id != 0)
    }

    /// The same prefixes in the same groups, with the sets that `change` makes of them. A set for
    /// which it gives `None` leaves its group out.
    #[must_use]
    pub fn with_sets(
        &self,
        mut change: impl FnMut(usize, AttrSetRef<'_>) -> Option<AttrSet>,
    ) -> Table {
        let mut groups = Vec::with_capacity(self.groups.len());
        for (index, group) in self.groups.iter().enumerate() {
            let Some(set) = &group.set else {
                groups.push(group.clone());
                continue;
            };
            if let Some(set) = change(index, set.as_ref()) {
                groups.push(Group {
                    set: Some(set),
                    ..group.clone()
                });
            }
        }
        Table {
            groups,
            ipv4: self.ipv4.clone(),
            ipv6: self.ipv6.clone(),
        }
    }

    /// Shares the groups out to `count` tables, turn by turn: disjoint feeds for many peers.
    #[must_use]
    pub fn split(&self, count: usize) -> Vec<Table> {
        let mut shares = vec![Table::new(); count.max(1)];
        let turns = shares.len();
        for (index, group) in self.groups.iter().enumerate() {
            if let Some(share) = shares.get_mut(index % turns) {
                share.push(
                    group.at,
                    group.set.clone(),
                    group.family,
                    self.run(group).iter(),
                );
            }
        }
        shares
    }
}
