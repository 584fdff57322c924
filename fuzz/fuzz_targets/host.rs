//! Hosts of requests, handshakes, rules and restrictions.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::names::host_properties(text));
