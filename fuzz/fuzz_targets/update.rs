//! UPDATE: no panic, view and iterators agree.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_wire::fuzzing::fuzz_update(data));
