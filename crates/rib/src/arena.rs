//! Short lists of plain values in size classes: a list grows by moving to the next class.

/// Capacities of the classes.
const SIZES: [u32; 30] = [
    1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536,
    2048, 3072, 4096, 8192, 16_384, 32_768, 65_536,
];
/// Elements of a chunk, of classes that are not larger themselves.
const CHUNK: u32 = 4096;

/// Where a list is. The default is the empty list, which is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
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

/// Blocks of one capacity.
#[derive(Debug)]
struct Class<T> {
    chunks: Vec<Box<[T]>>,
    free: Vec<u32>,
    next: u32,
    size: u32,
    /// Blocks a chunk, as a power of two.
    shift: u32,
}

/// Lists of up to 65,535 values.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    classes: Vec<Class<T>>,
}

impl<T: Copy + Default> Class<T> {
    fn new(size: u32) -> Self {
        let shift = (CHUNK / size).max(1).ilog2();
        Class {
            chunks: Vec::new(),
            free: Vec::new(),
            next: 0,
            size,
            shift,
        }
    }

    #[inline]
    fn start(&self, block: u32) -> (usize, usize) {
        let within = block & ((1 << self.shift) - 1);
        (
            (block >> self.shift) as usize,
            (within * self.size) as usize,
        )
    }

    #[inline]
    fn get(&self, block: u32, len: usize) -> &[T] {
        let (chunk, at) = self.start(block);
        self.chunks
            .get(chunk)
            .and_then(|chunk| chunk.get(at..at + len))
            .unwrap_or_default()
    }

    #[inline]
    fn get_mut(&mut self, block: u32, len: usize) -> &mut [T] {
        let (chunk, at) = self.start(block);
        self.chunks
            .get_mut(chunk)
            .and_then(|chunk| chunk.get_mut(at..at + len))
            .unwrap_or_default()
    }

    fn take(&mut self) -> u32 {
        if let Some(block) = self.free.pop() {
            return block;
        }
        let block = self.next;
        self.next += 1;
        if (block >> self.shift) as usize >= self.chunks.len() {
            let len = (self.size << self.shift) as usize;
            self.chunks.push(vec![T::default(); len].into_boxed_slice());
        }
        block
    }
}

impl<T: Copy + Default> Default for Arena<T> {
    fn default() -> Self {
        Arena {
            classes: SIZES.iter().map(|size| Class::new(*size)).collect(),
        }
    }
}

impl<T: Copy + Default> Arena<T> {
    /// The values of a list.
    #[inline]
    pub(crate) fn get(&self, list: List) -> &[T] {
        match self.classes.get(usize::from(list.class)) {
            Some(class) if list.len > 0 => class.get(list.block, list.len()),
            _ => &[],
        }
    }

    /// The values of a list.
    #[inline]
    pub(crate) fn get_mut(&mut self, list: List) -> &mut [T] {
        match self.classes.get_mut(usize::from(list.class)) {
            Some(class) if list.len > 0 => class.get_mut(list.block, list.len()),
            _ => &mut [],
        }
    }

    /// Appends a value. False where the list is full (65,535).
    #[inline]
    pub(crate) fn push(&mut self, list: &mut List, value: T) -> bool {
        if list.len == u16::MAX {
            return false;
        }
        let room = SIZES.get(usize::from(list.class)).copied().unwrap_or(0);
        if list.is_empty() || u32::from(list.len) == room {
            self.grow(list);
        }
        list.len += 1;
        match self.get_mut(*list).last_mut() {
            Some(last) => *last = value,
            None => debug_assert!(false, "a list has room after it grew"),
        }
        true
    }

    fn grow(&mut self, list: &mut List) {
        let old = *list;
        list.class = if old.is_empty() { 0 } else { old.class + 1 };
        let Some(class) = self.classes.get_mut(usize::from(list.class)) else {
            return;
        };
        list.block = class.take();
        if old.is_empty() {
            return;
        }
        let (low, high) = self.classes.split_at_mut(usize::from(list.class));
        if let (Some(from), Some(to)) = (low.last_mut(), high.first_mut()) {
            to.get_mut(list.block, old.len())
                .copy_from_slice(from.get(old.block, old.len()));
            from.free.push(old.block);
        }
    }

    /// Takes the value at `index` out; the last one takes its place.
    pub(crate) fn swap_remove(&mut self, list: &mut List, index: usize) -> Option<T> {
        let values = self.get_mut(*list);
        let last = values.len().checked_sub(1)?;
        let value = *values.get(index)?;
        values.swap(index, last);
        list.len -= 1;
        self.shrink(list);
        Some(value)
    }

    /// Moves a list that fills less than half of its block to a smaller one; gives up an empty one's.
    fn shrink(&mut self, list: &mut List) {
        let old = *list;
        let class = usize::from(old.class);
        if old.is_empty() {
            if let Some(class) = self.classes.get_mut(class) {
                class.free.push(old.block);
            }
            *list = List::default();
            return;
        }
        let size = SIZES.get(class).copied().unwrap_or(0);
        if u32::from(old.len) * 2 > size {
            return;
        }
        let Some(small) = SIZES.iter().position(|size| *size >= u32::from(old.len)) else {
            return;
        };
        if small >= class {
            return;
        }
        let (low, high) = self.classes.split_at_mut(class);
        let (Some(to), Some(from)) = (low.get_mut(small), high.first_mut()) else {
            return;
        };
        list.block = to.take();
        list.class = small as u8;
        to.get_mut(list.block, old.len())
            .copy_from_slice(from.get(old.block, old.len()));
        from.free.push(old.block);
    }

    /// Replaces a list's values.
    pub(crate) fn set(&mut self, list: &mut List, values: &[T]) {
        if list.len() == values.len() {
            self.get_mut(*list).copy_from_slice(values);
            return;
        }
        if !list.is_empty()
            && let Some(class) = self.classes.get_mut(usize::from(list.class))
        {
            class.free.push(list.block);
        }
        *list = List::default();
        let Ok(len) = u16::try_from(values.len()) else {
            return;
        };
        let Some(class) = SIZES.iter().position(|size| *size >= u32::from(len)) else {
            return;
        };
        if len > 0
            && let Some(blocks) = self.classes.get_mut(class)
        {
            *list = List {
                block: blocks.take(),
                len,
                class: class as u8,
            };
            blocks
                .get_mut(list.block, values.len())
                .copy_from_slice(values);
        }
    }

    /// Octets allocated.
    pub(crate) fn memory(&self) -> usize {
        let of_class = |class: &Class<T>| {
            let values: usize = class.chunks.iter().map(|chunk| chunk.len()).sum();
            values * size_of::<T>() + class.free.capacity() * size_of::<u32>()
        };
        self.classes.iter().map(of_class).sum()
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
    fn blocks_are_used_again() {
        let mut arena = Arena::<u64>::default();
        for round in 0..100 {
            let mut list = List::default();
            arena.set(&mut list, &[round; 7]);
            assert_eq!(arena.get(list), [round; 7]);
            arena.set(&mut list, &[]);
            assert_eq!(list, List::default());
        }
        assert!(arena.memory() < 70_000, "{}", arena.memory());
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
