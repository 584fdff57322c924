//! What filters say about the fields of requests and responses, taken together.

use http::uri::Authority;

use crate::cors::Cors;
use crate::fields::FieldEdits;
use crate::security::Hsts;

/// What Traefik's `headers` says. Each annotation about fields is a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// The hosts, with their ports, for which requests are served; empty: all.
    pub allowed_hosts: Box<[Box<str>]>,
    /// The request's fields.
    pub request: FieldEdits,
    /// The `Host` that the backend gets.
    pub host: Option<Authority>,
    /// `Strict-Transport-Security`.
    pub hsts: Option<Hsts>,
    /// The response's fields that protect users.
    pub security: FieldEdits,
    /// The response's fields. They win over those that protect users.
    pub response: FieldEdits,
    /// Who may read the response.
    pub cors: Option<Cors>,
}

/// The same at one door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// As in [`Headers`].
    pub allowed_hosts: Box<[Box<str>]>,
    /// As in [`Headers`].
    pub request: FieldEdits,
    /// As in [`Headers`].
    pub host: Option<Authority>,
    /// All of the response's fields, but for those of CORS, which come after them.
    pub response: FieldEdits,
    /// As in [`Headers`].
    pub cors: Option<Cors>,
}

impl Headers {
    /// What it says at a door. `is_https`: clients speak https to it.
    #[must_use]
    pub fn at(&self, is_https: bool) -> HeaderRules {
        let mut response = self.security.clone();
        if let Some(hsts) = &self.hsts {
            hsts.edit(is_https, &mut response);
        }
        response.then(&self.response);
        HeaderRules {
            allowed_hosts: self.allowed_hosts.clone(),
            request: self.request.clone(),
            host: self.host.clone(),
            response,
            cors: self.cors.clone(),
        }
    }
}

impl HeaderRules {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether requests for this host, as the client writes it, are served.
    #[must_use]
    pub fn allows(&self, host: Option<&[u8]>) -> bool {
        let is = |allowed: &Box<str>| host.is_some_and(|host| allowed.as_bytes().eq_ignore_ascii_case(host));
        self.allowed_hosts.is_empty() || self.allowed_hosts.iter().any(is)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{STRICT_TRANSPORT_SECURITY, X_FRAME_OPTIONS};

    use super::*;
    use crate::security::SecurityFields;

    #[test]
    fn what_is_written_wins_over_what_protects() {
        let mut headers = Headers {
            hsts: Some(Hsts::YEAR),
            security: SecurityFields::WISE.edits().unwrap(),
            ..Headers::default()
        };
        headers
            .response
            .set(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
        headers.response.remove(STRICT_TRANSPORT_SECURITY);
        let rules = headers.at(true);
        let frame = rules
            .response
            .added
            .iter()
            .filter(|(name, _)| *name == X_FRAME_OPTIONS);
        assert_eq!(frame.map(|(_, value)| value).collect::<Vec<_>>(), ["SAMEORIGIN"]);
        assert!(!rules.response.adds(&STRICT_TRANSPORT_SECURITY));
        headers.response = FieldEdits::NONE;
        assert!(headers.at(true).response.adds(&STRICT_TRANSPORT_SECURITY));
        assert!(!headers.at(false).response.adds(&STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn hosts_are_allowed_as_they_are_written() {
        let rules = HeaderRules {
            allowed_hosts: ["a.test".into(), "b.test:81".into()].into(),
            ..HeaderRules::default()
        };
        let table = [
            ("A.test", true),
            ("a.test:80", false),
            ("b.test:81", true),
            ("b.test", false),
            ("", false),
        ];
        for (host, allowed) in table {
            assert_eq!(rules.allows(Some(host.as_bytes())), allowed, "{host}");
        }
        assert!(!rules.allows(None) && HeaderRules::default().allows(None));
    }
}
