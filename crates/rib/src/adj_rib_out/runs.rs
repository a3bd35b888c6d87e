//! Building a batch toward egress: NLRI gathered by what is said of them and to whom.

use hashbrown::HashTable;
use thruway_wire::{Family, Ipv4Prefix, Ipv6Prefix, Nlri, PrefixKey};

use crate::table::sets::Sets;
use crate::{Audience, EgressBatch, Handle, OutRun, PeerId};

/// What makes NLRI one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    handle: Handle,
    source: PeerId,
    audience: Audience,
    family: Family,
}

impl Key {
    fn hash(&self) -> u64 {
        let audience = match self.audience {
            Audience::All => 0,
            Audience::AllBut(peer) => 1 << 16 | u64::from(peer.0),
            Audience::Only(peer) => 2 << 16 | u64::from(peer.0),
        };
        let owner = (self.handle.owner() as u64) << 26 | self.handle.index() as u64;
        let bits = owner << 32 | audience << 8 | self.family as u64;
        let bits = bits ^ u64::from(self.source.0) << 48;
        // Both ends of the product are used by the table.
        let product = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ product >> 32
    }
}

/// NLRI of one family, each with its run.
#[derive(Debug)]
pub(crate) struct Items<P> {
    list: Vec<(u32, Nlri<P>)>,
}

impl<P> Default for Items<P> {
    fn default() -> Self {
        Items { list: Vec::new() }
    }
}

/// A batch in the making. Its storage is used again.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    runs: Vec<(Key, u32)>,
    index: HashTable<u32>,
    last: u32,
    items4: Items<Ipv4Prefix>,
    items6: Items<Ipv6Prefix>,
}

/// A family's place in the builder.
pub(crate) trait BuildKey: PrefixKey {
    fn items(builder: &mut Builder) -> &mut Items<Self>;
}

impl BuildKey for Ipv4Prefix {
    fn items(builder: &mut Builder) -> &mut Items<Self> {
        &mut builder.items4
    }
}

impl BuildKey for Ipv6Prefix {
    fn items(builder: &mut Builder) -> &mut Items<Self> {
        &mut builder.items6
    }
}

impl Builder {
    /// NLRI in it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.items4.list.len() + self.items6.list.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Tells an audience of a route; `handle` `NONE`: it is withdrawn.
    #[inline]
    pub(crate) fn advertise<P: BuildKey>(
        &mut self,
        handle: Handle,
        source: PeerId,
        audience: Audience,
        nlri: Nlri<P>,
    ) {
        let source = if handle.is_some() { source } else { PeerId(0) };
        let key = Key {
            handle,
            source,
            audience,
            family: P::FAMILY,
        };
        let run = self.run(key);
        P::items(self).list.push((run, nlri));
    }

    /// Tells of another prefix what the last [`Builder::advertise`] advertised, of the same family.
    #[inline]
    pub(crate) fn again<P: BuildKey>(&mut self, nlri: Nlri<P>) {
        if let Some((key, count)) = self.runs.get_mut(self.last as usize) {
            debug_assert!(key.family == P::FAMILY);
            *count += 1;
            let run = self.last;
            P::items(self).list.push((run, nlri));
        }
    }

    /// Takes a route back from an audience.
    #[inline]
    pub(crate) fn withdraw<P: BuildKey>(&mut self, audience: Audience, nlri: Nlri<P>) {
        self.advertise(Handle::NONE, PeerId(0), audience, nlri);
    }

    /// The run of a key, counted up. Neighbours mostly share theirs.
    #[inline]
    fn run(&mut self, key: Key) -> u32 {
        if let Some((known, count)) = self.runs.get_mut(self.last as usize)
            && *known == key
        {
            *count += 1;
            return self.last;
        }
        let hash = key.hash();
        let Builder { runs, index, .. } = self;
        let same = |run: &u32| {
            runs.get(*run as usize)
                .is_some_and(|(known, _)| *known == key)
        };
        self.last = match index.find(hash, same) {
            Some(run) => *run,
            None => {
                let run = runs.len() as u32;
                runs.push((key, 0));
                index.insert_unique(hash, run, |run| {
                    runs.get(*run as usize).map_or(0, |(known, _)| known.hash())
                });
                run
            }
        };
        if let Some((_, count)) = self.runs.get_mut(self.last as usize) {
            *count += 1;
        }
        self.last
    }

    /// Moves what was gathered into `batch`, run by run, and is empty again.
    pub(crate) fn finish(&mut self, batch: &mut EgressBatch, sets: &Sets) {
        let mut next = [0u32; 2];
        batch.runs.reserve_exact(self.runs.len());
        for (key, count) in &self.runs {
            let Some(next) = next.get_mut(key.family.index()) else {
                continue;
            };
            let mut set = 0;
            if let Some(known) = sets.get(key.handle) {
                set = batch.sets.len() as u32;
                batch.sets.push(known.clone());
            }
            debug_assert!(key.handle.is_none() || sets.get(key.handle).is_some());
            batch.runs.push(OutRun {
                handle: key.handle,
                set,
                source: key.source,
                audience: key.audience,
                family: key.family,
                start: *next,
                count: *count,
            });
            *next += *count;
        }
        // From here on a run's count is where its next NLRI goes.
        for ((_, count), run) in self.runs.iter_mut().zip(&batch.runs) {
            *count = run.start;
        }
        scatter(
            &mut self.items4,
            &mut self.runs,
            &mut batch.nlri4,
            Ipv4Prefix::from_octets(&[], 0),
        );
        scatter(
            &mut self.items6,
            &mut self.runs,
            &mut batch.nlri6,
            Ipv6Prefix::from_octets(&[], 0),
        );
        self.runs.clear();
        self.index.clear();
        self.last = 0;
    }
}

fn scatter<P: Copy>(
    items: &mut Items<P>,
    runs: &mut [(Key, u32)],
    out: &mut Vec<Nlri<P>>,
    any: Option<P>,
) {
    let Some(any) = any else { return };
    if items.list.is_empty() {
        return;
    }
    out.resize(
        items.list.len(),
        Nlri {
            path_id: 0,
            prefix: any,
        },
    );
    for (run, nlri) in items.list.drain(..) {
        let Some((_, next)) = runs.get_mut(run as usize) else {
            continue;
        };
        if let Some(place) = out.get_mut(*next as usize) {
            *place = nlri;
        }
        *next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShardId;

    fn nlri(net: u32) -> Nlri<Ipv4Prefix> {
        Nlri {
            path_id: 0,
            prefix: Ipv4Prefix::new((net << 8).into(), 24).unwrap(),
        }
    }

    #[test]
    fn equal_keys_become_one_run_in_order() {
        let mut builder = Builder::default();
        let source = PeerId(3);
        for net in 0..10 {
            if net % 2 == 0 {
                builder.withdraw(Audience::All, nlri(net));
            } else {
                builder.withdraw(Audience::AllBut(source), nlri(net));
            }
        }
        assert_eq!(builder.len(), 10);
        let mut batch = EgressBatch::default();
        builder.finish(&mut batch, &Sets::new(ShardId(0), 1));
        assert!(builder.is_empty());
        let [all, but] = batch.runs.as_slice() else {
            panic!("{:?}", batch.runs)
        };
        assert_eq!((all.audience, all.start, all.count), (Audience::All, 0, 5));
        assert_eq!(
            (but.audience, but.start, but.count),
            (Audience::AllBut(source), 5, 5)
        );
        let expect: Vec<_> = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9].map(nlri).to_vec();
        assert_eq!(batch.nlri4, expect);
    }
}
