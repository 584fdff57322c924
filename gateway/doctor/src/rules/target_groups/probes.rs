//! GW204 and GW208: bindings that leave something to others.

use serde_json::json;

use super::bound::{Bound, bound};
use crate::finding::{Finding, Id, Severity};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::list;

pub(super) const NETWORKING: Rule = Rule {
    id: Id("GW204"),
    severity: Severity::Warning,
    condition: "A TargetGroupBinding has no `networking`.",
    effect: "The controller opens no security group. Unless somebody else does, all targets are red (`Request timed out`).",
    fix: "`networking` with the security group of the load balancer, or the same rules where your security groups are made.",
    needs: &[Kind::TargetGroupBinding, Kind::Service],
    look: networking,
};

pub(super) const TARGET_TYPE: Rule = Rule {
    id: Id("GW208"),
    severity: Severity::Info,
    condition: "A TargetGroupBinding does not say its `targetType`.",
    effect: "The controller's webhook asks AWS and fills it in. Nobody who reads the manifest knows whether nodes or pods are registered.",
    fix: "`targetType: ip` or `targetType: instance`.",
    needs: &[Kind::TargetGroupBinding, Kind::Service],
    look: target_type,
};

fn networking(scene: &Scene<'_>, found: &mut Found) {
    for bound in bound(scene) {
        if bound.binding.spec.networking.is_some() {
            continue;
        }
        let ports = ports(&bound);
        let text = format!(
            "Security-group rules are yours: open {} from the security group of the load balancer.",
            if ports.is_empty() {
                "the ports of the target group".to_owned()
            } else {
                list(ports.iter().map(ToString::to_string))
            }
        );
        let allowed: Vec<_> = ports
            .iter()
            .map(|port| json!({"protocol": "TCP", "port": port}))
            .collect();
        let from = json!([{"securityGroup": {"groupID": "sg-OF-THE-LOAD-BALANCER"}}]);
        found.findings.push(
            Finding::new(NETWORKING.id, NETWORKING.severity, bound.object(), text)
                .evidence(bound.object(), "spec.networking", "(not set)")
                .effect("Unless those rules are there, all targets are red with `Request timed out`, and clients get 504.")
                .fix(
                    "Let the controller open them. Put in the group of the load balancer.",
                    bound.object().patch(&json!({"spec": {"networking": {"ingress": [{"from": from, "ports": allowed}]}}})),
                )
                .advice("Or keep them where your security groups are made, and check there that both ports are open."),
        );
    }
}

/// The ports that a load balancer calls: the door's, and that of health checks.
fn ports(bound: &Bound<'_>) -> Vec<i32> {
    let Some(path) = bound.path else { return Vec::new() };
    if bound.binding.target_type() == Some("instance") {
        return path.port.node_port.into_iter().collect();
    }
    let admin = path
        .workload
        .configuration
        .admin
        .map(|admin| i32::from(admin.port()));
    path.target_port.into_iter().chain(admin).collect()
}

fn target_type(scene: &Scene<'_>, found: &mut Found) {
    for bound in bound(scene) {
        if bound.binding.target_type().is_none() {
            found.findings.push(
                Finding::new(
                    TARGET_TYPE.id,
                    TARGET_TYPE.severity,
                    bound.object(),
                    "`targetType` is not set: the controller's webhook infers it.",
                )
                .evidence(bound.object(), "spec.targetType", "(not set)")
                .effect("None, while the webhook runs. What depends on it (GW103, GW201, GW203) could not be looked at here.")
                .advice("Write it into the manifest: `targetType: ip` where pods are registered, `targetType: instance` for nodes."),
            );
        }
    }
}
