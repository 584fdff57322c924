//! What requests are forwarded to: Services, the addresses behind them, and TLS towards these.

mod addresses;
mod external;
mod resolve;
mod tls;

pub use addresses::{AddressPolicy, OwnAddresses};
pub use resolve::{BackendPolicy, ExternalNames};
pub use tls::{BackendTls, PlatformRoots};

pub(crate) use resolve::{Speech, Upstreams};
pub(crate) use tls::Clients;
