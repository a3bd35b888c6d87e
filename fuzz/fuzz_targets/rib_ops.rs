//! Sequences of operations on a shard against a naive RIB.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_rib::fuzzing::fuzz_rib_ops(data));
