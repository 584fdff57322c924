//! From admitted Ingresses to a door's table.

mod compiler;
mod draft;
mod passthrough;
mod route;

pub use route::{Action, Route};

pub(crate) use compiler::{Compiler, Reports, bounded};
pub(crate) use passthrough::Passthrough;
