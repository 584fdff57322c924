//! Reading the API server: lists and watches, and the view that is made from them.
//!
//! A [`Follower`] runs one reflector for each target. Their updates go into the [`Store`], and from there the whole view
//! goes to the listener.

mod availability;
mod follower;
mod held;
mod kinds;
mod named;
mod observed;
mod openings;
mod page;
mod pending;
mod permissions;
mod received;
mod reflector;
mod reflectors;
mod store;
mod target;
#[cfg(test)]
mod tests;
mod update;

pub(crate) use follower::Follower;
#[cfg(test)]
pub(crate) use observed::Observed;
pub(crate) use received::ReceivedObject;
pub(crate) use store::Store;
#[cfg(test)]
pub(crate) use target::{Scope, WatchTarget};
#[cfg(test)]
pub(crate) use update::{TargetEvent, Update};
