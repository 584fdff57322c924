//! cargo-deny as an architecture test: licences, banned crates, sources. See `deny.toml`.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::ci::LeftOut;
use crate::command::Invocation;
use crate::workspace::Workspace;

/// The release that `deny.toml` is written for.
const VERSION: &str = "0.20.2";
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";
const REACHABLE_WITHIN: Duration = Duration::from_secs(20);

/// Advisories need a database from the internet. Without it, everything else is still checked.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let deny = |arguments: &[&str]| Invocation::cargo(workspace).args(["deny"]).args(arguments);
    if !deny(&["--version"]).succeeds_within(REACHABLE_WITHIN)? {
        bail!("cargo-deny is missing: cargo install cargo-deny --locked --version {VERSION}");
    }
    let check = ["--locked", "check", "--hide-inclusion-graph"];
    deny(&check).args(["bans", "licenses", "sources"]).run()?;
    let probe = Invocation::new(workspace, "git").args(["ls-remote", "--exit-code", ADVISORIES, "HEAD"]);
    if !probe
        .env("GIT_TERMINAL_PROMPT", "0")
        .succeeds_within(REACHABLE_WITHIN)?
    {
        return Ok(vec![LeftOut(format!(
            "advisories, because {ADVISORIES} cannot be reached"
        ))]);
    }
    deny(&check).args(["advisories"]).run()?;
    Ok(Vec::new())
}
