//! The addresses in the status of Ingresses and Services, and whose each is where several write them.
//!
//! The API server knows one list of addresses for each Ingress, and as its writer whoever wrote it last. Several may
//! have something in it all the same: other installations of the gateway, other controllers, people. So what is not
//! ours stays, and what was ours has to be known after a restart, in every replica, and when the door that published
//! it is no longer configured. That is read off the object itself:
//!
//! - A list that holds nothing but what is ours is written under the installation's name: all of it is ours, and
//!   nothing else need be written down. So it is with one installation.
//! - One that holds more is written under that name with a suffix, and the annotation says whose each address is. Of
//!   an address that several claim, whoever withdraws it takes back the claim alone: it is never gone for a moment.
//!
//! Whoever may edit an Ingress can edit the annotation, and harms that Ingress's own status at most. Where it is lost,
//! nothing is taken for ours that may be somebody else's.

mod address;
mod claims;
mod load_balancer;
mod merge;

pub use address::Address;

pub(crate) use claims::{ANNOTATION, Claims};
pub(crate) use load_balancer::{LoadBalancerStatus, writer};
pub(crate) use merge::{Merged, merge};
