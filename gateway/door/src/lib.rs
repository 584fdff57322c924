//! Doors: who is admitted, what that compiles to, and how the result reaches the listener.
//!
//! Configuration flows one way through this crate: a [`resource::ClusterView`] → [`Admitted`] Ingresses → rules
//! → an immutable [`Snapshot`] → one atomic swap. The other way round only one thing is known: the current snapshot.
//!
//! # Invariants
//! - A door is opened with its selector and its serving half (`settings`) as one value by [`open`], which yields
//!   one [`Publisher`] and one [`Door`]. Neither can be cloned, and nothing pairs them up again by name: a table
//!   reaches the listener it was compiled for, or none.
//! - Only a door's own [`Policy`] makes an [`Admitted`], and only [`Admitted`] Ingresses are compiled. What the
//!   selector does not admit is not in the table, so no lookup, however wrong, can find it.
//! - [`Snapshot`] has no public constructor and no `Default`; before the first publication it says so, and the
//!   listener answers 503, not 404.
//! - A rule that does not compile becomes a blocked route (503). It never vanishes, because a broader rule would
//!   answer in its place.
//! - What is served is a function of the current objects alone; there is no memory of an earlier version. The last
//!   good certificate of a Secret is the one exception.
//!
//! Forging any of these does not compile:
//! ```compile_fail,E0451
//! let forged = door::Admitted { ingress: todo!(), excess: todo!() };
//! ```
//! ```compile_fail
//! fn nothing() -> door::Snapshot<()> { Default::default() }
//! ```
//! ```compile_fail,E0599
//! fn twice(publisher: door::Publisher<()>) { let _second = publisher.clone(); }
//! ```
//! ```compile_fail,E0599
//! fn twice(door: door::Door<()>) { let _second = door.clone(); }
//! ```
//! ```compile_fail,E0382
//! fn bind(_: door::Door<()>) {}
//! fn twice(door: door::Door<()>) { bind(door); bind(door); }
//! ```

mod admission;
mod backend;
mod compile;
#[cfg(test)]
mod counted;
mod filters;
mod needs;
mod pki;
mod publish;
mod references;
mod rule;
mod scheme;
mod snapshot;
mod tls;

pub use admission::{
    Admitted, Bounds, CaSource, ClientAuth, DefaultCertificate, FilterPolicy, HostOwner, Membership,
    NamespacePattern, NamespacePatternError, Policy, Selector, SelectorError, Selectors, TlsPolicy,
    TlsVersion,
};
pub use backend::{
    AddressPolicy, BackendPolicy, BackendTls, Endpoint, ExternalNames, NoEndpoints, OwnAddresses,
    PlatformRoots, ServiceBounds, Upstream, UpstreamProtocol, store_client,
};
pub use compile::{Action, Canary, Route};
pub use filters::{
    AuthService, BackendChoice, BackendHost, ErrorPages, Filter, Filters, Limiter, PasswordFilter,
    PasswordMemory, RateLimit, Sticky, WRONG_PASSWORDS,
};
pub use needs::{NeededName, Needs, concerns_needs, needs, objects_of};
pub use pki::{
    CaBundle, CaError, Certificate, CertificateError, ChainExcess, PemError, PemLabel, client_identity,
};
pub use publish::{
    Answer, Aspect, Changed, Door, DoorChange, Ledger, MOST_LISTED, PlaceChange, PlacePath, Publisher,
    Reports, TableChange, Unserved, UnservedIngress, open, publish, publish_beside,
};
pub use resource::{Balance, PageRequest};
pub use rule::{Blocked, Field, Origin, Tuning};
pub use scheme::Scheme;
pub use snapshot::{Matched, Snapshot, Standing, Verdict};
pub use tls::{DoorTls, Handshake, ServedCertificate};
