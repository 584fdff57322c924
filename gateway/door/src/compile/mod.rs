//! From admitted Ingresses to a door's table.

mod canaries;
mod compiler;
mod derived;
mod passthrough;
mod places;
mod reports;
mod route;

pub use route::{Action, Canary, Route};

pub(crate) use canaries::is_canary;
pub(crate) use compiler::Compiler;
pub(crate) use passthrough::Passthrough;
pub(crate) use reports::Reports;
