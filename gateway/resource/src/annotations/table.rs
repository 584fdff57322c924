//! Every annotation under the three prefixes that the gateway knows.

use super::keys::split;
use super::parsed::{Annotations, ServiceAnnotations};
use super::row::{Row, Subject};
use super::{
    access_lists, authentication, backend_protocol, backend_tls, balancing, basic_auth, bodies, canaries,
    client_tls, cors, doors, error_pages, firewall, forward_auth, header_fields, hosts, middlewares, mirrors,
    misplaced, observability, paths, rate_limits, redirects, retries, sessions, snippets, timeouts,
};
use crate::spelling::nearest;

/// In the order of the reference.
pub(super) const SUBJECTS: &[Subject] = &[
    doors::SUBJECT,
    hosts::SUBJECT,
    paths::SUBJECT,
    redirects::SUBJECT,
    client_tls::SUBJECT,
    backend_protocol::SUBJECT,
    backend_tls::SUBJECT,
    timeouts::SUBJECT,
    bodies::SUBJECT,
    balancing::SUBJECT,
    retries::SUBJECT,
    sessions::SUBJECT,
    canaries::SUBJECT,
    mirrors::SUBJECT,
    access_lists::SUBJECT,
    forward_auth::SUBJECT,
    authentication::SUBJECT,
    basic_auth::SUBJECT,
    rate_limits::SUBJECT,
    cors::SUBJECT,
    header_fields::SUBJECT,
    error_pages::SUBJECT,
    middlewares::SUBJECT,
    firewall::SUBJECT,
    snippets::SUBJECT,
    observability::SUBJECT,
    misplaced::SUBJECT,
];

/// Every annotation of Ingresses.
pub(super) fn ingress_rows() -> impl Iterator<Item = &'static Row<Annotations>> {
    SUBJECTS.iter().flat_map(|subject| subject.ingress)
}

/// Every annotation of Services.
pub(super) fn service_rows() -> impl Iterator<Item = &'static Row<ServiceAnnotations>> {
    SUBJECTS.iter().flat_map(|subject| subject.service)
}

/// The row of a key: the precise one, else the longest that ends in `*`.
pub(super) fn row_of<T>(key: &str, rows: impl Iterator<Item = &'static Row<T>>) -> Option<&'static Row<T>> {
    rows.filter(|row| match row.key.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => row.key == key,
    })
    .max_by_key(|row| (!row.key.ends_with('*'), row.key.len()))
}

/// The row that a misspelt key may have meant.
pub(super) fn nearest_row<T>(
    key: &str,
    rows: impl Iterator<Item = &'static Row<T>>,
) -> Option<&'static Row<T>> {
    let (prefix, name) = split(key)?;
    let candidates: Vec<(&str, &Row<T>)> = rows
        .filter_map(|row| Some((row.key.strip_prefix(prefix)?, row)))
        .filter(|(name, _)| !name.ends_with('*'))
        .collect();
    let meant = nearest(name, candidates.iter().map(|(name, _)| *name))?;
    let (_, row) = candidates.iter().find(|(name, _)| *name == meant)?;
    Some(row)
}
