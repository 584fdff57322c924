//! What is reported about an object while it is compiled.

use resource::{Ingress, Kind, ObjectRef, Problem, Severity, Source, Topic};
use route::ObjectKey;

/// How many problems are reported about one object at one door.
const MOST_REPORTED: usize = 100;

/// The problems that compiling one object for one door finds.
pub(crate) struct ObjectReport<'v> {
    kind: Kind,
    key: &'v ObjectKey,
    source: Option<&'v Source>,
    /// They may be about objects to which this one refers.
    pub(crate) problems: Vec<Problem>,
}

impl<'v> ObjectReport<'v> {
    pub(crate) fn of_ingress(ingress: &'v Ingress) -> Self {
        Self {
            kind: Kind::Ingress,
            key: &ingress.key,
            source: ingress.source.as_deref(),
            problems: Vec::new(),
        }
    }

    /// Reports a problem of the object itself.
    pub(crate) fn add(&mut self, severity: Severity, field: &str, message: impl Into<String>) {
        let problem = self.problem(severity, field, message);
        self.problems.push(problem);
    }

    /// The same, about something that the field does not say.
    pub(crate) fn add_about(
        &mut self,
        topic: Topic,
        severity: Severity,
        field: &str,
        message: impl Into<String>,
    ) {
        let problem = self.problem(severity, field, message).about(topic);
        self.problems.push(problem);
    }

    /// The last error of those that have been reported after the first `before`, with its field.
    pub(crate) fn last_error(&self, before: usize) -> Option<String> {
        let since = self.problems.get(before..).unwrap_or_default();
        let error = since
            .iter()
            .rfind(|problem| problem.severity == Severity::Error)?;
        Some(match &*error.field {
            "" => error.message.to_string(),
            field => format!("{field}: {}", error.message),
        })
    }

    /// What has been reported, within bounds.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        let problems = std::mem::take(&mut self.problems);
        bounded(problems, |severity, message| self.problem(severity, "", message))
    }

    /// The object that is compiled.
    pub(crate) fn object(&self) -> ObjectRef {
        ObjectRef::namespaced(self.kind, self.key)
    }

    fn problem(&self, severity: Severity, field: &str, message: impl Into<String>) -> Problem {
        Problem::of(self.object(), self.source, severity, field, message)
    }
}

/// No more than a person can read, in order; an Ingress may have thousands of paths or hosts with something wrong in each.
/// `more` makes the problem that stands for the others.
pub(crate) fn bounded(
    mut problems: Vec<Problem>,
    more: impl FnOnce(Severity, String) -> Problem,
) -> Vec<Problem> {
    problems.sort_unstable();
    problems.dedup();
    let left_out = problems.len().saturating_sub(MOST_REPORTED);
    // The worst come first.
    if let Some(severity) = problems.get(MOST_REPORTED).map(|first| first.severity) {
        problems.truncate(MOST_REPORTED);
        let message = format!("{left_out} more problems of this Ingress are not listed");
        problems.push(more(severity, message));
    }
    problems
}
