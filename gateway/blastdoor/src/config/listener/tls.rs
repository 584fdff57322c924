//! `[listeners.NAME.tls]`: the settings of a door that terminates TLS.

use std::path::PathBuf;
use std::sync::Arc;

use door::{CaBundle, CaSource, Certificate, ClientAuth, DefaultCertificate, Scheme, TlsPolicy, TlsVersion};
use route::ObjectKey;

use super::super::diagnostics::Section;
use super::super::raw::{RawAuthorities, RawCertificate, RawClientAuth, RawDefaultCertificate, RawTls};
use super::super::units::object;

/// Most bytes of a certificate, key or authority file: the platform's own bundles have a fifth of it.
const FILE_BYTES: u64 = 1 << 20;

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    Optional,
    Require,
}

/// A door's TLS settings, and the files that contain them.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) policy: Option<TlsPolicy>,
    pub(super) files: Vec<PathBuf>,
}

pub(super) fn tls(
    section: &mut Section<'_, '_>,
    raw: Option<&RawTls>,
    passthrough: Option<bool>,
    scheme: Scheme,
) -> Tls {
    let Some(raw) = raw else {
        if passthrough == Some(true) {
            let message = "has no effect without `tls`: the door does not see the client's TLS";
            section.warn("passthrough", message);
        }
        return Tls::default();
    };
    if scheme == Scheme::Http {
        section.error_between(
            "tls",
            &["scheme"],
            "a door with scheme = \"http\" cannot end TLS; set scheme = \"https\" or remove the table"
                .to_owned(),
        );
    }
    section.word(
        "tls.certificates",
        raw.certificates.as_deref(),
        (),
        &[("ingress", ())],
    );
    let versions = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
    let min_version = section.word(
        "tls.min_version",
        raw.min_version.as_deref(),
        TlsVersion::V12,
        &versions,
    );
    let mut files = Vec::new();
    let default_certificate = match &raw.default_certificate {
        None => DefaultCertificate::None,
        Some(written) => default_certificate(section, written, &mut files),
    };
    let client_auth = client_auth(section, &raw.client_auth, &mut files);
    Tls {
        policy: Some(TlsPolicy {
            default_certificate,
            min_version,
            passthrough: passthrough.unwrap_or(client_auth == ClientAuth::Off),
            client_auth,
        }),
        files,
    }
}

fn default_certificate(
    section: &mut Section<'_, '_>,
    written: &RawDefaultCertificate,
    files: &mut Vec<PathBuf>,
) -> DefaultCertificate {
    const KEY: &str = "tls.default_certificate";
    const ALLOWED: &str =
        "allowed: { secret = \"ns/name\" }, { cert = \"FILE\", key = \"FILE\" }, \"self-signed\"";
    let table = match written {
        RawDefaultCertificate::Word(word) if word == "self-signed" => {
            return DefaultCertificate::SelfSigned;
        }
        RawDefaultCertificate::Word(word) => {
            section.error(KEY, format!("`{word}` is not known; {ALLOWED}"));
            return DefaultCertificate::None;
        }
        RawDefaultCertificate::Table(table) => table,
    };
    match table {
        RawCertificate {
            secret: Some(secret),
            cert: None,
            key: None,
        } => secret_name(section, &format!("{KEY}.secret"), secret)
            .map_or(DefaultCertificate::None, DefaultCertificate::Secret),
        RawCertificate {
            secret: None,
            cert: Some(cert),
            key: Some(key),
        } => {
            let chain = read(section, &format!("{KEY}.cert"), cert, files);
            let private = read(section, &format!("{KEY}.key"), key, files);
            let (Some(chain), Some(private)) = (chain, private) else {
                return DefaultCertificate::None;
            };
            match Certificate::from_pem(&chain, &private) {
                Ok(certificate) => DefaultCertificate::Given(Arc::new(certificate)),
                Err(error) => {
                    section.error(KEY, format!("`{cert}` and `{key}`: {error}"));
                    DefaultCertificate::None
                }
            }
        }
        _ => {
            section.error(
                KEY,
                format!("a Secret, or both files, and nothing beside; {ALLOWED}"),
            );
            DefaultCertificate::None
        }
    }
}

fn client_auth(section: &mut Section<'_, '_>, raw: &RawClientAuth, files: &mut Vec<PathBuf>) -> ClientAuth {
    const KEY: &str = "tls.client_auth";
    let modes = [
        ("off", Mode::Off),
        ("optional", Mode::Optional),
        ("require", Mode::Require),
    ];
    let mode = section.word(&format!("{KEY}.mode"), raw.mode.as_deref(), Mode::Off, &modes);
    let source = raw
        .ca
        .as_ref()
        .and_then(|ca| authorities(section, &format!("{KEY}.ca"), ca, files));
    match (mode, source) {
        (Mode::Off, None) => ClientAuth::Off,
        (Mode::Off, Some(_)) => {
            if raw.mode.is_none() {
                section.error(
                    &format!("{KEY}.mode"),
                    "missing beside `ca`; allowed: off, optional, require",
                );
            }
            ClientAuth::Off
        }
        (Mode::Optional, Some(source)) => ClientAuth::Optional(source),
        (Mode::Require, Some(source)) => ClientAuth::Required(source),
        (Mode::Optional | Mode::Require, None) => {
            if raw.ca.is_none() {
                section.error_between(
                    &format!("{KEY}.ca"),
                    &[&format!("{KEY}.mode")],
                    "missing; clients are verified against it; allowed: { secret = \"ns/name\" }, { file = \"FILE\" }"
                        .to_owned(),
                );
            }
            ClientAuth::Off
        }
    }
}

fn authorities(
    section: &mut Section<'_, '_>,
    key: &str,
    raw: &RawAuthorities,
    files: &mut Vec<PathBuf>,
) -> Option<CaSource> {
    match raw {
        RawAuthorities {
            secret: Some(secret),
            file: None,
        } => secret_name(section, &format!("{key}.secret"), secret).map(CaSource::Secret),
        RawAuthorities {
            secret: None,
            file: Some(file),
        } => {
            let pem = read(section, &format!("{key}.file"), file, files)?;
            CaBundle::from_pem(&pem)
                .map_err(|error| section.error(&format!("{key}.file"), format!("`{file}` {error}")))
                .map(|bundle| CaSource::Given(Arc::new(bundle)))
                .ok()
        }
        RawAuthorities { .. } => {
            section.error(
                key,
                "one of the two, please; allowed: { secret = \"ns/name\" }, { file = \"FILE\" }".to_owned(),
            );
            None
        }
    }
}

fn secret_name(section: &mut Section<'_, '_>, key: &str, written: &str) -> Option<ObjectKey> {
    let found = object(written);
    if found.is_none() {
        let message = format!("`{written}` is not a Secret; allowed: `namespace/name`");
        section.error(key, message);
    }
    found
}

/// The content of a file, which is watched whether it can be read or not.
fn read(
    section: &mut Section<'_, '_>,
    key: &str,
    written: &str,
    files: &mut Vec<PathBuf>,
) -> Option<Vec<u8>> {
    let path = section.absolute(written);
    let content = section.files().read(&path, FILE_BYTES);
    files.push(path);
    content
        .map_err(|error| {
            let message = format!("`{written}` cannot be read: {error}; create it or correct the path");
            section.error(key, message);
        })
        .ok()
        .flatten()
}
