//! How the API server is used, as the configuration says.

use route::ObjectKey;

use super::connection::Credentials;

/// How the API server is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Who we are there.
    pub credentials: Credentials,
    /// The namespaces that are watched; empty: all.
    pub namespaces: Vec<Box<str>>,
    /// Which Secrets are read.
    pub secrets: SecretScope,
    /// Services whose EndpointSlices are watched, also outside `namespaces` (`[source] replicas`).
    pub replicas: Vec<ObjectKey>,
    /// How many Secrets and ConfigMaps that Ingresses name are watched one by one.
    pub most_followed: usize,
    /// The name of the installation; `None`: that of the Deployment or DaemonSet to which the pod belongs.
    pub instance: Option<Box<str>>,
}

/// Which Secrets are read (`[source] secrets`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecretScope {
    /// None when nothing needs one, else as [`Named`](Self::Named).
    #[default]
    Auto,
    /// None.
    None,
    /// Each by its name.
    Named,
    /// All in the watched namespaces are read, and those that are needed are kept.
    Cluster,
}
