//! Values of labels: enums, so that no request can create a new one.

/// The classes of status, by the first digit less one.
pub(super) const CLASSES: [&str; 9] = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "7xx", "8xx", "9xx"];

/// The stable name of a refusal: metrics label and access-log field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Reason {
    NoRoute,
    Redirect,
    NotSynced,
    Malformed,
    HostInvalid,
    HostMismatch,
    PathInvalid,
    MethodRefused,
    Expectation,
    UriTooLong,
    HeadTooLarge,
    HeadTimeout,
    BodyMalformed,
    BodyTooLarge,
    BodyTimeout,
    ClientGone,
    ClientStalled,
    Blocked,
    NoEndpoint,
    ConnectFailed,
    ConnectTimeout,
    UpstreamReset,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamTrailers,
    UpstreamStalled,
    VersionUnsupported,
    ConnectionLimit,
    Drained,
    Overload,
    Misdirected,
    UpstreamTls,
    DeadlineExceeded,
    ProxyHeader,
    TlsHandshake,
    Flood,
    Withdrawn,
    AccessDenied,
    RateLimited,
    Unauthenticated,
    Forbidden,
    AuthUnavailable,
    AuthDenied,
}

/// Why an endpoint is ejected: a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum EjectionCause {
    Unreached,
    Broken,
    Malformed,
    Slow,
    Tls,
}

/// What there is too little of when idle connections are closed before their time: a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Shortage {
    /// The door has as many connections as it may have.
    Connections,
    /// The process is out of descriptors.
    Descriptors,
    /// The door is beyond its share of memory, and the process is short of it.
    Memory,
}

/// The filter that refused a request: a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum FilterKind {
    Deny,
    Allow,
    RateLimit,
    BasicAuth,
}

/// Why an exchange that was cut held memory: a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Held {
    /// Its client did not read.
    ForReader,
    /// It was a tunnel in which nothing moved.
    ByTunnel,
}

impl Reason {
    pub(crate) const ALL: [Self; 44] = [
        Self::NoRoute,
        Self::Redirect,
        Self::NotSynced,
        Self::Malformed,
        Self::HostInvalid,
        Self::HostMismatch,
        Self::PathInvalid,
        Self::MethodRefused,
        Self::Expectation,
        Self::UriTooLong,
        Self::HeadTooLarge,
        Self::HeadTimeout,
        Self::BodyMalformed,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::ClientGone,
        Self::ClientStalled,
        Self::Blocked,
        Self::NoEndpoint,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::UpstreamReset,
        Self::UpstreamMalformed,
        Self::UpstreamTimeout,
        Self::UpstreamTruncated,
        Self::UpstreamTrailers,
        Self::UpstreamStalled,
        Self::VersionUnsupported,
        Self::ConnectionLimit,
        Self::Drained,
        Self::Overload,
        Self::Misdirected,
        Self::UpstreamTls,
        Self::DeadlineExceeded,
        Self::ProxyHeader,
        Self::TlsHandshake,
        Self::Flood,
        Self::Withdrawn,
        Self::AccessDenied,
        Self::RateLimited,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::AuthUnavailable,
        Self::AuthDenied,
    ];

    pub(crate) const COUNT: usize = Self::ALL.len();

    /// The label, in snake case.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::Redirect => "redirect",
            Self::NotSynced => "not_synced",
            Self::Malformed => "malformed",
            Self::HostInvalid => "host_invalid",
            Self::HostMismatch => "host_mismatch",
            Self::PathInvalid => "path_invalid",
            Self::MethodRefused => "method_refused",
            Self::Expectation => "expectation",
            Self::UriTooLong => "uri_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::BodyMalformed => "body_malformed",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::ClientGone => "client_gone",
            Self::ClientStalled => "client_stalled",
            Self::Blocked => "blocked",
            Self::NoEndpoint => "no_endpoint",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamMalformed => "upstream_malformed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamTruncated => "upstream_truncated",
            Self::UpstreamTrailers => "upstream_trailers",
            Self::UpstreamStalled => "upstream_stalled",
            Self::VersionUnsupported => "version_unsupported",
            Self::ConnectionLimit => "connection_limit",
            Self::Drained => "drained",
            Self::Overload => "overload",
            Self::Misdirected => "misdirected",
            Self::UpstreamTls => "upstream_tls",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::ProxyHeader => "proxy_header",
            Self::TlsHandshake => "tls_handshake",
            Self::Flood => "flood",
            Self::Withdrawn => "withdrawn",
            Self::AccessDenied => "access_denied",
            Self::RateLimited => "rate_limited",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::AuthUnavailable => "auth_unavailable",
            Self::AuthDenied => "auth_denied",
        }
    }
}

impl FilterKind {
    pub(crate) const ALL: [Self; 4] = [Self::Deny, Self::Allow, Self::RateLimit, Self::BasicAuth];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::RateLimit => "rate_limit",
            Self::BasicAuth => "basic_auth",
        }
    }
}

impl EjectionCause {
    pub(crate) const ALL: [Self; 5] = [
        Self::Unreached,
        Self::Broken,
        Self::Malformed,
        Self::Slow,
        Self::Tls,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unreached => "unreached",
            Self::Broken => "broken",
            Self::Malformed => "malformed",
            Self::Slow => "slow",
            Self::Tls => "tls",
        }
    }
}

impl Shortage {
    pub(crate) const ALL: [Self; 3] = [Self::Connections, Self::Descriptors, Self::Memory];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Descriptors => "descriptors",
            Self::Memory => "memory",
        }
    }
}

impl Held {
    pub(crate) const ALL: [Self; 2] = [Self::ForReader, Self::ByTunnel];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ForReader => "stalled",
            Self::ByTunnel => "silent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_has_its_own_index_and_label() {
        let labels: std::collections::BTreeSet<&str> =
            Reason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), Reason::COUNT);
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    /// Runbooks and alerts go by them.
    #[test]
    fn every_reason_is_explained() {
        let explained = include_str!("../../../../docs/operations.md");
        for reason in Reason::ALL {
            let label = format!("`{}`", reason.label());
            assert!(
                explained.contains(&label),
                "docs/operations.md does not explain {label}"
            );
        }
    }
}
