//! The command line and the environment.

use std::path::PathBuf;

use super::files::Files;
use super::model::Process;

/// What the command line and the environment say.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--config`, or `BLASTDOOR_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--manifests`
    pub manifests: Option<PathBuf>,
    /// `--kubeconfig`
    pub kubeconfig: Option<PathBuf>,
    /// `--context`
    pub context: Option<String>,
    /// `--doors`
    pub doors: Option<Vec<String>>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Where the files of the configuration are.
    pub files: Files,
    /// What the process uses already, whatever the file says: a change of that needs a restart.
    pub process: Option<Process>,
}

impl Options {
    /// Whether terminals may be written to in colours, and lines of them be overwritten (no-color.org).
    pub(crate) fn may_style(&self) -> bool {
        let is_set = |name: &str| self.variable(name).is_some_and(|value| !value.is_empty());
        !is_set("NO_COLOR") && self.variable("TERM") != Some("dumb")
    }

    /// The value of a variable of the environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
impl Options {
    /// Those for a file with this content, in a folder of its own that exists as long as the first value.
    pub(crate) fn of_file(text: &str) -> (tempfile::TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, text).unwrap();
        let options = Self {
            config: Some(path),
            ..Self::default()
        };
        (folder, options)
    }
}
