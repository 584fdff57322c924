//! `blastdoor run`

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use prometheus_client::registry::Registry;
use proxy::{LineQueue, Live, Metrics, SpanQueue, Tracer};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::{USAGE, fail};
use crate::admin::{self, Admin, AdminCounts, Board};
use crate::config::{self, AdminBind, Config, Options};
use crate::descriptors::Descriptors;
use crate::gauges::Gauges;
use crate::journal::Journal;
use crate::memory::Memory;
use crate::signals::{SignalAction, Signals};
use crate::source::{Source, host_and_process};
use crate::supervisor::{Ended, Reporting, Supervisor};
use crate::telemetry::{self, Logs};
use crate::traces::{Exporter, Identity, SpanCounts};

/// Runs the doors until a signal ends them.
pub(crate) fn run(options: &Options) -> ExitCode {
    let loaded = match config::load(options) {
        Ok(loaded) => loaded,
        Err(errors) => return fail(USAGE, errors),
    };
    let logs = match telemetry::start(&loaded.config.log, options.may_style()) {
        Ok(logs) => logs,
        Err(error) => return fail(1, format!("cannot start the logs: {error}")),
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    serve(options, loaded.config, &logs, SignalAction::Reload)
}

/// Runs a configuration that has been checked. `on_hangup` is what SIGHUP asks for.
pub(crate) fn serve(options: &Options, config: Config, logs: &Logs, on_hangup: SignalAction) -> ExitCode {
    let ended = serve_until_told(options, config, logs, on_hangup);
    logs.flush();
    ended
}

fn serve_until_told(options: &Options, config: Config, logs: &Logs, on_hangup: SignalAction) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return logs.fail(1, error),
    };
    let entered = runtime.enter();
    let signals = match Signals::catch(on_hangup) {
        Ok(signals) => signals,
        Err(error) => return logs.fail(1, format!("cannot catch signals: {error}")),
    };
    let source = match Source::open(&config, options) {
        Ok(source) => source,
        Err(error) => return logs.fail(USAGE, error),
    };
    drop(entered);
    match start(&runtime, options.clone(), config, logs, source, signals) {
        Ok(Ended::Clean) => ExitCode::SUCCESS,
        Ok(Ended::Cut | Ended::AtOnce) => ExitCode::from(1),
        Err(error) => logs.fail(1, format!("{error:#}")),
    }
}

/// The runtime of everything that is no traffic.
pub(crate) fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the control runtime: {error}"))
}

fn start(
    runtime: &Runtime,
    options: Options,
    config: Config,
    logs: &Logs,
    source: Source,
    signals: Signals,
) -> anyhow::Result<Ended> {
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(runtime, async move {
        let (metrics, gauges, board) = (Metrics::default(), Gauges::new(logs.clone()), Board::default());
        let admin_counts = AdminCounts::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics.clone()));
        registry.register_collector(Box::new(gauges.clone()));
        registry.register_collector(Box::new(board.clone()));
        registry.register_collector(Box::new(admin_counts.clone()));

        let journal = Journal::new();
        registry.register_collector(Box::new(journal.clone()));
        let (spans, live) = (SpanQueue::new(span_room(&config)), Live::default());
        registry.register_collector(Box::new(SpanCounts(spans.clone())));
        let (queues, kept): (Vec<LineQueue>, Journal) = (logs.queues().cloned().collect(), journal.clone());
        let waiting = spans.clone();
        let promised = move || {
            let lines = queues.iter().map(|queue| queue.room() as u64);
            lines.sum::<u64>() + kept.room() as u64 + waiting.room() as u64
        };
        let memory = Memory::start(config.process.memory, promised)
            .context("cannot watch the memory of the process")?;
        registry.register_collector(Box::new(memory.clone()));
        let admin = Admin::bind(&config.admin).map_err(|error| admin_error(&config.admin, &error))?;
        let admin_bind = config.admin.clone();
        let reporting = Reporting {
            board: board.clone(),
            gauges: gauges.clone(),
            metrics: metrics.clone(),
            access: logs.access().clone(),
            journal: journal.clone(),
            tracer: Tracer::new(spans.clone(), live.clone()),
        };
        let descriptors = Descriptors::claim(&config);
        registry.register_collector(Box::new(descriptors.collector()));
        let exporter = exporter(&config, &options, spans)?;
        let room = descriptors.admin();
        let budget = memory.budget().clone();
        let supervisor = Supervisor::open(options, config, reporting, budget, descriptors, source.link())?;
        let context = admin::Context::new(board, registry, gauges, metrics, journal);
        admin
            .start(context, room, admin_counts, live)
            .context("cannot start the admin port")?;
        let (sender, events) = mpsc::channel(source.queue());
        tokio::task::spawn_local(source.watch(sender));
        let ended = supervisor.run(events, signals).await;
        let at_once = ended == Ended::AtOnce;
        exporter.iter().for_each(|exporter| exporter.finish(at_once));
        if let AdminBind::Unix(path) = admin_bind {
            // Best effort: a dead socket file is recognised at the next start.
            let _left = std::fs::remove_file(path);
        }
        Ok(ended)
    })
}

/// How many bytes of spans may wait.
fn span_room(config: &Config) -> usize {
    config.tracing.as_ref().map_or(0, |collector| collector.queue)
}

/// The thread that sends traces, if they are to be sent.
fn exporter(config: &Config, options: &Options, spans: SpanQueue) -> anyhow::Result<Option<Exporter>> {
    let Some(collector) = config.tracing.clone() else {
        return Ok(None);
    };
    let variable = |name| options.variable(name).map(str::to_owned);
    let identity = Identity {
        pod: variable("POD_NAME"),
        namespace: variable("POD_NAMESPACE"),
        instance: host_and_process(),
    };
    let exporter = Exporter::start(collector, spans, &identity).context("cannot send traces")?;
    Ok(Some(exporter))
}

fn admin_error(bind: &AdminBind, error: &io::Error) -> anyhow::Error {
    let address = match bind {
        AdminBind::Tcp(address) => address.to_string(),
        AdminBind::Unix(path) => format!("unix:{}", path.display()),
    };
    if error.kind() == io::ErrorKind::AddrInUse {
        anyhow::anyhow!(
            "admin: address {address} is already in use; stop the process that uses it or choose another `admin.bind`"
        )
    } else {
        anyhow::anyhow!("admin: cannot bind {address}: {error}")
    }
}
