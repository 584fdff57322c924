//! The addresses in the status of Ingresses and Services, and who has published which of them.
//!
//! An Ingress has one list of addresses, and the API server records only its last writer. But several may have addresses
//! in it: other installations of the gateway, other controllers, people. So addresses that are not ours stay. Which ones
//! are ours must be known after a restart, in every replica, and when the door that published them is no longer
//! configured. It is read from the object itself:
//!
//! - A list with our addresses alone is written under the installation's name. All of it is ours, and nothing else is
//!   recorded. With a single installation it is always so.
//! - A list with other addresses too is written under that name with a suffix, and an annotation records who has published
//!   which address. If several have published one, an installation that withdraws it removes only its own claim, so the
//!   address is present throughout.
//!
//! Anyone who may edit an Ingress can edit the annotation, which affects that Ingress's own status at most. If it is lost,
//! no address that may be somebody else's is taken for ours.

mod address;
mod claims;
mod load_balancer;
mod merge;

pub use address::Address;

pub(crate) use claims::{ANNOTATION, Claims};
pub(crate) use load_balancer::{LoadBalancerStatus, writer};
pub(crate) use merge::{Merged, merge};
