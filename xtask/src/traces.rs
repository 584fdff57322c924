//! `cargo xtask traces`: traces of one request through two services, received by the OpenTelemetry Collector's own receiver
//! (`tests/traces/collector`), over gRPC and over HTTP.
//!
//! The receiver is built once with Go, into `target/traces`. That takes more than a minute of a core, so this is no step of CI.

use anyhow::Result;

use crate::command::Invocation;
use crate::go::{self, Part};
use crate::workspace::Workspace;

/// Where the receiver is kept; `tests/tracing.rs` starts it from there.
const KEPT: &str = "target/traces";

/// Builds the receiver, and runs the tests that need it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let collector = Part {
        module: "tests/traces/collector",
        packages: &["."],
        flags: &["-ldflags=-s -w"],
        programs: &["collector"],
    };
    go::built_once(workspace, &collector, &workspace.path(KEPT))?;
    // Of the workspace, as `cargo test` compiles it: nothing is compiled twice.
    let test = ["test", "--workspace", "--test", "gateway", "tracing::"];
    Invocation::cargo(workspace)
        .args(test)
        .args(["--", "--include-ignored"])
        .run()
}
