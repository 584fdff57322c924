//! What several annotations say, until they are read together.

use std::time::Duration;

use filter::basic_auth::BasicAuth;
use filter::cookie::{AttributeValue, CookieName, SameSite};
use filter::error_page::PageTarget;
use filter::pattern::Pattern;
use filter::statuses::StatusSet;
use http::HeaderName;
use route::ObjectKey;

use crate::error_pages::ServiceRef;

/// What the annotations of one spelling say, one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CanaryParts {
    pub(super) on: Option<bool>,
    pub(super) header: Option<HeaderName>,
    pub(super) value: Option<Box<str>>,
    pub(super) pattern: Option<Pattern>,
    pub(super) cookie: Option<CookieName>,
    pub(super) weight: Option<u32>,
    pub(super) total: Option<u32>,
}

/// Those of our spelling, and of ingress-nginx.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CanarySpellings {
    pub(super) own: CanaryParts,
    pub(super) nginx: CanaryParts,
}

/// What the annotations say, one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorParts {
    pub(super) own: Option<StatusSet>,
    pub(super) own_service: Option<ServiceRef>,
    pub(super) own_path: Option<PageTarget>,
    pub(super) fallback: Option<ServiceRef>,
    pub(super) codes: Option<StatusSet>,
    pub(super) default_backend: Option<ServiceRef>,
    pub(super) disabled: bool,
}

/// What the annotations of one spelling say about the cookie, one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CookieParts {
    pub(super) name: Option<CookieName>,
    pub(super) path: Option<AttributeValue>,
    pub(super) domain: Option<AttributeValue>,
    pub(super) max_age: Option<i64>,
    pub(super) expires: Option<Duration>,
    pub(super) same_site: Option<SameSite>,
    pub(super) secure: Option<bool>,
}

/// Those of all spellings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StickyParts {
    pub(super) own: CookieParts,
    pub(super) nginx: CookieParts,
    pub(super) traefik: CookieParts,
    pub(super) affinity: bool,
    pub(super) legacy_canary: bool,
    pub(super) change_on_failure: bool,
    pub(super) conditional: bool,
    pub(super) traefik_on: Option<bool>,
    pub(super) http_only: bool,
}

/// What annotations say of names and passwords, until it is known whether they ask for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BasicAuthParts {
    pub(super) own: BasicAuthPart,
    pub(super) nginx: BasicAuthPart,
}

/// The same in one spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BasicAuthPart {
    /// The annotation that asks for a password says so.
    pub(super) asked: bool,
    pub(super) secret: Option<ObjectKey>,
    /// Each entry of the Secret is a user.
    pub(super) is_map: bool,
    pub(super) settings: BasicAuth,
}
