//! The life of the process: doors opened and bound, views published, configuration reloaded, everything drained.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use control::SourceEvent;
use control::cluster::ClusterHandle;
use control::names::{Names, Resolver};
use door::{BackendPolicy, ExternalNames, PlatformRoots, Publisher};
use proxy::{AccessLog, BindError, Drain, Listener, ListenerStatus, Metrics, Settings, Sockets};
use resource::{ClusterView, Problem, Severity};
use route::ListenerName;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admin::Board;
use crate::config::{self, Config, DoorConfig, Options};
use crate::door_view::door_view;
use crate::gateway_addresses::Own;
use crate::gauges::{ExpiryOf, Gauges};
use crate::platform_roots::platform_roots;
use crate::signals::{Asked, Signals};
use crate::source::ClusterLink;
use crate::watched::WatchedFiles;

/// How often watched files (configuration, trust lists) are looked at. What they say counts when two looks have found
/// the same: half a configuration may be one that restricts less, and half a network a wider one.
const LOOK: Duration = Duration::from_millis(200);

/// How often the addresses of this host are listed although nothing else has changed.
const INTERFACES: Duration = Duration::from_secs(5);

/// How often objects are looked at although nothing changed: certificates expire.
const REVIEW: Duration = Duration::from_secs(3_600);

/// The doors of the process and what they serve.
pub(crate) struct Supervisor {
    options: Options,
    config: Config,
    publishers: Vec<Publisher<Settings>>,
    listeners: HashMap<ListenerName, Listener>,
    /// Where this gateway listens itself.
    own: Own,
    /// What is not known of that.
    own_problems: Vec<Problem>,
    /// What the source told last.
    view: Option<ClusterView>,
    source_problems: Vec<Problem>,
    /// What the doors found wrong with it.
    compiled_problems: Vec<Problem>,
    /// The source is out of reach.
    source_lost: Option<Problem>,
    /// The configuration file cannot be used as it is now.
    config_problems: Vec<Problem>,
    /// Something has changed, or the last reload has failed: there is one at the next look that finds nothing new.
    must_reload: bool,
    /// The configuration file and those that it names.
    files: WatchedFiles,
    told: BTreeSet<Problem>,
    board: Board,
    gauges: Gauges,
    metrics: Metrics,
    access: AccessLog,
    leaving: JoinSet<Left>,
    /// Doors that are no longer configured and still serve: they follow the objects to their end.
    departing: Vec<Publisher<Settings>>,
    platform_roots: PlatformRoots,
    /// Where an API server as the source is told of doors and problems.
    cluster: Option<ClusterHandle>,
    /// What the doors were compiled from last.
    ledger: door::Ledger,
    /// What DNS says of Services of type ExternalName; `None` where these are refused.
    names: Option<Names>,
}

/// Where the process shows what it does.
pub(crate) struct Reporting {
    pub(crate) board: Board,
    pub(crate) gauges: Gauges,
    pub(crate) metrics: Metrics,
    pub(crate) access: AccessLog,
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All work finished in time.
    Clean,
    /// Some requests were cut, or a second signal came.
    Cut,
}

impl Supervisor {
    /// Opens and binds every door of the configuration. They answer 503 until the first view is published.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub(crate) fn open(
        options: Options,
        config: Config,
        reporting: Reporting,
        cluster: Option<ClusterLink>,
    ) -> Result<Self, BindError> {
        let Reporting {
            board,
            gauges,
            metrics,
            access,
        } = reporting;
        if let Some(cluster) = &cluster {
            gauges.contact(cluster.contact.clone());
        }
        let servers = config.source.external_names.as_ref();
        let names = servers.map(|servers| Names::start(Resolver::new(servers)));
        let mut supervisor = Self {
            options,
            config,
            publishers: Vec::new(),
            listeners: HashMap::new(),
            own: Own::default(),
            own_problems: Vec::new(),
            view: None,
            source_problems: Vec::new(),
            compiled_problems: Vec::new(),
            source_lost: None,
            config_problems: Vec::new(),
            must_reload: true,
            files: WatchedFiles::default(),
            told: BTreeSet::new(),
            board,
            gauges,
            metrics,
            access,
            leaving: JoinSet::new(),
            departing: Vec::new(),
            platform_roots: platform_roots(),
            cluster: cluster.map(|cluster| cluster.handle),
            ledger: door::Ledger::default(),
            names,
        };
        supervisor.own.declare(&supervisor.config);
        for door in supervisor.config.doors.clone() {
            let (publisher, listener) = supervisor.open_door(&door)?;
            supervisor.publishers.push(publisher);
            supervisor.start(listener);
        }
        supervisor.show_listeners();
        Ok(supervisor)
    }

    fn open_door(&self, config: &DoorConfig) -> Result<(Publisher<Settings>, Listener), BindError> {
        let (publisher, door) = door::open(
            config.name.clone(),
            config.policy.clone(),
            config.settings.clone(),
        );
        let listener = Listener::bind(door, config.binding.clone(), &self.metrics, self.access.clone())?;
        Ok((publisher, listener))
    }

    fn start(&mut self, mut listener: Listener) {
        listener.start();
        let name = listener.name().clone();
        let publisher = self.publishers.iter().find(|publisher| *publisher.name() == name);
        let selector = publisher.map(|publisher| publisher.policy().selector.to_string());
        tracing::info!(listener = %name, address = %listener.address(), selector, "door bound");
        self.listeners.insert(name, listener);
    }

    /// Serves until a signal ends it.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<SourceEvent>,
        mut signals: Signals,
    ) -> Ended {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut review = tokio::time::interval(REVIEW);
        review.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut interfaces = tokio::time::interval(INTERFACES);
        interfaces.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut draining = false;
        let mut cut = 0;
        loop {
            tokio::select! {
                Some(event) = events.recv() => self.source_event(event),
                _ = look.tick(), if !draining => self.look(),
                _ = interfaces.tick() => {
                    if self.own.look() {
                        self.publish();
                    }
                }
                _ = review.tick(), if !draining => {
                    // As if nothing were known: what time has changed, no object tells.
                    self.ledger = door::Ledger::default();
                    self.publish();
                }
                () = changed(self.names.as_mut()) => self.publish(),
                asked = signals.next() => match asked {
                    Asked::Reload if draining => {}
                    Asked::Reload => {
                        tracing::info!("SIGHUP: reading the configuration anew");
                        self.must_reload = true;
                        self.look();
                    }
                    Asked::End if draining => {
                        tracing::warn!("second signal: ending at once");
                        return Ended::Cut;
                    }
                    Asked::End => {
                        draining = true;
                        self.drain();
                    }
                },
                Some(left) = self.leaving.join_next() => {
                    let left = left.unwrap_or(Left { cut: 1, door: None });
                    cut += left.cut;
                    self.depart(left.door);
                    self.show_listeners();
                    if draining && self.leaving.is_empty() {
                        self.board.close();
                        tracing::info!(cut, "drained");
                        return if cut == 0 { Ended::Clean } else { Ended::Cut };
                    }
                }
            }
        }
    }

    /// Turns every door red and starts its choreography.
    fn drain(&mut self) {
        tracing::info!("draining: load balancers are told, clients are asked to close");
        for (name, listener) in self.listeners.drain() {
            listener.start_draining();
            let drain = self
                .config
                .doors
                .iter()
                .find(|door| door.name == name)
                .map(|door| door.settings.drain);
            let Some(drain) = drain else { continue };
            self.leaving.spawn(leave(None, listener, drain));
        }
        if let Some(cluster) = self.cluster.clone() {
            self.leaving.spawn(async move {
                cluster.retire().await;
                Left::default()
            });
        }
        if self.leaving.is_empty() {
            // Without a door there is nothing to wait for; the loop ends at the next join.
            self.leaving.spawn(std::future::ready(Left::default()));
        }
    }

    fn source_event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Loaded(load) => {
                self.source_lost = None;
                self.source_problems = load.problems;
                self.view = Some(load.view);
                self.gauges.source(true);
                self.publish();
            }
            SourceEvent::Unavailable(problem) => {
                self.gauges.source(false);
                self.source_lost = Some(problem);
                self.tell();
            }
        }
    }

    /// Compiles the current view for every door and makes it live.
    fn publish(&mut self) {
        self.own.listen(self.listeners.values().map(Listener::address));
        self.own.look();
        let Some(view) = &mut self.view else {
            self.tell();
            return;
        };
        let (addresses, unknown) = self.own.policy(&self.config.source, view);
        self.own_problems = unknown;
        let backends = BackendPolicy {
            addresses,
            external_names: match self.names {
                Some(_) => ExternalNames::Resolved,
                None => ExternalNames::Refused,
            },
            platform_roots: self.platform_roots.clone(),
        };
        if let Some(names) = &mut self.names {
            let serving = self.publishers.iter().chain(&self.departing);
            let needed = door::needs(serving.map(Publisher::policy), view).names();
            names.follow(needed.iter().map(|needed| (needed.service, needed.name)));
            view.replace_resolutions(names.known());
        }
        let configured = self.publishers.len();
        self.publishers.append(&mut self.departing);
        self.compiled_problems = door::publish(&mut self.publishers, view, &backends, &mut self.ledger);
        self.departing = self.publishers.split_off(configured);
        self.listeners.values().for_each(Listener::published);
        door::leave_to_others(&mut self.compiled_problems, &self.config.others, view);
        self.gauges
            .certificates(self.publishers.iter().flat_map(expiries));
        self.tell();
        self.board.published();
    }

    /// Forgets a door that has served to its end.
    fn depart(&mut self, door: Option<ListenerName>) {
        let gone = door.and_then(|door| {
            self.departing
                .iter()
                .position(|publisher| *publisher.name() == door)
        });
        if let Some(gone) = gone {
            self.departing.remove(gone);
        }
    }

    /// Counts all problems, and logs those that are new.
    fn tell(&mut self) {
        let files = self.files.problems();
        let problems: BTreeSet<Problem> = self
            .source_problems
            .iter()
            .chain(&self.config_problems)
            .chain(&self.own_problems)
            .chain(&self.source_lost)
            .chain(&self.compiled_problems)
            .cloned()
            .chain(files)
            .collect();
        self.gauges
            .problems(problems.iter().map(|problem| problem.severity));
        for problem in problems.difference(&self.told) {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
                Severity::Note => tracing::info!("{problem}"),
            }
        }
        if let Some(cluster) = &self.cluster {
            cluster.problems(problems.iter().cloned().collect());
        }
        self.told = problems;
    }

    /// Looks whether a file has changed that was read at start. A reload that has failed is tried again: what was in its
    /// way (a file that could not be read, a port that was taken) may be gone although no content is different.
    fn look(&mut self) {
        if self.have_changed() {
            self.must_reload = true;
        } else if self.must_reload {
            self.reload();
        }
    }

    /// Whether a file holds something else than at the last look. Tells of those that cannot be read.
    fn have_changed(&mut self) -> bool {
        let doors = self.config.doors.iter();
        let beside = doors.flat_map(|door| door.trusted_proxies_file.iter().chain(&door.tls_files));
        let paths = self.config.path.iter().chain(beside).map(PathBuf::as_path);
        let look = self.files.look(paths);
        if look.is_news {
            self.tell();
        }
        look.is_changed
    }

    /// Takes over a changed configuration as a whole, or keeps the old one as a whole and publishes nothing.
    fn reload(&mut self) {
        // A file that was found without being named must not give way to the built-in doors when it is lost.
        let options = Options {
            config: self.config.path.clone().or_else(|| self.options.config.clone()),
            ..self.options.clone()
        };
        let loaded = config::load(&options);
        if self.have_changed() {
            // Under the reader's hands.
            return;
        }
        let outcome = match loaded {
            Ok(loaded) if loaded.config == self.config => Ok(false),
            Ok(loaded) => self.apply(loaded.config).map(|()| true),
            Err(errors) => Err(self.stays(errors.0.iter().map(|error| {
                let key = (!error.key.is_empty()).then(|| format!("{}: ", error.key));
                format!("{}{}", key.unwrap_or_default(), error.message)
            }))),
        };
        self.must_reload = outcome.is_err();
        match outcome {
            Ok(has_changed) => {
                self.config_problems.clear();
                self.tell();
                if has_changed {
                    tracing::info!("configuration reloaded");
                }
            }
            Err(problems) if problems == self.config_problems => {}
            Err(problems) => {
                self.config_problems = problems;
                self.tell();
            }
        }
    }

    /// Problems of a configuration that is not taken over.
    fn stays(&self, messages: impl Iterator<Item = String>) -> Vec<Problem> {
        let path = self.config.path.as_deref().map(Path::display);
        let file = path.map_or_else(|| "(built-in configuration)".to_owned(), |path| path.to_string());
        let problem = |message| {
            let message = format!("{message}; the configuration in use stays");
            Problem::of_file(Severity::Error, &file, message)
        };
        messages.map(problem).collect()
    }

    fn apply(&mut self, new: Config) -> Result<(), Vec<Problem>> {
        // All that can fail comes first. New sockets open before old ones drain.
        let opened = self.opened(&new.doors);
        let opened = opened.map_err(|error| self.stays(std::iter::once(error.to_string())))?;
        if (&new.source, &new.admin, &new.log) != (&self.config.source, &self.config.admin, &self.config.log)
        {
            tracing::warn!("changes of [source], [admin] and [log] need a restart");
        }
        self.own.declare(&new);
        self.own.listen(opened.addresses());
        let gone = |name: &ListenerName| !new.doors.iter().any(|door| door.name == *name);
        for old in self.config.doors.iter().filter(|door| gone(&door.name)) {
            let departing = self
                .publishers
                .extract_if(.., |publisher| *publisher.name() == old.name);
            self.departing.extend(departing);
            if let Some(listener) = self.listeners.remove(&old.name) {
                tracing::info!(listener = %old.name, "door removed; draining it");
                self.leaving
                    .spawn(leave(Some(old.name.clone()), listener, old.settings.drain));
            }
        }
        for publisher in &mut self.publishers {
            let door = new.doors.iter().find(|door| door.name == *publisher.name());
            if let Some(door) = door {
                publisher.reconfigure(door.policy.clone(), door.settings.clone());
            }
        }
        let (publishers, listeners): (Vec<_>, Vec<_>) = opened.doors.into_iter().unzip();
        self.publishers.extend(publishers);
        self.config = Config {
            doors: new.doors,
            others: new.others,
            path: new.path,
            declared: new.declared,
            ..self.config.clone()
        };
        if let Some(cluster) = &self.cluster {
            cluster.doors(door_view(&self.config.doors));
        }
        // Nobody is answered at a new port before it is nobody's backend.
        self.publish();
        for listener in listeners {
            self.start(listener);
        }
        for (door, sockets) in opened.sockets {
            if let Some(listener) = self.listeners.get_mut(&door) {
                listener.move_to(sockets);
                tracing::info!(listener = %door, address = %listener.address(), "door bound anew");
            }
        }
        self.show_listeners();
        Ok(())
    }

    /// What doors need of the system that they do not have.
    fn opened(&self, doors: &[Arc<DoorConfig>]) -> Result<Opened, BindError> {
        let mut opened = Opened::default();
        for door in doors {
            match self.listeners.get(&door.name) {
                None => opened.doors.push(self.open_door(door)?),
                Some(listener) if *listener.binding() != door.binding => {
                    let sockets = listener.open(door.binding.clone())?;
                    opened.sockets.push((door.name.clone(), sockets));
                }
                Some(_) => {}
            }
        }
        Ok(opened)
    }

    fn show_listeners(&mut self) {
        if self.listeners.is_empty() {
            return;
        }
        let mut statuses: Vec<ListenerStatus> = self.listeners.values().map(Listener::status).collect();
        statuses.sort_by(|left, right| left.name().cmp(right.name()));
        self.board.show(statuses);
    }
}

/// What a new configuration needs of the system.
#[derive(Default)]
struct Opened {
    /// Doors that are new.
    doors: Vec<(Publisher<Settings>, Listener)>,
    /// Other sockets for doors that there are.
    sockets: Vec<(ListenerName, Sockets)>,
}

impl Opened {
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let doors = self.doors.iter().map(|(_, listener)| listener.address());
        doors.chain(self.sockets.iter().map(|(_, sockets)| sockets.address()))
    }
}

/// What came of a drain.
#[derive(Default)]
struct Left {
    /// Requests that were cut.
    cut: usize,
    /// The door, when it is one that is no longer configured.
    door: Option<ListenerName>,
}

async fn leave(door: Option<ListenerName>, listener: Listener, drain: Drain) -> Left {
    Left {
        cut: listener.shut_down(drain).await,
        door,
    }
}

/// Waits for news of names, for ever where none are looked up.
async fn changed(names: Option<&mut Names>) {
    match names {
        Some(names) => names.changed().await,
        None => std::future::pending().await,
    }
}

/// When the certificates of a door end.
fn expiries(publisher: &Publisher<Settings>) -> impl Iterator<Item = ExpiryOf> {
    let certificates = publisher.tls().map(|tls| tls.certificates()).unwrap_or_default();
    certificates.into_iter().map(|certificate| ExpiryOf {
        listener: publisher.name().clone(),
        secret: certificate.secret,
        expires: certificate.expires,
    })
}
