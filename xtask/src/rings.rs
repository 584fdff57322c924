//! Rings: files that use each other, directly or through others, so that none can be read or changed alone.
//!
//! Files are the nodes, and what one file uses of another are the edges: imports, and paths in code and in macros.
//! What counts as use:
//! - Only what leads to the file that *defines* something: imports of imports, re-exports and globs are followed to
//!   there. A `mod.rs` that re-exports what its children define is therefore in no ring with children that import from
//!   it what others of them define.
//! - To declare a module, or to re-export something, is no use of it. To name it in code besides is one.
//! - A parent that names its child's items while the child names the parent's is a ring like any other: what both need
//!   belongs into a third file.
//! - Method calls name no file: the import of the type does. Code for tests alone does not count.
//!
//! Folders are checked likewise: the modules beside each other in a folder, each with all that is below it, have an
//! order too. Two folders may be in a ring although no two files are.

mod modules;
mod source;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

use self::modules::{Crate, Edge};

/// Reads every crate of the gateway, or those named, and fails when there is a ring.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    let crates = crates(workspace)?;
    if let Some(unknown) = names.iter().find(|name| !crates.contains(*name)) {
        let known: Vec<&str> = crates.iter().map(String::as_str).collect();
        bail!(
            "no crate of the gateway is named `{unknown}`; there are: {}",
            known.join(", ")
        );
    }
    let mut count = 0;
    for name in crates
        .iter()
        .filter(|name| names.is_empty() || names.contains(name))
    {
        let source = PathBuf::from("gateway").join(name).join("src");
        let read = |file: &Path| fs::read_to_string(workspace.path(source.join(file))).ok();
        let edges = Crate::read("lib.rs", read)
            .with_context(|| format!("the modules of {name}"))?
            .edges();
        for ring in rings(&edges) {
            print!("{}", ring.report(&source));
            count += 1;
        }
    }
    if count > 0 {
        bail!(
            "{count} ring(s): move what both sides need to a file below them, or hand it over as an argument"
        );
    }
    Ok(())
}

fn crates(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let roots = workspace.files("gateway", |file| file.ends_with("src/lib.rs"))?;
    let names = roots.iter().filter_map(|root| root.iter().nth(1)?.to_str());
    Ok(names.map(str::to_owned).collect())
}

/// Modules that use each other, and how.
#[derive(Debug, PartialEq, Eq)]
struct Ring {
    /// The folder whose modules they are; none for files.
    folder: Option<PathBuf>,
    /// One use that leads from each to the next, and from the last to the first.
    edges: Vec<Edge>,
}

impl Ring {
    fn report(&self, source: &Path) -> String {
        let what = match &self.folder {
            None => "files".to_owned(),
            Some(folder) if folder.as_os_str().is_empty() => format!("modules in {}", source.display()),
            Some(folder) => format!("modules in {}", source.join(folder).display()),
        };
        let mut text = format!("    a ring of {} {what}:\n", self.edges.len());
        for Edge { from, to, line, path } in &self.edges {
            let from = source.join(from);
            let _written = writeln!(
                text,
                "      {}:{line} uses {path} of {}",
                from.display(),
                to.display()
            );
        }
        text
    }
}

/// The shortest rings: of files, then of modules beside each other, unless it is the very same.
fn rings(edges: &[Edge]) -> Vec<Ring> {
    let files = shortest(edges, |file| Some(file.to_owned()));
    let mut found: Vec<Ring> = files
        .into_iter()
        .map(|edges| Ring { folder: None, edges })
        .collect();
    for folder in folders(edges) {
        for edges in shortest(edges, |file| module_of(file, &folder)) {
            if found.iter().all(|ring| ring.edges != edges) {
                found.push(Ring {
                    folder: Some(folder.clone()),
                    edges,
                });
            }
        }
    }
    found
}

/// The folders that files are in, and those above.
fn folders(edges: &[Edge]) -> BTreeSet<PathBuf> {
    let files = edges.iter().flat_map(|edge| [&edge.from, &edge.to]);
    files
        .flat_map(|file| file.ancestors().skip(1))
        .map(Path::to_owned)
        .collect()
}

/// The module in this folder that a file belongs to: its own, or the one above it. The module of the folder itself is
/// not in it, nor is the root of a crate.
fn module_of(file: &Path, folder: &Path) -> Option<PathBuf> {
    let first = file.strip_prefix(folder).ok()?.iter().next()?;
    let name = Path::new(first).file_stem()?;
    (!["mod", "lib", "main"].map(OsStr::new).contains(&name)).then(|| folder.join(name))
}

/// The shortest ring through each node that is in one, each ring once, shortest first.
fn shortest(edges: &[Edge], node: impl Fn(&Path) -> Option<PathBuf>) -> Vec<Vec<Edge>> {
    let mut graph: BTreeMap<PathBuf, BTreeMap<PathBuf, &Edge>> = BTreeMap::new();
    for edge in edges {
        if let (Some(from), Some(to)) = (node(&edge.from), node(&edge.to))
            && from != to
        {
            graph.entry(from).or_default().entry(to).or_insert(edge);
        }
    }
    let mut found: BTreeMap<(usize, BTreeSet<PathBuf>), Vec<Edge>> = BTreeMap::new();
    for start in graph.keys() {
        if let Some(ring) = ring_through(start, &graph) {
            let nodes: BTreeSet<PathBuf> = ring.iter().filter_map(|edge| node(&edge.from)).collect();
            found.entry((ring.len(), nodes)).or_insert(ring);
        }
    }
    found.into_values().collect()
}

/// Breadth first, from a node to itself.
fn ring_through(start: &Path, graph: &BTreeMap<PathBuf, BTreeMap<PathBuf, &Edge>>) -> Option<Vec<Edge>> {
    let mut came_from: BTreeMap<&Path, (&Path, &Edge)> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for (next, edge) in graph.get(node).into_iter().flatten() {
            if came_from.contains_key(next.as_path()) {
                continue;
            }
            came_from.insert(next, (node, edge));
            open.push_back(next);
        }
        if came_from.contains_key(start) {
            break;
        }
    }
    let mut ring = Vec::new();
    let mut node = start;
    loop {
        let (before, edge) = came_from.get(node)?;
        ring.push((*edge).clone());
        node = before;
        if node == start {
            ring.reverse();
            return Some(ring);
        }
    }
}

#[cfg(test)]
mod tests;
