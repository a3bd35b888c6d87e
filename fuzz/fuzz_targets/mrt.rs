//! MRT records: no panic, reading goes on.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_wire::mrt::fuzzing::fuzz_mrt(data));
