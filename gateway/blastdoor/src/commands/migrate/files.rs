//! Manifests in a directory and below it, as Git has them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::objects::{Gathered, ReadObjects};

/// Files that are read at most.
const MOST_FILES: usize = 100_000;
/// How deep below the directory.
const DEEPEST: usize = 32;
/// Bytes of one file.
const MOST_BYTES: u64 = 64 << 20;

/// Reads every `*.yaml`, `*.yml` and `*.json` of a directory and below it, but what is hidden. Links are not followed.
pub(super) fn read(directory: &Path) -> Result<ReadObjects, String> {
    let mut paths = Vec::new();
    list(directory, DEEPEST, &mut paths).map_err(|error| {
        format!(
            "cannot read the manifests directory `{}`: {error}",
            directory.display()
        )
    })?;
    if paths.len() >= MOST_FILES {
        return Err(format!(
            "`{}` has more than {MOST_FILES} manifest files; name a directory below it",
            directory.display()
        ));
    }
    paths.sort();
    let mut gathered = Gathered::default();
    for path in &paths {
        let name = path.display().to_string();
        match bytes(path) {
            Ok(bytes) => gathered.file(&name, &bytes),
            Err(error) => gathered.unread(&name, None, &error),
        }
    }
    Ok(gathered.finish())
}

fn list(directory: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") || paths.len() >= MOST_FILES {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            list(&path, depth - 1, paths)?;
        } else if kind.is_file() && is_manifest(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| error.to_string())?;
    if read as u64 > MOST_BYTES {
        return Err(format!("it has more than {MOST_BYTES} bytes"));
    }
    Ok(bytes)
}
