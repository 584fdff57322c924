//! Programs that are not ours, run beside the gateway.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a test waits for anything. These programs look again after seconds, and later the more often they have looked.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running program; killed when dropped, with the end of its log if a test fails.
pub struct Program {
    child: Child,
    folder: TempDir,
    name: String,
}

impl Program {
    /// Starts one of those that were built.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::run(Command::new(built(name)).args(arguments), name)
    }

    /// Starts any.
    pub fn run(command: &mut Command, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            child,
            folder,
            name: name.to_owned(),
        }
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until it says this.
    pub fn says(&self, text: &str) {
        until(&format!("{} says {text:?}", self.name), || {
            self.log().contains(text)
        });
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().rev().take(25).collect();
            let last: Vec<&str> = lines.into_iter().rev().collect();
            eprintln!("--- {} said last:\n{}", self.name, last.join("\n"));
        }
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Waits until a condition holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// A program of `cargo xtask neighbours`.
pub fn built(name: &str) -> PathBuf {
    told("NEIGHBOURS_BIN").join(name)
}

/// A program of the virtual environment.
pub fn python() -> PathBuf {
    told("NEIGHBOURS_PYTHON").join("python")
}

/// A file of a neighbour's own sources.
pub fn source(path: &str) -> PathBuf {
    told("NEIGHBOURS_BIN").join("src").join(path)
}

/// A file of this repository.
pub fn of_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn told(variable: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "told by `cargo xtask neighbours`")]
    let value = std::env::var(variable).expect("run by `cargo xtask neighbours`");
    value.into()
}
