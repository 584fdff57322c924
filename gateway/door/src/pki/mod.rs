//! Certificates, keys and authorities: what both sides of the gateway speak TLS with.

mod bounds;
mod certificate;
mod digest;
mod identity;
mod pem;
mod provider;
mod x509;

pub use bounds::ChainExcess;
pub use certificate::{CaBundle, CaError, Certificate, CertificateError};
pub use identity::client_identity;
pub use pem::{PemError, PemLabel};

pub(crate) use bounds::Bounded;
pub(crate) use certificate::SecretFault;
pub(crate) use digest::Digest;
pub(crate) use provider::PROVIDER;
