//! Out of files. A test of its own process: the limit is the process's.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{End, V4, drive};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thruway_net::limits::ACCEPT_REST;
use thruway_net::{TransportChoice, open};

fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64
}

fn limit_files(current: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: current.or(maximum),
            maximum,
        },
    )
    .unwrap();
}

#[test]
fn a_listener_rests_while_there_are_no_files() {
    for choice in [TransportChoice::IoUring, TransportChoice::Epoll] {
        if let Err(why) = open(choice) {
            eprintln!("skipped: {why}");
            continue;
        }
        let mut end = End::new(choice);
        let (_, addr) = end.listen(V4);
        let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
        limit_files(Some(open_files() + 2));
        drive([&mut end], |[end]| {
            end.transport.counters().accept_errors > 0
        });
        let (taken, errors) = (end.accepted.len(), end.transport.counters().accept_errors);
        assert!(taken < clients.len());
        // It waits, and does not spin.
        let start = Instant::now();
        let mut polls = 0;
        while start.elapsed() < 3 * ACCEPT_REST {
            end.poll(Duration::from_secs(1));
            polls += 1;
        }
        assert!(polls < 20, "{polls} polls in {:?}", start.elapsed());
        assert!(end.transport.counters().accept_errors - errors <= 5);
        limit_files(None);
        drive([&mut end], |[end]| end.accepted.len() == clients.len());
    }
}
