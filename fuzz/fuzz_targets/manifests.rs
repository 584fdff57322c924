//! Manifest files, through parsing and compilation to the tables of four doors.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| testkit::manifests::manifest_properties(bytes));
