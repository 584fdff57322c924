//! The kinds of objects that are looked at.

use std::fmt;

use serde::{Serialize, Serializer};

/// A kind of object that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1`
    Node,
    /// `v1`
    Namespace,
    /// `v1`
    Pod,
    /// `v1`
    Service,
    /// `discovery.k8s.io/v1`
    EndpointSlice,
    /// `apps/v1`
    DaemonSet,
    /// `apps/v1`
    Deployment,
    /// `policy/v1`
    PodDisruptionBudget,
    /// `networking.k8s.io/v1`
    Ingress,
    /// `networking.k8s.io/v1`
    IngressClass,
    /// `elbv2.k8s.aws/v1beta1`, of the AWS Load Balancer Controller
    TargetGroupBinding,
    /// `traefik.io/v1alpha1`
    Middleware,
    /// `rbac.authorization.k8s.io/v1`
    ClusterRole,
    /// `rbac.authorization.k8s.io/v1`
    ClusterRoleBinding,
    /// `v1`; only those that pods of the gateway mount or name
    ConfigMap,
    /// `v1`; only those that doors or their Ingresses name
    Secret,
}

/// What the API says of a kind.
struct Api {
    name: &'static str,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    /// As `kubectl` takes it.
    short: &'static str,
    is_namespaced: bool,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::Node,
        Self::Namespace,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::DaemonSet,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::Ingress,
        Self::IngressClass,
        Self::TargetGroupBinding,
        Self::Middleware,
        Self::ClusterRole,
        Self::ClusterRoleBinding,
        Self::ConfigMap,
        Self::Secret,
    ];

    /// Whether all objects of the kind are listed. Others are read one by one, those that are named.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        !matches!(self, Self::ConfigMap | Self::Secret)
    }

    fn api(self) -> Api {
        let of = |name, group, version, plural, short, is_namespaced| Api {
            name,
            group,
            version,
            plural,
            short,
            is_namespaced,
        };
        const RBAC: &str = "rbac.authorization.k8s.io";
        match self {
            Self::Node => of("Node", "", "v1", "nodes", "no", false),
            Self::Namespace => of("Namespace", "", "v1", "namespaces", "ns", false),
            Self::Pod => of("Pod", "", "v1", "pods", "po", true),
            Self::Service => of("Service", "", "v1", "services", "svc", true),
            Self::EndpointSlice => of(
                "EndpointSlice",
                "discovery.k8s.io",
                "v1",
                "endpointslices",
                "endpointslice",
                true,
            ),
            Self::DaemonSet => of("DaemonSet", "apps", "v1", "daemonsets", "ds", true),
            Self::Deployment => of("Deployment", "apps", "v1", "deployments", "deploy", true),
            Self::PodDisruptionBudget => of(
                "PodDisruptionBudget",
                "policy",
                "v1",
                "poddisruptionbudgets",
                "pdb",
                true,
            ),
            Self::Ingress => of("Ingress", "networking.k8s.io", "v1", "ingresses", "ing", true),
            Self::IngressClass => of(
                "IngressClass",
                "networking.k8s.io",
                "v1",
                "ingressclasses",
                "ingressclass",
                false,
            ),
            Self::TargetGroupBinding => of(
                "TargetGroupBinding",
                "elbv2.k8s.aws",
                "v1beta1",
                "targetgroupbindings",
                "targetgroupbinding",
                true,
            ),
            Self::Middleware => of(
                "Middleware",
                "traefik.io",
                "v1alpha1",
                "middlewares",
                "middleware",
                true,
            ),
            Self::ClusterRole => of("ClusterRole", RBAC, "v1", "clusterroles", "clusterrole", false),
            Self::ClusterRoleBinding => of(
                "ClusterRoleBinding",
                RBAC,
                "v1",
                "clusterrolebindings",
                "clusterrolebinding",
                false,
            ),
            Self::ConfigMap => of("ConfigMap", "", "v1", "configmaps", "cm", true),
            Self::Secret => of("Secret", "", "v1", "secrets", "secret", true),
        }
    }

    /// `kind`
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.api().name
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.api().group
    }

    /// The version in its group.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.api().version
    }

    /// The name of the resource in paths and in RBAC rules.
    #[must_use]
    pub fn plural(self) -> &'static str {
        self.api().plural
    }

    /// Whether its objects are in namespaces.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self.api().is_namespaced
    }

    /// The kind that a file is named after, as in `nodes.json`, `targetgroupbindings.elbv2.k8s.aws.yaml`, `svc.yaml`.
    #[must_use]
    pub fn of_file_name(stem: &str) -> Option<Self> {
        let stem = stem.to_ascii_lowercase();
        let word = stem.split('.').next().unwrap_or_default();
        Self::ALL.into_iter().find(|kind| {
            let api = kind.api();
            word == api.plural || word == api.short || word == api.name.to_ascii_lowercase()
        })
    }

    /// The kind of an object with this `apiVersion` and `kind`. The version of the API does not matter: what it serves is
    /// what is read.
    #[must_use]
    pub fn of_object(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == kind && known.group() == group)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
