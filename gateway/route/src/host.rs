//! The hosts of requests: one normal form for `Host`, `:authority`, absolute targets and SNI.

use std::borrow::Borrow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Longest host name in its text form, without the trailing dot (RFC 1035 2.3.4).
const NAME_BYTES: usize = 253;

/// Longest label (RFC 1035 2.3.4).
const LABEL_BYTES: usize = 63;

/// Scratch space for a host that is not in its normal form. It lives on the stack or in a reused struct.
#[derive(Debug, Clone)]
pub struct HostBuf {
    bytes: [u8; 256],
}

/// A request's host in its normal form: lower case, no trailing dot, no port. An IPv6 address is in brackets and in
/// its canonical text (RFC 5952).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHost<'a> {
    name: &'a str,
    is_address: bool,
    port: Option<u16>,
}

/// A host name in its normal form. Never an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Arc<str>);

/// Why a text is not the host of a request (RFC 9110 7.2, RFC 3986 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing but a port, or nothing at all.
    #[error("the host is empty")]
    Empty,
    /// More than 253 characters, or a label of more than 63.
    #[error("the host is longer than 253 characters or one of its labels longer than 63")]
    TooLong,
    /// Two dots in a row, or one at the start.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// A character that no host has: user information, lists, paths, percent signs, spaces, non-ASCII.
    #[error("the host has a character other than letters, digits, `-`, `_` and `.`")]
    Character,
    /// What follows the colon is not a port.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// Brackets without an IPv6 address in them, or with something other than a port behind them.
    #[error("the brackets do not hold an IPv6 address")]
    Address,
    /// An address where only a name may stand (RFC 6066 3).
    #[error("a server name is not an IP address")]
    AddressAsName,
}

/// Normalises the host of a request, with or without a port. Borrows `raw` when it is normal already.
///
/// # Errors
/// When `raw` is not a host: the request is malformed (400).
pub fn normalise_authority<'a>(
    raw: &'a [u8],
    scratch: &'a mut HostBuf,
) -> Result<RequestHost<'a>, HostError> {
    if let [b'[', ..] = raw {
        return bracketed(raw, scratch);
    }
    let mut parts = raw.splitn(2, |byte| *byte == b':');
    let name = parts.next().unwrap_or_default();
    let port = parts.next().map_or(Ok(None), parse_port)?;
    let (name, is_address) = normalise_name(name, scratch)?;
    Ok(RequestHost {
        name,
        is_address,
        port,
    })
}

/// Normalises the server name of a TLS handshake (RFC 6066 3): a host without a port that is not an address.
///
/// # Errors
/// When `raw` is not a host name: the handshake names no host.
pub fn normalise_sni<'a>(raw: &'a [u8], scratch: &'a mut HostBuf) -> Result<RequestHost<'a>, HostError> {
    match normalise_name(raw, scratch)? {
        (_, true) => Err(HostError::AddressAsName),
        (name, false) => Ok(RequestHost {
            name,
            is_address: false,
            port: None,
        }),
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

    /// The part behind the first label, which a wildcard compares. `None` for a single label and for an address.
    #[must_use]
    pub fn parent(&self) -> Option<&'a str> {
        if self.is_address {
            None
        } else {
            self.name.split_once('.').map(|(_, parent)| parent)
        }
    }
}

impl Default for HostBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl HostBuf {
    /// Empty scratch space.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; 256] }
    }
}

impl Host {
    /// The host of a request, to keep. `None` for an address.
    #[must_use]
    pub fn of(host: &RequestHost<'_>) -> Option<Self> {
        (!host.is_address).then(|| Self(host.name.into()))
    }

    /// The normal form as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the first label, which a wildcard compares.
    pub(crate) fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, parent)| Self(parent.into()))
    }
}

/// So that a map keyed by [`Host`] can be searched with the text of a request.
impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A name or an IPv4 address, in normal form, and whether it is an address.
fn normalise_name<'a>(raw: &'a [u8], scratch: &'a mut HostBuf) -> Result<(&'a str, bool), HostError> {
    let bare = raw.strip_suffix(b".").unwrap_or(raw);
    let has_upper_case = check_labels(bare)?;
    let name = if has_upper_case {
        let copy = scratch.bytes.get_mut(..bare.len()).ok_or(HostError::TooLong)?;
        copy.copy_from_slice(bare);
        copy.make_ascii_lowercase();
        &*copy
    } else {
        bare
    };
    let name = std::str::from_utf8(name).map_err(|_not_ascii| HostError::Character)?;
    let may_be_address = name.ends_with(|last: char| last.is_ascii_digit());
    Ok((name, may_be_address && name.parse::<Ipv4Addr>().is_ok()))
}

/// Checks a name without its trailing dot, and returns whether it has upper-case letters.
fn check_labels(name: &[u8]) -> Result<bool, HostError> {
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > NAME_BYTES {
        return Err(HostError::TooLong);
    }
    let (mut label, mut has_upper_case) = (0, false);
    for byte in name {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'A'..=b'Z' => {
                label += 1;
                has_upper_case = true;
            }
            b'.' if label == 0 => return Err(HostError::EmptyLabel),
            b'.' => label = 0,
            _ => return Err(HostError::Character),
        }
        if label > LABEL_BYTES {
            return Err(HostError::TooLong);
        }
    }
    if label == 0 {
        Err(HostError::EmptyLabel)
    } else {
        Ok(has_upper_case)
    }
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
        [b':', digits @ ..] => parse_port(digits)?,
        _ => return Err(HostError::Address),
    };
    let mut cursor = std::io::Cursor::new(scratch.bytes.as_mut_slice());
    std::io::Write::write_fmt(&mut cursor, format_args!("[{address}]"))
        .map_err(|_full| HostError::TooLong)?;
    let length = usize::try_from(cursor.position()).map_err(|_overflow| HostError::TooLong)?;
    let text = scratch.bytes.get(..length).ok_or(HostError::TooLong)?;
    let name = std::str::from_utf8(text).map_err(|_not_ascii| HostError::Address)?;
    Ok(RequestHost {
        name,
        is_address: true,
        port,
    })
}

/// Digits, or nothing at all (RFC 3986 3.2.3).
fn parse_port(digits: &[u8]) -> Result<Option<u16>, HostError> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(HostError::Port);
    }
    let text = std::str::from_utf8(digits).map_err(|_not_ascii| HostError::Port)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_overflow| HostError::Port)
}
