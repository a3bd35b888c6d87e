//! Edits keep a set canonical.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_wire::fuzzing::fuzz_attr_edit(data));
