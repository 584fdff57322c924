//! Why TLS towards a backend cannot be set up.

use resource::{ClusterView, Kind, ObjectRef, Unread};
use route::ObjectKey;

use crate::pki::{CaError, CertificateError};

/// Why a backend cannot be called over TLS as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BackendFault {
    #[error("{0} `{1}` does not exist")]
    Missing(&'static str, ObjectKey),
    #[error("{0} `{1}` {2}")]
    Unread(&'static str, ObjectKey, Unread),
    #[error("{0} `{1}` has no `{2}`")]
    Entry(&'static str, ObjectKey, &'static str),
    #[error("{0} `{1}` cannot be used: its `ca.crt` {2}")]
    Authorities(&'static str, ObjectKey, CaError),
    #[error("Secret `{0}` cannot be used: {1}")]
    Certificate(ObjectKey, CertificateError),
    #[error("`{0}` is not a name that a certificate can have")]
    Name(String),
    #[error(
        "this system has no certificate authorities; install its `ca-certificates`, or name the authorities"
    )]
    NoPlatformRoots,
    #[error("the settings contradict each other: {0}")]
    Settings(String),
}

impl BackendFault {
    /// An object is not in the view.
    pub(super) fn absent(kind: Kind, key: &ObjectKey, view: &ClusterView) -> Self {
        match view.unread(&ObjectRef::namespaced(kind, key)) {
            Some(why) => Self::Unread(kind.as_str(), key.clone(), why),
            None => Self::Missing(kind.as_str(), key.clone()),
        }
    }
}
