//! One module per command.

pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod health;
pub(crate) mod run;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// The exit status for wrong usage or configuration.
pub(crate) const USAGE: u8 = 2;

/// Writes to standard error. If that is closed, the text is lost.
pub(crate) fn print_error(message: impl Display) {
    let _closed = writeln!(std::io::stderr(), "{message}");
}

/// Writes to standard output.
pub(crate) fn print(message: impl Display) {
    let _closed = writeln!(std::io::stdout(), "{message}");
}

/// Prints an error and ends with this status.
pub(crate) fn fail(status: u8, message: impl Display) -> ExitCode {
    print_error(message);
    ExitCode::from(status)
}
