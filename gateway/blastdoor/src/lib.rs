//! The `blastdoor` program: commands, configuration, wiring, admin port, telemetry.
//!
//! # Invariants
//! - Only this crate composes the others: it reads configuration, opens doors, hands each publisher its views and
//!   each reader its socket. Nothing here matches a request.
//! - Exit status: 0 for success, 1 for problems found or requests cut, 2 for wrong usage or configuration.
//! - Nothing that serves waits for a reader of standard output or standard error, and nothing panics when there is none:
//!   while doors are open, all lines go through queues (`telemetry`).
//! - No door serves with less protection than is configured: the process refuses to start with what this version
//!   cannot do.

mod admin;
mod commands;
mod compilation;
pub mod config;
mod descriptors;
mod door_view;
mod echo;
mod gateway_addresses;
mod gauges;
mod memory;
mod open_files;
mod panics;
mod platform_roots;
mod problems;
mod shown;
mod signals;
mod source;
mod supervisor;
mod telemetry;
mod watched;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A split-horizon HTTP gateway for Kubernetes: isolated listeners ("doors") in one process
#[derive(Debug, Parser)]
#[command(name = "blastdoor", version, about)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
struct Common {
    /// The configuration file [default: listeners.toml, or the standard four doors]
    #[arg(long, global = true, value_name = "FILE", env = "BLASTDOOR_CONFIG")]
    config: Option<PathBuf>,
    /// Read Kubernetes objects from this directory instead of the configured source
    #[arg(long, global = true, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Credentials for the API server [default: KUBECONFIG, the pod's service account, ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Run or check only these doors, separated by commas
    #[arg(long, global = true, value_name = "NAMES", value_delimiter = ',')]
    doors: Option<Vec<String>>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the doors; this is the default command
    Run,
    /// Run the four standard doors with sample manifests and echo backends, without a cluster
    Demo,
    /// Parse and compile the configuration and all objects without serving, and print every problem (at most a hundred per
    /// Ingress and door)
    Check {
        /// Output format
        #[arg(short, long, value_enum, default_value_t = commands::check::Output::Text)]
        output: commands::check::Output,
    },
    /// Read the cluster and diagnose how load balancers reach the doors; exits with 0 if nothing is wrong, 1 if something is, 2
    /// if it could not look
    Doctor(commands::doctor::DoctorOptions),
    /// Ask the admin port of a running gateway for its health; exits with 0 if it is healthy, 1 if not, 2 for an unknown door
    Health {
        /// The address of the admin port, `IP:PORT` or `unix:PATH` [default: the configured one]
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<config::AdminBind>,
        /// Ask whether it is ready, instead of whether it is alive
        #[arg(long, conflicts_with = "lb")]
        ready: bool,
        /// Ask whether this door takes traffic, as load balancers do
        #[arg(long, value_name = "DOOR")]
        lb: Option<String>,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(explained) => return commands::explain(&explained),
    };
    let options = config::Options {
        config: cli.common.config,
        manifests: cli.common.manifests,
        kubeconfig: cli.common.kubeconfig,
        doors: cli.common.doors,
        environment: environment(),
        files: config::Files::Host,
        process: None,
    };
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => commands::run::run(&options),
        Command::Demo => commands::demo::run(&options),
        Command::Check { output } => commands::check::run(&options, output),
        Command::Doctor(asked) => commands::doctor::run(&options, &asked),
        Command::Health { admin, ready, lb } => commands::health::run(&options, admin, ready, lb.as_deref()),
    }
}

/// Reads the environment, in this one place. Bytes that are not UTF-8 are replaced, not skipped: a variable of the
/// configuration must not go unnoticed because its value is garbage.
fn environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}
