//! Who may connect without verifying a certificate: a verifier that accepts every one must not get onto the data path by
//! accident.

use std::ffi::OsStr;
use std::fs;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// What only code says that verifies nothing, or that hands over a verifier of its own: called, passed on or imported.
const MARKS: [&str; 3] = ["CertVerified::assertion", "dangerous(", "DangerousClientConfig"];

/// The only files with one of the marks, and why.
const ALLOWED: [(&str, &str); 4] = [
    (
        "gateway/door/src/backend/tls.rs",
        "an annotation or a store's settings may switch verification off, for their own backend",
    ),
    (
        "gateway/prove/src/everyone.rs",
        "commands that look at gateways from outside; the table of imports keeps the data path from it",
    ),
    (
        "gateway/prove/src/connect.rs",
        "attacks doors, whoever they say they are",
    ),
    (
        "gateway/blastdoor/src/commands/migrate/replay/client.rs",
        "--insecure-old and --insecure-new",
    ),
];

/// One line for each file of the gateway that has a mark and may not, and for each that may and has none.
pub(super) fn violations(workspace: &Workspace) -> Result<Vec<String>> {
    let is_source = |file: &std::path::Path| {
        file.extension() == Some(OsStr::new("rs")) && file.iter().nth(2) == Some(OsStr::new("src"))
    };
    let mut marked = Vec::new();
    for file in workspace.files("gateway", is_source)? {
        let source = fs::read_to_string(workspace.path(&file));
        let source = source.with_context(|| format!("reading {}", file.display()))?;
        if has_mark(&source) {
            marked.push(file.to_string_lossy().into_owned());
        }
    }
    Ok(judged(&marked))
}

/// Whether code has a mark, however it is broken into lines.
fn has_mark(source: &str) -> bool {
    let source: String = source.split_whitespace().collect();
    MARKS.iter().any(|mark| source.contains(mark))
}

fn judged(marked: &[String]) -> Vec<String> {
    let may = |file: &str| ALLOWED.iter().any(|(allowed, _)| *allowed == file);
    let strange = marked.iter().filter(|file| !may(file));
    let strange = strange.map(|file| format!("`{file}` must not choose who verifies a certificate"));
    let left = ALLOWED
        .iter()
        .filter(|(allowed, _)| !marked.iter().any(|file| file == allowed));
    let left =
        left.map(|(file, why)| format!("`{file}` verifies certificates again; remove its row ({why})"));
    strange.chain(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_in_code_of_any_shape() {
        for source in [
            "builder\n    .dangerous()\n    .with_custom_certificate_verifier(all)",
            "Ok(ServerCertVerified::assertion())",
            "ClientCertVerified::\n    assertion()",
            "checked.map_or_else(ServerCertVerified::assertion, accepted)",
            "ClientConfig::dangerous(&mut config)",
            "DangerousClientConfigBuilder { cfg: builder }",
        ] {
            assert!(has_mark(source), "{source}");
        }
        assert!(!has_mark("builder.with_root_certificates(roots) // no danger"));
    }

    #[test]
    fn only_the_files_of_the_table_may_have_them() {
        let mut marked: Vec<String> = ALLOWED.iter().map(|(file, _)| (*file).to_owned()).collect();
        assert_eq!(judged(&marked), Vec::<String>::new());
        marked.push("gateway/proxy/src/upstream/connect.rs".to_owned());
        marked.remove(2);
        assert_eq!(
            judged(&marked),
            [
                "`gateway/proxy/src/upstream/connect.rs` must not choose who verifies a certificate",
                "`gateway/prove/src/connect.rs` verifies certificates again; remove its row (attacks doors, whoever they say they are)",
            ]
        );
    }
}
