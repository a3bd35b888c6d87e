//! The ring itself: set-up, requests, completions.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use socket2::SockAddr;

use super::buffers::GROUP;
use super::outbox::Outbox;
use crate::error::during;
use crate::limits::{CQ_ENTRIES, SQ_ENTRIES};
use crate::table::Key;
use crate::{ListenerId, Waker};

/// What a completion is about: the upper octet of its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Receive(Key),
    Send(Key),
    Connect(Key),
    Accept(ListenerId),
    Waker,
    Cancel,
}

const RECEIVE: u64 = 1 << 56;
const SEND: u64 = 2 << 56;
const CONNECT: u64 = 3 << 56;
const ACCEPT: u64 = 4 << 56;
const WAKER: u64 = 5 << 56;
const KIND: u64 = 0xff << 56;

impl Token {
    fn pack(self) -> u64 {
        match self {
            Token::Receive(key) => RECEIVE | key.pack(),
            Token::Send(key) => SEND | key.pack(),
            Token::Connect(key) => CONNECT | key.pack(),
            Token::Accept(id) => ACCEPT | u64::from(id.0),
            Token::Waker => WAKER,
            Token::Cancel => 0,
        }
    }

    pub(super) fn of(cqe: &cqueue::Entry) -> Self {
        let data = cqe.user_data();
        match data & KIND {
            RECEIVE => Token::Receive(Key::unpack(data)),
            SEND => Token::Send(Key::unpack(data)),
            CONNECT => Token::Connect(Key::unpack(data)),
            ACCEPT => Token::Accept(ListenerId(data as u32)),
            WAKER => Token::Waker,
            _ => Token::Cancel,
        }
    }
}

/// Requests go in, completions come out, in batches. Requests are counted: what the kernel may
/// still touch is known.
pub(super) struct Ring {
    ring: IoUring,
    /// Requests that the submission queue has no room for. As many as there are requests at most.
    queue: VecDeque<squeue::Entry>,
    /// Completions out of the ring, not handled yet.
    completions: VecDeque<cqueue::Entry>,
    /// Requests without their last completion; cancels are not counted.
    in_flight: usize,
}

impl Ring {
    /// Sets the ring up. Only the calling thread may use it from then on.
    pub(super) fn open() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(CQ_ENTRIES)
            .build(SQ_ENTRIES)?;
        check(&ring)?;
        Ok(Ring {
            ring,
            queue: VecDeque::new(),
            completions: VecDeque::new(),
            in_flight: 0,
        })
    }

    /// For the registration of buffers and its end.
    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Reads into the group's buffers: once, or until something ends it.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>, key: Key, standing: bool) {
        let fd = Fd(fd.as_raw_fd());
        let request = if standing {
            opcode::RecvMulti::new(fd, GROUP).build()
        } else {
            let request = opcode::Recv::new(fd, std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build();
            request.flags(squeue::Flags::BUFFER_SELECT)
        };
        self.push(request, Token::Receive(key));
    }

    /// Sends what is left of `outbox`, which must stay in its box, untouched, until the completion.
    pub(super) fn send(&mut self, fd: BorrowedFd<'_>, key: Key, outbox: &mut Outbox) {
        self.push(outbox.request(fd), Token::Send(key));
    }

    /// Connects. `addr` must stay where it is, untouched, until the completion.
    pub(super) fn connect(&mut self, fd: BorrowedFd<'_>, key: Key, addr: &SockAddr) {
        let request = opcode::Connect::new(Fd(fd.as_raw_fd()), addr.as_ptr().cast(), addr.len());
        self.push(request.build(), Token::Connect(key));
    }

    /// Accepts until something ends it.
    pub(super) fn accept(&mut self, fd: BorrowedFd<'_>, id: ListenerId) {
        let request = opcode::AcceptMulti::new(Fd(fd.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
        self.push(request.build(), Token::Accept(id));
    }

    /// Watches the waker until something ends it.
    pub(super) fn watch(&mut self, waker: &Waker) {
        let fd = Fd(waker.fd().as_raw_fd());
        let request = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true);
        self.push(request.build(), Token::Waker);
    }

    /// Asks for the end of a request. Its last completion comes all the same.
    pub(super) fn cancel(&mut self, token: Token) {
        self.push_cancel(CancelBuilder::user_data(token.pack()));
    }

    /// Asks for the end of all requests.
    pub(super) fn cancel_all(&mut self) {
        self.push_cancel(CancelBuilder::any());
    }

    fn push_cancel(&mut self, which: CancelBuilder) {
        let request = opcode::AsyncCancel2::new(which).build();
        let request = request
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(Token::Cancel.pack());
        self.queue.push_back(request);
        self.fill();
    }

    fn push(&mut self, request: squeue::Entry, token: Token) {
        self.in_flight += 1;
        self.queue.push_back(request.user_data(token.pack()));
        self.fill();
    }

    /// Moves requests into the submission queue as far as it has room.
    fn fill(&mut self) {
        let mut submission = self.ring.submission();
        while let Some(request) = self.queue.front() {
            // SAFETY: what a request points to lives, unmoved, until its last completion: an
            // outbox or address is in a box that the connection's slot owns, and the slot, with its
            // socket, goes only once nothing of it is in flight (`UringTransport::finish`); on drop
            // the transport waits for all completions, or else leaks these boxes and the buffers.
            if unsafe { submission.push(request) }.is_err() {
                break;
            }
            self.queue.pop_front();
        }
    }

    /// Submits, waits for a completion at most so long (`None`: for ever), and takes what came.
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            let rest = !self.queue.is_empty();
            let nothing_to_wait_for = rest || !self.completions.is_empty();
            self.enter_once(if nothing_to_wait_for {
                Some(Duration::ZERO)
            } else {
                timeout
            })?;
            self.reap();
            if !rest {
                return Ok(());
            }
            self.fill();
        }
    }

    fn enter_once(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let want = usize::from(timeout != Some(Duration::ZERO));
        let submission = self.ring.submission();
        let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        if want == 0 && idle {
            return Ok(());
        }
        let submitter = self.ring.submitter();
        let result = match timeout {
            Some(timeout) if want > 0 => {
                let timeout = Timespec::from(timeout);
                submitter.submit_with_args(want, &SubmitArgs::new().timespec(&timeout))
            }
            _ => submitter.submit_and_wait(want),
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Nothing came in time; a signal; completions are to be taken first; no memory for
                // a request at the moment.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(during("io_uring_enter", error)),
            },
        }
    }

    /// Takes the completions out of the ring, so that it never fills.
    fn reap(&mut self) {
        for cqe in self.ring.completion() {
            if !cqueue::more(cqe.flags()) && Token::of(&cqe) != Token::Cancel {
                debug_assert!(self.in_flight > 0, "one last completion per request");
                self.in_flight = self.in_flight.saturating_sub(1);
            }
            self.completions.push_back(cqe);
        }
    }

    /// The next completion.
    #[inline]
    pub(super) fn next(&mut self) -> Option<cqueue::Entry> {
        self.completions.pop_front()
    }

    /// Completions that are not handled yet; each may hold a buffer.
    pub(super) fn backlog(&self) -> usize {
        self.completions.len()
    }

    /// Octets of a connection that were received and are not handled yet.
    pub(super) fn waiting(&self, key: Key) -> usize {
        let mine = self
            .completions
            .iter()
            .filter(|cqe| Token::of(cqe) == Token::Receive(key));
        mine.map(|cqe| usize::try_from(cqe.result()).unwrap_or(0))
            .sum()
    }
}

/// What this transport is built on; all of it is in Linux 6.1.
fn check(ring: &IoUring) -> io::Result<()> {
    let params = ring.params();
    let features = params.is_feature_nodrop()
        && params.is_feature_ext_arg()
        && params.is_feature_fast_poll()
        && params.is_feature_submit_stable()
        && params.is_feature_skip_cqe_on_success();
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [
        opcode::AcceptMulti::CODE,
        opcode::AsyncCancel2::CODE,
        opcode::Connect::CODE,
        opcode::PollAdd::CODE,
        opcode::RecvMulti::CODE,
        opcode::Send::CODE,
        opcode::SendMsg::CODE,
    ];
    if features && needed.iter().all(|&code| probe.is_supported(code)) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "io_uring lacks a needed feature",
        ))
    }
}
