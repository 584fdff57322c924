//! Every annotation under the three prefixes that the gateway knows, and what it does with it.

use AnnotationKind::{Closes, Default, Honoured, Ignored, Snippet, Usual};

use super::table::{INGRESS, SERVICE};
use crate::spelling::nearest;

/// The gateway's own prefix.
const OWN: &str = "blastdoor.dev/";
/// ingress-nginx's prefix.
const NGINX: &str = "nginx.ingress.kubernetes.io/";
/// Traefik's prefix.
const TRAEFIK: &str = "traefik.ingress.kubernetes.io/";

/// What the gateway does with an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationKind {
    /// It does what it says.
    Honoured,
    /// These values describe what the gateway does anyway; any other closes the Ingress.
    Default(&'static [&'static str]),
    /// These values describe what the gateway does anyway; any other is ignored with a warning.
    Usual(&'static [&'static str]),
    /// It asks for protection, or for another request than the client's, that this version cannot give: the
    /// Ingress answers 503.
    Closes,
    /// Raw configuration of another product: the Ingress answers 503 unless told to ignore it.
    Snippet,
    /// It changes nothing that a client could rely on; a warning tells.
    Ignored,
}

/// One known annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnotationRow {
    /// The whole key; one that ends in `*` stands for all keys that begin so.
    pub key: &'static str,
    /// What becomes of it.
    pub kind: AnnotationKind,
    /// What to know; may be empty.
    pub note: &'static str,
}

/// Every annotation of Ingresses that is known, for the reference.
#[must_use]
pub fn annotation_table() -> &'static [AnnotationRow] {
    INGRESS
}

/// Every annotation of Services that is known, for the reference.
#[must_use]
pub fn service_annotation_table() -> &'static [AnnotationRow] {
    SERVICE
}

impl AnnotationRow {
    /// The row of a key: the precise one, else the longest that ends in `*`.
    pub(crate) fn of(key: &str, table: &'static [Self]) -> Option<&'static Self> {
        let matching = |row: &&Self| match row.key.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => row.key == key,
        };
        table
            .iter()
            .filter(matching)
            .max_by_key(|row| (!row.key.ends_with('*'), row.key.len()))
    }

    /// Whether some value of it closes routes.
    pub(crate) fn protects(&self) -> bool {
        match self.kind {
            Default(_) | Closes | Snippet => true,
            // How backends are verified, and what is shown to them.
            Honoured => ["backend-tls-", "proxy-ssl-", "ssl-passthrough"]
                .iter()
                .any(|part| self.key.contains(part)),
            Usual(_) | Ignored => false,
        }
    }

    /// The row that a misspelt key may have meant.
    pub(crate) fn nearest(key: &str, table: &'static [Self]) -> Option<&'static Self> {
        let (prefix, name) = split(key)?;
        let names = table
            .iter()
            .filter_map(|row| row.key.strip_prefix(prefix))
            .filter(|name| !name.ends_with('*'));
        let meant = nearest(name, names)?;
        table
            .iter()
            .find(|row| row.key.strip_prefix(prefix) == Some(meant))
    }
}

/// The prefix of a key, if it is one of the three, and the rest.
pub(crate) fn split(key: &str) -> Option<(&'static str, &str)> {
    [OWN, NGINX, TRAEFIK]
        .into_iter()
        .find_map(|prefix| Some((prefix, key.strip_prefix(prefix)?)))
}
