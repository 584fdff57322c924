//! `blastdoor explain`

use std::process::ExitCode;

use clap::Args;

use super::admin_client::{ask_api, parameter};
use super::{Printer, ReportOutput, USAGE, fail, loaded};
use crate::config::{AdminBind, Options};
use crate::explain::{Explanation, ForPeople, Question, explain};

/// Options of the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainOptions {
    /// The URL; without a scheme, all doors are asked alike
    url: String,
    /// The method of the request
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header field of the request, as in `Accept: text/html`; may be given several times
    #[arg(long, value_name = "FIELD")]
    header: Vec<String>,
    /// The address from which the connection comes, for what depends on it
    #[arg(long, value_name = "IP")]
    client: Option<String>,
    /// Only this door
    #[arg(long, value_name = "DOOR")]
    door: Option<String>,
    /// Ask the gateway whose admin port is here, `IP:PORT` or `unix:PATH`, instead of reading configuration and objects
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<AdminBind>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportOutput::Table)]
    output: ReportOutput,
}

/// Prints what each door would do with a request, and why.
pub(crate) fn run(options: &Options, asked: &ExplainOptions) -> ExitCode {
    let question = Question::parse(
        &asked.url,
        Some(&asked.method),
        asked.header.iter().map(String::as_str),
        asked.client.as_deref(),
        asked.door.as_deref(),
    );
    let question = match question {
        Ok(question) => question,
        Err(error) => return fail(USAGE, error),
    };
    let explained = match &asked.admin {
        Some(admin) => ask_api(admin, &target(asked)).map_err(|message| fail(USAGE, message)),
        None => loaded::world(options)
            .and_then(|world| explain(&world.shown(), &question).map_err(|error| fail(USAGE, error))),
    };
    let explained: Explanation = match explained {
        Ok(explained) => explained,
        Err(status) => return status,
    };
    let mut printer = Printer::default();
    match asked.output {
        ReportOutput::Json => printer.print_json(&serde_json::json!(explained)),
        ReportOutput::Table => printer.print(ForPeople(&explained)),
    }
    printer.finish(ExitCode::SUCCESS)
}

/// The same question for the admin port.
fn target(asked: &ExplainOptions) -> String {
    let mut parameters = vec![parameter("url", &asked.url), parameter("method", &asked.method)];
    parameters.extend(asked.header.iter().map(|header| parameter("header", header)));
    parameters.extend(asked.client.iter().map(|client| parameter("client", client)));
    parameters.extend(asked.door.iter().map(|door| parameter("door", door)));
    format!("/api/v1/explain?{}", parameters.join("&"))
}
