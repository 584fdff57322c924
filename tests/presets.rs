//! The configuration of each of the chart's presets is valid in this version, without a warning. What the chart renders is in
//! `deploy/kustomize`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use blastdoor::config::{self, Loaded, Options};

/// The keys of a ConfigMap that the chart rendered: texts, each indented by four below its name.
fn keys_of(manifest: &str) -> BTreeMap<String, String> {
    let (_, data) = manifest.split_once("\ndata:\n").unwrap();
    let mut keys = BTreeMap::new();
    let mut last = None;
    for line in data.lines() {
        if let Some(name) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(": |")) {
            last = Some(name.to_owned());
            keys.insert(name.to_owned(), String::new());
        } else if let Some(text) = last.as_ref().and_then(|name| keys.get_mut(name)) {
            text.push_str(line.strip_prefix("    ").unwrap_or(line));
            text.push('\n');
        }
    }
    keys
}

fn load(overlay: &Path) -> (Loaded, String) {
    let manifest = fs::read_to_string(overlay.join("configmap-blastdoor.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = keys_of(&manifest);
    for (name, text) in &keys {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let options = Options {
        config: Some(folder.path().join("listeners.toml")),
        ..Options::default()
    };
    let loaded = config::load(&options);
    (
        loaded.unwrap_or_else(|errors| panic!("{}: {errors}", overlay.display())),
        keys["listeners.toml"].clone(),
    )
}

#[test]
fn presets_are_valid_without_a_warning() {
    let overlays = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kustomize/overlays");
    let mut found: Vec<PathBuf> = fs::read_dir(&overlays)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    let mut doors = Vec::new();
    for overlay in &found {
        let (loaded, text) = load(overlay);
        assert!(
            loaded.warnings.is_empty(),
            "{}: {:?}\n{text}",
            overlay.display(),
            loaded.warnings
        );
        let name = overlay.file_name().unwrap().to_string_lossy().into_owned();
        doors.push((name, loaded.config.doors.len()));
    }
    let doors: Vec<(&str, usize)> = doors
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    assert_eq!(
        doors,
        [
            ("aws-alb-asg-hostport", 4),
            ("aws-alb-ip", 4),
            ("aws-nlb-proxy-v2", 4),
            ("gke-l4-local", 4),
            ("gke-neg", 4),
            ("k3s-hostnetwork-cloudflare", 2),
            ("kind", 4),
        ]
    );
}
