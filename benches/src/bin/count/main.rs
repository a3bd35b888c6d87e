//! Fixed workloads whose instructions `cargo xtask count` counts under callgrind.
//!
//! `count` lists them; `count NAME` runs one and prints how many units it did. Only what runs inside
//! [`counted_section`] is counted, so that set-up costs nothing. Everything comes from fixed seeds, and there is
//! one thread: the same build gives the same count to a few instructions.

mod codec;
mod rib;

use std::hint::black_box;
use std::process::ExitCode;

/// What one workload does: how many units were counted.
type Workload = fn() -> usize;

/// (name, what a unit is, the workload).
const WORKLOADS: [(&str, &str, Workload); 13] = [
    ("parse-message", "message of 1 NLRI", codec::parse_message),
    ("parse-nlri", "NLRI, 100 a message", codec::parse_nlri),
    ("parse-ipv6", "message of 1 NLRI", codec::parse_ipv6),
    ("canonical", "set", codec::canonical),
    ("encode-message", "message of 1 NLRI", codec::encode_message),
    ("encode-nlri", "NLRI, 100 a message", codec::encode_nlri),
    ("intern-new", "set", rib::intern_new),
    ("intern-known", "set", rib::intern_known),
    ("decide-new", "prefix", rib::decide_new),
    ("decide-replace", "prefix", rib::decide_replace),
    ("decide-ten", "prefix of ten paths", rib::decide_ten),
    ("tell", "prefix", rib::tell),
    ("pack", "NLRI, 6 a message", rib::pack),
];

/// What callgrind counts: it starts at this function's entry and ends at its exit.
#[inline(never)]
fn counted_section<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        for (name, unit, _) in WORKLOADS {
            println!("{name}\t{unit}");
        }
        return ExitCode::SUCCESS;
    };
    let found = WORKLOADS.iter().find(|(name, ..)| *name == wanted);
    let Some((.., workload)) = found else {
        eprintln!("no such workload: {wanted}");
        return ExitCode::FAILURE;
    };
    println!("{}", workload());
    ExitCode::SUCCESS
}
