//! Filters as objects write them: values are checked, and other objects are named.
//!
//! Annotations in three spellings and Middlewares all become these. `door` merges them, resolves the objects that they
//! name, and puts them into their order (`door::filters`).

use filter::access::{Allow, Deny};
use filter::basic_auth::BasicAuth;
use filter::cors::Cors;
use filter::fields::FieldEdits;
use filter::forward_auth::ForwardAuth;
use filter::headers::Headers;
use filter::source::Source;
use route::ObjectKey;

use crate::backend_annotations::{AuthoritySource, BackendAnnotations};
use crate::callee::Callee;
use crate::error_pages::{ErrorPages, ServiceRef};
use crate::filter_kind::FilterKind;
use crate::limit_spec::RateLimitSpec;
use filter::path_edit::PathEdit;
use filter::redirect::{Destination, Redirect};
use filter::replacement::Replacement;
use filter::upstream_host::UpstreamHost;

/// A filter, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFilter {
    /// What it says.
    pub spec: FilterSpec,
    /// Whose spelling it is written in. It decides which of two filters of one kind counts.
    pub dialect: Dialect,
    /// The field of its Ingress, for problems: the key of its main annotation, as `metadata.annotations[KEY]`, or that of
    /// the list of middlewares.
    pub field: Box<str>,
}

/// The spelling of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// `blastdoor.dev/…`
    Own,
    /// `nginx.ingress.kubernetes.io/…`
    Nginx,
    /// A Middleware of Traefik.
    Traefik,
}

/// What a filter does, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterSpec {
    /// Requests over plain HTTP are redirected to https (308).
    HttpsRedirect,
    /// Requests are redirected to a place that they are not asked for.
    Redirect(Redirect),
    /// Requests for `/` are redirected there (302).
    AppRoot(Destination),
    /// The path is replaced by this, with the groups of the rule's path in it. A URL instead of a path is redirected to.
    Rewrite(Replacement),
    /// `X-Forwarded-Prefix` is this, with the groups of the rule's path in it.
    ForwardedPrefix(Replacement),
    /// The path is changed.
    Path(PathEdit),
    /// The backend sees this host.
    UpstreamHost(UpstreamHost),
    /// Clients of these networks are refused.
    Deny(Deny),
    /// Everybody but these networks is refused.
    Allow(Allow),
    /// Who asks too often is refused for a while.
    RateLimit(RateLimitSpec),
    /// `headers` of Traefik.
    Headers(Box<Headers>),
    /// Who may read responses.
    Cors(Box<Cors>),
    /// Fields of the request.
    RequestFields(FieldEdits),
    /// Fields of the response.
    ResponseFields(FieldEdits),
    /// Fields of the response, each an entry of this ConfigMap.
    ResponseFieldsOf(ObjectKey),
    /// The response's fields that protect users of every site: [`SecurityFields::WISE`] and [`Hsts::YEAR`].
    ///
    /// [`SecurityFields::WISE`]: filter::security::SecurityFields::WISE
    /// [`Hsts::YEAR`]: filter::security::Hsts::YEAR
    SecurityFields,
    /// Requests need the name and password of a user.
    BasicAuth(Box<BasicAuthSpec>),
    /// Answers in place of errors of the backend.
    Errors(ErrorPages),
    /// The backend while the usual one has no endpoint.
    Fallback(ServiceRef),
    /// A service is asked whether requests may pass.
    ForwardAuth(Box<ForwardAuthSpec>),
}

/// Basic authentication, and where its users are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuthSpec {
    /// The Secret with the users.
    pub secret: ObjectKey,
    /// How it names them.
    pub form: UsersForm,
    /// Everything else.
    pub settings: BasicAuth,
}

/// How a Secret names users and their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UsersForm {
    /// In its entry `auth`, as lines `user:hash` (`auth-file` of ingress-nginx).
    File,
    /// Each entry is a user, and its content the hash (`auth-map` of ingress-nginx).
    Map,
    /// In its only entry, as lines; or it is of type `kubernetes.io/basic-auth` (Traefik).
    Only,
    /// In its entry `auth` or else its only one, as lines; or it is of type `kubernetes.io/basic-auth`.
    Any,
}

/// Forward auth, with the objects that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardAuthSpec {
    /// What is asked, and what follows.
    pub rule: ForwardAuth,
    /// What the host of its URL means.
    pub callee: Callee,
    /// How the service is spoken to. Its certificate is always verified.
    pub connection: BackendAnnotations,
    /// A ConfigMap, each entry of which is a field that the service gets.
    pub adds: Option<ObjectKey>,
}

/// An object that a filter names. Nothing else of the cluster may be looked up for it: what is not listed is not fetched, and
/// a change of it does not recompile the Ingress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterReference<'f> {
    /// A Secret.
    Secret(&'f ObjectKey),
    /// A ConfigMap.
    ConfigMap(&'f ObjectKey),
    /// A Service, with its endpoints.
    Service(&'f ObjectKey),
}

/// A Middleware that an Ingress names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMiddleware {
    /// Its namespace, which is that of the Ingress, and its name.
    pub key: ObjectKey,
    /// Where it is named, as `metadata.annotations[KEY]`.
    pub field: Box<str>,
}

impl ForwardAuthSpec {
    fn references(&self) -> Vec<FilterReference<'_>> {
        let authorities = self.connection.authorities.iter().map(|source| match source {
            AuthoritySource::Secret(key) => FilterReference::Secret(key),
            AuthoritySource::ConfigMap(key) => FilterReference::ConfigMap(key),
        });
        let certificate = self.connection.client_certificate.iter();
        authorities
            .chain(certificate.map(FilterReference::Secret))
            .chain(self.adds.iter().map(FilterReference::ConfigMap))
            .chain(self.callee.service.iter().map(FilterReference::Service))
            .collect()
    }
}

impl FilterSpec {
    /// Whether what it does to a request depends on the client's address.
    #[must_use]
    pub fn judges_addresses(&self) -> bool {
        match self {
            Self::Deny(_) | Self::Allow(_) => true,
            Self::RateLimit(limit) => match limit.source {
                Source::Client(_) | Source::Strategy(_) | Source::User => true,
                Source::Field(_) | Source::Host => false,
            },
            Self::HttpsRedirect
            | Self::Redirect(_)
            | Self::AppRoot(_)
            | Self::Rewrite(_)
            | Self::ForwardedPrefix(_)
            | Self::Path(_)
            | Self::UpstreamHost(_)
            | Self::Headers(_)
            | Self::Cors(_)
            | Self::RequestFields(_)
            | Self::ResponseFields(_)
            | Self::ResponseFieldsOf(_)
            | Self::SecurityFields
            | Self::BasicAuth(_)
            | Self::Errors(_)
            | Self::Fallback(_)
            | Self::ForwardAuth(_) => false,
        }
    }

    /// The objects that it names, which must be fetched before it can be compiled.
    #[must_use]
    pub fn references(&self) -> Vec<FilterReference<'_>> {
        match self {
            Self::ResponseFieldsOf(key) => vec![FilterReference::ConfigMap(key)],
            Self::BasicAuth(spec) => vec![FilterReference::Secret(&spec.secret)],
            Self::RateLimit(limit) => {
                let services = limit.callees().filter_map(|callee| callee.service.as_ref());
                let secrets = limit.secrets().map(FilterReference::Secret);
                secrets.chain(services.map(FilterReference::Service)).collect()
            }
            Self::Errors(pages) => vec![FilterReference::Service(&pages.service.service)],
            Self::Fallback(named) => vec![FilterReference::Service(&named.service)],
            Self::ForwardAuth(spec) => spec.references(),
            Self::HttpsRedirect
            | Self::Redirect(_)
            | Self::AppRoot(_)
            | Self::Rewrite(_)
            | Self::ForwardedPrefix(_)
            | Self::Path(_)
            | Self::UpstreamHost(_)
            | Self::Deny(_)
            | Self::Allow(_)
            | Self::Headers(_)
            | Self::Cors(_)
            | Self::RequestFields(_)
            | Self::ResponseFields(_)
            | Self::SecurityFields => Vec::new(),
        }
    }

    /// Whom it calls.
    #[must_use]
    pub fn callees(&self) -> Vec<&Callee> {
        if let Self::ForwardAuth(spec) = self {
            return vec![&spec.callee];
        }
        if let Self::RateLimit(limit) = self {
            return limit.callees().collect();
        }
        Vec::new()
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> FilterKind {
        match self {
            Self::HttpsRedirect => FilterKind::HttpsRedirect,
            Self::Redirect(Redirect::Scheme { .. }) => FilterKind::Scheme,
            Self::Redirect(_) => FilterKind::Redirect,
            Self::AppRoot(_) => FilterKind::AppRoot,
            Self::Rewrite(_) | Self::ForwardedPrefix(_) | Self::Path(_) => FilterKind::Path,
            Self::UpstreamHost(_) => FilterKind::Host,
            Self::Deny(_) => FilterKind::Deny,
            Self::Allow(_) => FilterKind::Allow,
            Self::RateLimit(limit) => match limit.source {
                Source::User => FilterKind::UserRateLimit,
                Source::Client(_) | Source::Strategy(_) | Source::Field(_) | Source::Host => {
                    FilterKind::RateLimit
                }
            },
            Self::Headers(_) => FilterKind::Headers,
            Self::Cors(_) => FilterKind::Cors,
            Self::RequestFields(_) => FilterKind::RequestFields,
            Self::ResponseFields(_) => FilterKind::ResponseFields,
            Self::ResponseFieldsOf(_) => FilterKind::ResponseFieldsOf,
            Self::SecurityFields => FilterKind::SecurityFields,
            Self::BasicAuth(_) => FilterKind::BasicAuth,
            Self::Errors(_) => FilterKind::Errors,
            Self::Fallback(_) => FilterKind::Fallback,
            Self::ForwardAuth(_) => FilterKind::ForwardAuth,
        }
    }

    /// Where it stands among the filters of its kind that annotations ask for: what the backend is told of the path, what
    /// takes its place, what is taken from it, what comes before it.
    #[must_use]
    pub const fn place(&self) -> u8 {
        if matches!(self, Self::Rewrite(_)) {
            1
        } else if matches!(self, Self::Path(PathEdit::AddPrefix(_))) {
            3
        } else if matches!(self, Self::Path(_)) {
            2
        } else {
            0
        }
    }

    /// What it says about CORS, if it says anything.
    #[must_use]
    pub fn cors(&self) -> Option<&Cors> {
        match self {
            Self::Cors(cors) => Some(cors),
            Self::Headers(headers) => headers.cors.as_ref(),
            Self::HttpsRedirect
            | Self::Redirect(_)
            | Self::AppRoot(_)
            | Self::Rewrite(_)
            | Self::ForwardedPrefix(_)
            | Self::Path(_)
            | Self::UpstreamHost(_)
            | Self::Deny(_)
            | Self::Allow(_)
            | Self::RateLimit(_)
            | Self::RequestFields(_)
            | Self::ResponseFields(_)
            | Self::ResponseFieldsOf(_)
            | Self::SecurityFields
            | Self::BasicAuth(_)
            | Self::ForwardAuth(_)
            | Self::Errors(_)
            | Self::Fallback(_) => None,
        }
    }
}
