//! The next real request that matches, and what happened to it: the same for people, for programs, and for the dashboard.
//!
//! [`proxy::Live`] waits and gathers; here is what is said of it.

mod for_people;
mod told;
mod wait;

pub(crate) use self::for_people::ForPeople;
pub(crate) use self::told::Told;
pub(crate) use self::wait::{InvalidWait, Wait};
