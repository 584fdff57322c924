//! GW107

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::traffic::{Via, health_check_node_port, is_local};

pub(super) const RULE: Rule = Rule {
    id: Id("GW107"),
    severity: Severity::Warning,
    condition: "The `externalTrafficPolicy` of a Service behind a load balancer of nodes was written in the last ten minutes, after \
                the Service was made; or it is `Local` without a `healthCheckNodePort`.",
    effect: "Requests fail until the health checks have settled, for up to a minute.",
    fix: "Wait; the next time, change it on a second Service and move DNS.",
    needs: &[Kind::Node, Kind::Service],
    look,
};

/// For so long a change is told.
const RECENT: i64 = 600;
/// What is written within so many seconds of the creation belongs to it.
const CREATION: i64 = 5;

fn look(scene: &Scene<'_>, found: &mut Found) {
    for (service, _) in scene.services() {
        let fronts = scene.fronts(service);
        let mut of_nodes = fronts.iter().filter(|front| front.nodes().is_some());
        let Some(front) = of_nodes.next() else { continue };
        let object = ObjectName::of(Kind::Service, &service.metadata);
        if let Some((manager, seconds)) = changed(service, scene.now) {
            found.findings.push(finding(service, &object, manager, seconds));
        }
        if is_local(service)
            && matches!(front.via, Via::LoadBalancer)
            && health_check_node_port(service).is_none()
        {
            found.findings.push(without_port(&object));
        }
    }
}

/// Who last wrote the policy, and how many seconds ago, if it was recently and not with the Service's creation.
fn changed(service: &Service, now: Timestamp) -> Option<(&str, i64)> {
    let created = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let entries = service.metadata.managed_fields.iter().flatten();
    let written = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.pointer("/f:spec/f:externalTrafficPolicy").is_some())
    });
    let written = written.filter_map(|entry| Some((entry.manager.as_deref()?, entry.time.as_ref()?.0)));
    let (manager, at) = written.max_by_key(|(_, at)| *at)?;
    let is_creation = created.is_some_and(|created| at.as_second() - created.as_second() <= CREATION);
    let seconds = now.as_second() - at.as_second();
    (!is_creation && (0..=RECENT).contains(&seconds)).then_some((manager, seconds))
}

fn finding(service: &Service, object: &ObjectName, manager: &str, seconds: i64) -> Finding {
    let policy = if is_local(service) { "Local" } else { "Cluster" };
    let ago = match seconds {
        0..=119 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    };
    Finding::new(
        RULE.id,
        RULE.severity,
        object.clone(),
        format!(
            "`{manager}` wrote the Service {ago} ago, with `externalTrafficPolicy: {policy}`. If that is a change, requests fail \
             until the load balancer's health checks have settled."
        ),
    )
    .evidence(
        object.clone(),
        format!("metadata.managedFields[{manager}].time"),
        format!("{ago} before this report"),
    )
    .evidence(object.clone(), "spec.externalTrafficPolicy", policy)
    .effect(
        "To `Local`: nodes without a gateway drop at once, and stay in rotation until their checks fail. To `Cluster`: the port of \
         the health check is freed, and the load balancer must be told the new one. Up to a minute of timeouts either way.",
    )
    .advice(
        "Wait a minute, and look again. The next time: have a gateway on every node first, or make a second Service with the other \
         policy and move DNS to it.",
    )
}

fn without_port(object: &ObjectName) -> Finding {
    Finding::new(
        RULE.id,
        RULE.severity,
        object.clone(),
        "The policy is `Local`, and no `healthCheckNodePort` is allocated: the load balancer cannot tell which nodes run a gateway.",
    )
    .evidence(object.clone(), "spec.externalTrafficPolicy", "Local")
    .evidence(object.clone(), "spec.healthCheckNodePort", "none")
    .effect("All nodes are red, or nodes without a gateway stay green and drop, as the load balancer takes it.")
    .fix(
        "Have it allocated again, by way of `Cluster`.",
        format!(
            "{}\n{}",
            object.patch(&json!({"spec": {"externalTrafficPolicy": "Cluster"}})),
            object.patch(&json!({"spec": {"externalTrafficPolicy": "Local"}}))
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::Fixture;

    /// The Service's policy was written at this time, and the Service made at noon less an hour.
    fn cluster(written: &str, field: &str) -> Fixture {
        let mut fixture = Fixture::new()
            .nodes(&["a"])
            .daemon_set(&["a"], json!({}))
            .service(
                "gateway",
                json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30000}),
            );
        let metadata = &mut fixture.inventory.services[0].metadata;
        metadata.creation_timestamp = serde_json::from_value(json!("2026-11-27T11:00:00Z")).unwrap();
        metadata.managed_fields = serde_json::from_value(json!([
            {"manager": "kubectl-patch", "operation": "Update", "time": written, "fieldsV1": {"f:spec": {field: {}}}},
        ]))
        .unwrap();
        fixture
    }

    #[test]
    fn a_policy_that_was_just_changed_is_told() {
        let found = cluster("2026-11-27T11:55:00Z", "f:externalTrafficPolicy").findings("GW107");
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(
            finding
                .finding
                .starts_with("`kubectl-patch` wrote the Service 5 minutes ago"),
            "{finding:?}"
        );
        let quiet = [
            ("long ago", "2026-11-27T11:40:00Z", "f:externalTrafficPolicy"),
            (
                "with the creation",
                "2026-11-27T11:00:01Z",
                "f:externalTrafficPolicy",
            ),
            ("another field", "2026-11-27T11:55:00Z", "f:ports"),
        ];
        for (name, at, field) in quiet {
            assert_eq!(cluster(at, field).findings("GW107"), [], "{name}");
        }
    }

    #[test]
    fn local_needs_a_port_for_its_health_check() {
        let mut fixture = cluster("2026-11-27T11:00:00Z", "f:ports");
        fixture.inventory.services[0]
            .spec
            .as_mut()
            .unwrap()
            .health_check_node_port = None;
        assert_eq!(fixture.findings("GW107").len(), 1);
    }
}
