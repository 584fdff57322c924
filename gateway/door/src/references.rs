//! What an Ingress refers to.
//!
//! This is the only list of an object's references: for the objects and names that must be fetched (`needs`), and for the
//! Ingresses that a changed Service concerns (`admission::members`). Everything that `backend` and `tls` look up in a view
//! by a name from an Ingress must be a reference; a property test in `tests/increments.rs` compiles from these only.

use resource::{AuthoritySource, FilterReference, Ingress, Kind, ObjectRef};
use route::ObjectKey;

/// A Secret or ConfigMap that an Ingress refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference<'i> {
    /// A Secret for TLS towards backends, or for a filter.
    Secret(&'i ObjectKey),
    /// A ConfigMap for TLS towards backends, or for a filter.
    ConfigMap(&'i ObjectKey),
    /// A Secret with a certificate for clients. Only doors that terminate TLS need it.
    Certificate(&'i ObjectKey),
}

/// The Services to which an Ingress forwards. The same one may be there twice.
pub(crate) fn services(ingress: &Ingress) -> impl Iterator<Item = &ObjectKey> {
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
    let backends = paths.map(|path| &path.backend).chain(&ingress.default_backend);
    backends.filter_map(|backend| Some(&backend.as_ref().ok()?.service))
}

/// The Secrets and ConfigMaps that an Ingress refers to, in the order in which they matter. The same one may be there
/// twice.
pub(crate) fn objects(ingress: &Ingress) -> impl Iterator<Item = Reference<'_>> {
    let backend = &ingress.annotations.backend;
    let secrets = backend.client_certificate.iter().chain(&backend.secret);
    let authorities = backend.authorities.as_ref().map(|source| match source {
        AuthoritySource::Secret(key) => Reference::Secret(key),
        AuthoritySource::ConfigMap(key) => Reference::ConfigMap(key),
    });
    let filters = ingress.annotations.filters.iter();
    let of_filters = filters.flat_map(|written| written.spec.references());
    let of_filters = of_filters.filter_map(|named| match named {
        FilterReference::Secret(key) => Some(Reference::Secret(key)),
        FilterReference::ConfigMap(key) => Some(Reference::ConfigMap(key)),
        FilterReference::Service(_) => None,
    });
    let certificates = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref());
    secrets
        .map(Reference::Secret)
        .chain(authorities)
        .chain(of_filters)
        .chain(certificates.map(Reference::Certificate))
}

impl Reference<'_> {
    /// The object that is meant.
    pub(crate) fn object(self) -> ObjectRef {
        match self {
            Self::Secret(key) | Self::Certificate(key) => ObjectRef::namespaced(Kind::Secret, key),
            Self::ConfigMap(key) => ObjectRef::namespaced(Kind::ConfigMap, key),
        }
    }

    /// Whether it is meant by this.
    pub(crate) fn is(self, object: &ObjectRef) -> bool {
        match self {
            Self::Secret(key) | Self::Certificate(key) => is(object, Kind::Secret, key),
            Self::ConfigMap(key) => is(object, Kind::ConfigMap, key),
        }
    }

    pub(crate) fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificate(_))
    }
}

/// Whether an object is the one of this kind and name.
pub(crate) fn is(object: &ObjectRef, kind: Kind, key: &ObjectKey) -> bool {
    object.kind == kind && object.namespace.as_deref() == Some(key.namespace()) && *object.name == *key.name()
}
