//! From admitted Ingresses to a door's table.

mod compiler;
mod draft;

pub(crate) use compiler::{Compiler, Told, bounded};
