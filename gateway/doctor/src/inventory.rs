//! The objects of a cluster, as far as they were read.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use resource::RawMiddleware;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::finding::ObjectName;
use crate::kind::Kind;
use crate::target_group_binding::TargetGroupBinding;

/// Whether the objects of a kind are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// All of them.
    Read,
    /// The cluster does not know the kind, so there are none.
    Unserved,
    /// They are not known, and why.
    Unread(String),
}

/// The objects of a cluster, as far as they were read.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// `v1` Nodes
    pub nodes: Vec<Node>,
    /// `v1` Namespaces
    pub namespaces: Vec<Namespace>,
    /// `v1` Pods
    pub pods: Vec<Pod>,
    /// `v1` Services
    pub services: Vec<Service>,
    /// `discovery.k8s.io/v1` EndpointSlices
    pub endpoint_slices: Vec<EndpointSlice>,
    /// `apps/v1` DaemonSets
    pub daemon_sets: Vec<DaemonSet>,
    /// `apps/v1` Deployments
    pub deployments: Vec<Deployment>,
    /// `policy/v1` PodDisruptionBudgets
    pub budgets: Vec<PodDisruptionBudget>,
    /// `networking.k8s.io/v1` Ingresses
    pub ingresses: Vec<Ingress>,
    /// `networking.k8s.io/v1` IngressClasses
    pub ingress_classes: Vec<IngressClass>,
    /// `elbv2.k8s.aws/v1beta1` TargetGroupBindings
    pub target_group_bindings: Vec<TargetGroupBinding>,
    /// `traefik.io/v1alpha1` Middlewares
    pub middlewares: Vec<RawMiddleware>,
    /// `rbac.authorization.k8s.io/v1` ClusterRoles
    pub cluster_roles: Vec<ClusterRole>,
    /// `rbac.authorization.k8s.io/v1` ClusterRoleBindings
    pub cluster_role_bindings: Vec<ClusterRoleBinding>,
    /// `v1` ConfigMaps
    pub config_maps: Vec<ConfigMap>,
    /// `v1` Secrets. They hold private keys: nothing of their content is printed.
    pub secrets: Vec<Secret>,
    availability: BTreeMap<Kind, Availability>,
    missing: BTreeMap<ObjectName, Missing>,
    /// Objects that do not fit their kind, and why.
    pub unreadable: Vec<Unreadable>,
}

/// Why an object that was asked for by its name is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It does not exist.
    Absent,
    /// It may not be read, and what the API server says of it.
    Forbidden(String),
}

/// An object that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its kind.
    pub kind: Kind,
    /// `namespace/name`, or the name of the file.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Inventory {
    /// Whether the objects of a kind are known.
    #[must_use]
    pub fn availability(&self, kind: Kind) -> &Availability {
        const NEVER: &Availability = &Availability::Unread(String::new());
        self.availability.get(&kind).unwrap_or(NEVER)
    }

    /// Whether all objects of the kind are known, be it that there are none.
    #[must_use]
    pub fn knows(&self, kind: Kind) -> bool {
        match self.availability(kind) {
            Availability::Read | Availability::Unserved => true,
            Availability::Unread(_) => false,
        }
    }

    /// Notes why an object that was asked for by its name is not here.
    pub fn miss(&mut self, object: ObjectName, why: Missing) {
        self.missing.insert(object, why);
    }

    /// Why an object of a kind that is not listed is not here; `None` if it is, or if nobody asked for it.
    #[must_use]
    pub fn missing(&self, object: &ObjectName) -> Option<&Missing> {
        self.missing.get(object)
    }

    /// The kinds of workloads that are not known, in words for a message; empty when all are.
    #[must_use]
    pub fn unread_workloads(&self) -> String {
        let kinds = [Kind::DaemonSet, Kind::Deployment, Kind::Pod].into_iter();
        let unread = kinds.filter_map(|kind| match self.availability(kind) {
            Availability::Unread(why) => Some(format!("; {} were not read: {why}", kind.plural())),
            Availability::Read | Availability::Unserved => None,
        });
        unread.collect()
    }

    /// Says whether the objects of a kind are known.
    pub fn set_availability(&mut self, kind: Kind, availability: Availability) {
        self.availability.insert(kind, availability);
    }

    /// Adds an object as the API writes it, or a `List` of objects.
    ///
    /// An object that does not fit its kind is noted; objects of other kinds are passed over.
    pub fn insert(&mut self, mut json: Value) {
        let text = |key: &str| {
            json.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if let Some(item_kind) = kind.strip_suffix("List") {
            let Some(Value::Array(items)) = json.get_mut("items").map(Value::take) else {
                return;
            };
            // In the list of one kind the API server leaves both out.
            let kind = Kind::of_object(&api_version, item_kind);
            if let Some(kind) = kind {
                self.set_availability(kind, Availability::Read);
            }
            for item in items {
                match (kind, item.get("kind").is_none()) {
                    (Some(kind), true) => self.insert_of(kind, item),
                    (Some(_) | None, _) => self.insert(item),
                }
            }
            return;
        }
        if let Some(kind) = Kind::of_object(&api_version, &kind) {
            self.insert_of(kind, json);
        }
    }

    /// Adds an object of this kind.
    pub fn insert_of(&mut self, kind: Kind, mut json: Value) {
        if !self.knows(kind) {
            self.set_availability(kind, Availability::Read);
        }
        let metadata = |field: &str| {
            let text = json.get("metadata")?.get(field)?.as_str()?;
            Some(text.to_owned())
        };
        let name = [metadata("namespace"), metadata("name")];
        let name = name.into_iter().flatten().collect::<Vec<_>>().join("/");
        let outcome = match kind {
            Kind::Node => add(&mut self.nodes, &mut json),
            Kind::Namespace => add(&mut self.namespaces, &mut json),
            Kind::Pod => add(&mut self.pods, &mut json),
            Kind::Service => add(&mut self.services, &mut json),
            Kind::EndpointSlice => add(&mut self.endpoint_slices, &mut json),
            Kind::DaemonSet => add(&mut self.daemon_sets, &mut json),
            Kind::Deployment => add(&mut self.deployments, &mut json),
            Kind::PodDisruptionBudget => add(&mut self.budgets, &mut json),
            Kind::Ingress => add(&mut self.ingresses, &mut json),
            Kind::IngressClass => add(&mut self.ingress_classes, &mut json),
            Kind::TargetGroupBinding => add(&mut self.target_group_bindings, &mut json),
            Kind::Middleware => add(&mut self.middlewares, &mut json),
            Kind::ClusterRole => add(&mut self.cluster_roles, &mut json),
            Kind::ClusterRoleBinding => add(&mut self.cluster_role_bindings, &mut json),
            Kind::ConfigMap => add(&mut self.config_maps, &mut json),
            Kind::Secret => add(&mut self.secrets, &mut json),
        };
        if let Err(reason) = outcome {
            self.unreadable.push(Unreadable { kind, name, reason });
        }
    }
}

/// Reads an object. An API server accepts `managedFields` that no client can parse; without them the object is read anyway.
fn add<K: DeserializeOwned>(objects: &mut Vec<K>, json: &mut Value) -> Result<(), String> {
    let object = match serde_json::from_value(json.clone()) {
        Ok(object) => object,
        Err(error) => {
            if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            // A Secret's content must not be quoted.
            serde_json::from_value(json.take()).map_err(|_again| {
                let what = if error.is_data() {
                    "does not fit its kind"
                } else {
                    "is no object"
                };
                format!("it {what}")
            })?
        }
    };
    objects.push(object);
    Ok(())
}
