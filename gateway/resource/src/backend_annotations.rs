//! How connections to backends are made, as annotations say.

use route::ObjectKey;

use crate::protocol::AppProtocol;

/// Protocol and TLS of connections to backends, as the annotations of an Ingress set them. What they leave open, the
/// Service decides.
///
/// Where an annotation is written in both spellings, the gateway's own counts, not that of ingress-nginx.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct BackendAnnotations {
    /// `backend-protocol` or `secure-backends` of ingress-nginx.
    pub protocol: Option<AppProtocol>,
    /// `backend-tls-verify`, `proxy-ssl-verify`: whether the backend's certificate is verified.
    pub verify: Option<bool>,
    /// `backend-tls-ca`: the authorities that may have signed the backend's certificate.
    pub authorities: Option<AuthoritySource>,
    /// `backend-tls-client-certificate`: the certificate that the gateway shows to backends.
    pub client_certificate: Option<ObjectKey>,
    /// `proxy-ssl-secret`: both of the above, in one Secret.
    pub secret: Option<ObjectKey>,
    /// `backend-tls-name`, `proxy-ssl-name`: the name that is sent and verified.
    pub name: Option<Box<str>>,
    /// `proxy-ssl-server-name`: whether the name is sent (SNI).
    pub send_name: Option<bool>,
}

/// An object with authorities under `ca.crt`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AuthoritySource {
    /// A Secret.
    Secret(ObjectKey),
    /// A ConfigMap.
    ConfigMap(ObjectKey),
}

impl BackendAnnotations {
    /// Whether the certificates of backends that speak TLS are verified. ingress-nginx verifies only where it is told
    /// to, and so do annotations that ask for TLS in its spelling. Everywhere else certificates are verified unless
    /// that is switched off.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verify
            .unwrap_or(self.authorities.is_some() || self.protocol.is_none())
    }
}
