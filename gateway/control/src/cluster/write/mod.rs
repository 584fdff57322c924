//! What is written back to the API server: the status of Ingresses, and Events about what is wrong with them.
//!
//! Of all replicas of an installation one writes, the holder of its [`lease`].

mod desired;
#[cfg(test)]
mod desk_tests;
mod events;
mod installation;
mod lease;
mod report;
mod status;
#[cfg(test)]
mod tests;
mod writer;

pub use events::EVENT_REASONS;

pub(crate) use installation::Installation;
pub(crate) use report::run;
