//! GW205 and GW206: what several bindings share.

use std::collections::BTreeMap;

use serde_json::json;

use super::bound::{Bound, Side, bound, side};
use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::target_group_binding::TargetGroupBinding;

pub(super) const ONE_GROUP: Rule = Rule {
    id: Id("GW205"),
    severity: Severity::Error,
    condition: "Two TargetGroupBindings name the same target group without `multiClusterTargetGroup: true`.",
    effect: "For each binding, the controller deregisters the targets of the other: they come and go, and requests fail.",
    fix: "One binding for each target group; or `multiClusterTargetGroup: true` on both.",
    needs: &[Kind::TargetGroupBinding, Kind::Service],
    look: one_group,
};

pub(super) const ONE_SECURITY_GROUP: Rule = Rule {
    id: Id("GW206"),
    severity: Severity::Warning,
    condition: "The same security group is let in by bindings of internal and of external doors.",
    effect: "The load balancers share a path to the doors: whatever has that group reaches both sides, and security groups are no second \
             wall.",
    fix: "A security group of its own for each load balancer.",
    needs: &[Kind::TargetGroupBinding, Kind::Service],
    look: one_security_group,
};

fn one_group(scene: &Scene<'_>, found: &mut Found) {
    let ours = bound(scene);
    let mut reported: Vec<&str> = Vec::new();
    for bound in &ours {
        let group = bound.binding.target_group();
        let same = scene
            .inventory
            .target_group_bindings
            .iter()
            .filter(|other| is_same(group, other.target_group()));
        let same: Vec<&TargetGroupBinding> = same.collect();
        let is_alone = |binding: &&&TargetGroupBinding| binding.spec.multi_cluster_target_group != Some(true);
        let alone: Vec<&&TargetGroupBinding> = same.iter().filter(is_alone).collect();
        if group.is_empty()
            || same.len() < 2
            || alone.is_empty()
            || reported.iter().any(|known| is_same(known, group))
        {
            continue;
        }
        reported.push(group);
        let name = |binding: &TargetGroupBinding| ObjectName::of(Kind::TargetGroupBinding, &binding.metadata);
        let mut finding = Finding::new(
            ONE_GROUP.id,
            ONE_GROUP.severity,
            bound.object(),
            format!(
                "{} bindings name target group {group}: for each, the controller deregisters the other's targets.",
                same.len()
            ),
        );
        for binding in &same {
            let multi = binding.spec.multi_cluster_target_group;
            finding = finding.evidence(
                name(binding),
                "spec.multiClusterTargetGroup",
                multi.map_or("(not set)".to_owned(), |multi| multi.to_string()),
            );
        }
        let patches = alone
            .iter()
            .map(|binding| name(binding).patch(&json!({"spec": {"multiClusterTargetGroup": true}})));
        let patches = patches.collect::<Vec<_>>().join("\n");
        let mut finding =
            finding.effect("Targets come and go, and requests fail with 503 while there are none.");
        if let Some(other) = same.iter().find(|other| !std::ptr::eq(**other, bound.binding)) {
            finding = finding.fix(
                "Keep one binding for each target group.",
                format!("kubectl delete {}", name(other).kubectl()),
            );
        }
        found.findings.push(finding.fix(
            "Or share the group on purpose. Do not take that back later: the controller would leave the targets of before in the group.",
            patches,
        ));
    }
}

/// A group may be named by its ARN or by its name.
fn is_same(one: &str, other: &str) -> bool {
    let name = |group: &str| group.split('/').nth(1).unwrap_or(group).to_owned();
    let is_arn = |group: &str| group.starts_with("arn:");
    if is_arn(one) == is_arn(other) {
        one == other
    } else {
        name(one) == name(other)
    }
}

fn one_security_group(scene: &Scene<'_>, found: &mut Found) {
    let ours = bound(scene);
    let mut of_group: BTreeMap<&str, Vec<(Side, &Bound<'_>)>> = BTreeMap::new();
    for bound in &ours {
        // The load balancer is known by its target group, wherever that leads.
        let of_door = || bound.door().and_then(|door| side(door.name.as_str()));
        let Some(side) = side(bound.group_name()).or_else(of_door) else {
            continue;
        };
        let rules = bound
            .binding
            .spec
            .networking
            .iter()
            .flat_map(|networking| &networking.ingress);
        for peer in rules.flat_map(|rule| &rule.from) {
            if let Some(group) = &peer.security_group {
                of_group.entry(&group.group_id).or_default().push((side, bound));
            }
        }
    }
    for (group, bindings) in of_group {
        let of = |wanted: Side| bindings.iter().find(|(side, _)| *side == wanted);
        let (Some((_, internal)), Some((_, external))) = (of(Side::Internal), of(Side::External)) else {
            continue;
        };
        let field = "spec.networking.ingress[].from[].securityGroup.groupID";
        found.findings.push(
            Finding::new(
                ONE_SECURITY_GROUP.id,
                ONE_SECURITY_GROUP.severity,
                internal.object(),
                format!("Security group {group} is let in to internal and to external doors: the load balancers share a path to them."),
            )
            .evidence(internal.object(), field, group)
            .evidence(external.object(), field, group)
            .effect(
                "Nothing is seen. Whatever has that group, the external load balancer with it, can open connections to the internal \
                 doors: the outer wall is missing.",
            )
            .advice(
                "Give the internal and the external load balancer a security group each, and name in each binding that of its own load \
                 balancer.",
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::fixture::Fixture;

    const ARN: &str =
        "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/gw-external-http/0123456789abcdef";

    fn two(first: Value, second: Value) -> Fixture {
        let binding = |name: &str, spec: Value| {
            let mut all =
                json!({"targetType": "ip", "serviceRef": {"name": "gateway", "port": "external-http"}});
            crate::fixture::merge(&mut all, &spec);
            json!({"apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
                   "metadata": {"name": name, "namespace": "blastdoor"}, "spec": all})
        };
        let cluster = Fixture::new()
            .nodes(&["a"])
            .daemon_set(&["a"], json!({}))
            .service("gateway", json!({}));
        cluster.with(binding("one", first)).with(binding("two", second))
    }

    #[test]
    fn a_target_group_has_one_binding_or_is_shared_on_purpose() {
        let group =
            |arn: &str, multi: Option<bool>| json!({"targetGroupARN": arn, "multiClusterTargetGroup": multi});
        let other = ARN.replace("gw-external-http", "gw-other");
        let table = [
            (group(ARN, None), group(ARN, None), 1),
            (group(ARN, Some(true)), group(ARN, None), 1),
            (group(ARN, Some(true)), group(ARN, Some(true)), 0),
            (
                group(ARN, None),
                json!({"targetGroupName": "gw-external-http"}),
                1,
            ),
            (group(ARN, None), group(&other, None), 0),
            (json!({}), json!({}), 0),
        ];
        for (first, second, expected) in table {
            let text = format!("{first} {second}");
            assert_eq!(two(first, second).findings("GW205").len(), expected, "{text}");
        }
    }

    #[test]
    fn each_side_has_security_groups_of_its_own() {
        let from = |port: &str, groups: &[&str]| {
            let from: Vec<Value> = groups
                .iter()
                .map(|group| json!({"securityGroup": {"groupID": group}}))
                .collect();
            json!({"serviceRef": {"port": port}, "networking": {"ingress": [{"from": from, "ports": []}]}})
        };
        let table = [
            (
                from("internal-http", &["sg-1"]),
                from("external-http", &["sg-2"]),
                0,
            ),
            (
                from("internal-http", &["sg-1", "sg-3"]),
                from("external-https", &["sg-2", "sg-3"]),
                1,
            ),
            (
                from("internal-http", &["sg-1"]),
                from("internal-https", &["sg-1"]),
                0,
            ),
        ];
        for (first, second, expected) in table {
            let text = format!("{first} {second}");
            assert_eq!(two(first, second).findings("GW206").len(), expected, "{text}");
        }
    }
}
