//! What a filter is, in words for reports. Nothing of what is secret in it is said.

use filter::redirect::Redirect;

use super::Filter;

impl Filter {
    /// Its kind, one word for reports.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Redirect(_) => "redirect",
            Self::Path(_) => "path",
            Self::UpstreamHost(_) => "upstream-host",
            Self::Deny(_) => "deny",
            Self::Allow(_) => "allow",
            Self::RateLimit(_) => "rate-limit",
            Self::Headers(rules) if rules.cors().is_some() => "cors",
            Self::Headers(_) => "headers",
            Self::Password(_) => "password",
            Self::Errors(_) => "error-pages",
            Self::Fallback(_) => "fallback",
            Self::ForwardAuth(_) => "forward-auth",
        }
    }

    /// What it does, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Redirect(Redirect::Https { .. }) => {
                "sends plain HTTP to https, apart from challenges of ACME".to_owned()
            }
            Self::Redirect(_) => "sends clients elsewhere".to_owned(),
            Self::Path(_) => "changes the path that the backend sees".to_owned(),
            Self::UpstreamHost(_) => "changes the host that the backend sees".to_owned(),
            Self::Deny(_) => "refuses clients of some networks (403)".to_owned(),
            Self::Allow(allow) => {
                format!("lets only clients of some networks in ({})", allow.status.code())
            }
            Self::RateLimit(limit) => match &limit.store {
                Some(_) => {
                    "counts requests, at a server that all replicas share (429 beyond its rate)".to_owned()
                }
                None => "counts requests (429 beyond its rate)".to_owned(),
            },
            Self::Headers(rules) if rules.cors().is_some() => {
                "answers preflights of browsers (CORS), and edits fields".to_owned()
            }
            Self::Headers(_) => "edits fields".to_owned(),
            Self::Password(_) => "asks for the name and password of a user (401)".to_owned(),
            Self::Errors(pages) => format!(
                "replaces errors of the backend by pages of Service `{}`",
                pages.upstream.service
            ),
            Self::Fallback(upstream) => format!(
                "sends requests to Service `{}` while the backend has no endpoint",
                upstream.service
            ),
            Self::ForwardAuth(service) => format!(
                "asks `{}` port {} whether the request may pass",
                service.upstream.service, service.upstream.port
            ),
        }
    }
}
