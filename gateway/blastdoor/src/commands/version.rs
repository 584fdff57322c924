//! `blastdoor version`

use std::process::ExitCode;

use super::Printer;

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// One line each.
    Text,
    /// `{"version", "commit", "rustc", "target", "features"}`
    Json,
}

/// The commit that it was built from, if whoever built it said so.
fn commit() -> Option<&'static str> {
    let commit = env!("BUILT_FROM");
    (!commit.is_empty()).then_some(commit)
}

/// Prints which build this is.
pub(crate) fn run(output: Output) -> ExitCode {
    let (version, rustc, target) = (env!("CARGO_PKG_VERSION"), env!("BUILT_BY"), env!("BUILT_FOR"));
    let features = env!("BUILT_WITH").split(',').filter(|name| !name.is_empty());
    let features: Vec<&str> = features.collect();
    let mut printer = Printer::default();
    match output {
        Output::Json => printer.print(serde_json::json!({
            "version": version,
            "commit": commit(),
            "rustc": rustc,
            "target": target,
            "features": features,
        })),
        Output::Text => {
            printer.print(format!("blastdoor {version}"));
            printer.print(format!("commit: {}", commit().unwrap_or("unknown")));
            printer.print(format!("built by: {rustc}"));
            printer.print(format!("built for: {target}"));
            if !features.is_empty() {
                printer.print(format!("features: {}", features.join(", ")));
            }
        }
    }
    printer.finish(ExitCode::SUCCESS)
}
