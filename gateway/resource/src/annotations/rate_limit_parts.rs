//! What single annotations say of rate limits, until all have been read and make one limit of each spelling.

use filter::cidr::Networks;
use filter::rate::Rate;
use filter::source::Source;
use route::ObjectKey;

use crate::limit_spec::Scope;

/// What the annotations of an Ingress say of rate limits, each by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RateLimitParts {
    pub(super) own: OwnRateLimit,
    pub(super) nginx: NginxRateLimit,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OwnRateLimit {
    pub(super) rate: Option<Rate>,
    pub(super) burst: Option<u64>,
    pub(super) source: Option<Source>,
    pub(super) except: Option<Networks>,
    pub(super) scope: Option<Scope>,
    pub(super) store: Option<ObjectKey>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NginxRateLimit {
    pub(super) per_second: Option<u64>,
    pub(super) per_minute: Option<u64>,
    pub(super) multiplier: Option<u64>,
    pub(super) except: Option<Networks>,
}
