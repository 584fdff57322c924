//! Filters as objects write them: values are checked, and other objects are named.
//!
//! Annotations in three spellings and Middlewares all become these. `door` merges them, resolves the objects that they
//! name, and puts them into their order (`door::filters`).

use filter::cors::Cors;
use filter::fields::FieldEdits;
use filter::headers::Headers;
use route::ObjectKey;

use crate::problem::Kind;

/// A filter, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFilter {
    /// What it says.
    pub spec: FilterSpec,
    /// Whose spelling it is written in. It decides which of two filters of one kind counts.
    pub dialect: Dialect,
    /// The field of its Ingress, for problems: the key of its main annotation, as `metadata.annotations[KEY]`, or that of
    /// the list of middlewares.
    pub field: Box<str>,
}

/// The spelling of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// `blastdoor.dev/…`
    Own,
    /// `nginx.ingress.kubernetes.io/…`
    Nginx,
    /// A Middleware of Traefik.
    Traefik,
}

/// What a filter does, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterSpec {
    /// Requests over plain HTTP are redirected to https (308).
    HttpsRedirect,
    /// `headers` of Traefik.
    Headers(Box<Headers>),
    /// Who may read responses.
    Cors(Box<Cors>),
    /// Fields of the request.
    RequestFields(FieldEdits),
    /// Fields of the response.
    ResponseFields(FieldEdits),
    /// Fields of the response, each an entry of this ConfigMap.
    ResponseFieldsOf(ObjectKey),
    /// The response's fields that protect users of every site: [`SecurityFields::WISE`] and [`Hsts::YEAR`].
    ///
    /// [`SecurityFields::WISE`]: filter::security::SecurityFields::WISE
    /// [`Hsts::YEAR`]: filter::security::Hsts::YEAR
    SecurityFields,
}

impl FilterSpec {
    /// The Secret or ConfigMap that it names, which must be fetched before it can be compiled.
    #[must_use]
    pub fn object(&self) -> Option<(Kind, &ObjectKey)> {
        match self {
            Self::ResponseFieldsOf(key) => Some((Kind::ConfigMap, key)),
            Self::HttpsRedirect
            | Self::Headers(_)
            | Self::Cors(_)
            | Self::RequestFields(_)
            | Self::ResponseFields(_)
            | Self::SecurityFields => None,
        }
    }
}
