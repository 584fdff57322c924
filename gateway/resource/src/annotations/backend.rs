//! What an Ingress says of how its backends are spoken to.

use route::ObjectKey;

use crate::AppProtocol;
use crate::metadata::is_label;

/// What the annotations of an Ingress say of how its backends are spoken to. What is not said, the Service says.
///
/// The gateway's own annotations count where both they and those of ingress-nginx are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct BackendAnnotations {
    /// `backend-protocol` or `secure-backends` of ingress-nginx.
    pub protocol: Option<AppProtocol>,
    /// `backend-tls-verify`, `proxy-ssl-verify`: whether the backend's certificate is verified.
    pub verify: Option<bool>,
    /// `backend-tls-ca`: whose word on the backend is believed.
    pub authorities: Option<AuthoritySource>,
    /// `backend-tls-client-certificate`: what backends are shown.
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
    /// Whether the certificates of backends that speak TLS are verified. ingress-nginx does not unless told to, and
    /// who asks for TLS in its words gets that; everyone else gets verification unless it is switched off.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verify
            .unwrap_or(self.authorities.is_some() || self.protocol.is_none())
    }

    /// Whether TLS is spoken unverified and nobody has said so.
    pub(crate) fn is_silently_unverified(&self) -> bool {
        let speaks_tls = matches!(self.protocol, Some(AppProtocol::Https | AppProtocol::Grpcs));
        speaks_tls && self.verify.is_none() && !self.is_verified()
    }
}

impl AuthoritySource {
    /// `secret/NAME` or `configmap/NAME`, in this namespace.
    pub(crate) fn parse(text: &str, namespace: &str) -> Option<Self> {
        let (kind, name) = text.trim().split_once('/')?;
        let key = local(name, namespace)?;
        match kind.to_ascii_lowercase().as_str() {
            "secret" => Some(Self::Secret(key)),
            "configmap" => Some(Self::ConfigMap(key)),
            _ => None,
        }
    }
}

/// The key of an object in this namespace.
pub(crate) fn local(name: &str, namespace: &str) -> Option<ObjectKey> {
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    is_name.then(|| ObjectKey::new(namespace, name))
}
