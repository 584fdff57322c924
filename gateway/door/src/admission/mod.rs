//! Membership: which Ingresses a door admits, which of their hosts it may expose, and to whom those belong.

mod budgets;
mod class_reports;
mod classes;
mod members;
mod ownership;
mod policy;
mod selector;
mod selectors;
mod tls;

pub use budgets::Bounds;
pub use policy::{
    Admitted, FilterPolicy, HostOwner, Membership, NamespacePattern, NamespacePatternError, Policy,
};
pub use selector::{Selector, SelectorError};
pub use selectors::Selectors;
pub use tls::{CaSource, ClientAuth, DefaultCertificate, TlsPolicy, TlsVersion};

pub(crate) use budgets::Excess;
pub(crate) use class_reports::class_problems;
pub(crate) use classes::one_of;
pub(crate) use members::{Members, MembershipChange, claimed};
pub(crate) use ownership::{Owner, Ownership, beside};
pub(crate) use policy::{age, precedence};
