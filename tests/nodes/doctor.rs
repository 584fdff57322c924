//! `blastdoor doctor`, against the cluster as it is.

use std::process::Command;

use serde_json::{Value, json};

use crate::chart::NAME;
use crate::cluster::{Cluster, until};

/// Its report. It exits with 1 if there is anything to do.
fn report(_cluster: &Cluster) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_blastdoor-under-test"))
        .args(["doctor", "-o", "json"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    let status = output.status.code();
    let expected = i32::from(!to_do(&report).is_empty());
    assert_eq!(status, Some(expected), "{told}{report:#}");
    report
}

/// What it rightly finds because of the test alone: drains shorter than a real load balancer takes, and no webhook of a
/// controller that injects readiness gates.
const OF_THE_TEST: [&str; 2] = ["GW402", "GW203"];

/// Findings that are no mere notes.
fn to_do(report: &Value) -> Vec<&Value> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["severity"] != "info")
        .collect()
}

fn is(finding: &Value, id: &str) -> bool {
    finding["id"] == id
}

/// It sees this gateway, and has nothing to say but notes, and what the test itself has brought about.
pub fn finds_nothing(cluster: &Cluster) {
    finds_nothing_but(cluster, &[]);
}

/// The same beside findings that are right where they are.
pub fn finds_nothing_but(cluster: &Cluster, right: &[&str]) {
    until("the doctor finds nothing", || {
        let report = report(cluster);
        assert_eq!(report["gateways"].as_array().unwrap().len(), 1, "{report:#}");
        let known = |finding: &&Value| OF_THE_TEST.iter().chain(right).any(|id| is(finding, id));
        match to_do(&report).into_iter().find(|finding| !known(finding)) {
            None => Ok(()),
            Some(finding) => Err(format!("{finding:#}")),
        }
    });
    println!("  the doctor finds nothing but {right:?}");
}

/// It finds this, tells of these, and says what to do.
pub fn finds(cluster: &Cluster, id: &str, told: &[&str]) {
    finds_where(cluster, id, told, |_| true);
}

/// The same, at this object of the gateway's namespace.
pub fn finds_at(cluster: &Cluster, id: &str, kind: &str, name: &str, told: &[&str]) {
    let object = json!({ "kind": kind, "namespace": NAME, "name": name });
    finds_where(cluster, id, told, |finding| finding["object"] == object);
}

fn finds_where(cluster: &Cluster, id: &str, told: &[&str], is_there: impl Fn(&Value) -> bool) {
    until(&format!("the doctor finds {id}"), || {
        let report = report(cluster);
        let found = to_do(&report)
            .into_iter()
            .find(|finding| is(finding, id) && is_there(finding))
            .cloned();
        let found = found.ok_or_else(|| format!("{report:#}"))?;
        let text = found.to_string();
        if let Some(missing) = told.iter().find(|fragment| !text.contains(**fragment)) {
            return Err(format!("not a word of {missing}: {found:#}"));
        }
        assert!(!found["fix"].as_array().unwrap().is_empty(), "{found:#}");
        println!("  the doctor finds {id}: {}", found["finding"].as_str().unwrap());
        Ok(())
    });
}

/// The fix has helped.
pub fn finds_no_longer(cluster: &Cluster, id: &str) {
    until(&format!("the doctor finds {id} no longer"), || {
        let report = report(cluster);
        match to_do(&report).into_iter().find(|finding| is(finding, id)) {
            None => Ok(()),
            Some(finding) => Err(format!("{finding:#}")),
        }
    });
}
