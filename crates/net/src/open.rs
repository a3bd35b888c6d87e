//! Chooses the transport, and says why it is not the first choice.

use std::io;

use crate::epoll::EpollTransport;
use crate::limits::RING_LOCKED;
use crate::uring::UringTransport;
use crate::{Transport, TransportChoice};

/// Non-zero where the administrator has switched io_uring off.
const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

/// Opens a transport on the calling thread, which must be the one that uses it. The text says why
/// `Auto` fell back to epoll.
///
/// # Errors
/// The kernel's, with the likely cause.
pub fn open(choice: TransportChoice) -> io::Result<(Box<dyn Transport>, Option<String>)> {
    if choice == TransportChoice::Epoll {
        return Ok((Box::new(EpollTransport::open()?), None));
    }
    let error = match UringTransport::open() {
        Ok(transport) => return Ok((Box::new(transport), None)),
        Err(error) => error,
    };
    let why = format!("io_uring does not work here: {error} ({})", cause(&error));
    match choice {
        TransportChoice::IoUring => Err(io::Error::new(error.kind(), why)),
        _ => Ok((Box::new(EpollTransport::open()?), Some(why))),
    }
}

/// The likely cause of an error from setting the ring up.
fn cause(error: &io::Error) -> String {
    let disabled = std::fs::read_to_string(DISABLED).unwrap_or_default();
    likely_cause(error, disabled.trim())
}

fn likely_cause(error: &io::Error, disabled: &str) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "the kernel has none, or the container's seccomp profile refuses it".to_owned()
        }
        Some(libc::EPERM | libc::EACCES) if matches!(disabled, "1" | "2") => {
            format!("kernel.io_uring_disabled is {disabled}")
        }
        Some(libc::EPERM | libc::EACCES) => {
            "the container's seccomp profile or a security module refuses it".to_owned()
        }
        Some(libc::ENOMEM) => {
            let need = RING_LOCKED >> 10;
            format!("RLIMIT_MEMLOCK (ulimit -l) is too small: each worker takes {need} KiB of it")
        }
        Some(libc::EMFILE | libc::ENFILE) => "RLIMIT_NOFILE (ulimit -n) is too small".to_owned(),
        _ => "it needs Linux 6.1 or later".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_names_what_can_be_changed() {
        let cause = |errno, disabled| likely_cause(&io::Error::from_raw_os_error(errno), disabled);
        assert_eq!(cause(libc::EPERM, "2"), "kernel.io_uring_disabled is 2");
        assert!(cause(libc::EPERM, "0").contains("seccomp"));
        assert!(cause(libc::ENOSYS, "").contains("seccomp"));
        assert!(cause(libc::ENOMEM, "0").contains("RLIMIT_MEMLOCK"));
        assert!(cause(libc::EINVAL, "0").contains("6.1"));
    }

    #[test]
    fn epoll_needs_no_reason() {
        let (transport, why) = open(TransportChoice::Epoll).unwrap();
        assert_eq!((transport.kind(), why), (crate::TransportKind::Epoll, None));
    }
}
