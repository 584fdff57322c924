//! Heads of messages: what is read from them, and how new ones are written.

pub(crate) mod authority;
pub(crate) mod downstream;
pub(crate) mod draft;
pub(crate) mod emit;
pub(crate) mod http2;
pub(crate) mod identity;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod traits;
pub(crate) mod vouched;
