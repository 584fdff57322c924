//! A base and overlays for Kustomize, from what Helm renders: a file for each object, and lists of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const HEADER: &str = "# Made of the Helm chart by `cargo xtask chart --write`; changes belong there.\n";
/// Labels that are about Helm.
const HELM: [&str; 2] = ["helm.sh/chart: ", "app.kubernetes.io/managed-by: "];

/// The files below `deploy/kustomize`, from the text that was rendered for each preset.
pub(super) fn files(rendered: &BTreeMap<String, String>) -> Result<BTreeMap<PathBuf, String>> {
    let mut presets = BTreeMap::new();
    for (preset, text) in rendered {
        presets.insert(preset.as_str(), objects(text).with_context(|| preset.clone())?);
    }
    let Some(one) = presets.values().next() else {
        bail!("there is no preset");
    };
    let common: BTreeSet<&String> = one
        .iter()
        .filter(|&(name, text)| presets.values().all(|objects| objects.get(name) == Some(text)))
        .map(|(name, _)| name)
        .collect();
    let mut files = BTreeMap::new();
    let base = one.iter().filter(|(name, _)| common.contains(name));
    put(&mut files, Path::new("base"), &[], base);
    for (preset, objects) in &presets {
        let own = objects.iter().filter(|(name, _)| !common.contains(name));
        put(
            &mut files,
            &Path::new("overlays").join(preset),
            &["../../base"],
            own,
        );
    }
    Ok(files)
}

/// A folder that stands beside the base and the overlays.
pub(super) fn alone(folder: &str, rendered: &str) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    put(&mut files, Path::new(folder), &[], objects(rendered)?.iter());
    Ok(files)
}

/// Objects in a folder, with the list that Kustomize reads.
fn put<'object>(
    files: &mut BTreeMap<PathBuf, String>,
    folder: &Path,
    bases: &[&str],
    objects: impl Iterator<Item = (&'object String, &'object String)>,
) {
    let mut list =
        format!("{HEADER}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n");
    let mut listed = |name: &str| {
        // Writing to a string does not fail.
        let _written = writeln!(list, "- {name}");
    };
    for base in bases {
        listed(base);
    }
    for (name, text) in objects {
        listed(name);
        files.insert(folder.join(name), format!("{HEADER}{text}"));
    }
    files.insert(folder.join("kustomization.yaml"), list);
}

/// The objects of a rendering, by the names of their files.
fn objects(text: &str) -> Result<BTreeMap<String, String>> {
    let mut objects = BTreeMap::new();
    for document in format!("\n{text}").split("\n---\n") {
        let lines = document
            .lines()
            .filter(|line| !line.starts_with("# Source: ") && !about_helm(line))
            .map(str::trim_end);
        let lines: Vec<&str> = lines.collect();
        let body = lines.join("\n");
        let body = body.trim();
        if !body.lines().any(|line| !line.starts_with('#')) {
            continue;
        }
        let name = file_name(body).with_context(|| format!("an object without kind or name:\n{body}"))?;
        if objects.insert(name.clone(), format!("{body}\n")).is_some() {
            bail!("two objects are {name}");
        }
    }
    Ok(objects)
}

fn about_helm(line: &str) -> bool {
    HELM.iter().any(|label| line.trim_start().starts_with(label))
}

/// `daemonset-blastdoor.yaml`, with the namespace of an object that has another one than the gateway.
fn file_name(object: &str) -> Option<String> {
    let top = |key: &str| object.lines().find_map(|line| line.strip_prefix(key));
    let kind = top("kind: ")?.trim().to_lowercase();
    let metadata = object
        .lines()
        .skip_while(|line| *line != "metadata:")
        .skip(1)
        .take_while(|line| line.starts_with(' '));
    let field = |key: &str| {
        let mut lines = metadata.clone();
        let value = lines.find_map(|line| line.strip_prefix(key))?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let name = field("  name: ")?;
    match field("  namespace: ") {
        Some(namespace) if namespace != super::RELEASE => Some(format!("{kind}-{namespace}-{name}.yaml")),
        Some(_) | None => Some(format!("{kind}-{name}.yaml")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &str = "---\n# Source: x\n\nkind: Service\nmetadata:\n  name: a\n  labels:\n    helm.sh/chart: b-1\nspec: {}\n";

    fn made(first: &str, second: &str) -> Result<BTreeMap<PathBuf, String>> {
        let rendered = [("one", first), ("two", second)];
        let rendered = rendered.map(|(name, text)| (name.to_owned(), text.to_owned()));
        files(&BTreeMap::from(rendered))
    }

    #[test]
    fn equal_objects_are_the_base() {
        let own = "---\nkind: Role\nmetadata:\n  name: r\n  namespace: shop\n";
        let files = made(&format!("{COMMON}{own}"), COMMON).expect("files");
        let names: Vec<String> = files.keys().map(|path| path.display().to_string()).collect();
        assert_eq!(
            names,
            [
                "base/kustomization.yaml",
                "base/service-a.yaml",
                "overlays/one/kustomization.yaml",
                "overlays/one/role-shop-r.yaml",
                "overlays/two/kustomization.yaml",
            ]
        );
        let text = |name: &str| files.get(Path::new(name)).cloned().unwrap_or_default();
        let service = text("base/service-a.yaml");
        assert!(
            !service.contains("helm") && service.ends_with("spec: {}\n"),
            "{service}"
        );
        assert!(text("overlays/one/kustomization.yaml").ends_with("- ../../base\n- role-shop-r.yaml\n"));
    }

    #[test]
    fn objects_that_differ_or_have_no_name_are_not_lost() {
        let other = COMMON.replace("spec: {}", "spec: {type: NodePort}");
        let files = made(COMMON, &other).expect("files");
        assert!(files.contains_key(Path::new("overlays/one/service-a.yaml")));
        assert!(files.contains_key(Path::new("overlays/two/service-a.yaml")));
        assert!(made("---\nkind: Service\n", COMMON).is_err());
        let error = made(&format!("{COMMON}{COMMON}"), COMMON).expect_err("twice");
        assert!(
            format!("{error:#}").contains("two objects are service-a.yaml"),
            "{error:#}"
        );
    }
}
