//! `blastdoor check`

use std::process::ExitCode;

use door::{BackendPolicy, ExternalNames};
use resource::{Problem, Severity};

use super::run::runtime;
use super::{WRONG, complain, fail, print};
use crate::config::{self, Config, Options};
use crate::gateway_addresses::Own;
use crate::platform_roots::platform_roots;
use crate::source::Source;

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
        Err(errors) => return fail(WRONG, errors),
    };
    for warning in &loaded.warnings {
        complain(format!("warning: {warning}"));
    }
    let problems = match problems(&loaded.config, options) {
        Ok(problems) => problems,
        Err(message) => return fail(WRONG, message),
    };
    match output {
        Output::Json => print(serde_json::json!({ "problems": problems })),
        Output::Text => {
            for problem in &problems {
                print(problem);
            }
            let count = |severity| {
                problems
                    .iter()
                    .filter(|problem| problem.severity == severity)
                    .count()
            };
            print(format!(
                "{} doors, {} errors, {} warnings, {} notes",
                loaded.config.doors.len(),
                count(Severity::Error),
                count(Severity::Warning),
                count(Severity::Note)
            ));
        }
    }
    let found = problems.iter().any(|problem| problem.severity != Severity::Note);
    ExitCode::from(u8::from(found))
}

fn problems(config: &Config, options: &Options) -> Result<Vec<Problem>, String> {
    let runtime = runtime()?;
    let tasks = tokio::task::LocalSet::new();
    let load = tasks
        .block_on(&runtime, async { Source::open(config, options)?.load().await })
        .map_err(|error| error.to_string())?;
    let mut own = Own::default();
    own.declare(config);
    own.look();
    let (addresses, unknown) = own.policy(&config.source, &load.view);
    let backends = BackendPolicy {
        addresses,
        // What is found depends on what is written, not on the network.
        external_names: match config.source.external_names {
            Some(_) => ExternalNames::Unasked,
            None => ExternalNames::Refused,
        },
        platform_roots: platform_roots(),
    };
    let (mut publishers, _unbound): (Vec<_>, Vec<_>) = config
        .doors
        .iter()
        .map(|door| door::open(door.name.clone(), door.policy.clone(), door.settings.clone()))
        .unzip();
    let mut problems = load.problems;
    problems.extend(unknown);
    problems.extend(door::publish(
        &mut publishers,
        &load.view,
        &backends,
        &mut door::Ledger::default(),
    ));
    door::leave_to_others(&mut problems, &config.others, &load.view);
    problems.sort();
    problems.dedup();
    Ok(problems)
}
