//! What is watched.

use std::collections::BTreeSet;

use resource::{Kind, ObjectRef};
use route::ObjectKey;

use crate::cluster::options::{ClusterOptions, SecretScope};

/// Which objects one reflector watches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WatchTarget {
    pub(crate) kind: Kind,
    pub(crate) scope: Scope,
}

/// Which objects of a kind are watched together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// All of them.
    Cluster,
    /// Those of a namespace.
    Namespace(Box<str>),
    /// Those of a namespace that is watched only to find other gateways.
    Replicas(Box<str>),
    /// This one.
    Object(ObjectKey),
}

impl WatchTarget {
    /// A single Secret or ConfigMap.
    pub(crate) fn single(object: &ObjectRef) -> Self {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        Self {
            kind: object.kind,
            scope: Scope::Object(ObjectKey::new(namespace, &*object.name)),
        }
    }

    /// Whether nothing can be served before it is listed.
    pub(crate) fn is_essential(&self) -> bool {
        matches!(self.kind, Kind::Ingress | Kind::Service | Kind::EndpointSlice)
            && !matches!(self.scope, Scope::Replicas(_))
    }

    /// Whether the API server may not know the kind: it is defined by a custom resource.
    pub(crate) fn may_be_absent(&self) -> bool {
        self.kind == Kind::Middleware
    }

    pub(crate) fn covers(&self, object: &ObjectRef) -> bool {
        self.kind == object.kind
            && match &self.scope {
                Scope::Cluster => true,
                Scope::Namespace(namespace) | Scope::Replicas(namespace) => {
                    object.namespace.as_ref() == Some(namespace)
                }
                Scope::Object(key) => {
                    object.namespace.as_deref() == Some(key.namespace()) && &*object.name == key.name()
                }
            }
    }
}

/// What is watched whatever the objects say.
pub(crate) fn permanent_targets(options: &ClusterOptions) -> Vec<WatchTarget> {
    let scopes: Vec<Scope> = if options.namespaces.is_empty() {
        vec![Scope::Cluster]
    } else {
        let namespaces = options.namespaces.iter().cloned();
        namespaces.map(Scope::Namespace).collect()
    };
    let mut targets = Vec::new();
    for kind in [
        Kind::Ingress,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::Middleware,
    ] {
        targets.extend(scopes.iter().cloned().map(|scope| WatchTarget { kind, scope }));
    }
    // Classes are cluster-scoped: without rights there, names alone decide.
    if options.namespaces.is_empty() {
        targets.push(WatchTarget {
            kind: Kind::IngressClass,
            scope: Scope::Cluster,
        });
    }
    if options.secrets == SecretScope::Cluster {
        let kind = Kind::Secret;
        targets.extend(scopes.iter().cloned().map(|scope| WatchTarget { kind, scope }));
    }
    targets.extend(targets_of_replicas(options));
    targets
}

/// Where other gateways are to be found beyond the namespaces that are watched.
fn targets_of_replicas(options: &ClusterOptions) -> BTreeSet<WatchTarget> {
    let watched = &options.namespaces;
    let services = options.replicas.iter();
    let beyond = services
        .map(ObjectKey::namespace)
        .filter(|namespace| !watched.is_empty() && !watched.iter().any(|one| **one == **namespace));
    let target = |namespace: &str| WatchTarget {
        kind: Kind::EndpointSlice,
        scope: Scope::Replicas(namespace.into()),
    };
    beyond.map(target).collect()
}
