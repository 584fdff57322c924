//! GW303: ports below 1024 without the right to bind them.

use k8s_openapi::api::core::v1::{Capabilities, ContainerStatus, Pod};
use serde_json::json;

use crate::finding::{Finding, Id, Severity};
use crate::gateway::{Door, Workload};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::list;

/// Below it, ports are privileged unless a sysctl says otherwise (`ip_unprivileged_port_start`).
const FIRST_FREE: u16 = 1024;
const SYSCTL: &str = "net.ipv4.ip_unprivileged_port_start";
const CAPABILITY: &str = "NET_BIND_SERVICE";

pub(super) const RULE: Rule = Rule {
    id: Id("GW303"),
    severity: Severity::Error,
    condition: "A door has a port below 1024, the process is not root, it has not both the capability NET_BIND_SERVICE and an image whose file \
                has it, no sysctl allows it, and no pod is ready or one that is not has ended before.",
    effect: "`bind: permission denied`: the pods restart for ever. `add: [NET_BIND_SERVICE]` alone gives a non-root process nothing, because \
             Kubernetes sets no ambient capabilities.",
    fix: "Ports from 1024 and `hostPort`; or the sysctl on the nodes; or the image variant `-netbind`.",
    needs: &[Kind::Pod],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        let first = unprivileged_start(workload);
        let doors = workload.configuration.doors.iter();
        let low: Vec<&Door> = doors.filter(|door| door.port() < first).collect();
        // A sysctl of the node is not known here. Ready pods have bound their ports; others may just be starting or leaving.
        let fails = workload.pods.iter().all(|pod| !super::coverage::is_ready(pod))
            || workload.pods.iter().any(|pod| has_failed(pod));
        if !low.is_empty() && fails && !may_bind(workload) {
            found.findings.push(finding(workload, &low));
        }
    }
}

/// Whether a pod that is to stay is not ready, and has ended before.
fn has_failed(pod: &Pod) -> bool {
    let statuses = pod.status.iter();
    let mut containers = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    let has_ended = |container: &ContainerStatus| {
        let state = container.state.as_ref();
        container.restart_count > 0 || state.is_some_and(|state| state.terminated.is_some())
    };
    pod.metadata.deletion_timestamp.is_none() && !super::coverage::is_ready(pod) && containers.any(has_ended)
}

/// The first port that the pods' own network lets everybody bind.
fn unprivileged_start(workload: &Workload<'_>) -> u16 {
    let context = workload.spec.security_context.iter();
    let mut sysctls = context.flat_map(|context| context.sysctls.iter().flatten());
    let own = sysctls.find(|sysctl| sysctl.name == SYSCTL);
    own.and_then(|sysctl| sysctl.value.parse().ok())
        .unwrap_or(FIRST_FREE)
}

fn capabilities<'w>(workload: &'w Workload<'_>) -> Option<&'w Capabilities> {
    workload
        .container
        .security_context
        .as_ref()?
        .capabilities
        .as_ref()
}

fn lists(names: Option<&Vec<String>>, capability: &str) -> bool {
    let mut names = names.into_iter().flatten();
    names.any(|name| name == capability || name == "ALL")
}

fn user(workload: &Workload<'_>) -> Option<i64> {
    let own = workload
        .container
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user);
    own.or_else(|| {
        workload
            .spec
            .security_context
            .as_ref()
            .and_then(|context| context.run_as_user)
    })
}

/// Whether the image is the variant whose file has the capability.
fn has_file_capability(workload: &Workload<'_>) -> bool {
    workload
        .container
        .image
        .as_deref()
        .is_some_and(|image| image.contains("netbind"))
}

fn may_bind(workload: &Workload<'_>) -> bool {
    let context = workload.container.security_context.as_ref();
    if context.is_some_and(|context| context.privileged == Some(true)) {
        return user(workload) == Some(0);
    }
    let capabilities = capabilities(workload);
    let is_added = lists(capabilities.and_then(|it| it.add.as_ref()), CAPABILITY);
    let is_dropped = lists(capabilities.and_then(|it| it.drop.as_ref()), CAPABILITY);
    // The image says 65532 where nothing else does.
    let is_root = user(workload) == Some(0);
    // Container runtimes give root the capability unless it is dropped.
    if is_root {
        is_added || !is_dropped
    } else {
        (is_added || !is_dropped) && has_file_capability(workload)
    }
}

fn finding(workload: &Workload<'_>, low: &[&Door]) -> Finding {
    let name = &workload.name;
    let ports = list(
        low.iter()
            .map(|door| format!("{} (door `{}`)", door.port(), door.name)),
    );
    let user = user(workload).map_or_else(
        || "not set: the image's, 65532".to_owned(),
        |user| user.to_string(),
    );
    let capabilities = capabilities(workload);
    let is_added = lists(capabilities.and_then(|it| it.add.as_ref()), CAPABILITY);
    let why = if is_added && !has_file_capability(workload) {
        " NET_BIND_SERVICE is added, but a process that is not root has it only if the file of its program has it too."
    } else {
        ""
    };
    let field = "spec.template.spec.containers[].securityContext";
    let mut finding = Finding::new(
        RULE.id,
        RULE.severity,
        name.clone(),
        format!("bind: permission denied. A process that is not root may not bind port {ports}.{why}"),
    )
    .evidence(name.clone(), format!("{field}.runAsUser"), user)
    .evidence(
        name.clone(),
        format!("{field}.capabilities"),
        capabilities.map_or("(not set)".to_owned(), |it| {
            let names = |names: &Option<Vec<String>>| list(names.iter().flatten());
            format!("add [{}], drop [{}]", names(&it.add), names(&it.drop))
        }),
    )
    .evidence(
        name.clone(),
        "spec.template.spec.containers[].image",
        workload.container.image.as_deref().unwrap_or_default(),
    );
    for door in low {
        finding = finding.evidence(
            name.clone(),
            format!("listeners.{}.bind", door.name),
            door.address,
        );
    }
    for pod in workload.pods.iter().filter(|pod| !super::coverage::is_ready(pod)) {
        let pod_name = crate::finding::ObjectName::of(Kind::Pod, &pod.metadata);
        finding = finding.evidence(pod_name, "status", super::coverage::state(pod));
    }
    let lowest = low.iter().map(|door| door.port()).min().unwrap_or_default();
    let on_host = workload.spec.host_network == Some(true);
    let instead = low.iter().map(|door| {
        json!({"name": door.name.as_str(), "containerPort": higher(door.port()), "hostPort": door.port()})
    });
    let finding = finding
        .effect("The pods end with exit code 1 right after their start and restart for ever (CrashLoopBackOff): the doors are dark.")
        .advice(format!(
            "Let the doors listen at ports from 1024 ({}), and let the node's ports lead there with `hostPort`, without the host network: \
             ports: {}.",
            list(low.iter().map(|door| format!("`bind = \"[::]:{}\"` for `{}`", higher(door.port()), door.name))),
            serde_json::Value::Array(instead.collect())
        ));
    let finding = if on_host {
        finding.fix(
            "Or allow these ports on each node (not for a pod: the API server refuses sysctls of the network on the host network).",
            format!("echo '{SYSCTL} = {lowest}' | sudo tee /etc/sysctl.d/60-blastdoor.conf && sudo sysctl --system"),
        )
    } else {
        finding.fix(
            "Or allow these ports in the pods.",
            name.patch(&json!({"spec": {"template": {"spec": {"securityContext": {"sysctls": [{"name": SYSCTL, "value": lowest.to_string()}]}}}}})),
        )
    };
    finding.advice(
        "Or use the image variant `-netbind`, whose file has the capability, together with `capabilities: {drop: [ALL], add: \
         [NET_BIND_SERVICE]}`.",
    )
}

/// The usual port of a door instead of a privileged one.
fn higher(port: u16) -> u16 {
    match port {
        80 => 10002,
        443 => 10003,
        other => 10000_u16.saturating_add(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::fixture::Fixture;

    fn crashing(spec: Value, image: &str, context: Value) -> Fixture {
        let mut changes =
            json!({"containers": [{"name": "blastdoor", "image": image, "securityContext": context}]});
        crate::fixture::merge(&mut changes, &spec);
        let mut fixture = Fixture::new()
            .nodes(&["a"])
            .daemon_set(&["a"], changes)
            .door("external-http", |door| door.address.set_port(80));
        for pod in &mut fixture.inventory.pods {
            pod.status = Some(
                serde_json::from_value(
                    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}),
                )
                .unwrap(),
            );
        }
        fixture
    }

    #[test]
    fn a_capability_counts_only_with_the_file_that_has_it() {
        let (plain, variant) = ("blastdoor:0.1.0", "blastdoor:0.1.0-netbind");
        let add = json!({"runAsUser": 65532, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
        let drop = json!({"runAsUser": 65532, "capabilities": {"drop": ["ALL"]}});
        let sysctl = |value: &str| json!({"securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": value}]}});
        let table = [
            (json!({}), plain, json!({}), true),
            (json!({}), plain, add.clone(), true),
            (json!({}), plain, drop.clone(), true),
            (json!({}), variant, add, false),
            (json!({}), variant, drop.clone(), true),
            (json!({}), plain, json!({"runAsUser": 0}), false),
            (
                json!({}),
                plain,
                json!({"runAsUser": 0, "capabilities": {"drop": ["ALL"]}}),
                true,
            ),
            (sysctl("80"), plain, drop.clone(), false),
            (sysctl("0"), plain, drop.clone(), false),
            (sysctl("443"), plain, drop, true),
        ];
        for (spec, image, context, expected) in table {
            let text = format!("{spec} {image} {context}");
            let found = crashing(spec, image, context).findings("GW303");
            assert_eq!(!found.is_empty(), expected, "{text}");
        }
        let ready = Fixture::new()
            .nodes(&["a"])
            .daemon_set(&["a"], json!({"hostNetwork": true}));
        let ready = ready.door("external-http", |door| door.address.set_port(80));
        assert_eq!(
            ready.findings("GW303"),
            [],
            "ready pods have bound it: the node allows it"
        );
    }

    /// While pods are replaced on nodes that allow everybody to bind: one is ready, the other starts, leaves, or has failed.
    #[test]
    fn pods_that_start_or_leave_are_no_sign() {
        let status = |restarts: u32| {
            json!({
                "phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "blastdoor", "image": "i", "imageID": "", "ready": false, "restartCount": restarts}],
            })
        };
        for (restarts, leaves, expected) in [(0, false, false), (2, true, false), (2, false, true)] {
            let mut fixture = Fixture::new()
                .nodes(&["a", "b"])
                .daemon_set(&["a", "b"], json!({"hostNetwork": true}))
                .door("external-http", |door| door.address.set_port(80));
            let pod = fixture.inventory.pods.last_mut().unwrap();
            pod.status = Some(serde_json::from_value(status(restarts)).unwrap());
            let time = json!("2026-11-28T05:00:00Z");
            pod.metadata.deletion_timestamp = leaves.then(|| serde_json::from_value(time).unwrap());
            let found = fixture.findings("GW303");
            assert_eq!(
                !found.is_empty(),
                expected,
                "{restarts} restarts, leaves: {leaves}"
            );
        }
    }
}
