//! A directory as `kubectl get -o json` writes it.

use std::path::Path;

use gateway_tests::{Output, command};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory of objects.
pub(super) struct Dump(TempDir);

impl Default for Dump {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// The labels that pods of the chart have.
fn labels() -> Value {
    json!({
        "app.kubernetes.io/name": "blastdoor", "app.kubernetes.io/instance": "blastdoor",
        "app.kubernetes.io/component": "gateway",
    })
}

impl Dump {
    /// With a file.
    pub(super) fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    pub(super) fn without(self, name: &str) -> Self {
        std::fs::remove_file(self.0.path().join(name)).unwrap();
        self
    }

    /// With another text in a file, everywhere.
    pub(super) fn replace(self, name: &str, from: &str, to: &str) -> Self {
        let content = std::fs::read_to_string(self.0.path().join(name)).unwrap();
        assert!(content.contains(from), "{name} has no `{from}`");
        let changed = content.replace(from, to);
        self.file(name, &changed)
    }

    /// With the manifests of a directory.
    pub(super) fn manifests(self, directory: &Path) -> Self {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            std::fs::copy(&path, self.0.path().join(name)).unwrap();
        }
        self
    }

    /// With ready nodes.
    pub(super) fn nodes(self, names: &[&str]) -> Self {
        let nodes = names.iter().map(|name| {
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            })
        });
        self.file("nodes.json", &list(&nodes.collect::<Vec<_>>()))
    }

    /// With ready pods of the gateway on these nodes.
    pub(super) fn pods(self, nodes: &[&str]) -> Self {
        let pods = nodes.iter().enumerate().map(|(number, node)| pod(number, node));
        self.file("pods.json", &list(&pods.collect::<Vec<_>>()))
    }

    /// With the gateway as a DaemonSet with ready pods on these nodes.
    pub(super) fn gateway(self, nodes: &[&str]) -> Self {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "blastdoor", "namespace": "blastdoor"},
            "spec": {"selector": {"matchLabels": labels()}, "template": {"metadata": {"labels": labels()}, "spec": spec()}},
        });
        let pods = nodes.iter().enumerate().map(|(number, node)| pod(number, node));
        let objects: Vec<Value> = std::iter::once(set).chain(pods).collect();
        // One line for each object would do; spaces make it look like kubectl's.
        let text = list(&objects).replace("\":", "\": ");
        self.file("gateway.json", &text)
    }

    /// Runs `doctor` on it.
    pub(super) fn doctor(&self, arguments: &[&str]) -> Output {
        let directory = self.0.path().to_str().unwrap();
        let mut all = vec!["doctor", "--dump", directory];
        all.extend(arguments);
        self.run(&all)
    }

    /// Runs the program.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_blastdoor-under-test"));
        let folder = tempfile::tempdir().unwrap();
        command(program, arguments, &[], folder.path())
    }
}

fn spec() -> Value {
    json!({"containers": [{"name": "gateway", "image": "registry.example.com/blastdoor:0.1.0"}]})
}

fn pod(number: usize, node: &str) -> Value {
    let mut spec = spec();
    spec["nodeName"] = json!(node);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("blastdoor-{number}"), "namespace": "blastdoor", "labels": labels()},
        "spec": spec,
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}
