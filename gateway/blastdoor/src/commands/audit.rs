//! `blastdoor audit`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use text::Table;

use super::admin_client::ask_api;
use super::scope::Scope;
use super::{Printer, ReportOutput, USAGE, changes, fail, loaded, print_error};
use crate::audit::{Audit, AuditRow, Difference, audit};
use crate::config::{AdminBind, Options};

/// Options of the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct AuditOptions {
    /// Print what has changed since this file, which an earlier `audit -o json` has written; exits with 1 if anything has
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// Print what a running gateway has changed since a time, as in 2026-11-27T10:00:00Z, or how long ago: 90s, 15m, 1h, 7d.
    /// It is asked at --admin, or where the configuration has its admin port
    #[arg(long, value_name = "TIME", conflicts_with = "diff")]
    since: Option<String>,
    /// With --since: only what has changed at this door
    #[arg(long, value_name = "DOOR", requires = "since")]
    door: Option<String>,
    /// Ask the gateway whose admin port is here, `IP:PORT` or `unix:PATH`, instead of reading configuration and objects
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<AdminBind>,
    #[command(flatten)]
    scope: Scope,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportOutput::Table)]
    output: ReportOutput,
}

/// Prints what is reachable where, what has changed of it, or the journal of a running gateway.
pub(crate) fn run(options: &Options, asked: &AuditOptions) -> ExitCode {
    if let Some(since) = &asked.since {
        return changes::run(
            options,
            asked.admin.as_ref(),
            since,
            asked.door.as_deref(),
            &asked.scope,
            asked.output,
        );
    }
    // Before the cluster is read, which may take a while.
    let earlier = match asked.diff.as_deref().map(read_earlier).transpose() {
        Ok(earlier) => earlier,
        Err(message) => return fail(USAGE, message),
    };
    let now = match &asked.admin {
        Some(admin) => ask(admin, &asked.scope),
        None => read(options, &asked.scope),
    };
    let Now { mut audit, unread } = match now {
        Ok(now) => now,
        Err(status) => return status,
    };
    // A gate that looks at nothing would let everything pass.
    let was_there = earlier.as_ref().map(|earlier| has_rows_of(&asked.scope, earlier));
    match unread {
        Some(message) if was_there == Some(false) => return fail(USAGE, message),
        Some(ref message) => print_error(message),
        None => {}
    }
    let tell_left_out = |count, what| {
        if unread.is_none() {
            asked.scope.tell_left_out(count, what);
        }
    };
    let mut printer = Printer::default();
    let is_ours = |row: &AuditRow| concerns(&asked.scope, row);
    let Some(earlier) = earlier else {
        let all = audit.routes.len();
        audit.routes.retain(is_ours);
        tell_left_out(all - audit.routes.len(), "row");
        match asked.output {
            ReportOutput::Json => printer.print_json(&serde_json::json!(audit)),
            ReportOutput::Table => print(&audit, &mut printer),
        }
        return printer.finish(ExitCode::SUCCESS);
    };
    let mut difference = Difference::between(&earlier, &audit);
    let all = difference.count();
    difference.retain(is_ours);
    tell_left_out(all - difference.count(), "change");
    printer.print_report(asked.output, &difference);
    printer.finish(ExitCode::from(u8::from(!difference.is_empty())))
}

/// What is reachable now.
struct Now {
    audit: Audit,
    /// That nothing that was read belongs to the namespace of the report.
    unread: Option<String>,
}

/// From configuration and objects.
fn read(options: &Options, scope: &Scope) -> Result<Now, ExitCode> {
    let world = loaded::world(options)?;
    Ok(Now {
        audit: audit(&world.shown()),
        unread: (!scope.is_read(&world)).then(|| scope.unread(&world.config)),
    })
}

/// From a running gateway, which tells rows and no objects.
fn ask(admin: &AdminBind, scope: &Scope) -> Result<Now, ExitCode> {
    let audit: Audit = ask_api(admin, "/api/v1/audit").map_err(|message| fail(USAGE, message))?;
    let unread = (!has_rows_of(scope, &audit)).then(|| {
        let name = scope.namespace().unwrap_or_default();
        format!("the gateway serves nothing of namespace `{name}`")
    });
    Ok(Now { audit, unread })
}

/// Whether a row belongs to the namespace of the report: those of no namespace do not.
fn has_rows_of(scope: &Scope, audit: &Audit) -> bool {
    let is_of = |object: &Option<String>| object.is_some() && scope.includes_object(object.as_deref());
    let mut rows = audit.routes.iter();
    scope.namespace().is_none() || rows.any(|row| is_of(&row.ingress) || is_of(&row.service))
}

/// Whether a row is about the namespaces of the report: by its Ingress, or by the Service that gets the requests.
fn concerns(scope: &Scope, row: &AuditRow) -> bool {
    let (ingress, service) = (row.ingress.as_deref(), row.service.as_deref());
    scope.includes_object(ingress) || service.is_some() && scope.includes_object(service)
}

fn print(audit: &Audit, printer: &mut Printer) {
    let mut table = Table::new(&[
        "LISTENER", "HOST", "PATH", "TYPE", "INGRESS", "SERVICE", "PORT", "STATE",
    ]);
    for row in &audit.routes {
        let state = if row.canary {
            format!("{} (canary)", row.state)
        } else {
            row.state.to_string()
        };
        let port = row.port_text();
        table.row([
            &*row.listener,
            &row.host,
            &row.path,
            &row.path_type,
            row.ingress.as_deref().unwrap_or("-"),
            row.service.as_deref().unwrap_or("-"),
            port.as_deref().unwrap_or("-"),
            &state,
        ]);
    }
    printer.print(table);
}

/// An earlier audit.
fn read_earlier(file: &Path) -> Result<Audit, String> {
    let place = file.display();
    let text = std::fs::read(file).map_err(|error| format!("--diff {place}: {error}"))?;
    serde_json::from_slice(&text)
        .map_err(|error| format!("--diff {place}: not what `blastdoor audit -o json` writes: {error}"))
}
