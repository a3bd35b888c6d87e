//! Receive buffers that the kernel fills: a ring of free ones that both sides see
//! (IORING_REGISTER_PBUF_RING).

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{Submitter, cqueue};

use crate::limits::{RING_BUFFER_BYTES, RING_BUFFERS};

/// The only group of buffers in a ring.
pub(super) const GROUP: u16 = 0;

/// What the kernel asks of the ring's address; more than a cache line for the buffers.
const ALIGN: usize = 4096;

/// A buffer that the kernel has filled and that is ours until it is given back.
#[derive(Debug)]
#[must_use = "a buffer that is not given back is lost to the kernel"]
pub(super) struct Filled {
    id: u16,
    len: usize,
}

/// All buffers. They must outlive every request of the ring: see [`Buffers::leak`].
pub(super) struct Buffers {
    ring: Block,
    memory: Block,
    tail: u16,
}

impl Buffers {
    /// Makes the buffers and gives all of them to the kernel.
    pub(super) fn register(submitter: &Submitter<'_>) -> io::Result<Self> {
        let entries = usize::from(RING_BUFFERS);
        let mut buffers = Buffers {
            ring: Block::new(entries * size_of::<BufRingEntry>()),
            memory: Block::new(entries * RING_BUFFER_BYTES),
            tail: 0,
        };
        let address = buffers.ring.start.as_ptr() as u64;
        // SAFETY: the block has room for the entries, is aligned to a page, and lives until the
        // ring has no request left (or for ever).
        unsafe { submitter.register_buf_ring_with_flags(address, RING_BUFFERS, GROUP, 0)? };
        for id in 0..RING_BUFFERS {
            buffers.give_back(Filled { id, len: 0 });
        }
        Ok(buffers)
    }

    /// The buffer that a completion carries, if any.
    pub(super) fn of(cqe: &cqueue::Entry) -> Option<Filled> {
        let id = cqueue::buffer_select(cqe.flags())?;
        let len = usize::try_from(cqe.result()).unwrap_or(0);
        // The kernel's word for both; checked, since a slice is made of them.
        (id < RING_BUFFERS && len <= RING_BUFFER_BYTES).then_some(Filled { id, len })
    }

    /// What the kernel wrote.
    #[inline]
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        // SAFETY: `of` has checked both numbers, so the octets lie within the block, which was
        // zeroed and thus initialised; the kernel leaves the buffer alone between its completion,
        // of which `filled` is the only token, and `give_back`, which takes the token.
        unsafe { std::slice::from_raw_parts(self.buffer(filled.id).as_ptr(), filled.len) }
    }

    /// Makes the buffer free for the kernel.
    #[expect(clippy::needless_pass_by_value, reason = "the token ends here")]
    #[inline]
    pub(super) fn give_back(&mut self, filled: Filled) {
        let base = self.ring.start.cast::<BufRingEntry>();
        let at = usize::from(self.tail & (RING_BUFFERS - 1));
        // SAFETY: `at` is below the number of entries. The kernel reads entries up to the tail
        // only, and this one is beyond it: there are never more free buffers than entries. Its
        // fields are set one by one because the first entry's last field is the tail itself.
        unsafe {
            let entry = &mut *base.add(at).as_ptr();
            entry.set_addr(self.buffer(filled.id).as_ptr() as u64);
            entry.set_len(RING_BUFFER_BYTES as u32);
            entry.set_bid(filled.id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry of a live ring, aligned for a u16, and is
        // accessed by this thread and the kernel only, from here on atomically.
        unsafe {
            let tail = BufRingEntry::tail(base.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    /// Frees the memory, when the ring has no request left.
    pub(super) fn unregister(self, submitter: &Submitter<'_>) {
        // An error would mean that the kernel knows of no such group, which is what is wanted.
        let _ = submitter.unregister_buf_ring(GROUP);
    }

    /// Never frees the memory: the kernel may still write to it.
    pub(super) fn leak(self) {
        std::mem::forget(self);
    }

    fn buffer(&self, id: u16) -> NonNull<u8> {
        // SAFETY: ids are below RING_BUFFERS, so the offset lies within the block.
        unsafe { self.memory.start.add(usize::from(id) * RING_BUFFER_BYTES) }
    }
}

/// Zeroed memory that starts at a page.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

impl Block {
    fn new(octets: usize) -> Self {
        let Ok(layout) = Layout::from_size_align(octets.max(ALIGN), ALIGN) else {
            unreachable!("a constant size, far below isize::MAX")
        };
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        Block { start, layout }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
