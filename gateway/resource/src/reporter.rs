//! Where the problems of one object go while it is read.

use std::collections::BTreeSet;

use crate::problem::{ObjectRef, Problem, Severity, Topic};

/// Fields that are written and cannot be read, by their path. Each has been reported already.
///
/// Absence has a meaning in Kubernetes (no host is every host), and a field that had to be left out because it is
/// unreadable must not get that meaning.
#[derive(Debug, Default)]
pub(crate) struct UnreadableFields(BTreeSet<String>);

/// Reports the problems of one object.
pub(crate) struct Reporter<'a> {
    object: ObjectRef,
    unreadable: &'a UnreadableFields,
    problems: &'a mut Vec<Problem>,
}

impl UnreadableFields {
    pub(crate) fn add(&mut self, field: impl Into<String>) {
        self.0.insert(field.into());
    }

    /// Whether exactly this field is written and cannot be read.
    pub(crate) fn contains(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    /// The first of the fields that cannot be read and are this one or below it.
    pub(crate) fn first_below(&self, field: &str) -> Option<&str> {
        let is_below = |other: &str| {
            let rest = other.strip_prefix(field)?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then_some(())
        };
        let mut fields = self.0.iter().map(String::as_str);
        fields.find(|other| is_below(other).is_some())
    }

    /// The keys of a free map whose values are unreadable.
    pub(crate) fn keys_of(&self, map: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter_map(move |field| field.strip_prefix(map)?.strip_prefix('[')?.strip_suffix(']'))
    }
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(
        object: ObjectRef,
        unreadable: &'a UnreadableFields,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        Self {
            object,
            unreadable,
            problems,
        }
    }

    pub(crate) fn unreadable(&self) -> &'a UnreadableFields {
        self.unreadable
    }

    /// Whether exactly this field is written and cannot be read.
    pub(crate) fn is_unreadable(&self, field: &str) -> bool {
        self.unreadable.contains(field)
    }

    pub(crate) fn error(&mut self, field: &str, message: impl Into<String>) {
        self.report(Severity::Error, field, message);
    }

    pub(crate) fn warning(&mut self, field: &str, message: impl Into<String>) {
        self.report(Severity::Warning, field, message);
    }

    pub(crate) fn note(&mut self, field: &str, message: impl Into<String>) {
        self.report(Severity::Note, field, message);
    }

    /// The same, about something that the field does not say.
    pub(crate) fn report_about(
        &mut self,
        topic: Topic,
        severity: Severity,
        field: &str,
        message: impl Into<String>,
    ) {
        if !self.is_unreadable(field) {
            let problem = Problem::of(self.object.clone(), None, severity, field, message);
            self.problems.push(problem.about(topic));
        }
    }

    /// An unreadable field has been reported with a better reason than what its absence causes.
    pub(crate) fn report(&mut self, severity: Severity, field: &str, message: impl Into<String>) {
        self.report_about(Topic::Field, severity, field, message);
    }
}
