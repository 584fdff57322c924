//! File sizes: a file that has grown too long should become two.
//!
//! Lines are counted without tests: neither test files nor items under `#[cfg(test)]`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};

use crate::ci::LeftOut;
use crate::workspace::Workspace;

/// Above this a file is reported as long.
const COMFORTABLE: usize = 400;
/// Above this the check fails.
const LIMIT: usize = 600;

/// The verdict on a file's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Comfortable,
    Long,
    TooLong,
}

/// Measures every Rust file of the repository.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let mut too_long = 0;
    for file in workspace.files("", |file| {
        file.extension() == Some(OsStr::new("rs")) && !is_test(file)
    })? {
        let source = fs::read_to_string(workspace.path(&file))
            .with_context(|| format!("reading {}", file.display()))?;
        let lines = lines_without_tests(&source);
        match verdict(lines) {
            Verdict::Comfortable => {}
            Verdict::Long => println!(
                "    {}: {lines} lines, getting long (about {COMFORTABLE})",
                file.display()
            ),
            Verdict::TooLong => {
                println!(
                    "    {}: {lines} lines without tests, the limit is {LIMIT}",
                    file.display()
                );
                too_long += 1;
            }
        }
    }
    if too_long > 0 {
        bail!("{too_long} file(s) above {LIMIT} lines: split them by subject");
    }
    Ok(Vec::new())
}

fn verdict(lines: usize) -> Verdict {
    if lines <= COMFORTABLE {
        Verdict::Comfortable
    } else if lines <= LIMIT {
        Verdict::Long
    } else {
        Verdict::TooLong
    }
}

/// Test files are tables of cases, as long as there are cases.
fn is_test(file: &Path) -> bool {
    file.file_name() == Some(OsStr::new("tests.rs"))
        || file
            .components()
            .any(|part| part == Component::Normal(OsStr::new("tests")))
}

/// Counts lines, skipping top-level items under `#[cfg(test)]`. Relies on rustfmt: such an item ends with a
/// closing brace in the first column, or with a semicolon.
fn lines_without_tests(source: &str) -> usize {
    let mut count = 0;
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            count += 1;
            continue;
        }
        let mut in_block = false;
        for line in lines.by_ref().skip_while(|line| line.starts_with("#[")) {
            in_block |= line.ends_with('{');
            if line.starts_with('}') || (!in_block && line.ends_with(';')) {
                break;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_change_at_the_limits() {
        assert_eq!(
            [0, 400, 401, 600, 601, usize::MAX].map(verdict),
            [
                Verdict::Comfortable,
                Verdict::Comfortable,
                Verdict::Long,
                Verdict::Long,
                Verdict::TooLong,
                Verdict::TooLong
            ]
        );
    }

    #[test]
    fn only_items_under_cfg_test_are_not_counted() {
        let cases = [
            ("", 0),
            ("fn a() {}\n\nfn b() {}\n", 3),
            ("fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n", 2),
            (
                "fn a() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    fn t() {\n    }\n}\nfn b() {}\n",
                2,
            ),
            ("#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nfn b() {}\n", 1),
            ("#[cfg(test)]\nfn helper() {\n    one();\n}\nfn b() {}\n", 1),
            ("#[cfg(test)]\nuse a::{\n    b,\n};\nfn b() {}\n", 1),
            // Inside an item the attribute hides nothing from the reader of the file.
            ("impl A {\n    #[cfg(test)]\n    fn a() {}\n}\n", 4),
            ("#[cfg(not(test))]\nmod real {\n}\n", 3),
        ];
        for (source, expected) in cases {
            assert_eq!(lines_without_tests(source), expected, "{source:?}");
        }
    }

    #[test]
    fn a_long_file_is_too_long_and_its_tests_do_not_count() {
        let code = "fn a() {}\n".repeat(601);
        assert_eq!(verdict(lines_without_tests(&code)), Verdict::TooLong);
        let tested = format!(
            "fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "    fn a() {}\n".repeat(601)
        );
        assert_eq!(verdict(lines_without_tests(&tested)), Verdict::Comfortable);
    }

    #[test]
    fn test_files_are_recognised_by_name_or_folder() {
        let tests = [
            "gateway/route/tests/host.rs",
            "tests/framing.rs",
            "gateway/door/src/compile/tests.rs",
        ];
        let code = [
            "gateway/route/src/host.rs",
            "gateway/route/src/latest.rs",
            "xtask/src/main.rs",
        ];
        assert_eq!(tests.map(|file| is_test(Path::new(file))), [true; 3]);
        assert_eq!(code.map(|file| is_test(Path::new(file))), [false; 3]);
    }
}
