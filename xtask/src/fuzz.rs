//! Fuzz smoke: every target builds, has a corpus, and its corpus replays; with nightly and cargo-fuzz each target
//! also runs for a few seconds.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::ci::LeftOut;
use crate::command::Invocation;
use crate::workspace::Workspace;

pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";
/// Seconds that each target runs.
const RUN: &str = "10";
/// What a run finds is kept apart from the committed corpora.
const SCRATCH: &str = "target/fuzz-smoke";

/// Checks the targets against their corpora, builds, replays and, where possible, runs them.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let metadata = [
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--manifest-path",
        MANIFEST,
    ];
    let declared = targets(&Invocation::cargo(workspace).args(metadata).output()?)?;
    let sources = workspace.files("fuzz/fuzz_targets", |file| {
        file.extension() == Some(OsStr::new("rs"))
    })?;
    let mismatches = mismatches(&declared, &sources, &workspace.files("fuzz/corpus", |_| true)?);
    for mismatch in &mismatches {
        println!("    {mismatch}");
    }
    if !mismatches.is_empty() {
        bail!("fuzz targets, their sources and their corpora do not belong together");
    }
    Invocation::cargo(workspace)
        .args(["check", "--bins", "--manifest-path", MANIFEST])
        .run()?;
    Invocation::cargo(workspace)
        .args(["test", "--workspace", "--test", "corpus"])
        .run()?;
    run_briefly(workspace, &declared)
}

fn run_briefly(workspace: &Workspace, targets: &BTreeSet<String>) -> Result<Vec<LeftOut>> {
    let nightly = |arguments: &[&str]| {
        Invocation::cargo(workspace)
            .args(["+nightly", "fuzz"])
            .args(arguments)
    };
    if !nightly(&["--version"]).succeeds_within(Duration::from_secs(20))? {
        let missing =
            "running the targets, which takes a nightly toolchain and `cargo install cargo-fuzz --locked`";
        return Ok(vec![LeftOut(missing.to_owned())]);
    }
    for target in targets {
        let scratch = format!("{SCRATCH}/{target}");
        fs::create_dir_all(workspace.path(&scratch)).with_context(|| format!("creating {scratch}"))?;
        // libFuzzer writes what it finds into the first folder alone.
        let corpora = [scratch.as_str(), &format!("fuzz/corpus/{target}")];
        let limits = ["--", &format!("-max_total_time={RUN}"), "-max_len=4096"];
        nightly(&["run", target]).args(corpora).args(limits).run()?;
    }
    Ok(Vec::new())
}

/// The binaries of the fuzz crate, from the output of `cargo metadata`.
fn targets(metadata: &str) -> Result<BTreeSet<String>> {
    let metadata: Value = serde_json::from_str(metadata).context("the output of cargo metadata")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo metadata: no packages")?;
    let targets = packages
        .iter()
        .filter_map(|package| package.get("targets")?.as_array())
        .flatten();
    let is_binary = |target: &&Value| {
        let kinds = target.get("kind").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
    };
    let names = targets
        .filter(is_binary)
        .filter_map(|target| target.get("name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

/// A target without source or corpus, a source that is no target, a corpus that nothing replays.
fn mismatches(declared: &BTreeSet<String>, sources: &[PathBuf], corpora: &[PathBuf]) -> Vec<String> {
    let sources: BTreeSet<String> = sources.iter().filter_map(|file| name(file.file_stem())).collect();
    let corpora: BTreeSet<String> = corpora
        .iter()
        .filter_map(|file| name(file.parent()?.file_name()))
        .collect();
    let mut told = Vec::new();
    told.extend(
        declared
            .difference(&sources)
            .map(|name| format!("{name}: no fuzz/fuzz_targets/{name}.rs")),
    );
    told.extend(
        declared
            .difference(&corpora)
            .map(|name| format!("{name}: no corpus in fuzz/corpus/{name}")),
    );
    told.extend(
        sources
            .difference(declared)
            .map(|name| format!("{name}: no [[bin]] in {MANIFEST}")),
    );
    told.extend(
        corpora
            .difference(declared)
            .map(|name| format!("{name}: a corpus without a target")),
    );
    told
}

fn name(part: Option<&OsStr>) -> Option<String> {
    part.and_then(OsStr::to_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn binaries_are_targets() {
        let metadata = serde_json::json!({ "packages": [{ "targets": [
            { "name": "host", "kind": ["bin"] },
            { "name": "fuzz", "kind": ["lib"] },
        ]}]});
        assert_eq!(
            targets(&metadata.to_string()).expect("targets"),
            BTreeSet::from(["host".to_owned()])
        );
        assert!(targets("{}").is_err());
    }

    #[test]
    fn what_does_not_belong_together_is_told() {
        let declared = BTreeSet::from(["host".to_owned(), "path".to_owned()]);
        let whole = paths(&["fuzz/fuzz_targets/host.rs", "fuzz/fuzz_targets/path.rs"]);
        let corpora = paths(&["fuzz/corpus/host/name", "fuzz/corpus/path/root"]);
        assert_eq!(mismatches(&declared, &whole, &corpora), Vec::<String>::new());
        let stray = paths(&["fuzz/fuzz_targets/host.rs", "fuzz/fuzz_targets/head.rs"]);
        let corpora = paths(&["fuzz/corpus/host/name", "fuzz/corpus/chunked/empty"]);
        assert_eq!(
            mismatches(&declared, &stray, &corpora),
            [
                "path: no fuzz/fuzz_targets/path.rs",
                "path: no corpus in fuzz/corpus/path",
                "head: no [[bin]] in fuzz/Cargo.toml",
                "chunked: a corpus without a target",
            ]
        );
    }
}
