//! What a Middleware asks for.

use route::ObjectKey;

use crate::filter_spec::FilterSpec;

/// What a Middleware asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MiddlewareKind {
    /// What its kind does, in this order: most are one filter, and one that asks for nothing (`rateLimit` with `average: 0`)
    /// is none.
    Filters(Vec<FilterSpec>),
    /// `chain`: these Middlewares, in this order, in its place. All of them are of its own namespace.
    Chain(Box<[ObjectKey]>),
}

/// Why a Middleware cannot be used: Ingresses that name it answer 503.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidMiddleware {
    /// The field that is wrong, as in `spec.rateLimit.average`.
    pub field: Box<str>,
    /// What is wrong with it, and what to write.
    pub reason: Box<str>,
}
