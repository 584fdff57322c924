//! Reading the annotations of an object, row by row.

use std::collections::{BTreeMap, BTreeSet};

use route::ObjectKey;

use super::keys::{OWN, PREFIXES, is_ours, split};
use super::parsed::{Annotations, ClosedBy, ServiceAnnotations};
use super::row::{Effect, Row, Stake};
use super::table::{SUBJECTS, ingress_rows, nearest_row, row_of, service_rows};
use super::value::Written;
use super::{sessions, snippets};
use crate::problem::{Severity, Topic};
use crate::reporter::Reporter;

/// What happens to an annotation.
enum Outcome {
    /// It counts, or it says what happens anyway.
    Fine,
    /// It changes nothing.
    Ignored(Severity, String),
    /// The routes of the object answer 503.
    Closes(String),
}

/// Reads the annotations of an Ingress.
pub(crate) fn ingress_annotations(
    raw: &BTreeMap<String, String>,
    namespace: &str,
    report: &mut Reporter<'_>,
) -> Annotations {
    let ignore_snippets = snippets::are_ignored(raw);
    let (mut parsed, mut closes) = read_rows(
        raw,
        namespace,
        ingress_rows,
        ignore_snippets,
        unknown_on_ingress,
        report,
    );
    closes.extend(unreadable(report));
    parsed.closes = closes;
    for review in SUBJECTS.iter().filter_map(|subject| subject.review) {
        review(&mut parsed, raw, report);
    }
    parsed
}

/// Reads the annotations of a Service.
pub(crate) fn service_annotations(
    raw: &BTreeMap<String, String>,
    key: &ObjectKey,
    report: &mut Reporter<'_>,
) -> ServiceAnnotations {
    let (mut parsed, closes) = read_rows(
        raw,
        key.namespace(),
        service_rows,
        false,
        unknown_on_service,
        report,
    );
    parsed.closes = closes;
    sessions::of_service(&mut parsed, key);
    parsed
}

/// Reads one annotation after another, in the order of their keys. The second value holds those that close the routes
/// of the object.
fn read_rows<T: Default + 'static, R: Iterator<Item = &'static Row<T>>>(
    raw: &BTreeMap<String, String>,
    namespace: &str,
    rows: fn() -> R,
    ignore_snippets: bool,
    unknown: fn(&str) -> Outcome,
    report: &mut Reporter<'_>,
) -> (T, Vec<ClosedBy>) {
    let mut parsed = T::default();
    let mut closes = Vec::new();
    for (key, value) in raw.iter().filter(|(key, _)| is_ours(key)) {
        let mut written = Written::new(key, value, namespace, report);
        let outcome = match row_of(key, rows()) {
            Some(row) => row.apply(&mut parsed, &mut written, ignore_snippets),
            None => unknown(key),
        };
        closes.extend(outcome.report(written));
    }
    (parsed, closes)
}

impl<T> Row<T> {
    fn apply(&self, into: &mut T, written: &mut Written<'_, '_>, ignore_snippets: bool) -> Outcome {
        match self.effect {
            Effect::Honoured(setting) => match setting.read(into, written) {
                Ok(()) if self.difference.is_empty() => Outcome::Fine,
                Ok(()) => {
                    let message = format!("not quite as where it comes from: {}", self.difference);
                    written.report_about(Topic::FilterDiffers, Severity::Note, message);
                    Outcome::Fine
                }
                Err(reason) if setting.stake() == Stake::Convenience => {
                    Outcome::Ignored(Severity::Error, format!("{reason}; it is ignored"))
                }
                Err(reason) => Outcome::Closes(reason),
            },
            Effect::Closes { except } | Effect::Ignored { except } if says_one_of(except, written.value) => {
                Outcome::Fine
            }
            Effect::Closes { except: [] } => Outcome::Closes(self.note.to_owned()),
            Effect::Closes { except } => Outcome::Closes(format!(
                "{} (without effect and allowed: {})",
                self.note,
                listed(except)
            )),
            Effect::Snippet if ignore_snippets => Outcome::Ignored(
                Severity::Note,
                format!("the snippet is ignored, because of `{}`", snippets::IGNORE),
            ),
            Effect::Snippet => Outcome::Closes(format!(
                "{}, which this gateway does not run; remove it, or set `{}: \"true\"`",
                self.note,
                snippets::IGNORE
            )),
            Effect::Ignored { .. } => Outcome::Ignored(Severity::Warning, format!("ignored: {}", self.note)),
        }
    }
}

/// What happens to an annotation of an Ingress without a row.
fn unknown_on_ingress(key: &str) -> Outcome {
    let (prefix, name) = split(key).unwrap_or_default();
    let nearest = nearest_row(key, ingress_rows());
    if prefix != OWN {
        return match protects_as(name) {
            Some(own) if nearest.is_none() => {
                Outcome::Closes(format!("unknown annotation; did you mean `{}`?", own.key))
            }
            _ => unknown(nearest),
        };
    }
    // Nobody knows what it was meant to be: it may have been a protection, perhaps of a later version.
    if let Some(meant) = nearest {
        return Outcome::Closes(misspelt(meant));
    }
    let elsewhere = PREFIXES.into_iter().find_map(|prefix| {
        row_of(
            &format!("{prefix}{name}"),
            ingress_rows().filter(|row| !row.key.ends_with('*')),
        )
    });
    Outcome::Closes(match elsewhere {
        Some(meant) => format!("unknown annotation; did you mean `{}`?", meant.key),
        None => {
            "unknown annotation, which may ask for protection; remove it, or see the reference of annotations"
                .to_owned()
        }
    })
}

/// What happens to an annotation of a Service without a row.
fn unknown_on_service(key: &str) -> Outcome {
    match row_of(key, ingress_rows()) {
        // Whoever wrote it believes that the Service is protected.
        Some(row) if row.protects() => {
            Outcome::Closes("it belongs on the Ingress, and protects nothing here".to_owned())
        }
        Some(_) => Outcome::Ignored(
            Severity::Error,
            "it belongs on the Ingress; it is ignored".to_owned(),
        ),
        None => unknown(nearest_row(key, service_rows())),
    }
}

/// The annotation of ours that protects and has this name, or one that it begins with (`deny-list`).
fn protects_as(name: &str) -> Option<&'static Row<Annotations>> {
    let begins = |own: &str| name.strip_prefix(own).is_some_and(|rest| rest.starts_with('-'));
    let mut own = ingress_rows().filter(|row| row.protects());
    row_of(
        &format!("{OWN}{name}"),
        ingress_rows().filter(|row| row.protects()),
    )
    .or_else(|| own.find(|row| row.key.strip_prefix(OWN).is_some_and(begins)))
}

fn misspelt<T>(meant: &Row<T>) -> String {
    format!(
        "unknown annotation, which may be a misspelling of `{}`",
        meant.key
    )
}

/// What happens to an annotation without a row. `nearest` is the row whose key it may be a misspelling of.
fn unknown<T>(nearest: Option<&Row<T>>) -> Outcome {
    match nearest {
        // A misspelt protection must not be a missing one.
        Some(meant) if meant.protects() => Outcome::Closes(misspelt(meant)),
        Some(meant) => Outcome::Ignored(
            Severity::Warning,
            format!(
                "unknown annotation, which is ignored; did you mean `{}`?",
                meant.key
            ),
        ),
        None => Outcome::Ignored(Severity::Warning, "unknown annotation; it is ignored".to_owned()),
    }
}

impl Outcome {
    /// Reports it, and says whether it closes the routes of the object.
    fn report(self, mut written: Written<'_, '_>) -> Option<ClosedBy> {
        match self {
            Self::Fine => None,
            Self::Ignored(severity, message) => {
                written.report(severity, message);
                None
            }
            Self::Closes(reason) => {
                let topic = Topic::of_refusal(&reason, Topic::Field);
                written.report_about(topic, Severity::Error, format!("{reason}; closed (503)"));
                Some(ClosedBy {
                    annotation: written.key.into(),
                    reason: reason.into(),
                })
            }
        }
    }
}

/// Annotations that were written and could not be read may have parsed for protection.
fn unreadable(report: &Reporter<'_>) -> Vec<ClosedBy> {
    let whole = ["metadata", "metadata.annotations"]
        .into_iter()
        .filter(|field| report.is_unreadable(field));
    let single = report
        .unreadable()
        .keys_of("metadata.annotations")
        .filter(|key| is_ours(key));
    let closed = whole.chain(single).map(|annotation| ClosedBy {
        annotation: annotation.into(),
        reason: "it cannot be read, and it may ask for protection".into(),
    });
    closed.collect()
}

/// Whether a value is one of `values`: the same words, whatever their order.
fn says_one_of(values: &[&str], value: &str) -> bool {
    let written = words(value);
    values.iter().any(|candidate| words(candidate) == written)
}

fn words(value: &str) -> BTreeSet<String> {
    value
        .split(',')
        .map(|word| word.trim().to_ascii_lowercase())
        .collect()
}

/// Values in backquotes, with commas between them.
pub(super) fn listed(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
    quoted.join(", ")
}
