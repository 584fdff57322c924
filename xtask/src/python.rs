//! Virtual environments of Python for the harnesses in `tests`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command::Invocation;
use crate::workspace::Workspace;

/// The folder with the programs of a virtual environment in `tools` with the packages of a file of requirements; recreated
/// when that file changes.
pub(crate) fn environment(workspace: &Workspace, tools: &str, requirements: &str) -> Result<PathBuf> {
    let folder = workspace.path(tools);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let venv = folder.join("venv");
    let installed = venv.join("requirements.txt");
    let wanted = fs::read_to_string(workspace.path(requirements)).context("reading the requirements")?;
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(venv.join("bin"));
    }
    Invocation::new(workspace, "python3")
        .args(["-m", "venv", "--clear"])
        .args([&venv])
        .run()
        .context("making the virtual environment takes Debian's python3-venv")?;
    Invocation::new(workspace, venv.join("bin/pip"))
        .args(["install", "--quiet", "--requirement", requirements])
        .run()?;
    fs::write(&installed, wanted).context("noting what is installed")?;
    Ok(venv.join("bin"))
}
