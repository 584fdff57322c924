//! What an Ingress refers to, itself and through the Middlewares that it names.
//!
//! This is the only list of references: for the objects and names that must be fetched (`needs`), and for the Ingresses that
//! a changed object concerns (`admission::members`, `publish::readers`). Everything that `backend`, `filters` and `tls` look
//! up in a view by a name from an Ingress or a Middleware must be a reference; a property test in `tests/increments.rs`
//! compiles from these only.

use std::collections::BTreeSet;

use resource::{
    AuthoritySource, Callee, ClusterView, FilterReference, FilterSpec, Ingress, Kind, Middleware,
    MiddlewareKind, ObjectRef,
};
use route::ObjectKey;

/// Middlewares that are followed from one Ingress. More close it.
pub(crate) const MOST_MIDDLEWARES: usize = 64;

/// Something that an Ingress or a Middleware refers to, other than the Services to which an Ingress forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference<'i> {
    /// A Secret for TLS towards backends, or for a filter.
    Secret(&'i ObjectKey),
    /// A ConfigMap for TLS towards backends, or for a filter.
    ConfigMap(&'i ObjectKey),
    /// A Secret with a certificate for clients. Only doors that terminate TLS need it.
    Certificate(&'i ObjectKey),
    /// A Service that a filter calls.
    Service(&'i ObjectKey),
    /// A Middleware, which may refer to more.
    Middleware(&'i ObjectKey),
}

/// The Services to which an Ingress forwards, or which its filters name. The same one may be there twice.
pub(crate) fn services(ingress: &Ingress) -> impl Iterator<Item = &ObjectKey> {
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
    let backends = paths.map(|path| &path.backend).chain(&ingress.default_backend);
    let backends = backends.filter_map(|backend| Some(&backend.as_ref().ok()?.service));
    let filters = ingress.annotations.filters.iter();
    let named = filters.flat_map(|written| written.spec.references());
    let named = named.filter_map(|named| match named {
        FilterReference::Service(key) => Some(key),
        FilterReference::Secret(_) | FilterReference::ConfigMap(_) => None,
    });
    backends.chain(named)
}

/// What an Ingress refers to itself, in the order in which it matters. The same may be there twice.
pub(crate) fn objects(ingress: &Ingress) -> impl Iterator<Item = Reference<'_>> {
    let backend = &ingress.annotations.backend;
    let secrets = backend.client_certificate.iter().chain(&backend.secret);
    let authorities = backend.authorities.as_ref().map(|source| match source {
        AuthoritySource::Secret(key) => Reference::Secret(key),
        AuthoritySource::ConfigMap(key) => Reference::ConfigMap(key),
    });
    let filters = ingress.annotations.filters.iter();
    let of_filters = filters.flat_map(|written| of_filter(&written.spec));
    let middlewares = ingress.annotations.middlewares.iter();
    let middlewares = middlewares.map(|named| Reference::Middleware(&named.key));
    let certificates = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref());
    secrets
        .map(Reference::Secret)
        .chain(authorities)
        .chain(of_filters)
        .chain(middlewares)
        .chain(certificates.map(Reference::Certificate))
}

/// What a Middleware refers to itself.
pub(crate) fn of_middleware(middleware: &Middleware) -> Vec<Reference<'_>> {
    match &middleware.kind {
        Ok(MiddlewareKind::Filters(filters)) => filters.iter().flat_map(of_filter).collect(),
        Ok(MiddlewareKind::Chain(keys)) => keys.iter().map(Reference::Middleware).collect(),
        Err(_) => Vec::new(),
    }
}

/// What an Ingress refers to, itself and through Middlewares.
pub(crate) fn all_objects<'v>(ingress: &'v Ingress, view: &'v ClusterView) -> Vec<Reference<'v>> {
    let mut all: Vec<Reference<'v>> = objects(ingress).collect();
    let mut followed: Vec<&ObjectKey> = Vec::new();
    // A chain may name the same one many times.
    let mut seen: BTreeSet<&ObjectKey> = BTreeSet::new();
    let mut next = 0;
    while let Some(reference) = all.get(next).copied() {
        next += 1;
        let Reference::Middleware(key) = reference else {
            continue;
        };
        if followed.contains(&key) || followed.len() >= MOST_MIDDLEWARES {
            continue;
        }
        followed.push(key);
        if let Some(middleware) = view.middleware(key) {
            let named = of_middleware(middleware).into_iter();
            let is_new =
                |named: &Reference<'v>| !matches!(named, Reference::Middleware(key) if !seen.insert(key));
            all.extend(named.filter(is_new));
        }
    }
    all
}

/// What the filters of an Ingress call, its own and those of Middlewares.
pub(crate) fn callees<'v>(ingress: &'v Ingress, view: &'v ClusterView) -> Vec<&'v Callee> {
    let own = ingress.annotations.filters.iter().map(|written| &written.spec);
    let mut callees: Vec<&Callee> = own.flat_map(FilterSpec::callees).collect();
    // Most Ingresses name no Middleware.
    if ingress.annotations.middlewares.is_empty() {
        return callees;
    }
    for reference in all_objects(ingress, view) {
        if let Reference::Middleware(key) = reference
            && let Some(middleware) = view.middleware(key)
            && let Ok(MiddlewareKind::Filters(filters)) = &middleware.kind
        {
            callees.extend(filters.iter().flat_map(FilterSpec::callees));
        }
    }
    callees
}

fn of_filter(spec: &FilterSpec) -> impl Iterator<Item = Reference<'_>> {
    let references = spec.references().into_iter();
    references.map(|named| match named {
        FilterReference::Secret(key) => Reference::Secret(key),
        FilterReference::ConfigMap(key) => Reference::ConfigMap(key),
        FilterReference::Service(key) => Reference::Service(key),
    })
}

impl Reference<'_> {
    /// The object that is meant.
    pub(crate) fn object(self) -> ObjectRef {
        match self {
            Self::Secret(key) | Self::Certificate(key) => ObjectRef::namespaced(Kind::Secret, key),
            Self::ConfigMap(key) => ObjectRef::namespaced(Kind::ConfigMap, key),
            Self::Service(key) => ObjectRef::namespaced(Kind::Service, key),
            Self::Middleware(key) => ObjectRef::namespaced(Kind::Middleware, key),
        }
    }

    /// Whether it is meant by this.
    pub(crate) fn is(self, object: &ObjectRef) -> bool {
        match self {
            Self::Secret(key) | Self::Certificate(key) => is(object, Kind::Secret, key),
            Self::ConfigMap(key) => is(object, Kind::ConfigMap, key),
            Self::Service(key) => is(object, Kind::Service, key),
            Self::Middleware(key) => is(object, Kind::Middleware, key),
        }
    }

    pub(crate) fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificate(_))
    }

    /// Whether sources must fetch it by its name.
    pub(crate) fn is_fetched(&self) -> bool {
        match self {
            Self::Secret(_) | Self::ConfigMap(_) | Self::Certificate(_) => true,
            Self::Service(_) | Self::Middleware(_) => false,
        }
    }
}

/// Whether an object is the one of this kind and name.
pub(crate) fn is(object: &ObjectRef, kind: Kind, key: &ObjectKey) -> bool {
    object.kind == kind && object.namespace.as_deref() == Some(key.namespace()) && *object.name == *key.name()
}
