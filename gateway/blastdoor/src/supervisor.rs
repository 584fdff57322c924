//! The life of the process: doors opened and bound, views published, configuration reloaded, everything drained.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use control::SourceEvent;
use control::cluster::Briefing;
use control::names::{Names, Resolver, wanted};
use door::{BackendPolicy, ExternalNames, PlatformRoots, Publisher};
use proxy::{AccessLog, BindError, Drain, Listener, ListenerStatus, Metrics, Settings};
use resource::{ClusterView, Problem, Severity};
use route::ListenerName;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admin::Board;
use crate::cluster::{ClusterLink, outlook};
use crate::config::{self, AdminBind, Config, DoorConfig, Options};
use crate::gauges::{ExpiryOf, Gauges};
use crate::roots::platform_roots;

/// How often watched files (configuration, trust lists) are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How often objects are looked at although nothing changed: certificates expire.
const REVIEW: Duration = Duration::from_secs(3_600);

/// The doors of the process and what they serve.
pub(crate) struct Supervisor {
    options: Options,
    config: Config,
    publishers: Vec<Publisher<Settings>>,
    listeners: HashMap<ListenerName, Listener>,
    /// Every port that a door has had: one that drains still answers, and must be no backend of another.
    own_ports: BTreeSet<u16>,
    /// What the source told last.
    view: Option<ClusterView>,
    source_problems: Vec<Problem>,
    /// What the doors found wrong with it.
    compiled_problems: Vec<Problem>,
    /// The source is out of reach.
    source_lost: Option<Problem>,
    /// The configuration file cannot be used as it is now.
    config_problems: Vec<Problem>,
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
    briefing: Option<Briefing>,
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
            own_ports: BTreeSet::new(),
            view: None,
            source_problems: Vec::new(),
            compiled_problems: Vec::new(),
            source_lost: None,
            config_problems: Vec::new(),
            told: BTreeSet::new(),
            board,
            gauges,
            metrics,
            access,
            leaving: JoinSet::new(),
            departing: Vec::new(),
            platform_roots: platform_roots(),
            briefing: cluster.map(|cluster| cluster.briefing),
            ledger: door::Ledger::default(),
            names,
        };
        for door in supervisor.config.doors.clone() {
            supervisor.open_door(door)?;
        }
        supervisor.show_listeners();
        Ok(supervisor)
    }

    fn open_door(&mut self, config: DoorConfig) -> Result<(), BindError> {
        let name = config.name.clone();
        let (publisher, door) = door::open(name.clone(), config.policy, config.settings);
        let listener = Listener::bind(door, config.binding, &self.metrics, self.access.clone())?;
        tracing::info!(listener = %name, address = %listener.address(), selector = %publisher.policy().selector, "door bound");
        self.publishers.push(publisher);
        self.listeners.insert(name, listener);
        Ok(())
    }

    /// Serves until a signal ends it.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<SourceEvent>) -> std::io::Result<Ended> {
        let mut signals = Signals::new()?;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut review = tokio::time::interval(REVIEW);
        review.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut fingerprint = self.fingerprint();
        let mut draining = false;
        let mut cut = 0;
        loop {
            tokio::select! {
                Some(event) = events.recv() => self.source_event(event),
                _ = look.tick(), if !draining => {
                    let now = self.fingerprint();
                    if now != fingerprint {
                        fingerprint = now;
                        self.reload();
                    }
                }
                _ = review.tick(), if !draining => {
                    // As if nothing were known: what time has changed, no object tells.
                    self.ledger = door::Ledger::default();
                    self.publish();
                }
                () = changed(self.names.as_mut()) => self.publish(),
                () = signals.next() => {
                    if draining {
                        tracing::warn!("second signal: ending at once");
                        return Ok(Ended::Cut);
                    }
                    draining = true;
                    self.drain();
                }
                Some(left) = self.leaving.join_next() => {
                    let left = left.unwrap_or(Left { cut: 1, door: None });
                    cut += left.cut;
                    self.depart(left.door);
                    self.show_listeners();
                    if draining && self.leaving.is_empty() {
                        self.board.close();
                        tracing::info!(cut, "drained");
                        return Ok(if cut == 0 { Ended::Clean } else { Ended::Cut });
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
        if let Some(briefing) = self.briefing.clone() {
            self.leaving.spawn(async move {
                briefing.retire().await;
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
        self.own_ports
            .extend(self.listeners.values().map(|listener| listener.address().port()));
        let backends = self.backend_policy();
        let Some(view) = &mut self.view else { return };
        if let Some(names) = &mut self.names {
            let serving = self.publishers.iter().chain(&self.departing);
            let policies: Vec<_> = serving.map(Publisher::policy).collect();
            names.follow(wanted(&policies, view));
            view.resolve(names.known());
        }
        let configured = self.publishers.len();
        self.publishers.append(&mut self.departing);
        self.compiled_problems = door::publish(&mut self.publishers, view, &backends, &mut self.ledger);
        self.departing = self.publishers.split_off(configured);
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

    fn backend_policy(&self) -> BackendPolicy {
        BackendPolicy {
            allow_loopback: self.config.source.allow_loopback_backends,
            external_names: match self.names {
                Some(_) => ExternalNames::Resolved,
                None => ExternalNames::Refused,
            },
            own_addresses: own_addresses(),
            own_ports: self
                .own_ports
                .iter()
                .copied()
                .chain(admin_port(&self.config))
                .collect(),
            platform_roots: self.platform_roots.clone(),
        }
    }

    /// Counts all problems, and logs those that are new.
    fn tell(&mut self) {
        let problems: BTreeSet<Problem> = self
            .source_problems
            .iter()
            .chain(&self.config_problems)
            .chain(&self.source_lost)
            .chain(&self.compiled_problems)
            .cloned()
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
        if let Some(briefing) = &self.briefing {
            briefing.problems(problems.iter().cloned().collect());
        }
        self.told = problems;
    }

    /// The content of every file that may change while we run.
    fn fingerprint(&self) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let doors = self.config.doors.iter();
        let beside = doors.flat_map(|door| door.trusted_proxies_file.iter().chain(&door.tls_files));
        self.config
            .path
            .iter()
            .chain(beside)
            .cloned()
            .map(|path| (path.clone(), std::fs::read(path).ok()))
            .collect()
    }

    /// Takes over a changed configuration as a whole, or keeps the old one as a whole.
    fn reload(&mut self) {
        // A file that was found without being named must not give way to the built-in doors when it is lost.
        let options = Options {
            config: self.config.path.clone().or_else(|| self.options.config.clone()),
            ..self.options.clone()
        };
        match config::load(&options) {
            Ok(loaded) => {
                self.config_problems.clear();
                self.apply(loaded.config);
                tracing::info!("configuration reloaded");
            }
            Err(errors) => {
                let file = self
                    .config
                    .path
                    .as_ref()
                    .map(|path| path.display().to_string())
                    .unwrap_or_default();
                let stays = |error: &config::ConfigError| {
                    format!("{}: {}; the configuration in use stays", error.key, error.message)
                };
                self.config_problems = errors
                    .0
                    .iter()
                    .map(|error| Problem::of_file(Severity::Error, &file, stays(error)))
                    .collect();
            }
        }
        self.publish();
    }

    fn apply(&mut self, new: Config) {
        if (&new.source, &new.admin, &new.log) != (&self.config.source, &self.config.admin, &self.config.log)
        {
            tracing::warn!("changes of [source], [admin] and [log] need a restart");
        }
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
        let mut kept = Vec::new();
        for door in new.doors {
            match self.take_over(door.clone()) {
                Ok(()) => kept.push(door),
                Err(error) => {
                    let file = new
                        .path
                        .as_ref()
                        .map(|path| path.display().to_string())
                        .unwrap_or_default();
                    self.config_problems
                        .push(Problem::of_file(Severity::Error, &file, error.to_string()));
                    // What runs goes on as it was.
                    kept.extend(
                        self.config
                            .doors
                            .iter()
                            .find(|old| old.name == door.name)
                            .cloned(),
                    );
                }
            }
        }
        self.config = Config {
            doors: kept,
            path: new.path,
            ..self.config.clone()
        };
        if let Some(briefing) = &self.briefing {
            briefing.doors(outlook(&self.config.doors));
        }
        self.show_listeners();
    }

    /// Makes one door what the new configuration says; a new socket opens before the old one drains.
    fn take_over(&mut self, door: DoorConfig) -> Result<(), BindError> {
        let Some(publisher) = self
            .publishers
            .iter_mut()
            .find(|publisher| *publisher.name() == door.name)
        else {
            return self.open_door(door);
        };
        let Some(listener) = self.listeners.get_mut(&door.name) else {
            return Ok(());
        };
        if *listener.binding() != door.binding {
            listener.rebind(door.binding)?;
            tracing::info!(listener = %door.name, address = %listener.address(), "door bound anew");
        }
        publisher.reconfigure(door.policy, door.settings);
        Ok(())
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

/// SIGTERM and SIGINT mean the same.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The admin port, when it is one of TCP.
pub(crate) fn admin_port(config: &Config) -> Option<u16> {
    match &config.admin {
        AdminBind::Tcp(address) => Some(address.port()),
        AdminBind::Unix(_) => None,
    }
}

/// The addresses of this host's interfaces. Without them, backends are compared with loopback alone.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let mut addresses: Vec<IpAddr> = interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        // Refused in any case; on a node's network they come and go with every pod.
        .filter(|address| !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
