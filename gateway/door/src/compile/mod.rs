//! From admitted Ingresses to a door's table.

mod compiler;
mod derived;
mod passthrough;
mod places;
mod route;

pub use route::{Action, Route};

pub(crate) use compiler::{Compiler, Reports};
pub(crate) use passthrough::Passthrough;
