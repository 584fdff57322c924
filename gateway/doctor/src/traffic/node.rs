//! Nodes, as load balancers and cloud providers see them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;

use crate::finding::ObjectName;
use crate::kind::Kind;

/// Nodes with this label are not registered with load balancers (Kubernetes, well-known labels).
pub(crate) const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The cluster autoscaler is about to delete the node.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// Karpenter is about to delete the node.
const DISRUPTED: &str = "karpenter.sh/disrupted";

/// Labels of nodes that their provider may take away at any time, and the value that says so.
const SPOT: [(&str, &str); 5] = [
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
];

/// A node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeView<'i>(pub(crate) &'i Node);

impl<'i> NodeView<'i> {
    pub(crate) fn name(self) -> &'i str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn object(self) -> ObjectName {
        ObjectName::of(Kind::Node, &self.0.metadata)
    }

    pub(crate) fn label(self, key: &str) -> Option<&'i str> {
        self.0.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    pub(crate) fn labels(self) -> Option<&'i BTreeMap<String, String>> {
        self.0.metadata.labels.as_ref()
    }

    /// `status.conditions[Ready]`
    pub(crate) fn is_ready(self) -> bool {
        let status = self.0.status.iter();
        let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// Whether the cloud provider registers it with load balancers of Services, whether it is ready or not: `cloud-provider`,
    /// `controllers/service/controller.go`, `stableNodeSetPredicates`.
    pub(crate) fn is_eligible(self) -> bool {
        self.0.metadata.deletion_timestamp.is_none() && !self.is_excluded() && !self.has_taint(TO_BE_DELETED)
    }

    /// Whether the AWS Load Balancer Controller registers it as a target of type `instance`.
    pub(crate) fn is_instance_target(self) -> bool {
        self.is_ready()
            && !self.is_excluded()
            && self.label("node-role.kubernetes.io/master").is_none()
            && self.label("eks.amazonaws.com/compute-type") != Some("fargate")
            && !self.has_taint(TO_BE_DELETED)
            && !self.has_taint(DISRUPTED)
    }

    /// The label's value counts only where it is a truth value that says no, as Go reads it (`strconv.ParseBool`).
    fn is_excluded(self) -> bool {
        const FALSE: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];
        self.label(EXCLUDE_LABEL)
            .is_some_and(|value| !FALSE.contains(&value))
    }

    fn has_taint(self, key: &str) -> bool {
        let spec = self.0.spec.iter();
        let mut taints = spec.flat_map(|spec| spec.taints.iter().flatten());
        taints.any(|taint| taint.key == key)
    }

    /// The label that says that the provider may take it away at any time.
    pub(crate) fn spot(self) -> Option<(&'static str, &'i str)> {
        SPOT.into_iter().find_map(|(key, value)| {
            let written = self.label(key)?;
            (written == value).then_some((key, written))
        })
    }

    /// `topology.kubernetes.io/zone`
    pub(crate) fn zone(self) -> Option<&'i str> {
        self.label("topology.kubernetes.io/zone")
    }

    /// Whether this is its name, its host name or one of its addresses.
    pub(crate) fn is_called(self, name: &str) -> bool {
        let status = self.0.status.iter();
        let mut addresses = status.flat_map(|status| status.addresses.iter().flatten());
        self.name() == name || addresses.any(|address| address.address == name)
    }
}
