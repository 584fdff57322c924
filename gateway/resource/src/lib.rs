//! Kubernetes objects as the gateway understands them: parsed once, typed, and with a list of everything that is
//! wrong with them.
//!
//! Objects come from manifest files ([`manifest`]) and from the API server. Both go through the same conversion from
//! `k8s-openapi` types ([`Object`] and its parts), so that `check` reports of a file what the cluster would report. The
//! result is a [`ClusterView`], from which doors are compiled.
//!
//! # Invariants
//! - Parsing an object never fails anything else: it yields a value and [`Problem`]s, and touches no other object.
//! - What cannot be read is never taken for something broader. A rule with an unreadable host is not a rule for every
//!   host. An unreadable path or backend keeps its place and carries the reason, so that compilation can close that
//!   place.
//! - A security setting that is written and cannot be honoured is in [`Annotations::closes`].
//! - Nothing here does I/O, reads a clock or resolves a name. Strings of objects are data: none becomes a file name, an
//!   expression or a template.
//! - `Debug` of a [`Secret`] shows no secret.

mod annotations;
mod backend_annotations;
mod callee;
mod choosing;
mod config_map;
mod endpoint_slice;
mod error_pages;
mod filter_kind;
mod filter_spec;
mod ingress;
mod ingress_class;
mod labels;
mod limit_spec;
pub mod manifest;
mod metadata;
mod middleware;
mod object;
mod problem;
mod problem_lists;
mod protocol;
mod reporter;
mod resolution;
mod secret;
mod service;
mod service_port;
mod sorted;
mod spelling;
mod unread;
mod view;

pub use annotations::{
    Annotations, ClosedBy, IngressTuning, PathMatcher, PathReading, annotation_differences,
    annotation_reference, knows_annotation, reads_annotation,
};
pub use backend_annotations::{AuthoritySource, BackendAnnotations};
pub use callee::Callee;
pub use choosing::{Balance, Canary, Choosing, ServiceChoosing, Sticky, StickyPath};
pub use config_map::ConfigMap;
pub use endpoint_slice::{Endpoint, EndpointPort, EndpointSlice};
pub use error_pages::{ErrorPages, PageRequest, ServiceRef};
pub use filter_kind::{FilterKind, NoFilter};
pub use filter_spec::{
    BasicAuthSpec, Dialect, FilterReference, FilterSpec, ForwardAuthSpec, NamedMiddleware, UsersForm,
    WrittenFilter,
};
pub use ingress::{
    Challenge, ClassRef, DerivedFrom, DerivedHost, Ingress, IngressBackend, IngressPath, IngressRule,
    IngressTls, InvalidBackend, InvalidHost, InvalidPath, PathType,
};
pub use ingress_class::IngressClass;
pub use labels::Labels;
pub use limit_spec::{RateLimitSpec, Scope, StoreHost, StoreSpec, StoreTlsSpec, WrittenStore};
pub use middleware::{
    InvalidMiddleware, Middleware, MiddlewareKind, RawMiddleware, differing_fields, middleware_differences,
    middleware_reference,
};
pub use object::Object;
pub use problem::{Kind, ObjectRef, Problem, Severity, Source, SourceLine, Topic};
pub use problem_lists::{ProblemList, ProblemLists};
pub use protocol::{AppProtocol, Protocol};
pub use resolution::{NameFault, Resolution, Resolutions};
pub use secret::Secret;
pub use service::{Service, ServicePort, ServiceType};
pub use service_port::ServicePortRef;
pub use unread::{Unread, UnreadObjects};
pub use view::{ClusterView, Difference};
