//! What `blastdoor version` says about the build: the compiler, the target, and the commit if whoever builds names it. Git is
//! not asked, so that a build is the same with a repository around it and without.
#![expect(
    clippy::disallowed_methods,
    reason = "that is how a build script is told and tells"
)]

use std::env::{var, vars};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BLASTDOOR_COMMIT");
    let compiler = var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let told = Command::new(compiler).arg("--version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo::rustc-env=BUILT_BY={}", told.unwrap_or_default());
    println!("cargo::rustc-env=BUILT_FOR={}", var("TARGET").unwrap_or_default());
    println!(
        "cargo::rustc-env=BUILT_FROM={}",
        var("BLASTDOOR_COMMIT").unwrap_or_default()
    );
    let features = vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase()));
    let features: Vec<String> = features.filter(|name| name != "default").collect();
    println!("cargo::rustc-env=BUILT_WITH={}", features.join(","));
}
