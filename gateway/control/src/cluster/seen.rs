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

use super::sent::{Content, Sent};

/// What is written into the status as the writer of fields (`metadata.managedFields`).
pub(super) const FIELD_MANAGER: &str = "blastdoor";

/// One object, as far as the gateway keeps it. The raw one is dropped at once: most of it (managed fields, status,
/// annotations of other tools) concerns nobody here.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) reference: ObjectRef,
    /// `None` when nothing usable is left of it.
    pub(super) object: Option<Object>,
    pub(super) problems: Vec<Problem>,
    /// `status.loadBalancer.ingress` of an Ingress or a Service.
    pub(super) status: Status,
}

/// `status.loadBalancer.ingress` of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) addresses: Box<[Address]>,
    /// The list was last written by us, as `metadata.managedFields` tells.
    pub(super) is_ours: bool,
}

/// One address in a status.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `hostname`
    Hostname(Box<str>),
    /// `ip`
    Ip(Box<str>),
    /// Something that we would not write: both, neither, or with ports.
    Other,
}

/// A kind of object that is watched.
pub(super) trait Watched:
    kube::Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static
{
    const KIND: Kind;

    /// Converts it, and tells what is wrong with it.
    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object>;

    fn status(&self) -> Status {
        Status::default()
    }
}

impl Seen {
    pub(super) fn new<K: Watched>(sent: Sent<K>) -> Self {
        let reference = reference::<K>(sent.meta());
        let mut status = Status::default();
        let mut problems = Vec::new();
        let object = match sent.content {
            Content::Sound(raw) => {
                status = raw.status();
                raw.convert(&mut problems)
            }
            // What can be read of it counts, and the rest is closed: as of a file.
            Content::Odd(json, error) => {
                problems.push(Problem {
                    severity: Severity::Error,
                    object: reference.clone(),
                    field: String::new(),
                    message: format!("not as the API describes it: {error}"),
                    source: None,
                });
                manifest::read_odd(json, &K::api_version(&()), &K::kind(&()), &mut problems)
            }
        };
        Self {
            reference,
            object,
            problems,
            status,
        }
    }
}

pub(super) fn reference<K: Watched>(meta: &ObjectMeta) -> ObjectRef {
    let name = meta.name.as_deref().unwrap_or_default();
    match meta.namespace.as_deref() {
        Some(namespace) => ObjectRef::namespaced(K::KIND, &ObjectKey::new(namespace, name)),
        None => ObjectRef::global(K::KIND, name),
    }
}

impl Watched for RawIngress {
    const KIND: Kind = Kind::Ingress;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        Ingress::from_api(self, problems).map(|object| Object::Ingress(Arc::new(object)))
    }

    fn status(&self) -> Status {
        let entries = self
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref())
            .unwrap_or_default();
        let addresses = entries.iter().map(|entry| {
            let has_ports = entry.ports.as_ref().is_some_and(|ports| !ports.is_empty());
            Address::of(entry.hostname.as_deref(), entry.ip.as_deref(), has_ports)
        });
        Status {
            addresses: addresses.collect(),
            is_ours: !entries.is_empty() && is_ours(&self.metadata),
        }
    }
}

impl Watched for RawIngressClass {
    const KIND: Kind = Kind::IngressClass;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        IngressClass::from_api(self, problems).map(|object| Object::IngressClass(Arc::new(object)))
    }
}

impl Watched for RawService {
    const KIND: Kind = Kind::Service;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        Service::from_api(self, problems).map(|object| Object::Service(Arc::new(object)))
    }

    fn status(&self) -> Status {
        let entries = self
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref())
            .unwrap_or_default();
        let addresses = entries
            .iter()
            .map(|entry| Address::of(entry.hostname.as_deref(), entry.ip.as_deref(), false));
        Status {
            addresses: addresses.collect(),
            is_ours: false,
        }
    }
}

impl Watched for RawEndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        EndpointSlice::from_api(self, problems).map(|object| Object::EndpointSlice(Arc::new(object)))
    }
}

impl Watched for RawSecret {
    const KIND: Kind = Kind::Secret;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        Secret::from_api(self, problems).map(|object| Object::Secret(Arc::new(object)))
    }
}

impl Watched for RawConfigMap {
    const KIND: Kind = Kind::ConfigMap;

    fn convert(self, problems: &mut Vec<Problem>) -> Option<Object> {
        ConfigMap::from_api(self, problems).map(|object| Object::ConfigMap(Arc::new(object)))
    }
}

impl Address {
    fn of(hostname: Option<&str>, ip: Option<&str>, has_ports: bool) -> Self {
        let set = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Box::from);
        match (set(hostname), set(ip)) {
            (Some(hostname), None) if !has_ports => Self::Hostname(hostname),
            (None, Some(ip)) if !has_ports => Self::Ip(ip),
            (_, _) => Self::Other,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Hostname(text) | Self::Ip(text) => text,
            Self::Other => "",
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
            Self::Other => 2,
        };
        self.text()
            .cmp(other.text())
            .then_with(|| rank(self).cmp(&rank(other)))
    }
}

/// Whether the list of addresses belongs to us and to nobody else.
fn is_ours(meta: &ObjectMeta) -> bool {
    let mut owners = meta.managed_fields.iter().flatten().filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields
            .and_then(|fields| fields.get("f:status")?.get("f:loadBalancer")?.get("f:ingress"))
            .is_some()
    });
    let first = owners.next();
    first.is_some_and(|owner| owner.manager.as_deref() == Some(FIELD_MANAGER)) && owners.next().is_none()
}
