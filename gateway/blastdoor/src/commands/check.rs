//! `blastdoor check`

use std::process::ExitCode;

use resource::{Problem, Severity};

use super::scope::Scope;
use super::{Printer, loaded, print_error};
use crate::config::Options;

/// How problems are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// One line each.
    Text,
    /// `{"problems": […]}`
    Json,
}

/// Compiles everything without serving and prints every problem.
pub(crate) fn run(options: &Options, output: Output, scope: &Scope) -> ExitCode {
    let world = match loaded::world(options) {
        Ok(world) => world,
        Err(status) => return status,
    };
    let problems = world.problems.all().iter().map(AsRef::as_ref);
    let mut problems: Vec<&Problem> = problems
        .filter(|problem: &&Problem| scope.includes(problem.object.namespace.as_deref()))
        .collect();
    problems.sort_unstable();
    if scope.is_read(&world) {
        scope.tell_left_out(world.problems.all().iter().count() - problems.len(), "problem");
    } else {
        print_error(scope.unread(&world.config));
    }
    let mut printer = Printer::default();
    match output {
        Output::Json => printer.print_json(&serde_json::json!({ "problems": problems })),
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
