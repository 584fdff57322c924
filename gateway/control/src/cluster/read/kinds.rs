//! The kinds of objects that are watched.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap as RawConfigMap, Secret as RawSecret, Service as RawService};
use k8s_openapi::api::discovery::v1::EndpointSlice as RawEndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress as RawIngress, IngressClass as RawIngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use resource::{
    ConfigMap, EndpointSlice, Ingress, IngressClass, Kind, Middleware, Object, ObjectRef, Problem,
    RawMiddleware, Secret, Service,
};
use route::ObjectKey;
use serde::de::DeserializeOwned;

use crate::cluster::status::{Address, Claims, LoadBalancerStatus, writer};

/// A kind of object that is watched.
pub(crate) trait WatchedKind:
    kube::Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static
{
    const KIND: Kind;

    /// Converts it, and reports what is wrong with it.
    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object>;

    fn status(&self) -> LoadBalancerStatus {
        LoadBalancerStatus::default()
    }
}

pub(crate) fn reference<K: WatchedKind>(meta: &ObjectMeta) -> ObjectRef {
    let name = meta.name.as_deref().unwrap_or_default();
    match meta.namespace.as_deref() {
        Some(namespace) => ObjectRef::namespaced(K::KIND, &ObjectKey::new(namespace, name)),
        None => ObjectRef::global(K::KIND, name),
    }
}

impl WatchedKind for RawIngress {
    const KIND: Kind = Kind::Ingress;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        Ingress::from_api(self, problems).map(|object| Object::Ingress(Arc::new(object)))
    }

    fn status(&self) -> LoadBalancerStatus {
        let entries = self
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref())
            .unwrap_or_default();
        let addresses = entries.iter().map(|entry| {
            let has_ports = entry.ports.as_ref().is_some_and(|ports| !ports.is_empty());
            let known = Address::of(entry.hostname.as_deref(), entry.ip.as_deref());
            known
                .filter(|_| !has_ports)
                .unwrap_or_else(|| Address::Other(serde_json::to_string(entry).unwrap_or_default().into()))
        });
        LoadBalancerStatus {
            addresses: addresses.collect(),
            writer: writer(&self.metadata).filter(|_| !entries.is_empty()),
            claims: Claims::of(&self.metadata),
        }
    }
}

impl WatchedKind for RawIngressClass {
    const KIND: Kind = Kind::IngressClass;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        IngressClass::from_api(self, problems).map(|object| Object::IngressClass(Arc::new(object)))
    }
}

impl WatchedKind for RawService {
    const KIND: Kind = Kind::Service;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        Service::from_api(self, problems).map(|object| Object::Service(Arc::new(object)))
    }

    fn status(&self) -> LoadBalancerStatus {
        let entries = self
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref())
            .unwrap_or_default();
        let addresses = entries
            .iter()
            .filter_map(|entry| Address::of(entry.hostname.as_deref(), entry.ip.as_deref()));
        LoadBalancerStatus {
            addresses: addresses.collect(),
            ..LoadBalancerStatus::default()
        }
    }
}

impl WatchedKind for RawEndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        EndpointSlice::from_api(self, problems).map(|object| Object::EndpointSlice(Arc::new(object)))
    }
}

impl WatchedKind for RawSecret {
    const KIND: Kind = Kind::Secret;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        Secret::from_api(self, problems).map(|object| Object::Secret(Arc::new(object)))
    }
}

impl WatchedKind for RawConfigMap {
    const KIND: Kind = Kind::ConfigMap;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        ConfigMap::from_api(self, problems).map(|object| Object::ConfigMap(Arc::new(object)))
    }
}

impl WatchedKind for RawMiddleware {
    const KIND: Kind = Kind::Middleware;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        Middleware::from_api(self, problems).map(|object| Object::Middleware(Arc::new(object)))
    }
}
