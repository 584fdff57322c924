//! `/api/v1/failures`

use std::time::{Duration, Instant, SystemTime};

use proxy::Failure;
use serde::Serialize;

use super::listing::{Listing, door, refused};
use crate::admin::answer::Answer;
use crate::admin::board::Board;
use crate::admin::query::Query;

#[derive(Serialize)]
struct Page {
    /// Now; in seconds from 1970.
    time: f64,
    failures: Vec<Row>,
    /// How many match the query, and how many there are.
    total: usize,
    all: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    listener: String,
    /// When it was last so; in seconds from 1970.
    last: f64,
    status: u16,
    refusal: &'static str,
    detail: String,
    host: String,
    ingress: Option<String>,
    service: Option<String>,
    endpoint: Option<String>,
    pod: Option<String>,
}

/// What failed lately at the doors, the last first.
///
/// # Errors
/// The answer to a query that cannot be understood.
#[expect(clippy::disallowed_methods, reason = "the page says the time of day")]
pub(in crate::admin) fn page(board: &Board, query: &Query) -> Result<Answer, Answer> {
    query
        .only(&["door", "q", "offset", "limit"])
        .map_err(|error| refused(&error))?;
    let statuses = board.statuses();
    let failures = statuses.iter().flat_map(|status| {
        let name = status.name().to_string();
        let failures = status.failures().into_iter();
        failures.map(move |failure| (name.clone(), failure))
    });
    let page = of(failures.collect(), query, (Instant::now(), SystemTime::now()))?;
    Ok(Answer::json(&page))
}

fn of(
    mut failures: Vec<(String, Failure)>,
    query: &Query,
    (now, today): (Instant, SystemTime),
) -> Result<Page, Answer> {
    let listing = Listing::of(query)?;
    let door = door(query)?;
    let all = failures.len();
    failures.retain(|(name, failure)| {
        door.is_none_or(|door| name == door) && listing.has(|| text(name, failure))
    });
    failures.sort_by_key(|(_, failure)| std::cmp::Reverse(failure.last));
    let (part, total) = listing.part(failures);
    let since = today.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let rows = part.into_iter().map(|(listener, failure)| {
        let ago = now.saturating_duration_since(failure.last);
        row(listener, failure, since.saturating_sub(ago))
    });
    Ok(Page {
        time: since.as_secs_f64(),
        failures: rows.collect(),
        total,
        all,
    })
}

/// What is searched.
fn text(listener: &str, failure: &Failure) -> String {
    let parts = [&failure.ingress, &failure.service, &failure.pod];
    let parts = parts.into_iter().flatten().map(|part| &**part);
    let parts: Vec<&str> = parts.collect();
    format!(
        "{listener} {} {} {} {} {}",
        failure.status,
        failure.reason,
        failure.host,
        failure.detail,
        parts.join(" ")
    )
}

fn row(listener: String, failure: Failure, last: Duration) -> Row {
    Row {
        listener,
        last: last.as_secs_f64(),
        status: failure.status,
        refusal: failure.reason,
        detail: failure.detail.into(),
        host: failure.host.into(),
        ingress: failure.ingress.map(Into::into),
        service: failure.service.map(Into::into),
        endpoint: failure.endpoint.map(|endpoint| endpoint.to_string()),
        pod: failure.pod.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_comes_first_and_all_are_counted() {
        let start = Instant::now();
        let failure = |host: &str, seconds, ingress: Option<&str>| Failure {
            last: start + Duration::from_secs(seconds),
            status: 404,
            reason: "no_route",
            detail: "nobody has it".into(),
            host: host.into(),
            ingress: ingress.map(Into::into),
            service: None,
            endpoint: None,
            pod: None,
        };
        let asked = |query: &str| {
            let failures = vec![
                ("a".to_owned(), failure("one.test", 1, None)),
                ("a".to_owned(), failure("three.test", 3, Some("shop/web"))),
                ("b".to_owned(), failure("two.test", 2, None)),
            ];
            let now = start + Duration::from_secs(10);
            let today = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
            let query = Query::parse(query.as_bytes()).unwrap();
            let page = of(failures, &query, (now, today)).unwrap();
            assert_eq!((page.time, page.all), (1_000.0, 3));
            let hosts = page
                .failures
                .iter()
                .map(|row| format!("{} {}", row.host, row.last));
            (hosts.collect::<Vec<_>>().join(", "), page.total)
        };
        let all = "three.test 993, two.test 992, one.test 991";
        assert_eq!(asked(""), (all.to_owned(), 3));
        assert_eq!(asked("q=SHOP/web+nobody"), ("three.test 993".to_owned(), 1));
        assert_eq!(asked("door=b"), ("two.test 992".to_owned(), 1));
        assert_eq!(asked("limit=1&offset=1"), ("two.test 992".to_owned(), 3));
        assert_eq!(asked("door=c"), (String::new(), 0));
    }
}
