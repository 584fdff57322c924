//! Header fields: where they are in a head, and which of them a gateway must know.

use crate::bytes::{is_field_value, token, trim, trim_start};
use crate::error::HeadError;

/// A range of bytes in the buffer that a head was parsed from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// One header field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Which field it is.
    pub id: FieldId,
    /// The name as written.
    pub name: Span,
    /// The value without white space around it.
    pub value: Span,
    /// The whole line with its CRLF.
    pub line: Span,
    /// Whether the line is exactly `name: value` CRLF, so that it can be forwarded as it is.
    pub canonical: bool,
}

/// The fields that a gateway must tell apart. Names are compared without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldId {
    /// `Host`
    Host,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Connection`
    Connection,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Proxy-Authenticate`
    ProxyAuthenticate,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Upgrade`
    Upgrade,
    /// `HTTP2-Settings`
    Http2Settings,
    /// `Expect`
    Expect,
    /// `Date`
    Date,
    /// `Max-Forwards`
    MaxForwards,
    /// `Forwarded`
    Forwarded,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Forwarded-Port`
    XForwardedPort,
    /// `X-Forwarded-Client-Cert`
    XForwardedClientCert,
    /// Any other `X-Forwarded-…`
    XForwardedOther,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-ID`
    XRequestId,
    /// `X-Blastdoor-Door`
    XBlastdoorDoor,
    /// `CF-…`, and `True-Client-IP`: set by Cloudflare.
    Cloudflare,
    /// `X-Amzn-Mtls-…`, `X-Amzn-Tls-…`, `X-Amzn-Oidc-…` and `X-Amzn-Waf-…`: set by an Application
    /// Load Balancer.
    XAmznIdentity,
    /// `X-Goog-Authenticated-User-…` and `X-Goog-Iap-…`: set by a Google load balancer.
    XGoogIdentity,
    /// `Proxy`, `X-Client-IP`, `X-Cluster-Client-IP` and `X-Original-Forwarded-For`: some applications and CGI programs
    /// read them, and none of the supported load balancers sets them.
    NobodysWord,
    /// A name that would be one of the above if `_`, `.` and their like were `-`: some backends read them alike (CGI
    /// variables).
    Twin,
    /// Everything else.
    Other,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no more than `HeadLimits::LONGEST` of a buffer is looked at"
    )]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The bytes, given the buffer that the head was parsed from.
    #[must_use]
    pub fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// Offset of the first byte.
    #[must_use]
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// Offset behind the last byte.
    #[must_use]
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// No bytes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl Field {
    /// Parses one line, given without its CRLF (RFC 9112 5).
    pub(crate) fn parse(line: &[u8], offset: usize) -> Result<Self, HeadError> {
        let field = Self::parse_clean(line, offset)?;
        // A name with a control character is not a token, and white space around the value is not a control character.
        if is_field_value(line) {
            Ok(field)
        } else {
            Err(HeadError::FieldValue)
        }
    }

    /// As [`Self::parse`], of a line that is known to have no control character.
    #[inline(always)]
    pub(crate) fn parse_clean(line: &[u8], offset: usize) -> Result<Self, HeadError> {
        let (length, is_plain) = token(line);
        let Some((name @ [_, ..], [b':', rest @ ..])) = line.split_at_checked(length) else {
            return Err(HeadError::FieldName);
        };
        let (before, value, canonical) = match rest {
            // Nearly all.
            [b' ', value @ ..] if is_trimmed(value) => (1, value, true),
            rest => (rest.len() - trim_start(rest).len(), trim(rest), false),
        };
        let end = offset + length;
        let start = end + 1 + before;
        Ok(Self {
            id: FieldId::of(name, is_plain),
            name: Span::new(offset, end),
            value: Span::new(start, start + value.len()),
            line: Span::new(offset, offset + line.len() + 2),
            canonical,
        })
    }
}

impl Field {
    /// Whether the field has this name in some reading of it.
    #[must_use]
    pub fn is_named(&self, name: &[u8], head: &[u8]) -> bool {
        is_same_name(self.name.of(head), name)
    }
}

/// Whether some backend takes the two names for the same: without regard to case, and with all characters alike that are
/// neither letters nor digits.
#[must_use]
pub fn is_same_name(left: &[u8], right: &[u8]) -> bool {
    let same = |(left, right): (&u8, &u8)| {
        left.eq_ignore_ascii_case(right) || !(left.is_ascii_alphanumeric() || right.is_ascii_alphanumeric())
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

impl FieldId {
    /// Which field this name is.
    #[must_use]
    pub fn classify(name: &[u8]) -> Self {
        Self::of(name, token(name).1)
    }

    /// `is_plain`: the name has no other characters than letters, digits and `-`.
    #[inline(always)]
    fn of(name: &[u8], is_plain: bool) -> Self {
        match Self::known(name) {
            Self::Other if !is_plain => Self::twin(name),
            known => known,
        }
    }

    /// Grouped by length, so that most names cost one comparison or none.
    #[inline]
    fn known(name: &[u8]) -> Self {
        let starts = |text: &[u8]| {
            name.get(..text.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(text))
        };
        match name.len() {
            2 if is(name, b"te") => return Self::Te,
            4 if is(name, b"host") => return Self::Host,
            4 if is(name, b"date") => return Self::Date,
            5 if is(name, b"proxy") => return Self::NobodysWord,
            6 if is(name, b"expect") => return Self::Expect,
            7 if is(name, b"upgrade") => return Self::Upgrade,
            7 if is(name, b"trailer") => return Self::Trailer,
            9 if is(name, b"forwarded") => return Self::Forwarded,
            9 if is(name, b"x-real-ip") => return Self::XRealIp,
            10 if is(name, b"connection") => return Self::Connection,
            10 if is(name, b"keep-alive") => return Self::KeepAlive,
            11 if is(name, b"x-client-ip") => return Self::NobodysWord,
            12 if is(name, b"content-type") => return Self::ContentType,
            12 if is(name, b"x-request-id") => return Self::XRequestId,
            12 if is(name, b"max-forwards") => return Self::MaxForwards,
            14 if is(name, b"content-length") => return Self::ContentLength,
            14 if is(name, b"http2-settings") => return Self::Http2Settings,
            14 if is(name, b"true-client-ip") => return Self::Cloudflare,
            15 if is(name, b"x-forwarded-for") => return Self::XForwardedFor,
            16 if is(name, b"x-forwarded-host") => return Self::XForwardedHost,
            16 if is(name, b"x-forwarded-port") => return Self::XForwardedPort,
            16 if is(name, b"x-blastdoor-door") => return Self::XBlastdoorDoor,
            16 if is(name, b"proxy-connection") => return Self::ProxyConnection,
            17 if is(name, b"x-forwarded-proto") => return Self::XForwardedProto,
            17 if is(name, b"transfer-encoding") => return Self::TransferEncoding,
            18 if is(name, b"proxy-authenticate") => return Self::ProxyAuthenticate,
            19 if is(name, b"proxy-authorization") => return Self::ProxyAuthorization,
            19 if is(name, b"x-cluster-client-ip") => return Self::NobodysWord,
            23 if is(name, b"x-forwarded-client-cert") => return Self::XForwardedClientCert,
            24 if is(name, b"x-original-forwarded-for") => return Self::NobodysWord,
            _ => {}
        }
        match name.first().map(u8::to_ascii_lowercase) {
            Some(b'x') if starts(b"x-forwarded-") => Self::XForwardedOther,
            Some(b'x') if starts(b"x-amzn-") => {
                let kinds: [&[u8]; 4] = [b"x-amzn-mtls-", b"x-amzn-tls-", b"x-amzn-oidc-", b"x-amzn-waf-"];
                if kinds.into_iter().any(starts) {
                    Self::XAmznIdentity
                } else {
                    Self::Other
                }
            }
            Some(b'x') if starts(b"x-goog-authenticated-user-") || starts(b"x-goog-iap-") => {
                Self::XGoogIdentity
            }
            Some(b'c') if starts(b"cf-") => Self::Cloudflare,
            _ => Self::Other,
        }
    }

    #[inline(never)]
    fn twin(name: &[u8]) -> Self {
        // No known name is this long, and neither is a known beginning of one.
        let mut hyphenated = [0; 64];
        let length = name.len().min(hyphenated.len());
        let target = hyphenated.get_mut(..length).unwrap_or_default();
        for (to, from) in target.iter_mut().zip(name) {
            *to = if from.is_ascii_alphanumeric() { *from } else { b'-' };
        }
        match Self::known(target) {
            Self::Other | Self::ContentType | Self::MaxForwards => Self::Other,
            _ => Self::Twin,
        }
    }
}

/// Whether a name is this one, in lower case, without regard to case. Nearly all are told apart by their first byte.
#[inline(always)]
fn is<const LENGTH: usize>(name: &[u8], text: &[u8; LENGTH]) -> bool {
    let Ok(name) = <&[u8; LENGTH]>::try_from(name) else {
        return false;
    };
    let differs = |(left, right): (&u8, &u8)| left.to_ascii_lowercase() ^ right;
    name.first()
        .zip(text.first())
        .is_some_and(|pair| differs(pair) == 0)
        && name.iter().zip(text).map(differs).fold(0, |all, one| all | one) == 0
}

/// Whether there is surely no white space at the ends: all that a value may have below `!`.
#[inline(always)]
fn is_trimmed(value: &[u8]) -> bool {
    matches!(value, [] | [b'!'..=0xff] | [b'!'..=0xff, .., b'!'..=0xff])
}
