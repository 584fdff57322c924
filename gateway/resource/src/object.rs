//! One object of any kind.

use std::sync::Arc;

use crate::{ConfigMap, EndpointSlice, Ingress, IngressClass, Kind, Middleware, ObjectRef, Secret, Service};

/// One object of any kind that the gateway reads. Sharing is cheap: an unchanged object keeps its `Arc` across
/// views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// `networking.k8s.io/v1` Ingress
    Ingress(Arc<Ingress>),
    /// `networking.k8s.io/v1` IngressClass
    IngressClass(Arc<IngressClass>),
    /// `v1` Service
    Service(Arc<Service>),
    /// `discovery.k8s.io/v1` EndpointSlice
    EndpointSlice(Arc<EndpointSlice>),
    /// `v1` Secret
    Secret(Arc<Secret>),
    /// `v1` ConfigMap
    ConfigMap(Arc<ConfigMap>),
    /// `traefik.io/v1alpha1` Middleware
    Middleware(Arc<Middleware>),
}

impl Object {
    /// The same, but not from a file.
    pub(crate) fn without_source(mut self) -> Self {
        match &mut self {
            Self::Ingress(object) => Arc::make_mut(object).source = None,
            Self::IngressClass(object) => Arc::make_mut(object).source = None,
            Self::Service(object) => Arc::make_mut(object).source = None,
            Self::EndpointSlice(object) => Arc::make_mut(object).source = None,
            Self::Middleware(object) => Arc::make_mut(object).source = None,
            Self::Secret(_) | Self::ConfigMap(_) => {}
        }
        self
    }

    /// Which object it is.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        match self {
            Self::Ingress(object) => ObjectRef::namespaced(Kind::Ingress, &object.key),
            Self::IngressClass(object) => ObjectRef::global(Kind::IngressClass, &object.name),
            Self::Service(object) => ObjectRef::namespaced(Kind::Service, &object.key),
            Self::EndpointSlice(object) => ObjectRef::namespaced(Kind::EndpointSlice, &object.key),
            Self::Secret(object) => ObjectRef::namespaced(Kind::Secret, &object.key),
            Self::ConfigMap(object) => ObjectRef::namespaced(Kind::ConfigMap, &object.key),
            Self::Middleware(object) => ObjectRef::namespaced(Kind::Middleware, &object.key),
        }
    }
}
