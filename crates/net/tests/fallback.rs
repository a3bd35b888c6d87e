//! Where io_uring is refused, `Auto` takes epoll and says why.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

use std::io::ErrorKind;

use thruway_net::{TransportChoice, TransportKind, open};

/// Makes `io_uring_setup` fail with `errno` for this thread, as containers' profiles do.
fn refuse_io_uring(errno: i32) {
    let statement = |code: u32, k: u32, jt, jf| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let (load, compare, give) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    let mut filter = [
        statement(load, 0, 0, 0), // the number of the call
        statement(compare, libc::SYS_io_uring_setup as u32, 0, 1),
        statement(give, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0),
        statement(give, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: both calls concern this thread only; the program and its statements live through the
    // second one, which copies them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program),
            0
        );
    }
}

#[test]
fn auto_falls_back_and_says_why() {
    for (errno, word) in [(libc::EPERM, "refuses"), (libc::ENOSYS, "kernel has none")] {
        // The filter cannot be taken off again: a thread of its own.
        let thread = std::thread::spawn(move || {
            refuse_io_uring(errno);
            let (transport, why) = open(TransportChoice::Auto).unwrap();
            assert_eq!(transport.kind(), TransportKind::Epoll);
            let why = why.expect("a reason");
            assert!(
                why.contains(word) || why.contains("io_uring_disabled"),
                "{why}"
            );
            let error = open(TransportChoice::IoUring)
                .err()
                .expect("no epoll in its place");
            assert!(error.to_string().contains("io_uring"), "{error}");
            assert!(matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::Unsupported
            ));
            assert!(open(TransportChoice::Epoll).unwrap().1.is_none());
        });
        thread.join().unwrap();
    }
}

#[test]
fn choices_are_read_as_they_are_written() {
    for choice in [
        TransportChoice::Auto,
        TransportChoice::IoUring,
        TransportChoice::Epoll,
    ] {
        assert_eq!(choice.to_string().parse(), Ok(choice));
    }
    let error = "kqueue".parse::<TransportChoice>().unwrap_err().to_string();
    assert!(
        error.contains("kqueue") && error.contains("io-uring"),
        "{error}"
    );
}
