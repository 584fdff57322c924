//! Users and hashes of Secrets, and credentials of clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| testkit::passwords::htpasswd_properties(text));
