//! The cluster that `tests/nodes/cluster` started: its API server by kubectl, its nodes by their files and processes.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take that the test waits for.
const PATIENCE: Duration = Duration::from_secs(180);
/// Longer than `minReadySeconds` anywhere here.
const STANDSTILL: Duration = Duration::from_secs(20);
/// The nodes, and their addresses.
pub const NODES: [(&str, &str); 3] = [
    ("node1", "10.244.255.11"),
    ("node2", "10.244.255.12"),
    ("node3", "10.244.255.13"),
];
/// Which pods of a DaemonSet do not tolerate.
const LEAVING: &str = "example.com/leaving=:NoExecute";
/// Where the test is, and the load balancer that it plays.
pub const BALANCER: &str = "10.244.255.1";

/// The folder of the cluster.
pub struct Cluster {
    folder: PathBuf,
    /// Where the requests begin in the audit log that still count, in bytes.
    asked_from: AtomicUsize,
}

impl Cluster {
    pub fn here() -> Self {
        #[expect(clippy::disallowed_methods, reason = "told by tests/nodes/cluster")]
        let folder = std::env::var("CLUSTER_DIR").expect("run by `cargo xtask nodes`");
        Self {
            folder: folder.into(),
            asked_from: AtomicUsize::new(0),
        }
    }

    /// Runs kubectl, which must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        self.tried(arguments, input)
            .unwrap_or_else(|told| panic!("kubectl {arguments:?}: {told}"))
    }

    /// Runs kubectl, which may fail: with what it says then.
    pub fn tried(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new("kubectl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// What kubectl shows as JSON.
    pub fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["-o", "json"]);
        let told: Value = serde_json::from_str(&self.kubectl(&arguments)).unwrap();
        told["items"].as_array().cloned().unwrap_or_else(|| vec![told])
    }

    /// Creates or changes what these documents say.
    pub fn apply(&self, documents: &str) {
        self.kubectl_with(&["apply", "-f", "-"], documents);
    }

    pub fn apply_objects(&self, objects: Vec<Value>) {
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        self.apply(&list.to_string());
    }

    pub fn namespace(&self, name: &str) {
        let metadata = serde_json::json!({ "name": name });
        self.apply_objects(vec![
            serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }),
        ]);
    }

    /// Waits until everything of a kind is rolled out.
    pub fn rolled_out(&self, kind: &str, namespace: &str) {
        for object in self.objects(&["get", kind, "-n", namespace]) {
            let name = format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap());
            let (mut last, mut since) = (String::new(), Instant::now());
            until(&format!("{name} is rolled out"), || {
                let status = ["rollout", "status", &name, "-n", namespace, "--watch=false"];
                let told = self.kubectl(&status);
                if told.contains("successfully rolled out") {
                    return Ok(());
                }
                let pods = self.pods_as_they_are(namespace);
                if pods != last || pods.contains("leaving") {
                    (last, since) = (pods, Instant::now());
                } else if kind == "daemonset" && since.elapsed() > STANDSTILL {
                    // With `maxSurge` the controller of Kubernetes 1.36 can lose the timer of `minReadySeconds`; whatever
                    // happens next to the DaemonSet wakes it. OpenKruise, which has the same code, had to repair the same.
                    println!(
                        "  {name} stands still although its pods are ready: told its controller to look"
                    );
                    let stamp = format!("example.com/looked-at={:?}", Instant::now());
                    self.kubectl(&["annotate", "--overwrite", &name, "-n", namespace, &stamp]);
                    since = Instant::now();
                }
                Err(told)
            });
        }
    }

    fn pods_as_they_are(&self, namespace: &str) -> String {
        let pods = self.objects(&["get", "pods", "-n", namespace]);
        let state = |pod: &Value| {
            let leaving = pod["metadata"]["deletionTimestamp"].as_str().map(|_| "leaving");
            let ready = &pod["status"]["containerStatuses"][0]["ready"];
            format!("{} {ready} {leaving:?}\n", pod["metadata"]["name"])
        };
        pods.iter().map(state).collect()
    }

    /// Waits until objects of a kind can be created.
    pub fn established(&self, definition: &str) {
        until(definition, || {
            let found = self.objects(&["get", "customresourcedefinition", definition]);
            let conditions = found[0]["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let is_there =
                |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
            match conditions.iter().any(is_there) {
                true => Ok(()),
                false => Err(format!("{conditions:?}")),
            }
        });
    }

    /// The gateway's pods that are not on their way out, by name.
    pub fn gateways(&self) -> BTreeSet<String> {
        self.objects(&[
            "get",
            "pods",
            "-n",
            "blastdoor",
            "-l",
            "app.kubernetes.io/name=blastdoor",
        ])
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
    }

    /// As whoever is about to take the machine away does: nothing new comes, and pods leave, but for the DaemonSet's.
    pub fn drain(&self, node: &str) {
        self.kubectl(&[
            "drain",
            node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--timeout=2m",
        ]);
    }

    pub fn uncordon(&self, node: &str) {
        self.kubectl(&["uncordon", node]);
    }

    /// The same for all pods, those of the DaemonSet as well.
    pub fn evict(&self, node: &str) {
        self.drain(node);
        self.kubectl(&["taint", "node", node, LEAVING]);
        until("the gateway has left the node", || {
            let field = format!("spec.nodeName={node}");
            match self
                .objects(&["get", "pods", "-n", "blastdoor", "--field-selector", &field])
                .len()
            {
                0 => Ok(()),
                count => Err(format!("{count} pods")),
            }
        });
    }

    /// The node is there again.
    pub fn readmit(&self, node: &str) {
        self.kubectl(&["taint", "node", node, &format!("{LEAVING}-")]);
        self.uncordon(node);
    }

    /// The node's cable, out or in again.
    pub fn plug(&self, node: &str, state: &str) {
        let cable = format!("to-{node}");
        ip(&["link", "set", &cable, state]);
    }

    /// Sets what a file for `/etc/sysctl.d` says, on every node. It is named from the root of the repository.
    pub fn set_sysctls(&self, file: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        for (node, _) in NODES {
            let status = Command::new("nsenter")
                .arg(format!("--net=/run/netns/blastdoor-{node}"))
                .args(["sysctl", "--quiet", "--load"])
                .arg(&file)
                .status()
                .unwrap();
            assert!(status.success(), "{status}");
        }
    }

    /// Forgets what gateways have asked that are gone, with their permissions.
    pub fn forget_asked(&self) {
        let log = fs::read_to_string(self.folder.join("audit.log")).unwrap();
        let whole = log.rfind('\n').map_or(0, |end| end + 1);
        self.asked_from.store(whole, Ordering::Relaxed);
    }

    /// The gateways' requests to the API server so far.
    pub fn asked(&self) -> Vec<Asked> {
        let log = fs::read_to_string(self.folder.join("audit.log")).unwrap();
        let log = &log[self.asked_from.load(Ordering::Relaxed)..];
        // The last one may be under way.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines
            .map(|line| Asked::read(&serde_json::from_str(line).unwrap()))
            .collect()
    }

    /// The gateway's processes on all nodes.
    pub fn processes(&self) -> Vec<Process> {
        let mut found = Vec::new();
        for (node, _) in NODES {
            let tasks = format!("{node}/state/io.containerd.runtime.v2.task/k8s.io");
            for task in fs::read_dir(self.folder.join(tasks)).unwrap() {
                let Ok(pid) = fs::read_to_string(task.unwrap().path().join("init.pid")) else {
                    continue;
                };
                let folder = Path::new("/proc").join(pid.trim());
                let Ok(command) = fs::read_to_string(folder.join("cmdline")) else {
                    continue;
                };
                if command.starts_with("/blastdoor\0") {
                    found.push(Process { folder });
                }
            }
        }
        found
    }
}

/// A request to the API server, as its audit log has it.
#[derive(Debug)]
pub struct Asked {
    pub pod: String,
    /// As in `patch ingresses/status`.
    pub what: String,
    pub code: u64,
}

impl Asked {
    fn read(event: &Value) -> Self {
        let reference = &event["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut what = format!("{} {}", text(&event["verb"]), text(&reference["resource"]));
        if let Some(part) = reference["subresource"].as_str() {
            what = format!("{what}/{part}");
        }
        // The token of a pod contains the pod's name.
        let pod = &event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0];
        Self {
            pod: text(pod),
            what,
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        }
    }
}

/// A process in a container, seen from the node.
pub struct Process {
    folder: PathBuf,
}

impl Process {
    /// A line of its status.
    pub fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(self.folder.join("status")).unwrap();
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(line, _)| *line == name).unwrap();
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The options with which its root is mounted.
    pub fn root_options(&self) -> Vec<String> {
        let mounts = fs::read_to_string(self.folder.join("mountinfo")).unwrap();
        let root = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields[4] == "/")
            .unwrap();
        root[5].split(',').map(str::to_owned).collect()
    }
}

/// Runs `ip` where the test is.
pub fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}: {status}");
}

/// Waits until `holds` says nothing; what it says otherwise is what is still missing.
pub fn until(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let started = Instant::now();
    loop {
        match holds() {
            Ok(()) => return,
            Err(missing) if started.elapsed() > PATIENCE => panic!("{what}: {missing}"),
            Err(_) => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}
