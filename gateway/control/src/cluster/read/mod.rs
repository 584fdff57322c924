//! What the API server says: lists and watches, and the view that comes of them.
//!
//! A [`Follower`] opens one reflector for each target. Their updates go into the [`Store`], and from there as a whole to
//! whoever listens.

mod availability;
mod follower;
mod kinds;
mod named;
mod observed;
mod pending;
mod raw;
mod reflector;
mod reflectors;
mod rights;
mod store;
mod target;
#[cfg(test)]
mod tests;
mod update;

pub(crate) use follower::Follower;
pub(crate) use observed::Observed;
pub(crate) use raw::RawObject;
pub(crate) use store::Store;
