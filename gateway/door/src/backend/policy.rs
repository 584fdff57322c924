//! What the gateway may call.

use super::addresses::AddressPolicy;
use super::bounds::ServiceBounds;
use super::tls::PlatformRoots;
use super::upstream::NoEndpoints;

/// What the gateway may call, and which authorities it trusts there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendPolicy {
    /// Which addresses are called.
    pub addresses: AddressPolicy,
    /// Whether Services of type ExternalName are called (`[source] allow_external_names`).
    pub external_names: ExternalNames,
    /// The authorities for backends that speak TLS, if no others are named.
    pub platform_roots: PlatformRoots,
    /// How much of one Service is used.
    pub bounds: ServiceBounds,
    /// How many gateways of this installation are ready, which share limits (`[source] replicas`); `None` if they are not
    /// named.
    pub replicas: Option<u64>,
}

/// How Services of type ExternalName are treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExternalNames {
    /// They are refused.
    #[default]
    Refused,
    /// They are called at the addresses that DNS has for their names.
    Resolved,
    /// They would be called, but DNS is not queried: only objects are checked.
    Unasked,
}

impl ExternalNames {
    /// Why a name has no address.
    pub(super) fn why_none(self) -> NoEndpoints {
        match self {
            Self::Refused | Self::Resolved => NoEndpoints::Unresolved,
            Self::Unasked => NoEndpoints::Unasked,
        }
    }
}
