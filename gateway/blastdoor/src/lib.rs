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
mod audit;
mod cli;
mod commands;
mod compilation;
pub mod config;
mod descriptors;
mod door_view;
mod echo;
mod explain;
mod gateway_addresses;
mod gauges;
mod journal;
mod live;
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
mod traces;
mod watched;
mod world;

use std::ffi::OsString;
use std::process::ExitCode;

use cli::{Cli, Command};

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::read(&arguments) {
        Ok(cli) => cli,
        Err(explained) => return commands::explain_usage(&explained),
    };
    let options = config::Options {
        config: cli.common.config,
        manifests: cli.common.manifests,
        kubeconfig: cli.common.kubeconfig,
        context: cli.common.context,
        doors: cli.common.doors,
        environment: environment(),
        files: config::Files::Host,
        process: None,
    };
    let program = arguments.first().map(OsString::as_os_str);
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => commands::run::run(&options),
        Command::Demo => commands::demo::run(&options),
        Command::Check { output, scope } => commands::check::run(&options, output, &scope),
        Command::Migrate(asked) => commands::migrate::run(&options, &asked),
        Command::Audit(asked) => commands::audit::run(&options, &asked),
        Command::Explain(asked) => commands::explain::run(&options, &asked),
        Command::Doctor(asked) => commands::doctor::run(&options, &asked),
        Command::Prove(asked) => commands::prove::run(&options, &asked),
        Command::Completions { shell } => commands::shell::completions(cli::command(program), shell),
        Command::Man { folder } => commands::shell::man(cli::command(program), folder.as_deref()),
        Command::Version { output } => commands::version::run(output),
        Command::Health { admin, ready, lb } => commands::health::run(&options, admin, ready, lb.as_ref()),
    }
}

/// Reads the environment, in this one place. Bytes that are not UTF-8 are replaced, not skipped: a variable of the
/// configuration must not go unnoticed because its value is garbage.
fn environment() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}
