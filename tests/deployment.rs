//! The configurations in the guides are valid in this version. Those of the chart are checked by `tests/deploy`.

use std::fs;
use std::path::Path;

use blastdoor::config::{self, Loaded, Options};

fn read(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(file)).unwrap()
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
fn load(what: &str, listeners: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("listeners.toml"), listeners).unwrap();
    let networks = "173.245.48.0/20\n\n2400:cb00::/32\n";
    fs::write(folder.path().join("cloudflare.txt"), networks).unwrap();
    let options = Options {
        config: Some(folder.path().join("listeners.toml")),
        ..Options::default()
    };
    config::load(&options).unwrap_or_else(|errors| panic!("{what}: {errors}\n{listeners}"))
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
            let loaded = load(&name, &listeners);
            assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
            count += 1;
        }
    }
    assert!(count > 0, "no guide shows a configuration");
}
