//! One module per command.

mod admin_client;
pub(crate) mod audit;
mod changes;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod health;
mod loaded;
pub(crate) mod migrate;
mod progress;
pub(crate) mod prove;
pub(crate) mod run;
pub(crate) mod scope;
pub(crate) mod shell;
pub(crate) mod version;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use text::{Shown, ShownJson};

/// The exit status for wrong usage or configuration.
pub(crate) const USAGE: u8 = 2;

/// What a command writes to standard output.
#[derive(Default)]
pub(crate) struct Printer {
    /// The first failure. Nothing more is written then.
    failure: Option<io::Error>,
}

impl Printer {
    /// Writes one line.
    pub(crate) fn print(&mut self, message: impl Display) {
        if self.failure.is_none() {
            self.failure = writeln!(io::stdout(), "{message}").err();
        }
    }

    /// Writes a report for people or for programs.
    pub(crate) fn print_report(&mut self, output: ReportOutput, report: &(impl Display + Serialize)) {
        match output {
            ReportOutput::Table => self.print(report),
            ReportOutput::Json => self.print_json(&serde_json::json!(report)),
        }
    }

    /// Writes JSON in one line. It may hold text of others, and be looked at.
    pub(crate) fn print_json(&mut self, value: &serde_json::Value) {
        self.print(ShownJson(&value.to_string()));
    }

    /// The command's exit status: `otherwise`, unless something could not be written. A reader that has seen enough and
    /// left (`| head`) is no failure.
    pub(crate) fn finish(self, otherwise: ExitCode) -> ExitCode {
        finish(self.failure.map_or_else(|| io::stdout().flush(), Err), otherwise)
    }
}

/// Prints a report, or why there is none. Exits with 1 unless it `is_clean`.
fn print_or_fail<R: Display + Serialize>(
    report: Result<R, String>,
    output: ReportOutput,
    is_clean: fn(&R) -> bool,
) -> ExitCode {
    let report = match report {
        Ok(report) => report,
        Err(message) => return fail(USAGE, message),
    };
    let mut printer = Printer::default();
    printer.print_report(output, &report);
    printer.finish(ExitCode::from(u8::from(!is_clean(&report))))
}

/// How a command ends after it has written to standard output.
fn finish(written: io::Result<()>, otherwise: ExitCode) -> ExitCode {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(1, format!("cannot write to standard output: {error}"))
        }
        Ok(()) | Err(_) => otherwise,
    }
}

/// How reports are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReportOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Prints what the command line asked for (its help, its version), or what is wrong with it.
pub(crate) fn explain_usage(explained: &clap::Error) -> ExitCode {
    let written = explained.print();
    if explained.use_stderr() {
        return ExitCode::from(USAGE);
    }
    finish(written, ExitCode::SUCCESS)
}

/// Writes to standard error. If that is closed, the text is lost. The lines of a message may quote others.
pub(crate) fn print_error(message: impl Display) {
    for line in message.to_string().split('\n') {
        let _closed = writeln!(io::stderr(), "{}", Shown(line));
    }
}

/// Prints an error and ends with this status.
pub(crate) fn fail(status: u8, message: impl Display) -> ExitCode {
    print_error(message);
    ExitCode::from(status)
}
