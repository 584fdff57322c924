//! From objects to a report.

use k8s_openapi::jiff::Timestamp;

use crate::beyond::beyond;
use crate::finding::NotChecked;
use crate::gateway::{Gateways, Request};
use crate::inventory::{Availability, Inventory};
use crate::kind::Kind;
use crate::report::{DoorSummary, GatewaySummary, Report};
use crate::rules::catalogue;
use crate::scene::{Found, Scene};

/// Looks for everything that the catalogue knows. `now` is when the objects were read.
#[must_use]
pub fn examine(inventory: &Inventory, gateways: &Gateways<'_>, request: &Request, now: Timestamp) -> Report {
    let scene = Scene::new(inventory, gateways, request, now);
    let mut found = Found::default();
    for rule in catalogue() {
        match rule.needs.iter().find(|kind| !inventory.knows(**kind)) {
            None => (rule.look)(&scene, &mut found),
            Some(kind) => found.skip(rule.id.to_string(), format!("{} are not known", kind.plural())),
        }
    }
    beyond(&scene, &mut found);
    unread(inventory, &mut found);
    for gateway in &gateways.unreadable {
        found.skip(gateway.name.to_string(), gateway.reason.clone());
    }
    for gateway in &gateways.workloads {
        for warning in &gateway.configuration.warnings {
            found.skip(gateway.name.to_string(), warning.clone());
        }
    }
    let Found {
        mut findings,
        mut not_checked,
    } = found;
    findings.sort_by(|one, other| {
        let key = |finding: &crate::Finding| (finding.severity, finding.id, finding.object.clone());
        key(one).cmp(&key(other))
    });
    not_checked.sort();
    not_checked.dedup();
    Report {
        gateways: summaries(gateways),
        findings,
        not_checked,
    }
}

/// What of the cluster was not read.
fn unread(inventory: &Inventory, found: &mut Found) {
    for kind in Kind::ALL {
        match inventory.availability(kind) {
            Availability::Read => {}
            Availability::Unserved => found.skip(kind.plural(), "the cluster does not know this kind"),
            // Those that are read one by one say so where they are needed.
            Availability::Unread(why) if kind.is_listed() => found.skip(kind.plural(), why.clone()),
            Availability::Unread(_) => {}
        }
    }
    for object in &inventory.unreadable {
        found.not_checked.push(NotChecked {
            what: format!("{} {}", object.kind, object.name),
            why: object.reason.clone(),
        });
    }
}

fn summaries(gateways: &Gateways<'_>) -> Vec<GatewaySummary> {
    let workloads = gateways.workloads.iter();
    workloads
        .map(|workload| {
            let pods = workload.pods.iter();
            let nodes = pods.filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
            let mut nodes: Vec<String> = nodes.collect();
            nodes.sort();
            nodes.dedup();
            let doors = workload.configuration.doors.iter();
            GatewaySummary {
                object: workload.name.clone(),
                doors: doors
                    .map(|door| DoorSummary {
                        listener: door.name.to_string(),
                        port: door.port(),
                    })
                    .collect(),
                nodes,
            }
        })
        .collect()
}
