//! etcd, kube-apiserver and kubectl for the tests against a real API server.
//!
//! `KUBEBUILDER_ASSETS` names a folder that has them (the convention of envtest); otherwise they are built from Go
//! modules, once, into `target/apiserver`. About three minutes on two cores; a second time it takes a moment.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::Invocation;
use crate::workspace::Workspace;

/// Where they are kept.
const KEPT: &str = "target/apiserver";
/// The Go module that names their versions.
const MODULE: &str = "tests/kubernetes/apiserver";
const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];
/// Where Go tends to be without being on the path.
const GO: [&str; 2] = ["go", "/usr/local/go/bin/go"];

/// `cargo xtask apiserver`
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a chore of the project, not the gateway"
    )]
    let named = env::var("KUBEBUILDER_ASSETS").ok();
    if let Some(named) = named {
        if !is_complete(Path::new(&named)) {
            bail!("KUBEBUILDER_ASSETS={named} lacks one of {}", PROGRAMS.join(", "));
        }
        println!("KUBEBUILDER_ASSETS={named}");
        return Ok(());
    }
    let kept = workspace.path(KEPT);
    let version = version(workspace)?;
    let stamp = kept.join("version");
    if is_complete(&kept) && fs::read_to_string(&stamp).is_ok_and(|built| built == version) {
        println!("Kubernetes {version}: {}", kept.display());
        return Ok(());
    }
    build(workspace, &version)?;
    fs::write(&stamp, &version).with_context(|| format!("writing {}", stamp.display()))?;
    println!("Kubernetes {version}: {}", kept.display());
    Ok(())
}

fn build(workspace: &Workspace, version: &str) -> Result<()> {
    let go = go(workspace)?;
    let kept = workspace.path(KEPT);
    fs::create_dir_all(&kept).with_context(|| format!("creating {}", kept.display()))?;
    let into = format!("{}/", kept.display());
    let (etcd, kubernetes) = (format!("{into}etcd"), flags(version)?);
    let command = |arguments: &[&str]| {
        Invocation::new(workspace, go)
            .args(["-C", MODULE, "build", "-trimpath"])
            .args(arguments)
            .run()
    };
    command(&["-ldflags=-s -w", "-o", &etcd, "go.etcd.io/etcd/server/v3"])?;
    command(&[
        &kubernetes,
        "-o",
        &into,
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kubectl",
    ])
}

/// The version that the programs tell of themselves has to be given to the linker.
fn flags(version: &str) -> Result<String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next(), numbers.next());
    let (Some(major), Some(minor)) = (major, minor) else {
        bail!("`{version}` is not a version of Kubernetes");
    };
    let mut flags = "-ldflags=-s -w".to_owned();
    for (name, value) in [
        ("gitVersion", version),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
    ] {
        flags.push_str(&format!(" -X k8s.io/component-base/version.{name}={value}"));
    }
    Ok(flags)
}

/// The version that the Go module requires.
fn version(workspace: &Workspace) -> Result<String> {
    let file = format!("{MODULE}/go.mod");
    let text = fs::read_to_string(workspace.path(&file)).with_context(|| format!("reading {file}"))?;
    required(&text).with_context(|| format!("{file} requires no k8s.io/kubernetes"))
}

fn required(module: &str) -> Option<String> {
    let line = module
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn go(workspace: &Workspace) -> Result<&'static str> {
    for go in GO {
        let answers = Invocation::new(workspace, go)
            .args(["version"])
            .succeeds_within(Duration::from_secs(30))?;
        if answers {
            return Ok(go);
        }
    }
    bail!(
        "no Go here to build {} with: install it, or set KUBEBUILDER_ASSETS",
        PROGRAMS.join(", ")
    )
}

fn is_complete(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_the_module() {
        let module =
            "module x\n\nrequire (\n\tk8s.io/api v0.36.3\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n";
        assert_eq!(required(module).as_deref(), Some("v1.36.3"));
        assert_eq!(required("module x\n"), None);
        let workspace = Workspace::here().expect("a workspace");
        assert!(version(&workspace).expect("a version").starts_with("v1."));
    }

    #[test]
    fn the_linker_is_told_the_version() {
        let flags = flags("v1.36.3").expect("flags");
        assert!(flags.contains("version.gitMinor=36 "), "{flags}");
        assert!(super::flags("main").is_err());
    }
}
