//! Ends a wait in `poll` from another thread: an eventfd, and a word that says who needs it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

/// The transport's thread does something, and will look at the word before it waits.
const BUSY: u8 = 0;
/// It waits, or is about to: the eventfd is needed.
const PARKED: u8 = 1;
/// A wake that it has not seen yet.
const RAISED: u8 = 2;

/// Wakes the transport that it came from. Cheap to clone and to call: only the first of several
/// wakes enters the kernel, and only where the transport waits.
#[derive(Clone)]
pub struct Waker {
    shared: Arc<Shared>,
}

struct Shared {
    fd: OwnedFd,
    state: AtomicU8,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker {
            shared: Arc::new(Shared {
                fd,
                state: AtomicU8::new(BUSY),
            }),
        })
    }

    /// Makes the transport's current or next `poll` return with an [`crate::Event::Woken`]. What
    /// the caller wrote before is visible to the thread that gets the event.
    pub fn wake(&self) {
        if self.shared.state.swap(RAISED, Ordering::AcqRel) == PARKED {
            // The count cannot overflow: one write a wait. EAGAIN would mean it is raised.
            let _ = rustix::io::write(&self.shared.fd, &1u64.to_ne_bytes());
        }
    }

    /// Before a wait: how long it may last, not at all where a wake is there already.
    pub(crate) fn park(&self, timeout: Option<Duration>) -> Option<Duration> {
        if timeout == Some(Duration::ZERO) {
            return timeout;
        }
        let parked =
            self.shared
                .state
                .compare_exchange(BUSY, PARKED, Ordering::AcqRel, Ordering::Acquire);
        if parked.is_ok() {
            timeout
        } else {
            Some(Duration::ZERO)
        }
    }

    /// After a wait: true where somebody called. A wake after this is a new one.
    pub(crate) fn unpark(&self) -> bool {
        self.shared.state.swap(BUSY, Ordering::AcqRel) == RAISED
    }

    /// Takes the count off the eventfd, which the kernel reports until then. It may come long after
    /// the wake that it stands for, or after no wake at all: a wait can end of itself meanwhile.
    pub(crate) fn clear(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.fd, &mut count);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(waker: &Waker) -> bool {
        rustix::io::read(waker.fd(), &mut [0; 8]).is_ok()
    }

    #[test]
    fn a_busy_thread_is_not_rung_for_and_does_not_wait() {
        let waker = Waker::new().unwrap();
        waker.wake();
        assert!(!rings(&waker), "nobody waits");
        let long = Some(Duration::from_secs(60));
        assert_eq!(waker.park(long), Some(Duration::ZERO));
        assert_eq!(waker.park(None), Some(Duration::ZERO), "still not seen");
        assert!(waker.unpark());
        assert_eq!(waker.park(long), long);
        assert!(!waker.unpark());
    }

    #[test]
    fn a_parked_thread_is_rung_for_once() {
        let waker = Waker::new().unwrap();
        assert_eq!(waker.park(None), None);
        waker.wake();
        waker.wake();
        assert!(rings(&waker) && !rings(&waker));
        assert!(waker.unpark());
        waker.wake();
        assert!(!rings(&waker) && waker.unpark());
    }
}
