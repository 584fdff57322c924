//! `/api/v1/problems`

use std::sync::Arc;

use resource::{Problem, Severity};
use serde::Serialize;

use super::listing::{Listing, refused, word};
use crate::admin::answer::Answer;
use crate::admin::board::Board;
use crate::admin::query::Query;

#[derive(Serialize)]
struct Page {
    problems: Vec<Arc<Problem>>,
    /// How many match the query.
    total: usize,
    errors: usize,
    warnings: usize,
    notes: usize,
}

/// What is wrong now, the worst first.
///
/// # Errors
/// The answer to a query that cannot be understood.
pub(in crate::admin) fn page(board: &Board, query: &Query) -> Result<Answer, Answer> {
    query
        .only(&["severity", "q", "offset", "limit"])
        .map_err(|error| refused(&error))?;
    // Problems of the configuration are there before there is a table.
    let problems = board.world().map(|world| world.problems.clone());
    let problems = problems.unwrap_or_default();
    Ok(Answer::json(&of(problems.iter(), query)?))
}

fn of<'p>(problems: impl Iterator<Item = &'p Arc<Problem>>, query: &Query) -> Result<Page, Answer> {
    let listing = Listing::of(query)?;
    // Those that are at least so severe: they are ordered from the worst.
    let mildest = match word(query, "severity", &["error", "warning", "note"])? {
        Some("error") => Severity::Error,
        Some("warning") => Severity::Warning,
        Some(_) | None => Severity::Note,
    };
    let (mut errors, mut warnings, mut notes) = (0, 0, 0);
    let mut found: Vec<Arc<Problem>> = problems
        .inspect(|problem| match problem.severity {
            Severity::Error => errors += 1,
            Severity::Warning => warnings += 1,
            Severity::Note => notes += 1,
        })
        .filter(|problem| problem.severity <= mildest && listing.has(|| problem.to_string()))
        .cloned()
        .collect();
    found.sort_by_key(|problem| problem.severity);
    let (problems, total) = listing.part(found);
    Ok(Page {
        problems,
        total,
        errors,
        warnings,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_come_first_and_all_are_counted() {
        let all = [
            (Severity::Note, "one"),
            (Severity::Error, "two"),
            (Severity::Warning, "three"),
            (Severity::Error, "four"),
        ];
        let all =
            all.map(|(severity, name)| Arc::new(Problem::of_file(severity, name, "is wrong".to_owned())));
        let asked = |query: &str| {
            let page = of(all.iter(), &Query::parse(query.as_bytes()).unwrap()).unwrap();
            assert_eq!((page.errors, page.warnings, page.notes), (2, 1, 1));
            let names = page
                .problems
                .iter()
                .map(|problem| problem.object.name.to_string());
            (names.collect::<Vec<_>>().join(" "), page.total)
        };
        assert_eq!(asked(""), ("two four three one".to_owned(), 4));
        assert_eq!(asked("severity=warning&limit=2"), ("two four".to_owned(), 3));
        assert_eq!(asked("severity=warning&offset=2"), ("three".to_owned(), 3));
        assert_eq!(asked("q=THREE+wrong"), ("three".to_owned(), 1));
        assert!(of(all.iter(), &Query::parse(b"severity=bad").unwrap()).is_err());
    }
}
