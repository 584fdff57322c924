//! Everything the gateway knows about the cluster at one moment.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use route::{Host, ObjectKey};

use crate::sorted::{Keyed, Sorted};
use crate::{
    ConfigMap, EndpointSlice, Ingress, IngressClass, Kind, Middleware, Object, ObjectRef, Resolution,
    Resolutions, Secret, Service, ServiceType, Unread, UnreadObjects,
};

/// Everything the gateway knows about the cluster at one moment. Iteration is in order of namespace and name.
///
/// A clone shares everything; the first change after it copies the pointers of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    ingresses: Sorted<Arc<Ingress>>,
    classes: Sorted<Arc<IngressClass>>,
    services: Sorted<Arc<Service>>,
    endpoint_slices: Sorted<Arc<EndpointSlice>>,
    /// The same, by Service.
    by_service: Sorted<OfService>,
    secrets: Sorted<Arc<Secret>>,
    config_maps: Sorted<Arc<ConfigMap>>,
    middlewares: Sorted<Arc<Middleware>>,
    resolutions: Resolutions,
    unread: UnreadObjects,
}

/// A slice, in the order of Services.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfService(Arc<EndpointSlice>);

impl OfService {
    fn key(&self) -> (&ObjectKey, &ObjectKey) {
        (&self.0.service, &self.0.key)
    }
}

impl Keyed for OfService {
    fn order(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

macro_rules! keyed {
    ($($object:ty: $key:ident;)*) => {$(
        impl Keyed for Arc<$object> {
            fn order(&self, other: &Self) -> Ordering {
                self.$key.cmp(&other.$key)
            }

            fn is_same(&self, other: &Self) -> bool {
                Arc::ptr_eq(self, other)
            }
        }
    )*};
}

keyed! {
    Ingress: key;
    IngressClass: name;
    Service: key;
    EndpointSlice: key;
    Secret: key;
    ConfigMap: key;
    Middleware: key;
}

impl ClusterView {
    /// Every Ingress.
    pub fn ingresses(&self) -> impl ExactSizeIterator<Item = &Arc<Ingress>> {
        self.ingresses.iter()
    }

    /// One Ingress.
    #[must_use]
    pub fn ingress(&self, key: &ObjectKey) -> Option<&Arc<Ingress>> {
        self.ingresses.get(|object| object.key.cmp(key))
    }

    /// Every IngressClass.
    pub fn classes(&self) -> impl ExactSizeIterator<Item = &Arc<IngressClass>> {
        self.classes.iter()
    }

    /// One IngressClass.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Arc<IngressClass>> {
        self.classes.get(|object| (*object.name).cmp(name))
    }

    /// The class to which Ingresses without one belong: of several default classes the newest, and then the first by name,
    /// as in Kubernetes' admission plugin `DefaultIngressClass`.
    #[must_use]
    pub fn default_class(&self) -> Option<&Arc<IngressClass>> {
        let age = |class: &IngressClass| (class.created.is_none(), class.created);
        let defaults = self.classes.iter().filter(|class| class.is_default);
        defaults.max_by(|left, right| {
            let by_age = age(left).cmp(&age(right));
            by_age.then_with(|| right.name.cmp(&left.name))
        })
    }

    /// Every Service.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.iter()
    }

    /// One Service.
    #[must_use]
    pub fn service(&self, key: &ObjectKey) -> Option<&Arc<Service>> {
        self.services.get(|object| object.key.cmp(key))
    }

    /// The EndpointSlices that belong to a Service.
    pub fn endpoint_slices<'v>(
        &'v self,
        service: &ObjectKey,
    ) -> impl Iterator<Item = &'v Arc<EndpointSlice>> + use<'v> {
        let slices = self.by_service.range(|slice| slice.0.service.cmp(service));
        slices.iter().map(|slice| &slice.0)
    }

    /// Every EndpointSlice.
    pub fn all_endpoint_slices(&self) -> impl ExactSizeIterator<Item = &Arc<EndpointSlice>> {
        self.endpoint_slices.iter()
    }

    /// Whether any object of this namespace is known.
    #[must_use]
    pub fn has_objects_of(&self, namespace: &str) -> bool {
        let is_of = |key: &ObjectKey| key.namespace() == namespace;
        self.ingresses.iter().any(|object| is_of(&object.key))
            || self.services.iter().any(|object| is_of(&object.key))
            || self.endpoint_slices.iter().any(|object| is_of(&object.key))
            || self.secrets.iter().any(|object| is_of(&object.key))
            || self.config_maps.iter().any(|object| is_of(&object.key))
            || self.middlewares.iter().any(|object| is_of(&object.key))
    }

    /// Every Secret.
    pub fn secrets(&self) -> impl ExactSizeIterator<Item = &Arc<Secret>> {
        self.secrets.iter()
    }

    /// Every ConfigMap.
    pub fn config_maps(&self) -> impl ExactSizeIterator<Item = &Arc<ConfigMap>> {
        self.config_maps.iter()
    }

    /// One Secret.
    #[must_use]
    pub fn secret(&self, key: &ObjectKey) -> Option<&Arc<Secret>> {
        self.secrets.get(|object| object.key.cmp(key))
    }

    /// One ConfigMap.
    #[must_use]
    pub fn config_map(&self, key: &ObjectKey) -> Option<&Arc<ConfigMap>> {
        self.config_maps.get(|object| object.key.cmp(key))
    }

    /// Every Middleware.
    pub fn middlewares(&self) -> impl ExactSizeIterator<Item = &Arc<Middleware>> {
        self.middlewares.iter()
    }

    /// One Middleware.
    #[must_use]
    pub fn middleware(&self, key: &ObjectKey) -> Option<&Arc<Middleware>> {
        self.middlewares.get(|object| object.key.cmp(key))
    }

    /// The addresses of a name; `None` when DNS has not been asked, or has not answered yet.
    #[must_use]
    pub fn resolution(&self, name: &Host) -> Option<&Arc<Resolution>> {
        self.resolutions.get(name)
    }

    /// Replaces the addresses of all names. They are kept by name and not by Service, so that no Service is ever served
    /// with the addresses of a name that it no longer has.
    pub fn replace_resolutions(&mut self, resolutions: Resolutions) {
        self.resolutions = resolutions;
    }

    /// Why an object is missing here although it may exist; `None` for objects that are read.
    #[must_use]
    pub fn unread(&self, object: &ObjectRef) -> Option<Unread> {
        if self.unread.is_empty() {
            return None;
        }
        let all_in = |namespace: Option<Box<str>>| ObjectRef {
            kind: object.kind,
            namespace,
            name: Box::default(),
        };
        let unread = self.unread.get(object);
        let unread = unread.or_else(|| self.unread.get(&all_in(object.namespace.clone())));
        unread.or_else(|| self.unread.get(&all_in(None))).copied()
    }

    /// Replaces the list of objects that are not read.
    pub fn replace_unread(&mut self, unread: UnreadObjects) {
        self.unread = unread;
    }

    /// One object of any kind.
    #[must_use]
    pub fn object(&self, object: &ObjectRef) -> Option<Object> {
        let key = &ObjectKey::new(object.namespace.as_deref().unwrap_or_default(), &*object.name);
        match object.kind {
            Kind::Ingress => self.ingress(key).cloned().map(Object::Ingress),
            Kind::IngressClass => self.class(&object.name).cloned().map(Object::IngressClass),
            Kind::Service => self.service(key).cloned().map(Object::Service),
            Kind::EndpointSlice => {
                let slice = self.endpoint_slices.get(|slice| slice.key.cmp(key));
                slice.cloned().map(Object::EndpointSlice)
            }
            Kind::Secret => self.secret(key).cloned().map(Object::Secret),
            Kind::ConfigMap => self.config_map(key).cloned().map(Object::ConfigMap),
            Kind::Middleware => self.middleware(key).cloned().map(Object::Middleware),
            Kind::Namespace | Kind::File | Kind::Cluster | Kind::Variable => None,
        }
    }

    /// Inserts an object and returns the one that it replaces.
    pub fn insert(&mut self, object: Object) -> Option<Object> {
        match object {
            Object::Ingress(object) => self.ingresses.insert(object).map(Object::Ingress),
            Object::IngressClass(object) => self.classes.insert(object).map(Object::IngressClass),
            Object::Service(object) => self.services.insert(object).map(Object::Service),
            Object::EndpointSlice(object) => self.insert_slice(object).map(Object::EndpointSlice),
            Object::Secret(object) => self.secrets.insert(object).map(Object::Secret),
            Object::ConfigMap(object) => self.config_maps.insert(object).map(Object::ConfigMap),
            Object::Middleware(object) => self.middlewares.insert(object).map(Object::Middleware),
        }
    }

    /// Removes an object, if it is there.
    pub fn remove(&mut self, object: &ObjectRef) -> Option<Object> {
        let name = &object.name;
        let key = &ObjectKey::new(object.namespace.as_deref().unwrap_or_default(), &**name);
        match object.kind {
            Kind::Ingress => self
                .ingresses
                .remove(|object| object.key.cmp(key))
                .map(Object::Ingress),
            Kind::IngressClass => self
                .classes
                .remove(|object| object.name.cmp(name))
                .map(Object::IngressClass),
            Kind::Service => self
                .services
                .remove(|object| object.key.cmp(key))
                .map(Object::Service),
            Kind::EndpointSlice => self.remove_slice(key).map(Object::EndpointSlice),
            Kind::Secret => self
                .secrets
                .remove(|object| object.key.cmp(key))
                .map(Object::Secret),
            Kind::ConfigMap => self
                .config_maps
                .remove(|object| object.key.cmp(key))
                .map(Object::ConfigMap),
            Kind::Middleware => self
                .middlewares
                .remove(|object| object.key.cmp(key))
                .map(Object::Middleware),
            Kind::Namespace | Kind::File | Kind::Cluster | Kind::Variable => None,
        }
    }

    fn insert_slice(&mut self, slice: Arc<EndpointSlice>) -> Option<Arc<EndpointSlice>> {
        let previous = self.endpoint_slices.insert(Arc::clone(&slice));
        // It may have moved from one Service to another.
        if let Some(previous) = previous.as_ref().filter(|old| old.service != slice.service) {
            self.by_service
                .remove(|slice| slice.key().cmp(&(&previous.service, &previous.key)));
        }
        self.by_service.insert(OfService(slice));
        previous
    }

    fn remove_slice(&mut self, key: &ObjectKey) -> Option<Arc<EndpointSlice>> {
        let slice = self.endpoint_slices.remove(|slice| slice.key.cmp(key))?;
        self.by_service
            .remove(|other| other.key().cmp(&(&slice.service, key)));
        Some(slice)
    }
}

/// The difference between two views.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Ingresses that were added, removed or changed.
    pub ingresses: BTreeSet<ObjectKey>,
    /// Services that were, or whose endpoints were.
    pub services: BTreeSet<ObjectKey>,
    /// Secrets, ConfigMaps and Middlewares that were, and those that are now missing for another reason.
    pub objects: BTreeSet<ObjectRef>,
    /// Names whose addresses were.
    pub names: BTreeSet<Host>,
    /// Whether anything else was.
    pub rest: bool,
}

impl ClusterView {
    /// Whether every object that refers to another one is the very same as in an earlier view: Ingresses, their classes,
    /// Services, and Middlewares.
    #[must_use]
    pub fn refers_as(&self, earlier: &Self) -> bool {
        self.ingresses.is_same(&earlier.ingresses)
            && self.classes.is_same(&earlier.classes)
            && self.services.is_same(&earlier.services)
            && self.middlewares.is_same(&earlier.middlewares)
    }

    /// The difference from an earlier view. Objects are compared by identity, so that one that was read again without
    /// a change may count as changed.
    #[must_use]
    pub fn difference(&self, earlier: &Self) -> Difference {
        let (mut ingresses, mut services) = (BTreeSet::new(), BTreeSet::new());
        self.ingresses.differing(&earlier.ingresses, |_, ingress| {
            ingresses.insert(ingress.key.clone());
        });
        self.services.differing(&earlier.services, |_, service| {
            services.insert(service.key.clone());
        });
        self.endpoint_slices
            .differing(&earlier.endpoint_slices, |_, slice| {
                services.insert(slice.service.clone());
            });
        let names = self.renamed(earlier);
        if !names.is_empty() {
            let named = self.services.iter().filter(
                |service| matches!(&service.kind, ServiceType::ExternalName(Ok(name)) if names.contains(name)),
            );
            services.extend(named.map(|service| service.key.clone()));
        }
        let mut objects = self.read_differently(earlier);
        let is_whole_kind = |object: &ObjectRef| object.name.is_empty();
        let rest = self.classes != earlier.classes || objects.iter().any(is_whole_kind);
        self.secrets.differing(&earlier.secrets, |_, secret| {
            objects.insert(ObjectRef::namespaced(Kind::Secret, &secret.key));
        });
        self.config_maps.differing(&earlier.config_maps, |_, map| {
            objects.insert(ObjectRef::namespaced(Kind::ConfigMap, &map.key));
        });
        self.middlewares.differing(&earlier.middlewares, |_, middleware| {
            objects.insert(ObjectRef::namespaced(Kind::Middleware, &middleware.key));
        });
        let names = names.into_iter().cloned().collect();
        Difference {
            names,
            ingresses,
            services,
            objects,
            rest,
        }
    }

    /// The objects that are not read in one of the two, or not for the same reason in both.
    fn read_differently(&self, earlier: &Self) -> BTreeSet<ObjectRef> {
        let (now, then) = (&self.unread, &earlier.unread);
        if Arc::ptr_eq(now, then) {
            return BTreeSet::new();
        }
        let named = now.keys().chain(then.keys());
        let differing = named.filter(|object| now.get(*object) != then.get(*object));
        differing.cloned().collect()
    }

    /// The names whose resolution is not the same in both views.
    fn renamed<'v>(&'v self, earlier: &'v Self) -> BTreeSet<&'v Host> {
        let both = [&self.resolutions, &earlier.resolutions];
        let names = both.iter().flat_map(|resolutions| resolutions.keys());
        names
            .filter(|name| self.resolutions.get(*name) != earlier.resolutions.get(*name))
            .collect()
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::MiddlewareKind;

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
    fn a_namespace_is_known_by_any_of_its_objects() {
        let view: ClusterView = [slice("a", "web")].into_iter().collect();
        assert!(view.has_objects_of("shop") && !view.has_objects_of("sho") && !view.has_objects_of(""));
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
            Object::IngressClass(Arc::new(IngressClass {
                name: "x".into(),
                controller: None,
                is_default: true,
                created: None,
                source: None,
            })),
            Object::Middleware(Arc::new(Middleware {
                key: key.clone(),
                kind: Ok(MiddlewareKind::Chain(Box::default())),
                source: None,
            })),
        ];
        let mut view: ClusterView = objects.iter().cloned().collect();
        assert!(view.secret(&key).is_some() && view.config_map(&key).is_some());
        assert!(view.class("x").is_some() && view.middleware(&key).is_some());
        for object in objects {
            assert_eq!(view.object(&object.reference()).as_ref(), Some(&object));
            assert_eq!(view.remove(&object.reference()), Some(object));
        }
        assert_eq!(view, ClusterView::default());
    }
}
