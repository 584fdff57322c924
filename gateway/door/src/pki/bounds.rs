//! How much a chain of certificates may cost. Whoever shows one makes the other side keep it, parse it and verify its
//! signatures, before anybody knows who it is.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader};

use super::x509::Parsed;

/// Most certificates of a chain; common ones have two to four.
const MOST_CERTIFICATES: usize = 10;

/// Most bytes of a chain (DER).
const MOST_BYTES: usize = 64 << 10;

/// The longest RSA key, of any certificate: one of 8192 bits costs several times as much to verify and eight times as much
/// to sign with.
const MOST_RSA_BITS: usize = 4096;

/// `rsaEncryption` and `id-RSASSA-PSS` (RFC 8017).
const RSA: [ObjectIdentifier; 2] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"),
];

/// What a chain has too much of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainExcess {
    /// Certificates.
    #[error("has {0} certificates; at most {MOST_CERTIFICATES} are accepted")]
    Certificates(usize),
    /// Bytes.
    #[error("has {0} bytes; at most {MOST_BYTES} are accepted")]
    Bytes(usize),
    /// Bits of a key.
    #[error("has an RSA key of {bits} bits (certificate {place}); at most {MOST_RSA_BITS} are accepted")]
    RsaKey {
        /// Which certificate, counted from 1.
        place: usize,
        /// The length of its key.
        bits: usize,
    },
}

/// Checks what a chain may have, given as its first certificate and the others. Certificates that cannot be parsed are left
/// to others.
pub(super) fn check(leaf: &CertificateDer<'_>, issuers: &[CertificateDer<'_>]) -> Result<(), ChainExcess> {
    if issuers.len() >= MOST_CERTIFICATES {
        return Err(ChainExcess::Certificates(issuers.len() + 1));
    }
    let bytes = issuers
        .iter()
        .fold(leaf.len(), |bytes, certificate| bytes + certificate.len());
    if bytes > MOST_BYTES {
        return Err(ChainExcess::Bytes(bytes));
    }
    check_keys(std::iter::once(leaf).chain(issuers))
}

/// Checks the keys of certificates.
pub(super) fn check_keys<'c, 'd: 'c>(
    certificates: impl IntoIterator<Item = &'c CertificateDer<'d>>,
) -> Result<(), ChainExcess> {
    for (index, certificate) in certificates.into_iter().enumerate() {
        match rsa_bits(certificate) {
            Some(bits) if bits > MOST_RSA_BITS => {
                return Err(ChainExcess::RsaKey {
                    place: index + 1,
                    bits,
                });
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// The length of a certificate's key, if that is RSA.
fn rsa_bits(certificate: &CertificateDer<'_>) -> Option<usize> {
    let parsed = Parsed::from_der(certificate).ok()?;
    let key = parsed.tbs_certificate().subject_public_key_info();
    if !RSA.contains(&key.algorithm.oid) {
        return None;
    }
    let key = AnyRef::from_der(key.subject_public_key.raw_bytes()).ok()?;
    key.sequence(|reader| {
        let modulus = UintRef::decode(reader)?;
        let bits = modulus.as_bytes().len() * 8;
        let unused = modulus.as_bytes().first().map_or(0, |byte| byte.leading_zeros());
        // The exponent, which has bounds of its own.
        reader.read_slice(reader.remaining_len())?;
        Ok::<_, x509_cert::der::Error>(bits - unused as usize)
    })
    .ok()
}

/// A verifier that looks at what a chain costs first.
#[derive(Debug)]
pub(crate) struct Bounded<V: ?Sized>(pub(crate) Arc<V>);

fn check_shown(leaf: &CertificateDer<'_>, issuers: &[CertificateDer<'_>]) -> Result<(), Error> {
    check(leaf, issuers)
        .map_err(|excess| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(excess)))))
}

impl ClientCertVerifier for Bounded<dyn ClientCertVerifier> {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        check_shown(leaf, issuers)?;
        self.0.verify_client_cert(leaf, issuers, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Bounded<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        check_shown(leaf, issuers)?;
        self.0.verify_server_cert(leaf, issuers, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
