//! One family's prefixes: dense slots, found by keyed hash.
//!
//! Adj-RIB-In fills it, the decision process orders a slot's paths, groups and queries read it by slot number. A
//! number must not pass to another prefix while anybody has still to read the old one in the log: `free` says when.

pub(crate) mod arena;
pub(crate) mod chunked;
pub(crate) mod index;
pub(crate) mod intern;
pub(crate) mod log;
pub(crate) mod paths;
pub(crate) mod sets;

use hashbrown::HashTable;
use thruway_wire::{Family, Ipv4Prefix, Ipv6Prefix, Nlri, PrefixKey};

use crate::hash::PrefixHasher;
use crate::table::arena::{Arena, List};
use crate::table::chunked::Chunked;
use crate::table::index::Index;
use crate::table::log::{Log, Logged, SlotRef};
use crate::table::paths::{PATHS_OF_PEER_MAX, Path};
use crate::{PeerId, ShardBatch};

/// No slot.
pub(crate) const MISS: u32 = u32::MAX;
/// Slots at most: a log entry names one in 31 bits.
const SLOTS_MAX: u32 = 1 << 30;

/// What the shard needs of a family beyond its prefix type.
pub(crate) trait TableKey: PrefixKey + 'static {
    /// Any value: what an unused slot holds.
    const ANY: Self;
    /// Its address in words, so that a slot has no gaps.
    type Words: Copy + Eq + Default + std::fmt::Debug;
    const INDEX: usize = Self::FAMILY as usize;
    /// The family's NLRI of a batch toward the shard.
    fn received(batch: &ShardBatch) -> &[Nlri<Self>];
    /// The address.
    fn words(&self) -> Self::Words;
    /// The prefix with this address and length, which came from one.
    fn from_words(words: Self::Words, len: u8) -> Self;
}

impl TableKey for Ipv4Prefix {
    const ANY: Self = match Ipv4Prefix::new(std::net::Ipv4Addr::UNSPECIFIED, 0) {
        Some(prefix) => prefix,
        None => unreachable!(),
    };

    type Words = u32;

    fn received(batch: &ShardBatch) -> &[Nlri<Self>] {
        &batch.nlri4
    }

    #[inline]
    fn words(&self) -> u32 {
        self.addr().to_bits()
    }

    #[inline]
    fn from_words(words: u32, len: u8) -> Self {
        Ipv4Prefix::new(words.into(), len).unwrap_or(Self::ANY)
    }
}

impl TableKey for Ipv6Prefix {
    const ANY: Self = match Ipv6Prefix::new(std::net::Ipv6Addr::UNSPECIFIED, 0) {
        Some(prefix) => prefix,
        None => unreachable!(),
    };

    type Words = [u32; 4];

    fn received(batch: &ShardBatch) -> &[Nlri<Self>] {
        &batch.nlri6
    }

    #[inline]
    fn words(&self) -> [u32; 4] {
        let bits = self.addr().to_bits();
        [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
    }

    #[inline]
    fn from_words(words: [u32; 4], len: u8) -> Self {
        let bits = words
            .iter()
            .fold(0u128, |bits, word| bits << 32 | u128::from(*word));
        Ipv6Prefix::new(bits.into(), len).unwrap_or(Self::ANY)
    }
}

const _: () = assert!(Family::Ipv4 as usize == 0 && Family::Ipv6 as usize == 1);

/// A prefix and its paths. The parts of the prefix, of its list and of its place in the log lie flat:
/// nested they would cost twelve octets a prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<P: TableKey> {
    words: P::Words,
    block: u32,
    position: u32,
    len: u16,
    prefix_len: u8,
    /// Flags, and the class of its list above them.
    bits: u8,
}

const USED: u8 = 1;
/// MED took a path out of the decision: the best of some of the paths must be found anew.
const MED_MATTERED: u8 = 1 << 1;
const LOGGED: u8 = 1 << 2;
const FLAGS: u8 = USED | MED_MATTERED | LOGGED;
const CLASS_SHIFT: u8 = 3;

const _: () = assert!(size_of::<Slot<Ipv4Prefix>>() == 16);
const _: () = assert!(size_of::<Slot<Ipv6Prefix>>() == 28);
const _: () = assert!(crate::table::arena::CLASSES <= (u8::MAX >> CLASS_SHIFT) as usize + 1);

impl<P: TableKey> Default for Slot<P> {
    fn default() -> Self {
        Slot {
            words: P::Words::default(),
            block: 0,
            position: 0,
            len: 0,
            prefix_len: 0,
            bits: 0,
        }
    }
}

impl<P: TableKey> Slot<P> {
    fn new(prefix: P) -> Self {
        Slot {
            words: prefix.words(),
            prefix_len: prefix.prefix_len(),
            bits: USED,
            ..Slot::default()
        }
    }

    #[inline]
    pub(crate) fn prefix(&self) -> P {
        P::from_words(self.words, self.prefix_len)
    }

    #[inline]
    fn is(&self, prefix: &P) -> bool {
        self.words == prefix.words() && self.prefix_len == prefix.prefix_len()
    }

    /// Paths, rejected and dead ones included.
    #[inline]
    pub(crate) fn path_count(&self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.bits & USED != 0
    }

    /// MED took a path out of the last decision.
    #[inline]
    pub(crate) fn med_mattered(&self) -> bool {
        self.bits & MED_MATTERED != 0
    }

    /// Its place in the log.
    #[inline]
    pub(crate) fn logged(&self) -> Logged {
        Logged {
            position: self.position,
            is: self.bits & LOGGED != 0,
        }
    }

    #[inline]
    fn set_logged(&mut self, logged: Logged) {
        self.position = logged.position;
        self.set_flag(LOGGED, logged.is);
    }

    /// The paths, the best first.
    #[inline]
    fn list(&self) -> List {
        List::new(self.block, self.len, self.bits >> CLASS_SHIFT)
    }

    #[inline]
    fn set_list(&mut self, list: List) {
        let class;
        (self.block, self.len, class) = list.parts();
        self.bits = self.bits & FLAGS | class << CLASS_SHIFT;
    }

    #[inline]
    fn set_flag(&mut self, flag: u8, on: bool) {
        self.bits = if on {
            self.bits | flag
        } else {
            self.bits & !flag
        };
    }
}

/// The received identifier of a path that has one.
#[derive(Clone, Copy, Debug)]
struct ReceivedId {
    slot: u32,
    id: u32,
    peer: PeerId,
    sub: u16,
}

/// All prefixes of a family.
#[derive(Debug)]
pub(crate) struct Table<P: TableKey> {
    hasher: PrefixHasher,
    index: Index,
    slots: Chunked<Slot<P>, 12>,
    /// Used slots of each chunk: one without gives its memory back.
    used: Vec<u16>,
    /// Slots ever used: walks end here.
    len: u32,
    free: Vec<u32>,
    paths: Arena<Path>,
    path_count: u32,
    ids: HashTable<ReceivedId>,
}

impl<P: TableKey> Table<P> {
    pub(crate) fn new(seed: u64) -> Self {
        Table {
            hasher: PrefixHasher::new(seed ^ P::INDEX as u64),
            index: Index::default(),
            slots: Chunked::default(),
            used: Vec::new(),
            len: 0,
            free: Vec::new(),
            paths: Arena::default(),
            path_count: 0,
            ids: HashTable::new(),
        }
    }

    #[inline]
    pub(crate) fn hash(&self, prefix: &P) -> u64 {
        self.hasher.hash(prefix)
    }

    /// The slot of a prefix.
    #[inline]
    pub(crate) fn find(&self, hash: u64, prefix: &P) -> Option<u32> {
        self.index.find(hash, |slot| self.is(slot, prefix))
    }

    #[inline]
    fn is(&self, slot: u32, prefix: &P) -> bool {
        self.slots
            .get(slot)
            .is_some_and(|known| known.is_used() && known.is(prefix))
    }

    /// The slots of `nlri`, `MISS` where there is none, and the hashes that were asked for. In passes, each of
    /// which reads what the next one needs, for all of them at once: the processor waits for the lines of
    /// the whole run together.
    pub(crate) fn find_run(&self, nlri: &[Nlri<P>], hashes: &mut [u64], slots: &mut [u32]) {
        let mut warm = 0;
        for (hash, nlri) in hashes.iter_mut().zip(nlri) {
            *hash = self.hash(&nlri.prefix);
            warm ^= self.index.warm(*hash);
        }
        std::hint::black_box(warm);
        for (slot, hash) in slots.iter_mut().zip(hashes.iter()).take(nlri.len()) {
            // What is filed under the hash is the prefix, but for one time in billions.
            *slot = self.index.find(*hash, |_| true).unwrap_or(MISS);
        }
        for ((slot, hash), nlri) in slots.iter_mut().zip(hashes.iter()).zip(nlri) {
            if *slot != MISS && !self.is(*slot, &nlri.prefix) {
                *slot = self.find(*hash, &nlri.prefix).unwrap_or(MISS);
            }
        }
        let mut warm = 0;
        for slot in slots.iter().take(nlri.len()) {
            warm ^= self.warm(*slot);
        }
        std::hint::black_box(warm);
    }

    /// Makes a slot with its first path, of whose received identifier the tag says whether it has one; with a
    /// log, notes that there. False where the table is full.
    pub(crate) fn begin(
        &mut self,
        hash: u64,
        nlri: &Nlri<P>,
        path: Path,
        log: Option<&mut Log>,
    ) -> bool {
        debug_assert!(self.find(hash, &nlri.prefix).is_none());
        debug_assert!(path.tag.has_id() == (nlri.path_id != 0));
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.len >= SLOTS_MAX => return false,
            None => {
                self.len += 1;
                self.len - 1
            }
        };
        let Some(place) = self.slots.slot(slot) else {
            return false;
        };
        debug_assert!(!place.is_used() && place.len == 0);
        let mut made = Slot::new(nlri.prefix);
        made.set_list(self.paths.one(path));
        if let Some(log) = log {
            made.set_logged(log.begin(SlotRef::new(P::INDEX, slot)));
        }
        *place = made;
        self.count_used(slot);
        self.index.insert(hash, slot);
        self.path_count += 1;
        if path.tag.has_id() {
            self.keep_id(slot, &path, nlri.path_id);
        }
        true
    }

    /// Gives up a slot without paths.
    pub(crate) fn free(&mut self, slot: u32) {
        let Some(place) = self.slots.get_mut(slot) else {
            return;
        };
        debug_assert!(place.is_used() && place.len == 0);
        let hash = self.hasher.hash(&place.prefix());
        *place = Slot::default();
        self.index.remove(hash, slot);
        self.free.push(slot);
        self.count_unused(slot);
    }

    #[inline]
    fn count_used(&mut self, slot: u32) {
        let chunk = Chunked::<Slot<P>, 12>::chunk_of(slot);
        match self.used.get_mut(chunk) {
            Some(used) => *used += 1,
            None => {
                self.used.resize(chunk, 0);
                self.used.push(1);
            }
        }
    }

    fn count_unused(&mut self, slot: u32) {
        let chunk = Chunked::<Slot<P>, 12>::chunk_of(slot);
        let Some(used) = self.used.get_mut(chunk) else {
            return;
        };
        *used -= 1;
        // The last chunk is where the next slot comes from.
        if *used == 0 && chunk + 1 < self.used.len() {
            self.slots.drop_chunk(chunk);
        }
        if self.prefix_count() == 0 && self.paths.is_large() {
            self.paths = Arena::default();
            self.ids
                .shrink_to(0, |known| self.hasher.hash_bits(known.bits()));
        }
    }

    /// Slots ever used.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Prefixes in the table, those about to go included.
    pub(crate) fn prefix_count(&self) -> u32 {
        self.len - self.free.len() as u32
    }

    /// Paths in the table.
    pub(crate) fn path_count(&self) -> u32 {
        self.path_count
    }

    #[inline]
    pub(crate) fn slot(&self, slot: u32) -> Option<&Slot<P>> {
        self.slots.get(slot)
    }

    /// The paths of a slot, the best first.
    #[inline]
    pub(crate) fn paths(&self, slot: u32) -> &[Path] {
        self.slots.get(slot).map_or(&[], |slot| self.paths_of(slot))
    }

    /// The paths of a slot that is at hand.
    #[inline]
    pub(crate) fn paths_of(&self, slot: &Slot<P>) -> &[Path] {
        self.paths.get(slot.list())
    }

    #[inline]
    pub(crate) fn paths_mut(&mut self, slot: u32) -> &mut [Path] {
        match self.slots.get(slot) {
            Some(slot) => self.paths.get_mut(slot.list()),
            None => &mut [],
        }
    }

    /// Reads what an update of the slot will read, so that the misses of a run overlap.
    #[inline]
    fn warm(&self, slot: u32) -> u32 {
        self.slots.get(slot).map_or(0, |slot| self.warm_of(slot))
    }

    #[inline]
    fn warm_of(&self, slot: &Slot<P>) -> u32 {
        // One of four paths: a cache line holds as many.
        let paths = self.paths_of(slot).iter().step_by(4);
        paths.fold(0, |sum, path| sum ^ u32::from(path.peer.0))
    }

    /// A slot's place in the log, and what it takes to have a visit's lines read ahead.
    #[inline]
    pub(crate) fn ahead(&self, slot: u32) -> (Logged, u32) {
        let place = self.slots.get(slot);
        place.map_or_else(Default::default, |slot| (slot.logged(), self.warm_of(slot)))
    }

    #[inline]
    pub(crate) fn set_med_mattered(&mut self, slot: u32, mattered: bool) {
        if let Some(slot) = self.slots.get_mut(slot) {
            debug_assert!(slot.is_used());
            slot.set_flag(MED_MATTERED, mattered);
        }
    }

    /// Notes in the log that the slot changed.
    #[inline]
    pub(crate) fn touch(&mut self, slot: u32, log: &mut Log) {
        if let Some(place) = self.slots.get_mut(slot) {
            debug_assert!(place.is_used());
            let mut logged = place.logged();
            log.touch(SlotRef::new(P::INDEX, slot), &mut logged);
            place.set_logged(logged);
        }
    }

    /// An entry of the slot left the log. True where it was the last and the slot is empty.
    #[inline]
    pub(crate) fn trimmed(&mut self, slot: u32, position: u64) -> bool {
        let Some(place) = self.slots.get_mut(slot) else {
            return false;
        };
        if !place.logged().is_at(position) {
            return false;
        }
        place.set_flag(LOGGED, false);
        place.len == 0
    }

    /// The received identifier of a path, 0 without.
    #[inline]
    pub(crate) fn path_id(&self, slot: u32, path: &Path) -> u32 {
        if !path.tag.has_id() {
            return 0;
        }
        let key = (slot, path.peer, path.tag.sub());
        let found = self.ids.find(self.id_hash(key), |known| known.key() == key);
        debug_assert!(
            found.is_some(),
            "a path with an identifier has it in the table"
        );
        found.map_or(0, |known| known.id)
    }

    fn id_hash(&self, (slot, peer, sub): (u32, PeerId, u16)) -> u64 {
        let bits = u64::from(slot) << 32 | u64::from(peer.0) << 16 | u64::from(sub);
        self.hasher.hash_bits(bits)
    }

    /// Where the path of a peer with this identifier is.
    #[inline]
    pub(crate) fn position(&self, slot: u32, peer: PeerId, id: u32) -> Option<usize> {
        self.paths(slot)
            .iter()
            .position(|path| path.peer == peer && self.path_id(slot, path) == id)
    }

    /// A number for another path of a peer; `None` where it has too many.
    pub(crate) fn free_sub(&self, slot: u32, peer: PeerId) -> Option<u16> {
        let used = |sub| {
            self.paths(slot)
                .iter()
                .any(|path| path.peer == peer && path.tag.sub() == sub)
        };
        (0..PATHS_OF_PEER_MAX).find(|sub| !used(*sub))
    }

    /// Appends a path; `id` is its received identifier where its tag says that it has one. False where
    /// the prefix has too many.
    pub(crate) fn push(&mut self, slot: u32, path: Path, id: u32) -> bool {
        debug_assert!(path.tag.has_id() == (id != 0));
        let Some(place) = self.slots.get_mut(slot) else {
            return false;
        };
        let mut list = place.list();
        if !self.paths.push(&mut list, path) {
            return false;
        }
        place.set_list(list);
        self.path_count += 1;
        if path.tag.has_id() {
            self.keep_id(slot, &path, id);
        }
        true
    }

    fn keep_id(&mut self, slot: u32, path: &Path, id: u32) {
        let (peer, sub) = (path.peer, path.tag.sub());
        let entry = ReceivedId {
            slot,
            id,
            peer,
            sub,
        };
        let hash = self.id_hash(entry.key());
        let hasher = self.hasher;
        self.ids
            .insert_unique(hash, entry, |known| hasher.hash_bits(known.bits()));
    }

    /// Takes a path out; the last one takes its place.
    pub(crate) fn remove(&mut self, slot: u32, index: usize) -> Option<Path> {
        let place = self.slots.get_mut(slot)?;
        let mut list = place.list();
        let path = self.paths.swap_remove(&mut list, index)?;
        place.set_list(list);
        self.path_count -= 1;
        if path.tag.has_id() {
            let key = (slot, path.peer, path.tag.sub());
            let hash = self.id_hash(key);
            if let Ok(entry) = self.ids.find_entry(hash, |known| known.key() == key) {
                entry.remove();
            }
        }
        Some(path)
    }

    /// Octets allocated.
    pub(crate) fn memory(&self) -> usize {
        let index = self.index.memory();
        let free = self.free.capacity() * size_of::<u32>();
        self.slots.memory() + self.paths.memory() + index + free + self.ids.allocation_size()
    }
}

impl ReceivedId {
    fn key(&self) -> (u32, PeerId, u16) {
        (self.slot, self.peer, self.sub)
    }

    fn bits(&self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.peer.0) << 16 | u64::from(self.sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Handle;
    use crate::table::paths::{Digest, Tag};

    fn prefix(index: u32) -> Ipv4Prefix {
        Ipv4Prefix::new((index << 8).into(), 24).unwrap()
    }

    fn nlri(index: u32, path_id: u32) -> Nlri<Ipv4Prefix> {
        let prefix = prefix(index);
        Nlri { path_id, prefix }
    }

    fn path(peer: u16, sub: u16, has_id: bool) -> Path {
        let tag = Tag::new(0, sub, has_id);
        let handle = Handle::new(0, 1);
        Path {
            received: handle,
            accepted: handle,
            peer: PeerId(peer),
            tag,
            digest: Digest::default(),
        }
    }

    #[test]
    fn slots_are_found_and_used_again() {
        let mut table = Table::<Ipv4Prefix>::new(3);
        for index in 0..100_000 {
            let hash = table.hash(&prefix(index));
            assert_eq!(table.find(hash, &prefix(index)), None);
            assert!(table.begin(hash, &nlri(index, 0), path(4, 0, false), None));
            assert_eq!(table.find(hash, &prefix(index)), Some(index));
        }
        for index in (0..100_000).step_by(2) {
            table.remove(index, 0).unwrap();
            table.free(index);
        }
        for index in 0..100_000 {
            let found = table.find(table.hash(&prefix(index)), &prefix(index));
            assert_eq!(found, (index % 2 == 1).then_some(index));
        }
        let hash = table.hash(&prefix(200_000));
        assert!(table.begin(hash, &nlri(200_000, 0), path(4, 0, false), None));
        assert!(table.find(hash, &prefix(200_000)).unwrap() < 100_000);
        assert_eq!((table.len(), table.prefix_count()), (100_000, 50_001));
    }

    #[test]
    fn received_identifiers_follow_their_paths() {
        let mut table = Table::<Ipv4Prefix>::new(3);
        let hash = table.hash(&prefix(1));
        assert!(table.begin(hash, &nlri(1, 700), path(4, 0, true), None));
        let slot = table.find(hash, &prefix(1)).unwrap();
        for (sub, id) in [(1, 70), (2, 7)] {
            assert_eq!(table.free_sub(slot, PeerId(4)), Some(sub));
            assert!(table.push(slot, path(4, sub, true), id));
        }
        assert!(table.push(slot, path(5, 0, false), 0));
        assert_eq!(table.position(slot, PeerId(4), 70), Some(1));
        assert_eq!(table.position(slot, PeerId(4), 0), None);
        assert_eq!(table.position(slot, PeerId(5), 0), Some(3));
        table.remove(slot, 0).unwrap();
        assert_eq!(table.position(slot, PeerId(4), 700), None);
        assert_eq!(table.position(slot, PeerId(4), 7), Some(2));
        assert_eq!(table.free_sub(slot, PeerId(4)), Some(0));
        assert_eq!(table.path_count(), 3);
    }
}
