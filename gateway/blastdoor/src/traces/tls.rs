//! TLS towards a collector.

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Collector, CollectorProtocol};

/// Trust in the authorities of the configuration, else in those of the platform.
///
/// # Errors
/// When they cannot be read.
pub(super) fn client(collector: &Collector) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match &collector.ca {
        Some(path) => {
            let failed =
                |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    if roots.is_empty() {
        return Err(io::Error::other(
            "no certificate authority is known to verify the collector with; set `tracing.ca`",
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let protocol: &[u8] = match collector.protocol {
        CollectorProtocol::Grpc => b"h2",
        CollectorProtocol::Http => b"http/1.1",
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}
