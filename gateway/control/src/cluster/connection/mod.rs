//! The connection to the API server: credentials, the pace of requests, and faults.

mod client;
mod contact;
mod credentials;
mod error;
mod fault;
mod pace;
mod token;

pub use contact::Contact;
pub use credentials::Credentials;
pub use error::ClusterError;

pub(crate) use client::Connection;
pub(crate) use fault::Fault;
pub(crate) use pace::Pace;
