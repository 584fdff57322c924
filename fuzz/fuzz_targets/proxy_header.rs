//! PROXY headers of load balancers.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::grammar::proxy_header_properties(text));
