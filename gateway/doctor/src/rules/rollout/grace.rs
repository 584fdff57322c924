//! GW401: a drain that is cut off.

use std::time::Duration;

use serde_json::json;

use crate::finding::{Finding, Id, Severity};
use crate::gateway::{Controller, Workload};
use crate::rule::Rule;
use crate::scene::{Found, Scene};

/// `terminationGracePeriodSeconds` where nothing is written (Kubernetes API, PodSpec).
const USUAL: i64 = 30;
/// Between the end of the drain and the end of the process.
const MARGIN: u64 = 5;

pub(super) const RULE: Rule = Rule {
    id: Id("GW401"),
    severity: Severity::Error,
    condition: "`terminationGracePeriodSeconds` is less than the drain of the slowest door (`wait` and `timeout`), 5 s, and `preStop`.",
    effect: "The kubelet kills the process (SIGKILL) while requests are in flight: clients get 502 or a broken connection at each rollout.",
    fix: "A longer `terminationGracePeriodSeconds`, or a shorter `drain`.",
    needs: &[],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        found.findings.extend(finding(workload));
    }
}

fn finding(workload: &Workload<'_>) -> Option<Finding> {
    let grace = workload.spec.termination_grace_period_seconds.unwrap_or(USUAL);
    let doors = workload.configuration.doors.iter();
    let slowest = doors.max_by_key(|door| door.drain_wait.saturating_add(door.drain_timeout))?;
    let stop = pre_stop(workload);
    let drain = slowest.drain_wait.saturating_add(slowest.drain_timeout);
    let end = stop
        .saturating_add(drain)
        .saturating_add(Duration::from_secs(MARGIN));
    if u64::try_from(grace).is_ok_and(|grace| Duration::from_secs(grace) >= end) {
        return None;
    }
    let name = &workload.name;
    let field = match workload.controller {
        Controller::Pod(_) => "spec.terminationGracePeriodSeconds",
        Controller::DaemonSet(_) | Controller::Deployment(_) => {
            "spec.template.spec.terminationGracePeriodSeconds"
        }
    };
    let needed = end.as_secs().saturating_add(u64::from(end.subsec_nanos() > 0));
    let ends = stop.saturating_add(drain);
    let mut finding = Finding::new(
        RULE.id,
        RULE.severity,
        name.clone(),
        format!(
            "SIGKILL at {grace} s, the drain of door `{}` ends at {} s.",
            slowest.name,
            ends.as_secs_f64()
        ),
    )
    .evidence(
        name.clone(),
        field,
        match workload.spec.termination_grace_period_seconds {
            Some(written) => written.to_string(),
            None => format!("(not set: {USUAL})"),
        },
    )
    .evidence(
        name.clone(),
        format!("listeners.{}.drain", slowest.name),
        format!(
            "wait {} s, timeout {} s",
            slowest.drain_wait.as_secs_f64(),
            slowest.drain_timeout.as_secs_f64()
        ),
    );
    if !stop.is_zero() {
        finding = finding.evidence(
            name.clone(),
            "spec.template.spec.containers[].lifecycle.preStop.sleep",
            format!("{} s", stop.as_secs()),
        );
    }
    let finding = finding.effect(
        "At each rollout and each drain of a node, requests that are in flight at that moment are cut: clients see 502 or a broken \
         connection, and the gateway's log ends in the middle.",
    );
    Some(match workload.controller {
        Controller::Pod(_) => finding.advice(format!("Make the pod anew with `{field}: {needed}`.")),
        Controller::DaemonSet(_) | Controller::Deployment(_) => finding.fix(
            "Time enough for the drain. This is itself a rollout, the last one that is cut.",
            name.patch(&json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": needed}}}})),
        ),
    })
}

/// How long the kubelet waits before SIGTERM. It counts against the grace period.
fn pre_stop(workload: &Workload<'_>) -> Duration {
    let lifecycle = workload.container.lifecycle.as_ref();
    let hook = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let sleep = hook
        .and_then(|hook| hook.sleep.as_ref())
        .map(|sleep| sleep.seconds);
    let command = hook
        .and_then(|hook| hook.exec.as_ref())
        .and_then(|exec| exec.command.as_ref());
    // An image of the user's own may have a shell: `sleep 15`, `sh -c "sleep 15"`.
    let words = command.map(|words| words.join(" ")).unwrap_or_default();
    let mut words = words
        .split_whitespace()
        .skip_while(|word| *word != "sleep")
        .skip(1);
    let written = words.next().and_then(|word| word.parse().ok());
    Duration::from_secs(
        sleep
            .or(written)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn the_grace_period_covers_the_slowest_drain() {
        let sleep = |seconds: i64| json!({"preStop": {"sleep": {"seconds": seconds}}});
        // Doors drain for 35 s; one for 85.
        let table = [
            (json!(40), 5, 30, json!({}), false),
            (json!(39), 5, 30, json!({}), true),
            (json!(null), 5, 30, json!({}), true),
            (json!(null), 2, 23, json!({}), false),
            (json!(90), 25, 60, json!({}), false),
            (json!(89), 25, 60, json!({}), true),
            (json!(90), 25, 60, sleep(1), true),
            (json!(95), 25, 60, sleep(5), false),
            (
                json!(95),
                25,
                60,
                json!({"preStop": {"exec": {"command": ["sh", "-c", "sleep 6"]}}}),
                true,
            ),
        ];
        for (grace, wait, timeout, lifecycle, expected) in table {
            let text = format!("{grace} {wait} {timeout} {lifecycle}");
            let container = json!({"name": "blastdoor", "image": "blastdoor:0.1.0", "lifecycle": lifecycle});
            let mut fixture = Fixture::new().nodes(&["a"]).daemon_set(
                &["a"],
                json!({"terminationGracePeriodSeconds": grace, "containers": [container]}),
            );
            for door in &mut fixture.configuration.doors {
                door.drain_wait = Duration::from_secs(1);
                door.drain_timeout = Duration::from_secs(1);
            }
            let fixture = fixture.door("external-http", |door| {
                door.drain_wait = Duration::from_secs(wait);
                door.drain_timeout = Duration::from_secs(timeout);
            });
            let found = fixture.findings("GW401");
            assert_eq!(!found.is_empty(), expected, "{text}: {found:?}");
        }
    }
}
