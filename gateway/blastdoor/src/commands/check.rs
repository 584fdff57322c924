//! `blastdoor check`

use std::process::ExitCode;

use resource::{Problem, Severity};

use super::run::runtime;
use super::{Printer, USAGE, fail, print_error};
use crate::config::{self, Config, Options};
use crate::world::{OpenDoor, World};

/// How problems are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// One line each.
    Text,
    /// `{"problems": […]}`
    Json,
}

/// Compiles everything without serving and prints every problem.
pub(crate) fn run(options: &Options, output: Output) -> ExitCode {
    let loaded = match config::load(options) {
        Ok(loaded) => loaded,
        Err(errors) => return fail(USAGE, errors),
    };
    for warning in &loaded.warnings {
        print_error(format!("warning: {warning}"));
    }
    let world = match world(loaded.config, options) {
        Ok(world) => world,
        Err(message) => return fail(USAGE, message),
    };
    let mut problems: Vec<&Problem> = world.problems.all().iter().map(AsRef::as_ref).collect();
    problems.sort_unstable();
    let mut printer = Printer::default();
    match output {
        Output::Json => printer.print(serde_json::json!({ "problems": problems })),
        Output::Text => {
            for problem in &problems {
                printer.print(problem);
            }
            let count = |severity| {
                problems
                    .iter()
                    .filter(|problem| problem.severity == severity)
                    .count()
            };
            printer.print(format!(
                "{} doors, {} errors, {} warnings, {} notes",
                world.doors.len(),
                count(Severity::Error),
                count(Severity::Warning),
                count(Severity::Note)
            ));
        }
    }
    let found = problems.iter().any(|problem| problem.severity != Severity::Note);
    printer.finish(ExitCode::from(u8::from(found)))
}

/// Everything that there is to know without serving.
fn world(config: Config, options: &Options) -> Result<World<OpenDoor>, String> {
    let runtime = runtime()?;
    let tasks = tokio::task::LocalSet::new();
    let loaded = tasks.block_on(&runtime, World::load(config, options));
    loaded.map_err(|error| error.to_string())
}
