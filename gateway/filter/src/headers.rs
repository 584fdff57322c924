//! What filters say about the fields of requests and responses, taken together.

use std::borrow::Cow;

use http::uri::Authority;

use crate::cors::{Cors, Verdict};
use crate::fields::{FieldEdits, SharedEdits};
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

/// The same at one door, ready for requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRules {
    allowed_hosts: Box<[Box<str>]>,
    /// As in [`Headers`].
    pub request: SharedEdits,
    /// As in [`Headers`].
    pub host: Option<Authority>,
    /// All of the response's fields, but for those of CORS, which come after them.
    response: FieldEdits,
    cors: Option<CorsRules>,
}

/// CORS, with what is the same for all responses of one verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CorsRules {
    cors: Cors,
    /// All of the response's fields, for [`Verdict::Refused`].
    refused: FieldEdits,
    /// The same for [`Verdict::Anybody`].
    anybody: FieldEdits,
    /// The same for [`Verdict::Listed`], of the first origins.
    listed: Box<[FieldEdits]>,
}

/// Of so many origins the edits are ready. They take a kilobyte each.
const MOST_READY: usize = 16;

static NOTHING: FieldEdits = FieldEdits::NONE;

impl Headers {
    /// What it says at a door. `is_https`: clients speak https to it. `None` if there is nothing to do.
    #[must_use]
    pub fn at(&self, is_https: bool) -> Option<HeaderRules> {
        let mut response = self.security.clone();
        if let Some(hsts) = &self.hsts {
            hsts.edit(is_https, &mut response);
        }
        response.then(&self.response);
        let cors = self.cors.as_ref().map(|cors| CorsRules {
            refused: edited(cors, &Verdict::Refused, false, &response),
            anybody: edited(cors, &Verdict::Anybody, false, &response),
            listed: (0..cors.origins.len().min(MOST_READY))
                .map(|place| edited(cors, &Verdict::Listed(place), false, &response))
                .collect(),
            cors: cors.clone(),
        });
        let rules = HeaderRules {
            allowed_hosts: self.allowed_hosts.clone(),
            request: self.request.clone().into(),
            host: self.host.clone(),
            response,
            cors,
        };
        let says_something = !rules.allowed_hosts.is_empty()
            || !rules.request.is_empty()
            || rules.host.is_some()
            || !rules.response.is_empty()
            || rules.cors.is_some();
        says_something.then_some(rules)
    }
}

impl HeaderRules {
    /// Whether requests for this host, as the client writes it, are served.
    #[must_use]
    pub fn allows(&self, host: Option<&[u8]>) -> bool {
        let mut allowed = self.allowed_hosts.iter().map(|host| host.as_bytes());
        self.allowed_hosts.is_empty()
            || host.is_some_and(|host| allowed.any(|allowed| allowed.eq_ignore_ascii_case(host)))
    }

    /// Who may read responses, if it says so.
    #[must_use]
    pub fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref().map(|rules| &rules.cors)
    }

    /// What changes in the response. `verdict`: that of [`Cors::verdict`] about the request; without one, CORS has answered
    /// the request itself. `varies`: whether the response says already that it depends on `Origin`.
    pub fn response(&self, verdict: Option<&Verdict>, varies: impl FnOnce() -> bool) -> Cow<'_, FieldEdits> {
        let Some(CorsRules {
            cors,
            refused,
            anybody,
            listed,
        }) = &self.cors
        else {
            return Cow::Borrowed(&self.response);
        };
        let Some(verdict) = verdict else {
            return Cow::Borrowed(&NOTHING);
        };
        let varies = cors.varies() && varies();
        let ready = match verdict {
            Verdict::Refused => Some(refused),
            Verdict::Anybody => Some(anybody),
            Verdict::Listed(place) => listed.get(*place),
            Verdict::Origin(_) => None,
        };
        match ready.filter(|_| !varies) {
            Some(ready) => Cow::Borrowed(ready),
            None => Cow::Owned(edited(cors, verdict, varies, &self.response)),
        }
    }
}

fn edited(cors: &Cors, verdict: &Verdict, varies: bool, before: &FieldEdits) -> FieldEdits {
    let mut edits = before.clone();
    cors.edit(verdict, varies, &mut edits);
    edits
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{STRICT_TRANSPORT_SECURITY, X_FRAME_OPTIONS};

    use super::*;
    use crate::cors::{Manner, OriginRule};
    use crate::security::SecurityFields;

    fn response(headers: &Headers, is_https: bool) -> FieldEdits {
        let rules = headers.at(is_https).unwrap();
        rules.response(None, || panic!("nobody asks")).into_owned()
    }

    #[test]
    fn what_is_written_wins_over_what_protects() {
        let mut headers = Headers {
            hsts: Some(Hsts::YEAR),
            security: SecurityFields::WISE.edits().unwrap(),
            ..Headers::default()
        };
        let own = HeaderValue::from_static("SAMEORIGIN");
        headers.response.set(X_FRAME_OPTIONS, own);
        headers.response.remove(STRICT_TRANSPORT_SECURITY);
        let edits = response(&headers, true);
        let frame = edits.added.iter().filter(|(name, _)| *name == X_FRAME_OPTIONS);
        assert_eq!(frame.map(|(_, value)| value).collect::<Vec<_>>(), ["SAMEORIGIN"]);
        assert!(!edits.adds(&STRICT_TRANSPORT_SECURITY));
        headers.response = FieldEdits::NONE;
        assert!(response(&headers, true).adds(&STRICT_TRANSPORT_SECURITY));
        assert!(!response(&headers, false).adds(&STRICT_TRANSPORT_SECURITY));
        headers.security = FieldEdits::NONE;
        assert_eq!(headers.at(false), None, "there is nothing to do");
    }

    #[test]
    fn what_is_ready_is_what_cors_says() {
        for origins in ["*", "https://a.test", "https://*.test,https://b.test"] {
            let cors = Cors {
                origins: OriginRule::list(origins).unwrap(),
                methods: None,
                headers: None,
                exposed: None,
                credentials: true,
                max_age: None,
                vary: false,
                manner: Manner::Whole,
            };
            let mut headers = Headers {
                cors: Some(cors.clone()),
                ..Headers::default()
            };
            headers
                .response
                .set(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
            let rules = headers.at(true).unwrap();
            let asked: [Option<&[u8]>; 4] = [
                None,
                Some(b"https://a.test"),
                Some(b"https://b.test"),
                Some(b"https://B.test:443"),
            ];
            for origin in asked {
                for varies in [false, true] {
                    let verdict = cors.verdict(origin);
                    let mut expected = headers.response.clone();
                    cors.edit(&verdict, varies, &mut expected);
                    assert_eq!(
                        *rules.response(Some(&verdict), || varies),
                        expected,
                        "{origins} {origin:?}"
                    );
                }
            }
            assert!(
                rules.response(None, || true).is_empty(),
                "a preflight has said all"
            );
        }
    }

    #[test]
    fn hosts_are_allowed_as_they_are_written() {
        let headers = Headers {
            allowed_hosts: ["a.test".into(), "b.test:81".into()].into(),
            ..Headers::default()
        };
        let rules = headers.at(false).unwrap();
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
        assert!(!rules.allows(None));
    }
}
