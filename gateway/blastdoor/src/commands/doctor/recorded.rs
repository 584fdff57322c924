//! Recorded object sets: the mistakes of each set-up are found, and nothing is found in healthy ones.
//!
//! `BLASTDOOR_TEST_RECORD=1 cargo test -p blastdoor recorded` writes what is found into `expected.json`, to be read before it
//! is committed. `tests/doctor/make.py` makes the sets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use doctor::{Gateways, Report, Request, Severity, catalogue, examine};
use serde_json::{Value, json};

use super::{configuration, dump};
use crate::config::Options;

/// When the sets are looked at.
const NOW: &str = "2026-11-27T12:00:00Z";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/doctor")
}

fn sets() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut sets: Vec<String> = names
        .filter(|name| folder().join(name).join("cluster.json").exists())
        .collect();
    sets.sort();
    assert!(sets.len() > 10, "{sets:?}");
    sets
}

fn look(set: &str, expected_nodes: &[&str]) -> Report {
    let (inventory, _) = dump::read(&folder().join(set)).unwrap();
    let request = Request {
        expected_nodes: expected_nodes.iter().map(|&name| name.to_owned()).collect(),
        ..Request::default()
    };
    let options = Options::default();
    let read = |process: &doctor::Process| configuration::read(process, &options);
    let gateways = Gateways::find(&inventory, &request, read);
    assert_eq!(gateways.unreadable, [], "{set}");
    assert_eq!(gateways.workloads.len(), 1, "{set}");
    examine(&inventory, &gateways, &request, NOW.parse().unwrap())
}

/// The nodes that DNS names, where a set is looked at with some.
fn expected_nodes(set: &str) -> &'static [&'static str] {
    match set {
        "healthy-k3s" => &["server-1", "192.0.2.12"],
        "k3s-rolling-update" => &["server-4", "203.0.113.77"],
        _ => &[],
    }
}

#[test]
fn each_set_has_the_findings_that_are_written_beside_it() {
    for set in sets() {
        let report = look(&set, expected_nodes(&set));
        let found = json!({ "findings": report.findings, "not_checked": report.not_checked });
        let path = folder().join(&set).join("expected.json");
        if std::env::var_os("BLASTDOOR_TEST_RECORD").is_some() {
            let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
            std::fs::write(&path, text).unwrap();
        }
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let expected: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found, expected, "{set}");
    }
}

#[test]
fn nothing_is_found_in_healthy_set_ups() {
    let healthy: Vec<String> = sets()
        .into_iter()
        .filter(|set| set.starts_with("healthy-"))
        .collect();
    assert_eq!(healthy.len(), 6, "{healthy:?}");
    for set in healthy {
        let report = look(&set, expected_nodes(&set));
        assert_eq!(report.findings, [], "{set}");
        assert!(report.is_clean());
    }
}

#[test]
fn every_mistake_is_made_in_some_set() {
    let found: BTreeSet<String> = sets()
        .iter()
        .flat_map(|set| look(set, expected_nodes(set)).findings)
        .map(|finding| finding.id.to_string())
        .collect();
    let known: BTreeSet<String> = catalogue().map(|rule| rule.id.to_string()).collect();
    assert_eq!(found, known);
}

/// What users paste is complete: each finding says what it rests on, what is seen, and a way out.
#[test]
fn findings_are_complete_and_ordered() {
    for set in sets() {
        let report = look(&set, expected_nodes(&set));
        for finding in &report.findings {
            assert!(!finding.evidence.is_empty(), "{set} {finding:?}");
            assert!(!finding.effect.is_empty(), "{set} {finding:?}");
            let is_to_fix = finding.severity != Severity::Info;
            assert!(!is_to_fix || !finding.fix.is_empty(), "{set} {finding:?}");
        }
        assert!(
            report
                .findings
                .is_sorted_by_key(|finding| (finding.severity, finding.id)),
            "{set}"
        );
        // No key of any Secret.
        let text = format!("{report} {}", json!(report));
        assert!(
            !text.contains("PRIVATE KEY") && !text.contains("LS0tLS1CRUdJTi"),
            "{set}"
        );
    }
}
