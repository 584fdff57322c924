//! The doors as an API server's source sees them.

use std::fmt;

use resource::{ClusterView, Ingress, Object, ObjectRef};
use route::{ListenerName, ObjectKey};

use super::status::Address;

/// What the source asks of the doors, of which it knows nothing else. Whoever opens doors answers, from their policies
/// and what is given to each method alone.
pub trait DoorView: fmt::Debug + Send + Sync {
    /// Secrets that the doors' own configuration refers to, each once.
    fn needs_of_doors(&self, view: &ClusterView) -> Vec<ObjectRef>;

    /// Secrets and ConfigMaps that admitted Ingresses refer to and doors do not: each once, in the order in which they
    /// matter where not all of them can be had.
    fn needs_of_ingresses(&self, view: &ClusterView) -> Vec<ObjectRef>;

    /// Whether these may be others once `after` has taken the place of `before`. Asked of every change, so it must not
    /// look at other objects.
    fn concerns_needs(&self, before: Option<&Object>, after: Option<&Object>) -> bool;

    /// What each door publishes.
    fn published(&self) -> Vec<(&ListenerName, &Publish)>;

    /// What each door that admits the Ingress publishes.
    fn published_for(&self, ingress: &Ingress, view: &ClusterView) -> Vec<&Publish>;

    /// Whether the Ingress is meant for one of the doors, by its labels and its class.
    fn choose(&self, ingress: &Ingress, view: &ClusterView) -> bool;

    /// Whether the Ingress is of a class that one of the doors serves.
    fn serve_class_of(&self, ingress: &Ingress, view: &ClusterView) -> bool;
}

/// What a door publishes in `status.loadBalancer` of the Ingresses that it admits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Publish {
    /// Nothing.
    #[default]
    Nothing,
    /// These.
    Addresses(Vec<Address>),
    /// The addresses of this Service.
    Service(ObjectKey),
}
