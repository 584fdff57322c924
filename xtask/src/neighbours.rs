//! `cargo xtask neighbours`: the gateway beside the programs that read and write the same objects (`tests/neighbours`):
//! external-dns, cert-manager with an ACME server, and the AWS Load Balancer Controller with a stand-in for AWS.
//!
//! It is not part of `cargo xtask ci`: building the programs takes 20 minutes on two cores. They are built once, into
//! `target/neighbours`. Three of them publish no module that could be required, so they are built from a clone of their
//! repository at a tag.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::apiserver;
use crate::command::Invocation;
use crate::go::{self, Part};
use crate::python;
use crate::workspace::Workspace;

/// Where programs, clones and the virtual environment are kept.
const KEPT: &str = "target/neighbours";
/// Where repositories are cloned from, unless `NEIGHBOURS_GIT` says otherwise: a URL or a folder, to which
/// `/OWNER/NAME` is added.
const GIT: &str = "https://github.com";

/// A program that is built from a clone of its repository.
struct Cloned {
    /// `OWNER/NAME`.
    repository: &'static str,
    tag: &'static str,
    /// The folder of its main package, which may be a module of its own.
    package: &'static str,
    program: &'static str,
    /// Packages of which only a name is left.
    left_out: &'static [LeftOutPackage],
}

/// A package whose dependency could not be had where this was written, and which no test uses.
struct LeftOutPackage {
    folder: &'static str,
    /// All that its importers need.
    text: &'static str,
}

const EXTERNAL_DNS: Cloned = Cloned {
    repository: "kubernetes-sigs/external-dns",
    tag: "v0.21.0",
    package: ".",
    program: "external-dns",
    left_out: &[],
};

const CERT_MANAGER: Cloned = Cloned {
    repository: "cert-manager/cert-manager",
    tag: "v1.21.1",
    package: "cmd/controller",
    program: "cert-manager-controller",
    // The issuer for Venafi, with its client library.
    left_out: &[
        LeftOutPackage {
            folder: "pkg/issuer/venafi",
            text: "package venafi\n",
        },
        LeftOutPackage {
            folder: "pkg/controller/certificaterequests/venafi",
            text: "package venafi\n\nconst CRControllerName = \"certificaterequests-issuer-venafi\"\n",
        },
        LeftOutPackage {
            folder: "pkg/controller/certificatesigningrequests/venafi",
            text: "package venafi\n\nconst CSRControllerName = \"certificatesigningrequests-issuer-venafi\"\n",
        },
    ],
};

const SOLVER: Cloned = Cloned {
    package: "cmd/acmesolver",
    program: "cert-manager-acmesolver",
    left_out: &[],
    ..CERT_MANAGER
};

const LOAD_BALANCERS: Cloned = Cloned {
    repository: "kubernetes-sigs/aws-load-balancer-controller",
    tag: "v3.5.0",
    package: ".",
    program: "aws-load-balancer-controller",
    left_out: &[],
};

/// Without arguments all tests run; a name runs those whose names contain it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if let Some(obstacle) = obstacle(workspace)? {
        bail!("{obstacle}");
    }
    let assets = apiserver::found(workspace)?;
    let kept = workspace.path(KEPT);
    let pebble = Part {
        module: "tests/neighbours/pebble",
        packages: &["tool"],
        flags: &["-ldflags=-s -w"],
        programs: &["pebble", "pebble-challtestsrv"],
    };
    go::built_once(workspace, &pebble, &kept)?;
    for program in [EXTERNAL_DNS, SOLVER, CERT_MANAGER, LOAD_BALANCERS] {
        program.built_once(workspace, &kept)?;
    }
    let python = python::environment(workspace, KEPT, "tests/neighbours/requirements.txt")?;

    let test = ["test", "--package", "gateway-tests", "--test", "neighbours"];
    // Built outside the namespace, which has no way out.
    Invocation::cargo(workspace).args(test).args(["--no-run"]).run()?;
    Invocation::new(workspace, "unshare")
        .args([
            "--net",
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            NAMESPACE,
            "sh",
            "cargo",
        ])
        .args(test)
        // One after the other: they share ports.
        .args(["--offline", "--", "--ignored", "--nocapture", "--test-threads=1"])
        .args(arguments)
        .env("KUBEBUILDER_ASSETS", &assets.to_string_lossy())
        .env("NEIGHBOURS_BIN", &kept.to_string_lossy())
        .env("NEIGHBOURS_PYTHON", &python.to_string_lossy())
        .run()
}

/// A network of its own: the tests bind ports below 1024, and an API server takes a machine with a route. An address
/// that is not loopback is what endpoints need.
const NAMESPACE: &str = r#"set -e
ip link set lo up
ip link add machine type veth peer name beyond
ip address add 192.0.2.1/24 dev machine
ip link set machine up
ip link set beyond up
ip route add default via 192.0.2.254 dev machine
exec "$@""#;

/// Why it cannot run here.
fn obstacle(workspace: &Workspace) -> Result<Option<String>> {
    if !cfg!(target_os = "linux") {
        return Ok(Some("network namespaces take Linux".to_owned()));
    }
    let can = |program: &str, arguments: &[&str]| {
        Invocation::new(workspace, program)
            .args(arguments)
            .succeeds_within(Duration::from_secs(20))
    };
    for (program, argument, package) in [("git", "--version", "git"), ("ip", "-V", "iproute2")] {
        if !can(program, &[argument])? {
            return Ok(Some(format!("no {program} here: install {package}")));
        }
    }
    if !can("unshare", &["--net", "--user", "--map-root-user", "true"])? {
        return Ok(Some("no network namespaces can be made here".to_owned()));
    }
    Ok(go::go(workspace).err().map(|error| error.to_string()))
}

impl Cloned {
    /// Clones and builds it, unless that has been done with the same tag.
    fn built_once(&self, workspace: &Workspace, kept: &Path) -> Result<()> {
        let program = kept.join(self.program);
        let stamp = kept.join(format!("{}.built", self.program));
        let wanted = self.stamp();
        if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
            return Ok(());
        }
        let source = self.cloned(workspace, kept)?;
        for package in self.left_out {
            package.leave_out(&source)?;
        }
        Invocation::new(workspace, go::go(workspace)?)
            .args([Path::new("-C"), &source.join(self.package)])
            .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
            .args([&program])
            .args(["."])
            .run()?;
        fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
    }

    /// Everything that the program depends on, except Go itself.
    fn stamp(&self) -> String {
        let mut stamp = format!("{} {} {}\n", self.repository, self.tag, self.package);
        for package in self.left_out {
            stamp.push_str(&format!("without {}\n{}", package.folder, package.text));
        }
        stamp
    }

    /// Its clone, which is made unless it is there.
    fn cloned(&self, workspace: &Workspace, kept: &Path) -> Result<PathBuf> {
        let (_, name) = self.repository.split_once('/').context("OWNER/NAME")?;
        let source = kept.join("src").join(format!("{name}-{}", self.tag));
        if source.join("go.mod").is_file() {
            return Ok(source);
        }
        #[expect(clippy::disallowed_methods, reason = "a task of the project, not the gateway")]
        let from = env::var("NEIGHBOURS_GIT").unwrap_or_else(|_| GIT.to_owned());
        Invocation::new(workspace, "git")
            .args([
                "-c",
                "advice.detachedHead=false",
                "clone",
                "--quiet",
                "--depth",
                "1",
            ])
            .args(["--branch", self.tag, &format!("{from}/{}", self.repository)])
            .args([&source])
            .run()
            .with_context(|| {
                format!(
                    "cloning {} (or set NEIGHBOURS_GIT to a folder with OWNER/NAME of each repository)",
                    self.repository
                )
            })?;
        Ok(source)
    }
}

impl LeftOutPackage {
    /// Replaces the package's own files, not those of the packages below it.
    fn leave_out(&self, source: &Path) -> Result<()> {
        let folder = source.join(self.folder);
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("reading {}", folder.display()))?
                .path();
            if path.extension().is_some_and(|extension| extension == "go") {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        let file = folder.join("absent.go");
        fs::write(&file, self.text).with_context(|| format!("writing {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_left_out_package_loses_its_own_files_alone() {
        let folder = env::temp_dir().join(format!("blastdoor-left-out-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/below")).expect("folders");
        for file in ["a/one.go", "a/notes.md", "a/below/two.go"] {
            fs::write(folder.join(file), "package a\n").expect("a file");
        }
        let package = LeftOutPackage {
            folder: "a",
            text: "package a // absent\n",
        };
        package.leave_out(&folder).expect("it is left out");
        assert!(!folder.join("a/one.go").exists());
        assert!(folder.join("a/notes.md").exists() && folder.join("a/below/two.go").exists());
        let left = fs::read_to_string(folder.join("a/absent.go")).expect("a file");
        assert_eq!(left, "package a // absent\n");
        fs::remove_dir_all(&folder).expect("it was ours");
    }

    #[test]
    fn a_program_is_built_anew_for_another_tag_or_without_other_packages() {
        let other = Cloned {
            tag: "v0.0.1",
            ..EXTERNAL_DNS
        };
        assert_ne!(other.stamp(), EXTERNAL_DNS.stamp());
        assert_ne!(SOLVER.stamp(), CERT_MANAGER.stamp());
        assert!(CERT_MANAGER.stamp().contains("pkg/issuer/venafi"));
    }
}
