//! What annotations do differently here than where they come from, for who moves Ingresses to this gateway.

use super::keys::{OWN, split};
use super::table::{ingress_rows, row_of, service_rows};

/// Every annotation of another gateway that does not do quite the same here: its key, and what is different. A key that
/// ends in `*` stands for every key that begins so.
pub fn annotation_differences() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_ingresses = ingress_rows().map(|row| (row.key, row.difference));
    let of_services = service_rows().map(|row| (row.key, row.difference));
    of_ingresses
        .chain(of_services)
        .filter(|(key, difference)| !difference.is_empty() && !key.starts_with(OWN))
}

/// Whether an annotation of an Ingress is one that the gateway knows, whatever it does with it.
#[must_use]
pub fn knows_annotation(key: &str) -> bool {
    row_of(key, ingress_rows()).is_some()
}

/// Whether the gateway has a say in an annotation: whether its key has a prefix that is read here.
#[must_use]
pub fn reads_annotation(key: &str) -> bool {
    split(key).is_some()
}
