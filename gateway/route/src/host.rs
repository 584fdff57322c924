//! Hosts: one normal form for `Host`, `:authority`, absolute targets and Ingress rules.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Longest host name in its text form (RFC 1035 2.3.4).
const NAME_BYTES: usize = 253;

/// Scratch space for a host that is not in its normal form; lives on the stack or in a reused struct.
#[derive(Debug, Clone)]
pub struct HostBuf {
    bytes: [u8; NAME_BYTES + 3],
}

/// A request's host in its normal form: lower case, no trailing dot, no port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHost<'a> {
    name: &'a str,
    is_address: bool,
    port: Option<u16>,
}

/// Why a text is not the host of a request (RFC 9110 7.2, RFC 3986 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing is left without the port.
    #[error("the host is empty")]
    Empty,
    /// More than 253 characters, or a label of more than 63.
    #[error("the host or one of its labels is too long")]
    TooLong,
    /// Two dots in a row, or one at the start.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// A character that no host has: user information, lists, paths, percent signs, non-ASCII.
    #[error("the host has a character that is not allowed")]
    Character,
    /// What follows the colon is no port.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// Brackets without an IPv6 address in them.
    #[error("the brackets do not hold an IPv6 address")]
    Address,
}

/// A host name in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Arc<str>);

/// The host of an Ingress rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// No host: every request.
    Any,
    /// One host.
    Exact(Host),
    /// `*.` and this suffix: exactly one label before it.
    Wildcard(Host),
}

/// Why a text is not the host of an Ingress rule (Kubernetes, `IngressRule.host`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// `*` anywhere but as the whole first label.
    #[error("`{0}` is not a host; `*` stands only as the whole first label, as in `*.example.com`")]
    Wildcard(String),
    /// A port.
    #[error("`{0}` has a port, which a rule's host cannot have; write the host alone")]
    Port(String),
    /// An IP address.
    #[error(
        "`{0}` is an IP address, which a rule's host cannot be; leave the host out to match requests for an address"
    )]
    Address(String),
    /// Not a host name.
    #[error("`{0}` is not a host name: {1}")]
    Name(String, HostError),
    /// Not a valid internationalised name.
    #[error("`{0}` is not a valid internationalised host name; write it as A-labels (`xn--…`)")]
    International(String),
}

/// What `hosts` of a door allows: one host, or any host below a suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRestriction {
    /// This host alone.
    Exact(Host),
    /// `*.suffix`: hosts any number of labels below the suffix.
    Below(Host),
}

impl Default for HostBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl HostBuf {
    /// Empty scratch space.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: [0; NAME_BYTES + 3],
        }
    }
}

impl<'a> RequestHost<'a> {
    /// The normal form.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.name
    }

    /// The port that was written, if any.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// An IP address, which only rules without a host match.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.is_address
    }

    /// The part behind the first label, which a wildcard compares.
    #[must_use]
    pub fn parent(&self) -> Option<&'a str> {
        if self.is_address {
            None
        } else {
            self.name.split_once('.').map(|(_, parent)| parent)
        }
    }
}

/// Normalises the host of a request, with or without a port. Borrows `raw` when it is normal already.
///
/// # Errors
/// When `raw` is no host: the request is malformed (400).
pub fn normalise_authority<'a>(
    raw: &'a [u8],
    scratch: &'a mut HostBuf,
) -> Result<RequestHost<'a>, HostError> {
    if let [b'[', ..] = raw {
        return bracketed(raw, scratch);
    }
    let (name, port) = match memchr_colon(raw) {
        Some(at) => (
            raw.get(..at).unwrap_or_default(),
            parse_port(raw.get(at + 1..).unwrap_or_default())?,
        ),
        None => (raw, None),
    };
    let shape = inspect(name)?;
    let name = if shape.is_normal {
        std::str::from_utf8(name).map_err(|_never| HostError::Character)?
    } else {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let target = scratch.bytes.get_mut(..name.len()).ok_or(HostError::TooLong)?;
        target.copy_from_slice(name);
        target.make_ascii_lowercase();
        std::str::from_utf8(target).map_err(|_never| HostError::Character)?
    };
    let is_address = shape.ends_in_digit && name.parse::<Ipv4Addr>().is_ok();
    Ok(RequestHost {
        name,
        is_address,
        port,
    })
}

/// `[IPv6]` with or without a port (RFC 3986 3.2.2). Zone identifiers are not for the wire (RFC 6874 4).
fn bracketed<'a>(raw: &[u8], scratch: &'a mut HostBuf) -> Result<RequestHost<'a>, HostError> {
    let end = raw
        .iter()
        .position(|byte| *byte == b']')
        .ok_or(HostError::Address)?;
    let text = raw
        .get(1..end)
        .and_then(|text| std::str::from_utf8(text).ok())
        .ok_or(HostError::Address)?;
    let address: Ipv6Addr = text.parse().map_err(|_invalid| HostError::Address)?;
    let port = match raw.get(end + 1..).unwrap_or_default() {
        [] => None,
        [b':', port @ ..] => parse_port(port)?,
        _ => return Err(HostError::Character),
    };
    let mut cursor = std::io::Cursor::new(scratch.bytes.as_mut_slice());
    std::io::Write::write_fmt(&mut cursor, format_args!("[{address}]"))
        .map_err(|_full| HostError::TooLong)?;
    let length = usize::try_from(cursor.position()).map_err(|_never| HostError::TooLong)?;
    let name = scratch
        .bytes
        .get(..length)
        .and_then(|name| std::str::from_utf8(name).ok())
        .ok_or(HostError::Address)?;
    Ok(RequestHost {
        name,
        is_address: true,
        port,
    })
}

/// What one pass over a name finds.
struct Shape {
    is_normal: bool,
    ends_in_digit: bool,
}

fn inspect(name: &[u8]) -> Result<Shape, HostError> {
    let body = name.strip_suffix(b".").unwrap_or(name);
    if body.is_empty() {
        return Err(if name.is_empty() {
            HostError::Empty
        } else {
            HostError::EmptyLabel
        });
    }
    if body.len() > NAME_BYTES {
        return Err(HostError::TooLong);
    }
    let (mut label, mut upper) = (0_usize, false);
    for byte in body {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'A'..=b'Z' => {
                label += 1;
                upper = true;
            }
            b'.' if label == 0 => return Err(HostError::EmptyLabel),
            b'.' => label = 0,
            _ => return Err(HostError::Character),
        }
        if label > 63 {
            return Err(HostError::TooLong);
        }
    }
    if label == 0 {
        return Err(HostError::EmptyLabel);
    }
    Ok(Shape {
        is_normal: !upper && body.len() == name.len(),
        ends_in_digit: body.last().is_some_and(u8::is_ascii_digit),
    })
}

fn memchr_colon(raw: &[u8]) -> Option<usize> {
    raw.iter().position(|byte| *byte == b':')
}

/// Digits, or nothing at all (RFC 3986 3.2.3).
fn parse_port(digits: &[u8]) -> Result<Option<u16>, HostError> {
    if digits.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(digits).map_err(|_invalid| HostError::Port)?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostError::Port);
    }
    text.parse().map(Some).map_err(|_overflow| HostError::Port)
}

impl Host {
    /// The normal form as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl HostPattern {
    /// Parses the host of an Ingress rule; empty means [`HostPattern::Any`].
    ///
    /// # Errors
    /// When no request could ever carry such a host, or `*` stands anywhere but as the whole first label.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            return name(text, suffix).map(Self::Wildcard);
        }
        name(text, text).map(Self::Exact)
    }
}

/// As written in an Ingress; nothing for [`HostPattern::Any`].
impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Exact(host) => host.fmt(out),
            Self::Wildcard(suffix) => write!(out, "*.{suffix}"),
        }
    }
}

/// The normal form of a name in configuration. `written` is the whole text, for messages.
fn name(written: &str, text: &str) -> Result<Host, HostPatternError> {
    let owned = || written.to_owned();
    if text.contains('*') || text.is_empty() {
        return Err(HostPatternError::Wildcard(owned()));
    }
    if text.starts_with('[') || text.parse::<Ipv6Addr>().is_ok() {
        return Err(HostPatternError::Address(owned()));
    }
    if text.contains(':') {
        return Err(HostPatternError::Port(owned()));
    }
    let ascii = if text.is_ascii() {
        text.to_owned()
    } else {
        idna::domain_to_ascii_strict(text).map_err(|_invalid| HostPatternError::International(owned()))?
    };
    let mut scratch = HostBuf::new();
    let host = normalise_authority(ascii.as_bytes(), &mut scratch)
        .map_err(|error| HostPatternError::Name(owned(), error))?;
    if host.is_address() {
        return Err(HostPatternError::Address(owned()));
    }
    // An A-label that does not decode, or not to itself, is another name in disguise.
    if host.as_str().split('.').any(|label| label.starts_with("xn--")) {
        let (unicode, outcome) = idna::domain_to_unicode(host.as_str());
        let round_trip = outcome.ok().and_then(|()| idna::domain_to_ascii(&unicode).ok());
        if round_trip.as_deref() != Some(host.as_str()) {
            return Err(HostPatternError::International(owned()));
        }
    }
    Ok(Host(host.as_str().into()))
}

impl HostRestriction {
    /// Parses an entry of a door's `hosts`: a host, or `*.suffix` for any depth below it.
    ///
    /// # Errors
    /// As for a rule's host.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        match HostPattern::parse(text)? {
            HostPattern::Exact(host) => Ok(Self::Exact(host)),
            HostPattern::Wildcard(suffix) => Ok(Self::Below(suffix)),
            HostPattern::Any => Err(HostPatternError::Name(text.to_owned(), HostError::Empty)),
        }
    }

    /// Whether every host that `pattern` matches is allowed.
    #[must_use]
    pub fn admits(&self, pattern: &HostPattern) -> bool {
        let below = |host: &Host, suffix: &Host| {
            host.as_str()
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        match (self, pattern) {
            (_, HostPattern::Any) | (Self::Exact(_), HostPattern::Wildcard(_)) => false,
            (Self::Exact(allowed), HostPattern::Exact(host)) => allowed == host,
            (Self::Below(suffix), HostPattern::Exact(host)) => below(host, suffix),
            // `*.a.b` lies within `*.a.b` and within `*.b`.
            (Self::Below(suffix), HostPattern::Wildcard(of)) => of == suffix || below(of, suffix),
        }
    }
}
