//! A worker with sessions that say anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_engine::fuzzing::fuzz_stream(data));
