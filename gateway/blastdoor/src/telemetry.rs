//! Diagnostics on standard error and the access log on standard output.

use std::io::{IsTerminal, stderr, stdout};

use proxy::{AccessFormat, AccessLog};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Crates that log every failed attempt, which we log once. The user's directives come later and take precedence.
const QUIET: &str = "kube_client=off";

/// Starts diagnostics: text on a terminal, JSON elsewhere, unless the configuration says otherwise.
pub(crate) fn start_diagnostics(log: &Log) {
    // The level has been checked with the configuration.
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{}", log.level))
        .unwrap_or_else(|_checked| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr);
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    // A second start (tests run commands in one process) keeps the first.
    let _already = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(stderr().is_terminal()).try_init()
    };
}

/// Starts the access log on standard output.
pub(crate) fn start_access_log(log: &Log) -> std::io::Result<AccessLog> {
    let format = match log.format {
        LogFormat::Json => AccessFormat::Json,
        LogFormat::Text => AccessFormat::Text,
        LogFormat::Auto if stdout().is_terminal() => AccessFormat::Text,
        LogFormat::Auto => AccessFormat::Json,
    };
    AccessLog::start(log.access, format, stdout())
}
