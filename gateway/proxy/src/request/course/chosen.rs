//! What a course knows of the choice of its endpoint.

use std::net::SocketAddr;
use std::sync::Arc;

use ::filter::sticky::Tags;
use door::BackendHost;
use http::HeaderValue;

use crate::upstream::Preference;

/// What a course knows of the choice of its endpoint.
#[derive(Debug, Default)]
pub(in crate::request) struct Chosen {
    pub(in crate::request) preference: Preference,
    /// What the backend sees as `Host`.
    pub(in crate::request) host: Option<BackendHost>,
    pub(in crate::request) session: Option<Session>,
}

/// A request of a client that stays with an endpoint.
#[derive(Debug)]
pub(in crate::request) struct Session {
    pub(in crate::request) tags: Arc<Tags>,
    /// The endpoint to which its cookie belongs.
    pub(in crate::request) belongs_to: Option<SocketAddr>,
    pub(in crate::request) keeps_same_site_none: bool,
    /// The cookie that it gets.
    pub(in crate::request) cookie: Option<HeaderValue>,
}
