//! Ends a wait in `poll` from another thread: an eventfd with a flag before it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes the transport that it came from. Cheap to clone and to call: only the first of several
/// wakes between two turns enters the kernel.
#[derive(Clone)]
pub struct Waker {
    shared: Arc<Shared>,
}

struct Shared {
    fd: OwnedFd,
    /// Set while a wake is on its way to the transport.
    raised: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker {
            shared: Arc::new(Shared {
                fd,
                raised: AtomicBool::new(false),
            }),
        })
    }

    /// Makes the transport's current or next `poll` return with an [`crate::Event::Woken`]. What
    /// the caller wrote before is visible to the thread that gets the event.
    pub fn wake(&self) {
        if self.shared.raised.swap(true, Ordering::AcqRel) {
            return;
        }
        // The count cannot overflow: one write between two clears. EAGAIN would mean it is raised.
        let _ = rustix::io::write(&self.shared.fd, &1u64.to_ne_bytes());
    }

    /// Lowers the flag, before the event is handed out: a wake after this raises it again.
    pub(crate) fn clear(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.fd, &mut count);
        self.shared.raised.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}
