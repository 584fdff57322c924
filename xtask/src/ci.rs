//! What CI runs, step by step: the quickest checks first, the tests last.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::Invocation;
use crate::workspace::Workspace;
use crate::{apiserver, chart, deny, deploy, differential, fuzz, image, imports, interop, nodes, sizes};

/// A check that could not run here, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut(pub(crate) String);

/// One step of CI.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// One line for the usage text.
    pub(crate) checks: &'static str,
    run: fn(&Workspace) -> Result<Vec<LeftOut>>,
    /// How long after the first step it may begin. Later it is left out, so that CI ends within an hour.
    latest: Option<Duration>,
}

/// Every step, in the order in which they run.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "format",
        checks: "rustfmt has nothing to change",
        run: format,
        latest: None,
    },
    Step {
        name: "sizes",
        checks: "no Rust file above 600 lines without its tests",
        run: sizes::check,
        latest: None,
    },
    Step {
        name: "imports",
        checks: "no crate imports anything that its row of the table does not name, and no files import each other",
        run: imports::check,
        latest: None,
    },
    Step {
        name: "deny",
        checks: "licences, banned crates, sources; advisories where reachable",
        run: deny::check,
        latest: None,
    },
    Step {
        name: "clippy",
        checks: "no warning of rustc or clippy",
        run: clippy,
        latest: None,
    },
    Step {
        name: "docs",
        checks: "documentation builds without a warning",
        run: docs,
        latest: None,
    },
    Step {
        name: "fuzz",
        checks: "fuzz targets have corpora and find nothing among 300,000 inputs each, or as many as ten seconds allow",
        run: fuzz::check,
        latest: None,
    },
    Step {
        name: "deploy",
        checks: "what is in deploy/: the chart and its presets against schemas, what is made of them, alerts, AWS templates",
        run: deploy,
        latest: None,
    },
    Step {
        name: "tests",
        checks: "cargo test --workspace",
        run: tests,
        latest: None,
    },
    Step {
        name: "interop",
        checks: "third-party clients, servers and scanners, against `cargo build --release`",
        run: interop::check,
        latest: None,
    },
    Step {
        name: "differential",
        checks: "what differs from Traefik and nginx is listed, and what is listed differs",
        run: differential::check,
        latest: None,
    },
    Step {
        name: "nodes",
        checks: "the `release` build on three real nodes: each set-up, and updates under load; left out late in a slow run",
        run: nodes::check,
        latest: Some(Duration::from_secs(42 * 60)),
    },
    Step {
        name: "image",
        checks: "the images of that `release` build: small, static, run as pods run them; their bill of materials",
        run: image::check,
        latest: None,
    },
    Step {
        name: "dist",
        checks: "the images of the `dist` build, in the same way; left out late in a slow run",
        run: image::check_dist,
        latest: Some(Duration::from_secs(40 * 60)),
    },
];

/// Runs the named steps, or all of them; stops at the first failure.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    let steps = chosen(names)?;
    let start = Instant::now();
    let mut left_out = Vec::new();
    for step in &steps {
        println!("=== {}: {}", step.name, step.checks);
        let begun = Instant::now();
        let result = match step.latest {
            Some(latest) if begun - start > latest => Ok(vec![LeftOut(format!(
                "it begins within {} minutes or not at all; to run it: cargo xtask ci {}",
                latest.as_secs() / 60,
                step.name
            ))]),
            Some(_) | None => (step.run)(workspace),
        };
        println!("=== {}: {:.1} s", step.name, begun.elapsed().as_secs_f64());
        let advice = || {
            format!(
                "step `{0}` failed; to run it alone: cargo xtask ci {0}",
                step.name
            )
        };
        for LeftOut(what) in result.with_context(advice)? {
            let what = format!("LEFT OUT of {}: {what}", step.name);
            println!("!!! {what}");
            left_out.push(what);
        }
    }
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    println!(
        "\nPassed in {:.0} s: {}.",
        start.elapsed().as_secs_f64(),
        names.join(", ")
    );
    for what in left_out {
        println!("!!! {what}");
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Step>> {
    if names.is_empty() {
        return Ok(STEPS.iter().collect());
    }
    let unknown: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| STEPS.iter().all(|step| step.name != *name))
        .collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!(
            "no step of ci is named {unknown:?}; there are: {}",
            known.join(", ")
        );
    }
    Ok(STEPS
        .iter()
        .filter(|step| names.iter().any(|name| name == step.name))
        .collect())
}

fn format(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    Invocation::cargo(workspace)
        .args(["fmt", "--all", "--check"])
        .run()?;
    Invocation::cargo(workspace)
        .args(["fmt", "--check", "--manifest-path", fuzz::MANIFEST])
        .run()?;
    Ok(Vec::new())
}

fn clippy(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    Invocation::cargo(workspace).args(arguments).run()?;
    Ok(Vec::new())
}

fn docs(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    // Only contributors read it, so it includes private items and may link to them.
    let flags = "-D warnings -A rustdoc::private-intra-doc-links --document-private-items";
    let doc = Invocation::cargo(workspace).args(["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", flags).run()?;
    Ok(Vec::new())
}

fn deploy(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    chart::run(workspace, &[])?;
    deploy::check(workspace)
}

/// `CI=true`: a check that cannot run is a failure.
pub(crate) fn is_ci() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a task of the project, not the gateway")]
    std::env::var("CI").is_ok()
}

fn tests(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let left_out = match apiserver::run(workspace) {
        Ok(()) => Vec::new(),
        Err(error) if is_ci() => return Err(error.context("the tests against a real API server")),
        Err(error) => vec![LeftOut(format!("the tests against a real API server: {error:#}"))],
    };
    Invocation::cargo(workspace).args(["test", "--workspace"]).run()?;
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(names: &[&str]) -> Result<Vec<&'static str>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(chosen(&names)?.iter().map(|step| step.name).collect())
    }

    #[test]
    fn steps_run_in_their_order_and_unknown_ones_are_refused() {
        assert_eq!(names_of(&[]).expect("all").len(), STEPS.len());
        assert_eq!(names_of(&["tests", "format"]).expect("two"), ["format", "tests"]);
        let error = names_of(&["format", "fromat"]).unwrap_err().to_string();
        assert!(
            error.contains("fromat") && error.contains("format, sizes"),
            "{error}"
        );
    }
}
