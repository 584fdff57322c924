//! The objects of a cluster, from its API server.

use control::cluster::{ApiResource, ClusterError, ClusterReader, Listing};
use doctor::{
    Availability, Gateways, Inventory, Kind, Missing, ObjectName, Request, needed_config_maps, needed_secrets,
};

use super::configuration;
use crate::config::Options;
use crate::source::credentials;

/// Reads everything that is looked at. What may not be read is noted.
pub(super) async fn read(options: &Options, request: &Request) -> Result<Inventory, ClusterError> {
    let reader = ClusterReader::open(&credentials(options))?;
    let mut inventory = Inventory::default();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_listed()) {
        let listing = list(&reader, kind, request).await?;
        add(&mut inventory, kind, listing);
    }
    for (namespace, name) in needed_config_maps(&inventory, request) {
        get(&reader, &mut inventory, Kind::ConfigMap, &namespace, &name).await?;
    }
    let configuration = |process: &doctor::Process| configuration::read(process, options);
    let secrets = needed_secrets(&inventory, &Gateways::find(&inventory, request, configuration));
    inventory.set_availability(Kind::Secret, Availability::Read);
    for (namespace, name) in secrets {
        get(&reader, &mut inventory, Kind::Secret, &namespace, &name).await?;
    }
    // All that are needed have been asked for; which of them may not be read is noted for each.
    inventory.set_availability(Kind::ConfigMap, Availability::Read);
    inventory.set_availability(Kind::Secret, Availability::Read);
    Ok(inventory)
}

/// All objects of a kind; those of the one namespace that was asked for, where only these may be read.
async fn list(reader: &ClusterReader, kind: Kind, request: &Request) -> Result<Listing, ClusterError> {
    let everywhere = reader.list(resource(kind), None).await?;
    let namespace = request.namespace.as_deref().filter(|_| kind.is_namespaced());
    match (everywhere, namespace) {
        (Listing::Forbidden(_), Some(namespace)) => reader.list(resource(kind), Some(namespace)).await,
        (everywhere, _) => Ok(everywhere),
    }
}

fn resource(kind: Kind) -> ApiResource<'static> {
    ApiResource {
        group: kind.group(),
        version: kind.version(),
        plural: kind.plural(),
    }
}

fn add(inventory: &mut Inventory, kind: Kind, listing: Listing) {
    let availability = match listing {
        Listing::Objects(objects) => {
            for object in objects {
                inventory.insert_of(kind, object);
            }
            Availability::Read
        }
        Listing::Absent => Availability::Unserved,
        Listing::Forbidden(message) => Availability::Unread(format!("may not be listed: {message}")),
    };
    inventory.set_availability(kind, availability);
}

/// Reads an object by its name.
async fn get(
    reader: &ClusterReader,
    inventory: &mut Inventory,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<(), ClusterError> {
    let object = ObjectName::namespaced(kind, namespace, name);
    match reader.get(resource(kind), namespace, name).await? {
        Listing::Objects(objects) => {
            for object in objects {
                inventory.insert_of(kind, object);
            }
        }
        Listing::Absent => inventory.miss(object, Missing::Absent),
        Listing::Forbidden(message) => inventory.miss(object, Missing::Forbidden(message)),
    }
    Ok(())
}
