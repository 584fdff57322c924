//! Which certificate answers which server name.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use route::{Host, HostBuf, HostPattern, ObjectKey, RequestHost, normalise_sni};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::pki::{Certificate, Digest};

/// The certificates of one door by server name: precise names, then wildcards, then the default.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CertificateTable {
    /// `None`: the default answers for the name, although a wildcard covers it.
    exact: HashMap<Host, Option<Slot>, RandomState>,
    wildcard: HashMap<Host, Slot, RandomState>,
    default: Option<Slot>,
}

/// What a client gets for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    identity: Arc<CertificateIdentity>,
    /// `None`: the name's own certificate was never good, and it gets no other one.
    certificate: Option<Arc<Certificate>>,
}

/// Which certificate a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateIdentity {
    pub(crate) origin: CertificateOrigin,
    fingerprint: Option<Digest>,
}

/// Where a certificate comes from. It stays the same certificate when its content is renewed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum CertificateOrigin {
    /// This Secret.
    Secret(ObjectKey),
    /// The door's own configuration: files, or self-signed.
    Door,
}

impl Slot {
    pub(crate) fn new(origin: CertificateOrigin, certificate: Option<Arc<Certificate>>) -> Self {
        let fingerprint = certificate.as_ref().map(|certificate| certificate.fingerprint());
        Self {
            identity: Arc::new(CertificateIdentity { origin, fingerprint }),
            certificate,
        }
    }

    pub(crate) fn identity(&self) -> &Arc<CertificateIdentity> {
        &self.identity
    }

    pub(crate) fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate.as_ref()
    }
}

impl CertificateIdentity {
    /// The same certificate: from the same source, renewed since or not, or with the same content.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.origin == other.origin || (self.fingerprint.is_some() && self.fingerprint == other.fingerprint)
    }
}

impl CertificateTable {
    pub(crate) fn new(default: Option<Slot>) -> Self {
        Self {
            default,
            ..Self::default()
        }
    }

    /// Gives names their certificate. A rule without a host names nobody.
    pub(crate) fn insert(&mut self, host: HostPattern, slot: Slot) {
        match host {
            HostPattern::Any => {}
            HostPattern::Exact(host) => {
                self.exact.insert(host, Some(slot));
            }
            HostPattern::Wildcard(suffix) => {
                self.wildcard.insert(suffix, slot);
            }
        }
    }

    /// Leaves a name to the default, whatever wildcard covers it.
    pub(crate) fn keep(&mut self, host: Host) {
        self.exact.insert(host, None);
    }

    /// What a client gets for a name. No name, and an address, which cannot be a server name, get the default.
    pub(crate) fn of(&self, name: Option<&RequestHost<'_>>) -> Option<&Slot> {
        let own =
            name.filter(|name| !name.is_address())
                .and_then(|name| match self.exact.get(name.as_str()) {
                    Some(exact) => exact.as_ref(),
                    None => self.wildcard.get(name.parent()?),
                });
        own.or(self.default.as_ref())
    }

    /// Every name and what a client gets for it, without those that are left to the default.
    pub(crate) fn names(&self) -> impl Iterator<Item = (HostPattern, &Slot)> {
        let exact = self.exact.iter();
        let exact = exact.filter_map(|(host, slot)| Some((HostPattern::Exact(host.clone()), slot.as_ref()?)));
        let wildcards = self.wildcard.iter();
        exact.chain(wildcards.map(|(suffix, slot)| (HostPattern::Wildcard(suffix.clone()), slot)))
    }

    /// Every certificate, the default one first, each once.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        let mut seen = std::collections::HashSet::new();
        self.default
            .iter()
            .chain(self.exact.values().flatten())
            .chain(self.wildcard.values())
            .filter(move |slot| seen.insert(&slot.identity.origin))
    }
}

impl ResolvesServerCert for CertificateTable {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut scratch = HostBuf::new();
        let slot = match hello.server_name() {
            None => self.of(None),
            // A text that is not a host name has no certificate.
            Some(name) => self.of(Some(&normalise_sni(name.as_bytes(), &mut scratch).ok()?)),
        };
        Some(Arc::clone(slot?.certificate()?.key()))
    }
}

/// Serves no client: the door's client-auth policy cannot be enforced.
#[derive(Debug)]
pub(crate) struct Closed;

impl ResolvesServerCert for Closed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
