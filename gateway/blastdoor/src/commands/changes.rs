//! `blastdoor audit --since`: what changed at a running gateway.

use std::process::ExitCode;

use serde_json::Value;

use super::admin_client::{ask_api, parameter};
use super::scope::Scope;
use super::{Printer, ReportOutput, USAGE, fail};
use crate::config::{self, AdminBind, Options};
use crate::journal::{MOST_SHOWN, page_in_words};

/// Asks the journal of the gateway whose admin port is here, or where the configuration says.
pub(super) fn run(
    options: &Options,
    admin: Option<&AdminBind>,
    since: &str,
    door: Option<&str>,
    scope: &Scope,
    output: ReportOutput,
) -> ExitCode {
    let admin = match admin.map_or_else(|| config::admin(options), |admin| Ok(admin.clone())) {
        Ok(admin) => admin,
        Err(errors) => return fail(USAGE, errors),
    };
    let mut target = format!("/api/v1/changes?{}&limit={MOST_SHOWN}", parameter("since", since));
    if let Some(door) = door {
        target.push('&');
        target.push_str(&parameter("door", door));
    }
    if let Some(namespace) = scope.namespace() {
        target.push('&');
        target.push_str(&parameter("namespace", namespace));
    }
    let page: Value = match ask_api(&admin, &target) {
        Ok(page) => page,
        Err(message) => return fail(USAGE, message),
    };
    let mut printer = Printer::default();
    match output {
        ReportOutput::Json => printer.print_json(&page),
        ReportOutput::Table => printer.print(page_in_words(&page).trim_end()),
    }
    printer.finish(ExitCode::SUCCESS)
}
