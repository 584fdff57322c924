//! TLS towards backends: authorities, client certificate, expected name.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use filter::store::StoreTls;
use resource::{BackendAnnotations, ClusterView, ObjectRef};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::fault::BackendFault;
use super::material::{Material, Materials};
use crate::pki::{Bounded, CaBundle, Certificate, Digest, PROVIDER};

/// The TLS settings for the endpoints of an upstream. Equal settings are one value: [`crate::publish()`] keeps the live
/// ones, and with them their sessions.
pub struct BackendTls {
    /// Trust, client certificate and ALPN.
    pub config: Arc<ClientConfig>,
    /// The name that is sent (SNI) and verified.
    pub server_name: ServerName<'static>,
    /// HTTP/2 is used over TLS.
    pub h2: bool,
    /// What it was made from; `None` when it was made by hand.
    key: Option<SettingsKey>,
}

/// The authorities of the platform, for backends that must be verified and have no other authorities.
#[derive(Clone, Default)]
pub struct PlatformRoots(Option<Arc<RootCertStore>>);

/// Everything in which two TLS settings may differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SettingsKey {
    config: ConfigKey,
    server_name: ServerName<'static>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ConfigKey {
    trust: Trust,
    client: Option<Digest>,
    send_name: bool,
    h2: bool,
}

/// Which authorities are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trust {
    /// The authorities that are named nevertheless: they must be readable.
    Nobody(Option<Digest>),
    Platform,
    Bundle(Digest),
}

/// The TLS settings in use, so that equal settings share their sessions. It keeps none of them: each may trust a megabyte
/// of authorities, and a tenant may replace them again and again.
#[derive(Debug, Default)]
pub(crate) struct TlsClients {
    whole: HashMap<SettingsKey, Weak<BackendTls>>,
    configs: HashMap<ConfigKey, Weak<ClientConfig>>,
    materials: Materials,
    /// How many settings were in use when the others were forgotten last.
    tidied: usize,
}

impl PlatformRoots {
    /// These certificates, as far as they can be read: platforms ship a few odd ones.
    pub fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        Self((!roots.is_empty()).then(|| Arc::new(roots)))
    }
}

impl BackendTls {
    /// Whether the certificate of the backend must be one of an authority that is trusted, for the name that is sent.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        let trust = self.key.as_ref().map(|key| &key.config.trust);
        !matches!(trust, Some(Trust::Nobody(_)))
    }

    /// Settings made by hand, equal to no others.
    #[must_use]
    pub fn new(config: Arc<ClientConfig>, server_name: ServerName<'static>, h2: bool) -> Self {
        Self {
            config,
            server_name,
            h2,
            key: None,
        }
    }
}

impl TlsClients {
    /// Forgets settings that nobody uses any more, and what was read from objects that are not in the view any more.
    pub(crate) fn tidy(&mut self, view: &ClusterView) {
        self.whole.retain(|_, tls| tls.strong_count() > 0);
        self.configs.retain(|_, config| config.strong_count() > 0);
        self.materials.tidy(view);
        self.tidied = self.whole.len();
    }

    /// Forgets what was read from an object that has changed or is gone.
    pub(crate) fn changed(&mut self, object: &ObjectRef, view: &ClusterView) {
        self.materials.changed(object, view);
    }

    /// Whether there are so many new settings that the old ones should be forgotten. Looking at all of them has a cost, which
    /// a small change should not have.
    pub(crate) fn is_untidy(&self) -> bool {
        self.whole.len() > 2 * self.tidied + 64
    }

    #[cfg(test)]
    pub(super) fn objects(&self) -> usize {
        self.materials.len()
    }

    #[cfg(test)]
    pub(super) fn settings_held(&self) -> usize {
        let configs = self.configs.values();
        configs.filter(|config| config.strong_count() > 0).count()
    }

    /// Remembers settings that are in use, unless equal ones are remembered that are.
    pub(crate) fn add(&mut self, tls: &Arc<BackendTls>) {
        if let Some(key) = &tls.key {
            remember(&mut self.configs, &key.config, &tls.config);
            remember(&mut self.whole, key, tls);
        }
    }

    /// The TLS settings for a backend, as the annotations `asked` say; without a name there, its own `name` counts.
    ///
    /// # Errors
    /// What is missing or unusable: the backend must not be called with less protection.
    pub(crate) fn settings(
        &mut self,
        name: String,
        asked: &BackendAnnotations,
        h2: bool,
        view: &ClusterView,
        platform: &PlatformRoots,
    ) -> Result<Arc<BackendTls>, BackendFault> {
        let name = asked.name.as_ref().map_or(name, ToString::to_string);
        let server_name = ServerName::try_from(name.clone()).map_err(|_invalid| BackendFault::Name(name))?;
        // Authorities must be readable even if nothing is verified: verification may be switched on again.
        let material = self.materials.find(asked, view)?;
        let trust = match &material.authorities {
            named if !asked.is_verified() => Trust::Nobody(named.as_ref().map(|bundle| bundle.content())),
            Some(bundle) => Trust::Bundle(bundle.content()),
            None => Trust::Platform,
        };
        let config = ConfigKey {
            trust,
            client: material.client.as_ref().map(|client| client.content()),
            send_name: asked.send_name.unwrap_or(true),
            h2,
        };
        let key = SettingsKey { config, server_name };
        if let Some(known) = self.whole.get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let config = match self.configs.get(&key.config).and_then(Weak::upgrade) {
            Some(known) => known,
            None => Arc::new(client_config(&key.config, &material, platform)?),
        };
        let tls = Arc::new(BackendTls {
            config,
            server_name: key.server_name.clone(),
            h2,
            key: Some(key),
        });
        self.add(&tls);
        Ok(tls)
    }
}

fn remember<K: Clone + Eq + Hash, T>(known: &mut HashMap<K, Weak<T>>, key: &K, value: &Arc<T>) {
    if known.get(key).is_none_or(|known| known.strong_count() == 0) {
        known.insert(key.clone(), Arc::downgrade(value));
    }
}

fn client_config(
    key: &ConfigKey,
    material: &Material,
    platform: &PlatformRoots,
) -> Result<ClientConfig, BackendFault> {
    let settings = |error: rustls::Error| BackendFault::Settings(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(settings)?;
    let verifier: Arc<dyn ServerCertVerifier> = match (key.trust, &material.authorities) {
        (Trust::Nobody(_), _) => Arc::new(Unverified),
        (Trust::Bundle(_), Some(bundle)) => verifier(bundle.roots())?,
        (Trust::Platform | Trust::Bundle(_), _) => {
            verifier(platform.0.as_ref().ok_or(BackendFault::NoPlatformRoots)?)?
        }
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &material.client {
        Some(certificate) => {
            let shown = SingleCertAndKey::from(rustls::sign::CertifiedKey::clone(certificate.key()));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = key.send_name;
    config.alpn_protocols = vec![if key.h2 {
        b"h2".to_vec()
    } else {
        b"http/1.1".to_vec()
    }];
    Ok(config)
}

/// The TLS settings for a server of limits. Each connection gets its own: a server is connected to rarely.
///
/// # Errors
/// When its material cannot be used, or the platform has no authorities and it has none of its own.
pub fn store_client(tls: &StoreTls, platform: &PlatformRoots) -> Result<ClientConfig, String> {
    let settings = |error: rustls::Error| error.to_string();
    let trusted = match (tls.unverified, &tls.authorities) {
        (true, _) => Ok(Arc::new(Unverified) as Arc<dyn ServerCertVerifier>),
        (false, Some(pem)) => {
            let bundle = CaBundle::from_pem(pem).map_err(|error| error.to_string())?;
            verifier(bundle.roots())
        }
        (false, None) => platform
            .0
            .as_ref()
            .ok_or(BackendFault::NoPlatformRoots)
            .and_then(verifier),
    };
    let trusted = trusted.map_err(|fault| fault.to_string())?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(settings)?
        .dangerous()
        .with_custom_certificate_verifier(trusted);
    Ok(match &tls.identity {
        Some((certificate, key)) => {
            let shown = Certificate::from_pem(certificate, key).map_err(|error| error.to_string())?;
            let shown = SingleCertAndKey::from(rustls::sign::CertifiedKey::clone(shown.key()));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
        None => builder.with_no_client_auth(),
    })
}

/// Verifies certificates against these authorities.
fn verifier(roots: &Arc<RootCertStore>) -> Result<Arc<dyn ServerCertVerifier>, BackendFault> {
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&PROVIDER));
    match builder.build() {
        Ok(verifier) => Ok(Arc::new(Bounded(verifier as Arc<dyn ServerCertVerifier>))),
        Err(error) => Err(BackendFault::Settings(error.to_string())),
    }
}

/// Accepts any certificate, because an Ingress says so. Without trust in the certificate a signature by its key proves
/// nothing, so signatures are not checked either, and certificates that cannot be parsed are accepted. Nothing of the chain
/// is looked at, so that only its size matters; the library accepts 64 KiB.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

impl PartialEq for BackendTls {
    fn eq(&self, other: &Self) -> bool {
        self.server_name == other.server_name
            && self.h2 == other.h2
            && Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for BackendTls {}

impl PartialEq for PlatformRoots {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for PlatformRoots {}

/// Shows which authorities are trusted; an audit looks for `Nobody`.
impl fmt::Debug for BackendTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BackendTls")
            .field("server_name", &self.server_name)
            .field("h2", &self.h2)
            .field("trust", &self.key.as_ref().map(|key| key.config.trust))
            .field("client", &self.key.as_ref().and_then(|key| key.config.client))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PlatformRoots {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |roots| roots.len());
        out.debug_tuple("PlatformRoots").field(&count).finish()
    }
}
