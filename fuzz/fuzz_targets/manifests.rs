//! Manifest files: any bytes yield objects and problems, and every problem can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let manifest = resource::manifest::parse("manifest.yaml", bytes);
    for problem in &manifest.problems {
        assert!(!problem.to_string().chars().any(char::is_control));
    }
    let _view = resource::manifest::collect([&manifest]);
});
