//! One module per command.

pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod health;
pub(crate) mod run;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Wrong usage or configuration.
pub(crate) const WRONG: u8 = 2;

/// Writes to standard error. A closed one is nobody's problem.
pub(crate) fn complain(message: impl Display) {
    let _closed = writeln!(std::io::stderr(), "{message}");
}

/// Writes to standard output.
pub(crate) fn print(message: impl Display) {
    let _closed = writeln!(std::io::stdout(), "{message}");
}

/// Complains and ends with this status.
pub(crate) fn fail(status: u8, message: impl Display) -> ExitCode {
    complain(message);
    ExitCode::from(status)
}
