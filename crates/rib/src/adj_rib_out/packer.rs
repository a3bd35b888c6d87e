//! From batches to messages: what egress does with a shard's answer.
//!
//! Egress feeds it batches (`absorb`) and takes messages once a turn (`pack`). Members share the octets; slices say
//! what of them is whose. It never decides: a route that it cannot encode was not in the group's answer.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hashbrown::HashTable;
use thruway_wire::attrs::AttrSet;
use thruway_wire::encode::{self, Encoding, Reflect, Rewrite};
use thruway_wire::{Family, Ipv4Prefix, Ipv6Prefix, Nlri, PrefixKey, RouterId};

use crate::{Audience, EgressBatch, GroupProfile, Handle, OutRun, PeerId, ShardId};

/// No piece.
const END: u32 = u32::MAX;

/// Encodes batches of one group, once for all its members on a worker.
#[derive(Debug)]
pub struct Packer {
    profile: Arc<GroupProfile>,
    runs: Vec<Run>,
    /// Runs of the newest layer by what they say.
    index: HashTable<u32>,
    /// Where each layer's runs begin. What one shard says twice must go out in order; what several
    /// shards say may be mixed.
    layers: Vec<usize>,
    /// Shards with a batch in the newest layer, as bits.
    shards: u64,
    pieces: Vec<Piece>,
    nlri4: Vec<Nlri<Ipv4Prefix>>,
    nlri6: Vec<Nlri<Ipv6Prefix>>,
    order: Vec<u32>,
    bytes: Vec<u8>,
    held: Held,
}

/// Octets of encoded messages that somebody still holds, each counted once: members share them, so the
/// lengths of their queues say little about memory.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<AtomicUsize>);

impl Held {
    /// How many there are now.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A counted copy.
    #[must_use]
    pub fn copy(&self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Segment {
            bytes: bytes.into(),
            held: self.clone(),
        })
    }
}

/// The messages of one pack. It goes with the last slice of it.
struct Segment {
    bytes: Box<[u8]>,
    held: Held,
}

impl AsRef<[u8]> for Segment {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// NLRI with one set from one source for one audience, from any shard.
#[derive(Debug)]
struct Run {
    key: RunKey,
    set: Option<AttrSet>,
    first: u32,
    last: u32,
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RunKey {
    handle: Handle,
    source: PeerId,
    audience: Audience,
    family: Family,
}

/// Neighbours in an NLRI array.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u32,
    count: u32,
    next: u32,
}

/// Encoded messages: one segment, whole messages only, and who gets which part.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    bytes: Bytes,
    parts: Vec<Part>,
    /// Messages in it.
    pub messages: u32,
    /// NLRI withdrawn instead of announced: their set fits no message to these members (RFC 8654 §5),
    /// or its next hop does not go with them.
    pub unsendable: u32,
}

/// Neighbouring messages for one audience.
#[derive(Clone, Debug)]
struct Part {
    audience: Audience,
    range: Range<u32>,
    count: PackedCount,
}

/// What messages hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedCount {
    /// UPDATEs.
    pub messages: u32,
    /// NLRI announced.
    pub announced: u32,
    /// NLRI withdrawn.
    pub withdrawn: u32,
}

impl PackedCount {
    fn add(&mut self, more: PackedCount) {
        self.messages += more.messages;
        self.announced += more.announced;
        self.withdrawn += more.withdrawn;
    }
}

impl RunKey {
    fn new(run: &OutRun) -> Self {
        let source = if run.handle.is_some() {
            run.source
        } else {
            PeerId(0)
        };
        RunKey {
            handle: run.handle,
            source,
            audience: run.audience,
            family: run.family,
        }
    }

    fn hash(&self) -> u64 {
        let audience = match self.audience {
            Audience::All => 0,
            Audience::AllBut(peer) => 1 << 16 | u64::from(peer.0),
            Audience::Only(peer) => 2 << 16 | u64::from(peer.0),
        };
        let handle = (self.handle.owner() as u64) << 26 | self.handle.index() as u64;
        let bits = handle << 32 | audience << 8 | self.family as u64;
        let product = (bits ^ u64::from(self.source.0) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ product >> 32
    }

    /// Where a run goes in its layer: what all get before what one gets, so that the others' bytes lie
    /// together; withdrawals before announcements, so that routes that go are gone soon.
    fn place(&self) -> u8 {
        let one = matches!(self.audience, Audience::Only(_));
        u8::from(one) << 1 | u8::from(self.handle.is_some())
    }
}

impl Packer {
    /// For a group; `held` counts what its members hold.
    #[must_use]
    pub fn new(profile: Arc<GroupProfile>, held: &Held) -> Self {
        Packer {
            profile,
            runs: Vec::new(),
            index: HashTable::new(),
            layers: Vec::new(),
            shards: 0,
            pieces: Vec::new(),
            nlri4: Vec::new(),
            nlri6: Vec::new(),
            order: Vec::new(),
            bytes: Vec::new(),
            held: held.clone(),
        }
    }

    /// The group's profile was replaced.
    pub fn set_profile(&mut self, profile: Arc<GroupProfile>) {
        self.profile = profile;
    }

    /// Adds a batch. Batches of several shards may be packed together where they are for the same
    /// members; two batches of one shard must be given in order.
    pub fn absorb(&mut self, batch: &EgressBatch) {
        self.start_layer(batch.shard);
        let (base4, base6) = (self.nlri4.len() as u32, self.nlri6.len() as u32);
        self.nlri4.extend_from_slice(&batch.nlri4);
        self.nlri6.extend_from_slice(&batch.nlri6);
        for run in &batch.runs {
            let base = match run.family {
                Family::Ipv4 => base4,
                Family::Ipv6 => base6,
            };
            let piece = self.pieces.len() as u32;
            self.pieces.push(Piece {
                start: base + run.start,
                count: run.count,
                next: END,
            });
            self.add(run, piece, batch);
        }
    }

    fn start_layer(&mut self, shard: ShardId) {
        let bit = 1u64 << (shard.0 & 63);
        if self.layers.is_empty() || self.shards & bit != 0 {
            self.layers.push(self.runs.len());
            self.index.clear();
            self.shards = 0;
        }
        self.shards |= bit;
    }

    fn add(&mut self, out: &OutRun, piece: u32, batch: &EgressBatch) {
        let key = RunKey::new(out);
        let hash = key.hash();
        let Packer {
            runs,
            index,
            pieces,
            ..
        } = self;
        let set = match out.handle.is_some() {
            true => batch.sets.get(out.set as usize),
            false => None,
        };
        // The number of a set is used again once all shards have given it back, which they may have while
        // another shard's batch with the former set still waited for us.
        let same = |run: &u32| {
            let known = runs.get(*run as usize).filter(|run| run.key == key);
            known.is_some_and(|run| match (&run.set, set) {
                (Some(known), Some(set)) => known.is_same(set),
                (known, set) => known.is_none() && set.is_none(),
            })
        };
        if let Some(run) = index.find(hash, same).copied() {
            let Some(run) = runs.get_mut(run as usize) else {
                return;
            };
            if let Some(last) = pieces.get_mut(run.last as usize) {
                last.next = piece;
            }
            run.last = piece;
            run.count += out.count;
            return;
        }
        let set = set.cloned();
        debug_assert_eq!(
            set.is_some(),
            out.handle.is_some(),
            "an announced run has its set"
        );
        let at = runs.len() as u32;
        runs.push(Run {
            key,
            set,
            first: piece,
            last: piece,
            count: out.count,
        });
        index.insert_unique(hash, at, |run| {
            runs.get(*run as usize).map_or(0, |r| r.key.hash())
        });
    }

    /// True where nothing was absorbed since the last `pack`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Encodes what was absorbed. `router_id` gives the BGP identifier of a source that is internal, for the
    /// marks of a reflector (RFC 4456 §8), `None` for others.
    pub fn pack(&mut self, router_id: &dyn Fn(PeerId) -> Option<RouterId>) -> Packed {
        let mut packed = Packed::default();
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut order = std::mem::take(&mut self.order);
        for (layer, start) in self.layers.iter().enumerate() {
            let end = self
                .layers
                .get(layer + 1)
                .copied()
                .unwrap_or(self.runs.len());
            order.clear();
            order.extend(*start as u32..end as u32);
            let place = |run: &u32| {
                self.runs
                    .get(*run as usize)
                    .map_or(0, |run| run.key.place())
            };
            order.sort_by_key(place);
            for run in order.iter().filter_map(|run| self.runs.get(*run as usize)) {
                self.encode(run, router_id, &mut bytes, &mut packed);
            }
        }
        packed.bytes = self.held.copy(&bytes);
        bytes.clear();
        (self.bytes, self.order) = (bytes, order);
        self.clear();
        packed
    }

    /// Encodes one run and notes whose it is.
    fn encode(
        &self,
        run: &Run,
        router_id: &dyn Fn(PeerId) -> Option<RouterId>,
        out: &mut Vec<u8>,
        packed: &mut Packed,
    ) {
        let start = out.len();
        let rewrite = self.rewrite(run, router_id);
        let encoding = self.profile.encoding_of(run.key.family);
        let count = match run.key.family {
            Family::Ipv4 => self.encode_as(&self.nlri4, run, &rewrite, &encoding, out),
            Family::Ipv6 => self.encode_as(&self.nlri6, run, &rewrite, &encoding, out),
        };
        packed.messages += count.messages;
        if run.set.is_some() {
            packed.unsendable += count.withdrawn;
        }
        packed.add(Part {
            audience: run.key.audience,
            range: start as u32..out.len() as u32,
            count,
        });
    }

    fn encode_as<P: PrefixKey>(
        &self,
        nlri: &[Nlri<P>],
        run: &Run,
        rewrite: &Rewrite,
        encoding: &Encoding,
        out: &mut Vec<u8>,
    ) -> PackedCount {
        let all = || Chain {
            pieces: &self.pieces,
            nlri,
            piece: run.first,
            rest: [].iter(),
        };
        let announced = run
            .set
            .as_ref()
            .and_then(|set| encode::announce(out, set.as_ref(), rewrite, encoding, all()).ok());
        match announced {
            Some(messages) => PackedCount {
                messages: messages as u32,
                announced: run.count,
                withdrawn: 0,
            },
            None => PackedCount {
                messages: encode::withdraw(out, encoding, all()) as u32,
                announced: 0,
                withdrawn: run.count,
            },
        }
    }

    fn rewrite(&self, run: &Run, router_id: &dyn Fn(PeerId) -> Option<RouterId>) -> Rewrite {
        let mut rewrite = self.profile.rewrite;
        if let Some(cluster) = self.profile.cluster
            && run.set.is_some()
        {
            rewrite.reflect = router_id(run.key.source).map(|originator| Reflect {
                originator,
                cluster,
            });
        }
        rewrite
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.index.clear();
        self.layers.clear();
        self.shards = 0;
        self.pieces.clear();
        self.nlri4.clear();
        self.nlri6.clear();
    }
}

/// The NLRI of a run, piece after piece.
#[derive(Clone)]
struct Chain<'a, P> {
    pieces: &'a [Piece],
    nlri: &'a [Nlri<P>],
    piece: u32,
    rest: std::slice::Iter<'a, Nlri<P>>,
}

impl<P: PrefixKey> Iterator for Chain<'_, P> {
    type Item = Nlri<P>;

    #[inline]
    fn next(&mut self) -> Option<Nlri<P>> {
        loop {
            if let Some(nlri) = self.rest.next() {
                return Some(*nlri);
            }
            let piece = self.pieces.get(self.piece as usize)?;
            let range = piece.start as usize..piece.start as usize + piece.count as usize;
            self.rest = self.nlri.get(range)?.iter();
            self.piece = piece.next;
        }
    }
}

impl Packed {
    fn add(&mut self, part: Part) {
        match self.parts.last_mut() {
            _ if part.range.is_empty() => {}
            Some(last) if last.audience == part.audience && last.range.end == part.range.start => {
                last.range.end = part.range.end;
                last.count.add(part.count);
            }
            _ => self.parts.push(part),
        }
    }

    /// True without messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All messages, whoever they are for.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The messages for one member, in order, neighbouring ones in one slice, and what each holds.
    pub fn slices_for(&self, member: PeerId) -> impl Iterator<Item = (Bytes, PackedCount)> + '_ {
        let mut parts = self.parts.iter().filter(move |part| match part.audience {
            Audience::All => true,
            Audience::AllBut(peer) => peer != member,
            Audience::Only(peer) => peer == member,
        });
        let mut open: Option<(Range<u32>, PackedCount)> = None;
        std::iter::from_fn(move || {
            loop {
                let Some(Part { range, count, .. }) = parts.next() else {
                    return open.take();
                };
                match &mut open {
                    Some((open, sum)) if open.end == range.start => {
                        open.end = range.end;
                        sum.add(*count);
                    }
                    _ => {
                        if let Some(done) = open.replace((range.clone(), *count)) {
                            return Some(done);
                        }
                    }
                }
            }
        })
        .map(|(range, count)| {
            let range = range.start as usize..range.end as usize;
            (self.bytes.slice(range), count)
        })
    }
}

#[cfg(test)]
mod tests;
