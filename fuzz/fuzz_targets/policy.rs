//! Policies against a naive evaluation.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_policy::fuzzing::fuzz_policy(data));
