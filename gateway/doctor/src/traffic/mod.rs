//! How traffic reaches doors: nodes, endpoints of Services, and what stands in front of them.

mod endpoint;
mod front;
mod node;
mod path;

pub(crate) use endpoint::{Endpoint, endpoints};
pub(crate) use front::{Front, Via};
pub(crate) use node::{EXCLUDE_LABEL, NodeView};
pub(crate) use path::{Path, paths};
