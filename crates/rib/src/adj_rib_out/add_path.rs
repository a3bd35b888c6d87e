//! Adj-RIB-Out of a group whose members get several paths a prefix (RFC 7911).

use std::collections::VecDeque;

use thruway_wire::Nlri;

use crate::adj_rib_out::members::Members;
use crate::adj_rib_out::runs::{BuildKey, Builder};
use crate::table::arena::{Arena, List};
use crate::table::chunked::Chunked;
use crate::table::paths::sent_id;
use crate::table::sets::Sets;
use crate::{Handle, PeerId};

/// A path as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) handle: Handle,
    pub(crate) source: PeerId,
    /// Its number among the source's.
    pub(crate) sub: u16,
}

const _: () = assert!(size_of::<Sent>() == 8);

impl Sent {
    /// What tells the paths of a prefix apart; lists are sorted by it.
    #[inline]
    pub(crate) fn key(&self) -> (PeerId, u16) {
        (self.source, self.sub)
    }

    /// Its identifier on the wire.
    pub(crate) fn id(&self) -> u32 {
        sent_id(self.source, self.sub)
    }
}

/// A path that was taken back: a reader that was advertised it before must hear of it.
#[derive(Clone, Copy, Debug)]
struct Gone {
    position: u64,
    slot: u32,
    source: PeerId,
    sub: u16,
}

/// All prefixes of one family.
#[derive(Debug, Default)]
pub(crate) struct SentTable {
    slots: Chunked<List, 12>,
    arena: Arena<Sent>,
    /// What was withdrawn lately, by log position, as far back as the log goes.
    gone: VecDeque<Gone>,
    announced: u32,
    /// By source: its own paths, which it is not advertised.
    own: Vec<u32>,
}

impl SentTable {
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &[Sent] {
        self.slots
            .get(slot)
            .map_or(&[], |list| self.arena.get(*list))
    }

    /// Replaces what was advertised of a prefix at a log position; tells the members through `out`. `now` is
    /// sorted by key.
    pub(crate) fn set<P: BuildKey>(
        &mut self,
        slot: u32,
        now: &[Sent],
        change: &mut Change<'_>,
        prefix: P,
    ) {
        debug_assert!(now.is_sorted_by_key(Sent::key));
        let Some(list) = self.slots.slot(slot) else {
            return;
        };
        let old = self.arena.get(*list);
        if old == now {
            return;
        }
        let mut rest = now.iter().peekable();
        for was in old {
            while let Some(new) = rest.next_if(|new| new.key() < was.key()) {
                change.announce(new, prefix);
            }
            match rest.next_if(|new| new.key() == was.key()) {
                Some(new) if new.handle != was.handle => change.announce(new, prefix),
                Some(_) => {}
                None => {
                    change.withdraw(was, prefix);
                    let Sent { source, sub, .. } = *was;
                    self.gone.push_back(Gone {
                        position: change.position,
                        slot,
                        source,
                        sub,
                    });
                }
            }
        }
        rest.for_each(|new| change.announce(new, prefix));
        // New uses first: a set that stays must not pass through 0.
        now.iter()
            .for_each(|sent| change.sets.acquire(sent.handle, 1));
        for sent in old {
            change.sets.release(sent.handle);
            count(&mut self.own, sent.source, false);
        }
        self.announced = self.announced + now.len() as u32 - old.len() as u32;
        now.iter()
            .for_each(|sent| count(&mut self.own, sent.source, true));
        self.arena.set(list, now);
        if self.announced == 0 && self.slots.is_large() {
            self.slots.clear();
            self.arena = Arena::default();
        }
    }

    /// Tells a reader how a prefix stands.
    pub(crate) fn advertise<P: BuildKey>(
        &self,
        slot: u32,
        out: &mut Builder,
        members: &Members,
        prefix: P,
    ) {
        for sent in self.get(slot) {
            let nlri = Nlri {
                path_id: sent.id(),
                prefix,
            };
            out.advertise(sent.handle, sent.source, members.all_but(sent.source), nlri);
        }
    }

    /// Paths taken back at a log position that have not come again: their slot and identifier.
    pub(crate) fn gone_at(&self, position: u64) -> impl Iterator<Item = (u32, u32, PeerId)> + '_ {
        let first = self.gone.partition_point(|gone| gone.position < position);
        self.gone
            .range(first..)
            .take_while(move |gone| gone.position == position)
            .filter(|gone| {
                !self
                    .get(gone.slot)
                    .iter()
                    .any(|sent| sent.key() == (gone.source, gone.sub))
            })
            .map(|gone| (gone.slot, sent_id(gone.source, gone.sub), gone.source))
    }

    /// The log no longer goes back before `base`.
    pub(crate) fn trim(&mut self, base: u64) {
        while self.gone.front().is_some_and(|gone| gone.position < base) {
            self.gone.pop_front();
        }
    }

    /// The log is about to keep, of the entries before `upto`, only the last of each slot: what went at
    /// an earlier one goes with that. `last` is where a slot's last entry stands.
    pub(crate) fn compact(&mut self, upto: u64, last: impl Fn(u32) -> Option<u64>) {
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain_mut(|gone| {
            if let Some(last) = last(gone.slot).filter(|last| *last < upto) {
                gone.position = gone.position.max(last);
            }
            let mut has = self.get(gone.slot).iter();
            !has.any(|sent| sent.key() == (gone.source, gone.sub))
        });
        let key = |gone: &Gone| (gone.position, gone.slot, gone.source, gone.sub);
        let mut gone = Vec::from(gone);
        gone.sort_unstable_by_key(key);
        gone.dedup_by_key(|gone| key(gone));
        self.gone = gone.into();
    }

    /// Paths that a member has been advertised.
    pub(crate) fn count(&self, member: PeerId) -> u32 {
        self.announced - self.own.get(member.index()).copied().unwrap_or(0)
    }

    /// Lets go of everything.
    pub(crate) fn clear(&mut self, sets: &mut Sets) {
        for (_, list) in self.slots.iter_mut() {
            self.arena
                .get(*list)
                .iter()
                .for_each(|sent| sets.release(sent.handle));
        }
        *self = SentTable::default();
    }

    pub(crate) fn memory(&self) -> usize {
        let gone = self.gone.capacity() * size_of::<Gone>();
        self.slots.memory() + self.arena.memory() + gone + self.own.capacity() * 4
    }
}

fn count(own: &mut Vec<u32>, source: PeerId, up: bool) {
    if own.len() <= source.index() {
        own.resize(source.index() + 1, 0);
    }
    if let Some(own) = own.get_mut(source.index()) {
        *own = if up { *own + 1 } else { own.saturating_sub(1) };
    }
}

/// Where a change goes.
pub(crate) struct Change<'a> {
    pub(crate) sets: &'a mut Sets,
    pub(crate) members: &'a Members,
    /// `None`: nobody listens yet.
    pub(crate) out: Option<&'a mut Builder>,
    /// The log position that brought it.
    pub(crate) position: u64,
}

impl Change<'_> {
    fn announce<P: BuildKey>(&mut self, sent: &Sent, prefix: P) {
        if let Some(out) = &mut self.out {
            let nlri = Nlri {
                path_id: sent.id(),
                prefix,
            };
            out.advertise(
                sent.handle,
                sent.source,
                self.members.all_but(sent.source),
                nlri,
            );
        }
    }

    fn withdraw<P: BuildKey>(&mut self, sent: &Sent, prefix: P) {
        if let Some(out) = &mut self.out {
            let nlri = Nlri {
                path_id: sent.id(),
                prefix,
            };
            out.withdraw(self.members.all_but(sent.source), nlri);
        }
    }
}

#[cfg(test)]
mod tests {
    use thruway_wire::Ipv4Prefix;

    use super::*;
    use crate::{EgressBatch, ShardId, WorkerId};

    fn sent(index: u32, source: u16, sub: u16) -> Sent {
        Sent {
            handle: Handle::new(0, index),
            source: PeerId(source),
            sub,
        }
    }

    #[test]
    fn only_differences_go_out_and_readers_hear_of_what_went() {
        let prefix = Ipv4Prefix::new([10, 0, 0, 0].into(), 8).unwrap();
        let mut sets = Sets::new(ShardId(0), 1);
        let mut members = Members::default();
        members.join(PeerId(1), WorkerId(0));
        let mut table = SentTable::default();
        let mut step = |table: &mut SentTable, now: &[Sent], position| {
            let mut out = Builder::default();
            for sent in now {
                if sets.get(sent.handle).is_none() {
                    sets.put(sent.handle, crate::tests::set(1));
                }
            }
            let mut change = Change {
                sets: &mut sets,
                members: &members,
                out: Some(&mut out),
                position,
            };
            table.set(0, now, &mut change, prefix);
            let mut batch = EgressBatch::default();
            out.finish(&mut batch, &sets);
            let run = |run: &crate::OutRun| {
                let ids = batch.nlri4[run.start as usize..][..run.count as usize].iter();
                (
                    run.handle,
                    run.audience,
                    ids.map(|nlri| nlri.path_id).collect::<Vec<_>>(),
                )
            };
            batch.runs.iter().map(run).collect::<Vec<_>>()
        };
        use crate::Audience::{All, AllBut};
        let (a, b, c) = (sent(1, 0, 0), sent(2, 1, 0), sent(3, 1, 1));
        let said = step(&mut table, &[a, b, c], 5);
        assert_eq!(said.len(), 3);
        assert_eq!(said[1], (b.handle, AllBut(PeerId(1)), vec![b.id()]));
        assert_eq!((table.count(PeerId(1)), table.count(PeerId(7))), (1, 3));
        let b2 = sent(4, 1, 0);
        let said = step(&mut table, &[b2, c], 6);
        assert_eq!(
            said,
            [
                (Handle::NONE, All, vec![a.id()]),
                (b2.handle, AllBut(PeerId(1)), vec![b.id()]),
            ]
        );
        let gone: Vec<_> = table.gone_at(6).collect();
        assert_eq!(gone, [(0, a.id(), PeerId(0))]);
        assert_eq!(step(&mut table, &[a, b2, c], 7).len(), 1);
        assert_eq!(table.gone_at(6).count(), 0, "it came again");
        step(&mut table, &[a, c], 8);
        step(&mut table, &[a], 9);
        table.compact(9, |_| Some(9));
        let gone = |table: &SentTable, at| table.gone_at(at).map(|gone| gone.1).collect::<Vec<_>>();
        assert_eq!(
            gone(&table, 8),
            [b2.id()],
            "the entry at 9 is not passed by all"
        );
        table.compact(10, |_| Some(9));
        assert_eq!(gone(&table, 8), []);
        assert_eq!(
            gone(&table, 9),
            [b2.id(), c.id()],
            "all that is left of the slot"
        );
        step(&mut table, &[a, b2, c], 10);
        table.compact(10, |_| Some(10));
        assert!(table.gone.is_empty(), "nothing of what came again");
        table.trim(11);
        assert_eq!(step(&mut table, &[], 11).len(), 2);
        assert_eq!(table.gone_at(11).count(), 3);
        assert_eq!(table.count(PeerId(7)), 0);
    }
}
