//! The modules of a crate and which file uses what another one defines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::source::{Import, Source, read};

/// How many imports of imports are followed: more than anybody writes, so that a circle of them ends.
const FAR: usize = 32;

/// That one file uses what another one defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
    /// Where, in `from`.
    pub(super) line: usize,
    /// The path as it is written there.
    pub(super) path: String,
}

/// All modules of a crate.
pub(super) struct Crate {
    modules: Vec<Module>,
}

struct Module {
    /// Relative to the folder of the crate's source.
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    source: Source,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Module(usize),
    /// Something that this module defines.
    Item(usize),
}

impl Crate {
    /// Reads the modules from `root` (`lib.rs`) on, with `text` to read a file below the folder of the source.
    pub(super) fn read(root: &str, text: impl Fn(&Path) -> Option<String>) -> Result<Self> {
        let mut found = Self { modules: Vec::new() };
        found.file(None, Path::new(root), Path::new(""), &text)?;
        Ok(found)
    }

    /// Adds a file. Its children are in `folder`.
    fn file(
        &mut self,
        parent: Option<usize>,
        file: &Path,
        folder: &Path,
        text: &impl Fn(&Path) -> Option<String>,
    ) -> Result<usize> {
        let source = read(&text(file).with_context(|| format!("{} cannot be read", file.display()))?);
        self.module(parent, file, folder, source, text)
    }

    fn module(
        &mut self,
        parent: Option<usize>,
        file: &Path,
        folder: &Path,
        mut source: Source,
        text: &impl Fn(&Path) -> Option<String>,
    ) -> Result<usize> {
        let (declared, inline) = (
            std::mem::take(&mut source.declared),
            std::mem::take(&mut source.inline),
        );
        let number = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            source,
        });
        let mut children = BTreeMap::new();
        for name in declared {
            let inside = folder.join(&name);
            let beside = folder.join(format!("{name}.rs"));
            let own = inside.join("mod.rs");
            let path = [beside, own].into_iter().find(|path| text(path).is_some());
            let path = path.with_context(|| format!("{}: no file for `mod {name};`", file.display()))?;
            children.insert(name, self.file(Some(number), &path, &inside, text)?);
        }
        for (name, source) in inline {
            let inside = folder.join(&name);
            children.insert(name, self.module(Some(number), file, &inside, source, text)?);
        }
        if let Some(module) = self.modules.get_mut(number) {
            module.children = children;
        }
        Ok(number)
    }

    /// Every use of what another file defines, sorted, the first of each pair alone.
    pub(super) fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (number, module) in self.modules.iter().enumerate() {
            for import in &module.source.imports {
                let Some(line) = used(module, import) else {
                    continue;
                };
                let is_glob = import.name == "*";
                match self.resolve(number, &import.path, FAR) {
                    Some(Target::Item(definer)) => {
                        edges.extend(self.edge(module, definer, line, &import.path));
                    }
                    Some(Target::Module(glob)) if is_glob => {
                        edges.extend(self.edge(module, glob, line, &import.path));
                    }
                    // Of a module that is imported, the paths that begin with its name count.
                    Some(Target::Module(_)) | None => {}
                }
            }
            for (path, line) in &module.source.paths {
                if let Some(Target::Item(definer)) = self.resolve(number, path, FAR) {
                    edges.extend(self.edge(module, definer, *line, path));
                }
            }
        }
        edges.sort();
        edges.dedup_by(|later, first| (&later.from, &later.to) == (&first.from, &first.to));
        edges
    }

    fn edge(&self, from: &Module, definer: usize, line: usize, path: &[String]) -> Option<Edge> {
        let to = self.modules.get(definer)?;
        (from.file != to.file).then(|| Edge {
            from: from.file.clone(),
            to: to.file.clone(),
            line,
            path: path.join("::"),
        })
    }

    /// Follows a path from a module; nothing for what is of another crate.
    fn resolve(&self, from: usize, path: &[String], left: usize) -> Option<Target> {
        let (first, mut rest) = path.split_first()?;
        let mut target = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(from),
            "super" => Target::Module(self.modules.get(from)?.parent?),
            name => self.lookup(from, name, left)?,
        };
        while let (Target::Module(module), Some((name, behind))) = (target, rest.split_first()) {
            target = match name.as_str() {
                "super" => Target::Module(self.modules.get(module)?.parent?),
                // What a macro defines is not seen: it is of the module that was named.
                name => self.lookup(module, name, left).unwrap_or(Target::Item(module)),
            };
            rest = behind;
        }
        Some(target)
    }

    /// What a name means in a module.
    fn lookup(&self, module: usize, name: &str, left: usize) -> Option<Target> {
        let left = left.checked_sub(1)?;
        let this = self.modules.get(module)?;
        if let Some(child) = this.children.get(name) {
            return Some(Target::Module(*child));
        }
        if this.source.items.contains(name) {
            return Some(Target::Item(module));
        }
        let imports = &this.source.imports;
        let named = imports.iter().filter(|import| import.name == name);
        // `use h2;` names itself.
        let named = named
            .filter(|import| import.path.len() > 1 || import.path.first().is_some_and(|first| first != name));
        if let Some(target) = named
            .filter_map(|import| self.resolve(module, &import.path, left))
            .next()
        {
            return Some(target);
        }
        let globs = imports.iter().filter(|import| import.name == "*");
        globs
            .filter_map(|glob| match self.resolve(module, &glob.path, left)? {
                Target::Module(of) if of != module => self.lookup(of, name, left),
                Target::Module(_) | Target::Item(_) => None,
            })
            .next()
    }
}

/// Where an import is used in its own file. Of a re-export the declaration alone is no use.
fn used(module: &Module, import: &Import) -> Option<usize> {
    if import.is_visible && import.name != "_" {
        module.source.names.get(&import.name).copied()
    } else {
        Some(import.line)
    }
}
