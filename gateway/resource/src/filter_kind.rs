//! What filters are merged and ordered by.

/// What filters are compared by when several ask for the same: of one kind that is written in different spellings, they
/// are merged (`door::filters`). Different kinds all apply.
///
/// Filters of annotations run in the order of these variants. Middlewares run behind those that are
/// [guards](Self::is_guard), in the order in which they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterKind {
    /// Fields of responses. What changes responses alone comes first, so that every answer behind it carries it.
    ResponseFields,
    /// Fields of responses, from a ConfigMap. What is written in so many words wins over them.
    ResponseFieldsOf,
    /// Fields of responses that protect browsers. What is written in so many words wins over them.
    SecurityFields,
    /// A redirect to https: nobody is asked for a password in clear text.
    HttpsRedirect,
    /// Who is refused.
    Deny,
    /// Who is let in.
    Allow,
    /// A redirect to elsewhere.
    Redirect,
    /// A redirect of `/`.
    AppRoot,
    /// What scripts of other origins may do. Preflights carry no credentials and are not counted.
    Cors,
    /// How much a client may ask for. Who is refused before uses none of it up.
    RateLimit,
    /// User names and passwords.
    BasicAuth,
    /// The answer of a service.
    ForwardAuth,
    /// How much a user may ask for, who is known only now.
    UserRateLimit,
    /// `headers` of Traefik. Only Middlewares have it.
    Headers,
    /// `redirectScheme` of Traefik. Only Middlewares have it.
    Scheme,
    /// Which path the backend sees. Guards have seen that of the client.
    Path,
    /// Fields of requests.
    RequestFields,
    /// Which host the backend sees.
    Host,
    /// Which requests go to another backend.
    Canary,
    /// How an endpoint is chosen.
    Balance,
    /// Which clients stay with their endpoint.
    Sticky,
    /// Pages in place of errors.
    Errors,
    /// Who answers where the backend has no endpoint.
    Fallback,
}

impl FilterKind {
    /// In words, for problems.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResponseFields => "fields of responses",
            Self::ResponseFieldsOf => "fields of responses from a ConfigMap",
            Self::SecurityFields => "fields that protect browsers",
            Self::HttpsRedirect => "a redirect to https",
            Self::Deny => "a deny list",
            Self::Allow => "an allow list",
            Self::Redirect => "a redirect",
            Self::AppRoot => "a redirect of `/`",
            Self::Scheme => "another scheme",
            Self::Cors => "CORS",
            Self::RateLimit => "a rate limit",
            Self::UserRateLimit => "a rate limit by user",
            Self::BasicAuth => "basic authentication",
            Self::ForwardAuth => "authentication by a service",
            Self::Headers => "fields",
            Self::Path => "another path",
            Self::RequestFields => "fields of requests",
            Self::Host => "another host",
            Self::Canary => "a canary",
            Self::Balance => "a choice of endpoints",
            Self::Sticky => "sticky sessions",
            Self::Errors => "error pages",
            Self::Fallback => "a default backend",
        }
    }

    /// Whether it decides who gets through at all: Middlewares run behind it.
    #[must_use]
    pub fn is_guard(self) -> bool {
        self <= Self::UserRateLimit
    }

    /// Whether a route can have only one, so that a second one that says something else closes it.
    #[must_use]
    pub const fn is_single(self) -> bool {
        match self {
            Self::Host | Self::Canary | Self::Balance | Self::Sticky | Self::Fallback => true,
            Self::ResponseFields
            | Self::ResponseFieldsOf
            | Self::SecurityFields
            | Self::HttpsRedirect
            | Self::Deny
            | Self::Allow
            | Self::Redirect
            | Self::AppRoot
            | Self::Scheme
            | Self::Cors
            | Self::RateLimit
            | Self::UserRateLimit
            | Self::BasicAuth
            | Self::ForwardAuth
            | Self::Headers
            | Self::Path
            | Self::RequestFields
            | Self::Errors => false,
        }
    }
}

/// An annotation of the gateway that asks for no filter of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoFilter {
    /// The kind.
    pub kind: FilterKind,
    /// Its key.
    pub annotation: Box<str>,
}
