//! `cargo xtask deploy`: the tests of everything in `deploy/` that need no cluster (`tests/deploy`).
//!
//! Helm, the schemas of Kubernetes and most linters come with the Python packages of `requirements.txt`, actionlint from a Go
//! module, kubectl from `cargo xtask apiserver`, promtool from the system. Nothing of the gateway is compiled for it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::ci::{self, LeftOut};
use crate::command::Invocation;
use crate::go::{self, Part};
use crate::workspace::Workspace;
use crate::{apiserver, python};

const RUNNER: &str = "tests/deploy/run.py";
const REQUIREMENTS: &str = "tests/deploy/requirements.txt";
/// Where the virtual environment is kept.
const TOOLS: &str = "target/deploy";

/// The folder of the programs that come with the Python packages, Helm among them.
pub(crate) fn programs(workspace: &Workspace) -> Result<PathBuf> {
    python::environment(workspace, TOOLS, REQUIREMENTS)
}

/// The step of CI.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    run(workspace, &[])?;
    let left_out = fs::read_to_string(workspace.path(TOOLS).join("left-out")).context("reading left-out")?;
    Ok(left_out.lines().map(|line| LeftOut(line.to_owned())).collect())
}

/// Runs the tests whose names contain one of `words`, or all of them.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<()> {
    let programs = programs(workspace)?;
    actionlint(workspace)?;
    let runner = Invocation::new(workspace, programs.join("python"))
        .args([RUNNER, "--left-out", &format!("{TOOLS}/left-out")])
        .args(words)
        .env("HELM", &programs.join("helm").to_string_lossy())
        .env("HADOLINT", &programs.join("hadolint").to_string_lossy())
        .env(
            "ACTIONLINT",
            &workspace.path(TOOLS).join("actionlint").to_string_lossy(),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1");
    match apiserver::found(workspace) {
        Ok(assets) => runner
            .env("KUBECTL", &assets.join("kubectl").to_string_lossy())
            .run(),
        Err(error) if ci::is_ci() => Err(error),
        // The tests that need kubectl say that they are left out.
        Err(_) => runner.run(),
    }
}

/// Without Go it is not built, and its test says that it is left out.
fn actionlint(workspace: &Workspace) -> Result<()> {
    if go::go(workspace).is_err() {
        return Ok(());
    }
    let part = Part {
        module: "tests/deploy/actionlint",
        packages: &["tool"],
        flags: &["-ldflags=-s -w"],
        programs: &["actionlint"],
    };
    go::built_once(workspace, &part, &workspace.path(TOOLS))
}
