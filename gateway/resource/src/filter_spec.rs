//! Filters as objects write them: values are checked, and other objects are named.
//!
//! Annotations in three spellings and Middlewares all become these. `door` merges them, resolves the objects that they
//! name, and puts them into their order (`door::filters`).

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
}
