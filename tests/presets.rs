//! The chart's presets, as `deploy/kustomize` has them rendered: their configurations are valid in this version, and the pods give
//! them the time and the environment that they need.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blastdoor::config::{self, AdminBind, Loaded, Options};
use gateway_tests::command;
use gateway_tests::tls::{Authority, secret_of};
use tempfile::TempDir;

const ADMIN_SOCKET: &str = "unix:/run/blastdoor/admin.sock";

/// What is documented of a preset: the addresses of its doors on a node at 10.0.0.5, the drain in seconds, the grace period of its
/// pods, and how long a new pod must be ready.
struct Documented {
    preset: &'static str,
    doors: &'static [(&'static str, &'static str)],
    drain: (u64, u64),
    grace: u64,
    ready: u64,
}

const FOUR: &[(&str, &str)] = &[
    ("external-http", "[::]:10002"),
    ("external-https", "[::]:10003"),
    ("internal-http", "[::]:10000"),
    ("internal-https", "[::]:10001"),
];
const PRESETS: [Documented; 7] = [
    documented("aws-alb-asg-hostport", FOUR, (30, 60), 100, 20),
    documented("aws-alb-ip", FOUR, (25, 60), 100, 20),
    documented("aws-nlb-proxy-v2", FOUR, (150, 90), 270, 180),
    documented("gke-l4-local", FOUR, (15, 45), 70, 15),
    documented("gke-neg", FOUR, (40, 60), 110, 15),
    documented(
        "k3s-hostnetwork-cloudflare",
        &[("external-http", "[::]:80"), ("external-https", "[::]:443")],
        (2, 30),
        45,
        5,
    ),
    documented("kind", FOUR, (5, 30), 50, 0),
];

const fn documented(
    preset: &'static str,
    doors: &'static [(&'static str, &'static str)],
    drain: (u64, u64),
    grace: u64,
    ready: u64,
) -> Documented {
    Documented {
        preset,
        doors,
        drain,
        grace,
        ready,
    }
}

fn overlays() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kustomize/overlays")
}

/// The objects that a preset has beside the base, by the names of their files.
fn objects(preset: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(overlays().join(preset)).unwrap();
    files
        .map(|file| file.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The DaemonSet or Deployment.
fn workload(objects: &BTreeMap<String, String>) -> &str {
    let mut workloads = objects
        .iter()
        .filter(|(name, _)| name.starts_with("daemonset-") || name.starts_with("deployment-"));
    let (_, workload) = workloads.next().unwrap();
    assert_eq!(workloads.next(), None);
    workload
}

/// The files of the ConfigMap, in a folder as the pod has it.
fn mounted(objects: &BTreeMap<String, String>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (_, data) = objects["configmap-blastdoor.yaml"]
        .split_once("\ndata:\n")
        .unwrap();
    let mut files: Vec<(&str, String)> = Vec::new();
    for line in data.lines() {
        match line.strip_prefix("    ") {
            Some(text) => {
                let (_, content) = files.last_mut().unwrap();
                content.push_str(text);
                content.push('\n');
            }
            None if line.is_empty() => files.last_mut().unwrap().1.push('\n'),
            None => files.push((line.trim().strip_suffix(": |").unwrap(), String::new())),
        }
    }
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The variables of the pod that the gateway reads, as a node at 10.0.0.5 sets them.
fn environment(workload: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = workload.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let name = pair[0].strip_prefix("- name: ")?;
        let value = pair[1].strip_prefix("value: ")?.trim_matches('"');
        (name.starts_with("BLASTDOOR_") && name != "BLASTDOOR_CONFIG")
            .then(|| (name.to_owned(), value.replace("$(NODE_IP)", "10.0.0.5")))
    });
    pairs.collect()
}

/// The number behind a key.
fn number(workload: &str, key: &str) -> u64 {
    let mut lines = workload.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    value.unwrap().parse().unwrap()
}

fn load(preset: &str, folder: &TempDir, environment: Vec<(String, String)>) -> Loaded {
    let options = Options {
        config: Some(folder.path().join("listeners.toml")),
        environment,
        ..Options::default()
    };
    config::load(&options).unwrap_or_else(|errors| panic!("{preset}: {errors}"))
}

#[test]
fn there_are_no_others() {
    let mut found: Vec<String> = fs::read_dir(overlays())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let listed: Vec<&str> = PRESETS.iter().map(|documented| documented.preset).collect();
    assert_eq!(found, listed);
}

#[test]
fn their_configurations_are_valid_and_their_pods_live_long_enough() {
    for wanted in &PRESETS {
        let preset = wanted.preset;
        let objects = objects(preset);
        let workload = workload(&objects);
        let loaded = load(preset, &mounted(&objects), environment(workload));
        assert!(loaded.warnings.is_empty(), "{preset}: {:?}", loaded.warnings);
        let doors: Vec<(String, String)> = loaded
            .config
            .doors
            .iter()
            .map(|door| (door.name.to_string(), door.binding.address.to_string()))
            .collect();
        let expected: Vec<(String, String)> = wanted
            .doors
            .iter()
            .map(|(name, address)| ((*name).to_owned(), (*address).to_owned()))
            .collect();
        assert_eq!(doors, expected, "{preset}");
        let grace = number(workload, "terminationGracePeriodSeconds");
        assert_eq!(
            (grace, number(workload, "minReadySeconds")),
            (wanted.grace, wanted.ready),
            "{preset}"
        );
        for door in &loaded.config.doors {
            let drain = door.settings.drain;
            let told = (drain.wait.as_secs(), drain.timeout.as_secs());
            assert_eq!(told, wanted.drain, "{preset} {}", door.name);
            let needed = drain.wait + drain.timeout + Duration::from_secs(5);
            assert!(
                Duration::from_secs(grace) >= needed,
                "{preset}: {grace} s for {needed:?}"
            );
        }
    }
}

/// Probes read no configuration, so the pods tell them where the admin port is.
#[test]
fn their_probes_ask_where_the_admin_port_is() {
    for wanted in &PRESETS {
        let objects = objects(wanted.preset);
        let workload = workload(&objects);
        let loaded = load(wanted.preset, &mounted(&objects), environment(workload));
        match &loaded.config.admin {
            AdminBind::Unix(path) => {
                assert_eq!(
                    format!("unix:{}", path.display()),
                    ADMIN_SOCKET,
                    "{}",
                    wanted.preset
                );
                let probe = format!(
                    "- /blastdoor\n            - health\n            - --admin\n            - {ADMIN_SOCKET}\n"
                );
                assert_eq!(workload.matches(&probe).count(), 2, "{}", wanted.preset);
                assert!(!workload.contains("httpGet:") && !workload.contains("ports:"));
            }
            AdminBind::Tcp(address) => {
                let port = format!("- name: admin\n          containerPort: {}\n", address.port());
                assert!(workload.contains(&port), "{}", wanted.preset);
                assert_eq!(workload.matches("port: admin\n").count(), 2, "{}", wanted.preset);
            }
        }
    }
}

/// `blastdoor check` finds nothing in an installation whose Secrets exist.
#[test]
fn check_has_nothing_to_say_of_them() {
    let authority = Authority::new("presets");
    let certificate = authority.server(&["shop.example.com"]);
    let pair = [("tls.crt", &*certificate.chain), ("tls.key", &*certificate.key)];
    let mut manifests: String = ["cloudflare-origin", "internal-tls", "edge-tls"]
        .iter()
        .map(|name| secret_of(name, "kubernetes.io/tls", &pair))
        .collect();
    manifests += &secret_of("cloudflare-origin-pull", "Opaque", &[("ca.crt", authority.pem())]);
    let mut manifests = manifests.replace("namespace: test", "namespace: blastdoor");
    manifests.push_str(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
         metadata: {name: blastdoor-1, namespace: blastdoor, labels: {kubernetes.io/service-name: blastdoor}}\n\
         endpoints: []\nports: []\n",
    );
    for wanted in &PRESETS {
        let objects = objects(wanted.preset);
        let folder = mounted(&objects);
        let place = folder.path().join("manifests");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("all.yaml"), &manifests).unwrap();
        for (name, text) in &objects {
            if name.starts_with("service-") {
                fs::write(place.join(name), text).unwrap();
            }
        }
        let listeners = folder.path().join("listeners.toml");
        let output = command(
            Path::new(env!("CARGO_BIN_EXE_blastdoor-under-test")),
            &[
                "check",
                "--config",
                listeners.to_str().unwrap(),
                "--manifests",
                place.to_str().unwrap(),
            ],
            &environment(workload(&objects)),
            folder.path(),
        );
        assert_eq!(
            output.status, 0,
            "{}: {}{}",
            wanted.preset, output.stdout, output.stderr
        );
    }
}
