//! `cargo xtask nodes`: the gateway on three real nodes (`tests/nodes`).
//!
//! The programs of a node are built from Go modules, once, into `target/cluster`. The gateway and the test's application
//! are static binaries, each in its own image. The programs of the control plane come from `cargo xtask apiserver`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::ci::{self, LeftOut};
use crate::command::Invocation;
use crate::go::{self, Part};
use crate::workspace::Workspace;
use crate::{apiserver, binary, image};

/// Where programs and images are kept.
const KEPT: &str = "target/cluster";
/// Starts the cluster, runs a command in it, and stops it.
const CLUSTER: &str = "tests/nodes/cluster";
/// The application behind the doors, and the process that holds a pod's namespaces.
const BACKEND: &str = "nodes-backend";

/// How long the test may take, builds excluded. It takes four minutes, and much longer on a busy machine.
const LIMIT: &str = "30m";

/// The step of CI.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    match obstacle(workspace)? {
        None => run(workspace, &[]).map(|()| Vec::new()),
        Some(obstacle) if ci::is_ci() => bail!("the test on three nodes cannot run: {obstacle}"),
        Some(obstacle) => Ok(vec![LeftOut(format!("the test on three nodes: {obstacle}"))]),
    }
}

/// Without arguments it runs everything; `up`, `test` and `down` are for working on the test.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let verb = arguments.first().map_or("run", String::as_str);
    if !["run", "up", "test", "down"].contains(&verb) || arguments.len() > 1 {
        bail!("`cargo xtask nodes` takes nothing, or one of up, test and down");
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
        images(workspace, if verb == "run" { "release" } else { "dev" })?;
    }
    if verb == "up" {
        return cluster(&["up"]).run();
    }
    let test = ["test", "--package", "gateway-tests", "--test", "nodes"];
    // Built outside the cluster, whose network cannot reach the internet.
    Invocation::cargo(workspace).args(test).args(["--no-run"]).run()?;
    let verb = if verb == "run" { "run" } else { "in" };
    cluster(&[verb, "timeout", "--foreground", LIMIT, "cargo"])
        .args(test)
        .args(["--offline", "--", "--ignored", "--nocapture"])
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
    write("gateway.tar", image::GATEWAY, &gateway, &[])
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
        ("flock", "--version", "util-linux"),
        ("pkg-config", "--version", "pkg-config"),
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
