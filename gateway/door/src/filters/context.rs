//! What filters are compiled with.

use resource::{ClusterView, FilterKind};
use route::{ListenerName, ObjectKey};

use super::FilterMemory;
use crate::admission::Policy;
use crate::backend::BackendPolicy;

/// What filters are compiled with, at one door.
pub(crate) struct Context<'a> {
    pub(crate) door: &'a ListenerName,
    pub(crate) policy: &'a Policy,
    pub(crate) view: &'a ClusterView,
    pub(crate) backends: &'a BackendPolicy,
    pub(crate) memory: &'a FilterMemory,
}

/// Which filter of which Ingress this is: what it remembers, it finds again by this after each publication.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Identity<'a> {
    /// The Ingress.
    pub(super) ingress: &'a ObjectKey,
    pub(super) kind: FilterKind,
    /// The field in which it is written.
    pub(super) field: &'a str,
    /// The Middleware that says so, if one does.
    pub(super) middleware: Option<&'a ObjectKey>,
    /// How many others like it are there before it.
    pub(super) ordinal: usize,
}
