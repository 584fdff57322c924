//! The configurations in `deploy/` and in the guides are valid in this version, with the environment of the pods that
//! they are for.

use std::fs;
use std::path::Path;

use blastdoor::config::{self, AdminBind, Loaded, Options};

const ADMIN_SOCKET: &str = "unix:/run/blastdoor/admin.sock";

fn read(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(file)).unwrap()
}

/// The text below `  listeners.toml: |` of a ConfigMap.
fn listeners_of(manifest: &str) -> String {
    let (_, text) = manifest.split_once("  listeners.toml: |\n").unwrap();
    text.lines()
        .map_while(|line| line.strip_prefix("    ").or(line.is_empty().then_some("")))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The variables of the pod, as a node at 10.0.0.5 sets them.
fn environment_of(manifest: &str) -> Vec<(String, String)> {
    let lines = manifest.lines().filter_map(|line| {
        let (name, rest) = line.trim().strip_prefix("- {name: ")?.split_once(", ")?;
        let value = match rest.strip_prefix("value: ") {
            Some(value) => value.strip_suffix('}')?.trim_matches('"').to_owned(),
            None if rest.contains("status.hostIP") => "10.0.0.5".to_owned(),
            None if rest.starts_with("valueFrom: ") => "told-by-kubernetes".to_owned(),
            None => return None,
        };
        Some((name.to_owned(), value.replace("$(NODE_IP)", "10.0.0.5")))
    });
    lines.collect()
}

/// The configurations that a guide shows.
fn shown_by(guide: &str) -> Vec<String> {
    let text = read(&format!("docs/{guide}"));
    let blocks = text.split("```toml\n").skip(1);
    blocks
        .map(|block| block.split_once("```").unwrap().0.to_owned())
        .filter(|block| block.contains("\nbind = "))
        .collect()
}

/// How `blastdoor check` and `run` read it. The file is placed as in the pod, beside the other keys of the ConfigMap.
fn load(what: &str, listeners: &str, environment: Vec<(String, String)>) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("listeners.toml"), listeners).unwrap();
    let networks = "173.245.48.0/20\n\n2400:cb00::/32\n";
    fs::write(folder.path().join("cloudflare.txt"), networks).unwrap();
    let options = Options {
        config: Some(folder.path().join("listeners.toml")),
        environment,
        ..Options::default()
    };
    config::load(&options).unwrap_or_else(|errors| panic!("{what}: {errors}\n{listeners}"))
}

fn doors(loaded: &Loaded) -> Vec<String> {
    let doors = loaded.config.doors.iter();
    doors
        .map(|door| format!("{} {}", door.name, door.binding.address))
        .collect()
}

#[test]
fn the_manifests_have_four_doors() {
    let manifest = read("deploy/daemonset/hostport.yaml");
    let loaded = load("hostport", &listeners_of(&manifest), environment_of(&manifest));
    assert_eq!(
        doors(&loaded),
        [
            "external-http [::]:10002",
            "external-https [::]:10003",
            "internal-http [::]:10000",
            "internal-https [::]:10001",
        ]
    );
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);

    let manifest = read("deploy/daemonset/hostnetwork.yaml");
    let loaded = load("hostnetwork", &listeners_of(&manifest), environment_of(&manifest));
    assert_eq!(
        doors(&loaded),
        [
            "external-http [::]:80",
            "external-https [::]:443",
            "internal-http 10.0.0.5:10000",
            "internal-https 10.0.0.5:10001",
        ]
    );
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

/// Probes read no configuration, so the manifests give them the address of the admin port.
#[test]
fn the_probes_ask_where_the_admin_port_is() {
    let manifest = read("deploy/daemonset/hostnetwork.yaml");
    let probe = format!("[/blastdoor, health, --admin, \"{ADMIN_SOCKET}\"");
    assert_eq!(manifest.matches(&probe).count(), 2);
    let socket = |loaded: &Loaded| match &loaded.config.admin {
        AdminBind::Unix(path) => format!("unix:{}", path.display()),
        other @ AdminBind::Tcp(_) => panic!("{other:?}"),
    };
    let loaded = load("hostnetwork", &listeners_of(&manifest), environment_of(&manifest));
    assert_eq!(socket(&loaded), ADMIN_SOCKET);
}

#[test]
fn the_policy_is_about_the_ports_of_the_manifest() {
    let policy = read("deploy/daemonset/networkpolicy.yaml");
    let manifest = read("deploy/daemonset/hostport.yaml");
    let ports = |text: &str, before: &str| {
        let mut ports: Vec<String> = text
            .split(before)
            .skip(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect())
            .collect();
        ports.sort();
        ports
    };
    assert_eq!(ports(&policy, "TCP, port: "), ports(&manifest, "containerPort: "));
    let selector = "matchLabels: {app.kubernetes.io/name: blastdoor}";
    assert!(policy.contains(selector) && manifest.contains(selector));
}

/// The configurations that guides show. Their files of values are checked by `tests/deploy/guides.py`, with the chart.
#[test]
fn configurations_of_guides_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("guide-") {
            continue;
        }
        for listeners in shown_by(&name) {
            let loaded = load(&name, &listeners, Vec::new());
            assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
            count += 1;
        }
    }
    assert!(count > 0, "no guide shows a configuration");
}
