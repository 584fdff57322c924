//! What of the cluster the gateway may call.

use super::addresses::AddressPolicy;
use super::tls::PlatformRoots;

/// What the gateway may call, and whom it believes there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendPolicy {
    /// Which addresses are called.
    pub addresses: AddressPolicy,
    /// Whether Services of type ExternalName are called (`[source] allow_external_names`).
    pub external_names: ExternalNames,
    /// Whom to believe of backends that speak TLS, where no authorities are named.
    pub platform_roots: PlatformRoots,
}

/// What becomes of Services of type ExternalName.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExternalNames {
    /// They are refused.
    #[default]
    Refused,
    /// They are called at the addresses that DNS has for their names.
    Resolved,
    /// They would be called, but DNS is not asked: a look at objects alone.
    Unasked,
}
