//! From admitted Ingresses to a door's table.

mod canaries;
mod compiler;
mod derived;
mod passthrough;
mod places;
mod route;

pub use route::{Action, Canary, Route};

pub(crate) use canaries::is_canary;
pub(crate) use compiler::{Compiler, Reports};
pub(crate) use passthrough::Passthrough;
