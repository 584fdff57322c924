//! What requests are forwarded to: Services, the addresses behind them, and TLS towards these.

mod addresses;
mod external;
mod policy;
mod refused;
mod resolve;
mod tls;
mod upstream;

pub use addresses::{AddressPolicy, OwnAddresses};
pub use policy::{BackendPolicy, ExternalNames};
pub use tls::{BackendTls, PlatformRoots};
pub use upstream::{Endpoint, Upstream, UpstreamProtocol};

pub(crate) use resolve::Upstreams;
pub(crate) use tls::TlsClients;
