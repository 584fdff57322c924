//! What the chart renders beside the presets: admission policies for Kustomize, and objects for tests that have no Helm.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{CHART, Files, KUSTOMIZE, RELEASE, kustomize};
use crate::command::Invocation;
use crate::workspace::Workspace;

const POLICIES: &str = "templates/admissionpolicies.yaml";
/// Folders of values, beside which stands what these templates make of them.
const FOLDERS: [(&str, &[&str]); 2] = [
    (
        "tests/kubernetes/policies",
        &["templates/configmap.yaml", POLICIES],
    ),
    (
        "tests/kubernetes/rights",
        &[
            "templates/namespace.yaml",
            "templates/serviceaccount.yaml",
            "templates/rbac.yaml",
            "templates/configmap.yaml",
        ],
    ),
];
const VALUES: &str = ".values.yaml";

pub(super) fn files(workspace: &Workspace, helm: &Path) -> Result<Files> {
    let render = |templates: &[&str], options: &[&str]| {
        Invocation::new(workspace, helm)
            .args(["template", RELEASE, CHART, "--namespace", RELEASE])
            // The first version with ValidatingAdmissionPolicy.
            .args(["--kube-version", "1.30", "--set", "namespace.create=true"])
            .args(templates.iter().flat_map(|template| ["--show-only", template]))
            .args(options)
            .output()
    };
    let mut files = Files::new();
    let standard = render(&[POLICIES], &["--set", "admissionPolicies.enabled=true"])?;
    for (path, text) in kustomize::alone("admission-policies", &standard)? {
        files.insert(Path::new(KUSTOMIZE).join(path), text);
    }
    for (folder, templates) in FOLDERS {
        let values = workspace.files(folder, |path| path.to_string_lossy().ends_with(VALUES))?;
        for path in values {
            let name = path.display().to_string();
            let stem = name.strip_suffix(VALUES).with_context(|| name.clone())?;
            let rendered = PathBuf::from(format!("{stem}.yaml"));
            files.insert(rendered, render(templates, &["--values", &name])?);
        }
    }
    Ok(files)
}
