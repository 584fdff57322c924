//! Certificates with their keys, and the authorities of clients, read from PEM. Contents of keys appear nowhere.

use std::fmt;
use std::sync::Arc;

use resource::{Secret, Unread};
use route::ListenerName;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

use super::bounds::{self, ChainExcess};
use super::digest::Digest;
use super::pem::{self, PemError, Purpose};
use super::x509::CertificateFacts;

/// How long a self-signed certificate lasts: longer than any process.
const SELF_SIGNED: u64 = 10 * 365 * 86_400;

/// A certificate chain and its private key. Equal when both are, byte for byte.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    facts: CertificateFacts,
    fingerprint: Digest,
    content: Digest,
}

/// The authorities that certificates are verified against.
#[derive(Clone)]
pub struct CaBundle {
    roots: Arc<RootCertStore>,
    content: Digest,
}

/// Why PEM data is not a certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No `CERTIFICATE` section.
    #[error("the certificate chain holds no certificate; it starts with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// Not PEM that can be read whole.
    #[error("the certificate chain {0}")]
    ChainPem(PemError),
    /// Not X.509.
    #[error("certificate {0} of the chain cannot be parsed; the server's own comes first, then its issuers")]
    Chain(usize),
    /// More than a handshake should cost.
    #[error("the certificate chain {0}")]
    Excess(ChainExcess),
    /// No private key section.
    #[error(
        "the private key is missing or encrypted; write it unencrypted as PKCS#8, PKCS#1 or SEC1, as in `-----BEGIN PRIVATE KEY-----`"
    )]
    NoKey,
    /// Not PEM that can be read, or encrypted.
    #[error("the private key {0}")]
    KeyPem(PemError),
    /// An algorithm that is not supported.
    #[error(
        "the private key cannot be parsed; RSA (2048 to 4096 bits), ECDSA (P-256, P-384, P-521) and Ed25519 are supported"
    )]
    Key,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the first certificate of the chain")]
    Mismatch,
}

/// Why PEM data is not a bundle of authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// No `CERTIFICATE` section.
    #[error("holds no certificate; it starts with `-----BEGIN CERTIFICATE-----`")]
    Empty,
    /// Not PEM that can be read completely.
    #[error("{0}")]
    Pem(PemError),
    /// Not usable as an authority.
    #[error("certificate {0} cannot be parsed")]
    Certificate(usize),
    /// More than verifying should cost.
    #[error("{0}")]
    Excess(ChainExcess),
}

/// Why a Secret gives no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretFault {
    #[error("does not exist")]
    Missing,
    #[error("{0}")]
    Unread(Unread),
    #[error(
        "is of type `{0}` and has no `{1}`; write a Secret of type `kubernetes.io/tls` with `tls.crt` and `tls.key`"
    )]
    Entry(Box<str>, &'static str),
    #[error("cannot be used: {0}")]
    Certificate(CertificateError),
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and the key that belongs to it.
    ///
    /// # Errors
    /// What cannot be read, or does not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        #[cfg(test)]
        crate::counted::note(|work| work.parsed += 1);
        let chain = pem::certificates(chain, Purpose::Chain).map_err(CertificateError::ChainPem)?;
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let key = pem::private_key(key).map_err(CertificateError::KeyPem)?;
        Self::new(chain, &key.ok_or(CertificateError::NoKey)?)
    }

    /// The certificate of a Secret of type `kubernetes.io/tls`.
    pub(crate) fn from_secret(secret: &Secret) -> Result<Self, SecretFault> {
        let entry = |name: &'static str| {
            let bytes = secret.data.get(name).filter(|bytes| !bytes.is_empty());
            bytes.ok_or_else(|| SecretFault::Entry(secret.kind.clone(), name))
        };
        let (chain, key) = (entry("tls.crt")?, entry("tls.key")?);
        Self::from_pem(chain, key).map_err(SecretFault::Certificate)
    }

    /// A self-signed certificate, for load balancers that do not verify their targets. Valid for ten years, from a day
    /// before now because clocks differ.
    ///
    /// # Errors
    /// When no key can be made: the system's source of randomness failed.
    pub fn self_signed(door: &ListenerName) -> Result<Self, rcgen::Error> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(vec![door.to_string()])?;
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, door.as_str());
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let now = UnixTime::now().as_secs();
        params.not_before = epoch + std::time::Duration::from_secs(now.saturating_sub(86_400));
        params.not_after = epoch + std::time::Duration::from_secs(now + SELF_SIGNED);
        let certificate = params.self_signed(&key)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Self::new(vec![certificate.der().clone()], &key)
            .map_err(|_own| rcgen::Error::CouldNotParseCertificate)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<Self, CertificateError> {
        let [leaf, issuers @ ..] = &*chain else {
            return Err(CertificateError::NoCertificate);
        };
        bounds::check(leaf, issuers).map_err(CertificateError::Excess)?;
        let facts = CertificateFacts::of(leaf).ok_or(CertificateError::Chain(1))?;
        if let Some(broken) = chain.iter().position(|link| CertificateFacts::of(link).is_none()) {
            return Err(CertificateError::Chain(broken + 1));
        }
        let signing = any_supported_type(key).map_err(|_unsupported| CertificateError::Key)?;
        if signing
            .public_key()
            .is_some_and(|public| *public != *facts.public_key)
        {
            return Err(CertificateError::Mismatch);
        }
        let parts = chain.iter().map(AsRef::as_ref).chain([key.secret_der()]);
        Ok(Self {
            fingerprint: Digest::of(leaf),
            content: Digest::of_all(parts),
            facts,
            key: Arc::new(CertifiedKey::new(chain, signing)),
        })
    }

    pub(crate) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    pub(crate) fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// Of the whole chain and the key.
    pub(crate) fn content(&self) -> Digest {
        self.content
    }

    /// Of the server's own certificate: what a client would compare.
    pub(crate) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }
}

impl CaBundle {
    /// Reads one or more authorities. One that cannot be read invalidates the bundle, because it is unknown which clients it
    /// would admit or refuse.
    ///
    /// # Errors
    /// When there is none, or one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CaError> {
        #[cfg(test)]
        crate::counted::note(|work| work.parsed += 1);
        let certificates = pem::certificates(pem, Purpose::Authorities).map_err(CaError::Pem)?;
        if certificates.is_empty() {
            return Err(CaError::Empty);
        }
        bounds::check_keys(&certificates).map_err(CaError::Excess)?;
        let content = Digest::of_all(certificates.iter().map(AsRef::as_ref));
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.into_iter().enumerate() {
            roots
                .add(certificate)
                .map_err(|_unusable| CaError::Certificate(index + 1))?;
        }
        Ok(Self {
            roots: Arc::new(roots),
            content,
        })
    }

    pub(crate) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    pub(crate) fn content(&self) -> Digest {
        self.content
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl Eq for Certificate {}

impl PartialEq for CaBundle {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl Eq for CaBundle {}

/// Shows what anyone may see of it.
impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.facts.names.iter().map(ToString::to_string).collect();
        out.debug_struct("Certificate")
            .field("names", &names)
            .field("not_after", &self.facts.not_after.to_string())
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CaBundle")
            .field("certificates", &self.roots.len())
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}
