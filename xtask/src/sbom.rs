//! A bill of materials for the image: everything that is in it, with version, licence and hash, in the form of CycloneDX.
//!
//! cargo-cyclonedx reads the crates of the binary from the lock file. What the image has beside the binary is added here.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::binary::Commit;
use crate::command::Invocation;
use crate::workspace::Workspace;

/// The release that this is written for.
const VERSION: &str = "0.5.9";
/// The newest that it can write.
const SPECIFICATION: &str = "1.5";
/// What it writes for the gateway, beside the `Cargo.toml`; it writes one for every binary of the workspace.
const GATEWAY: &str = "gateway/blastdoor/blastdoor_bin.cdx.json";
const WRITTEN: &str = "_bin.cdx.json";
/// The crate whose data the image has as a file.
const AUTHORITIES: &str = "webpki-root-certs";

/// Writes it, or tells what is missing for it.
pub(crate) fn write(
    workspace: &Workspace,
    triple: &str,
    commit: &Commit,
    file: &Path,
) -> Result<Option<String>> {
    let has_program = Invocation::cargo(workspace)
        .args(["cyclonedx", "--version"])
        .succeeds_within(Duration::from_secs(20))?;
    if !has_program {
        return Ok(Some(format!(
            "the bill of materials, which nothing else checks: cargo install cargo-cyclonedx --locked --version {VERSION}"
        )));
    }
    let told = Invocation::cargo(workspace)
        .args([
            "cyclonedx",
            "--quiet",
            "--manifest-path",
            "gateway/blastdoor/Cargo.toml",
        ])
        .args(["--format", "json", "--spec-version", SPECIFICATION])
        .args(["--describe", "binaries", "--no-build-deps", "--target", triple])
        .env("SOURCE_DATE_EPOCH", &commit.time.to_string())
        .run();
    let text =
        told.and_then(|()| fs::read_to_string(workspace.path(GATEWAY)).context("reading what it wrote"));
    let is_written = |file: &Path| {
        let name = file.file_name().map(OsStr::to_string_lossy);
        name.is_some_and(|name| name.ends_with(WRITTEN))
    };
    for written in workspace.files("", is_written)? {
        let written = workspace.path(written);
        fs::remove_file(&written).with_context(|| format!("removing {}", written.display()))?;
    }
    let lock = fs::read_to_string(workspace.path("Cargo.lock")).context("reading Cargo.lock")?;
    let bill = completed(&text?, &workspace.root().to_string_lossy(), &lock)?;
    fs::write(file, bill).with_context(|| format!("writing {}", file.display()))?;
    println!("bill of materials: {}", file.display());
    Ok(None)
}

/// Without the name of the folder that the project is in, and with the certificate authorities.
fn completed(bill: &str, root: &str, lock: &str) -> Result<String> {
    let bill = bill.replace(&format!("path+file://{root}/"), "path+file:///blastdoor/");
    let mut bill: Value = serde_json::from_str(&bill).context("what cargo-cyclonedx wrote is not JSON")?;
    let entry = lock
        .split("[[package]]")
        .find(|entry| entry.contains(&format!("name = \"{AUTHORITIES}\"")))
        .with_context(|| format!("Cargo.lock has no {AUTHORITIES}"))?;
    let field = |name: &str| {
        let line = entry
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.map(|value| value.trim_matches('"'))
            .with_context(|| format!("{AUTHORITIES} in Cargo.lock has no {name}"))
    };
    let (version, checksum) = (field("version")?, field("checksum")?);
    let purl = format!("pkg:cargo/{AUTHORITIES}@{version}");
    let components = bill
        .get_mut("components")
        .and_then(Value::as_array_mut)
        .context("what cargo-cyclonedx wrote has no components")?;
    components.push(json!({
        "type": "data",
        "bom-ref": purl,
        "name": AUTHORITIES,
        "version": version,
        "description": "Mozilla's certificate authorities, /etc/ssl/certs/ca-certificates.crt of the image",
        "scope": "required",
        "hashes": [{ "alg": "SHA-256", "content": checksum }],
        "licenses": [{ "expression": "CDLA-Permissive-2.0" }],
        "purl": purl,
    }));
    serde_json::to_string_pretty(&bill).context("writing the bill of materials")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_tells_no_folder_and_has_the_authorities() {
        let bill = json!({
            "components": [{ "bom-ref": "path+file:///home/somebody/code/gateway/route#0.1.0" }],
            "dependencies": [{ "ref": "path+file:///home/somebody/code/gateway/route#0.1.0" }],
        });
        let lock = "[[package]]\nname = \"other\"\nversion = \"2.0.0\"\n\n[[package]]\nname = \"webpki-root-certs\"\n\
                    version = \"1.0.11\"\nchecksum = \"0a1b\"\n";
        let completed = completed(&bill.to_string(), "/home/somebody/code", lock).expect("a bill");
        assert!(!completed.contains("somebody"), "{completed}");
        let completed: Value = serde_json::from_str(&completed).expect("JSON");
        assert_eq!(
            completed["dependencies"][0]["ref"],
            "path+file:///blastdoor/gateway/route#0.1.0"
        );
        assert_eq!(completed["components"][1]["version"], "1.0.11");
        assert_eq!(completed["components"][1]["hashes"][0]["content"], "0a1b");
        assert!(super::completed("{}", "/x", lock).is_err());
        assert!(super::completed(&bill.to_string(), "/x", "").is_err());
    }
}
