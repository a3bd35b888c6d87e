//! Short lists of plain values in size classes: a list grows by moving to the next class.
//!
//! Classes take whole chunks and give empty ones back, for any class to take: a table that gets a
//! second and a third path for each prefix uses the room of the lists of one and of two again.

/// Capacities of the classes.
const SIZES: [u32; 31] = [
    1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024,
    1536, 2048, 3072, 4096, 8192, 16_384, 32_768, 65_536,
];
/// How many.
pub(crate) const CLASSES: usize = SIZES.len();
/// Values of a chunk, of classes that are not larger themselves.
const CHUNK: u32 = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 12;
/// Empty chunks that keep their storage.
const SPARE_MAX: usize = 8;
/// A chunk that no class has.
const NO_CLASS: u8 = u8::MAX;

/// Where a list is. The default is the empty list, which is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Chunk, and place of the first value in it.
    block: u32,
    len: u16,
    class: u8,
}

impl List {
    /// The list of these parts.
    #[inline]
    pub(crate) fn new(block: u32, len: u16, class: u8) -> Self {
        List { block, len, class }
    }

    /// What it is made of, for those who store it tighter.
    #[inline]
    pub(crate) fn parts(self) -> (u32, u16, u8) {
        (self.block, self.len, self.class)
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// How a chunk is used.
#[derive(Debug)]
struct Use {
    class: u8,
    /// It stands in its class's `open`.
    open: bool,
    blocks: u16,
    /// Blocks from here on were never used.
    fresh: u16,
    free: Vec<u16>,
}

impl Use {
    const NONE: Use = Use {
        class: NO_CLASS,
        open: false,
        blocks: 0,
        fresh: 0,
        free: Vec::new(),
    };
}

/// Lists of up to 65,535 values.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    chunks: Vec<Box<[T]>>,
    uses: Vec<Use>,
    /// By class, chunks that have room; some may have lost it.
    open: Vec<Vec<u32>>,
    /// Chunks of no class.
    spare: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena {
            chunks: Vec::new(),
            uses: Vec::new(),
            open: SIZES.iter().map(|_| Vec::new()).collect(),
            spare: Vec::new(),
        }
    }
}

fn size(class: u8) -> u32 {
    SIZES.get(usize::from(class)).copied().unwrap_or(0)
}

/// Blocks of a chunk, by class.
const BLOCKS: [u32; CLASSES] = {
    let mut blocks = [1; CLASSES];
    let mut class = 0;
    while class < CLASSES && SIZES[class] <= CHUNK {
        blocks[class] = CHUNK / SIZES[class];
        class += 1;
    }
    blocks
};

/// The smallest class that holds `len` values.
fn class_of(len: u16) -> u8 {
    SIZES.partition_point(|size| *size < u32::from(len)) as u8
}

impl<T: Copy + Default> Arena<T> {
    /// The values of a list.
    #[inline]
    pub(crate) fn get(&self, list: List) -> &[T] {
        let at = (list.block & (CHUNK - 1)) as usize;
        let chunk = self.chunks.get((list.block >> CHUNK_BITS) as usize);
        chunk
            .and_then(|chunk| chunk.get(at..at + list.len()))
            .unwrap_or_default()
    }

    /// The values of a list.
    #[inline]
    pub(crate) fn get_mut(&mut self, list: List) -> &mut [T] {
        let at = (list.block & (CHUNK - 1)) as usize;
        let chunk = self.chunks.get_mut((list.block >> CHUNK_BITS) as usize);
        chunk
            .and_then(|chunk| chunk.get_mut(at..at + list.len()))
            .unwrap_or_default()
    }

    /// True where it has more than one chunk.
    pub(crate) fn is_large(&self) -> bool {
        self.chunks.len() > 1
    }

    /// A list of one value.
    #[inline]
    pub(crate) fn one(&mut self, value: T) -> List {
        let list = List::new(self.take(0), 1, 0);
        if let [place] = self.get_mut(list) {
            *place = value;
        }
        list
    }

    /// Appends a value. False where the list is full (65,535).
    #[inline]
    pub(crate) fn push(&mut self, list: &mut List, value: T) -> bool {
        if list.len == u16::MAX {
            return false;
        }
        if list.is_empty() || u32::from(list.len) == size(list.class) {
            let class = if list.is_empty() { 0 } else { list.class + 1 };
            self.rehouse(list, class);
        }
        list.len += 1;
        match self.get_mut(*list).last_mut() {
            Some(last) => *last = value,
            None => debug_assert!(false, "a list has room after it grew"),
        }
        true
    }

    /// Takes the value at `index` out; the last one takes its place.
    pub(crate) fn swap_remove(&mut self, list: &mut List, index: usize) -> Option<T> {
        let values = self.get_mut(*list);
        let last = values.len().checked_sub(1)?;
        let value = *values.get(index)?;
        values.swap(index, last);
        list.len -= 1;
        if list.is_empty() {
            self.give(list.block, list.class);
            *list = List::default();
        } else if u32::from(list.len) * 2 <= size(list.class) {
            let class = class_of(list.len);
            self.rehouse(list, class);
        }
        Some(value)
    }

    /// Replaces a list's values.
    pub(crate) fn set(&mut self, list: &mut List, values: &[T]) {
        if list.len() != values.len() {
            if !list.is_empty() {
                self.give(list.block, list.class);
            }
            *list = List::default();
            let Ok(len) = u16::try_from(values.len()) else {
                return;
            };
            if len > 0 {
                let class = class_of(len);
                *list = List {
                    block: self.take(class),
                    len,
                    class,
                };
            }
        }
        self.get_mut(*list).copy_from_slice(values);
    }

    /// Moves a list to a block of another class.
    fn rehouse(&mut self, list: &mut List, class: u8) {
        let old = *list;
        if !old.is_empty() && old.class == class {
            return;
        }
        (list.block, list.class) = (self.take(class), class);
        if old.is_empty() {
            return;
        }
        self.copy(old, *list);
        self.give(old.block, old.class);
    }

    fn copy(&mut self, from: List, to: List) {
        let chunk = |list: List| (list.block >> CHUNK_BITS) as usize;
        let (a, b) = (chunk(from), chunk(to));
        debug_assert_ne!(a, b, "classes share no chunk");
        let Ok([from_chunk, to_chunk]) = self.chunks.get_disjoint_mut([a, b]) else {
            return;
        };
        let place = |list: List| {
            let at = (list.block & (CHUNK - 1)) as usize;
            at..at + from.len()
        };
        if let (Some(from), Some(to)) = (from_chunk.get(place(from)), to_chunk.get_mut(place(to))) {
            to.copy_from_slice(from);
        }
    }

    /// A block of a class.
    fn take(&mut self, class: u8) -> u32 {
        let size = size(class);
        let blocks = BLOCKS.get(usize::from(class)).copied().unwrap_or(1);
        loop {
            let open = self
                .open
                .get_mut(usize::from(class))
                .and_then(|open| open.last().copied());
            let chunk = open.unwrap_or_else(|| self.claim(class));
            let Some(of) = self.uses.get_mut(chunk as usize) else {
                return 0;
            };
            if of.class == class {
                let fresh = u32::from(of.fresh);
                let at = of
                    .free
                    .pop()
                    .map(u32::from)
                    .or((fresh < blocks).then_some(fresh));
                of.fresh += u16::from(at == Some(fresh));
                if let Some(at) = at {
                    of.blocks += 1;
                    return (chunk << CHUNK_BITS) | (at * size);
                }
                of.open = false;
            }
            // Full, or another class's by now.
            if let Some(open) = self.open.get_mut(usize::from(class)) {
                open.pop();
            }
        }
    }

    /// A chunk for a class.
    #[cold]
    fn claim(&mut self, class: u8) -> u32 {
        let chunk = self.spare.pop().unwrap_or_else(|| {
            self.chunks.push(Box::default());
            self.uses.push(Use::NONE);
            self.chunks.len() as u32 - 1
        });
        let len = size(class).max(CHUNK) as usize;
        if let Some(values) = self.chunks.get_mut(chunk as usize)
            && values.len() != len
        {
            *values = vec![T::default(); len].into_boxed_slice();
        }
        if let Some(of) = self.uses.get_mut(chunk as usize) {
            *of = Use {
                class,
                open: true,
                ..Use::NONE
            };
        }
        if let Some(open) = self.open.get_mut(usize::from(class)) {
            open.push(chunk);
        }
        chunk
    }

    /// Takes a block back.
    fn give(&mut self, block: u32, class: u8) {
        let chunk = block >> CHUNK_BITS;
        let Some(of) = self.uses.get_mut(chunk as usize) else {
            return;
        };
        debug_assert!(of.class == class && of.blocks > 0);
        of.blocks -= 1;
        if of.blocks == 0 {
            *of = Use::NONE;
            if self.spare.len() >= SPARE_MAX
                && let Some(values) = self.chunks.get_mut(chunk as usize)
            {
                *values = Box::default();
            }
            self.spare.push(chunk);
            return;
        }
        of.free.push(((block & (CHUNK - 1)) / size(class)) as u16);
        if !of.open {
            of.open = true;
            if let Some(open) = self.open.get_mut(usize::from(class)) {
                open.push(chunk);
            }
        }
    }

    /// Octets allocated.
    pub(crate) fn memory(&self) -> usize {
        let values: usize = self.chunks.iter().map(|chunk| chunk.len()).sum();
        let free: usize = self.uses.iter().map(|of| of.free.capacity()).sum();
        values * size_of::<T>() + free * size_of::<u16>() + self.uses.len() * size_of::<Use>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_values_while_they_grow_and_shrink() {
        let mut arena = Arena::<u32>::default();
        let mut lists = [List::default(); 3];
        for value in 0..5000u32 {
            for (index, list) in lists.iter_mut().enumerate() {
                assert!(arena.push(list, value * 3 + index as u32));
            }
        }
        for (index, list) in lists.iter().enumerate() {
            let values = arena.get(*list);
            assert_eq!(values.len(), 5000);
            assert!(
                values
                    .iter()
                    .enumerate()
                    .all(|(at, v)| *v == (at * 3 + index) as u32)
            );
        }
        while lists[1].len() > 1 {
            arena.swap_remove(&mut lists[1], 1).unwrap();
        }
        assert_eq!(arena.get(lists[1]), [1]);
        assert_eq!(arena.swap_remove(&mut lists[1], 0), Some(1));
        assert_eq!(arena.swap_remove(&mut lists[1], 0), None);
        assert_eq!(arena.get(lists[2]).len(), 5000);
    }

    #[test]
    fn many_lists_of_all_lengths_stay_apart() {
        let mut arena = Arena::<u64>::default();
        let mut lists = vec![List::default(); 3000];
        let mut models = vec![Vec::new(); 3000];
        let mut state = 1u64;
        for step in 0..200_000u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 33) as usize % lists.len();
            let (list, model): (_, &mut Vec<u64>) = (&mut lists[at], &mut models[at]);
            match state >> 60 {
                0..8 => {
                    model.push(step);
                    assert!(arena.push(list, step));
                }
                8..14 if !model.is_empty() => {
                    let index = (state >> 20) as usize % model.len();
                    assert_eq!(
                        arena.swap_remove(list, index),
                        Some(model.swap_remove(index))
                    );
                }
                _ => {
                    model.resize((state >> 40) as usize % 9, step);
                    arena.set(list, model);
                }
            }
            assert_eq!(arena.get(*list), model);
        }
        assert!(
            lists
                .iter()
                .zip(&models)
                .all(|(list, model)| arena.get(*list) == model)
        );
    }

    #[test]
    fn room_of_short_lists_serves_longer_ones() {
        let mut arena = Arena::<u64>::default();
        let mut lists = vec![List::default(); 100_000];
        for round in 0..10 {
            lists
                .iter_mut()
                .for_each(|list| assert!(arena.push(list, round)));
        }
        let needed = 100_000 * 10 * size_of::<u64>();
        assert!(
            arena.memory() < needed * 11 / 10,
            "{} of {needed}",
            arena.memory()
        );
    }

    #[test]
    fn a_full_list_refuses() {
        let mut arena = Arena::<u8>::default();
        let mut list = List::default();
        assert!((0..65_535).all(|_| arena.push(&mut list, 1)));
        assert!(!arena.push(&mut list, 1));
        assert_eq!(list.len(), 65_535);
    }
}
