//! What the status of an Ingress should be.

use route::ObjectKey;

use crate::cluster::door_view::Publish;
use crate::cluster::status::Address;

/// What the status of an Ingress should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DesiredStatus {
    /// No door that admits it publishes anything.
    Nothing,
    /// A door publishes a Service that does not exist. The status stays as it is until the addresses are known.
    Unknown,
    /// These.
    Addresses(Vec<Address>),
}

impl DesiredStatus {
    /// From what the doors that admit the Ingress publish. `service` returns the addresses of a Service, if it exists.
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
