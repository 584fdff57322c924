//! `[listeners.NAME.tls]`: what a door that ends TLS is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use door::{CaBundle, CaSource, Certificate, ClientAuth, DefaultCertificate, Scheme, TlsPolicy, TlsVersion};
use route::ObjectKey;

use super::listener::ListenerParser;
use super::raw::{RawAuthorities, RawCertificate, RawClientAuth, RawDefaultCertificate, RawTls};
use super::replicas::object;

/// Most bytes of a certificate, key or authority file: the platform's own bundles have a fifth of it.
const FILE_BYTES: u64 = 1 << 20;

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    Optional,
    Require,
}

/// What a door is told about TLS, and the files that it is told in.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) policy: Option<TlsPolicy>,
    pub(super) files: Vec<PathBuf>,
}

impl ListenerParser<'_, '_> {
    pub(super) fn tls(&mut self, raw: Option<&RawTls>, passthrough: Option<bool>, scheme: Scheme) -> Tls {
        let Some(raw) = raw else {
            if passthrough == Some(true) {
                let message = "has no effect without `tls`: the door does not see the client's TLS";
                self.warn("passthrough", message.to_owned());
            }
            return Tls::default();
        };
        if scheme == Scheme::Http {
            self.error_between(
                "tls",
                &["scheme"],
                "a door with scheme = \"http\" cannot end TLS; set scheme = \"https\" or remove the table"
                    .to_owned(),
            );
        }
        self.word(
            "tls.certificates",
            raw.certificates.as_deref(),
            (),
            &[("ingress", ())],
        );
        let versions = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
        let min_version = self.word(
            "tls.min_version",
            raw.min_version.as_deref(),
            TlsVersion::V12,
            &versions,
        );
        let mut files = Vec::new();
        let default_certificate = match &raw.default_certificate {
            None => DefaultCertificate::None,
            Some(written) => self.default_certificate(written, &mut files),
        };
        let client_auth = self.client_auth(&raw.client_auth, &mut files);
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
        &mut self,
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
                self.error(KEY, format!("`{word}` is not known; {ALLOWED}"));
                return DefaultCertificate::None;
            }
            RawDefaultCertificate::Table(table) => table,
        };
        match table {
            RawCertificate {
                secret: Some(secret),
                cert: None,
                key: None,
            } => self
                .object(&format!("{KEY}.secret"), secret)
                .map_or(DefaultCertificate::None, DefaultCertificate::Secret),
            RawCertificate {
                secret: None,
                cert: Some(cert),
                key: Some(key),
            } => {
                let chain = self.read(&format!("{KEY}.cert"), cert, files);
                let private = self.read(&format!("{KEY}.key"), key, files);
                let (Some(chain), Some(private)) = (chain, private) else {
                    return DefaultCertificate::None;
                };
                match Certificate::from_pem(&chain, &private) {
                    Ok(certificate) => DefaultCertificate::Given(Arc::new(certificate)),
                    Err(error) => {
                        self.error(KEY, format!("`{cert}` and `{key}`: {error}"));
                        DefaultCertificate::None
                    }
                }
            }
            _ => {
                self.error(
                    KEY,
                    format!("a Secret, or both files, and nothing beside; {ALLOWED}"),
                );
                DefaultCertificate::None
            }
        }
    }

    fn client_auth(&mut self, raw: &RawClientAuth, files: &mut Vec<PathBuf>) -> ClientAuth {
        const KEY: &str = "tls.client_auth";
        let modes = [
            ("off", Mode::Off),
            ("optional", Mode::Optional),
            ("require", Mode::Require),
        ];
        let mode = self.word(&format!("{KEY}.mode"), raw.mode.as_deref(), Mode::Off, &modes);
        let source = raw
            .ca
            .as_ref()
            .and_then(|ca| self.authorities(&format!("{KEY}.ca"), ca, files));
        match (mode, source) {
            (Mode::Off, None) => ClientAuth::Off,
            (Mode::Off, Some(_)) => {
                if raw.mode.is_none() {
                    self.error(
                        &format!("{KEY}.mode"),
                        "missing beside `ca`; allowed: off, optional, require".to_owned(),
                    );
                }
                ClientAuth::Off
            }
            (Mode::Optional, Some(source)) => ClientAuth::Optional(source),
            (Mode::Require, Some(source)) => ClientAuth::Required(source),
            (Mode::Optional | Mode::Require, None) => {
                if raw.ca.is_none() {
                    self.error_between(
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

    fn authorities(&mut self, at: &str, raw: &RawAuthorities, files: &mut Vec<PathBuf>) -> Option<CaSource> {
        match raw {
            RawAuthorities {
                secret: Some(secret),
                file: None,
            } => self.object(&format!("{at}.secret"), secret).map(CaSource::Secret),
            RawAuthorities {
                secret: None,
                file: Some(file),
            } => {
                let pem = self.read(&format!("{at}.file"), file, files)?;
                CaBundle::from_pem(&pem)
                    .map_err(|error| self.error(&format!("{at}.file"), format!("`{file}` {error}")))
                    .map(|bundle| CaSource::Given(Arc::new(bundle)))
                    .ok()
            }
            RawAuthorities { .. } => {
                self.error(
                    at,
                    "one of the two, please; allowed: { secret = \"ns/name\" }, { file = \"FILE\" }"
                        .to_owned(),
                );
                None
            }
        }
    }

    fn object(&mut self, key: &str, written: &str) -> Option<ObjectKey> {
        let found = object(written);
        if found.is_none() {
            let message = format!("`{written}` is not a Secret; allowed: `namespace/name`");
            self.error(key, message);
        }
        found
    }

    /// The content of a file, which is watched whether it can be read or not.
    fn read(&mut self, key: &str, written: &str, files: &mut Vec<PathBuf>) -> Option<Vec<u8>> {
        let path = self.absolute(written);
        let content = read_small(&path);
        files.push(path);
        content
            .map_err(|error| {
                let message = format!("`{written}` cannot be read: {error}; create it or correct the path");
                self.error(key, message);
            })
            .ok()
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES {
        return Err(format!("it has {length} bytes, more than any certificate"));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}
