//! A stream of messages: framing loses no octet.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_wire::fuzzing::fuzz_message_stream(data));
