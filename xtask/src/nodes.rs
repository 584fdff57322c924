//! `cargo xtask nodes`: the gateway on three real nodes (`tests/nodes`).
//!
//! The programs of a node are built from Go modules, once, into `target/cluster`. The gateway and the test's application
//! are static binaries, each in its own image. The programs of the control plane come from `cargo xtask apiserver`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::binary::Target;
use crate::ci::{self, LeftOut};
use crate::command::Invocation;
use crate::go::{self, Part};
use crate::oci::{Content, Image};
use crate::workspace::Workspace;
use crate::{apiserver, binary, deploy, image};

/// Where programs and images are kept.
const KEPT: &str = "target/cluster";
/// Starts the cluster, runs a command in it, and stops it.
const CLUSTER: &str = "tests/nodes/cluster";
/// Follows a guide, in the cluster.
const FOLLOW: &str = "tests/nodes/follow";
/// The application behind the doors, and the process that holds a pod's namespaces.
const BACKEND: &str = "nodes-backend";

/// How long the test may take, builds excluded. It takes eight minutes, and much longer on a busy machine.
const LIMIT: &str = "30m";

/// The step of CI.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    match obstacle(workspace)? {
        None => run(workspace, &[]).map(|()| Vec::new()),
        Some(obstacle) if ci::is_ci() => bail!("the test on three nodes cannot run: {obstacle}"),
        Some(obstacle) => Ok(vec![LeftOut(format!("the test on three nodes: {obstacle}"))]),
    }
}

/// Without arguments it runs everything; `up`, `test` and `down` are for working on the test, of which `run` and `test` can
/// be told a part. `follow` follows a guide literally, on a cluster of its own.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let verb = arguments.first().map_or("run", String::as_str);
    let part = arguments.get(1).map_or("", String::as_str);
    let takes_part = ["run", "test", "follow"].contains(&verb);
    if !takes_part && (!["up", "down"].contains(&verb) || !part.is_empty()) || arguments.len() > 2 {
        bail!(
            "`cargo xtask nodes` takes nothing, up, down, run, test or follow; after run and test a part of the test, after \
             follow the name of a guide"
        );
    }
    let cluster = |arguments: &[&str]| {
        Invocation::new(workspace, workspace.path(CLUSTER))
            .args(arguments)
            .env("CONTROL_BIN", &apiserver::folder(workspace).to_string_lossy())
            .env("NODE_BIN", &workspace.path(KEPT).to_string_lossy())
    };
    if verb == "down" {
        return cluster(&["down"]).run();
    }
    if let Some(obstacle) = obstacle(workspace)? {
        bail!("{obstacle}");
    }
    if verb != "test" {
        apiserver::built(workspace)?;
        nodes(workspace)?;
        // Optimised, with the dependencies that the step before has built; while you work on the test, a quick build
        // matters more.
        let profile = if ["run", "follow"].contains(&verb) {
            image::TESTED
        } else {
            "dev"
        };
        images(workspace, profile)?;
    }
    if verb == "up" {
        return cluster(&["up"]).run();
    }
    let programs = deploy::programs(workspace)?;
    if verb == "follow" {
        let gateway = binary::build_static(workspace, image::TESTED, "blastdoor", "blastdoor")?;
        let guide = format!("{}.md", part.trim_end_matches(".md"));
        return cluster(&["run", &programs.join("python").to_string_lossy(), FOLLOW, &guide])
            .env("HELM", &programs.join("helm").to_string_lossy())
            .env("BLASTDOOR", &gateway.to_string_lossy())
            .run();
    }
    let test = ["test", "--package", "gateway-tests", "--test", "nodes"];
    // Built outside the cluster, whose network cannot reach the internet.
    Invocation::cargo(workspace).args(test).args(["--no-run"]).run()?;
    let verb = if verb == "run" { "run" } else { "in" };
    cluster(&[verb, "timeout", "--foreground", LIMIT, "cargo"])
        .args(test)
        .args(["--offline", "--", "--ignored", "--nocapture"])
        .env("HELM", &programs.join("helm").to_string_lossy())
        .env("NODES_ONLY", part)
        .run()
}

/// Builds what a node runs, unless it is there already.
fn nodes(workspace: &Workspace) -> Result<()> {
    let kept = workspace.path(KEPT);
    let version = go::kubernetes_version(workspace)?;
    let flags = go::kubernetes_flags(&version)?;
    let containerd = Part {
        module: "tests/nodes/containerd",
        packages: &["tool"],
        flags: &["-ldflags=-s -w", "-tags=no_btrfs no_devmapper no_zfs no_aufs"],
        programs: &[
            "containerd",
            "containerd-shim-runc-v2",
            "ctr",
            "bridge",
            "host-local",
            "loopback",
            "portmap",
        ],
    };
    let runc = Part {
        module: "tests/nodes/runc",
        packages: &["github.com/opencontainers/runc"],
        // Pods ask for RuntimeDefault.
        flags: &["-tags=seccomp"],
        programs: &["runc"],
    };
    let kubernetes = Part {
        module: go::KUBERNETES,
        packages: &[
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-proxy",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kubelet",
        ],
        flags: &[&flags],
        programs: &[
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubelet",
        ],
    };
    for part in [containerd, runc, kubernetes] {
        go::built_once(workspace, &part, &kept)?;
    }
    println!("Nodes of Kubernetes {version}: {}", kept.display());
    Ok(())
}

/// The images that `tests/nodes/cluster` loads on every node.
fn images(workspace: &Workspace, profile: &str) -> Result<()> {
    let gateway = binary::build_static(workspace, profile, "blastdoor", "blastdoor")?;
    let backend = binary::build_static(workspace, "dev", "gateway-tests", BACKEND)?;
    let write = |archive: &str, name: &str, binary: &Path, arguments: &[&str]| {
        image::of_one_binary(name, binary, arguments, &workspace.path(KEPT).join(archive))
    };
    write("pause.tar", "localhost/pause:1", &backend, &["pause"])?;
    write("backend.tar", "localhost/backend:1", &backend, &[])?;
    write("gateway.tar", image::GATEWAY, &gateway, &[])?;
    tools(workspace, &workspace.path(KEPT).join("tools.tar"))
}

/// An image with this machine's `sh`, `sleep` and `curl`, and the libraries that they load: for the pod of `helm test`.
fn tools(workspace: &Workspace, archive: &Path) -> Result<()> {
    let mut paths = BTreeSet::from(["/bin/sh", "/bin/sleep", "/usr/bin/curl"].map(str::to_owned));
    for program in paths.clone() {
        // `libc.so.6 => /lib/…/libc.so.6 (0x…)`, and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
        let told = Invocation::new(workspace, "ldd").args([&program]).output()?;
        let words = told.split_whitespace().filter(|word| word.starts_with('/'));
        paths.extend(words.map(str::to_owned));
    }
    let mut files = Vec::new();
    for path in &paths {
        files.push(Content {
            path: path.trim_start_matches('/'),
            bytes: fs::read(path).with_context(|| format!("reading {path}"))?,
            is_program: true,
            capability: None,
        });
    }
    let image = Image {
        name: "localhost/tools:1",
        files: &files,
        entrypoint: "bin/sh",
        arguments: &[],
        architecture: Target::of_machine()?.architecture,
        created: 0,
        labels: &[],
    };
    image.write(archive).map(drop)
}

/// Why it cannot run here.
fn obstacle(workspace: &Workspace) -> Result<Option<String>> {
    let can = |program: &str, arguments: &[&str]| {
        Invocation::new(workspace, program)
            .args(arguments)
            .succeeds_within(Duration::from_secs(20))
    };
    if !cfg!(target_os = "linux") {
        return Ok(Some("nodes take Linux".to_owned()));
    }
    if Invocation::new(workspace, "id").args(["-u"]).output()?.trim() != "0" {
        return Ok(Some("network namespaces and cgroups take root".to_owned()));
    }
    if !can("unshare", &["--net", "--mount", "true"])? {
        return Ok(Some("no network namespaces can be made here".to_owned()));
    }
    if !writable_cgroups() {
        return Ok(Some("/sys/fs/cgroup is missing or read-only".to_owned()));
    }
    if !can(&workspace.path(CLUSTER).to_string_lossy(), &["can"])? {
        return Ok(Some(
            "/sys/fs/cgroup (version 2) does not hand its controllers down, and kubelet wants them"
                .to_owned(),
        ));
    }
    let tools = [
        ("ip", "-V", "iproute2"),
        ("iptables", "--version", "iptables"),
        ("conntrack", "--version", "conntrack"),
        ("sysctl", "--version", "procps"),
        ("openssl", "version", "openssl"),
        ("curl", "--version", "curl, for the pod of `helm test`"),
        ("flock", "--version", "util-linux"),
        ("pkg-config", "--version", "pkg-config"),
        ("python3", "--version", "python3 and python3-venv, for Helm"),
    ];
    for (program, argument, package) in tools {
        if !can(program, &[argument])? {
            return Ok(Some(format!("no {program} here: install {package}")));
        }
    }
    if !can("pkg-config", &["--exists", "libseccomp"])? {
        return Ok(Some(
            "runc is built with libseccomp: install libseccomp-dev".to_owned(),
        ));
    }
    Ok(go::go(workspace).err().map(|error| error.to_string()))
}

fn writable_cgroups() -> bool {
    let probe: PathBuf =
        Path::new("/sys/fs/cgroup").join(if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            "blastdoor-probe"
        } else {
            "memory/blastdoor-probe"
        });
    fs::create_dir(&probe).is_ok() && fs::remove_dir(&probe).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_come_with_their_libraries() {
        let workspace = Workspace::here().expect("a workspace");
        let archive = workspace.path("target").join("tools-test.tar");
        tools(&workspace, &archive).expect("an image");
        // With less it could not start.
        assert!(fs::metadata(&archive).expect("an archive").len() > 1_000_000);
        fs::remove_file(&archive).expect("removing the archive");
    }
}
