//! `blastdoor prove`

mod address;
mod plan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use prove::{ClientIdentity, Report};

use self::address::DoorAddress;
use super::progress::Progress;
use super::run::runtime;
use super::{ReportOutput, loaded, print_or_fail};
use crate::config::Options;
use crate::world::World;

/// Options of the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProveOptions {
    /// Where a door is reached, if not where it listens; with `https://`, TLS is spoken there, with `http://` none. May be
    /// given several times
    #[arg(long = "address", value_name = "DOOR=HOST:PORT")]
    addresses: Vec<DoorAddress>,
    /// How many hosts of each door are tried at each other door
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    hosts: u16,
    /// The certificate to show at doors that ask clients for one, as PEM
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its key, as PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Output format; JSON is `{"doors": […], "pairs": […]}`
    #[arg(short, long, value_enum, default_value_t = ReportOutput::Table)]
    output: ReportOutput,
}

/// Attacks a running gateway and prints what came of it.
pub(crate) fn run(options: &Options, asked: &ProveOptions) -> ExitCode {
    print_or_fail(report(options, asked), asked.output, Report::is_clean)
}

/// # Errors
/// When nothing could be tried, because of what is configured or asked.
fn report(options: &Options, asked: &ProveOptions) -> Result<Report, String> {
    let progress = Progress::new(options);
    let config = loaded::config(options).map_err(|errors| errors.to_string())?;
    let identity = match (&asked.client_cert, &asked.client_key) {
        (Some(chain), Some(key)) => Some(identity(chain, key)?),
        _ => None,
    };
    let runtime = runtime()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        progress.say("reading all objects");
        let world = World::load(config, options)
            .await
            .map_err(|error| error.to_string())?;
        let plan = plan::plan(&world, &asked.addresses, usize::from(asked.hosts)).await?;
        let asked = prove::Options {
            identity,
            ..prove::Options::default()
        };
        let told = move |so_far: prove::Progress| progress.count("hosts tried", so_far.done, so_far.total);
        prove::run(plan, &asked, told).await
    })
}

fn identity(chain: &Path, key: &Path) -> Result<ClientIdentity, String> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))
    };
    ClientIdentity::from_pem(&read(chain)?, &read(key)?)
        .map_err(|error| format!("{}, {}: {error}", chain.display(), key.display()))
}
