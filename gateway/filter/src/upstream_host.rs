//! The host that a backend sees.

use http::uri::Authority;

use crate::template::{Part, Template, Values};
use crate::url::{is_of_host, shown};

/// A host, with or without a port, in which variables may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamHost(Template);

impl UpstreamHost {
    /// Parses a host.
    ///
    /// # Errors
    /// When it has characters that no host has, or variables that are not known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text)?;
        let mut texts = template.parts().iter().map(|part| match part {
            Part::Text(text) => is_of_host(text.as_bytes()),
            Part::Variable(_) => true,
        });
        let is_host = match template.literal() {
            Some(literal) => literal.parse::<Authority>().is_ok(),
            None => true,
        };
        if is_host && texts.all(|fits| fits) {
            Ok(Self(template))
        } else {
            Err(format!(
                "{} is not a host; write it as in `internal.example.com` or `name:8080`",
                shown(text)
            ))
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host for one request; `None` if the values of its variables make none.
    #[must_use]
    pub fn authority(&self, values: &dyn Values) -> Option<Authority> {
        let mut text = Vec::with_capacity(self.as_str().len() + 32);
        self.0.expand(values, &mut text).ok()?;
        let fits = is_of_host(&text);
        Authority::from_maybe_shared(text).ok().filter(|_| fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Variable;

    struct Named(&'static str);

    impl Values for Named {
        fn write(&self, _variable: &Variable, out: &mut Vec<u8>) {
            out.extend_from_slice(self.0.as_bytes());
        }
    }

    #[test]
    fn a_host_is_a_host() {
        let table = [
            ("internal.test", "x", Some("internal.test")),
            ("internal.test:8080", "x", Some("internal.test:8080")),
            ("[::1]:80", "x", Some("[::1]:80")),
            ("$service_name.ns.svc", "app", Some("app.ns.svc")),
            ("$host", "a.test", Some("a.test")),
            ("$http_x", "", None),
            ("$http_x", "a b", None),
            ("$http_x", "u@a", None),
            ("$http_x", "a\r\nb: c", None),
        ];
        for (text, value, expected) in table {
            let host = UpstreamHost::parse(text).unwrap();
            let authority = host.authority(&Named(value));
            assert_eq!(authority.as_ref().map(Authority::as_str), expected, "{text}");
        }
        for text in ["", "a b", "http://a", "a/b", "u@a", "$nope", "a\"", "a;"] {
            assert!(UpstreamHost::parse(text).is_err(), "{text}");
        }
    }
}
