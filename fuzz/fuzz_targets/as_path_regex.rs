//! AS path expressions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_policy::fuzzing::fuzz_as_path_regex(data));
