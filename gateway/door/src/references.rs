//! What an Ingress refers to.
//!
//! Whoever must know an object's references asks here: for the objects and names that have to be fetched (`needs`), and
//! for the Ingresses that a changed Service concerns (`admission::members`). Whatever `backend` and `tls` look up in a
//! view by a name that an Ingress gives has to be a reference; a property test in `tests/increments.rs` compiles from
//! these alone.

use resource::{AuthoritySource, Ingress, Kind, ObjectRef};
use route::ObjectKey;

/// Something that an Ingress refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference<'i> {
    /// A Service that a path or the default backend forwards to.
    Service(&'i ObjectKey),
    /// A Secret for TLS towards backends.
    Secret(&'i ObjectKey),
    /// A ConfigMap for TLS towards backends.
    ConfigMap(&'i ObjectKey),
    /// A Secret with a certificate that clients are shown. Only doors that terminate TLS need it.
    Certificate(&'i ObjectKey),
}

/// Everything that the Ingress refers to, in the order in which it matters. The same object may be there twice.
pub(crate) fn references(ingress: &Ingress) -> impl Iterator<Item = Reference<'_>> {
    services(ingress)
        .map(Reference::Service)
        .chain(of_backend_tls(ingress))
        .chain(certificates(ingress).map(Reference::Certificate))
}

/// The Services to which the Ingress forwards.
pub(crate) fn services(ingress: &Ingress) -> impl Iterator<Item = &ObjectKey> {
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
    let backends = paths.map(|path| &path.backend).chain(&ingress.default_backend);
    backends.filter_map(|backend| Some(&backend.as_ref().ok()?.service))
}

fn of_backend_tls(ingress: &Ingress) -> impl Iterator<Item = Reference<'_>> {
    let backend = &ingress.annotations.backend;
    let secrets = backend.client_certificate.iter().chain(&backend.secret);
    let authorities = backend.authorities.as_ref().map(|source| match source {
        AuthoritySource::Secret(key) => Reference::Secret(key),
        AuthoritySource::ConfigMap(key) => Reference::ConfigMap(key),
    });
    secrets.map(Reference::Secret).chain(authorities)
}

fn certificates(ingress: &Ingress) -> impl Iterator<Item = &ObjectKey> {
    ingress.tls.iter().filter_map(|tls| tls.secret.as_ref())
}

impl Reference<'_> {
    /// The Secret or ConfigMap that is meant; `None` for Services, all of which a view has.
    pub(crate) fn object(self) -> Option<ObjectRef> {
        match self {
            Self::Service(_) => None,
            Self::Secret(key) | Self::Certificate(key) => Some(ObjectRef::namespaced(Kind::Secret, key)),
            Self::ConfigMap(key) => Some(ObjectRef::namespaced(Kind::ConfigMap, key)),
        }
    }
}
