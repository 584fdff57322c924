//! Who a client is, as its certificate says, for `X-Forwarded-Client-Cert`.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;

use super::digest::Digest;
use super::x509::{Parsed, alternative_names};

/// How many alternative names are included at most; a field must not outgrow what backends accept.
const MOST_NAMES: usize = 16;

/// The longest alternative name that is included.
const NAME_BYTES: usize = 512;

/// The longest subject that is included.
const SUBJECT_BYTES: usize = 1_024;

/// The value of `X-Forwarded-Client-Cert` for a verified client certificate, in Envoy's format: `Hash` (SHA-256 of the
/// certificate), `Subject` (RFC 2253, always quoted), then `URI` and `DNS` names.
///
/// The value is printable ASCII. What RFC 2253 escapes in a subject is written in its form with two digits (`\22` for
/// a quote, `\3B` for a semicolon), so that no reader can take a part of a name for the end of it. A name with a character that has a meaning in the
/// field, or none in a name, is left out, as is what is too long; the hash always stands for the whole.
#[must_use]
pub fn client_identity(certificate: &CertificateDer<'_>) -> String {
    let mut value = format!("Hash={}", Digest::of(certificate));
    let Ok(parsed) = Parsed::from_der(certificate) else {
        return value;
    };
    let subject = quotable(&parsed.tbs_certificate().subject().to_string());
    let subject = if subject.len() <= SUBJECT_BYTES {
        &*subject
    } else {
        ""
    };
    // Writing to a string does not fail.
    let _ok = write!(value, ";Subject=\"{subject}\"");
    let names = alternative_names(&parsed).into_iter().filter_map(|name| {
        if let GeneralName::UniformResourceIdentifier(uri) = &name {
            Some(("URI", uri.as_str().to_owned()))
        } else if let GeneralName::DnsName(name) = &name {
            Some(("DNS", name.as_str().to_owned()))
        } else {
            None
        }
    });
    let mut names: Vec<(&str, String)> = names
        .filter(|(_, name)| is_plain(name))
        .take(MOST_NAMES)
        .collect();
    // URI before DNS, each in the order of the certificate.
    names.sort_by_key(|(kind, _)| *kind == "DNS");
    for (kind, name) in names {
        let _ok = write!(value, ";{kind}={name}");
    }
    value
}

/// Whether a name can stand unquoted.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\",;=\\".contains(&byte))
}

/// An RFC 2253 text that can stand between quotes: everything that is not plain becomes `\` and two digits.
fn quotable(subject: &str) -> String {
    let mut text = String::with_capacity(subject.len());
    let mut bytes = subject.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.peek().copied() {
                // Two digits, which are safe as they are.
                Some(digit) if digit.is_ascii_hexdigit() => text.push('\\'),
                Some(escaped) => {
                    bytes.next();
                    let _ok = write!(text, "\\{escaped:02X}");
                }
                None => text.push_str("\\5C"),
            },
            b'"' => text.push_str("\\22"),
            b' '..=b'~' => text.push(char::from(byte)),
            other => {
                let _ok = write!(text, "\\{other:02X}");
            }
        }
    }
    text
}
