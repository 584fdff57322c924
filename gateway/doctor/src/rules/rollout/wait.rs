//! GW402: a door that closes before its load balancer knows.

use std::time::Duration;

use super::profile::{self, Profile};
use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::{Door, Workload};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};

pub(super) const RULE: Rule = Rule {
    id: Id("GW402"),
    severity: Severity::Warning,
    condition: "`drain.wait` of a door is shorter than what reaches it needs to notice: ALB with pods 25 s, with nodes 30 s; NLB 150 s; GKE \
                `Local` 15 s, `Cluster` 35 s, network endpoint groups 40 s; Cloudflare on the nodes' ports 2 s.",
    effect: "The load balancer still sends new connections to a door that is closed: 502, 503 or timeouts at each rollout.",
    fix: "A longer `drain.wait`, and a grace period that covers it.",
    needs: &[Kind::Service, Kind::Node],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        for door in &workload.configuration.doors {
            let Some((profile, object)) = profile::of(scene, workload, door) else {
                continue;
            };
            if door.drain_wait < Duration::from_secs(profile.wait()) {
                found.findings.push(finding(workload, door, profile, object));
            }
        }
    }
}

fn finding(workload: &Workload<'_>, door: &Door, profile: Profile, object: ObjectName) -> Finding {
    let name = &workload.name;
    let (wait, needed) = (door.drain_wait.as_secs_f64(), profile.wait());
    let timeout = door.drain_timeout.as_secs();
    Finding::new(
        RULE.id,
        RULE.severity,
        name.clone(),
        format!(
            "Door `{}` closes {wait} s after SIGTERM, and {} may send new connections for {needed} s.",
            door.name,
            profile.name()
        ),
    )
    .evidence(name.clone(), format!("listeners.{}.drain.wait", door.name), format!("{wait} s"))
    .evidence(object, "what reaches the door", profile.name())
    .effect("At each rollout and each drain of a node, new connections are refused for a while: 502 or 503 from the load balancer, or timeouts.")
    .fix(
        format!(
            "Take connections for as long as they come, and let `terminationGracePeriodSeconds` be {} at least.",
            needed.saturating_add(timeout).saturating_add(5)
        ),
        format!("# listeners.toml\n[listeners.{}]\ndrain = {{ wait = \"{needed}s\", timeout = \"{timeout}s\" }}", door.name),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::Fixture;
    use crate::gateway::Front;

    #[test]
    fn a_door_waits_for_what_reaches_it() {
        let binding = |kind: &str, protocol: Value| {
            json!({
                "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
                "metadata": {"name": "external-http", "namespace": "blastdoor"},
                "spec": {"targetGroupName": "external-http", "targetType": kind, "targetGroupProtocol": protocol,
                         "serviceRef": {"name": "gateway", "port": "external-http"}},
            })
        };
        let node = |id: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "p"}, "spec": {"providerID": id}});
        let gce = || Some(node("gce://project/zone/p"));
        let table = [
            (Front::Alb, json!({}), Some(binding("ip", json!(null))), 25),
            (
                Front::Alb,
                json!({"type": "NodePort"}),
                Some(binding("instance", json!("HTTP"))),
                30,
            ),
            (Front::Alb, json!({"type": "NodePort"}), None, 30),
            (Front::Nlb, json!({}), Some(binding("ip", json!(null))), 150),
            (Front::Other, json!({}), Some(binding("ip", json!("TCP"))), 150),
            (
                Front::Other,
                json!({"type": "LoadBalancer", "loadBalancerClass": "service.k8s.aws/nlb"}),
                None,
                150,
            ),
            (
                Front::Other,
                json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
                gce(),
                15,
            ),
            (Front::Other, json!({"type": "LoadBalancer"}), gce(), 35),
            (Front::Other, json!({"type": "LoadBalancer"}), None, 0),
            (Front::Alb, json!({}), None, 0),
        ];
        for (front, service, more, needed) in table {
            for wait in [needed, u64::saturating_sub(needed, 1)] {
                let mut fixture = Fixture::new()
                    .nodes(&["a"])
                    .daemon_set(&["a"], json!({}))
                    .service("gateway", service.clone());
                if let Some(object) = &more {
                    fixture = fixture.with(object.clone());
                }
                for door in &mut fixture.configuration.doors {
                    door.drain_wait = Duration::from_secs(1_000);
                }
                let fixture = fixture.door("external-http", |door| {
                    door.front = front;
                    door.drain_wait = Duration::from_secs(wait);
                });
                let found = fixture.findings("GW402");
                assert_eq!(
                    !found.is_empty(),
                    wait < needed,
                    "{front:?} {service} {more:?} {wait}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn ports_of_nodes_need_no_service() {
        let on_host = json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"});
        let container = json!({"name": "blastdoor", "image": "blastdoor:0.1.0", "ports": [{"containerPort": 10002, "hostPort": 80}]});
        let table = [
            (Front::Cloudflare, on_host.clone(), 2),
            (Front::Alb, json!({"containers": [container]}), 30),
            (Front::Alb, json!({}), 0),
            (Front::Other, on_host, 0),
        ];
        for (front, spec, needed) in table {
            for wait in [needed, u64::saturating_sub(needed, 1)] {
                let fixture = Fixture::new()
                    .nodes(&["a"])
                    .daemon_set(&["a"], spec.clone())
                    .door("external-http", |door| {
                        door.front = front;
                        door.drain_wait = Duration::from_secs(wait);
                    });
                let found = fixture.findings("GW402");
                assert_eq!(
                    !found.is_empty(),
                    wait < needed,
                    "{front:?} {spec} {wait}: {found:?}"
                );
            }
        }
    }
}
