//! Interoperation with third-party clients, servers and scanners: `tests/interop`.
//!
//! Python packages are installed into a virtual environment, at the versions of `requirements.txt`. h2spec, and grpc-go's
//! client and server, are built from the sources that a `go.mod` pins. axe comes from npm. Everything else comes from the system.

use std::fs;

use anyhow::{Context, Result};

use crate::ci::LeftOut;
use crate::command::Invocation;
use crate::go::{self, Part};
use crate::workspace::Workspace;
use crate::{npm, python};

const RUNNER: &str = "tests/interop/run.py";
const REQUIREMENTS: &str = "tests/interop/requirements.txt";
const PACKAGES: &str = "tests/interop/npm";
/// Where the virtual environment and built tools are kept.
const TOOLS: &str = "target/interop";

/// Runs every check.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    run(workspace, &[])?;
    let left_out = fs::read_to_string(workspace.path(TOOLS).join("left-out")).context("reading left-out")?;
    Ok(left_out.lines().map(|line| LeftOut(line.to_owned())).collect())
}

/// Runs the checks whose names contain one of `only`, or all of them, against the build that the README starts with.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> Result<()> {
    Invocation::cargo(workspace)
        .args(["build", "--release", "--package", "blastdoor"])
        .run()?;
    let programs = python::environment(workspace, TOOLS, REQUIREMENTS)?;
    go_programs(workspace)?;
    // Without npm the runner reports that its packages are missing.
    if npm::is_here(workspace) {
        npm::installed_once(workspace, PACKAGES, &workspace.path(TOOLS).join("npm"))?;
    }
    Invocation::new(workspace, programs.join("python"))
        .args([RUNNER, "--binary", "target/release/blastdoor"])
        .args(["--h2spec", &format!("{TOOLS}/h2spec")])
        .args(["--grpc-go", &format!("{TOOLS}/grpc")])
        .args(["--packages", &format!("{TOOLS}/npm/node_modules")])
        .args(["--left-out", &format!("{TOOLS}/left-out")])
        .args(only)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .run()
}

/// Without Go these are not built; the runner reports that they are missing.
fn go_programs(workspace: &Workspace) -> Result<()> {
    if go::go(workspace).is_err() {
        return Ok(());
    }
    let tools = workspace.path(TOOLS);
    let h2spec = Part {
        module: "tests/interop/h2spec",
        packages: &["github.com/summerwind/h2spec/cmd/h2spec"],
        flags: &[],
        programs: &["h2spec"],
    };
    go::built_once(workspace, &h2spec, &tools)?;
    let grpc = Part {
        module: "tests/interop/grpc",
        packages: &[
            "google.golang.org/grpc/interop/client",
            "google.golang.org/grpc/interop/server",
        ],
        flags: &[],
        programs: &["client", "server"],
    };
    go::built_once(workspace, &grpc, &tools.join("grpc"))
}
