//! What one `send` took and the kernel did not take yet.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use bytes::{Buf, Bytes};
use rustix::net::{SendAncillaryBuffer, SendFlags};

use crate::limits::{IDLE_OUTBOXES, SEND_BYTES, SEND_CHUNKS};
use crate::socket::is_retry;

/// Pieces of one kernel call: small enough to be made anew on the stack each time.
const PIECES: usize = 256;

/// The chunks of a send under way.
#[derive(Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    /// What `send` returned for them.
    pub(crate) total: usize,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) octets: usize,
    pub(crate) calls: u64,
    /// Nothing is left.
    pub(crate) all: bool,
}

impl Outbox {
    /// Takes chunks from the front of `queue`, as [`crate::Transport::send`] promises.
    fn fill(&mut self, queue: &mut VecDeque<Bytes>) {
        debug_assert!(self.chunks.is_empty());
        self.total = 0;
        while self.total < SEND_BYTES && self.chunks.len() < SEND_CHUNKS {
            let Some(chunk) = queue.pop_front() else {
                break;
            };
            if !chunk.is_empty() {
                self.total += chunk.len();
                self.chunks.push_back(chunk);
            }
        }
    }

    /// Puts `last` behind the rest.
    pub(crate) fn push(&mut self, last: Bytes) {
        if !last.is_empty() {
            self.chunks.push_back(last);
        }
    }

    /// Writes until everything is written or the kernel takes no more for now.
    pub(crate) fn write(&mut self, fd: BorrowedFd<'_>) -> io::Result<Written> {
        let mut written = Written {
            octets: 0,
            calls: 0,
            all: self.chunks.is_empty(),
        };
        while !written.all {
            let (taken, offered) = match self.write_once(fd) {
                Ok(counts) => counts,
                Err(error) if is_retry(error) => break,
                Err(error) => return Err(error.into()),
            };
            written.octets += taken;
            written.calls += 1;
            self.advance(taken);
            written.all = self.chunks.is_empty();
            if taken < offered {
                break; // full: the next call would only say so
            }
        }
        Ok(written)
    }

    /// One kernel call: octets taken and octets offered.
    fn write_once(&self, fd: BorrowedFd<'_>) -> rustix::io::Result<(usize, usize)> {
        if let ([chunk], []) = self.chunks.as_slices() {
            return Ok((
                rustix::net::send(fd, chunk, SendFlags::NOSIGNAL)?,
                chunk.len(),
            ));
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        let mut offered = 0;
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
            offered += chunk.len();
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        let mut control = SendAncillaryBuffer::default();
        Ok((
            rustix::net::sendmsg(fd, slices, &mut control, SendFlags::NOSIGNAL)?,
            offered,
        ))
    }

    fn advance(&mut self, mut octets: usize) {
        while let Some(front) = self.chunks.front_mut() {
            if front.len() > octets {
                front.advance(octets);
                return;
            }
            octets -= front.len();
            self.chunks.pop_front();
        }
    }
}

/// Outboxes for reuse: a session that sends nothing holds none.
#[derive(Default)]
pub(crate) struct Outboxes {
    // Boxed, so that a connection's slot stays small.
    #[expect(
        clippy::vec_box,
        reason = "the boxes move between here and the connections"
    )]
    idle: Vec<Box<Outbox>>,
}

impl Outboxes {
    /// An outbox with chunks from `queue`; `None` where there was nothing to take.
    pub(crate) fn take(&mut self, queue: &mut VecDeque<Bytes>) -> Option<Box<Outbox>> {
        let mut outbox = self.idle.pop().unwrap_or_default();
        outbox.fill(queue);
        if outbox.total == 0 {
            self.give_back(outbox);
            return None;
        }
        Some(outbox)
    }

    pub(crate) fn give_back(&mut self, mut outbox: Box<Outbox>) {
        outbox.chunks.clear();
        if self.idle.len() < IDLE_OUTBOXES {
            self.idle.push(outbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut outbox = Outbox::default();
        outbox.fill(&mut VecDeque::from([
            Bytes::from_static(b"abc"),
            Bytes::from_static(b"def"),
        ]));
        outbox.advance(4);
        assert_eq!(outbox.chunks, [Bytes::from_static(b"ef")]);
        outbox.advance(2);
        assert!(outbox.chunks.is_empty());
    }
}
