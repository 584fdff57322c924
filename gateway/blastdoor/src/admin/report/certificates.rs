//! `/api/v1/certificates`

use serde::Serialize;

use super::listing::{Listing, door, refused};
use crate::admin::answer::Answer;
use crate::admin::query::Query;
use crate::shown::ShownWorld;

/// How many names of a certificate are listed.
const MOST_NAMES: usize = 20;

#[derive(Serialize)]
struct Page {
    certificates: Vec<Row>,
    /// How many match the query, and how many there are.
    total: usize,
    all: usize,
}

#[derive(Serialize)]
struct Row {
    listener: String,
    /// `namespace/name`, or `default` for the door's own.
    secret: String,
    /// Seconds from 1970.
    expires: u64,
    /// Names that get it, and how many others do.
    hosts: Vec<String>,
    more: usize,
}

/// The certificates that doors present, the first to expire first.
///
/// # Errors
/// The answer to a query that cannot be understood.
pub(in crate::admin) fn page(world: &ShownWorld, query: &Query) -> Result<Answer, Answer> {
    query
        .only(&["door", "q", "offset", "limit"])
        .map_err(|error| refused(&error))?;
    Ok(Answer::json(&of(world, query)?))
}

fn of(world: &ShownWorld, query: &Query) -> Result<Page, Answer> {
    let (listing, door) = (Listing::of(query)?, door(query)?);
    let (mut rows, mut all) = (Vec::new(), 0);
    for shown in &world.doors {
        let listener = shown.name().as_str();
        let certificates = shown.snapshot.tls().map(|tls| tls.names_of_certificates());
        for (certificate, names) in certificates.unwrap_or_default() {
            all += 1;
            let text = || {
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                format!("{listener} {} {}", certificate.secret, names.join(" "))
            };
            if door.is_some_and(|door| door != listener) || !listing.has(text) {
                continue;
            }
            rows.push(Row {
                listener: listener.to_owned(),
                secret: certificate.secret,
                expires: certificate.expires,
                hosts: names.iter().take(MOST_NAMES).map(ToString::to_string).collect(),
                more: names.len().saturating_sub(MOST_NAMES),
            });
        }
    }
    rows.sort_by(|left, right| {
        let key = |row: &Row| (row.expires, row.listener.clone(), row.secret.clone());
        key(left).cmp(&key(right))
    });
    let (certificates, total) = listing.part(rows);
    Ok(Page {
        certificates,
        total,
        all,
    })
}
