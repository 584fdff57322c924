//! `elbv2.k8s.aws/v1beta1` TargetGroupBinding, as far as it is looked at.
//!
//! Source: `apis/elbv2/v1beta1/targetgroupbinding_types.go` of the AWS Load Balancer Controller.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

/// Binds the endpoints of a Service's port to a target group.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct TargetGroupBinding {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: TargetGroupBindingSpec,
}

/// `spec` of a TargetGroupBinding.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroupBindingSpec {
    /// `targetGroupARN`
    #[serde(rename = "targetGroupARN")]
    pub target_group_arn: Option<String>,
    /// `targetGroupName`, where there is no ARN.
    pub target_group_name: Option<String>,
    /// `targetType`; the controller's webhook fills it in when it is empty.
    pub target_type: Option<String>,
    /// `serviceRef`
    #[serde(default)]
    pub service_ref: ServiceReference,
    /// `networking`: without it, the controller opens nothing.
    pub networking: Option<Networking>,
    /// `nodeSelector`: which nodes are registered, with `targetType: instance`.
    pub node_selector: Option<LabelSelector>,
    /// `multiClusterTargetGroup`: other targets of the group are left alone.
    pub multi_cluster_target_group: Option<bool>,
    /// `targetGroupProtocol`
    pub target_group_protocol: Option<String>,
}

/// `spec.serviceRef`: a Service of the same namespace and one of its ports.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ServiceReference {
    /// Its name.
    pub name: String,
    /// A number or a name of its ports.
    pub port: Option<IntOrString>,
}

/// `spec.networking`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Networking {
    /// `ingress`
    #[serde(default)]
    pub ingress: Vec<NetworkingRule>,
}

/// `spec.networking.ingress[]`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NetworkingRule {
    /// `from`
    #[serde(default)]
    pub from: Vec<NetworkingPeer>,
    /// `ports`; none: all of them.
    #[serde(default)]
    pub ports: Vec<NetworkingPort>,
}

/// `spec.networking.ingress[].from[]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkingPeer {
    /// A network.
    pub ip_block: Option<IpBlock>,
    /// A security group.
    pub security_group: Option<SecurityGroup>,
}

/// `ipBlock`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IpBlock {
    /// `cidr`
    pub cidr: String,
}

/// `securityGroup`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SecurityGroup {
    /// `groupID`
    #[serde(rename = "groupID")]
    pub group_id: String,
}

/// `spec.networking.ingress[].ports[]`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NetworkingPort {
    /// `protocol`
    pub protocol: Option<String>,
    /// `port`; none: all of them.
    pub port: Option<IntOrString>,
}

impl TargetGroupBinding {
    /// How its targets are registered: `instance` or `ip`; `None` when only the webhook knows.
    #[must_use]
    pub fn target_type(&self) -> Option<&str> {
        self.spec.target_type.as_deref().filter(|text| !text.is_empty())
    }

    /// What names the target group: its ARN, or its name.
    #[must_use]
    pub fn target_group(&self) -> &str {
        let written = [&self.spec.target_group_arn, &self.spec.target_group_name];
        written
            .into_iter()
            .filter_map(|text| text.as_deref())
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }
}
