//! The platform's certificate authorities, for backends that name no others.

use door::PlatformRoots;

/// Reads them from where the system keeps them, or where `SSL_CERT_FILE` and `SSL_CERT_DIR` point. If there are none, a
/// backend that needs them has a problem.
pub(crate) fn platform_roots() -> PlatformRoots {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        if found.certs.is_empty() {
            tracing::warn!(%error, "the certificate authorities of the system cannot be read");
        } else {
            tracing::debug!(%error, "a certificate authority of the system cannot be read");
        }
    }
    PlatformRoots::new(found.certs)
}
