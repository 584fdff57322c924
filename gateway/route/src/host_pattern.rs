//! The hosts of rules, and what a door lets rules expose.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::host::{Host, HostBuf, HostError, RequestHost, normalise_sni};

/// The host of an Ingress rule (Kubernetes networking/v1, `IngressRule.host`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// No host: every request.
    Any,
    /// One host.
    Exact(Host),
    /// `*.` and this suffix: exactly one label before it.
    Wildcard(Host),
}

/// Why a text is not the host of an Ingress rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// `*` anywhere except as the whole first label.
    #[error(
        "`{0}` is not a host; `*` is allowed only as the whole first label, as in `*.example.com`; leave the host out to match every host"
    )]
    Wildcard(String),
    /// A port, or what looks like one.
    #[error("`{0}` has a port, which a rule's host cannot have; write `{name}`", name = before_port(.0))]
    Port(String),
    /// A scheme or a path.
    #[error("`{0}` is a URL; write its host alone, and its path under `paths`")]
    Url(String),
    /// An IP address.
    #[error(
        "`{0}` is an IP address, which a rule's host cannot be; leave the host out to match requests for an address"
    )]
    Address(String),
    /// Not a host name.
    #[error("`{0}` is not a host name: {1}")]
    Name(String, HostError),
    /// An internationalised name that is invalid, or that is not written in its normal form.
    #[error(
        "`{0}` is not an internationalised host name in its normal form (UTS 46); write it in lower case or as A-labels (`xn--…`)"
    )]
    International(String),
}

/// What `hosts` of a door allows: one host, or any host below a suffix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostRestriction {
    /// This host alone.
    Exact(Host),
    /// `*.suffix`: hosts any number of labels below the suffix.
    Below(Host),
}

impl HostPattern {
    /// Parses the host of an Ingress rule; empty means [`HostPattern::Any`].
    ///
    /// # Errors
    /// When no request could ever carry such a host, or `*` is anywhere except as the whole first label.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        match text.strip_prefix("*.") {
            Some(suffix) => name(text, suffix).map(Self::Wildcard),
            None => name(text, text).map(Self::Exact),
        }
    }

    /// Whether this pattern alone matches the host of a request.
    #[must_use]
    pub fn matches(&self, host: Option<&RequestHost<'_>>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => host.is_some_and(|host| !host.is_address() && host.as_str() == own.as_str()),
            Self::Wildcard(suffix) => host.and_then(|host| host.parent()) == Some(suffix.as_str()),
        }
    }

    /// The wildcard that covers it, when it is one host of more than one label.
    #[must_use]
    pub fn wildcard(&self) -> Option<Self> {
        match self {
            Self::Exact(host) => host.parent().map(Self::Wildcard),
            Self::Any | Self::Wildcard(_) => None,
        }
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

impl HostRestriction {
    /// Parses an entry of a door's `hosts`: a host, or `*.suffix` for any depth below it.
    ///
    /// # Errors
    /// As for a rule's host. The empty text restricts nothing and is an error too.
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
        match (self, pattern) {
            (_, HostPattern::Any) | (Self::Exact(_), HostPattern::Wildcard(_)) => false,
            (Self::Exact(allowed), HostPattern::Exact(host)) => allowed == host,
            (Self::Below(suffix), HostPattern::Exact(host)) => is_below(host, suffix),
            // `*.a.b` lies within `*.a.b` and within `*.b`.
            (Self::Below(suffix), HostPattern::Wildcard(of)) => of == suffix || is_below(of, suffix),
        }
    }
}

/// As written in `hosts`.
impl fmt::Display for HostRestriction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(out),
            Self::Below(suffix) => write!(out, "*.{suffix}"),
        }
    }
}

fn is_below(host: &Host, suffix: &Host) -> bool {
    host.as_str()
        .strip_suffix(suffix.as_str())
        .is_some_and(|rest| rest.ends_with('.'))
}

/// The normal form of a name in configuration. `written` is the whole text, for messages.
fn name(written: &str, text: &str) -> Result<Host, HostPatternError> {
    let written = || written.to_owned();
    if text.is_empty() || text.contains('*') {
        return Err(HostPatternError::Wildcard(written()));
    }
    if text.contains('/') {
        return Err(HostPatternError::Url(written()));
    }
    if text.starts_with('[') || text.parse::<Ipv6Addr>().is_ok() {
        return Err(HostPatternError::Address(written()));
    }
    match text.split_once(':') {
        None => {}
        Some(("", _)) => return Err(HostPatternError::Name(written(), HostError::Empty)),
        // With more than one colon it is meant as an IPv6 address.
        Some((host, port)) if port.contains(':') || host.parse::<Ipv4Addr>().is_ok() => {
            return Err(HostPatternError::Address(written()));
        }
        Some(_) => return Err(HostPatternError::Port(written())),
    }
    let ascii = to_ascii(text).ok_or_else(|| HostPatternError::International(written()))?;
    let mut scratch = HostBuf::new();
    let host = match normalise_sni(ascii.as_bytes(), &mut scratch) {
        Ok(host) => Host::of(&host),
        Err(HostError::AddressAsName) => None,
        Err(error) => return Err(HostPatternError::Name(written(), error)),
    };
    let host = host.ok_or_else(|| HostPatternError::Address(written()))?;
    if is_canonical(host.as_str()) {
        Ok(host)
    } else {
        Err(HostPatternError::International(written()))
    }
}

/// Converts U-labels to A-labels (RFC 5890 2.3.2.1). A text that does not convert back to itself is refused: a name that
/// looks like another one (full-width letters, invisible characters) has no place in a rule.
fn to_ascii(text: &str) -> Option<String> {
    if text.is_ascii() {
        return Some(text.to_owned());
    }
    let ascii = idna::domain_to_ascii_strict(text).ok()?;
    let (unicode, valid) = idna::domain_to_unicode(&ascii);
    (valid.is_ok() && unicode == text.to_lowercase()).then_some(ascii)
}

/// Whether each A-label decodes, and encodes to itself again. If not, it is another name in disguise.
fn is_canonical(host: &str) -> bool {
    if !host.split('.').any(|label| label.starts_with("xn--")) {
        return true;
    }
    let (unicode, valid) = idna::domain_to_unicode(host);
    valid.is_ok() && idna::domain_to_ascii(&unicode).is_ok_and(|ascii| ascii == host)
}

/// The name in front of a port, to suggest in a message.
fn before_port(written: &str) -> &str {
    written.split_once(':').map_or(written, |(name, _)| name)
}
