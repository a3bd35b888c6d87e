//! Dense arrays that grow by whole chunks: no element ever moves, no growth copies the rest.

/// An array of chunks of `2^BITS` elements, made when first written to.
#[derive(Debug)]
pub(crate) struct Chunked<T, const BITS: u32> {
    chunks: Vec<Box<[T]>>,
}

impl<T, const BITS: u32> Default for Chunked<T, BITS> {
    fn default() -> Self {
        Chunked { chunks: Vec::new() }
    }
}

impl<T: Default, const BITS: u32> Chunked<T, BITS> {
    const MASK: u32 = (1 << BITS) - 1;

    /// The element, `None` where its chunk was never written to.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.chunks
            .get((index >> BITS) as usize)?
            .get((index & Self::MASK) as usize)
    }

    /// The element, `None` where its chunk was never written to.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.chunks
            .get_mut((index >> BITS) as usize)?
            .get_mut((index & Self::MASK) as usize)
    }

    /// The element, its chunk made where needed. Always `Some`.
    #[inline]
    pub(crate) fn slot(&mut self, index: u32) -> Option<&mut T> {
        let chunk = (index >> BITS) as usize;
        if self.chunks.get(chunk).is_none_or(|chunk| chunk.is_empty()) {
            self.grow(chunk);
        }
        self.get_mut(index)
    }

    #[cold]
    fn grow(&mut self, chunk: usize) {
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, Box::default);
        }
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            *chunk = (0..1usize << BITS).map(|_| T::default()).collect();
        }
    }

    /// The number of the chunk that an element lies in.
    #[inline]
    pub(crate) fn chunk_of(index: u32) -> usize {
        (index >> BITS) as usize
    }

    /// Drops one chunk; it is made again when it is written to.
    pub(crate) fn drop_chunk(&mut self, chunk: usize) {
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            *chunk = Box::default();
        }
    }

    /// True where more than one chunk has been made room for.
    pub(crate) fn is_large(&self) -> bool {
        self.chunks.len() > 1
    }

    /// Drops all chunks.
    pub(crate) fn clear(&mut self) {
        self.chunks = Vec::new();
    }

    /// All elements that have been made.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.chunks
            .iter_mut()
            .enumerate()
            .flat_map(|(chunk, elements)| {
                let first = (chunk as u32) << BITS;
                elements
                    .iter_mut()
                    .enumerate()
                    .map(move |(at, element)| (first + at as u32, element))
            })
    }

    /// Octets allocated.
    pub(crate) fn memory(&self) -> usize {
        let elements: usize = self.chunks.iter().map(|chunk| chunk.len()).sum();
        elements * size_of::<T>() + self.chunks.capacity() * size_of::<Box<[T]>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_made_when_written() {
        let mut array = Chunked::<u32, 4>::default();
        assert_eq!(array.get(0), None);
        *array.slot(40).unwrap() = 7;
        assert_eq!(array.get(40), Some(&7));
        assert_eq!(array.get(47), Some(&0));
        assert_eq!((array.get(0), array.get(48)), (None, None));
        assert_eq!(array.iter_mut().map(|(index, _)| index).next(), Some(32));
        assert_eq!(
            array.iter_mut().filter(|(_, value)| **value == 7).count(),
            1
        );
        array.drop_chunk(Chunked::<u32, 4>::chunk_of(40));
        assert_eq!(array.get(40), None);
        assert_eq!(array.slot(40), Some(&mut 0), "made again");
    }
}
