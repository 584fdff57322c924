//! An API server as a source: everything that doors are compiled from, followed by watches.
//!
//! # Invariants
//! - Nothing is told before every kind has been listed completely, and a list that is read again replaces what was
//!   known in one step: a table never shrinks because of how it is read.
//! - Whatever becomes of the API server, what it said last stays in force.
//! - Objects are converted where they arrive and the rest of them is dropped.
//! - Only the holder of the Lease writes, and it writes nothing that is already so.

mod connection;
mod door_view;
mod read;
mod status;
#[cfg(test)]
mod tests;
mod write;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use resource::Problem;
use route::ObjectKey;
use tokio::sync::{mpsc, watch};

pub use connection::contact::Contact;
pub use connection::credentials::{ClusterError, Credentials};
pub use door_view::{DoorOutlook, Publish, SecretScope};
pub use read::observed::Address;
pub use write::events::EVENT_REASONS;

use crate::{SourceContent, SourceEvent};
use read::follower::Follower;
use read::store::Store;
use write::installation::Installation;
use write::lease::Retirement;

/// How the API server is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Who we are there.
    pub credentials: Credentials,
    /// The namespaces that are watched; empty: all.
    pub namespaces: Vec<Box<str>>,
    /// Which Secrets are read.
    pub secrets: SecretScope,
    /// Services whose EndpointSlices are followed in whatever namespace they are (`[source] replicas`).
    pub replicas: Vec<ObjectKey>,
    /// How many Secrets and ConfigMaps that Ingresses name are followed one by one.
    pub most_followed: usize,
    /// The name of the installation; `None`: that of the Deployment or DaemonSet to which the pod belongs.
    pub instance: Option<Box<str>>,
}

/// An API server as a source of objects.
pub struct ClusterSource {
    connection: Connection,
    options: ClusterOptions,
    handle: ClusterHandle,
}

/// What the source is told by whoever opens doors. Clones reach the same source.
#[derive(Debug, Clone)]
pub struct ClusterHandle {
    doors: watch::Sender<Arc<[DoorOutlook]>>,
    problems: watch::Sender<Arc<[Problem]>>,
    retirement: watch::Sender<Retirement>,
}

/// The client, and who we are.
#[derive(Clone)]
struct Connection {
    client: kube::Client,
    contact: Contact,
    /// For messages.
    server: Rc<str>,
    namespace: Rc<str>,
    identity: Rc<str>,
}

/// How long a command waits for everything to be listed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the end of the process may wait for the Lease to be given up.
const RETIREMENT: Duration = Duration::from_secs(1);

impl ClusterSource {
    /// Finds credentials. The API server is not asked. Needs a runtime.
    ///
    /// # Errors
    /// When there are none, or none that can be used.
    pub fn open(options: ClusterOptions) -> Result<Self, ClusterError> {
        let config = options.credentials.find()?;
        let contact = Contact::new();
        let own = options.credentials.pod_namespace.as_ref();
        let connection = Connection {
            server: config.cluster_url.to_string().trim_end_matches('/').into(),
            namespace: own.unwrap_or(&config.default_namespace).as_str().into(),
            identity: options.credentials.identity.as_str().into(),
            client: connection::contact::connect(config, &contact)?,
            contact,
        };
        Ok(Self {
            connection,
            options,
            handle: ClusterHandle {
                doors: watch::Sender::new(Arc::from([])),
                problems: watch::Sender::new(Arc::from([])),
                retirement: watch::Sender::default(),
            },
        })
    }

    /// When the API server last spoke.
    #[must_use]
    pub fn contact(&self) -> Contact {
        self.connection.contact.clone()
    }

    /// Where the source is told of doors and problems.
    #[must_use]
    pub fn handle(&self) -> ClusterHandle {
        self.handle.clone()
    }

    /// Sends everything as soon as it is known completely, and again whenever it changes, until nobody listens any
    /// more. Writes status and Events while this process holds the Lease. Needs a `LocalSet`.
    pub async fn watch(self, events: mpsc::Sender<SourceEvent>) {
        let connection = self.connection;
        let store = Rc::new(RefCell::new(Store::default()));
        let doors = self.handle.doors.subscribe();
        let installation = Installation::new(self.options.instance.as_deref(), &connection);
        let (follower, changes) = Follower::new(connection.clone(), self.options, Rc::clone(&store), doors);
        let reporter = write::report::run(connection, installation, store, changes, &self.handle);
        tokio::select! {
            () = follower.run(&events) => {}
            () = reporter => {}
            () = events.closed() => {}
        }
    }

    /// Everything, once. Writes nothing. Needs a `LocalSet`.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn load(self) -> Result<SourceContent, ClusterError> {
        let connection = self.connection;
        let server = Rc::clone(&connection.server);
        let doors = self.handle.doors.subscribe();
        let (follower, _changes) = Follower::new(connection, self.options, Rc::default(), doors);
        let (sender, mut events) = mpsc::channel(1);
        let mut obstacle = None;
        let wait = async {
            loop {
                match events.recv().await {
                    Some(SourceEvent::Loaded(load)) => return Some(load),
                    Some(SourceEvent::Unavailable(problem)) => obstacle = Some(problem),
                    None => return None,
                }
            }
        };
        let load = tokio::select! {
            load = tokio::time::timeout(PATIENCE, wait) => load.ok().flatten(),
            () = follower.run(&sender) => None,
        };
        load.ok_or_else(|| {
            ClusterError::NoAnswer(match obstacle {
                Some(problem) => format!("{server}: {}", problem.message),
                None => format!(
                    "{server}: not everything was listed within {} seconds",
                    PATIENCE.as_secs()
                ),
            })
        })
    }
}

impl ClusterHandle {
    /// The doors that there are now.
    pub fn doors(&self, doors: Vec<DoorOutlook>) {
        self.doors.send_if_modified(|known| {
            let differs = **known != *doors;
            if differs {
                *known = doors.into();
            }
            differs
        });
    }

    /// What is wrong with objects now.
    pub fn problems(&self, problems: Vec<Problem>) {
        self.problems.send_replace(problems.into());
    }

    /// This process is about to end: writing is left to others from now on. Returns when they can begin, or after a
    /// second, because an API server that is away must not keep anybody from ending.
    pub async fn retire(&self) {
        let mut retirement = self.retirement.subscribe();
        self.retirement.send_if_modified(|known| {
            let is_first = *known == Retirement::None;
            if is_first {
                *known = Retirement::Asked;
            }
            is_first
        });
        let over = retirement.wait_for(|retirement| *retirement == Retirement::Over);
        let _in_time = tokio::time::timeout(RETIREMENT, over).await;
    }
}
