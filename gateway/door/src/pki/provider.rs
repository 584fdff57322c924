//! The cryptography of TLS.

use std::sync::{Arc, LazyLock};

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Keys, ciphers and signatures: aws-lc, one for the process.
///
/// AES-128-GCM comes first: it is as good as any for what TLS protects, and its SHA-256 has instructions of its own on
/// most processors, which SHA-384 has not; a handshake hashes a hundred times.
pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let is_first = matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        !is_first
    });
    Arc::new(provider)
});
