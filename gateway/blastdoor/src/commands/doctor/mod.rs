//! `blastdoor doctor`

mod cluster;
mod configuration;
mod dump;
#[cfg(test)]
mod recorded;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use doctor::{Gateways, Inventory, Report, Request, Timestamp, examine};

use super::run::runtime;
use super::scope::namespace;
use super::{ReportOutput, print_or_fail};
use crate::config::Options;

/// Options of the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorOptions {
    /// Read the objects from the files in this directory, as `kubectl get -o json` writes them, instead of a cluster
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Look only for gateways in this namespace
    #[arg(short, long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// Look for gateways in all namespaces, as without -n
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// The labels of the gateway's pods, as in `app=edge,tier=web`, where it cannot be recognised by itself
    #[arg(short = 'l', long, value_name = "LABELS", value_parser = labels)]
    selector: Option<BTreeMap<String, String>>,
    /// Nodes to which somebody sends traffic, such as those in DNS: names or addresses, separated by commas
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    expect_nodes: Vec<String>,
    /// Output format; JSON is `{"gateways": […], "findings": […], "not_checked": […]}`
    #[arg(short, long, value_enum, default_value_t = ReportOutput::Table)]
    output: ReportOutput,
}

/// Reads the cluster, or a dump of it, and prints what is wrong with the ways to the doors.
pub(crate) fn run(options: &Options, asked: &DoctorOptions) -> ExitCode {
    print_or_fail(report(options, asked), asked.output, Report::is_clean)
}

/// # Errors
/// When nothing could be looked at.
fn report(options: &Options, asked: &DoctorOptions) -> Result<Report, String> {
    let request = Request {
        namespace: asked.namespace.clone(),
        selector: asked.selector.clone(),
        expected_nodes: asked.expect_nodes.clone(),
    };
    let read = |process: &doctor::Process| configuration::read(process, options);
    let (inventory, at) = match &asked.dump {
        Some(directory) => dump::read(directory)?,
        None => {
            let at = now()?;
            let objects = cluster::read(options, &request);
            (
                runtime()?.block_on(objects).map_err(|error| error.to_string())?,
                at,
            )
        }
    };
    let gateways = Gateways::find(&inventory, &request, read);
    if gateways.workloads.is_empty() {
        return Err(nothing(&inventory, &gateways, &request));
    }
    Ok(examine(&inventory, &gateways, &request, at))
}

/// Why there is no gateway to look at.
fn nothing(inventory: &Inventory, gateways: &Gateways<'_>, request: &Request) -> String {
    if gateways.unreadable.is_empty() {
        let place = request.namespace.as_deref();
        let place = place.map_or(String::new(), |name| format!(" in namespace `{name}`"));
        let unread = inventory.unread_workloads();
        return format!(
            "no gateway was found{place}: no DaemonSet, Deployment or pod runs `blastdoor`, by the name of its image, its \
             command, its environment or the label app.kubernetes.io/name=blastdoor; name the labels of its pods with \
             --selector{unread}"
        );
    }
    let reasons = gateways.unreadable.iter();
    let reasons: Vec<String> = reasons
        .map(|gateway| {
            format!(
                "the configuration of {} cannot be read: {}",
                gateway.name, gateway.reason
            )
        })
        .collect();
    reasons.join("\n")
}

/// Labels that are all required.
fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pairs = text.split(',').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or_default();
        if key.trim().is_empty() {
            return Err(format!(
                "`{pair}` is not a label; allowed: `key=value`, separated by commas"
            ));
        }
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    });
    pairs.collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is written in objects is compared with the wall clock"
)]
fn now() -> Result<Timestamp, String> {
    Timestamp::try_from(std::time::SystemTime::now()).map_err(|error| format!("the clock is wrong: {error}"))
}
