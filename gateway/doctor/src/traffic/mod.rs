//! How traffic reaches doors: nodes, endpoints of Services, and what stands in front of them.

mod endpoint;
mod front;
mod node;
mod path;
mod policy;

pub(crate) use endpoint::{Endpoint, endpoints};
pub(crate) use front::{Front, Registers, Via, fronts};
pub(crate) use node::{EXCLUDE_LABEL, NodeView};
pub(crate) use path::{Path, Target, paths};
pub(crate) use policy::{health_check_node_port, is_local, service_type};
