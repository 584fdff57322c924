//! What annotations say, parsed.

use std::time::Duration;

use filter::cors::{CorsList, OriginRule};
use route::HostPattern;

use super::auth_drafts::ForwardAuthDrafts;
use super::drafts::{BasicAuthParts, CanarySpellings, ErrorParts, StickyParts};
use super::rate_limit_parts::RateLimitParts;
use super::value::field;
use crate::backend_annotations::BackendAnnotations;
use crate::choosing::{Balance, Choosing, ServiceChoosing};
use crate::filter_kind::NoFilter;
use crate::filter_spec::{Dialect, NamedMiddleware, WrittenFilter};
use crate::problem::Severity;
use crate::protocol::AppProtocol;
use crate::reporter::Reporter;

/// What the annotations of an Ingress ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// How the paths of its rules are read.
    pub paths: PathReading,
    /// Further hosts for its rules (`server-alias`).
    pub aliases: Vec<HostPattern>,
    /// The twin of each exact host is redirected to the host (`from-to-www-redirect`): the field that says so.
    pub www_redirect: Option<&'static str>,
    /// The doors that Traefik's `router.entrypoints` names; empty when it is absent.
    pub entrypoints: Vec<Box<str>>,
    /// Timeouts and limits.
    pub tuning: IngressTuning,
    /// Protocol and TLS of connections to backends.
    pub backend: BackendAnnotations,
    /// What happens to requests and responses on their way, in the order of its annotations.
    pub filters: Vec<WrittenFilter>,
    /// What the gateway's own spelling asks not to be done: it counts instead of that of ingress-nginx.
    pub none: Vec<NoFilter>,
    /// What annotations about CORS say, until they are read together.
    pub(crate) cors: CorsDrafts,
    /// The Middlewares through which they pass as well, in this order.
    pub middlewares: Vec<NamedMiddleware>,
    /// What several annotations say of rate limits, until they are filters.
    pub(crate) rate_limits: RateLimitParts,
    /// Which backend and which endpoint a request gets.
    pub choosing: Choosing,
    /// What annotations about forward auth say, until they are read together.
    pub(crate) forward_auth: ForwardAuthDrafts,
    /// TLS goes to the backend as it is (`ssl-passthrough` of ingress-nginx).
    pub ssl_passthrough: bool,
    /// What is parsed for and cannot be honoured, although serving without it would be unsafe. Not empty: every
    /// rule of the Ingress answers 503.
    pub closes: Vec<ClosedBy>,
    /// Until they are put together to a filter.
    pub(crate) basic_auth: BasicAuthParts,
    /// What counts together with others, while annotations are read one by one.
    pub(super) pending: Pending,
}

/// What annotations say that count together; empty once they have been reviewed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) canary: CanarySpellings,
    pub(super) sticky: StickyParts,
    pub(super) load_balance: Option<Balance>,
    pub(super) hash_by: Option<Balance>,
    pub(super) errors: ErrorParts,
}

/// Annotations about CORS, in both spellings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CorsDrafts {
    pub(crate) own: CorsDraft,
    pub(crate) nginx: CorsDraft,
}

/// Annotations about CORS in one spelling; `None` where nothing is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CorsDraft {
    /// The annotation that turns it on, if it does.
    pub(crate) main: Option<(Dialect, Box<str>)>,
    /// It is switched off in so many words.
    pub(crate) off: bool,
    pub(crate) origins: Option<Vec<OriginRule>>,
    pub(crate) methods: Option<CorsList>,
    pub(crate) headers: Option<CorsList>,
    pub(crate) exposed: Option<CorsList>,
    pub(crate) credentials: Option<bool>,
    pub(crate) max_age: Option<u64>,
}

/// How the paths of an Ingress are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathReading {
    /// Paths that do not say how they match are regular expressions (`use-regex`), and so are prefixes that hold characters of
    /// such.
    pub regex: bool,
    /// Paths that hold characters of regular expressions are such, unless they are exact: `rewrite-target` is written.
    pub rewrites: bool,
    /// How paths match that do not say how (`router.pathmatcher` of Traefik).
    pub matcher: PathMatcher,
    /// Another Ingress says how the paths match: this one is a canary.
    pub borrowed: bool,
}

/// How a path of the type `ImplementationSpecific` matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathMatcher {
    /// `PathPrefix`
    #[default]
    Prefix,
    /// `Path`
    Exact,
    /// `PathRegexp`
    Regex,
}

/// An annotation that closes its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBy {
    /// Its key.
    pub annotation: Box<str>,
    /// Why serving without it would be unsafe, and what to do.
    pub reason: Box<str>,
}

/// Timeouts and limits of an Ingress; `None` leaves the door's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngressTuning {
    /// `proxy-connect-timeout`: to connect to a backend.
    pub connect_timeout: Option<Duration>,
    /// `proxy-read-timeout`: the longest gap between two reads from the backend.
    pub read_timeout: Option<Duration>,
    /// `proxy-send-timeout`: the longest gap between two writes to the backend.
    pub send_timeout: Option<Duration>,
    /// `proxy-body-size`: the largest request body, in bytes; `Some(0)` is unlimited.
    pub body_size: Option<u64>,
}

/// What the annotations of a Service ask for.
#[derive(Debug, Default)]
pub(crate) struct ServiceAnnotations {
    /// The protocol of every port, whatever `appProtocol` says.
    pub(crate) scheme: Option<AppProtocol>,
    /// Which endpoint a request gets.
    pub(crate) choosing: ServiceChoosing,
    /// Namespaces whose filters may call the Service.
    pub(crate) allow_calls_from: Vec<Box<str>>,
    pub(crate) closes: Vec<ClosedBy>,
    pub(super) pending: Pending,
}

impl Annotations {
    /// Closes the routes for what an annotation says together with others, and reports it.
    pub(super) fn close(&mut self, annotation: &str, reason: &str, report: &mut Reporter<'_>) {
        report.report(
            Severity::Error,
            &field(annotation),
            format!("{reason}; closed (503)"),
        );
        self.closes.push(ClosedBy {
            annotation: annotation.into(),
            reason: reason.into(),
        });
    }
}
