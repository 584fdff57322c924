//! Cross-origin resource sharing (the Fetch standard, "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
};

use crate::fields::FieldEdits;
use crate::pattern::{Case, Pattern, PatternError};
use crate::url::shown;

/// Which scripts may read the responses of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// In order; the first that fits counts.
    pub origins: Vec<OriginRule>,
    /// The methods that a script may use.
    pub methods: Option<CorsList>,
    /// The request's fields that a script may set.
    pub headers: Option<CorsList>,
    /// The response's fields that a script may see.
    pub exposed: Option<CorsList>,
    /// Scripts may send cookies and credentials.
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight, in seconds.
    pub max_age: Option<u64>,
    /// Responses say that they depend on `Origin` even if they do not.
    pub vary: bool,
    /// Whose habits it has.
    pub manner: Manner,
}

/// What differs between the products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// ingress-nginx, and our own: 204 to a preflight, and no fields of CORS but these, those of the backend neither.
    Whole,
    /// Traefik: 200 to a preflight, and each field stands by itself.
    Traefik,
}

/// A set of origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// `*`: all of them, and never with credentials.
    Any,
    /// This one, or one label more with `*.` before it.
    Listed(OriginPattern),
    /// `null`: documents without an origin of their own.
    Null,
    /// Those that match from the first to the last character.
    Matching(Pattern),
}

/// `scheme://host[:port]`, in lower case, without the port that the scheme has anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: Box<str>,
    /// Without `*.`
    host: Box<str>,
    port: Option<u16>,
    /// One label stands before the host.
    below: bool,
    /// All of it, as browsers write it.
    text: HeaderValue,
}

/// Methods or names of fields, as the response lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsList {
    text: HeaderValue,
    /// It has `*`.
    any: bool,
}

/// Why CORS cannot be honoured as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// Not an origin.
    #[error("{} is not an origin such as `https://app.example.com` or `https://*.example.com:8443`", shown(.0))]
    Origin(Box<str>),
    /// Not an origin, where every element is meant literally.
    #[error(
        "{} is not an origin such as `https://app.example.com`; patterns belong into accessControlAllowOriginListRegex",
        shown(.0)
    )]
    Literal(Box<str>),
    /// Nobody.
    #[error("the list of origins is empty; write origins such as `https://app.example.com`, or `*`")]
    NoOrigin,
    /// Not a method or the name of a field.
    #[error("`{0}` is neither a name nor `*`")]
    Element(Box<str>),
    /// Not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// What a request says about the script that sends it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CrossOrigin<'a> {
    /// The method is OPTIONS.
    pub is_options: bool,
    /// `Origin`.
    pub origin: Option<&'a [u8]>,
    /// `Access-Control-Request-Method`.
    pub method: Option<&'a [u8]>,
    /// `Access-Control-Request-Headers`.
    pub headers: Option<&'a [u8]>,
}

/// Whether a script may read the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may not.
    Refused,
    /// Any script may that sends no credentials.
    Anybody,
    /// Scripts of this origin may.
    Origin(HeaderValue),
    /// Scripts of the origin in this place of [`Cors::origins`] may, which the request writes in the same way.
    Listed(usize),
}

impl Cors {
    /// The methods that ingress-nginx allows where nothing is written.
    pub const METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
    /// The fields that ingress-nginx allows where nothing is written.
    pub const HEADERS: &str = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";
    /// How long ingress-nginx has preflights remembered where nothing is written, in seconds: 20 days.
    pub const MAX_AGE: u64 = 1_728_000;

    /// The status of the answer to a preflight.
    #[must_use]
    pub fn preflight_status(&self) -> u16 {
        match self.manner {
            Manner::Whole => 204,
            Manner::Traefik => 200,
        }
    }

    /// The fields of the answer to a preflight; `None` if the request is none.
    #[must_use]
    pub fn preflight(&self, asked: &CrossOrigin<'_>) -> Option<FieldEdits> {
        let (true, Some(_), Some(method)) = (asked.is_options, asked.origin, asked.method) else {
            return None;
        };
        let mut fields = FieldEdits::default();
        let verdict = self.verdict(asked.origin);
        self.edit(&verdict, false, &mut fields);
        if verdict == Verdict::Refused && self.manner == Manner::Whole {
            return Some(fields);
        }
        let methods = [(
            &self.methods,
            ACCESS_CONTROL_ALLOW_METHODS,
            Some(method),
            ACCESS_CONTROL_REQUEST_METHOD,
        )];
        let headers = [(
            &self.headers,
            ACCESS_CONTROL_ALLOW_HEADERS,
            asked.headers,
            ACCESS_CONTROL_REQUEST_HEADERS,
        )];
        for (list, name, asked, asked_in) in methods.into_iter().chain(headers) {
            let Some(list) = list else { continue };
            if list.any && self.credentials {
                // With credentials `*` is a name like any other, so that what is asked for must be said.
                fields.vary(&asked_in, false);
                if let Some(asked) = asked
                    .filter(|asked| is_list(asked))
                    .and_then(|asked| HeaderValue::from_bytes(asked).ok())
                {
                    fields.append(name, asked);
                }
            } else {
                fields.append(name, list.text.clone());
            }
        }
        if let Some(seconds) = self.max_age {
            fields.append(ACCESS_CONTROL_MAX_AGE, seconds.into());
        }
        Some(fields)
    }

    /// Who may read the response to a request with this `Origin`.
    #[must_use]
    pub fn verdict(&self, origin: Option<&[u8]>) -> Verdict {
        for (place, rule) in self.origins.iter().enumerate() {
            if matches!(rule, OriginRule::Any) {
                return Verdict::Anybody;
            }
            if rule.text().is_some_and(|text| Some(text.as_bytes()) == origin) {
                return Verdict::Listed(place);
            }
            if let Some(origin) = origin
                && rule.admits(origin)
                && let Ok(value) = HeaderValue::from_bytes(origin)
            {
                return Verdict::Origin(value);
            }
        }
        Verdict::Refused
    }

    /// Edits the response's fields. `varies`: the response says already that it depends on `Origin`.
    pub fn edit(&self, verdict: &Verdict, varies: bool, fields: &mut FieldEdits) {
        let is_whole = self.manner == Manner::Whole;
        if is_whole {
            for name in OF_RESPONSES {
                fields.remove(name);
            }
        }
        match verdict {
            Verdict::Refused => {}
            Verdict::Anybody => fields.set(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            Verdict::Origin(origin) => fields.set(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
            Verdict::Listed(place) => {
                if let Some(text) = self.origins.get(*place).and_then(OriginRule::text) {
                    fields.set(ACCESS_CONTROL_ALLOW_ORIGIN, text.clone());
                }
            }
        }
        if *verdict != Verdict::Refused || !is_whole {
            if self.credentials {
                fields.set(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            if let Some(exposed) = &self.exposed {
                fields.set(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.text.clone());
            }
        }
        if self.varies() {
            fields.vary(&ORIGIN, varies);
        }
    }

    /// Whether both allow the same, whoever's habits they have.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let same = |left: &Option<CorsList>, right: &Option<CorsList>| match (left, right) {
            (Some(left), Some(right)) => left.agrees_with(right),
            (left, right) => left == right,
        };
        self.origins == other.origins
            && same(&self.methods, &other.methods)
            && same(&self.headers, &other.headers)
            && same(&self.exposed, &other.exposed)
            && (self.credentials, self.max_age) == (other.credentials, other.max_age)
    }

    /// Whether Traefik would take it for CORS: it answers preflights only then.
    #[must_use]
    pub fn says_something(&self) -> bool {
        let lists = [&self.methods, &self.headers, &self.exposed];
        !self.origins.is_empty()
            || lists.into_iter().any(Option::is_some)
            || self.credentials
            || self.max_age.is_some()
            || self.vary
    }

    /// Whether responses say that they depend on `Origin`, which caches must know.
    #[must_use]
    pub fn varies(&self) -> bool {
        self.vary || self.origins.iter().any(|rule| !matches!(rule, OriginRule::Any))
    }
}

/// The fields of CORS in responses.
const OF_RESPONSES: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

impl OriginRule {
    /// The origins of a list with commas. `*` among them means all of them.
    ///
    /// # Errors
    /// When an element is no origin, or there is none.
    pub fn list(text: &str) -> Result<Vec<Self>, CorsError> {
        let mut rules = Vec::new();
        for element in text
            .split(',')
            .map(str::trim)
            .filter(|element| !element.is_empty())
        {
            if element == "*" {
                return Ok(vec![Self::Any]);
            }
            let pattern = OriginPattern::parse(element).ok_or_else(|| CorsError::Origin(element.into()))?;
            rules.push(Self::Listed(pattern));
        }
        if rules.is_empty() {
            Err(CorsError::NoOrigin)
        } else {
            Ok(rules)
        }
    }

    /// One element of Traefik's list: `*`, `null` or exactly one origin.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn literal(text: &str) -> Result<Self, CorsError> {
        match text {
            "*" => Ok(Self::Any),
            "null" => Ok(Self::Null),
            text => OriginPattern::parse(text)
                .filter(|pattern| !pattern.below)
                .map(Self::Listed)
                .ok_or_else(|| CorsError::Literal(text.into())),
        }
    }

    /// An expression of Traefik's list, which must match a whole origin.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn matching(text: &str) -> Result<Self, CorsError> {
        // By itself first: `a)|(b` is none, and would become one within the group.
        Pattern::new(text, Case::Sensitive)?;
        let whole = format!(r"\A(?:{text})\z");
        Ok(Self::Matching(Pattern::new(&whole, Case::Sensitive)?))
    }

    /// Whether it is an expression for any origin, which reflects what `*` must not.
    #[must_use]
    pub fn is_boundless(&self) -> bool {
        let strangers: [&[u8]; 2] = [b"https://a.invalid", b"https://sub.b.invalid:8443"];
        matches!(self, Self::Matching(_)) && strangers.into_iter().all(|origin| self.admits(origin))
    }

    /// The only origin that it admits, as browsers write it.
    fn text(&self) -> Option<&HeaderValue> {
        match self {
            Self::Listed(pattern) if !pattern.below => Some(&pattern.text),
            Self::Listed(_) | Self::Any | Self::Null | Self::Matching(_) => None,
        }
    }

    fn admits(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Null => origin == b"null",
            Self::Listed(pattern) => pattern.admits(origin),
            Self::Matching(pattern) => pattern.is_match(origin),
        }
    }
}

impl OriginPattern {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, host, port) = parts(text.as_bytes())?;
        let (scheme, host) = (str::from_utf8(scheme).ok()?, str::from_utf8(host).ok()?);
        let (below, host) = match host.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, host),
        };
        let is_host = is_bracketed(host) && !below || host.split('.').all(|label| is_label(label.as_bytes()));
        let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
        let star = if below { "*." } else { "" };
        let text = HeaderValue::try_from(format!("{scheme}://{star}{host}{port_text}")).ok()?;
        is_host.then(|| Self {
            scheme: scheme.into(),
            host: host.into(),
            port,
            below,
            text,
        })
    }

    fn admits(&self, origin: &[u8]) -> bool {
        let Some((scheme, host, port)) = parts(origin) else {
            return false;
        };
        let host = match (self.below, host.iter().position(|byte| *byte == b'.')) {
            (false, _) => Some(host),
            (true, Some(dot)) => host
                .get(dot + 1..)
                .filter(|_| host.get(..dot).is_some_and(is_label)),
            (true, None) => None,
        };
        port == self.port
            && scheme.eq_ignore_ascii_case(self.scheme.as_bytes())
            && host.is_some_and(|host| host.eq_ignore_ascii_case(self.host.as_bytes()))
    }
}

/// Whether it can stand between two dots of a host.
fn is_label(label: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    !label.is_empty() && label.iter().all(fits)
}

/// Scheme, host and port of an origin; the port that the scheme has anyway is none.
fn parts(origin: &[u8]) -> Option<(&[u8], &[u8], Option<u16>)> {
    let colon = origin.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = origin.split_at_checked(colon)?;
    let authority = rest.strip_prefix(b"://")?;
    let first = scheme.first().is_some_and(u8::is_ascii_alphabetic);
    if !first
        || !scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
    {
        return None;
    }
    let end_of_host = authority
        .iter()
        .rposition(|byte| *byte == b']')
        .map_or(0, |bracket| bracket + 1);
    let colon = authority
        .get(end_of_host..)?
        .iter()
        .position(|byte| *byte == b':');
    let (host, port) = match colon {
        None => (authority, None),
        Some(colon) => {
            let (host, port) = authority.split_at_checked(end_of_host + colon)?;
            let digits = str::from_utf8(port.get(1..)?).ok()?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            (host, Some(digits.parse::<u16>().ok().filter(|_| is_number)?))
        }
    };
    let default = match scheme {
        scheme if scheme.eq_ignore_ascii_case(b"https") => Some(443),
        scheme if scheme.eq_ignore_ascii_case(b"http") => Some(80),
        _ => None,
    };
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._*[]:".contains(byte);
    let is_host = !host.is_empty() && host.iter().all(is_part);
    is_host.then_some((scheme, host, port.filter(|port| Some(*port) != default)))
}

fn is_bracketed(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

impl CorsList {
    /// A list as it is written, with commas; it is sent in this form.
    ///
    /// # Errors
    /// When an element is neither a token nor `*`, or there is none.
    pub fn parse(text: &str) -> Result<Self, CorsError> {
        let elements = text.split(',').map(str::trim);
        if let Some(wrong) = { elements.clone() }.find(|element| !is_token(element.as_bytes())) {
            return Err(CorsError::Element(wrong.into()));
        }
        let value = HeaderValue::from_str(text.trim()).map_err(|_| CorsError::Element(text.into()))?;
        Ok(Self {
            text: value,
            any: { elements }.any(|element| element == "*"),
        })
    }

    fn elements(&self) -> impl Iterator<Item = &[u8]> {
        self.text
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self.elements().eq(other.elements())
    }

    /// A list of separate elements; `None` if there is none.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of<E: AsRef<str>>(elements: &[E]) -> Result<Option<Self>, CorsError> {
        let elements: Vec<&str> = elements.iter().map(AsRef::as_ref).collect();
        match elements.as_slice() {
            [] => Ok(None),
            elements => Self::parse(&elements.join(",")).map(Some),
        }
    }
}

/// Whether it is a list of tokens, as a browser asks for fields.
fn is_list(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .all(|element| is_token(element.trim_ascii()))
}

/// Whether it is a token (RFC 9110 5.6.2).
fn is_token(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_part)
}

#[cfg(test)]
mod tests;
