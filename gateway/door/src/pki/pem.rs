//! PEM (RFC 7468) as found in practice: with a byte order mark, with sections without a line break between them, with old
//! labels. Every section is read or reported: if one were skipped silently, a chain or a set of authorities would be
//! smaller than it looks.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Most sections of one text: the platforms' own bundles have up to about 200.
const MOST: usize = 500;

/// Most bytes of one text: as many as a Secret can have.
const MOST_BYTES: usize = 1 << 20;

/// Longest label that is shown.
const LABEL_BYTES: usize = 40;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// Why a text is not usable PEM. The message continues "the text"; contents appear nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// As some editors save text.
    #[error("is UTF-16; save it as UTF-8")]
    Utf16,
    /// DER or PKCS#12.
    #[error("is binary, not PEM; convert it, as with `openssl x509 -inform der`")]
    Binary,
    /// A common mistake when a Secret is written by hand.
    #[error("is base64 of PEM; it has been encoded once too often")]
    EncodedTwice,
    /// Something begins or ends there, and cannot be separated from the text around it.
    #[error("has a damaged `-----BEGIN …-----` or `-----END …-----` in line {0}, or base64 outside of both")]
    Marker(usize),
    /// No end before the next section, or the end of the text.
    #[error("has no `-----END {label}-----` for the section that begins in line {line}")]
    Unfinished {
        /// Where the section begins, counted from 1.
        line: usize,
        /// What it begins as.
        label: PemLabel,
    },
    /// Begins and ends with different labels.
    #[error("has a section in line {line} that begins as `{begin}` and ends as `{end}`")]
    Ends {
        /// Where the section begins, counted from 1.
        line: usize,
        /// What it begins as.
        begin: PemLabel,
        /// What it ends as.
        end: PemLabel,
    },
    /// A section of a kind that cannot be used there, and must not be skipped.
    #[error("has a section `{label}` in line {line}, {what}")]
    Label {
        /// Where the section begins, counted from 1.
        line: usize,
        /// What it is called.
        label: PemLabel,
        /// What to know about it.
        what: &'static str,
    },
    /// The body is not base64, or is encrypted.
    #[error("has a section `{label}` in line {line} that is not base64 between its markers")]
    Body {
        /// Where the section begins, counted from 1.
        line: usize,
        /// What it is called.
        label: PemLabel,
    },
    /// More sections than are plausible.
    #[error("has more than {MOST} sections")]
    TooMany,
    /// More bytes than are plausible.
    #[error("has more than {MOST_BYTES} bytes")]
    TooLarge,
}

/// The label of a section, for messages.
#[derive(Clone, PartialEq, Eq)]
pub struct PemLabel(Box<str>);

/// What certificates are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be shown.
    Chain,
    /// To be trusted: restrictions of that trust must not be skipped.
    Authorities,
}

/// One section between its markers.
struct Section<'t> {
    /// Where it begins, counted from 1.
    line: usize,
    label: &'t str,
    body: &'t [u8],
}

/// The certificates of a text, in order.
pub(super) fn certificates(text: &[u8], purpose: Purpose) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut found = Vec::new();
    for section in sections(text)? {
        match section.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => found.push(section.certificate()?),
            "TRUSTED CERTIFICATE" => found.push(section.trusted_certificate(purpose)?),
            label if is_key(label) || label.ends_with("PARAMETERS") || label.ends_with("PUBLIC KEY") => {}
            "X509 CRL" if purpose == Purpose::Chain => {}
            "X509 CRL" => return Err(section.unusable("and revocation lists are not supported; remove it")),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
                return Err(section.unusable("which requests a certificate and is not one"));
            }
            "PKCS7" | "PKCS #7 SIGNED DATA" | "CMS" => {
                return Err(section.unusable(
                    "whose certificates are not read; take them out, as with `openssl pkcs7 -print_certs`",
                ));
            }
            _ => return Err(section.unusable("which is not known; a certificate is called `CERTIFICATE`")),
        }
    }
    Ok(found)
}

/// The first private key of a text; `None` when there is none.
///
/// # Errors
/// Also when the key is of a kind that is not read: encrypted, or of another program.
pub(super) fn private_key(text: &[u8]) -> Result<Option<PrivateKeyDer<'static>>, PemError> {
    let sections = sections(text)?;
    let Some(section) = sections.iter().find(|section| is_key(section.label)) else {
        return Ok(None);
    };
    if section.label.starts_with("ENCRYPTED") || section.is_encrypted() {
        return Err(section.unusable("which is encrypted; write it unencrypted, as with `openssl pkey`"));
    }
    match section.label {
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            PrivateKeyDer::from_pem_slice(&section.canonical(section.label))
                .map(Some)
                .map_err(|_may_quote_it| section.damaged())
        }
        _ => Err(section
            .unusable("which is not read; write the key as PKCS#8, as with `openssl pkcs8 -topk8 -nocrypt`")),
    }
}

fn is_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

/// All sections of a text. What is between them is ignored, unless it looks like a part of one.
fn sections(text: &[u8]) -> Result<Vec<Section<'_>>, PemError> {
    match text {
        _ if text.len() > MOST_BYTES => return Err(PemError::TooLarge),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'-', ..] | [b'-', 0, ..] => return Err(PemError::Utf16),
        // A SEQUENCE with a length of two bytes or more: text begins otherwise.
        [0x30, 0x81..=0x84, ..] => return Err(PemError::Binary),
        _ if text.trim_ascii_start().starts_with(b"LS0tLS1CRUdJTi") => return Err(PemError::EncodedTwice),
        _ => {}
    }
    let mut rest = Rest {
        text,
        at: 0,
        line: 1,
        counted: 0,
    };
    let mut found = Vec::new();
    loop {
        let before = rest.at;
        let Some(begin) = rest.find(BEGIN) else {
            stray(text, before, text.len())?;
            return Ok(found);
        };
        stray(text, before, begin)?;
        let line = rest.line_of(begin);
        let label = rest.label().ok_or(PemError::Marker(line))?;
        let start = rest.at;
        let unfinished = || PemError::Unfinished {
            line,
            label: PemLabel::of(label),
        };
        let end = rest.find(END).ok_or_else(unfinished)?;
        let body = text.get(start..end).unwrap_or_default();
        if find(body, BEGIN).is_some() {
            return Err(unfinished());
        }
        let closing = rest.label().ok_or_else(|| PemError::Marker(line_of(text, end)))?;
        if closing != label {
            return Err(PemError::Ends {
                line,
                begin: PemLabel::of(label),
                end: PemLabel::of(closing),
            });
        }
        if found.len() == MOST {
            return Err(PemError::TooMany);
        }
        found.push(Section { line, label, body });
    }
}

/// A text and how far it has been read.
struct Rest<'t> {
    text: &'t [u8],
    at: usize,
    /// The line in which `counted` is. No text is counted twice.
    line: usize,
    counted: usize,
}

impl<'t> Rest<'t> {
    /// The line of a place behind all those asked for before.
    fn line_of(&mut self, at: usize) -> usize {
        let between = self.text.get(self.counted..at).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.counted = at;
        self.line
    }

    /// Where `marker` is next; goes on behind it.
    fn find(&mut self, marker: &[u8]) -> Option<usize> {
        let found = self.at + find(self.text.get(self.at..)?, marker)?;
        self.at = found + marker.len();
        Some(found)
    }

    /// A label and the dashes behind it, in one line.
    fn label(&mut self) -> Option<&'t str> {
        let rest = self.text.get(self.at..)?;
        let length = find(rest, DASHES)?;
        let label = std::str::from_utf8(rest.get(..length)?).ok()?;
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" #.-".contains(&byte);
        if label.is_empty() || label.len() > LABEL_BYTES || !label.bytes().all(fits) {
            return None;
        }
        self.at += length + DASHES.len();
        Some(label)
    }
}

impl Section<'_> {
    fn certificate(&self) -> Result<CertificateDer<'static>, PemError> {
        CertificateDer::from_pem_slice(&self.canonical("CERTIFICATE")).map_err(|_damaged| self.damaged())
    }

    /// A certificate with OpenSSL's opinion of it behind it (`X509_AUX`): trust for some purposes, or a name.
    fn trusted_certificate(&self, purpose: Purpose) -> Result<CertificateDer<'static>, PemError> {
        let both = self.certificate()?;
        let (certificate, opinion) = element(&both)
            .and_then(|length| both.split_at_checked(length))
            .ok_or_else(|| self.damaged())?;
        if purpose == Purpose::Authorities && has_restrictions(opinion) {
            return Err(self.unusable(
                "which is trusted for some purposes only, and that is not supported; write it without, as `openssl x509` does",
            ));
        }
        Ok(CertificateDer::from(certificate.to_vec()))
    }

    /// RFC 1421 4.6.1.1, as OpenSSL encrypts keys of old.
    fn is_encrypted(&self) -> bool {
        find(self.body, b"ENCRYPTED").is_some()
    }

    /// The section as every parser reads it.
    fn canonical(&self, label: &str) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.body.len() + 2 * label.len() + 64);
        for part in [BEGIN, label.as_bytes(), DASHES, b"\n"] {
            text.extend_from_slice(part);
        }
        text.extend(self.body.iter().filter(|byte| !byte.is_ascii_whitespace()));
        for part in [b"\n", END, label.as_bytes(), DASHES, b"\n"] {
            text.extend_from_slice(part);
        }
        text
    }

    fn unusable(&self, what: &'static str) -> PemError {
        PemError::Label {
            line: self.line,
            label: PemLabel::of(self.label),
            what,
        }
    }

    fn damaged(&self) -> PemError {
        PemError::Body {
            line: self.line,
            label: PemLabel::of(self.label),
        }
    }
}

impl PemLabel {
    fn of(label: &str) -> Self {
        Self(label.into())
    }
}

impl fmt::Display for PemLabel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for PemLabel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

/// Whether OpenSSL was told to trust a certificate for some purposes, or to distrust it for some: `CertAux` begins with
/// the list of either then (`trust`, a SEQUENCE; `reject`, `[0]`).
fn has_restrictions(opinion: &[u8]) -> bool {
    let content = match opinion {
        [] => return false,
        [0x30, length, content @ ..] if *length < 0x80 => content,
        [0x30, length, rest @ ..] => rest.get(usize::from(*length & 0x7f)..).unwrap_or(rest),
        _ => return true,
    };
    matches!(content.first(), Some(0x30 | 0xa0))
}

/// The length of the DER element at the start, its head included.
fn element(der: &[u8]) -> Option<usize> {
    let [_, first, rest @ ..] = der else { return None };
    if *first < 0x80 {
        return Some(2 + usize::from(*first));
    }
    let count = usize::from(*first & 0x7f);
    let digits = rest
        .get(..count)
        .filter(|digits| (1..=4).contains(&digits.len()))?;
    let length = digits
        .iter()
        .fold(0, |length, digit| length << 8 | usize::from(*digit));
    length.checked_add(2 + count)
}

/// Refuses text between sections that is most likely a part of one.
fn stray(text: &[u8], start: usize, end: usize) -> Result<(), PemError> {
    let between = text.get(start..end).unwrap_or_default();
    let mut at = start;
    for line in between.split(|byte| *byte == b'\n') {
        if is_marker(line) || is_base64(line.trim_ascii()) {
            return Err(PemError::Marker(line_of(text, at)));
        }
        at += line.len() + 1;
    }
    Ok(())
}

/// Dashes of any kind and number at either end, and words that only markers have.
fn is_marker(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line).to_uppercase();
    let line = line.trim_matches(|character: char| character.is_whitespace() || character == '\u{feff}');
    let is_dash = |character: char| matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    (line.starts_with(is_dash) || line.ends_with(is_dash))
        && has(&["BEGIN", "END"])
        && has(&["CERTIFICATE", "PRIVATE KEY", "PKCS", "CRL"])
}

/// A line of a certificate that has lost its markers; no ruler of `=` or `/` that somebody drew between two of them.
fn is_base64(line: &[u8]) -> bool {
    let padding = line.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = line.get(..line.len() - padding).unwrap_or_default();
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    line.len() >= 60
        && padding <= 2
        && digits.iter().all(alphabet)
        && digits.iter().any(u8::is_ascii_alphanumeric)
}

fn line_of(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests;
