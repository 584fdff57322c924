//! Annotations about forward auth, until they are read together.

use std::time::Duration;

use filter::call::CallUrl;
use filter::forward_auth::{Cookies, HeaderName, Method, Sends};
use filter::redirect::Destination;
use filter::template::Template;
use route::ObjectKey;

use crate::callee::Callee;
use crate::filter_spec::Dialect;

/// In both spellings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ForwardAuthDrafts {
    pub(super) own: ForwardAuthDraft,
    pub(super) nginx: ForwardAuthDraft,
}

/// In one spelling; `None` where nothing is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ForwardAuthDraft {
    /// The main annotation.
    pub(super) url: Option<(CallUrl, Callee, Dialect, Box<str>)>,
    pub(super) method: Option<Method>,
    pub(super) sends: Option<Sends>,
    pub(super) adds: Option<ObjectKey>,
    pub(super) copies: Vec<HeaderName>,
    pub(super) cookies: Option<Cookies>,
    /// The page, and whether its query has the parameter for the URL of the request: by its text.
    pub(super) signin: Option<(Destination, Box<str>)>,
    pub(super) signin_parameter: Option<Box<str>>,
    pub(super) redirect: Option<Template>,
    pub(super) body: Option<u64>,
    /// An object with authorities: whether it is a ConfigMap, and its key.
    pub(super) authorities: Option<(bool, ObjectKey)>,
    pub(super) cache_key: Option<Template>,
    pub(super) cache_times: Option<Vec<(u16, Duration)>>,
}
