//! What is asked: a URL, and what else a request for it says.

use std::net::IpAddr;

use door::Scheme;
use percent_encoding::{AsciiSet, CONTROLS, PercentEncode, utf8_percent_encode};
use route::{HostBuf, HostPattern, normalise_authority};
use text::Shown;

/// The longest URL, and the most fields: more than any door takes.
const MOST_BYTES: usize = 64 * 1024;

/// A request that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// As it was written.
    pub(crate) url: String,
    /// As it was written.
    pub(crate) method: String,
    /// The other end of the connection; `None` if that is not known.
    pub(crate) client: Option<IpAddr>,
    /// Only this door is asked about.
    pub(crate) door: Option<String>,
    /// Of the rules that do not answer, only those of this namespace are told.
    pub(crate) namespace: Option<String>,
    /// The scheme of the URL; `None` if it has none.
    pub(crate) scheme: Option<Scheme>,
    /// The port of the URL.
    pub(crate) port: Option<u16>,
    /// Host and port of the URL, as a request says them.
    authority: String,
    /// Path and query of the URL, as a request says them.
    target: String,
    /// The head of the request.
    pub(crate) head: Vec<u8>,
}

/// What is wrong with a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuestionError {
    #[error("`{url}` is no URL: {why}; write it as in `https://shop.example.com/cart?x=1`")]
    Url { url: String, why: String },
    #[error("`{0}` is no method; write one word, as in `GET`")]
    Method(String),
    #[error(
        "the header field `{0}` has no name, or what no field may have; write it as in `Accept: text/html`"
    )]
    Header(String),
    #[error("`{0}` is no IP address of a client")]
    Client(String),
    #[error("the URL and the header fields are longer than {MOST_BYTES} bytes")]
    TooLong,
}

impl Question {
    /// Reads what was asked. `headers` are lines as in `Accept: text/html`; a `Host` among them counts instead of the host of
    /// the URL.
    ///
    /// # Errors
    /// When it is no request that a client could send.
    pub(crate) fn parse<'h>(
        url: &str,
        method: Option<&str>,
        headers: impl IntoIterator<Item = &'h str>,
        client: Option<&str>,
        door: Option<&str>,
    ) -> Result<Self, QuestionError> {
        let headers: Vec<&str> = headers.into_iter().collect();
        let written = url.len() + headers.iter().map(|header| header.len() + 2).sum::<usize>();
        if written > MOST_BYTES {
            return Err(QuestionError::TooLong);
        }
        let method = method.unwrap_or("GET");
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(QuestionError::Method(cut(method)));
        }
        let client = client.map(|client| client.parse().map_err(|_| QuestionError::Client(cut(client))));
        let parsed = Url::parse(url).map_err(|why| QuestionError::Url { url: cut(url), why })?;
        let mut head = format!("{method} {} HTTP/1.1\r\n", parsed.target);
        let fields = headers
            .iter()
            .map(|header| field(header))
            .collect::<Result<Vec<_>, _>>()?;
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {}\r\n", parsed.authority));
        }
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Ok(Self {
            url: url.to_owned(),
            method: method.to_owned(),
            client: client.transpose()?,
            door: door.map(str::to_owned),
            namespace: None,
            scheme: parsed.scheme,
            port: parsed.port,
            authority: parsed.authority,
            target: parsed.target,
            head: head.into_bytes(),
        })
    }

    /// Host and port of the URL, and its path without the query, as a request says them.
    pub(crate) fn place(&self) -> (&str, &str) {
        let path = self.target.split('?').next().unwrap_or_default();
        (&self.authority, path)
    }

    /// The same, where only the rules of one namespace are of interest. The rule that answers is told whoever has written it.
    pub(crate) fn about(mut self, namespace: Option<&str>) -> Self {
        self.namespace = namespace.map(str::to_owned);
        self
    }
}

/// The parts of a URL that a request has.
struct Url {
    scheme: Option<Scheme>,
    authority: String,
    port: Option<u16>,
    target: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(control) = text.chars().find(|character| character.is_control()) {
            return Err(format!("it holds the character {control:?}"));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                let scheme = match &*scheme.to_ascii_lowercase() {
                    "http" | "ws" => Scheme::Http,
                    "https" | "wss" => Scheme::Https,
                    other => return Err(format!("`{other}` is not `http` or `https`")),
                };
                (Some(scheme), rest)
            }
            Some(_) | None => (None, text),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (written, target) = rest.split_at_checked(end).unwrap_or_default();
        if written.contains('@') {
            return Err("it has a user in it".to_owned());
        }
        let authority = of_request(written)?;
        let mut scratch = HostBuf::new();
        let host =
            normalise_authority(authority.as_bytes(), &mut scratch).map_err(|error| error.to_string())?;
        let port = host.port();
        let target = match target.as_bytes().first() {
            None => "/".to_owned(),
            Some(b'/') => escaped(target).to_string(),
            Some(_) => format!("/{}", escaped(target)),
        };
        Ok(Self {
            scheme,
            authority,
            port,
            target,
        })
    }
}

/// The authority as clients send it: names with other letters than those of DNS as A-labels (RFC 5890).
fn of_request(written: &str) -> Result<String, String> {
    if written.is_ascii() {
        return Ok(written.to_owned());
    }
    let (name, port) = match written.rsplit_once(':') {
        Some((name, port)) => (name, format!(":{port}")),
        None => (written, String::new()),
    };
    match HostPattern::parse(name) {
        Ok(HostPattern::Exact(host)) => Ok(format!("{host}{port}")),
        Ok(HostPattern::Any | HostPattern::Wildcard(_)) => Err("the host is missing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What no URL may hold, and clients therefore escape.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');

fn escaped(target: &str) -> PercentEncode<'_> {
    utf8_percent_encode(target, ESCAPED)
}

fn field(header: &str) -> Result<(&str, &str), QuestionError> {
    let parts = header.split_once(':');
    let parts = parts.map(|(name, value)| (name.trim_end(), value.trim()));
    parts
        .filter(|(name, value)| {
            let is_name = !name.is_empty() && name.bytes().all(is_token);
            is_name
                && !value
                    .chars()
                    .any(|character| character.is_control() && character != '\t')
        })
        .ok_or_else(|| QuestionError::Header(cut(parts.map_or(header, |(name, _)| name))))
}

/// RFC 9110 5.6.2
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a message repeats.
fn cut(text: &str) -> String {
    const MOST: usize = 200;
    let shown: String = text.chars().take(MOST).collect();
    Shown(shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(url: &str) -> Result<String, String> {
        let question = Question::parse(url, None, [], None, None).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(question.head).unwrap())
    }

    #[test]
    fn a_url_becomes_the_request_that_a_client_sends() {
        let table = [
            ("http://a.test", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            (
                "https://A.test:8443/x?y=1#z",
                "GET /x?y=1 HTTP/1.1\r\nHost: A.test:8443\r\n\r\n",
            ),
            ("a.test/x", "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            ("HTTP://a.test.?q", "GET /?q HTTP/1.1\r\nHost: a.test.\r\n\r\n"),
            ("http://[::1]:8080/", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"),
            (
                "http://bücher.test/ä b",
                "GET /%C3%A4%20b HTTP/1.1\r\nHost: xn--bcher-kva.test\r\n\r\n",
            ),
            (
                "http://a.test/%2e%2E/x",
                "GET /%2e%2E/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            (
                "http://a.test/a://b",
                "GET /a://b HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
        ];
        for (url, expected) in table {
            assert_eq!(head(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_no_client_can_send_is_an_error() {
        for (url, why) in [
            ("", "empty"),
            ("http://", "empty"),
            ("http:///x", "empty"),
            ("ftp://a.test/", "`ftp` is not"),
            ("http://me@a.test/", "user"),
            ("http://a..test/", "empty label"),
            ("http://a.test:99999/", "port"),
            ("http://a.test:x/", "port"),
            ("http://a b/", "character"),
            ("http://a.test/\r\nX: y", "'\\r'"),
            ("http://[::1/", "brackets"),
        ] {
            let error = head(url).unwrap_err();
            assert!(error.contains(why), "{url:?}: {error}");
        }
        let ask = |method, header| Question::parse("http://a.test/", Some(method), [header], None, None);
        assert_eq!(ask("GE T", "A: b"), Err(QuestionError::Method("GE T".to_owned())));
        for header in ["A", ": b", "A b: c", "A: b\r\nC: d", "A: \u{0}"] {
            assert!(
                matches!(ask("GET", header), Err(QuestionError::Header(_))),
                "{header:?}"
            );
        }
        let long = format!("http://a.test/{}", "x".repeat(MOST_BYTES));
        assert_eq!(
            Question::parse(&long, None, [], None, None),
            Err(QuestionError::TooLong)
        );
        let client = Question::parse("http://a.test/", None, [], Some("a.test"), None);
        assert_eq!(client, Err(QuestionError::Client("a.test".to_owned())));
    }

    /// An error never repeats the value of a field, which may be a password.
    #[test]
    fn values_of_fields_are_not_repeated() {
        let asked = Question::parse("http://a.test/", None, ["Authori zation: secret"], None, None);
        assert!(!asked.unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn a_host_among_the_fields_counts() {
        let asked = Question::parse(
            "http://127.0.0.1:10002/x",
            Some("POST"),
            ["host: b.test"],
            Some("::1"),
            Some("a"),
        );
        let asked = asked.unwrap();
        assert_eq!(asked.head, b"POST /x HTTP/1.1\r\nhost: b.test\r\n\r\n");
        assert_eq!((asked.port, asked.scheme), (Some(10002), Some(Scheme::Http)));
        assert_eq!(asked.place(), ("127.0.0.1:10002", "/x"));
        assert_eq!(asked.client, Some("::1".parse().unwrap()));
    }
}
