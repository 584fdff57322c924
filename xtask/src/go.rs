//! Programs built from Go modules of this repository, at the versions that their `go.mod` names.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::Invocation;
use crate::workspace::Workspace;

/// Where Go is often installed without being on the path.
const GO: [&str; 2] = ["go", "/usr/local/go/bin/go"];
/// The module with etcd and everything of Kubernetes.
pub(crate) const KUBERNETES: &str = "tests/kubernetes/apiserver";

/// Programs of one module that are built together.
pub(crate) struct Part<'a> {
    /// The module's folder.
    pub(crate) module: &'a str,
    /// What is built; `tool` stands for everything that the module names as one.
    pub(crate) packages: &'a [&'a str],
    /// Options of `go build`.
    pub(crate) flags: &'a [&'a str],
    /// The files that are built. A single one gets this name; several have the names of their packages.
    pub(crate) programs: &'a [&'a str],
}

/// Builds programs into the folder `kept`, unless they are there and were built from the same modules with the same
/// options.
pub(crate) fn built_once(workspace: &Workspace, part: &Part<'_>, kept: &Path) -> Result<()> {
    let first = part.programs.first().context("a part has a program")?;
    let stamp = kept.join(format!("{first}.built"));
    let wanted = part.stamp(workspace)?;
    let is_built = fs::read_to_string(&stamp).is_ok_and(|built| built == wanted);
    if is_built && has_all(kept, part.programs) {
        return Ok(());
    }
    fs::create_dir_all(kept).with_context(|| format!("creating {}", kept.display()))?;
    let output = match part.programs {
        [alone] => kept.join(alone),
        _ => kept.join(""),
    };
    Invocation::new(workspace, go(workspace)?)
        .args(["-C", part.module, "build", "-trimpath"])
        .args(part.flags)
        .args([Path::new("-o"), &output])
        .args(part.packages)
        .run()?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

impl Part<'_> {
    /// Everything that the programs depend on, except Go itself.
    fn stamp(&self, workspace: &Workspace) -> Result<String> {
        let mut stamp = format!("{:?}\n{:?}\n", self.packages, self.flags);
        for file in ["go.mod", "go.sum"] {
            let file = workspace.path(self.module).join(file);
            let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            stamp.push_str(&text);
        }
        Ok(stamp)
    }
}

/// The version of Kubernetes that its module requires.
pub(crate) fn kubernetes_version(workspace: &Workspace) -> Result<String> {
    let file = format!("{KUBERNETES}/go.mod");
    let text = fs::read_to_string(workspace.path(&file)).with_context(|| format!("reading {file}"))?;
    required(&text).with_context(|| format!("{file} requires no k8s.io/kubernetes"))
}

/// The linker sets the version that programs of Kubernetes report about themselves.
pub(crate) fn kubernetes_flags(version: &str) -> Result<String> {
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

/// Whether `folder` has all of `programs`.
pub(crate) fn has_all(folder: &Path, programs: &[&str]) -> bool {
    programs.iter().all(|program| folder.join(program).is_file())
}

/// The program itself.
pub(crate) fn go(workspace: &Workspace) -> Result<&'static str> {
    for go in GO {
        let answers = Invocation::new(workspace, go)
            .args(["version"])
            .succeeds_within(Duration::from_secs(30))?;
        if answers {
            return Ok(go);
        }
    }
    bail!("no Go here to build with: install it")
}

fn required(module: &str) -> Option<String> {
    let line = module
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))?;
    line.split_whitespace().next().map(str::to_owned)
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
        let version = kubernetes_version(&workspace).expect("a version");
        assert!(version.starts_with("v1."), "{version}");
    }

    #[test]
    fn what_is_built_is_stamped_with_its_options_and_modules() {
        let workspace = Workspace::here().expect("a workspace");
        let part = |flags| Part {
            module: KUBERNETES,
            packages: &["k8s.io/kubernetes/cmd/kubectl"],
            flags,
            programs: &["kubectl"],
        };
        let stamp = part(&["-trimpath"]).stamp(&workspace).expect("a stamp");
        assert_ne!(stamp, part(&[]).stamp(&workspace).expect("a stamp"));
        for file in ["go.mod", "go.sum"] {
            let text = fs::read_to_string(workspace.path(KUBERNETES).join(file)).expect("a module");
            assert!(stamp.contains(&text), "{file}");
        }
    }

    #[test]
    fn the_linker_is_told_the_version() {
        let flags = kubernetes_flags("v1.36.3").expect("flags");
        assert!(flags.contains("version.gitMinor=36 "), "{flags}");
        assert!(kubernetes_flags("main").is_err());
    }
}
