//! The connection to the API server: who we are there, and what becomes of requests.

pub(crate) mod contact;
pub(crate) mod credentials;
pub(crate) mod fault;
mod token;
