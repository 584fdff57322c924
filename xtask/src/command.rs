//! Other programs: run from the root of the repository, with their output where ours goes.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

const POLL: Duration = Duration::from_millis(50);

/// A program, its arguments and its environment.
pub(crate) struct Invocation {
    command: Command,
}

impl Invocation {
    pub(crate) fn new(workspace: &Workspace, program: impl AsRef<OsStr>) -> Invocation {
        let mut command = Command::new(program);
        command.current_dir(workspace.root());
        Invocation { command }
    }

    /// The cargo that runs this program. By name, so that rustup can select another toolchain.
    pub(crate) fn cargo(workspace: &Workspace) -> Invocation {
        Invocation::new(workspace, "cargo")
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Invocation {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Invocation {
        self.command.env(name, value);
        self
    }

    /// Runs it in another folder.
    pub(crate) fn within(mut self, folder: &Path) -> Invocation {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Invocation {
        self.command.env_remove(name);
        self
    }

    /// Runs the program to its end; anything but success is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        let shown = self.shown();
        println!("    $ {shown}");
        let status = self
            .command
            .status()
            .with_context(|| format!("starting `{shown}`"))?;
        succeeded(&shown, status)
    }

    /// Runs silently and returns what it wrote to standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let shown = self.shown();
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("starting `{shown}`"))?;
        succeeded(&shown, output.status)?;
        String::from_utf8(output.stdout).with_context(|| format!("the output of `{shown}`"))
    }

    /// Whether it can be started and succeeds within `limit`, silently.
    pub(crate) fn succeeds_within(mut self, limit: Duration) -> Result<bool> {
        let silent = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let Ok(mut child) = silent.spawn() else {
            return Ok(false);
        };
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = child
                .try_wait()
                .with_context(|| format!("waiting for `{}`", self.shown()))?
            {
                return Ok(status.success());
            }
            thread::sleep(POLL);
        }
        child
            .kill()
            .with_context(|| format!("ending `{}`", self.shown()))?;
        child
            .wait()
            .with_context(|| format!("waiting for `{}`", self.shown()))?;
        Ok(false)
    }

    fn shown(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

fn succeeded(shown: &str, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation::new(&Workspace::here().expect("a workspace"), "sh").args(["-c", script])
    }

    #[test]
    fn failure_and_absence_are_errors() {
        assert_eq!(shell("echo fine").output().expect("success"), "fine\n");
        assert!(
            shell("exit 3")
                .run()
                .unwrap_err()
                .to_string()
                .contains("exit status: 3")
        );
        assert!(shell("exit 3").output().is_err());
        let absent = Invocation::new(
            &Workspace::here().expect("a workspace"),
            "no-such-program-anywhere",
        );
        assert!(
            absent
                .run()
                .unwrap_err()
                .to_string()
                .contains("no-such-program-anywhere")
        );
    }

    #[test]
    fn a_program_that_hangs_does_not_succeed() {
        assert!(
            shell("true")
                .succeeds_within(Duration::from_secs(30))
                .expect("an answer")
        );
        assert!(
            !shell("false")
                .succeeds_within(Duration::from_secs(30))
                .expect("an answer")
        );
        assert!(
            !shell("exec sleep 60")
                .succeeds_within(Duration::from_millis(100))
                .expect("an answer")
        );
    }
}
