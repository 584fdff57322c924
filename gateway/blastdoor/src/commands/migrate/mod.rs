//! `blastdoor migrate`

mod cluster;
mod files;
mod objects;
mod replay;
mod write;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use door::Policy;
use migrate::{Controller, DifferenceKind, DoorFacts, Given, RawObject, RouteFact, RouteState, Wish};
use resource::ClusterView;
use route::ListenerName;

use self::objects::ReadObjects;
use self::replay::ReplayOptions;
use super::progress::Progress;
use super::run::runtime;
use super::scope::Scope;
use super::{Printer, ReportOutput, USAGE, fail, loaded, print_error};
use crate::audit::{State, audit};
use crate::config::{Config, Options, SourceKind};
use crate::world::{OpenDoor, World, WorldDoor as _};

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  blastdoor migrate --manifests ./apps --door nginx=external-https
  blastdoor migrate --door nginx-public=external-https --door nginx-private=internal-https --write copies
  blastdoor migrate --manifests ./apps --door '*=external-https' --accept hsts-default -o json
  blastdoor migrate --context production -n shop --door nginx=external-https
  blastdoor migrate --replay access.log --old https://203.0.113.10 --new https://203.0.113.20 --share 0.1
  kubectl logs deploy/ingress-nginx-controller | blastdoor migrate --replay - --host a.example.com --old http://… --new http://…

Guide: docs/migrate.md";

/// Options of the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct MigrateOptions {
    /// Where Ingresses are to land that no label and no class of a door says: `CLASS=DOOR`, `entrypoint:NAME=DOOR` (of
    /// Traefik), `*=DOOR` for all others. May be repeated
    #[arg(long, value_name = "CLASS=DOOR")]
    door: Vec<Wish>,
    /// Whose Ingresses they are, where neither class nor annotations say it
    #[arg(long, value_enum, value_name = "CONTROLLER")]
    from: Option<Origin>,
    /// Write copies of the Ingresses that need a label into this directory, with the label; existing files are never replaced
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Kinds of differences that are known and wanted, separated by commas: they are told and do not count
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind)]
    accept: Vec<DifferenceKind>,
    /// Also count what holds for every Ingress of a controller, whatever is written
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    scope: Scope,
    /// Output format; JSON is `{"ingresses": […], "defaults": […], "settings": […], "objects": […], "unreadable": […], "summary": {…}}`
    #[arg(short, long, value_enum, default_value_t = ReportOutput::Table)]
    output: ReportOutput,
    #[command(flatten)]
    replay: ReplayOptions,
}

/// The gateways whose Ingresses are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Origin {
    IngressNginx,
    Traefik,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrateError {
    #[error("{0}")]
    Config(String),
    #[error("--door {of}={door}: no such door; there are {known}")]
    NoSuchDoor {
        of: String,
        door: ListenerName,
        known: String,
    },
    #[error("{0}")]
    Source(String),
    #[error("{0}")]
    Unread(String),
    #[error("{0}")]
    Write(String),
    #[error("{0}")]
    Replay(String),
}

/// Reports what would change, and writes labelled copies where it is asked to.
pub(crate) fn run(options: &Options, asked: &MigrateOptions) -> ExitCode {
    let ended = if asked.replay.is_asked() {
        replay(options, asked)
    } else {
        migrate(options, asked)
    };
    match ended {
        Ok(status) => status,
        Err(error) => fail(USAGE, error),
    }
}

/// Replays a log and prints what is different. Where nothing could be sent, that is no result.
fn replay(options: &Options, asked: &MigrateOptions) -> Result<ExitCode, MigrateError> {
    let tally = asked.replay.run(options).map_err(MigrateError::Replay)?;
    let mut printer = Printer::default();
    printer.print_report(asked.output, &tally);
    if tally.sent > 0 {
        return Ok(printer.finish(ExitCode::from(u8::from(tally.different > 0))));
    }
    let advice = if tally.log.without_host > 0 {
        "the log does not say the host of its requests: name it with `--host`"
    } else if tally.log.left_out > 0 {
        "`--share` leaves all requests out"
    } else {
        "the log records no request that can be sent again"
    };
    print_error(format!("nothing was sent: {advice}"));
    Ok(printer.finish(ExitCode::from(USAGE)))
}

fn migrate(options: &Options, asked: &MigrateOptions) -> Result<ExitCode, MigrateError> {
    let config = loaded::config(options).map_err(|errors| MigrateError::Config(errors.to_string()))?;
    known_doors(&config, &asked.door)?;
    let policies = policies(&config);
    let progress = Progress::new(options);
    progress.say("reading and compiling all objects");
    let mut read = read(&config, &policies, options, asked)?;
    let (mut places, view) = migrate::place(&read.content.view, &policies, &asked.door);
    read.content.view = view;
    // Everything is compiled, as objects of other namespaces decide what happens to those of this one.
    let all = places.len();
    places.retain(|key, _| asked.scope.includes(Some(key.namespace())));
    let left_out = all - places.len();
    let world = World::compiled(config, read.content);
    let is_of = |object: &RawObject| object.namespace.as_deref() == asked.scope.namespace();
    if !asked.scope.is_read(&world) && !read.raw.iter().any(is_of) {
        // That nothing differs would be said of nothing.
        return Err(MigrateError::Unread(asked.scope.unread(&world.config)));
    }
    let (doors, routes) = (facts(&world), routes(&world));
    let nothing = ClusterView::default();
    let given = Given {
        view: world.view.as_ref().unwrap_or(&nothing),
        problems: world.problems.all(),
        doors: &doors,
        routes: &routes,
        raw: &read.raw,
        places: &places,
        unreadable: &read.unreadable,
        from: asked.from.map(|from| match from {
            Origin::IngressNginx => Controller::IngressNginx,
            Origin::Traefik => Controller::Traefik,
        }),
    };
    let accepted: BTreeSet<DifferenceKind> = asked.accept.iter().copied().collect();
    let mut report = migrate::report(&given, &accepted);
    let all = report.objects.len();
    report
        .objects
        .retain(|object| object.concerns_all() || asked.scope.includes(object.namespace.as_deref()));
    let left_out = left_out + all - report.objects.len();
    drop(progress);
    asked.scope.tell_left_out(left_out, "object");
    if let Some(directory) = &asked.write {
        write::write(directory, &migrate::copies(&given)).map_err(MigrateError::Write)?;
    }
    let mut printer = Printer::default();
    printer.print_report(asked.output, &report);
    Ok(printer.finish(ExitCode::from(u8::from(report.differs(asked.strict)))))
}

fn known_doors(config: &Config, wishes: &[Wish]) -> Result<(), MigrateError> {
    let names = || config.doors.iter().map(|door| &door.name);
    let unknown = wishes.iter().find(|wish| names().all(|name| *name != wish.door));
    match unknown {
        None => Ok(()),
        Some(wish) => Err(MigrateError::NoSuchDoor {
            of: wish.of.clone(),
            door: wish.door.clone(),
            known: names().map(ListenerName::as_str).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn read(
    config: &Config,
    policies: &[(ListenerName, Policy)],
    options: &Options,
    asked: &MigrateOptions,
) -> Result<ReadObjects, MigrateError> {
    match &config.source.kind {
        SourceKind::Files(directory) => files::read(directory).map_err(MigrateError::Source),
        SourceKind::Kubernetes => {
            let runtime = runtime().map_err(MigrateError::Source)?;
            let read = cluster::read(options, config, policies, &asked.door);
            runtime
                .block_on(read)
                .map_err(|error| MigrateError::Source(error.to_string()))
        }
    }
}

fn policies(config: &Config) -> Vec<(ListenerName, Policy)> {
    let doors = config.doors.iter();
    doors
        .map(|door| (door.name.clone(), door.policy.clone()))
        .collect()
}

fn facts(world: &World<OpenDoor>) -> Vec<DoorFacts<'_>> {
    let doors = world.doors.iter().map(|door| {
        let config = door.config();
        let timeouts = &config.settings.timeouts;
        DoorFacts {
            name: config.name.clone(),
            policy: &config.policy,
            body: config.settings.limits.body,
            connect: timeouts.connect,
            read: timeouts.response_idle,
            send: timeouts.body_idle,
            publishes: config.publish != control::cluster::Publish::default(),
        }
    });
    doors.collect()
}

/// The rows of an audit. Those of no Ingress are places of doors that another process opens.
fn routes(world: &World<OpenDoor>) -> Vec<RouteFact> {
    let rows = audit(&world.shown()).routes.into_iter();
    let routes = rows.filter_map(|row| {
        Some(RouteFact {
            ingress: row.ingress.clone()?,
            service: row.service.clone(),
            state: match row.state {
                State::Ready | State::Redirect => RouteState::Served,
                State::NoEndpoints => RouteState::NoEndpoints,
                State::Blocked => RouteState::Blocked,
            },
            row: serde_json::json!(row),
        })
    });
    routes.collect()
}

fn kind(name: &str) -> Result<DifferenceKind, String> {
    DifferenceKind::named(name.trim()).ok_or_else(|| {
        let names: Vec<&str> = DifferenceKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("`{name}` is no kind of difference; allowed: {}", names.join(", "))
    })
}
