//! The TLS settings of a door.

use std::sync::Arc;

use route::ObjectKey;

use crate::pki::{CaBundle, Certificate};

/// How a door terminates TLS. Certificates for names come from `spec.tls` of the Ingresses that the door admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPolicy {
    /// For names for which no Ingress has a certificate, and for clients that send no server name.
    pub default_certificate: DefaultCertificate,
    /// The oldest version that is accepted.
    pub min_version: TlsVersion,
    /// Which clients are admitted.
    pub client_auth: ClientAuth,
    /// Whether Ingresses may have the TLS of their hosts passed through, which bypasses `client_auth`.
    pub passthrough: bool,
}

impl TlsPolicy {
    /// TLS 1.2 and later, for clients that need no certificate, with passthrough.
    #[must_use]
    pub fn new(default_certificate: DefaultCertificate) -> Self {
        Self {
            default_certificate,
            min_version: TlsVersion::V12,
            client_auth: ClientAuth::Off,
            passthrough: true,
        }
    }

    /// The Secrets that the configuration of the door refers to.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &ObjectKey> {
        let certificate = match &self.default_certificate {
            DefaultCertificate::Secret(key) => Some(key),
            DefaultCertificate::None | DefaultCertificate::SelfSigned | DefaultCertificate::Given(_) => None,
        };
        let authorities = match &self.client_auth {
            ClientAuth::Optional(CaSource::Secret(key)) | ClientAuth::Required(CaSource::Secret(key)) => {
                Some(key)
            }
            ClientAuth::Optional(CaSource::Given(_))
            | ClientAuth::Required(CaSource::Given(_))
            | ClientAuth::Off => None,
        };
        certificate.into_iter().chain(authorities)
    }
}

/// Where the default certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultCertificate {
    /// There is none: a handshake for an unknown name fails.
    None,
    /// Made once per process and door; no authority has signed it.
    SelfSigned,
    /// A Secret of type `kubernetes.io/tls`.
    Secret(ObjectKey),
    /// Read from files.
    Given(Arc<Certificate>),
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246, only with authenticated encryption and ephemeral keys.
    V12,
    /// RFC 8446
    V13,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    Off,
    /// They are asked, and a client that presents one must present a valid one.
    Optional(CaSource),
    /// A handshake without a valid one fails.
    Required(CaSource),
}

/// Where the authorities of client certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaSource {
    /// A Secret with `ca.crt`.
    Secret(ObjectKey),
    /// Read from a file.
    Given(Arc<CaBundle>),
}
