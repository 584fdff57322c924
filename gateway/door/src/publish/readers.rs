//! Which Middlewares refer to an object.
//!
//! An Ingress knows only the Middlewares that it names. What these name in turn depends on the view, so a change of a Secret,
//! or of a Middleware in a chain, reaches Ingresses through here.

use std::collections::{BTreeSet, HashMap};

use resource::{ClusterView, Difference, Kind, Middleware, ObjectRef};
use route::ObjectKey;

use crate::references::{Reference, of_middleware};

/// The Middlewares of a view by what they refer to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Readers {
    of: HashMap<ObjectRef, BTreeSet<ObjectKey>>,
}

impl Readers {
    pub(crate) fn new(view: &ClusterView) -> Self {
        let mut readers = Self::default();
        for middleware in view.middlewares() {
            readers.add(middleware);
        }
        readers
    }

    /// Adds to what has changed between two views the Middlewares that refer to any of it, over any number of chains. From
    /// then on the readers are those of the later view.
    pub(crate) fn revise(&mut self, before: &ClusterView, view: &ClusterView, changed: &mut Difference) {
        self.spread(changed);
        let own = changed
            .objects
            .iter()
            .filter(|object| object.kind == Kind::Middleware);
        for object in own {
            let namespace = object.namespace.as_deref().unwrap_or_default();
            let key = ObjectKey::new(namespace, &*object.name);
            if let Some(old) = before.middleware(&key) {
                self.remove(old);
            }
            if let Some(new) = view.middleware(&key) {
                self.add(new);
            }
        }
        self.spread(changed);
    }

    fn spread(&self, changed: &mut Difference) {
        if self.of.is_empty() {
            return;
        }
        let services = changed.services.iter();
        let services = services.map(|key| ObjectRef::namespaced(Kind::Service, key));
        let mut unseen: Vec<ObjectRef> = services.chain(changed.objects.iter().cloned()).collect();
        while let Some(object) = unseen.pop() {
            for reader in self.of.get(&object).into_iter().flatten() {
                let reader = ObjectRef::namespaced(Kind::Middleware, reader);
                if changed.objects.insert(reader.clone()) {
                    unseen.push(reader);
                }
            }
        }
    }

    fn add(&mut self, middleware: &Middleware) {
        for object in of_middleware(middleware).into_iter().map(Reference::object) {
            self.of.entry(object).or_default().insert(middleware.key.clone());
        }
    }

    fn remove(&mut self, middleware: &Middleware) {
        for object in of_middleware(middleware).into_iter().map(Reference::object) {
            if let Some(readers) = self.of.get_mut(&object) {
                readers.remove(&middleware.key);
                if readers.is_empty() {
                    self.of.remove(&object);
                }
            }
        }
    }
}
