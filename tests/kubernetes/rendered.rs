//! What the chart renders, as `cargo xtask chart` writes it, and a gateway with the doors of the same rendering.

use std::collections::BTreeMap;
use std::path::Path;

use gateway_tests::{Builder, gateway};

const DOORS: [&str; 4] = [
    "internal-http",
    "internal-https",
    "external-http",
    "external-https",
];
/// What the chart writes into `[source]` and a test needs.
const SOURCE: [&str; 4] = ["secrets", "namespaces", "ingress_class", "replicas"];

/// A gateway with the doors of the rendered listeners.toml, each on a free port, and with its source.
pub fn gateway_of(rendered: &str, kubeconfig: &Path) -> Builder {
    let (_, text) = rendered.split_once("  listeners.toml: |\n").unwrap();
    let lines = text
        .lines()
        .map_while(|line| line.strip_prefix("    ").or(line.is_empty().then_some("")));
    let mut section = "";
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        match line.strip_prefix('[') {
            Some(name) => section = name.trim_end_matches(']'),
            None => sections.entry(section).or_default().push(line),
        }
    }
    let source = sections["source"].iter().filter(|line| {
        let key = line.split(' ').next().unwrap();
        SOURCE.contains(&key)
    });
    let source: Vec<&str> = source.copied().collect();
    let mut builder = gateway!().cluster(kubeconfig).source(&source.join("\n"));
    for door in DOORS {
        builder = builder.without(door);
    }
    let mut found = 0;
    for (section, lines) in &sections {
        let Some(door) = section.strip_prefix("listeners.") else {
            continue;
        };
        if let Some(door) = door.strip_suffix(".tls") {
            builder = builder.door(door, &format!("tls = {{ {} }}", lines.join(", ")));
            continue;
        }
        let kept: Vec<&str> = lines
            .iter()
            .copied()
            .filter(|line| !line.starts_with("bind = "))
            .collect();
        builder = builder.door(
            door,
            &format!("bind = \"127.0.0.1:0\"\nworkers = 1\n{}", kept.join("\n")),
        );
        found += 1;
    }
    assert!(found > 2, "{rendered}");
    builder
}
