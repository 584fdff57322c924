//! The import table: which crate of the house may import which, and who alone may import what from outside.
//!
//! Only crates enforce direction, so the table is checked against what cargo resolved. `deny.toml` says the same of
//! the crates that come in through others.

mod verifiers;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::ci::LeftOut;
use crate::command::Invocation;
use crate::rings;
use crate::workspace::Workspace;

/// A crate of the house and what it may import of the house. A crate's tests may use what its imports import.
const TABLE: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("route", &[]),
    ("wire", &[]),
    ("filter", &[]),
    ("trace", &[]),
    ("resource", &["text", "route", "filter"]),
    ("door", &["route", "filter", "resource"]),
    ("control", &["route", "resource"]),
    ("doctor", &["text", "route", "resource", "door"]),
    // It attacks from outside and relies on nothing of what it attacks: no parser of the house, only how text is shown (ADR 56).
    ("prove", &["text"]),
    ("migrate", &["text", "route", "resource", "door"]),
    ("proxy", &["text", "route", "wire", "filter", "trace", "door"]),
    (
        "blastdoor",
        &[
            "text", "route", "wire", "filter", "trace", "resource", "door", "control", "doctor", "migrate",
            "prove", "proxy",
        ],
    ),
    // Black-box tests drive the program; they link it so that cargo builds it. They fire the tricks of `prove` too, and wire a
    // gateway wrongly for it to find.
    (
        "gateway-tests",
        &["blastdoor", "control", "door", "prove", "proxy"],
    ),
    (
        ORACLES,
        &["route", "wire", "filter", "resource", "door", "migrate"],
    ),
    ("xtask", &[]),
];

/// What tests compare with. Every crate's tests may use it, those of the crates that it imports too.
const ORACLES: &str = "testkit";

/// Crates from outside (the name itself, and `name-…`) and the only ones that may import them directly.
const RESERVED: &[(&str, &[&str])] = &[
    ("kube", &["control"]),
    ("hickory", &["control"]),
    ("k8s-openapi", &["resource", "control", "doctor"]),
    ("figment", &["blastdoor"]),
    ("anyhow", &["blastdoor", "gateway-tests", "xtask"]),
];

/// A workspace member and its direct dependencies.
#[derive(Debug)]
struct Member {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    /// For tests, examples and benchmarks alone.
    is_dev: bool,
}

/// Holds the table against the workspace. Fails also when `Cargo.lock` is not what the manifests ask for.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let metadata = ["metadata", "--format-version", "1", "--locked"];
    let members = members(&Invocation::cargo(workspace).args(metadata).output()?)?;
    let mut violations = violations(&members);
    violations.extend(verifiers::violations(workspace)?);
    for violation in &violations {
        println!("    {violation}");
    }
    if !violations.is_empty() {
        bail!(
            "{} import(s) against the table in docs/architecture.md",
            violations.len()
        );
    }
    Invocation::cargo(workspace)
        .args(["tree", "--quiet", "--locked", "--depth", "0"])
        .output()?;
    rings::run(workspace, &[])?;
    Ok(Vec::new())
}

/// Reads the output of `cargo metadata`: members are the packages that come from no registry.
fn members(metadata: &str) -> Result<Vec<Member>> {
    let metadata: Value = serde_json::from_str(metadata).context("the output of cargo metadata")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo metadata: no packages")?;
    packages
        .iter()
        .filter(|package| package.get("source").is_none_or(Value::is_null))
        .map(member)
        .collect()
}

fn member(package: &Value) -> Result<Member> {
    let name = text(package, "name")?;
    let dependencies = package.get("dependencies").and_then(Value::as_array);
    let dependencies = dependencies.with_context(|| format!("cargo metadata: no dependencies of {name}"))?;
    let dependencies = dependencies.iter().map(|dependency| {
        let is_dev = dependency.get("kind").and_then(Value::as_str) == Some("dev");
        Ok(Dependency {
            name: text(dependency, "name")?,
            is_dev,
        })
    });
    Ok(Member {
        name,
        dependencies: dependencies.collect::<Result<_>>()?,
    })
}

fn text(value: &Value, key: &str) -> Result<String> {
    let text = value
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("cargo metadata: no `{key}`"))?;
    Ok(text.to_owned())
}

/// Every import that the table does not allow, one line each.
fn violations(members: &[Member]) -> Vec<String> {
    let house: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut violations = Vec::new();
    for member in members {
        let Some(imports) = imports(&member.name) else {
            violations.push(format!(
                "`{}` is not in the import table: add its row",
                member.name
            ));
            continue;
        };
        let reachable = closure(imports);
        for Dependency { name, is_dev } in &member.dependencies {
            let allowed = if *is_dev {
                name == ORACLES || reachable.contains(name.as_str())
            } else {
                imports.contains(&name.as_str())
            };
            if house.contains(name.as_str()) && !allowed {
                let how = if *is_dev { "in its tests " } else { "" };
                violations.push(format!(
                    "`{}` must not import `{name}` {how}(it may: {imports:?})",
                    member.name
                ));
            }
            if let Some(owners) = reserved_for(name).filter(|owners| !owners.contains(&member.name.as_str()))
            {
                violations.push(format!(
                    "`{}` must not import `{name}` (that is for {owners:?})",
                    member.name
                ));
            }
        }
    }
    violations
}

fn imports(name: &str) -> Option<&'static [&'static str]> {
    TABLE
        .iter()
        .find(|(row, _)| *row == name)
        .map(|(_, imports)| *imports)
}

/// What is imported, directly or through others.
fn closure(imported: &[&'static str]) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&'static str> = imported.to_vec();
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(imports(name).unwrap_or_default());
        }
    }
    reached
}

fn reserved_for(dependency: &str) -> Option<&'static [&'static str]> {
    let is_of = |family: &str| match dependency.strip_prefix(family) {
        Some(rest) => rest.is_empty() || rest.starts_with('-'),
        None => false,
    };
    RESERVED
        .iter()
        .find(|(family, _)| is_of(family))
        .map(|(_, owners)| *owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member and its dependencies, each with cargo's kind of it.
    type Row<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

    /// What `cargo metadata` says, cut down to what is read.
    fn metadata(packages: &[Row<'_>]) -> String {
        let packages: Vec<Value> = packages
            .iter()
            .map(|(name, dependencies)| {
                let dependencies: Vec<Value> = dependencies
                    .iter()
                    .map(|(name, kind)| serde_json::json!({ "name": name, "kind": kind }))
                    .collect();
                serde_json::json!({ "name": name, "dependencies": dependencies })
            })
            .collect();
        serde_json::json!({ "packages": packages }).to_string()
    }

    fn violations_of(packages: &[Row<'_>]) -> Vec<String> {
        violations(&members(&metadata(packages)).expect("valid metadata"))
    }

    #[test]
    fn the_table_itself_points_one_way() {
        for (place, (name, imports)) in TABLE.iter().enumerate() {
            for import in *imports {
                let above = TABLE[..place].iter().any(|(row, _)| row == import);
                assert!(above, "`{name}` imports `{import}`, which is not a row above it");
            }
        }
    }

    #[test]
    fn allowed_imports_pass() {
        let found = violations_of(&[
            ("route", &[("idna", None)]),
            ("resource", &[("route", None), ("k8s-openapi", None)]),
            ("door", &[("route", None), ("resource", None)]),
            (
                "control",
                &[("resource", None), ("kube", None), ("kube-runtime", None)],
            ),
            (
                "proxy",
                &[("door", None), ("resource", Some("dev")), ("figmentation", None)],
            ),
            ("xtask", &[("anyhow", None)]),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn forbidden_imports_are_reported() {
        let found = violations_of(&[
            ("route", &[("wire", None), ("anyhow", Some("dev"))]),
            ("wire", &[("route", Some("build"))]),
            ("resource", &[("kube-core", None)]),
            (
                "proxy",
                &[
                    ("resource", None),
                    ("control", Some("dev")),
                    ("k8s-openapi", None),
                ],
            ),
            ("control", &[("figment", None)]),
            ("gossip", &[]),
        ]);
        let may = imports("proxy").expect("a row");
        assert_eq!(
            found,
            [
                "`route` must not import `wire` (it may: [])",
                "`route` must not import `anyhow` (that is for [\"blastdoor\", \"gateway-tests\", \"xtask\"])",
                "`wire` must not import `route` (it may: [])",
                "`resource` must not import `kube-core` (that is for [\"control\"])",
                &format!("`proxy` must not import `resource` (it may: {may:?})"),
                &format!("`proxy` must not import `control` in its tests (it may: {may:?})"),
                "`proxy` must not import `k8s-openapi` (that is for [\"resource\", \"control\", \"doctor\"])",
                "`control` must not import `figment` (that is for [\"blastdoor\"])",
                "`gossip` is not in the import table: add its row",
            ]
        );
    }

    #[test]
    fn crates_from_a_registry_are_not_members() {
        let metadata = r#"{"packages":[
            {"name":"gossip","source":"registry+https://github.com/rust-lang/crates.io-index","dependencies":[]},
            {"name":"route","source":null,"dependencies":[]}
        ]}"#;
        let members = members(metadata).expect("valid metadata");
        assert_eq!(
            members
                .iter()
                .map(|member| member.name.as_str())
                .collect::<Vec<_>>(),
            ["route"]
        );
    }

    #[test]
    fn metadata_that_cannot_be_read_is_an_error() {
        for broken in [
            "",
            "{}",
            r#"{"packages":[{}]}"#,
            r#"{"packages":[{"name":"route"}]}"#,
        ] {
            assert!(members(broken).is_err(), "{broken}");
        }
    }
}
