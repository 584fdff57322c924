//! `cargo xtask chart`: what is made of the Helm chart, compared with what is in the repository, or written.
//!
//! - The descriptions in `values.schema.json`, and the table in `docs/reference-chart.md` and the chart's README, come from the
//!   comments in `values.yaml`.
//! - `deploy/kustomize` is what the chart renders with each of its presets: objects that are equal in all of them are the base,
//!   the rest is an overlay. The admission policies stand beside them.
//! - `tests/kubernetes/policies` and `rights` have what it renders with other values, for tests against an API server.

mod fixtures;
mod kustomize;
mod schema;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Invocation;
use crate::deploy;
use crate::workspace::Workspace;

const CHART: &str = "deploy/helm/blastdoor";
const KUSTOMIZE: &str = "deploy/kustomize";
/// The release that is rendered, and its namespace.
const RELEASE: &str = "blastdoor";
/// What is below this line in a page is generated.
const MARK: &str =
    "<!-- Below this line: made of the comments in values.yaml by `cargo xtask chart --write`. -->\n";
const PAGES: [&str; 2] = ["docs/reference-chart.md", "deploy/helm/blastdoor/README.md"];

/// Files by their path in the repository.
type Files = BTreeMap<PathBuf, String>;

/// Compares, or writes with `--write`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let write = match arguments {
        [] => false,
        [option] if option == "--write" => true,
        _ => bail!("`cargo xtask chart` takes nothing, or --write"),
    };
    let wanted = generated(workspace)?;
    if write {
        written(workspace, &wanted)
    } else {
        compared(workspace, &wanted)
    }
}

/// Everything that is made of the chart.
fn generated(workspace: &Workspace) -> Result<Files> {
    let read =
        |path: &str| fs::read_to_string(workspace.path(path)).with_context(|| format!("reading {path}"));
    let values = format!("{CHART}/values.yaml");
    let chapters = values::chapters(&read(&values)?).with_context(|| values.clone())?;
    let mut files = Files::new();
    let schema = format!("{CHART}/values.schema.json");
    let described = schema::described(&read(&schema)?, &chapters).with_context(|| schema.clone())?;
    files.insert(PathBuf::from(schema), described);
    let table = values::table(&chapters);
    for page in PAGES {
        let text = read(page)?;
        let (above, _) = text
            .split_once(MARK)
            .with_context(|| format!("{page} has no line `{}`", MARK.trim_end()))?;
        files.insert(PathBuf::from(page), format!("{above}{MARK}\n{table}"));
    }
    let helm = deploy::programs(workspace)?.join("helm");
    let rendered = rendered(workspace, &helm)?;
    for (path, text) in kustomize::files(&rendered)? {
        files.insert(Path::new(KUSTOMIZE).join(path), text);
    }
    files.extend(fixtures::files(workspace, &helm)?);
    Ok(files)
}

/// What Helm makes of each preset, by its name.
fn rendered(workspace: &Workspace, helm: &Path) -> Result<BTreeMap<String, String>> {
    let folder = workspace.path(CHART).join("presets");
    let mut rendered = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.context("reading a preset's name")?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let name = name.with_context(|| format!("{} is no preset", path.display()))?;
        let text = Invocation::new(workspace, helm)
            .args(["template", RELEASE, CHART, "--namespace", RELEASE, "--skip-tests"])
            .args(["--set", "namespace.create=true"])
            .args(["--values", &format!("{CHART}/presets/{name}.yaml")])
            .output()?;
        rendered.insert(name.to_owned(), text);
    }
    Ok(rendered)
}

/// The generated files that are there.
fn present(workspace: &Workspace) -> Result<BTreeSet<PathBuf>> {
    let overlays = workspace.files(KUSTOMIZE, |_| true)?;
    Ok(overlays.into_iter().collect())
}

fn written(workspace: &Workspace, wanted: &Files) -> Result<()> {
    for path in present(workspace)? {
        if !wanted.contains_key(&path) {
            println!("    removing {}", path.display());
            fs::remove_file(workspace.path(&path)).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    for (path, text) in wanted {
        let place = workspace.path(path);
        if fs::read_to_string(&place).is_ok_and(|present| present == *text) {
            continue;
        }
        println!("    writing {}", path.display());
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        fs::write(&place, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn compared(workspace: &Workspace, wanted: &Files) -> Result<()> {
    let stale = wanted
        .iter()
        .filter(|(path, text)| fs::read_to_string(workspace.path(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path.clone());
    let left_over = present(workspace)?
        .into_iter()
        .filter(|path| !wanted.contains_key(path));
    let wrong: Vec<String> = stale
        .chain(left_over)
        .map(|path| path.display().to_string())
        .collect();
    if !wrong.is_empty() {
        bail!(
            "not what the chart makes now: {}; to write them: cargo xtask chart --write",
            wrong.join(", ")
        );
    }
    println!("    {} files are what the chart makes", wanted.len());
    Ok(())
}
