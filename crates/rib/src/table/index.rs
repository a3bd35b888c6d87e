//! From a prefix's hash to its slot.
//!
//! Open addressing in one plain array a sub-table, hash and number side by side: a look-up reads one
//! line of the index, and reading it ahead takes no more than the hash. Many small tables instead of one:
//! they grow one at a time, so no growth takes long.

const SUB_TABLES: usize = 256;
/// Places of a sub-table when it gets its first entry.
const SIZE_MIN: usize = 16;

/// Which of several entries a number is filed under: the low half of its hash, and the number plus one.
/// 0: free.
type Entry = u64;

#[derive(Clone, Debug, Default)]
struct SubTable {
    /// Never full.
    entries: Box<[Entry]>,
    len: usize,
}

/// Numbers by hash.
#[derive(Debug)]
pub(crate) struct Index {
    tables: Vec<SubTable>,
}

impl Default for Index {
    fn default() -> Self {
        Index {
            tables: vec![SubTable::default(); SUB_TABLES],
        }
    }
}

fn entry(hash: u64, number: u32) -> Entry {
    hash << 32 | (u64::from(number) + 1)
}

/// The part of a hash that an entry keeps.
fn low(hash: u64) -> u64 {
    hash & 0xffff_ffff
}

/// The same, of an entry.
fn kept(entry: Entry) -> u64 {
    entry >> 32
}

fn number(entry: Entry) -> u32 {
    (entry as u32).wrapping_sub(1)
}

impl SubTable {
    /// Where an entry with this part of a hash wants to stand: the part, scaled to the table's size. So
    /// the size need not be a power of two, and a table that grows by half is never half empty.
    #[inline]
    fn home(&self, kept: u64) -> usize {
        ((kept * self.entries.len() as u64) >> 32) as usize
    }

    #[inline]
    fn behind(&self, place: usize) -> usize {
        if place + 1 < self.entries.len() {
            place + 1
        } else {
            0
        }
    }

    #[inline]
    fn at(&self, place: usize) -> Entry {
        self.entries.get(place).copied().unwrap_or(0)
    }

    fn set(&mut self, place: usize, entry: Entry) {
        if let Some(known) = self.entries.get_mut(place) {
            *known = entry;
        }
    }

    /// Puts an entry where there is a free place.
    fn put(&mut self, entry: Entry) {
        let mut place = self.home(kept(entry));
        while self.at(place) != 0 {
            place = self.behind(place);
        }
        self.set(place, entry);
    }

    #[cold]
    fn grow(&mut self) {
        self.resize((self.entries.len() + self.entries.len() / 2).max(SIZE_MIN));
    }

    #[cold]
    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.entries, vec![0; size].into_boxed_slice());
        old.iter()
            .filter(|entry| **entry != 0)
            .for_each(|entry| self.put(*entry));
    }

    /// Places from one to another, round the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.entries.len() - from
        }
    }

    /// Frees a place; entries behind it that want to stand there, or before it, move up.
    fn free(&mut self, place: usize) {
        let mut hole = place;
        let mut next = hole;
        loop {
            next = self.behind(next);
            let entry = self.at(next);
            if entry == 0 {
                break;
            }
            let home = self.home(kept(entry));
            if self.distance(home, next) >= self.distance(hole, next) {
                self.set(hole, entry);
                hole = next;
            }
        }
        self.set(hole, 0);
        self.len -= 1;
        // Far apart from where it grows, so that a table that comes and goes is not always copied.
        if self.len * 8 < self.entries.len() && self.entries.len() > SIZE_MIN {
            self.resize((self.entries.len() / 4).max(SIZE_MIN));
        }
    }
}

impl Index {
    // Places come from the low half of the hash, the sub-table from above.
    #[inline]
    fn table(&self, hash: u64) -> Option<&SubTable> {
        self.tables.get((hash >> 48) as usize % SUB_TABLES)
    }

    /// Reads where a look-up begins, so that the line is there when it does.
    #[inline]
    pub(crate) fn warm(&self, hash: u64) -> u64 {
        self.table(hash)
            .map_or(0, |table| table.at(table.home(low(hash))))
    }

    /// The number filed under `hash` that is the `same`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let table = self.table(hash)?;
        let wanted = low(hash);
        let mut place = table.home(wanted);
        loop {
            let entry = table.at(place);
            if entry == 0 {
                return None;
            }
            if kept(entry) == wanted && same(number(entry)) {
                return Some(number(entry));
            }
            place = table.behind(place);
        }
    }

    /// Files a number that is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        let Some(table) = self.tables.get_mut((hash >> 48) as usize % SUB_TABLES) else {
            return;
        };
        // A fifth stays free: runs of taken places are short, and every search ends.
        if (table.len + 1) * 5 > table.entries.len() * 4 {
            table.grow();
        }
        table.put(entry(hash, number));
        table.len += 1;
    }

    /// Takes a number out.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let Some(table) = self.tables.get_mut((hash >> 48) as usize % SUB_TABLES) else {
            return;
        };
        let wanted = entry(hash, number);
        let mut place = table.home(kept(wanted));
        loop {
            match table.at(place) {
                0 => return,
                known if known == wanted => return table.free(place),
                _ => place = table.behind(place),
            }
        }
    }

    /// Octets allocated.
    pub(crate) fn memory(&self) -> usize {
        let places: usize = self.tables.iter().map(|table| table.entries.len()).sum();
        places * size_of::<Entry>() + SUB_TABLES * size_of::<SubTable>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// All entries in one sub-table, with homes that crowd around the wrap.
    fn crowded(number: u32) -> u64 {
        let near = [u32::MAX, u32::MAX - 1, 0, 1, 0, u32::MAX];
        u64::from(near[number as usize % near.len()])
    }

    fn agrees(hash: impl Fn(u32) -> u64) {
        let mut index = Index::default();
        let mut model = HashMap::new();
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let number = (state >> 40) as u32 % 300;
            if model.remove(&number).is_some() {
                index.remove(hash(number), number);
            } else {
                index.insert(hash(number), number);
                model.insert(number, ());
            }
            let asked = (state >> 50) as u32 % 300;
            let found = index.find(hash(asked), |known| known == asked);
            assert_eq!(found, model.contains_key(&asked).then_some(asked));
        }
    }

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        agrees(crowded);
        agrees(|number| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        agrees(|_| 7);
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let mut index = Index::default();
        assert_eq!(index.find(5, |_| true), None);
        index.remove(5, 1);
        assert_eq!(index.warm(5), 0);
        index.insert(5, 0);
        assert_eq!(index.find(5, |_| true), Some(0));
        assert_eq!(
            index.find(5 | 1 << 32, |_| true),
            Some(0),
            "only the low half is kept"
        );
    }
}
