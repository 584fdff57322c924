//! The chart in `deploy/helm`, installed with Helm as its users do: a preset, and the values of one's own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::cluster::{Cluster, until};

/// The release, and its namespace.
pub const NAME: &str = "blastdoor";
const CHART: &str = "deploy/helm/blastdoor";

/// An installation.
pub struct Release<'a> {
    cluster: &'a Cluster,
    preset: Option<&'static str>,
    /// What its user writes: YAML.
    values: String,
}

impl<'a> Release<'a> {
    /// Installs it and waits until its pods are ready.
    pub fn install(cluster: &'a Cluster, preset: Option<&'static str>, values: impl ToString) -> Self {
        let release = Self {
            cluster,
            preset,
            values: values.to_string(),
        };
        release.apply(&["--create-namespace"]);
        release.rolled_out();
        release
    }

    /// Replaces the preset and the values, in the same release.
    pub fn becomes(self, preset: &'static str, values: impl ToString) -> Self {
        let release = Self {
            preset: Some(preset),
            values: values.to_string(),
            ..self
        };
        release.apply(&[]);
        release.rolled_out();
        release
    }

    /// To the next version of the image, with whatever else changes.
    pub fn upgrade(&self, changes: &[&str]) {
        self.apply(&[changes, &["--set", "image.tag=next"]].concat());
        self.rolled_out();
    }

    /// What the chart says to values that it refuses.
    pub fn refuses(&self, changes: &[&str]) -> String {
        let output = self.with_values(&["template"], changes);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{:?} with {changes:?}", self.preset);
        told
    }

    /// `helm test`.
    pub fn test(&self) -> String {
        told(helm(
            &["test", NAME, "--namespace", NAME, "--logs", "--timeout", "2m"],
            "",
        ))
    }

    /// Removes it, and waits until its pods are gone.
    pub fn uninstall(self) {
        told(helm(&["uninstall", NAME, "--namespace", NAME], ""));
        // The pod of `helm test` stays, so that its log can be read.
        let label = "app.kubernetes.io/name=blastdoor";
        until("the gateway's pods are gone", || {
            match self
                .cluster
                .objects(&["get", "pods", "-n", NAME, "-l", label])
                .len()
            {
                0 => Ok(()),
                count => Err(format!("{count} pods")),
            }
        });
        self.cluster.forget_asked();
    }

    /// Waits until all of it is rolled out.
    pub fn rolled_out(&self) {
        for kind in ["daemonset", "deployment"] {
            self.cluster.rolled_out(kind, NAME);
        }
    }

    fn apply(&self, changes: &[&str]) {
        told(self.with_values(&["upgrade", "--install"], changes));
    }

    /// The preset, then what its user writes, then what differs just now.
    fn with_values(&self, verb: &[&str], changes: &[&str]) -> Output {
        let preset = self
            .preset
            .map(|preset| format!("--values={CHART}/presets/{preset}.yaml"));
        let preset: Vec<&str> = preset.as_deref().into_iter().collect();
        let what = [NAME, CHART, "--namespace", NAME];
        helm(
            &[verb, &what, &preset, &["--values=-"], changes].concat(),
            &self.values,
        )
    }
}

fn helm(arguments: &[&str], input: &str) -> Output {
    #[expect(clippy::disallowed_methods, reason = "told by `cargo xtask nodes`")]
    let program = std::env::var("HELM").unwrap_or_else(|_| "helm".to_owned());
    let mut child = Command::new(program)
        .current_dir(root())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What it printed, if it succeeded.
fn told(output: Output) -> String {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm: {printed}{said}");
    printed
}
