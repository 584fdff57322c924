//! The life of the process: it opens and binds doors, publishes views, reloads the configuration, and drains everything.

mod compiler;
mod door;
mod parts;
mod publication;
mod reload;
mod schedule;
mod show;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use control::cluster::ClusterHandle;
use control::names::{Names, Resolver};
use control::{Panicked, SourceEvent, caught};
use proxy::{AccessLog, BindError, MemoryBudget, Metrics, Tracer, Warnings};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use self::compiler::Compiler;
use self::door::{Leaving, LeavingDoor, RunningDoor};
use self::schedule::Publications;
use crate::admin::Board;
use crate::compilation::Surroundings;
use crate::config::{Config, Options};
use crate::descriptors::{Descriptors, TooFew, Wanted};
use crate::gauges::Gauges;
use crate::journal::Journal;
use crate::problems::{Finder, Problems};
use crate::signals::{SignalAction, Signals};
use crate::source::ClusterLink;
use crate::watched::WatchedFiles;
use crate::world::{FollowedNames, World};

/// How often watched files (configuration, trust lists, certificates) are read. A change counts when two readings in a
/// row agree: half a configuration may restrict less, and half a network may be a wider one.
const FILES: Duration = Duration::from_millis(200);

/// How often the addresses of this host are listed although nothing else has changed.
const INTERFACES: Duration = Duration::from_secs(5);

/// How often everything is compiled although nothing has changed: certificates expire.
const RECOMPILATION: Duration = Duration::from_secs(3_600);

/// Of how many namespaces the logged problems are counted individually.
const NAMESPACES: usize = 4096;

/// How long the loop pauses after a panic, so that one which repeats leaves time for signals and drains.
const AFTER_PANIC: Duration = Duration::from_millis(100);

/// How long after a panic everything is published again; twice as long after each further one, up to a minute.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// After so many panics a drain is given up: the process must be able to end.
const PANICS_WHILE_DRAINING: usize = 100;

/// The process: its world, and what keeps that up to date.
pub(crate) struct Supervisor {
    options: Options,
    world: World<RunningDoor>,
    surroundings: Surroundings,
    publications: Publications,
    /// Doors that drain and still serve.
    leaving: Vec<LeavingDoor>,
    /// What drains. Each task returns how many requests it cut.
    drains: JoinSet<usize>,
    /// A file has changed, or the last reload has failed: as soon as the files are at rest there is another one.
    must_reload: bool,
    /// The configuration file and those that it names.
    files: WatchedFiles,
    /// How many problems of each namespace have been logged lately.
    lines: Warnings,
    reporting: Reporting,
    /// What all doors may hold.
    memory: MemoryBudget,
    descriptors: Descriptors,
    /// With an API server as the source: where doors and problems are reported.
    cluster: Option<ClusterHandle>,
    /// What DNS says of Services of type ExternalName; `None` where these are refused.
    names: Option<FollowedNames>,
}

/// Where the process shows what it does.
pub(crate) struct Reporting {
    pub(crate) board: Board,
    pub(crate) gauges: Gauges,
    pub(crate) metrics: Metrics,
    pub(crate) access: AccessLog,
    pub(crate) journal: Journal,
    pub(crate) tracer: Tracer,
}

/// What has become of the process so far.
struct Life {
    files: Interval,
    interfaces: Interval,
    recompilation: Interval,
    draining: bool,
    /// How many requests drains have cut.
    cut: usize,
    /// Turns of the loop that have panicked.
    panics: usize,
    /// When to publish again after a panic, and how long to wait after the next.
    again: Option<Instant>,
    pause: Duration,
}

impl Life {
    fn new() -> Self {
        Self {
            files: every(FILES),
            interfaces: every(INTERFACES),
            recompilation: every(RECOMPILATION),
            draining: false,
            cut: 0,
            panics: 0,
            again: None,
            pause: RETRY,
        }
    }

    fn publish_later(&mut self) {
        self.again = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_RETRY);
    }
}

/// Why doors cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// An address cannot be bound, or a worker cannot be started.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There are too few descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// There is no thread for the compiler.
    #[error("cannot start the thread that compiles: {0}")]
    Compiler(io::Error),
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All work finished in time.
    Clean,
    /// Some requests were cut.
    Cut,
    /// A second signal came.
    AtOnce,
}

impl Supervisor {
    /// Opens and binds every door of the configuration. They answer 503 until the first view is published.
    ///
    /// # Errors
    /// The first address that cannot be bound, if there are too few descriptors for all doors, or a thread that cannot be
    /// had.
    pub(crate) fn open(
        options: Options,
        config: Config,
        reporting: Reporting,
        memory: MemoryBudget,
        descriptors: Descriptors,
        cluster: Option<ClusterLink>,
    ) -> Result<Self, OpenError> {
        if let Some(cluster) = &cluster {
            reporting.gauges.contact(cluster.contact.clone());
        }
        let servers = config.source.external_names.as_ref();
        let names = servers.map(|servers| FollowedNames::new(Names::start(Resolver::new(servers)), false));
        let mut surroundings = Surroundings::default();
        surroundings.addresses.declare(&config);
        let compiler = Compiler::start(reporting.journal.clone()).map_err(OpenError::Compiler)?;
        let wanted: Vec<Wanted> = config.doors.iter().map(|door| Wanted::by(door)).collect();
        let division = descriptors.divide(&wanted, 0)?;
        let mut doors = Vec::new();
        for (door, allotment) in config.doors.iter().zip(division.allotments) {
            doors.push(RunningDoor::bind(
                door,
                allotment,
                &reporting.metrics,
                &reporting.access,
                &memory,
                &reporting.tracer,
            )?);
        }
        let mut supervisor = Self {
            options,
            world: World {
                config: Arc::new(config),
                view: None,
                problems: Problems::default(),
                doors,
            },
            surroundings,
            publications: Publications::new(compiler),
            leaving: Vec::new(),
            drains: JoinSet::new(),
            must_reload: true,
            files: WatchedFiles::default(),
            lines: Warnings::for_reasons(NAMESPACES),
            reporting,
            memory,
            descriptors,
            cluster: cluster.map(|cluster| cluster.handle),
            names,
        };
        supervisor.reporting.gauges.doors(&supervisor.world.config.doors);
        supervisor.divide_descriptors();
        supervisor.world.doors.iter_mut().for_each(RunningDoor::start);
        supervisor.show_listeners();
        Ok(supervisor)
    }

    /// Serves until a signal ends it. A panic on the way, which is a fault of the program, ends nothing: what is live stays
    /// so, and the next event is handled with what is known.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<SourceEvent>,
        mut signals: Signals,
    ) -> Ended {
        let mut life = Life::new();
        loop {
            match caught(self.turn(&mut life, &mut events, &mut signals)).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(ended)) => return ended,
                Err(Panicked) => {
                    life.panics += 1;
                    if life.draining && life.panics > PANICS_WHILE_DRAINING {
                        return Ended::Cut;
                    }
                    self.recover(&mut life);
                    tokio::time::sleep(AFTER_PANIC).await;
                }
            }
        }
    }

    /// Waits for something and handles it.
    async fn turn(
        &mut self,
        life: &mut Life,
        events: &mut mpsc::Receiver<SourceEvent>,
        signals: &mut Signals,
    ) -> ControlFlow<Ended> {
        tokio::select! {
            Some(event) = events.recv() => self.source_event(event),
            _ = life.files.tick(), if !life.draining => {
                self.look_at_workers();
                self.look_at_files();
            }
            _ = life.interfaces.tick() => {
                if self.surroundings.addresses.look() {
                    self.publish();
                }
            }
            _ = life.recompilation.tick(), if !life.draining => {
                self.publications.forget();
                self.publish();
            }
            () = changed(self.names.as_mut()) => self.publish(),
            () = reached(life.again) => {
                life.again = None;
                self.publish();
            }
            outcome = self.publications.compiler.done() => {
                if self.published(outcome) {
                    life.pause = RETRY;
                } else {
                    life.publish_later();
                }
            }
            action = signals.next() => match action {
                SignalAction::Reload if life.draining => {}
                SignalAction::Reload => {
                    tracing::info!("SIGHUP: reading the configuration anew");
                    self.must_reload = true;
                    self.look_at_files();
                }
                SignalAction::End if life.draining => {
                    tracing::warn!("second signal: ending at once");
                    return ControlFlow::Break(Ended::AtOnce);
                }
                SignalAction::End => {
                    life.draining = true;
                    life.panics = 0;
                    self.drain();
                }
            },
            Some(drained) = self.drains.join_next_with_id() => {
                let (task, requests) = drained.unwrap_or_else(|panicked| (panicked.id(), 1));
                life.cut += requests;
                self.leaving.retain(|door| door.drain != task || door.why == Leaving::ProcessEnds);
                if !life.draining {
                    self.divide_descriptors();
                }
                self.show_listeners();
                if life.draining && self.drains.is_empty() {
                    self.reporting.board.close();
                    tracing::info!(cut = life.cut, "drained");
                    let ended = if life.cut == 0 { Ended::Clean } else { Ended::Cut };
                    return ControlFlow::Break(ended);
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// After a panic: what was half done is done anew, from the beginning, and not too often.
    fn recover(&mut self, life: &mut Life) {
        if let Some(kept_back) = self.lines.admit("the control loop", std::time::Instant::now()) {
            tracing::error!(
                "the control loop has panicked and goes on; what is served stays as it is; publishing again in {:?}{kept_back}",
                life.pause
            );
        }
        self.publications.forget();
        self.world.doors.iter_mut().for_each(RunningDoor::renew);
        self.leaving.iter_mut().for_each(LeavingDoor::renew);
        self.must_reload = true;
        life.publish_later();
    }

    /// Turns every door red for load balancers and drains it.
    fn drain(&mut self) {
        tracing::info!("draining: health checks fail, clients are asked to close");
        for door in self.world.doors.drain(..) {
            door.listener.start_draining();
            let leaving = door.leave(&mut self.drains, Leaving::ProcessEnds);
            self.leaving.push(leaving);
        }
        self.show_world();
        if let Some(cluster) = self.cluster.clone() {
            self.drains.spawn(async move {
                cluster.retire().await;
                0
            });
        }
        if self.drains.is_empty() {
            // Without a door there is nothing to wait for; the loop ends at the next join.
            self.drains.spawn(std::future::ready(0));
        }
    }

    fn source_event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Loaded(content) => {
                // First, because the source does not send it again, whatever becomes of the rest.
                self.world.view = Some(content.view);
                self.publications.writes.append(content.writes);
                let problems = &mut self.world.problems;
                problems.replace(Finder::Source, &[content.problems]);
                #[cfg(test)]
                tests::panic_if_asked();
                problems.set(Finder::Unreachable, []);
                self.reporting.gauges.source(true);
                self.publish();
            }
            SourceEvent::Unavailable(problem) => {
                self.reporting.gauges.source(false);
                self.world.problems.set(Finder::Unreachable, [problem]);
                self.report();
            }
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits for news of names, for ever where none are looked up.
async fn changed(names: Option<&mut FollowedNames>) {
    match names {
        Some(names) => names.changed().await,
        None => pending().await,
    }
}

/// Waits for a moment, for ever if there is none.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
