//! Records that were stepped over, by their type.

use std::collections::BTreeMap;

use thruway_wire::mrt::MrtName;

/// Records of types that are known but not read: OSPF, IS-IS, the deprecated ones, and some
/// subtypes of those that hold BGP. There are few such types, so this stays small.
#[derive(Clone, Debug, Default)]
pub struct Skipped {
    by_name: BTreeMap<MrtName, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u64,
    /// Place and offset of the first one.
    first: (u64, u64),
}

impl Skipped {
    pub(super) fn count(&mut self, name: MrtName, number: u64, offset: u64) {
        let first = (number, offset);
        let seen = self.by_name.entry(name).or_insert(Seen { count: 0, first });
        seen.count += 1;
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_name.values().map(|seen| seen.count).sum()
    }

    /// How many there were of what: `3 OSPFv2, 1 ISIS`.
    #[must_use]
    pub fn names(&self) -> String {
        let names = self.by_name.iter();
        let names = names.map(|(name, seen)| format!("{} {name}", seen.count));
        names.collect::<Vec<_>>().join(", ")
    }

    /// A line for each type.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.by_name.iter().map(|(name, seen)| {
            let (count, (number, offset)) = (seen.count, seen.first);
            match count {
                1 => format!(
                    "record {number} at offset {offset}: {name} record, not supported, skipped"
                ),
                _ => format!(
                    "{count} {name} records, not supported, skipped; \
                     the first is record {number} at offset {offset}"
                ),
            }
        })
    }
}
