//! Errors and warnings, collected while values are checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::files::Files;
use super::layers::Layers;
use super::units::{DURATION, duration};

/// Everything that is wrong or doubtful, until all is looked at.
pub(super) struct Diagnostics<'l> {
    layers: &'l Layers,
    /// The folder that relative paths start from.
    folder: PathBuf,
    files: Files,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl<'l> Diagnostics<'l> {
    pub(super) fn new(
        layers: &'l Layers,
        folder: Option<&Path>,
        files: Files,
        errors: Vec<ConfigError>,
    ) -> Self {
        Self {
            layers,
            folder: folder.map(Path::to_owned).unwrap_or_default(),
            files,
            errors,
            warnings: Vec::new(),
        }
    }

    /// Errors and warnings.
    pub(super) fn finish(self) -> (Vec<ConfigError>, Vec<ConfigError>) {
        (self.errors, self.warnings)
    }

    /// What is written below a dotted key.
    pub(super) fn section(&mut self, key: impl Into<String>) -> Section<'_, 'l> {
        Section {
            key: key.into(),
            diagnostics: self,
        }
    }

    /// An error that is at no key.
    pub(super) fn push(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    pub(super) fn error(&mut self, key: &str, message: impl Into<String>) {
        self.errors.push(self.layers.error(key, message.into()));
    }

    /// An error that several values make together. If a variable gave one of them, it is named.
    pub(super) fn error_between(&mut self, key: &str, others: &[&str], message: impl Into<String>) {
        let error = self.layers.error_between(key, others, message.into());
        self.errors.push(error);
    }

    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(self.layers.error(key, message.into()));
    }

    /// Whether an environment variable gave the value of a key.
    pub(super) fn is_from_variable(&self, key: &str) -> bool {
        self.layers.variable(key).is_some()
    }
}

/// A table, for the code that checks its values: keys are relative to it.
pub(super) struct Section<'d, 'l> {
    diagnostics: &'d mut Diagnostics<'l>,
    key: String,
}

impl Section<'_, '_> {
    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.key)
    }

    pub(super) fn error(&mut self, key: &str, message: impl Into<String>) {
        let key = self.at(key);
        self.diagnostics.error(&key, message);
    }

    /// An error that several values of the table make together.
    pub(super) fn error_between(&mut self, key: &str, others: &[&str], message: impl Into<String>) {
        let others: Vec<String> = others.iter().map(|other| self.at(other)).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let key = self.at(key);
        self.diagnostics.error_between(&key, &others, message);
    }

    /// An error that is at no key.
    pub(super) fn push(&mut self, error: ConfigError) {
        self.diagnostics.push(error);
    }

    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>) {
        let key = self.at(key);
        self.diagnostics.warn(&key, message);
    }

    /// A path as written, from the folder of the file that it is written in.
    pub(super) fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.diagnostics.folder.join(path)
    }

    /// Where files are read.
    pub(super) fn files(&self) -> &Files {
        &self.diagnostics.files
    }

    /// One of a few words.
    pub(super) fn word<T: Clone>(
        &mut self,
        key: &str,
        written: Option<&str>,
        default: T,
        words: &[(&str, T)],
    ) -> T {
        let Some(written) = written else { return default };
        match words.iter().find(|(word, _)| *word == written) {
            Some((_, value)) => value.clone(),
            None => {
                let allowed = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
                self.error(key, format!("`{written}` is not known; allowed: {allowed}"));
                default
            }
        }
    }

    /// Elements of a list, each parsed by itself. An empty list is an error: it would admit nothing.
    pub(super) fn list<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        written: Option<&[String]>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut parsed = Vec::new();
        for (index, text) in written.unwrap_or_default().iter().enumerate() {
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(error) => self.error(&format!("{key}[{index}]"), error.to_string()),
            }
        }
        if written.is_some_and(<[String]>::is_empty) {
            self.error(
                key,
                "an empty list would admit nothing; remove the key to admit all",
            );
        }
        parsed
    }

    /// A duration that is not zero.
    pub(super) fn duration(&mut self, key: &str, written: Option<&str>, default: Duration) -> Duration {
        let duration = self.duration_or_zero(key, written, default);
        if duration.is_zero() {
            let written = written.unwrap_or_default();
            self.error(
                key,
                format!("zero would end everything at once, and `{written}` is zero; allowed: {DURATION}"),
            );
        }
        duration
    }

    /// The most that something may have.
    pub(super) fn bound(&mut self, key: &str, written: Option<u32>, default: usize) -> usize {
        if written == Some(0) {
            self.error(
                key,
                "0 would close everything that it bounds; allowed: 1 and above",
            );
        }
        written
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(default)
    }

    pub(super) fn duration_or_zero(
        &mut self,
        key: &str,
        written: Option<&str>,
        default: Duration,
    ) -> Duration {
        let Some(written) = written else { return default };
        duration(written).unwrap_or_else(|| {
            self.error(key, format!("`{written}` is not a duration; allowed: {DURATION}"));
            default
        })
    }
}
