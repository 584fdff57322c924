//! What requests are forwarded to: Services, the addresses behind them, and TLS towards these.

mod addresses;
mod bounds;
mod called;
mod endpoints;
mod external;
mod fault;
mod material;
mod memory;
mod policy;
mod refused;
mod resolve;
mod tls;
mod upstream;

pub use addresses::{AddressPolicy, OwnAddresses};
pub use bounds::ServiceBounds;
pub use policy::{BackendPolicy, ExternalNames};
pub use tls::{BackendTls, PlatformRoots, store_client};
pub use upstream::{Endpoint, NoEndpoints, Upstream, UpstreamProtocol};

pub(crate) use memory::BackendMemory;
pub(crate) use resolve::Upstreams;
