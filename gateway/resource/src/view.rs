//! Everything the gateway knows of the cluster at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use route::ObjectKey;

use crate::{
    ConfigMap, EndpointSlice, Ingress, IngressClass, Kind, Namespace, Object, ObjectRef, Secret, Service,
};

/// Everything the gateway knows of the cluster at one moment. Iteration is in order of namespace and name.
///
/// A clone copies maps of pointers, not objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    ingresses: BTreeMap<ObjectKey, Arc<Ingress>>,
    classes: BTreeMap<Box<str>, Arc<IngressClass>>,
    services: BTreeMap<ObjectKey, Arc<Service>>,
    endpoint_slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    /// The keys of a Service's slices, sorted.
    slices_of: BTreeMap<ObjectKey, Vec<ObjectKey>>,
    secrets: BTreeMap<ObjectKey, Arc<Secret>>,
    config_maps: BTreeMap<ObjectKey, Arc<ConfigMap>>,
    namespaces: BTreeMap<Box<str>, Arc<Namespace>>,
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
        let keys = self.slices_of.get(service);
        keys.into_iter()
            .flatten()
            .filter_map(|key| self.endpoint_slices.get(key))
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
            Object::Ingress(object) => self
                .ingresses
                .insert(object.key.clone(), object)
                .map(Object::Ingress),
            Object::IngressClass(object) => self
                .classes
                .insert(object.name.clone(), object)
                .map(Object::IngressClass),
            Object::Service(object) => self
                .services
                .insert(object.key.clone(), object)
                .map(Object::Service),
            Object::EndpointSlice(object) => self.insert_slice(object).map(Object::EndpointSlice),
            Object::Secret(object) => self
                .secrets
                .insert(object.key.clone(), object)
                .map(Object::Secret),
            Object::ConfigMap(object) => self
                .config_maps
                .insert(object.key.clone(), object)
                .map(Object::ConfigMap),
            Object::Namespace(object) => self
                .namespaces
                .insert(object.name.clone(), object)
                .map(Object::Namespace),
        }
    }

    /// Takes an object out, if it is there.
    pub fn remove(&mut self, object: &ObjectRef) -> Option<Object> {
        let name = &*object.name;
        let key = || ObjectKey::new(object.namespace.as_deref().unwrap_or_default(), name);
        match object.kind {
            Kind::Ingress => self.ingresses.remove(&key()).map(Object::Ingress),
            Kind::IngressClass => self.classes.remove(name).map(Object::IngressClass),
            Kind::Service => self.services.remove(&key()).map(Object::Service),
            Kind::EndpointSlice => self.remove_slice(&key()).map(Object::EndpointSlice),
            Kind::Secret => self.secrets.remove(&key()).map(Object::Secret),
            Kind::ConfigMap => self.config_maps.remove(&key()).map(Object::ConfigMap),
            Kind::Namespace => self.namespaces.remove(name).map(Object::Namespace),
            Kind::Middleware | Kind::File | Kind::Cluster => None,
        }
    }

    fn insert_slice(&mut self, slice: Arc<EndpointSlice>) -> Option<Arc<EndpointSlice>> {
        // It may have moved from one Service to another.
        let previous = self.remove_slice(&slice.key);
        let siblings = self.slices_of.entry(slice.service.clone()).or_default();
        if let Err(place) = siblings.binary_search(&slice.key) {
            siblings.insert(place, slice.key.clone());
        }
        self.endpoint_slices.insert(slice.key.clone(), slice);
        previous
    }

    fn remove_slice(&mut self, key: &ObjectKey) -> Option<Arc<EndpointSlice>> {
        let slice = self.endpoint_slices.remove(key)?;
        if let Some(siblings) = self.slices_of.get_mut(&slice.service) {
            siblings.retain(|sibling| sibling != key);
            if siblings.is_empty() {
                self.slices_of.remove(&slice.service);
            }
        }
        Some(slice)
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
            ports: Vec::new(),
            endpoints: Vec::new(),
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
