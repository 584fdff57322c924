//! The certificates and the client policy of one door at one moment, and what a handshake entitles to.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use route::{Host, HostPattern, RequestHost};
use rustls::ServerConfig;

use super::server::ClientPolicy;
use super::table::{CertificateIdentity, CertificateOrigin, CertificateTable, Slot};
use crate::admission::TlsVersion;
use crate::compile::{Passthrough, Route};

/// Certificates and client-auth policy of one door at one moment.
pub struct DoorTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) table: Arc<CertificateTable>,
    pub(super) policy: ClientPolicy,
    pub(super) min_version: TlsVersion,
    pub(super) passthrough: Passthrough,
}

/// The outcome of one handshake, kept with the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The server name that the client sent, in normal form.
    pub sni: Option<Host>,
    /// The certificate that the client was shown.
    presented: Option<Arc<CertificateIdentity>>,
    /// The client-auth policy that applied.
    policy: ClientPolicy,
}

/// A certificate that a door serves, for monitoring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCertificate {
    /// `namespace/name` of its Secret, or `default` for the door's own.
    pub secret: String,
    /// Seconds from 1970 to the end of its validity.
    pub expires: u64,
}

impl DoorTls {
    /// The names whose TLS is passed through.
    pub(crate) fn passed(&self) -> &Passthrough {
        &self.passthrough
    }

    /// What handshakes are made with: ALPN `h2` and `http/1.1`, certificates by SNI.
    #[must_use]
    pub fn server_config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// The outcome of a handshake with this server name. Call it on the same value whose
    /// [`server_config`](Self::server_config) made the handshake.
    #[must_use]
    pub fn handshake(&self, sni: Option<&RequestHost<'_>>) -> Handshake {
        let slot = self.table.of(sni);
        Handshake {
            sni: sni.and_then(Host::of),
            presented: slot.map(|slot| Arc::clone(slot.identity())),
            policy: self.policy,
        }
    }

    /// The oldest version that is accepted.
    #[must_use]
    pub fn min_version(&self) -> TlsVersion {
        self.min_version
    }

    /// Whether this handshake proved what the door now requires of its clients. If not, nothing is served on its connection,
    /// whatever the host.
    #[must_use]
    pub fn is_satisfied_by(&self, handshake: &Handshake) -> bool {
        self.policy.is_met_by(handshake.policy)
    }

    /// Whether a request for `host` may be served on a connection of this handshake; 421 otherwise.
    ///
    /// - A client that proved less than the door now requires: none.
    /// - Without a server name: every host.
    /// - The server name itself: always. Another host: if its own name would have got the same certificate.
    ///   A request without a host, or for an address, stands for a handshake without a server name.
    #[must_use]
    pub fn admits(&self, handshake: &Handshake, host: Option<&RequestHost<'_>>) -> bool {
        if !self.is_satisfied_by(handshake) {
            return false;
        }
        // Such a name is never served here, whatever the connection; a wildcard rule must not answer for it.
        if host.is_some_and(|host| self.passthrough.find(host).is_some()) {
            return false;
        }
        let Some(sni) = &handshake.sni else { return true };
        if host.is_some_and(|host| !host.is_address() && host.as_str() == sni.as_str()) {
            return true;
        }
        match (&handshake.presented, self.table.of(host)) {
            (Some(presented), Some(slot)) => slot.identity().is(presented),
            (None, _) | (_, None) => false,
        }
    }

    /// Whether any route of the door passes TLS through, so that server names must be read before a handshake.
    #[must_use]
    pub fn has_passthrough(&self) -> bool {
        !self.passthrough.is_empty()
    }

    /// The route that passes connections for this server name through. Its action is to forward, or it is blocked: then the
    /// connection is closed.
    #[must_use]
    pub fn passthrough(&self, sni: &RequestHost<'_>) -> Option<&Arc<Route>> {
        self.passthrough.find(sni)
    }

    /// Every name that is passed through, and its route.
    pub fn passthrough_routes(&self) -> impl Iterator<Item = (HostPattern, &Arc<Route>)> {
        self.passthrough.routes()
    }

    /// The certificate that a client gets for this name; `None` if its handshake fails.
    #[must_use]
    pub fn certificate(&self, sni: Option<&RequestHost<'_>>) -> Option<ServedCertificate> {
        match self.policy {
            ClientPolicy::Closed => None,
            ClientPolicy::Off | ClientPolicy::Optional(_) | ClientPolicy::Required(_) => {
                ServedCertificate::of(self.table.of(sni)?)
            }
        }
    }

    /// The certificates that are served, each once, in order of their names.
    #[must_use]
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        let mut certificates: Vec<_> = self.table.slots().filter_map(ServedCertificate::of).collect();
        certificates.sort_by(|left, right| left.secret.cmp(&right.secret));
        certificates
    }

    /// The certificates that are served, each once, with the names that get it, both in order. What no name gets is for
    /// clients that send none, or another one.
    #[must_use]
    pub fn names_of_certificates(&self) -> Vec<(ServedCertificate, Vec<HostPattern>)> {
        let mut names: HashMap<&CertificateOrigin, Vec<HostPattern>> = HashMap::new();
        for (name, slot) in self.table.names() {
            names.entry(&slot.identity().origin).or_default().push(name);
        }
        let mut certificates: Vec<_> = self
            .table
            .slots()
            .filter_map(|slot| {
                let mut names = names.remove(&slot.identity().origin).unwrap_or_default();
                names.sort_unstable();
                Some((ServedCertificate::of(slot)?, names))
            })
            .collect();
        certificates.sort_by(|(left, _), (right, _)| left.secret.cmp(&right.secret));
        certificates
    }
}

impl ServedCertificate {
    fn of(slot: &Slot) -> Option<Self> {
        Some(Self {
            secret: match &slot.identity().origin {
                CertificateOrigin::Secret(key) => key.to_string(),
                CertificateOrigin::Door => "default".to_owned(),
            },
            expires: slot.certificate()?.facts().expires(),
        })
    }
}

/// Shows names and certificates, no keys.
impl fmt::Debug for DoorTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DoorTls")
            .field("table", &self.table)
            .field("policy", &self.policy)
            .field("min_version", &self.min_version)
            .field("passthrough", &self.passthrough)
            .finish_non_exhaustive()
    }
}
