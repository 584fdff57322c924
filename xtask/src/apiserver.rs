//! etcd, kube-apiserver and kubectl for the tests against a real API server.
//!
//! `KUBEBUILDER_ASSETS` names a folder that has them (the convention of envtest); otherwise they are built from Go
//! modules, once, into `target/apiserver`. About three minutes on two cores; a second time it takes a moment.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::go::{self, Build};
use crate::workspace::Workspace;

/// Where they are kept.
const KEPT: &str = "target/apiserver";
const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// `cargo xtask apiserver`
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a chore of the project, not the gateway"
    )]
    let named = env::var("KUBEBUILDER_ASSETS").ok();
    if let Some(named) = named {
        if !go::has_all(Path::new(&named), &PROGRAMS) {
            bail!("KUBEBUILDER_ASSETS={named} lacks one of {}", PROGRAMS.join(", "));
        }
        println!("KUBEBUILDER_ASSETS={named}");
        return Ok(());
    }
    built(workspace)?;
    Ok(())
}

/// The folder with our own, which is built unless it is there already.
pub(crate) fn built(workspace: &Workspace) -> Result<PathBuf> {
    let kept = workspace.path(KEPT);
    let version = go::kubernetes_version(workspace)?;
    let stamp = kept.join("version");
    let is_built = fs::read_to_string(&stamp).is_ok_and(|built| built == version);
    if !is_built || !go::has_all(&kept, &PROGRAMS) {
        build(workspace, &version).with_context(|| {
            format!(
                "building {} (or set KUBEBUILDER_ASSETS to a folder that has them)",
                PROGRAMS.join(", ")
            )
        })?;
        fs::write(&stamp, &version).with_context(|| format!("writing {}", stamp.display()))?;
    }
    println!("Kubernetes {version}: {}", kept.display());
    Ok(kept)
}

fn build(workspace: &Workspace, version: &str) -> Result<()> {
    let kept = workspace.path(KEPT);
    fs::create_dir_all(&kept).with_context(|| format!("creating {}", kept.display()))?;
    let into = format!("{}/", kept.display());
    Build {
        module: go::KUBERNETES,
        packages: &["go.etcd.io/etcd/server/v3"],
        flags: &["-ldflags=-s -w"],
        output: &format!("{into}etcd"),
    }
    .run(workspace)?;
    Build {
        module: go::KUBERNETES,
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kubectl",
        ],
        flags: &[&go::kubernetes_flags(version)?],
        output: &into,
    }
    .run(workspace)
}
