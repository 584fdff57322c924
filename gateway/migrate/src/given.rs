//! What a report is made of.

use resource::{ClusterView, Kind, ObjectRef, ProblemLists};
use route::ObjectKey;

use crate::controller::Controller;
use crate::facts::{DoorFacts, RouteFact};
use crate::placing::Places;
use crate::raw::RawObject;
use crate::report::Unreadable;

/// What a report is made of.
#[derive(Debug)]
pub struct Given<'a> {
    /// The objects, with the labels that are to be added.
    pub view: &'a ClusterView,
    /// What reading and compiling them has found.
    pub problems: &'a ProblemLists,
    /// The doors.
    pub doors: &'a [DoorFacts<'a>],
    /// What they serve.
    pub routes: &'a [RouteFact],
    /// The objects as they are written, of all kinds.
    pub raw: &'a [RawObject],
    /// Where each Ingress lands. Those without a place are read, and are not in the report.
    pub places: &'a Places,
    /// What could not be read.
    pub unreadable: &'a [Unreadable],
    /// Whose Ingresses are, where nothing says it.
    pub from: Option<Controller>,
}

impl Given<'_> {
    /// Whether objects of a kind are among what was read: where none is, a missing one says nothing.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Service => self.view.services().len() > 0,
            Kind::Secret => self.view.secrets().len() > 0,
            Kind::ConfigMap => self.view.config_maps().len() > 0,
            Kind::Middleware => self.view.middlewares().len() > 0,
            Kind::EndpointSlice => self.view.all_endpoint_slices().len() > 0,
            Kind::Ingress
            | Kind::IngressClass
            | Kind::Namespace
            | Kind::File
            | Kind::Cluster
            | Kind::Variable => true,
        }
    }

    /// The Middlewares that an Ingress passes through, chains followed, as far as they are there.
    pub(crate) fn middlewares_of(&self, ingress: &ObjectKey) -> Vec<ObjectKey> {
        let start = ObjectRef::namespaced(Kind::Ingress, ingress);
        let mut found: Vec<ObjectKey> = Vec::new();
        let mut next = vec![start];
        while let Some(object) = next.pop() {
            let Some(object) = self.view.object(&object) else {
                continue;
            };
            for named in door::objects_of(&object) {
                let key = ObjectKey::new(named.namespace.as_deref().unwrap_or_default(), &*named.name);
                if named.kind == Kind::Middleware && !found.contains(&key) {
                    found.push(key);
                    next.push(named);
                }
            }
        }
        found.retain(|key| self.view.middleware(key).is_some());
        found
    }
}
