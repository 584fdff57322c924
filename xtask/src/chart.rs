//! The Helm chart, once there is one.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::ci::LeftOut;
use crate::command::Invocation;
use crate::workspace::Workspace;

/// Lints and renders every chart under `deploy/` with its default values.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let charts = workspace.files("deploy", |file| {
        file.file_name() == Some(OsStr::new("Chart.yaml"))
    })?;
    if charts.is_empty() {
        println!("    no chart yet");
        return Ok(Vec::new());
    }
    let helm = |arguments: &[&str]| Invocation::new(workspace, "helm").args(arguments);
    if !helm(&["version"]).succeeds_within(Duration::from_secs(20))? {
        return Ok(vec![LeftOut(
            "the chart, because `helm` is not installed".to_owned(),
        )]);
    }
    for chart in &charts {
        let folder = chart
            .parent()
            .and_then(Path::to_str)
            .context("a chart's folder")?;
        helm(&["lint", "--strict", folder]).run()?;
        helm(&["template", "blastdoor", folder]).output()?;
    }
    Ok(Vec::new())
}
