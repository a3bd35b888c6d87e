//! ROUTE-REFRESH: decode and encode agree.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thruway_wire::fuzzing::fuzz_route_refresh(data));
