//! The chart's presets as `doctor` sees them: their ways to the doors are sound, and known mistakes in them are found.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::dump::Dump;
use super::{found, json};

/// What the chart renders for a preset, with three nodes and the gateway on these of them.
fn preset(name: &str, nodes: &[&str]) -> Dump {
    let kustomize = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kustomize");
    let overlay: PathBuf = kustomize.join("overlays").join(name);
    let dump = Dump::default()
        .manifests(&kustomize.join("base"))
        .manifests(&overlay)
        .nodes(&["a", "b", "c"])
        .pods(nodes);
    if name != "gke-l4-local" {
        return dump;
    }
    // What an API server allocates for `Local`.
    let policy = "externalTrafficPolicy: Local";
    let allocated = "externalTrafficPolicy: Local\n  healthCheckNodePort: 30999";
    let dump = dump.replace("service-blastdoor-external.yaml", policy, allocated);
    dump.replace("service-blastdoor-internal.yaml", policy, allocated)
}

/// Errors and warnings about traffic.
fn complaints(report: &Value) -> Vec<(&str, &str)> {
    let found = found(report).into_iter();
    found
        .filter(|(id, severity)| id.starts_with("GW1") && *severity != "info")
        .collect()
}

#[test]
fn ways_to_the_doors_of_every_preset_are_sound() {
    for (name, nodes) in [
        ("aws-alb-ip", ["a", "b", "c"].as_slice()),
        ("aws-alb-asg-hostport", &["a", "b", "c"]),
        ("aws-nlb-proxy-v2", &["a", "b", "c"]),
        // Preemptible nodes need none.
        ("gke-l4-local", &["a", "b"]),
        ("gke-neg", &["a", "b"]),
        ("k3s-hostnetwork-cloudflare", &["a", "b", "c"]),
        ("kind", &["a"]),
    ] {
        let report = json(&preset(name, nodes).doctor(&["-o", "json"]));
        assert_eq!(complaints(&report), [], "{name}: {report:#}");
        assert_eq!(
            report["gateways"].as_array().unwrap().len(),
            1,
            "{name}: {report}"
        );
    }
}

#[test]
fn the_policy_of_set_up_2_is_found() {
    let dump = preset("gke-l4-local", &["a", "b"]);
    let dump = dump.replace(
        "service-blastdoor-external.yaml",
        "externalTrafficPolicy: Local",
        "externalTrafficPolicy: Cluster",
    );
    let report = json(&dump.doctor(&["-o", "json"]));
    assert_eq!(complaints(&report), [("GW101", "error")], "{report:#}");
}
