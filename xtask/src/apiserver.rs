//! etcd, kube-apiserver and kubectl for the tests against a real API server.
//!
//! `KUBEBUILDER_ASSETS` names a folder that has them (the convention of envtest); otherwise they are built from Go
//! modules, once, into `target/apiserver`. About three minutes on two cores; a second time it takes a moment.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::go::{self, Part};
use crate::workspace::Workspace;

/// Where they are kept.
const KEPT: &str = "target/apiserver";
const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// `cargo xtask apiserver`
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    found(workspace).map(|_folder| ())
}

/// The folder that has them: the one that is named, or our own.
pub(crate) fn found(workspace: &Workspace) -> Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a task of the project, not the gateway")]
    let named = env::var("KUBEBUILDER_ASSETS").ok();
    if let Some(named) = named {
        if !go::has_all(Path::new(&named), &PROGRAMS) {
            bail!("KUBEBUILDER_ASSETS={named} lacks one of {}", PROGRAMS.join(", "));
        }
        println!("KUBEBUILDER_ASSETS={named}");
        return Ok(PathBuf::from(named));
    }
    built(workspace)
}

/// The folder with our own.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.path(KEPT)
}

/// The folder with our own, which are built unless they are there already.
pub(crate) fn built(workspace: &Workspace) -> Result<PathBuf> {
    let kept = folder(workspace);
    let version = go::kubernetes_version(workspace)?;
    let flags = go::kubernetes_flags(&version)?;
    let etcd = Part {
        module: go::KUBERNETES,
        packages: &["go.etcd.io/etcd/server/v3"],
        flags: &["-ldflags=-s -w"],
        programs: &["etcd"],
    };
    let kubernetes = Part {
        module: go::KUBERNETES,
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kubectl",
        ],
        flags: &[&flags],
        programs: &["kube-apiserver", "kubectl"],
    };
    for part in [etcd, kubernetes] {
        go::built_once(workspace, &part, &kept).with_context(|| {
            format!(
                "building {} (or set KUBEBUILDER_ASSETS to a folder that has them)",
                PROGRAMS.join(", ")
            )
        })?;
    }
    println!("Kubernetes {version}: {}", kept.display());
    Ok(kept)
}
