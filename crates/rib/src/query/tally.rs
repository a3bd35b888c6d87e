//! Who would tell whom how many prefixes, kind by kind: what an operator asks of the matrix.

use crate::adj_rib_out::groups::Tables;
use crate::decision::Candidate;
use crate::table::paths::Path;
use crate::table::{Table, TableKey};
use crate::{Eligibility, PeerClass, QueryCursor, Shard, TallyRow};

/// Classes of peers.
const CLASSES: usize = 32;

/// A count in the making, over one shard's slots.
#[derive(Debug)]
pub struct Tally {
    /// By kind of receiver: bit n, it may have what kind n tells.
    columns: [u32; CLASSES],
    /// By kind of source and kind of receiver.
    cells: Vec<Cell>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    prefixes: u64,
    kept_back: u64,
    beaten: u64,
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(eligibility: &Eligibility) -> Self {
        let mut columns = [0; CLASSES];
        for (to, column) in (0..).zip(&mut columns) {
            for (from, row) in eligibility.0.iter().enumerate() {
                *column |= (row >> to & 1) << from;
            }
        }
        Tally {
            columns,
            cells: vec![Cell::default(); CLASSES * CLASSES],
            candidates: Vec::new(),
        }
    }

    /// What was counted, for each pair of kinds that has a count.
    #[must_use]
    pub fn rows(&self) -> Vec<TallyRow> {
        let class = |index: usize| PeerClass(u8::try_from(index).unwrap_or(u8::MAX));
        let cells = self.cells.iter().enumerate();
        cells
            .filter(|(_, cell)| cell.prefixes + cell.kept_back + cell.beaten > 0)
            .map(|(index, cell)| TallyRow {
                from: class(index / CLASSES),
                to: class(index % CLASSES),
                prefixes: cell.prefixes,
                kept_back: cell.kept_back,
                beaten: cell.beaten,
            })
            .collect()
    }

    /// Counts a prefix for one kind of receiver: `present` are the kinds that tell it, `best` whose path
    /// is the best of those allowed.
    fn count(&mut self, present: u32, allowed: u32, best: Option<PeerClass>, to: usize) {
        let mut rest = present;
        while rest != 0 {
            let from = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let Some(cell) = self.cells.get_mut(from * CLASSES + to) else {
                return;
            };
            if allowed >> from & 1 == 0 {
                cell.kept_back += 1;
            } else if best.is_some_and(|best| best.index() == from) {
                cell.prefixes += 1;
            } else {
                cell.beaten += 1;
            }
        }
    }
}

impl Shard {
    /// Goes on with a count, `budget` slots at most. True where it is complete.
    pub fn tally(&self, tally: &mut Tally, cursor: &mut QueryCursor, mut budget: u32) -> bool {
        let Tables { v4, v6 } = &self.tables;
        if cursor.family == 0 {
            if !self.tally_slots(v4, tally, cursor, &mut budget) {
                return false;
            }
            *cursor = QueryCursor { family: 1, slot: 0 };
        }
        self.tally_slots(v6, tally, cursor, &mut budget)
    }

    fn tally_slots<P: TableKey>(
        &self,
        table: &Table<P>,
        tally: &mut Tally,
        cursor: &mut QueryCursor,
        budget: &mut u32,
    ) -> bool {
        while cursor.slot < table.len() {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            self.tally_slot(table, cursor.slot, tally);
            cursor.slot += 1;
        }
        true
    }

    fn tally_slot<P: TableKey>(&self, table: &Table<P>, slot: u32, tally: &mut Tally) {
        let judge = self.core.judge(P::INDEX);
        let class = |path: &Path| {
            let hot = self.core.peers.hot(path.peer)?;
            judge.visible(path).then_some(hot.class)
        };
        let bit = |path: &Path| class(path).map_or(0, |class| 1u32 << (class.0 & 31));
        let paths = table.paths(slot);
        let present = paths.iter().fold(0, |present, path| present | bit(path));
        if present == 0 {
            return;
        }
        // The best of all is the best of some, if it is among them and no MED took part.
        let med = table.slot(slot).is_none_or(|slot| slot.med_mattered());
        let first = paths.first().filter(|_| !med).map_or(0, bit);
        let path_id = |index: u32| {
            paths
                .get(index as usize)
                .map_or(0, |path| table.path_id(slot, path))
        };
        for to in 0..CLASSES {
            let allowed = present & tally.columns.get(to).copied().unwrap_or(0);
            if allowed == 0 && tally.columns.get(to) == Some(&0) {
                continue;
            }
            let best = if allowed & first != 0 {
                lowest(first)
            } else if allowed.is_power_of_two() {
                lowest(allowed)
            } else {
                let may = |path: &Path| bit(path) & allowed != 0;
                let choice = judge.best_where(paths, &mut tally.candidates, &path_id, may);
                choice.and_then(|choice| class(paths.get(choice.index)?))
            };
            tally.count(present, allowed, best, to);
        }
    }
}

/// The class of the lowest bit.
fn lowest(bits: u32) -> Option<PeerClass> {
    let class = u8::try_from(bits.trailing_zeros()).ok()?;
    (bits != 0).then_some(PeerClass(class))
}
