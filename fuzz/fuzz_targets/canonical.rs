//! Canonical sets survive every encoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_wire::fuzzing::fuzz_canonical_roundtrip(data));
