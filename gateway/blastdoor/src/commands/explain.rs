//! `blastdoor explain`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::admin_client::{ask_api, ask_api_for, parameter, place};
use super::progress::Progress;
use super::scope::Scope;
use super::{Printer, ReportOutput, USAGE, fail, loaded, print_error};
use crate::config::{self, AdminBind, Options};
use crate::explain::{Explanation, ForPeople, Question, explain};
use crate::live::{self, Told, Wait};

/// Options of the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainOptions {
    /// The URL; without a scheme, all doors are asked alike
    url: String,
    /// The method of the request [default: GET, and any with --live]
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
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
    /// Wait for the next real request for the URL at a running gateway, and tell what happened to it; a URL that ends in `*`
    /// stands for all that begin so. Exits with 1 if none came in time. Without --admin, the configured admin port is asked
    #[arg(long, conflicts_with_all = ["header", "namespace"])]
    live: bool,
    /// How long to wait for it, in seconds, as in 30s; at most 600s. One that has come has 75s more to end
    #[arg(long, value_name = "SECONDS", requires = "live", default_value_t)]
    wait: Wait,
    #[command(flatten)]
    scope: Scope,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportOutput::Table)]
    output: ReportOutput,
}

/// Prints what each door would do with a request, and why.
pub(crate) fn run(options: &Options, asked: &ExplainOptions) -> ExitCode {
    let question = Question::parse(
        &asked.url,
        asked.method.as_deref(),
        asked.header.iter().map(String::as_str),
        asked.client.as_deref(),
        asked.door.as_deref(),
    );
    let question = match question {
        Ok(question) => question.about(asked.scope.namespace()),
        Err(error) => return fail(USAGE, error),
    };
    if asked.live {
        return watch(options, asked);
    }
    let explained = match &asked.admin {
        Some(admin) => ask_api(admin, &target(asked)).map_err(|message| fail(USAGE, message)),
        None => loaded::world(options).and_then(|world| {
            if !asked.scope.is_read(&world) {
                print_error(asked.scope.unread(&world.config));
            }
            explain(&world.shown(), &question).map_err(|error| fail(USAGE, error))
        }),
    };
    let explained: Explanation = match explained {
        Ok(explained) => explained,
        Err(status) => return status,
    };
    let left_out = explained.listeners.iter().map(|door| door.of_other_namespaces);
    asked.scope.tell_left_out(left_out.sum(), "rule");
    let mut printer = Printer::default();
    match asked.output {
        ReportOutput::Json => printer.print_json(&serde_json::json!(explained)),
        ReportOutput::Table => printer.print(ForPeople(&explained)),
    }
    printer.finish(ExitCode::SUCCESS)
}

/// Waits for the next real request that is like this one, and prints what happened to it.
fn watch(options: &Options, asked: &ExplainOptions) -> ExitCode {
    // Beyond the wait itself, as for any page.
    const PATIENCE: Duration = Duration::from_secs(15);
    let configured = || config::admin(options);
    let admin = match asked
        .admin
        .as_ref()
        .map_or_else(configured, |admin| Ok(admin.clone()))
    {
        Ok(admin) => admin,
        Err(errors) => return fail(USAGE, errors),
    };
    let progress = Progress::new(options);
    progress.say(format_args!(
        "waiting up to {} for a request, at {}",
        asked.wait,
        place(&admin)
    ));
    let target = format!("/api/v1/live?{}&wait={}", parameters(asked), asked.wait);
    let told = ask_api_for(&admin, &target, asked.wait.whole() + PATIENCE);
    drop(progress);
    let told: Told = match told {
        Ok(told) => told,
        Err(message) => return fail(USAGE, message),
    };
    let mut printer = Printer::default();
    match asked.output {
        ReportOutput::Json => printer.print_json(&serde_json::json!(told)),
        ReportOutput::Table => printer.print(live::ForPeople(&told)),
    }
    if let (Told::Nothing { .. }, Some((scheme, _))) = (&told, asked.url.split_once("://")) {
        print_error(format!(
            "only doors whose `scheme` is `{}` were looked at: behind a load balancer that ends TLS it is `https`; \
             a URL without a scheme asks all doors",
            scheme.to_ascii_lowercase()
        ));
    }
    printer.finish(match told {
        Told::Story(_) => ExitCode::SUCCESS,
        Told::Unfinished { .. } | Told::Nothing { .. } => ExitCode::FAILURE,
    })
}

/// The same question for the admin port.
fn target(asked: &ExplainOptions) -> String {
    let mut parameters = parameters(asked);
    for header in &asked.header {
        parameters.push('&');
        parameters.push_str(&parameter("header", header));
    }
    if let Some(namespace) = asked.scope.namespace() {
        parameters.push('&');
        parameters.push_str(&parameter("namespace", namespace));
    }
    format!("/api/v1/explain?{parameters}")
}

/// What both pages of the admin port have.
fn parameters(asked: &ExplainOptions) -> String {
    let optional = [
        ("method", &asked.method),
        ("client", &asked.client),
        ("door", &asked.door),
    ];
    let optional = optional
        .into_iter()
        .filter_map(|(name, value)| Some(parameter(name, value.as_ref()?)));
    let all: Vec<String> = std::iter::once(parameter("url", &asked.url))
        .chain(optional)
        .collect();
    all.join("&")
}
