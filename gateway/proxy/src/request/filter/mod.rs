//! The filters of a route, run for one request: after the table has decided, before it is planned how the request goes to
//! its backend.
//!
//! A filter passes the request on, answers it, or has to wait for something. Only a wait costs a future. The response
//! passes through the filters that its request has reached, in reverse, whoever made it: the backend, the gateway, or one of
//! the filters further in.

mod backend;
mod forward_auth;
mod headers;
mod limits;
mod page;
mod password;
mod path;
mod question;
mod redirect;
mod run;
mod seen;
mod values;

pub(in crate::request) use backend::by_rules;
pub(in crate::request) use run::Rehearsed;
pub(crate) use seen::{Asking, Awaited, Passed, Seen, Step, Wait};
