//! `cargo xtask reproduce`: the images of the last commit, built twice, are the same bytes.
//!
//! Each build has a clone of its own, in folders of different names, and its own build output: nothing is shared but the
//! compilers and the downloaded sources of dependencies.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::command::Invocation;
use crate::image;
use crate::workspace::Workspace;

/// Where the clones are kept while they build.
const FOLDER: &str = "target/reproduce";
const CLONES: [&str; 2] = ["one", "another/deeper"];

/// Takes the options of `cargo xtask image`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let folder = workspace.path(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    let mut built = Vec::new();
    for clone in CLONES {
        let clone = folder.join(clone);
        Invocation::new(workspace, "git")
            .args(["clone", "--quiet", "--shared", "."])
            .args([&clone])
            .run()?;
        Invocation::cargo(workspace)
            .args(["xtask", "image"])
            .args(arguments)
            .within(&clone)
            .without_env("CARGO_TARGET_DIR")
            .run()?;
        built.push(digests(&clone.join(image::FOLDER))?);
    }
    let [one, another] = built.as_slice() else {
        bail!("two clones are built");
    };
    if one != another {
        bail!(
            "the builds differ and are kept in {}:\n{one}{another}",
            folder.display()
        );
    }
    println!("Both builds are the same:\n{one}");
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
}

/// What identifies everything that was built.
fn digests(folder: &std::path::Path) -> Result<String> {
    let mut text = String::new();
    for file in ["blastdoor.digest", "blastdoor-netbind.digest"] {
        let file = folder.join(file);
        text.push_str(&fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?);
    }
    Ok(text)
}
