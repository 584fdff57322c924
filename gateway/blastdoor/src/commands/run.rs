//! `blastdoor run`

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::FileSource;
use prometheus_client::registry::Registry;
use proxy::Metrics;
use tokio::sync::mpsc;

use super::{WRONG, fail};
use crate::admin::{Admin, Board};
use crate::config::{self, AdminBind, Config, Options, SourceKind};
use crate::gauges::Gauges;
use crate::supervisor::{Ended, Supervisor};
use crate::telemetry;

/// How long the access log may take to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs the doors until a signal ends them.
pub(crate) fn run(options: &Options) -> ExitCode {
    let loaded = match config::load(options) {
        Ok(loaded) => loaded,
        Err(errors) => return fail(WRONG, errors),
    };
    telemetry::start_diagnostics(&loaded.config.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    serve(options, loaded.config)
}

/// Runs a configuration that has been checked.
pub(crate) fn serve(options: &Options, config: Config) -> ExitCode {
    let source = match open_source(&config) {
        Ok(source) => source,
        Err(message) => return fail(WRONG, message),
    };
    raise_descriptor_limit();
    match start(options.clone(), config, source) {
        Ok(Ended::Clean) => ExitCode::SUCCESS,
        Ok(Ended::Cut) => ExitCode::from(1),
        Err(error) => fail(1, format!("{error:#}")),
    }
}

/// The source of objects that the configuration names.
pub(crate) fn open_source(config: &Config) -> Result<FileSource, String> {
    match &config.source.kind {
        SourceKind::Files(directory) => FileSource::open(directory).map_err(|error| error.to_string()),
        SourceKind::Kubernetes => Err(
            "source.kind: this version reads objects from files alone; set kind = \"files\" \
                                       and path, or give --manifests DIR"
                .to_owned(),
        ),
    }
}

fn start(options: Options, config: Config, source: FileSource) -> anyhow::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the control runtime")?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async move {
        let access = telemetry::start_access_log(&config.log).context("cannot start the access log")?;
        let (metrics, gauges, board) = (Metrics::default(), Gauges::new(access.clone()), Board::default());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics.clone()));
        registry.register_collector(Box::new(gauges.clone()));

        let admin = Admin::bind(&config.admin)
            .await
            .map_err(|error| admin_error(&config.admin, &error))?;
        let admin_bind = config.admin.clone();
        let supervisor = Supervisor::open(options, config, board.clone(), gauges, metrics, access.clone())?;
        tokio::task::spawn_local(admin.serve(board, Arc::new(registry)));
        let (sender, events) = mpsc::channel(4);
        tokio::task::spawn_local(source.watch(sender));
        let ended = supervisor
            .run(events)
            .await
            .context("cannot listen for signals")?;
        access.flush(LAST_LINES);
        if let AdminBind::Unix(path) = admin_bind {
            // Best effort: a dead socket file is recognised at the next start.
            let _left = std::fs::remove_file(path);
        }
        Ok(ended)
    })
}

fn admin_error(bind: &AdminBind, error: &io::Error) -> anyhow::Error {
    let address = match bind {
        AdminBind::Tcp(address) => address.to_string(),
        AdminBind::Unix(path) => format!("unix:{}", path.display()),
    };
    if error.kind() == io::ErrorKind::AddrInUse {
        anyhow::anyhow!(
            "admin: address {address} is already in use; stop whoever uses it or choose another `admin.bind`"
        )
    } else {
        anyhow::anyhow!("admin: cannot bind {address}: {error}")
    }
}

/// Each connection costs two descriptors; the soft limit is often 1024 where the hard one is far higher.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    ) {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}
