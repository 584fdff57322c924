//! Everything the gateway knows of the cluster at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use route::ObjectKey;

use crate::{
    ConfigMap, EndpointSlice, Ingress, IngressClass, Kind, Namespace, Object, ObjectRef, Secret, Service,
};

/// Everything the gateway knows of the cluster at one moment. Iteration is in order of namespace and name.
///
/// A clone shares everything; the first change after it copies one map of pointers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    ingresses: Arc<BTreeMap<ObjectKey, Arc<Ingress>>>,
    classes: Arc<BTreeMap<Box<str>, Arc<IngressClass>>>,
    services: Arc<BTreeMap<ObjectKey, Arc<Service>>>,
    endpoint_slices: Arc<BTreeMap<ObjectKey, Arc<EndpointSlice>>>,
    /// The slices of a Service, sorted by name.
    slices_of: Arc<BTreeMap<ObjectKey, Box<[Arc<EndpointSlice>]>>>,
    secrets: Arc<BTreeMap<ObjectKey, Arc<Secret>>>,
    config_maps: Arc<BTreeMap<ObjectKey, Arc<ConfigMap>>>,
    namespaces: Arc<BTreeMap<Box<str>, Arc<Namespace>>>,
}

impl ClusterView {
    /// Every Ingress.
    pub fn ingresses(&self) -> impl ExactSizeIterator<Item = &Arc<Ingress>> {
        self.ingresses.values()
    }

    /// One Ingress.
    #[must_use]
    pub fn ingress(&self, key: &ObjectKey) -> Option<&Arc<Ingress>> {
        self.ingresses.get(key)
    }

    /// Every IngressClass.
    pub fn classes(&self) -> impl ExactSizeIterator<Item = &Arc<IngressClass>> {
        self.classes.values()
    }

    /// One IngressClass.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Arc<IngressClass>> {
        self.classes.get(name)
    }

    /// Every Service.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// One Service.
    #[must_use]
    pub fn service(&self, key: &ObjectKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// The EndpointSlices that belong to a Service.
    pub fn endpoint_slices<'v>(
        &'v self,
        service: &ObjectKey,
    ) -> impl Iterator<Item = &'v Arc<EndpointSlice>> + use<'v> {
        self.slices_of.get(service).into_iter().flatten()
    }

    /// Every EndpointSlice.
    pub fn all_endpoint_slices(&self) -> impl ExactSizeIterator<Item = &Arc<EndpointSlice>> {
        self.endpoint_slices.values()
    }

    /// Every Secret.
    pub fn secrets(&self) -> impl ExactSizeIterator<Item = &Arc<Secret>> {
        self.secrets.values()
    }

    /// Every ConfigMap.
    pub fn config_maps(&self) -> impl ExactSizeIterator<Item = &Arc<ConfigMap>> {
        self.config_maps.values()
    }

    /// One Secret.
    #[must_use]
    pub fn secret(&self, key: &ObjectKey) -> Option<&Arc<Secret>> {
        self.secrets.get(key)
    }

    /// One ConfigMap.
    #[must_use]
    pub fn config_map(&self, key: &ObjectKey) -> Option<&Arc<ConfigMap>> {
        self.config_maps.get(key)
    }

    /// One Namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(name)
    }

    /// Puts an object in its place and returns the one that was there.
    pub fn insert(&mut self, object: Object) -> Option<Object> {
        match object {
            Object::Ingress(object) => Arc::make_mut(&mut self.ingresses)
                .insert(object.key.clone(), object)
                .map(Object::Ingress),
            Object::IngressClass(object) => Arc::make_mut(&mut self.classes)
                .insert(object.name.clone(), object)
                .map(Object::IngressClass),
            Object::Service(object) => Arc::make_mut(&mut self.services)
                .insert(object.key.clone(), object)
                .map(Object::Service),
            Object::EndpointSlice(object) => self.insert_slice(object).map(Object::EndpointSlice),
            Object::Secret(object) => Arc::make_mut(&mut self.secrets)
                .insert(object.key.clone(), object)
                .map(Object::Secret),
            Object::ConfigMap(object) => Arc::make_mut(&mut self.config_maps)
                .insert(object.key.clone(), object)
                .map(Object::ConfigMap),
            Object::Namespace(object) => Arc::make_mut(&mut self.namespaces)
                .insert(object.name.clone(), object)
                .map(Object::Namespace),
        }
    }

    /// Takes an object out, if it is there.
    pub fn remove(&mut self, object: &ObjectRef) -> Option<Object> {
        let name = &*object.name;
        let key = || ObjectKey::new(object.namespace.as_deref().unwrap_or_default(), name);
        match object.kind {
            Kind::Ingress => Arc::make_mut(&mut self.ingresses)
                .remove(&key())
                .map(Object::Ingress),
            Kind::IngressClass => Arc::make_mut(&mut self.classes)
                .remove(name)
                .map(Object::IngressClass),
            Kind::Service => Arc::make_mut(&mut self.services)
                .remove(&key())
                .map(Object::Service),
            Kind::EndpointSlice => self.remove_slice(&key()).map(Object::EndpointSlice),
            Kind::Secret => Arc::make_mut(&mut self.secrets)
                .remove(&key())
                .map(Object::Secret),
            Kind::ConfigMap => Arc::make_mut(&mut self.config_maps)
                .remove(&key())
                .map(Object::ConfigMap),
            Kind::Namespace => Arc::make_mut(&mut self.namespaces)
                .remove(name)
                .map(Object::Namespace),
            Kind::Middleware | Kind::File | Kind::Cluster => None,
        }
    }

    fn insert_slice(&mut self, slice: Arc<EndpointSlice>) -> Option<Arc<EndpointSlice>> {
        let previous =
            Arc::make_mut(&mut self.endpoint_slices).insert(slice.key.clone(), Arc::clone(&slice));
        // It may have moved from one Service to another.
        if let Some(previous) = previous.as_ref().filter(|old| old.service != slice.service) {
            self.set_siblings(&previous.service, &previous.key, None);
        }
        self.set_siblings(&slice.service, &slice.key, Some(&slice));
        previous
    }

    fn remove_slice(&mut self, key: &ObjectKey) -> Option<Arc<EndpointSlice>> {
        if !self.endpoint_slices.contains_key(key) {
            return None;
        }
        let slice = Arc::make_mut(&mut self.endpoint_slices).remove(key)?;
        self.set_siblings(&slice.service, key, None);
        Some(slice)
    }

    /// Puts a slice among those of a Service, or takes it out.
    fn set_siblings(&mut self, service: &ObjectKey, key: &ObjectKey, slice: Option<&Arc<EndpointSlice>>) {
        let slices_of = Arc::make_mut(&mut self.slices_of);
        let others = slices_of.get(service).into_iter().flatten();
        let mut siblings: Vec<Arc<EndpointSlice>> = others
            .filter(|sibling| sibling.key != *key)
            .chain(slice)
            .cloned()
            .collect();
        siblings.sort_by(|left, right| left.key.cmp(&right.key));
        if siblings.is_empty() {
            slices_of.remove(service);
        } else {
            slices_of.insert(service.clone(), siblings.into_boxed_slice());
        }
    }
}

/// What is different between two views.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Ingresses that came, went or changed.
    pub ingresses: BTreeSet<ObjectKey>,
    /// Services that did, or whose endpoints did.
    pub services: BTreeSet<ObjectKey>,
    /// Anything else did.
    pub rest: bool,
}

impl ClusterView {
    /// What is different from an earlier view. By identity, so that an object that was read again and says the same
    /// may count as changed.
    #[must_use]
    pub fn difference(&self, earlier: &Self) -> Difference {
        let mut services = BTreeSet::new();
        differing(&earlier.services, &self.services, |key, _| {
            services.insert(key.clone());
        });
        differing(&earlier.endpoint_slices, &self.endpoint_slices, |_, slice| {
            services.insert(slice.service.clone());
        });
        let mut ingresses = BTreeSet::new();
        differing(&earlier.ingresses, &self.ingresses, |key, _| {
            ingresses.insert(key.clone());
        });
        let rest = self.classes != earlier.classes
            || self.secrets != earlier.secrets
            || self.config_maps != earlier.config_maps
            || self.namespaces != earlier.namespaces;
        Difference {
            ingresses,
            services,
            rest,
        }
    }
}

/// Tells of every object that is in one of the maps alone, or not the same in both: the old one and the new one.
fn differing<V>(
    old: &Arc<BTreeMap<ObjectKey, Arc<V>>>,
    new: &Arc<BTreeMap<ObjectKey, Arc<V>>>,
    mut tell: impl FnMut(&ObjectKey, &Arc<V>),
) {
    if Arc::ptr_eq(old, new) {
        return;
    }
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (olds.peek(), news.peek()) {
            (None, None) => return,
            (Some((old_key, before)), Some((new_key, after))) => {
                // Most of them are the same, which needs no look at their names.
                if Arc::ptr_eq(before, after) {
                    olds.next();
                    news.next();
                    continue;
                }
                let order = old_key.cmp(new_key);
                if order.is_le() {
                    tell(old_key, before);
                }
                if order.is_ge() {
                    tell(new_key, after);
                }
                if order.is_le() {
                    olds.next();
                }
                if order.is_ge() {
                    news.next();
                }
            }
            (Some((key, object)), None) => {
                tell(key, object);
                olds.next();
            }
            (None, Some((key, object))) => {
                tell(key, object);
                news.next();
            }
        }
    }
}

impl FromIterator<Object> for ClusterView {
    /// Of two objects of the same kind and name the later one stays.
    fn from_iter<T: IntoIterator<Item = Object>>(objects: T) -> Self {
        let mut view = Self::default();
        for object in objects {
            view.insert(object);
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(name: &str, service: &str) -> Object {
        Object::EndpointSlice(Arc::new(EndpointSlice {
            key: ObjectKey::new("shop", name),
            service: ObjectKey::new("shop", service),
            ports: Box::default(),
            endpoints: Box::default(),
            source: None,
        }))
    }

    fn names(view: &ClusterView, service: &str) -> Vec<String> {
        let slices = view.endpoint_slices(&ObjectKey::new("shop", service));
        slices.map(|slice| slice.key.name().to_owned()).collect()
    }

    #[test]
    fn slices_are_found_by_their_service() {
        let mut view: ClusterView = [slice("b", "web"), slice("a", "web"), slice("c", "api")]
            .into_iter()
            .collect();
        assert_eq!(names(&view, "web"), ["a", "b"]);
        assert_eq!(names(&view, "api"), ["c"]);
        assert_eq!(names(&view, "none"), [""; 0]);

        let previous = view.insert(slice("a", "api"));
        assert_eq!(previous, Some(slice("a", "web")));
        assert_eq!(names(&view, "web"), ["b"]);
        assert_eq!(names(&view, "api"), ["a", "c"]);

        assert_eq!(
            view.remove(&slice("b", "web").reference()),
            Some(slice("b", "web"))
        );
        assert_eq!(view.remove(&slice("b", "web").reference()), None);
        view.remove(&slice("a", "api").reference());
        view.remove(&slice("c", "api").reference());
        assert_eq!(view, ClusterView::default(), "nothing is left behind");
    }

    #[test]
    fn objects_of_every_kind_come_and_go() {
        let key = ObjectKey::new("shop", "x");
        let objects = [
            Object::Secret(Arc::new(Secret {
                key: key.clone(),
                kind: "Opaque".into(),
                data: BTreeMap::new(),
            })),
            Object::ConfigMap(Arc::new(ConfigMap {
                key: key.clone(),
                data: BTreeMap::new(),
            })),
            Object::Namespace(Arc::new(Namespace {
                name: "x".into(),
                labels: crate::Labels::default(),
            })),
            Object::IngressClass(Arc::new(IngressClass {
                name: "x".into(),
                controller: None,
                is_default: true,
            })),
        ];
        let mut view: ClusterView = objects.iter().cloned().collect();
        assert!(view.secret(&key).is_some() && view.config_map(&key).is_some());
        assert!(view.namespace("x").is_some() && view.class("x").is_some());
        for object in objects {
            assert_eq!(view.remove(&object.reference()), Some(object));
        }
        assert_eq!(view, ClusterView::default());
    }
}
