//! What one `send` took, in the form in which the kernel reads it.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd};

use bytes::Bytes;
use io_uring::{opcode, squeue, types};

use crate::limits::{IDLE_OUTBOXES, SEND_BYTES, SEND_CHUNKS};

/// The kernel goes on by itself after a short send.
const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

/// The chunks of a send under way. Always in a box, and neither moved nor changed while the kernel
/// has a request for it.
pub(super) struct Outbox {
    chunks: Vec<Bytes>,
    pieces: Vec<libc::iovec>,
    header: libc::msghdr,
    /// The first piece that is not through.
    next: usize,
    /// What `send` returned.
    pub(super) total: usize,
}

impl Outbox {
    fn new() -> Self {
        Outbox {
            chunks: Vec::new(),
            pieces: Vec::new(),
            // SAFETY: null pointers and zero lengths are a msghdr without content.
            header: unsafe { std::mem::zeroed() },
            next: 0,
            total: 0,
        }
    }

    /// Takes chunks from the front of `queue`, as [`crate::Transport::send`] promises.
    fn fill(&mut self, queue: &mut VecDeque<Bytes>) {
        debug_assert!(self.chunks.is_empty() && self.pieces.is_empty());
        self.next = 0;
        self.total = 0;
        while self.total < SEND_BYTES && self.chunks.len() < SEND_CHUNKS {
            let Some(chunk) = queue.pop_front() else {
                break;
            };
            if chunk.is_empty() {
                continue;
            }
            self.total += chunk.len();
            // The octets of a `Bytes` stay where they are when the handle moves.
            let start = chunk.as_ptr().cast_mut().cast();
            self.pieces.push(libc::iovec {
                iov_base: start,
                iov_len: chunk.len(),
            });
            self.chunks.push(chunk);
        }
    }

    /// The request for what is left. It holds pointers into this outbox.
    pub(super) fn request(&mut self, fd: BorrowedFd<'_>) -> squeue::Entry {
        let fd = types::Fd(fd.as_raw_fd());
        let left = self.pieces.get_mut(self.next..).unwrap_or_default();
        if let [piece] = left {
            // `fill` stops at SEND_BYTES plus one chunk; a longer one goes in several requests.
            let len = u32::try_from(piece.iov_len).unwrap_or(u32::MAX);
            return opcode::Send::new(fd, piece.iov_base.cast(), len)
                .flags(FLAGS)
                .build();
        }
        self.header.msg_iov = left.as_mut_ptr();
        self.header.msg_iovlen = left.len() as _;
        opcode::SendMsg::new(fd, &raw const self.header)
            .flags(FLAGS as u32)
            .build()
    }

    /// Counts what the kernel took. True when nothing is left.
    pub(super) fn advance(&mut self, mut octets: usize) -> bool {
        while let Some(piece) = self.pieces.get_mut(self.next) {
            if piece.iov_len > octets {
                // wrapping_byte_add: no claim about the memory is needed to make the pointer.
                piece.iov_base = piece.iov_base.wrapping_byte_add(octets);
                piece.iov_len -= octets;
                return false;
            }
            octets -= piece.iov_len;
            self.next += 1;
        }
        true
    }
}

/// Outboxes for reuse: a session that sends nothing holds none.
#[derive(Default)]
pub(super) struct Outboxes {
    #[expect(
        clippy::vec_box,
        reason = "the kernel has pointers to the contents of the boxes"
    )]
    idle: Vec<Box<Outbox>>,
}

impl Outboxes {
    /// An outbox with chunks from `queue`; `None` where there was nothing to take.
    pub(super) fn take(&mut self, queue: &mut VecDeque<Bytes>) -> Option<Box<Outbox>> {
        let mut outbox = self.idle.pop().unwrap_or_else(|| Box::new(Outbox::new()));
        outbox.fill(queue);
        if outbox.total == 0 {
            self.give_back(outbox);
            return None;
        }
        Some(outbox)
    }

    /// Takes back an outbox that the kernel is through with.
    pub(super) fn give_back(&mut self, mut outbox: Box<Outbox>) {
        outbox.chunks.clear();
        outbox.pieces.clear();
        if self.idle.len() < IDLE_OUTBOXES {
            self.idle.push(outbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(outbox: &Outbox) -> Vec<usize> {
        outbox.pieces[outbox.next..]
            .iter()
            .map(|piece| piece.iov_len)
            .collect()
    }

    #[test]
    fn fill_takes_whole_chunks_and_stops_above_the_bound() {
        let mut outboxes = Outboxes::default();
        let chunk = Bytes::from(vec![7; SEND_BYTES - 1]);
        let mut queue = VecDeque::from([Bytes::new(), chunk.clone(), chunk.clone(), chunk]);
        let outbox = outboxes.take(&mut queue).unwrap();
        assert_eq!((outbox.total, queue.len()), (2 * (SEND_BYTES - 1), 1));
        outboxes.give_back(outbox);
        let mut many: VecDeque<Bytes> = (0..3000).map(|_| Bytes::from_static(b"x")).collect();
        assert_eq!(outboxes.take(&mut many).unwrap().total, SEND_CHUNKS);
        assert_eq!(many.len(), 3000 - SEND_CHUNKS);
        assert!(outboxes.take(&mut VecDeque::from([Bytes::new()])).is_none());
    }

    #[test]
    fn advance_stops_inside_a_chunk() {
        let mut outbox = Outbox::new();
        outbox.fill(&mut VecDeque::from([
            Bytes::from_static(b"abc"),
            Bytes::from_static(b"defg"),
        ]));
        assert!(!outbox.advance(1));
        assert_eq!(left(&outbox), [2, 4]);
        assert!(!outbox.advance(3));
        assert_eq!(left(&outbox), [3]);
        assert!(outbox.advance(3));
        assert!(left(&outbox).is_empty());
    }
}
