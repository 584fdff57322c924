//! Middlewares of Traefik (`traefik.io/v1alpha1`).
//!
//! Each subject has a module: the rows of its kinds, whose fields carry form, default, meaning and the difference from
//! Traefik; the raw types as the API has them; and their conversion into what filters are made of. What is written is
//! first fitted to the rows ([`check`]), so that a field that is unknown or of another form is found with its place, then
//! converted. Reading and the reference know rows alone. A Middleware that cannot be used says why
//! ([`InvalidMiddleware`]), and closes the Ingresses that name it.

// What rows are made of, and who reads them.
mod check;
mod differences;
mod duration;
mod kind;
mod object;
mod reading;
mod reference;
mod row;
mod table;

// The subjects.
mod auth;
mod chain;
mod errors;
mod headers;
mod later;
mod limits;
mod paths;
mod redirects;

#[cfg(test)]
mod tests;

pub use differences::{differing_fields, middleware_differences};
pub use kind::{InvalidMiddleware, MiddlewareKind};
pub use object::{Middleware, RawMiddleware};
pub use reference::middleware_reference;
