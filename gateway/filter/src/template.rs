//! Texts with variables of the request in them, as nginx writes them: `https://$host$request_uri`.

use std::fmt;

use crate::bounds::{TooMuch, check_length, push};
use crate::url::shown;

/// A text with variables in it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Template {
    text: Box<str>,
    parts: Box<[Part]>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// Text that stands for itself.
    Text(Box<str>),
    /// What the request says.
    Variable(Variable),
}

/// A variable, by its name in nginx.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Variable {
    /// `host`: the host in its normal form, without a port.
    Host,
    /// `http_host`: the host as the client wrote it, with its port.
    HttpHost,
    /// `scheme`: the door's.
    Scheme,
    /// `request_uri`: path and query as the client wrote them.
    RequestUri,
    /// `escaped_request_uri`: the same, percent-encoded, for a parameter (ingress-nginx has it).
    EscapedRequestUri,
    /// `uri`: the path in its normal form.
    Uri,
    /// `args`, `query_string`: the query.
    Args,
    /// `is_args`: `?` where there is a query.
    IsArgs,
    /// `request_method`
    RequestMethod,
    /// `remote_addr`: the client's address.
    RemoteAddr,
    /// `remote_user`: who has logged in.
    RemoteUser,
    /// `request_id`
    RequestId,
    /// `http_NAME`: the first field of this name, in lower case and with `_` for `-`.
    Http(Box<str>),
    /// `arg_NAME`: the first parameter of this name in the query.
    Arg(Box<str>),
    /// `cookie_NAME`
    Cookie(Box<str>),
    /// `namespace`: that of the Ingress.
    Namespace,
    /// `service_name`: the name of the Service.
    ServiceName,
    /// `service_port`: its port.
    ServicePort,
}

/// What variables stand for in one request.
pub trait Values {
    /// Appends the value of `variable`; nothing if the request has none.
    fn write(&self, variable: &Variable, out: &mut Vec<u8>);
}

impl Template {
    /// Parses a text. `$name` and `${name}` are variables.
    ///
    /// # Errors
    /// When it has more than 4 KiB, or a `$` that does not begin a known variable.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_length(text)?;
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let (name, after) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').unwrap_or_default(),
                None => {
                    let is_name = |next: char| next.is_ascii_alphanumeric() || next == '_';
                    let end = after.find(|next| !is_name(next)).unwrap_or(after.len());
                    after.split_at_checked(end).unwrap_or_default()
                }
            };
            let Some(variable) = Variable::of(name) else {
                return Err(if name.is_empty() {
                    format!("{} has a `$` that begins no variable", shown(text))
                } else {
                    format!(
                        "{} has the variable `${name}`, which is not known here",
                        shown(text)
                    )
                });
            };
            parts.push(Part::Variable(variable));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self {
            text: text.into(),
            parts: parts.into(),
        })
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its pieces. Two texts never follow each other.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(variable) => Some(variable),
        })
    }

    /// Its text, if it has no variables.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            [..] => None,
        }
    }

    /// Appends it to `out`, with the values of one request.
    ///
    /// # Errors
    /// When `out` becomes too long.
    pub fn expand(&self, values: &dyn Values, out: &mut Vec<u8>) -> Result<(), TooMuch> {
        for part in &self.parts {
            match part {
                Part::Text(text) => push(out, text.as_bytes())?,
                Part::Variable(variable) => {
                    values.write(variable, out);
                    push(out, b"")?;
                }
            }
        }
        Ok(())
    }
}

impl Variable {
    /// The variable of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let known = match name {
            "host" => Self::Host,
            "http_host" => Self::HttpHost,
            "scheme" => Self::Scheme,
            "request_uri" => Self::RequestUri,
            "escaped_request_uri" => Self::EscapedRequestUri,
            "uri" => Self::Uri,
            "args" | "query_string" => Self::Args,
            "is_args" => Self::IsArgs,
            "request_method" => Self::RequestMethod,
            "remote_addr" => Self::RemoteAddr,
            "remote_user" => Self::RemoteUser,
            "request_id" => Self::RequestId,
            "namespace" => Self::Namespace,
            "service_name" => Self::ServiceName,
            "service_port" => Self::ServicePort,
            _ => {
                let (kind, name) = name.split_once('_').filter(|(_, name)| !name.is_empty())?;
                match kind {
                    "http" => Self::Http(name.to_ascii_lowercase().into()),
                    "arg" => Self::Arg(name.into()),
                    "cookie" => Self::Cookie(name.into()),
                    _ => return None,
                }
            }
        };
        Some(known)
    }

    /// Whether the client chooses its value freely. What it names in the place of a host would be an open redirect.
    #[must_use]
    pub fn is_free(&self) -> bool {
        match self {
            // The door has a rule for this host.
            Self::Host | Self::HttpHost | Self::Scheme => false,
            Self::Namespace | Self::ServiceName | Self::ServicePort => false,
            Self::RequestUri | Self::EscapedRequestUri | Self::Uri | Self::Args | Self::IsArgs => true,
            Self::RequestMethod | Self::RemoteAddr | Self::RemoteUser | Self::RequestId => true,
            Self::Http(_) | Self::Arg(_) | Self::Cookie(_) => true,
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Template({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named;

    impl Values for Named {
        fn write(&self, variable: &Variable, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("<{variable:?}>").as_bytes());
        }
    }

    #[test]
    fn variables_are_found() {
        let table = [
            ("plain", "plain"),
            ("", ""),
            ("$scheme://$host$request_uri", "<Scheme>://<Host><RequestUri>"),
            ("${host}name", "<Host>name"),
            ("/x?$args", "/x?<Args>"),
            ("/x$is_args$query_string", "/x<IsArgs><Args>"),
            ("$http_X_User", "<Http(\"x_user\")>"),
            ("$arg_a-$cookie_B", "<Arg(\"a\")>-<Cookie(\"B\")>"),
        ];
        for (text, expected) in table {
            let template = Template::parse(text).unwrap();
            let mut out = Vec::new();
            template.expand(&Named, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        let table = [
            ("$hostname", "`$hostname`, which is not known"),
            ("$1", "`$1`, which is not known"),
            ("a$", "a `$` that begins no variable"),
            ("a$-b", "a `$` that begins no variable"),
            ("${host", "a `$` that begins no variable"),
            ("$http_", "`$http_`, which is not known"),
            ("$upstream_addr", "not known"),
        ];
        for (text, expected) in table {
            let message = Template::parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn long_texts_are_refused_and_long_results_not_made() {
        struct Long;

        impl Values for Long {
            fn write(&self, _: &Variable, out: &mut Vec<u8>) {
                out.extend_from_slice(&[b'a'; 1024]);
            }
        }

        assert!(
            Template::parse(&"a".repeat(4097))
                .unwrap_err()
                .contains("at most 4096")
        );
        let mut out = Vec::new();
        let fitting = Template::parse(&"$uri".repeat(64)).unwrap();
        assert_eq!(fitting.expand(&Long, &mut out), Ok(()));
        out.clear();
        let template = Template::parse(&"$uri".repeat(1024)).unwrap();
        assert_eq!(template.expand(&Long, &mut out), Err(TooMuch));
        assert_eq!(out.len(), 65 << 10);
    }
}
