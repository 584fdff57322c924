//! A changed configuration: taken over as a whole, sockets included, or not at all.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy::{Allotment, BindError, Sockets};
use resource::{Problem, Severity, SourceLine};
use route::ListenerName;

use super::door::{Leaving, RunningDoor};
use super::{OpenError, Supervisor};
use crate::config::{
    self, AdminBind, Collector, Config, ConfigError, DoorConfig, Log, Options, Place, Process, Source,
};
use crate::door_view::door_view;
use crate::problems::Finder;

impl Supervisor {
    /// Reads the watched files, and reloads when they have changed and are at rest. A reload that has failed is tried
    /// again: what was in its way (a file that could not be read, a port that was taken) may be gone although no content
    /// is different.
    pub(super) fn look_at_files(&mut self) {
        if self.have_files_changed() {
            self.must_reload = true;
        } else if self.must_reload {
            self.reload();
        }
    }

    /// Whether a file holds something else than at the last reading. Reports those that cannot be read.
    fn have_files_changed(&mut self) -> bool {
        let config = &self.world.config;
        let doors = config.doors.iter();
        let beside = doors.flat_map(|door| door.trusted_proxies_file.iter().chain(&door.tls_files));
        let paths = config.path.iter().chain(beside).map(PathBuf::as_path);
        let changes = self.files.read(paths);
        if changes.trouble {
            self.world.problems.set(Finder::Files, self.files.problems());
            self.report();
        }
        changes.content
    }

    fn reload(&mut self) {
        // A file that was found without being named must not give way to the built-in doors when it is lost.
        let path = &self.world.config.path;
        let options = Options {
            config: path.clone().or_else(|| self.options.config.clone()),
            process: Some(self.world.config.process.clone()),
            ..self.options.clone()
        };
        let loaded = config::load(&options);
        if self.have_files_changed() {
            // While they were read.
            return;
        }
        let outcome = match loaded {
            Ok(loaded) if loaded.config == *self.world.config => Ok(false),
            Ok(loaded) => self
                .apply(loaded.config)
                .map(|()| true)
                .map_err(|error| vec![self.rejected(error.to_string())]),
            Err(errors) => Err(errors.0.iter().map(|error| self.rejected_at(error)).collect()),
        };
        self.must_reload = outcome.is_err();
        match outcome {
            // Said when it is live.
            Ok(true) => {}
            Ok(false) => {
                self.world.problems.set(Finder::Config, []);
                self.report();
            }
            Err(problems) => {
                self.world.problems.set(Finder::Config, problems);
                self.report();
            }
        }
    }

    /// Why a configuration is not taken over.
    fn rejected(&self, message: impl std::fmt::Display) -> Problem {
        let path = self.world.config.path.as_deref().map(Path::display);
        let file = path.map_or_else(|| "(built-in configuration)".to_owned(), |path| path.to_string());
        let message = format!("{message}; the configuration in use stays");
        Problem::of_file(Severity::Error, &file, message)
    }

    /// The same, at the place of the error.
    fn rejected_at(&self, error: &ConfigError) -> Problem {
        let key = match &*error.key {
            "" => String::new(),
            key => format!("{key}: "),
        };
        let problem = self.rejected(format_args!("{key}{}", error.message));
        match &error.place {
            Place::File(file, position) => Problem {
                source: position.map(|position| SourceLine {
                    file: file.as_str().into(),
                    line: u32::try_from(position.line).unwrap_or(u32::MAX),
                }),
                ..problem
            },
            Place::Variable(name) => Problem::of_variable(problem.severity, name, problem.message),
            Place::Option(option) => self.rejected(format_args!("{option}: {}", error.message)),
        }
    }

    /// # Errors
    /// When an address cannot be bound, or there are too few descriptors. Nothing has changed then.
    fn apply(&mut self, mut new: Config) -> Result<(), OpenError> {
        if self.world.config.tracing.is_none() {
            new.doors.iter_mut().for_each(trace_nothing);
        }
        // All that can fail comes first. New sockets open before old ones drain.
        let division = self.division(&new.doors, 0)?;
        let opened = self.open_new(&new.doors, division.allotments)?;
        let current = &self.world.config;
        if fixed(&new) != fixed(current) {
            tracing::warn!("changes of [source], [admin], [log], [process] and [tracing] need a restart");
        }
        self.surroundings.addresses.declare(&new);
        self.surroundings.addresses.listen(opened.addresses());
        let configured = |name: &ListenerName| new.doors.iter().find(|door| door.name == *name);
        let is_removed = |door: &mut RunningDoor| configured(&door.config.name).is_none();
        for door in self.world.doors.extract_if(.., is_removed) {
            tracing::info!(listener = %door.config.name, "door removed; draining it");
            self.leaving.push(door.leave(&mut self.drains, Leaving::Removed));
        }
        let mut sockets = opened.sockets;
        for door in &mut self.world.doors {
            if let Some(config) = configured(&door.config.name) {
                door.reconfigure(config, sockets.remove(&config.name));
            }
        }
        self.world.doors.extend(opened.doors);
        self.world.config = Arc::new(Config {
            doors: new.doors,
            others: new.others,
            path: new.path,
            declared: new.declared,
            ..(*self.world.config).clone()
        });
        self.publications.configured(self.world.config.path.as_deref());
        if let Some(cluster) = &self.cluster {
            cluster.doors(door_view(&self.world.config.doors));
        }
        self.reporting.gauges.doors(&self.world.config.doors);
        self.divide_descriptors();
        self.show_listeners();
        self.publish();
        Ok(())
    }

    /// Opens what doors need of the system and do not have.
    fn open_new(&self, doors: &[Arc<DoorConfig>], allotments: Vec<Allotment>) -> Result<Opened, BindError> {
        let mut opened = Opened::default();
        for (config, allotment) in doors.iter().zip(allotments) {
            let mut running = self.world.doors.iter();
            match running.find(|door| door.config.name == config.name) {
                None => {
                    let (metrics, access) = (&self.reporting.metrics, &self.reporting.access);
                    let (memory, tracer) = (&self.memory, &self.reporting.tracer);
                    let door = RunningDoor::bind(config, allotment, metrics, access, memory, tracer)?;
                    opened.doors.push(door);
                }
                Some(door) if door.has(&config.binding) => {}
                Some(door) => {
                    let sockets = door.listener.open(config.binding.clone())?;
                    opened.sockets.insert(config.name.clone(), sockets);
                }
            }
        }
        Ok(opened)
    }
}

/// Has a door pass on what clients say of traces: a process that began without a collector records nothing, and a door must not tell
/// backends of spans that nobody ever sees.
fn trace_nothing(door: &mut Arc<DoorConfig>) {
    if door.settings.tracing.is_none() {
        return;
    }
    tracing::warn!(listener = %door.name, "the door traces nothing before a restart: the process began without [tracing]");
    Arc::make_mut(door).settings.tracing = None;
}

/// What holds until the process ends.
fn fixed(config: &Config) -> (&Source, &AdminBind, &Log, &Process, &Option<Collector>) {
    (
        &config.source,
        &config.admin,
        &config.log,
        &config.process,
        &config.tracing,
    )
}

/// What a new configuration needs of the system.
#[derive(Default)]
struct Opened {
    /// New doors, bound and not started.
    doors: Vec<RunningDoor>,
    /// Other sockets for running doors.
    sockets: HashMap<ListenerName, Sockets>,
}

impl Opened {
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let doors = self.doors.iter().map(|door| door.listener.address());
        doors.chain(self.sockets.values().map(Sockets::address))
    }
}
