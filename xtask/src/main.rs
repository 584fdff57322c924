//! The project's own tasks, run as `cargo xtask …`.
//!
//! `cargo xtask ci` is exactly what CI runs, in the same order; each of its steps also runs alone.
//!
//! Invariants:
//! - A check that cannot run is reported twice: where it would have run and again at the end. None passes silently.
//! - The project's rules that need no compiler (file sizes, the import table, the fuzz targets) are pure functions, so
//!   that their tests can show them failing on made-up inputs.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a task prints is its result"
)]

mod apiserver;
mod binary;
mod chart;
mod ci;
mod command;
mod deny;
mod deploy;
mod differential;
mod fuzz;
mod go;
mod image;
mod imports;
mod interop;
mod neighbours;
mod nodes;
mod npm;
mod oci;
mod python;
mod reproduce;
mod rings;
mod sbom;
mod sizes;
mod traces;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::command::Invocation;
use crate::workspace::Workspace;

const USAGE: &str = "\
The project's own tasks.

  cargo xtask ci [STEP…]     run everything CI checks, or only these steps
  cargo xtask bench ARG…     compare with other proxies: see bench/README.md, or --help
  cargo xtask fuzz TARGET…   run one fuzz target, with options for libFuzzer; Ctrl-C stops it
  cargo xtask apiserver      find etcd, kube-apiserver and kubectl for the tests, or build them once with Go
  cargo xtask interop NAME…  test against third-party clients and servers, or those whose names contain NAME
  cargo xtask differential NAME…  compare with Traefik and nginx: all cases, or those whose names contain NAME
  cargo xtask deploy NAME…   test what is in deploy/, as far as it takes no cluster, or what has NAME in its name
  cargo xtask nodes          test the gateway on three nodes of Kubernetes, made of network namespaces (as root, on Linux)
  cargo xtask nodes follow GUIDE   follow a guide of docs/ literally, on a cluster of its own
  cargo xtask neighbours NAME…  test beside external-dns, cert-manager and the AWS Load Balancer Controller, built with Go
  cargo xtask traces         send traces to the receiver of the OpenTelemetry Collector, built with Go
  cargo xtask chart          compare what is made of the Helm chart (Kustomize, tables, schema) with it; --write makes it anew
  cargo xtask image NAME     build container images of the `dist` build and their bill of materials, without a container
                             engine, into target/image; with --target, --profile, --root
  cargo xtask reproduce      build the images of the last commit twice, in two folders, and compare; with options of `image`
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
        Some((task, steps)) if task == "ci" => ci::run(&workspace, steps),
        Some((task, rest)) if task == "bench" => bench(&workspace, rest),
        Some((task, _)) if task == "apiserver" => apiserver::run(&workspace),
        Some((task, rest)) if task == "fuzz" => fuzz::run(&workspace, rest),
        Some((task, rest)) if task == "interop" => interop::run(&workspace, rest),
        Some((task, rest)) if task == "differential" => differential::run(&workspace, rest),
        Some((task, rest)) if task == "deploy" => deploy::run(&workspace, rest),
        Some((task, rest)) if task == "nodes" => nodes::run(&workspace, rest),
        Some((task, rest)) if task == "neighbours" => neighbours::run(&workspace, rest),
        Some((task, _)) if task == "traces" => traces::run(&workspace),
        Some((task, rest)) if task == "rings" => rings::run(&workspace, rest),
        Some((task, rest)) if task == "chart" => chart::run(&workspace, rest),
        Some((task, rest)) if task == "image" => image::run(&workspace, rest),
        Some((task, rest)) if task == "reproduce" => reproduce::run(&workspace, rest),
        Some((task, _)) if task == "help" || task == "--help" || task == "-h" => {
            print!("{}", usage());
            Ok(())
        }
        Some((task, _)) => bail!("there is no task named `{task}`\n\n{}", usage()),
        None => bail!("name a task\n\n{}", usage()),
    }
}

/// Builds the binary as it is shipped, then measures it.
fn bench(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if !arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        Invocation::cargo(workspace)
            .args(["build", "--profile", image::PROFILE, "--package", "blastdoor"])
            .run()?;
    }
    Invocation::new(workspace, workspace.path("bench/run"))
        .args(arguments)
        .run()
}

fn usage() -> String {
    let steps: String = ci::STEPS
        .iter()
        .map(|step| format!("  {:<12} {}\n", step.name, step.checks))
        .collect();
    format!("{USAGE}{steps}")
}
