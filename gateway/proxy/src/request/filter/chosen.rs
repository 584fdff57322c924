//! What a course knows of the choice of its endpoint.

use std::net::SocketAddr;
use std::sync::Arc;

use ::filter::sticky::Tags;
use door::BackendHost;
use http::HeaderValue;

use crate::upstream::Preference;

/// What a course knows of the choice of its endpoint.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) preference: Preference,
    /// What the backend sees as `Host`.
    pub(super) host: Option<BackendHost>,
    pub(super) session: Option<Session>,
}

/// A request of a client that stays with an endpoint.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tags: Arc<Tags>,
    /// The endpoint to which its cookie belongs.
    pub(super) belongs_to: Option<SocketAddr>,
    pub(super) keeps_same_site_none: bool,
    /// The cookie that it gets.
    pub(super) cookie: Option<HeaderValue>,
}
