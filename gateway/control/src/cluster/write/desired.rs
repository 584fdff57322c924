//! What the status of an Ingress should be.

use route::ObjectKey;

use crate::cluster::door_view::Publish;
use crate::cluster::status::Address;

/// What the status of an Ingress should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DesiredStatus {
    /// No door that admits it publishes anything.
    Nothing,
    /// A door publishes a Service that is not there. What is written stays until it is known what to write.
    Unknown,
    /// These.
    Addresses(Vec<Address>),
}

impl DesiredStatus {
    /// Of what the doors publish that admit the Ingress. `service` gives the addresses of a Service, if there is one.
    pub(super) fn of(published: &[&Publish], service: impl Fn(&ObjectKey) -> Option<Vec<Address>>) -> Self {
        let mut addresses: Vec<Address> = Vec::new();
        let mut is_any = false;
        for publish in published {
            match publish {
                Publish::Nothing => {}
                Publish::Addresses(published) => {
                    is_any = true;
                    addresses.extend(published.iter().cloned());
                }
                Publish::Service(key) => {
                    is_any = true;
                    let Some(found) = service(key) else {
                        return Self::Unknown;
                    };
                    addresses.extend(found);
                }
            }
        }
        addresses.sort();
        addresses.dedup();
        if is_any {
            Self::Addresses(addresses)
        } else {
            Self::Nothing
        }
    }
}
