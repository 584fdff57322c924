//! From certificates and policies to the configuration of rustls.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoClientAuth, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::table::Closed;
use crate::admission::TlsVersion;
use crate::pki::{Bounded, CaBundle, Digest, PROVIDER};

/// Sessions of clients that take no tickets, per door.
const SESSIONS: usize = 1_024;

/// What a door requires of its clients, by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientPolicy {
    /// Nothing.
    Off,
    /// A client that presents a certificate presents one from these authorities.
    Optional(Digest),
    /// Every client presents one from these authorities.
    Required(Digest),
    /// What should be required is unknown, so no client is served.
    Closed,
}

/// The session keys of one client-auth policy at one door. A ticket of another door, or of another policy, is sealed
/// with another key: it never resumes here.
pub(crate) struct Sessions {
    pub(crate) policy: ClientPolicy,
    storage: Arc<dyn StoresServerSessions>,
    ticketer: Arc<dyn ProducesTickets>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientPolicy {
    /// Whether a handshake under `proved` proved what this policy requires.
    pub(crate) fn is_met_by(self, proved: Self) -> bool {
        match (self, proved) {
            (Self::Off, _) => true,
            (Self::Closed, _) => false,
            (Self::Optional(asked), Self::Optional(held) | Self::Required(held))
            | (Self::Required(asked), Self::Required(held)) => asked == held,
            (Self::Optional(_), Self::Off | Self::Closed)
            | (Self::Required(_), Self::Off | Self::Optional(_) | Self::Closed) => false,
        }
    }
}

impl Sessions {
    /// New keys for a policy, whose authorities are `ca`.
    pub(crate) fn new(policy: ClientPolicy, ca: Option<&CaBundle>) -> Result<Self, rustls::Error> {
        let verifier: Arc<dyn ClientCertVerifier> = match (policy, ca) {
            (ClientPolicy::Off | ClientPolicy::Closed, _) | (_, None) => Arc::new(NoClientAuth),
            (ClientPolicy::Optional(_), Some(ca)) => verifier(ca, true)?,
            (ClientPolicy::Required(_), Some(ca)) => verifier(ca, false)?,
        };
        // Without authorities a policy is closed.
        let policy = match (policy, ca) {
            (ClientPolicy::Optional(_) | ClientPolicy::Required(_), None) => ClientPolicy::Closed,
            (policy, _) => policy,
        };
        Ok(Self {
            policy,
            storage: ServerSessionMemoryCache::new(SESSIONS),
            ticketer: Ticketer::new()?,
            verifier,
        })
    }

    /// A configuration that answers names from `certificates`.
    pub(crate) fn config(
        &self,
        min_version: TlsVersion,
        certificates: Arc<dyn ResolvesServerCert>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let certificates = match self.policy {
            ClientPolicy::Closed => Arc::new(Closed),
            ClientPolicy::Off | ClientPolicy::Optional(_) | ClientPolicy::Required(_) => certificates,
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(versions(min_version))?
            .with_client_cert_verifier(Arc::clone(&self.verifier))
            .with_cert_resolver(certificates);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::clone(&self.storage);
        config.ticketer = Arc::clone(&self.ticketer);
        config.ignore_client_order = true;
        // One is enough for the next connection, which gets its own; the usual second one costs each handshake.
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

fn verifier(ca: &CaBundle, may_be_absent: bool) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(ca.roots()), Arc::clone(&PROVIDER));
    let builder = if may_be_absent {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    let verifier = builder
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(Arc::new(Bounded(verifier)))
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match min {
        TlsVersion::V12 => rustls::ALL_VERSIONS,
        TlsVersion::V13 => &NEWEST,
    }
}
