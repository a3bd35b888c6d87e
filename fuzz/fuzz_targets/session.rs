//! The state machine under any sequence of events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_session::fuzzing::fuzz_session(data));
