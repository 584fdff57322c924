//! Objects as the API server shows them, cut down to what the gateway keeps.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap as RawConfigMap, Secret as RawSecret, Service as RawService};
use k8s_openapi::api::discovery::v1::EndpointSlice as RawEndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress as RawIngress, IngressClass as RawIngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use resource::{
    ConfigMap, EndpointSlice, Ingress, IngressClass, Kind, Object, ObjectRef, Problem, Secret, Service,
    Severity, manifest,
};
use route::ObjectKey;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::raw::{Content, RawObject};
use crate::cluster::status::claims::Claims;

/// One object, as far as the gateway keeps it. The raw one is dropped at once: most of it (managed fields, status,
/// annotations of other tools) concerns nobody here.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) reference: ObjectRef,
    /// `None` when nothing usable is left of it.
    pub(crate) object: Option<Object>,
    pub(crate) problems: Vec<Problem>,
    /// `status.loadBalancer.ingress` of an Ingress or a Service.
    pub(crate) status: LoadBalancerStatus,
    /// `metadata.resourceVersion`
    pub(crate) version: Box<str>,
}

/// `status.loadBalancer.ingress` of an object, and what is written down of who wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LoadBalancerStatus {
    pub(crate) addresses: Box<[Address]>,
    /// Who wrote the list last (`metadata.managedFields`); `None` where that is not one.
    pub(crate) writer: Option<Box<str>>,
    /// Whose each address is, as far as that is written down.
    pub(crate) claims: Claims,
}

/// One address in a status.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `hostname`
    Hostname(Box<str>),
    /// `ip`
    Ip(Box<str>),
    /// Something that we would not write: both, neither, or with ports. As JSON, to be left as it is.
    Other(Box<str>),
}

/// A kind of object that is watched.
pub(crate) trait WatchedKind:
    kube::Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static
{
    const KIND: Kind;

    /// Converts it, and tells what is wrong with it.
    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object>;

    fn status(&self) -> LoadBalancerStatus {
        LoadBalancerStatus::default()
    }
}

impl Observed {
    pub(crate) fn new<K: WatchedKind>(sent: RawObject<K>) -> Self {
        let reference = reference::<K>(sent.meta());
        let version = sent.meta().resource_version.as_deref().unwrap_or_default().into();
        let mut problems = Vec::new();
        let (status, object) = match sent.content {
            Content::Typed(raw) => {
                let status = raw.status();
                (status, raw.convert(&mut problems))
            }
            // What can be read of it counts, and the rest is closed: as of a file.
            Content::Untyped(json, error) => {
                let part = json!({
                    "metadata": { "annotations": json.pointer("/metadata/annotations") },
                    "status": json.get("status"),
                });
                let status = K::deserialize(&part).map(|part| part.status());
                problems.push(Problem {
                    severity: Severity::Error,
                    object: reference.clone(),
                    field: String::new(),
                    message: format!("not as the API describes it: {error}"),
                    source: None,
                });
                let object =
                    manifest::read_malformed(json, &K::api_version(&()), &K::kind(&()), &mut problems);
                (status.unwrap_or_default(), object)
            }
        };
        Self {
            reference,
            object,
            problems,
            status,
            version,
        }
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

impl Address {
    fn of(hostname: Option<&str>, ip: Option<&str>) -> Option<Self> {
        let set = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Box::from);
        match (set(hostname), set(ip)) {
            (Some(hostname), None) => Some(Self::Hostname(hostname)),
            (None, Some(ip)) => Some(Self::Ip(ip)),
            (_, _) => None,
        }
    }

    /// The host name, or the address.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Hostname(text) | Self::Ip(text) | Self::Other(text) => text,
        }
    }

    /// As an entry of the list.
    pub(crate) fn entry(&self) -> serde_json::Value {
        match self {
            Self::Hostname(name) => json!({ "hostname": name }),
            Self::Ip(ip) => json!({ "ip": ip }),
            Self::Other(entry) => serde_json::from_str(entry).unwrap_or_default(),
        }
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Sorted as text, whatever they are.
impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |address: &Self| match address {
            Self::Hostname(_) => 0,
            Self::Ip(_) => 1,
            Self::Other(_) => 2,
        };
        self.text()
            .cmp(other.text())
            .then_with(|| rank(self).cmp(&rank(other)))
    }
}

/// Who wrote the list of addresses last, if that is one and no more.
fn writer(meta: &ObjectMeta) -> Option<Box<str>> {
    let mut owners = meta.managed_fields.iter().flatten().filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields
            .and_then(|fields| fields.get("f:status")?.get("f:loadBalancer")?.get("f:ingress"))
            .is_some()
    });
    let first = owners.next()?.manager.as_deref()?;
    owners.next().is_none().then(|| first.into())
}
