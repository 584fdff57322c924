//! `cargo xtask differential`: the same objects and requests at this gateway, at Traefik and at nginx
//! (`tests/differential`).
//!
//! Traefik comes with the Python packages of `requirements.txt`, the API server from `cargo xtask apiserver`, and nginx from
//! the system.

use std::fs;

use anyhow::{Context, Result};

use crate::ci::LeftOut;
use crate::command::Invocation;
use crate::workspace::Workspace;
use crate::{apiserver, python};

const RUNNER: &str = "tests/differential/run.py";
const REQUIREMENTS: &str = "tests/differential/requirements.txt";
const DOCUMENT: &str = "docs/differential.md";
/// Where the virtual environment is kept.
const TOOLS: &str = "target/differential";

/// The step of CI.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    run(workspace, &[])?;
    let left_out = fs::read_to_string(workspace.path(TOOLS).join("left-out")).context("reading left-out")?;
    Ok(left_out.lines().map(|line| LeftOut(line.to_owned())).collect())
}

/// Runs the cases whose names contain one of `arguments`, or all of them, against the build that the README starts with.
/// Options of the runner may stand among them.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let assets = apiserver::found(workspace)?;
    let programs = python::environment(workspace, TOOLS, REQUIREMENTS)?;
    // The packages of nginx have it where only the administrator looks.
    let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"]
        .into_iter()
        .find(|path| fs::exists(path).is_ok_and(|exists| exists))
        .unwrap_or("nginx");
    if !arguments.iter().any(|argument| argument == "--binary") {
        Invocation::cargo(workspace)
            .args(["build", "--release", "--package", "blastdoor"])
            .run()?;
    }
    Invocation::new(workspace, programs.join("python"))
        .args([RUNNER, "--binary", "target/release/blastdoor"])
        .args(["--assets", &assets.to_string_lossy()])
        .args(["--traefik", &programs.join("traefik").to_string_lossy()])
        .args(["--nginx", nginx])
        .args(["--document", DOCUMENT])
        .args(["--left-out", &format!("{TOOLS}/left-out")])
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .run()
}
