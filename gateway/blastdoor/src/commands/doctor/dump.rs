//! The objects of a cluster, from files that `kubectl` wrote.

use std::path::Path;

use doctor::{Availability, Inventory, Kind, Timestamp};

/// Most bytes of one file.
const MOST: u64 = 1 << 30;

/// Reads every `*.json`, `*.yaml` and `*.yml` of a directory. Also says when the newest of them was written.
pub(super) fn read(directory: &Path) -> Result<(Inventory, Timestamp), String> {
    let cannot =
        |error: &dyn std::fmt::Display| format!("the dump `{}` cannot be read: {error}", directory.display());
    let entries = std::fs::read_dir(directory).map_err(|error| cannot(&error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| cannot(&error))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("json" | "yaml" | "yml")) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(cannot(&"it has no *.json, *.yaml or *.yml file"));
    }
    let mut inventory = Inventory::default();
    for kind in Kind::ALL {
        let why = "the dump has none; if the cluster has some, write them into it too";
        inventory.set_availability(kind, Availability::Unread(why.to_owned()));
    }
    let mut newest = Timestamp::UNIX_EPOCH;
    for path in &paths {
        let written =
            read_file(path, &mut inventory).map_err(|error| format!("`{}`: {error}", path.display()))?;
        newest = newest.max(written);
    }
    Ok((inventory, newest))
}

fn read_file(path: &Path, inventory: &mut Inventory) -> Result<Timestamp, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.len() > MOST {
        return Err(format!("it has {} bytes, more than {MOST}", metadata.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let values = resource::manifest::values(&bytes).map_err(|(line, why)| format!("line {line}: {why}"))?;
    // `kubectl` writes an empty list without saying of what.
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if let (Some(kind), false) = (Kind::of_file_name(stem), values.is_empty()) {
        inventory.set_availability(kind, Availability::Read);
    }
    for value in values {
        inventory.insert(value);
    }
    let written = metadata.modified().map_err(|error| error.to_string())?;
    Timestamp::try_from(written).map_err(|error| error.to_string())
}
