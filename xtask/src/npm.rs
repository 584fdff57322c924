//! Packages of npm for the harnesses in `tests`, at the versions and with the checksums of a `package-lock.json`. Nothing of
//! them runs while they are installed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command::Invocation;
use crate::workspace::Workspace;

const LOCK: &str = "package-lock.json";

/// Installs what the lock in `module` names into `kept`, unless it is there.
pub(crate) fn installed_once(workspace: &Workspace, module: &str, kept: &Path) -> Result<()> {
    let read = |folder: &Path| fs::read_to_string(folder.join(LOCK));
    let wanted = read(&workspace.path(module)).with_context(|| format!("reading {module}/{LOCK}"))?;
    let stamp = kept.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    fs::create_dir_all(kept).with_context(|| format!("creating {}", kept.display()))?;
    for file in ["package.json", LOCK] {
        fs::copy(workspace.path(module).join(file), kept.join(file))
            .with_context(|| format!("copying {file}"))?;
    }
    Invocation::new(workspace, "npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"])
        .within(kept)
        .run()?;
    fs::write(&stamp, wanted).context("noting what is installed")
}

/// Whether there is an npm.
pub(crate) fn is_here(workspace: &Workspace) -> bool {
    Invocation::new(workspace, "npm")
        .args(["--version"])
        .output()
        .is_ok()
}
