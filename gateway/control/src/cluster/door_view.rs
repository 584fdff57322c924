//! The doors as an API server's source sees them.

use std::fmt;

use resource::{ClusterView, Ingress, Object, ObjectRef};
use route::{ListenerName, ObjectKey};

use super::status::Address;

/// What the source asks about the doors; it knows nothing else of them. Answers depend only on the configuration of the
/// doors and on the arguments.
pub trait DoorView: fmt::Debug + Send + Sync {
    /// Secrets that the doors' own configuration refers to, each once.
    fn needs_of_doors(&self, view: &ClusterView) -> Vec<ObjectRef>;

    /// Secrets and ConfigMaps that admitted Ingresses refer to and doors do not: each once, in the order in which they
    /// matter where not all of them can be had.
    fn needs_of_ingresses(&self, view: &ClusterView) -> Vec<ObjectRef>;

    /// The Secrets, ConfigMaps and Middlewares that an Ingress or a Middleware itself refers to, needed or not.
    fn objects_of(&self, object: &Object) -> Vec<ObjectRef>;

    /// Whether these may be others once `after` has taken the place of `before`. Asked of every change, so it must not
    /// look at other objects.
    fn concerns_needs(&self, before: Option<&Object>, after: Option<&Object>) -> bool;

    /// What each door publishes.
    fn published(&self) -> Vec<(&ListenerName, &Publish)>;

    /// What each door that admits the Ingress publishes.
    fn published_for(&self, ingress: &Ingress, view: &ClusterView) -> Vec<&Publish>;

    /// Whether one of the doors selects the Ingress by its labels and class.
    fn choose(&self, ingress: &Ingress, view: &ClusterView) -> bool;

    /// Whether one of the doors serves the class of the Ingress.
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
