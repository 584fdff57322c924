//! Fuzzing with libFuzzer on the stable toolchain. The crates forbid `unsafe`, so coverage is the only instrumentation
//! needed, and that requires neither a nightly compiler nor cargo-fuzz.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::ci::LeftOut;
use crate::command::Invocation;
use crate::workspace::Workspace;

pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";
/// How each target runs in CI: with the same inputs for the same commit, so that its answer is about the commit. A slow
/// machine tries fewer of them.
const IN_CI: [&str; 3] = ["-seed=1", "-runs=300000", "-max_total_time=10"];
/// What a run finds is kept apart from the committed corpora.
const FOUND: &str = "target/fuzz/found";
/// The same for CI, which begins with the committed corpora alone.
const FOUND_IN_CI: &str = "target/fuzz/found-in-ci";
/// Coverage counters for libFuzzer, and arithmetic that panics on overflow.
const INSTRUMENTED: &str = "--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Checks that targets, sources and corpora belong together, and runs each target on the same inputs for at most ten seconds.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let declared = declared(workspace)?;
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
    let programs = build(workspace)?;
    let found = workspace.path(FOUND_IN_CI);
    if found.exists() {
        fs::remove_dir_all(&found).with_context(|| format!("removing {FOUND_IN_CI}"))?;
    }
    for target in &declared {
        run_one(
            workspace,
            &programs,
            target,
            FOUND_IN_CI,
            &IN_CI.map(str::to_owned),
        )?;
    }
    Ok(Vec::new())
}

/// `cargo xtask fuzz TARGET [LIBFUZZER OPTION…]`
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let declared = declared(workspace)?;
    let names = || declared.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match arguments.split_first() {
        Some((target, options)) if declared.contains(target) => {
            run_one(workspace, &build(workspace)?, target, FOUND, options)
        }
        Some((target, _)) => bail!("no fuzz target is named `{target}`; there are: {}", names()),
        None => bail!("which target? There are: {}", names()),
    }
}

/// Builds all targets and returns their folder.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    // With an explicit target triple, the flags do not apply to build scripts and macros.
    let version = Invocation::new(workspace, "rustc").args(["-vV"]).output()?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV: no host")?;
    let arguments = [
        "build",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--target",
        host,
    ];
    Invocation::cargo(workspace)
        .args(arguments)
        .args(["--target-dir", "target/fuzz"])
        .env("RUSTFLAGS", INSTRUMENTED)
        .run()?;
    Ok(workspace.path(format!("target/fuzz/{host}/release")))
}

fn run_one(
    workspace: &Workspace,
    programs: &Path,
    target: &str,
    found: &str,
    options: &[String],
) -> Result<()> {
    let new = format!("{found}/{target}");
    fs::create_dir_all(workspace.path(&new)).with_context(|| format!("creating {new}"))?;
    // libFuzzer writes what it finds into the first folder only.
    let corpora = [new.as_str(), &format!("fuzz/corpus/{target}")];
    let limits = ["-max_len=4096", "-verbosity=0", "-print_final_stats=1"];
    Invocation::new(workspace, programs.join(target))
        .args(corpora)
        .args(limits)
        .args([format!("-artifact_prefix={new}-")])
        .args(options)
        .run()
}

fn declared(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let metadata = [
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--manifest-path",
        MANIFEST,
    ];
    targets(&Invocation::cargo(workspace).args(metadata).output()?)
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

/// Targets without source or corpus, sources that are not targets, corpora that no test replays.
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
    fn mismatched_versions_are_reported() {
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
