//! The connections of a transport: dense slots, found by the caller's id or by the slot that the
//! kernel gives back.

use hashbrown::HashMap;

use crate::ConnId;
use crate::limits::CONNECTIONS;

/// A slot and how often it was used: what a kernel event carries. An event of a former user of the
/// slot finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    slot: u32,
    generation: u32,
}

/// Generations are this wide, which leaves the upper octet of a packed key to the transport.
const GENERATION_BITS: u32 = 24;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

impl Key {
    /// 56 bits: the upper octet is zero.
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The key of a packed one, whatever its upper octet.
    pub(crate) fn unpack(packed: u64) -> Self {
        Key {
            slot: packed as u32,
            generation: (packed >> 32) as u32 & GENERATION_MASK,
        }
    }
}

struct Slot<C> {
    generation: u32,
    value: Option<C>,
}

/// At most [`CONNECTIONS`] values of `C`.
pub(crate) struct Table<C> {
    slots: Vec<Slot<C>>,
    free: Vec<u32>,
    keys: HashMap<ConnId, Key, ahash::RandomState>,
}

/// Why a connection found no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    InUse,
}

impl From<Refused> for std::io::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => std::io::Error::other(format!(
                "this worker serves {CONNECTIONS} connections, which is its limit"
            )),
            Refused::InUse => std::io::ErrorKind::AlreadyExists.into(),
        }
    }
}

impl<C> Table<C> {
    pub(crate) fn new() -> Self {
        // Our own code chooses the ids, no neighbour does: a fixed key will do.
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            keys: HashMap::with_hasher(hasher),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether `insert` would succeed.
    pub(crate) fn admits(&self, id: ConnId) -> Result<(), Refused> {
        if self.keys.contains_key(&id) {
            return Err(Refused::InUse);
        }
        if self.keys.len() >= CONNECTIONS {
            return Err(Refused::Full);
        }
        Ok(())
    }

    pub(crate) fn insert(&mut self, id: ConnId, value: C) -> Result<Key, Refused> {
        self.admits(id)?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        debug_assert!(place.value.is_none());
        place.value = Some(value);
        let key = Key {
            slot,
            generation: place.generation,
        };
        self.keys.insert(id, key);
        Ok(key)
    }

    #[inline]
    pub(crate) fn key(&self, id: ConnId) -> Option<Key> {
        self.keys.get(&id).copied()
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&C> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.generation == key.generation {
            slot.value.as_ref()
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut C> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation == key.generation {
            slot.value.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<C> {
        let key = self.keys.remove(&id)?;
        let slot = self.slots.get_mut(key.slot as usize)?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(key.slot);
        slot.value.take()
    }

    /// All connections, in no order that means anything.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.keys.values().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_own_use_of_a_slot_only() {
        let mut table = Table::new();
        let first = table.insert(ConnId(1), 'a').unwrap();
        assert_eq!(table.insert(ConnId(1), 'b'), Err(Refused::InUse));
        assert_eq!(table.remove(ConnId(1)), Some('a'));
        assert_eq!(table.remove(ConnId(1)), None);
        let second = table.insert(ConnId(2), 'b').unwrap();
        assert_eq!(first.slot, second.slot);
        assert_eq!((table.get(first), table.get(second)), (None, Some(&'b')));
        assert_eq!(table.get_mut(first), None);
        assert_eq!((table.len(), table.key(ConnId(2))), (1, Some(second)));
    }

    #[test]
    fn keys_survive_packing_and_generations_wrap() {
        let key = Key {
            slot: u32::MAX,
            generation: GENERATION_MASK,
        };
        assert_eq!(Key::unpack(key.pack() | 0xab << 56), key);
        let mut table = Table::new();
        table.insert(ConnId(0), ()).unwrap();
        table.remove(ConnId(0));
        table.slots[0].generation = GENERATION_MASK;
        table.insert(ConnId(0), ()).unwrap();
        table.remove(ConnId(0));
        assert_eq!(table.slots[0].generation, 0);
    }

    #[test]
    fn the_table_has_a_bound() {
        let mut table = Table::new();
        for id in 0..CONNECTIONS as u64 {
            table.insert(ConnId(id), ()).unwrap();
        }
        assert_eq!(table.insert(ConnId(u64::MAX), ()), Err(Refused::Full));
        table.remove(ConnId(5));
        assert!(table.insert(ConnId(u64::MAX), ()).is_ok());
        assert_eq!(table.keys().len(), CONNECTIONS);
    }
}
