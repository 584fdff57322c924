//! Lines of access logs.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| testkit::logs::access_log_properties(line));
