//! What the references promise is tested: each annotation that is honoured, and each field of a kind of Middleware that is
//! honoured, is named in a test below this folder.

use std::path::{Path, PathBuf};

/// What is tested in another place, and where.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "nginx.ingress.kubernetes.io/proxy-connect-timeout",
        "no address on loopback lets a connection wait; gateway/resource/src/annotations/tests/tuning.rs",
    ),
    (
        "nginx.ingress.kubernetes.io/proxy-send-timeout",
        "as the door's own `timeouts.body_idle` of timeouts.rs; gateway/resource/src/annotations/tests/tuning.rs",
    ),
];

/// The sources of all tests, without this one.
fn sources() -> Vec<String> {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR"))];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with(file!()) {
                sources.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    sources
}

fn reference(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::read_to_string(docs.join(name)).unwrap()
}

/// The cells of a row of a table; the first one without its quotes and without the object on which it is written.
fn row(line: &str) -> Option<(&str, Vec<&str>)> {
    let mut cells = line.strip_prefix("| `")?.split(" | ");
    let name = cells.next()?.split('`').next()?;
    Some((name, cells.collect()))
}

/// Whether the text has this word, and not only as a part of a longer one.
fn names(text: &str, word: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(is_letter) && !after.starts_with(is_letter)
    })
}

#[test]
fn every_annotation_that_is_honoured_is_named_in_a_test() {
    let (sources, reference) = (sources(), reference("reference-annotations.md"));
    let honoured = reference
        .lines()
        .filter_map(row)
        .filter(|(_, cells)| cells.first() == Some(&"honoured"));
    let is_named = |key: &str| {
        let (_, suffix) = key.split_once('/').unwrap();
        let quoted = format!("\"{suffix}\"");
        sources
            .iter()
            .any(|source| names(source, key) || source.contains(&quoted))
    };
    let mut count = 0;
    let mut missing = Vec::new();
    for (key, _) in honoured {
        count += 1;
        let elsewhere = ELSEWHERE.iter().any(|(named, _)| *named == key);
        assert!(
            !(elsewhere && is_named(key)),
            "{key} is tested here: remove it from ELSEWHERE"
        );
        if !elsewhere && !is_named(key) {
            missing.push(key);
        }
    }
    assert!(count > 100, "the reference has {count} rows");
    assert!(missing.is_empty(), "no test names {missing:#?}");
    for (key, _) in ELSEWHERE {
        assert!(
            reference.contains(&format!("| `{key}`")),
            "{key} is no annotation any more"
        );
    }
}

#[test]
fn every_field_of_a_middleware_that_is_honoured_is_named_in_a_test() {
    let (sources, reference) = (sources(), reference("reference-middlewares.md"));
    let mut count = 0;
    let mut missing = Vec::new();
    for section in reference.split("\n## ").skip(1) {
        if section.contains("\n**Closes**: ") {
            continue;
        }
        let kind = section.lines().next().unwrap();
        let of_kind: Vec<&String> = sources.iter().filter(|source| names(source, kind)).collect();
        for (field, _) in section.lines().filter_map(row) {
            count += 1;
            let last = field.rsplit('.').next().unwrap();
            if !of_kind.iter().any(|source| names(source, last)) {
                missing.push(format!("{kind}.{field}"));
            }
        }
    }
    assert!(count > 100, "the reference has {count} rows");
    assert!(missing.is_empty(), "no test names {missing:#?}");
}
