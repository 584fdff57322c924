//! The TLS half of a door: its certificates, who its clients must be, and what a handshake entitles to.

use std::fmt;
use std::sync::Arc;

use route::{Host, RequestHost};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::snapshot::Route;

/// Certificates and client-auth policy of one door at one moment.
pub struct DoorTls {
    config: Arc<ServerConfig>,
}

/// What one handshake settled: kept with the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The name that the client asked for, in normal form.
    pub sni: Option<Host>,
}

/// How to speak TLS to the endpoints of an upstream.
pub struct BackendTls {
    /// Trust, client certificate and ALPN.
    pub config: Arc<ClientConfig>,
    /// The name that is sent (SNI) and verified.
    pub server_name: ServerName<'static>,
    /// HTTP/2 is spoken inside.
    pub h2: bool,
}

impl DoorTls {
    /// What handshakes are made with: ALPN `h2` and `http/1.1`, certificates by SNI.
    #[must_use]
    pub fn server_config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// What a handshake with this server name settles.
    #[must_use]
    pub fn handshake(&self, sni: Option<&RequestHost<'_>>) -> Handshake {
        Handshake {
            sni: sni.and_then(Host::of),
        }
    }

    /// Whether a request for `host` may be served on a connection of this handshake; 421 otherwise.
    #[must_use]
    pub fn admits(&self, handshake: &Handshake, host: Option<&RequestHost<'_>>) -> bool {
        let _ = (handshake, host);
        true
    }

    /// Whether any route of the door passes TLS through, so that server names must be looked at before a handshake.
    #[must_use]
    pub fn has_passthrough(&self) -> bool {
        false
    }

    /// The route that takes connections for this server name as they are, TLS and all.
    #[must_use]
    pub fn passthrough(&self, sni: &RequestHost<'_>) -> Option<&Arc<Route>> {
        let _ = sni;
        None
    }
}

impl fmt::Debug for DoorTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DoorTls").finish_non_exhaustive()
    }
}

impl fmt::Debug for BackendTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BackendTls")
            .field("server_name", &self.server_name)
            .field("h2", &self.h2)
            .finish_non_exhaustive()
    }
}

impl PartialEq for BackendTls {
    fn eq(&self, other: &Self) -> bool {
        self.server_name == other.server_name && self.h2 == other.h2 && Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for BackendTls {}
