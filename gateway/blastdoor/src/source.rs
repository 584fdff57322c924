//! The source of objects: files or an API server.

use std::path::PathBuf;

use control::cluster::{ClusterError, ClusterHandle, ClusterOptions, ClusterSource, Contact, Credentials};
use control::{FileSource, FilesError, SourceContent, SourceEvent};
use tokio::sync::mpsc;

use crate::config::{Config, Options, SourceKind};
use crate::door_view::door_view;

/// A source of objects that can be read.
pub(crate) enum Source {
    /// A directory of manifests.
    Files(FileSource),
    /// An API server.
    Cluster(Box<ClusterSource>),
}

/// What passes between the supervisor and an API server besides objects.
pub(crate) struct ClusterLink {
    pub(crate) handle: ClusterHandle,
    pub(crate) contact: Contact,
}

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl Source {
    /// The source that the configuration names. Sends no request to an API server yet. Needs a runtime.
    pub(crate) fn open(config: &Config, options: &Options) -> Result<Self, SourceError> {
        match &config.source.kind {
            SourceKind::Files(directory) => Ok(Self::Files(FileSource::open(directory)?)),
            SourceKind::Kubernetes => {
                let options = ClusterOptions {
                    credentials: credentials(options),
                    namespaces: config.source.namespaces.clone(),
                    secrets: config.source.secrets,
                    replicas: config.source.replicas.services.clone(),
                    most_followed: config.source.most_followed,
                    instance: config.source.instance.clone(),
                };
                let source = ClusterSource::open(options, door_view(&config.doors))?;
                Ok(Self::Cluster(Box::new(source)))
            }
        }
    }

    pub(crate) fn link(&self) -> Option<ClusterLink> {
        match self {
            Self::Files(_) => None,
            Self::Cluster(source) => Some(ClusterLink {
                handle: source.handle(),
                contact: source.contact(),
            }),
        }
    }

    /// How many events may wait for the supervisor. Those of files are rare; of an API server only the newest counts.
    pub(crate) fn queue(&self) -> usize {
        match self {
            Self::Files(_) => 4,
            Self::Cluster(_) => 1,
        }
    }

    /// Sends everything, and again whenever it changes, until nobody listens.
    pub(crate) async fn watch(self, events: mpsc::Sender<SourceEvent>) {
        match self {
            Self::Files(source) => source.watch(events).await,
            Self::Cluster(source) => source.watch(events).await,
        }
    }

    /// Everything, once.
    pub(crate) async fn load(self) -> Result<SourceContent, SourceError> {
        match self {
            Self::Files(mut source) => Ok(source.load()?),
            Self::Cluster(source) => Ok(source.load().await?),
        }
    }
}

pub(crate) fn credentials(options: &Options) -> Credentials {
    let variable = |name: &str| {
        let found = options.environment.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    Credentials {
        file: options.kubeconfig.clone(),
        context: options.context.clone(),
        kubeconfig: variable("KUBECONFIG"),
        home: variable("HOME").map(PathBuf::from),
        in_cluster: variable("KUBERNETES_SERVICE_HOST").is_some(),
        pod_namespace: variable("POD_NAMESPACE"),
        identity: variable("POD_NAME").unwrap_or_else(host_and_process),
    }
}

/// Distinguishes replicas without a pod name.
pub(crate) fn host_and_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), std::process::id())
}
