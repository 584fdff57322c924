//! Binaries that need no shared library, and the same bytes wherever they are built.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Invocation;
use crate::workspace::Workspace;

/// What a binary runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// As images name it.
    pub(crate) architecture: &'static str,
    /// Debian's C compiler for it, which also links.
    compiler: &'static str,
}

/// What images are built for.
pub(crate) const TARGETS: [Target; 2] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        architecture: "amd64",
        compiler: "x86_64-linux-gnu-gcc",
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        architecture: "arm64",
        compiler: "aarch64-linux-gnu-gcc",
    },
];

impl Target {
    pub(crate) fn of_machine() -> Result<Target> {
        let target = TARGETS.into_iter().find(|target| target.is_machine());
        target.context("images are for Linux on x86-64 or 64-bit Arm: name one with --target")
    }

    fn is_machine(self) -> bool {
        cfg!(target_os = "linux") && self.triple.split('-').next() == Some(env::consts::ARCH)
    }
}

/// What a binary is built from.
pub(crate) struct Commit {
    /// With `-dirty` if files differ from it.
    pub(crate) revision: String,
    /// Seconds since 1970.
    pub(crate) time: u64,
}

impl Commit {
    /// `SOURCE_DATE_EPOCH` (reproducible-builds.org) goes before the commit's time.
    pub(crate) fn here(workspace: &Workspace) -> Result<Commit> {
        let git = |arguments: &[&str]| Invocation::new(workspace, "git").args(arguments).output();
        #[expect(clippy::disallowed_methods, reason = "a task of the project, not the gateway")]
        let named = env::var("SOURCE_DATE_EPOCH").ok();
        let (revision, committed) = match git(&["log", "-1", "--format=%H %ct"]) {
            Ok(told) => {
                let (revision, time) = told.trim().split_once(' ').context("`git log` tells no commit")?;
                let is_changed = !git(&["status", "--porcelain"])?.trim().is_empty();
                let suffix = if is_changed { "-dirty" } else { "" };
                (format!("{revision}{suffix}"), Some(time.to_owned()))
            }
            Err(_) => ("unknown".to_owned(), None),
        };
        let time = named.or(committed).context(
            "an image's time is its commit's, and there is none here: set SOURCE_DATE_EPOCH to seconds since 1970",
        )?;
        let time = time
            .parse()
            .with_context(|| format!("`{time}` is no number of seconds since 1970"))?;
        Ok(Commit { revision, time })
    }
}

/// Builds one binary that needs no shared library, and returns its path.
///
/// Only the last step, linking, differs from other builds: nothing is compiled again for it.
pub(crate) fn build_static(
    workspace: &Workspace,
    profile: &str,
    package: &str,
    binary: &str,
) -> Result<PathBuf> {
    Invocation::cargo(workspace)
        .args(["rustc", "--profile", profile])
        .args(["--package", package, "--bin", binary])
        .args(["--", "-C", "target-feature=+crt-static", "-C", "strip=debuginfo"])
        .run()?;
    Ok(workspace.path("target").join(folder_of(profile)).join(binary))
}

/// Builds the gateway for a target, the same bytes from the same commit in any folder, by any user, at any time.
///
/// Everything is compiled anew, beside what other builds have compiled.
pub(crate) fn build_alike(
    workspace: &Workspace,
    profile: &str,
    target: Target,
    commit: &Commit,
) -> Result<PathBuf> {
    let places = places(workspace)?;
    let renamed = |option: &str, separator: &str| {
        let options = places
            .iter()
            .map(|(place, name)| format!("{option}={}={name}", place.display()));
        options.collect::<Vec<_>>().join(separator)
    };
    let mut invocation = Invocation::cargo(workspace)
        .args(["rustc", "--locked", "--profile", profile])
        .args(["--target", target.triple])
        .args(["--package", "blastdoor", "--bin", "blastdoor"])
        .args(["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"])
        // They go before RUSTFLAGS and before the configuration of whoever builds.
        .env("CARGO_ENCODED_RUSTFLAGS", &renamed("--remap-path-prefix", "\x1f"))
        .env("CFLAGS", &renamed("-ffile-prefix-map", " "))
        .env("SOURCE_DATE_EPOCH", &commit.time.to_string())
        .env("BLASTDOOR_COMMIT", &commit.revision)
        .env("CARGO_INCREMENTAL", "0");
    if !target.is_machine() {
        let triple = target.triple.replace('-', "_");
        let linker = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase());
        invocation = invocation
            .env(&linker, target.compiler)
            .env(&format!("CC_{triple}"), target.compiler);
    }
    invocation.run()?;
    let built = workspace.path("target").join(target.triple);
    Ok(built.join(folder_of(profile)).join("blastdoor"))
}

/// Where cargo puts what it builds with a profile.
fn folder_of(profile: &str) -> &str {
    if profile == "dev" { "debug" } else { profile }
}

/// Folders of this machine whose names compilers write into what they build, and what they write instead. Of several that
/// fit, the last one counts.
fn places(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
    let rustc = |argument: &[&str]| Invocation::new(workspace, "rustc").args(argument).output();
    let sysroot = rustc(&["--print", "sysroot"])?;
    let version = rustc(&["--version", "--verbose"])?;
    let hash = version
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "))
        .context("`rustc --version --verbose` tells no commit")?;
    #[expect(clippy::disallowed_methods, reason = "a task of the project, not the gateway")]
    let cargo = env::var("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|_| env::var("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    // The standard library is called by its commit, unless the component `rust-src` is there.
    let standard = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    let places = vec![
        (cargo, "/cargo".to_owned()),
        (standard, format!("/rustc/{hash}")),
        (workspace.root().to_owned(), "/blastdoor".to_owned()),
    ];
    // CFLAGS are split at blanks.
    match places
        .iter()
        .find(|(place, _)| place.to_string_lossy().contains(' '))
    {
        Some((place, _)) => bail!("{} has a blank in its name: build elsewhere", place.display()),
        None => Ok(places),
    }
}

/// Whether an ELF file asks for no dynamic loader: none of its program headers is `PT_INTERP` (3).
pub(crate) fn is_static(program: &[u8]) -> bool {
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = program.get(at..at.checked_add(length)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    };
    let has_loader = || -> Option<bool> {
        let (first, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        for position in 0..count {
            if number(first.checked_add(position.checked_mul(size)?)?, 4)? == 3 {
                return Some(true);
            }
        }
        Some(false)
    };
    // 64 bits, the least significant byte first: both targets are.
    program.starts_with(b"\x7fELF\x02\x01") && has_loader() == Some(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        if cfg!(all(target_os = "linux", target_pointer_width = "64")) {
            let dynamic = fs::read("/bin/sh").expect("a shell");
            assert!(!is_static(&dynamic));
        }
        let mut program = vec![0; 64 + 2 * 56];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (program[32], program[54], program[56]) = (64, 56, 2);
        (program[64], program[120]) = (1, 2);
        assert!(is_static(&program));
        program[120] = 3;
        assert!(!is_static(&program));
        assert!(!is_static(&program[..100]), "cut short");
        assert!(!is_static(b"#!/bin/sh"));
    }

    #[test]
    fn the_machine_is_a_target() {
        let machine = Target::of_machine().expect("Linux");
        assert!(machine.triple.starts_with(env::consts::ARCH), "{machine:?}");
    }
}
