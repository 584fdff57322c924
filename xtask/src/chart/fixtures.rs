//! Admission policies as the chart renders them: for Kustomize, and for tests that have no Helm.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{CHART, Files, KUSTOMIZE, RELEASE, kustomize};
use crate::command::Invocation;
use crate::workspace::Workspace;

/// Values, and beside them what the chart renders with them.
const FOLDER: &str = "tests/kubernetes/policies";
const VALUES: &str = ".values.yaml";
const TEMPLATE: &str = "templates/admissionpolicies.yaml";

pub(super) fn files(workspace: &Workspace, helm: &Path) -> Result<Files> {
    let render = |options: &[&str]| {
        Invocation::new(workspace, helm)
            .args(["template", RELEASE, CHART, "--namespace", RELEASE])
            // The first version with ValidatingAdmissionPolicy.
            .args(["--kube-version", "1.30", "--show-only", TEMPLATE])
            .args(options)
            .output()
    };
    let mut files = Files::new();
    let standard = render(&["--set", "admissionPolicies.enabled=true"])?;
    for (path, text) in kustomize::alone("admission-policies", &standard)? {
        files.insert(Path::new(KUSTOMIZE).join(path), text);
    }
    let values = workspace.files(FOLDER, |path| path.to_string_lossy().ends_with(VALUES))?;
    for path in values {
        let name = path.display().to_string();
        let stem = name.strip_suffix(VALUES).with_context(|| name.clone())?;
        let rendered = PathBuf::from(format!("{stem}.yaml"));
        let text = render(&["--show-only", "templates/configmap.yaml", "--values", &name])?;
        files.insert(rendered, text);
    }
    Ok(files)
}
