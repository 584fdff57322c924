//! Annotations of Ingresses and Services, parsed.
//!
//! One module per subject, in all its spellings: `blastdoor.dev`, ingress-nginx and Traefik. A module is a list of
//! rows, and a row says everything of its annotation: key, effect, value, default, parser, note. Reading ([`read`])
//! and the reference ([`reference`](mod@reference)) know rows alone, so a new annotation is a row in the module of its
//! subject, and a new subject is a module and its line in [`table`].

// What rows are made of, and who reads them.
mod differences;
mod examples;
mod parsed;
mod rate_limit_parts;
mod read;
mod reference;
mod row;
mod table;
mod value;

// The subjects.
mod access_lists;
mod auth_drafts;
mod authentication;
mod backend_protocol;
mod backend_tls;
mod balancing;
mod basic_auth;
mod bodies;
mod canaries;
mod client_tls;
mod cors;
mod doors;
mod drafts;
mod error_pages;
mod firewall;
mod forward_auth;
mod header_fields;
mod hosts;
mod keys;
mod middlewares;
mod mirrors;
mod misplaced;
mod observability;
mod paths;
mod rate_limits;
mod redirects;
mod retries;
mod sessions;
mod snippets;
mod timeouts;

#[cfg(test)]
mod tests;

pub use differences::{annotation_differences, knows_annotation, reads_annotation};
pub(crate) use forward_auth::{connection, header_names};
pub(crate) use parsed::ServiceAnnotations;
pub use parsed::{Annotations, ClosedBy, IngressTuning, PathMatcher, PathReading};
pub(crate) use read::{ingress_annotations, service_annotations};
pub use reference::annotation_reference;
