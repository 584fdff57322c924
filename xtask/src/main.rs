//! The project's own chores, run as `cargo xtask …`.
//!
//! `cargo xtask ci` is exactly what CI runs, in the same order; each of its steps also runs alone.
//!
//! Invariants:
//! - A check that cannot run says so, twice: where it would have run and again at the end. None passes silently.
//! - The house rules that need no compiler (file sizes, the import table, the fuzz targets) are pure functions
//!   of made-up inputs too, so that their tests show them failing.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a chore prints is its result"
)]

mod apiserver;
mod chart;
mod ci;
mod command;
mod deny;
mod fuzz;
mod go;
mod image;
mod imports;
mod interop;
mod nodes;
mod rings;
mod sizes;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::command::Invocation;
use crate::workspace::Workspace;

const USAGE: &str = "\
The project's own chores.

  cargo xtask ci [STEP…]     everything CI checks, or these steps alone
  cargo xtask bench ARG…     side by side with other proxies: see bench/README.md, or --help
  cargo xtask fuzz TARGET…   one fuzz target, with options for libFuzzer; Ctrl-C ends it
  cargo xtask apiserver      etcd, kube-apiserver and kubectl for the tests: found, or built once with Go
  cargo xtask interop NAME…  clients and servers that nobody here wrote, or those whose names contain NAME
  cargo xtask nodes          the gateway on three nodes of Kubernetes, made of network namespaces (as root, on Linux)
  cargo xtask image NAME     a container image of the release, target/image/blastdoor.tar; no container engine needed
  cargo xtask rings CRATE…   files and folders of the gateway's crates that use each other, or of these crates
  cargo xtask help           this text

Steps of ci, in order:
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let workspace = Workspace::here()?;
    match arguments.split_first() {
        Some((chore, steps)) if chore == "ci" => ci::run(&workspace, steps),
        Some((chore, rest)) if chore == "bench" => bench(&workspace, rest),
        Some((chore, _)) if chore == "apiserver" => apiserver::run(&workspace),
        Some((chore, rest)) if chore == "fuzz" => fuzz::run(&workspace, rest),
        Some((chore, rest)) if chore == "interop" => interop::run(&workspace, rest),
        Some((chore, rest)) if chore == "nodes" => nodes::run(&workspace, rest),
        Some((chore, rest)) if chore == "rings" => rings::run(&workspace, rest),
        Some((chore, rest)) if chore == "image" => image::run(&workspace, rest),
        Some((chore, _)) if chore == "help" || chore == "--help" || chore == "-h" => {
            print!("{}", usage());
            Ok(())
        }
        Some((chore, _)) => bail!("there is no chore named `{chore}`\n\n{}", usage()),
        None => bail!("which chore?\n\n{}", usage()),
    }
}

/// Builds the release binary as users get it, then measures it.
fn bench(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if !arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        Invocation::cargo(workspace)
            .args(["build", "--release", "--package", "blastdoor"])
            .run()?;
    }
    Invocation::new(workspace, workspace.path("bench/run"))
        .args(arguments)
        .run()
}

fn usage() -> String {
    let steps: String = ci::STEPS
        .iter()
        .map(|step| format!("  {:<9} {}\n", step.name, step.checks))
        .collect();
    format!("{USAGE}{steps}")
}
