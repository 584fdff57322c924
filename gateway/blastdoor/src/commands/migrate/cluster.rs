//! The objects of a cluster, from its API server. Nothing is written to it.

use std::collections::BTreeSet;

use control::cluster::{ApiResource, ClusterError, ClusterReader, Listing};
use door::Policy;
use migrate::{Wish, foreign_kinds};
use resource::{Kind, ObjectRef};
use route::ListenerName;
use serde_json::Value;

use super::objects::{Gathered, ReadObjects};
use crate::config::{Config, Options};
use crate::source::credentials;

/// What is listed: group, version, kind, plural, and whether there is no report without it.
const LISTED: &[(&str, &str, &str, &str, bool)] = &[
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", false),
    ("", "v1", "Service", "services", false),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", false),
    ("", "v1", "ConfigMap", "configmaps", false),
    ("traefik.io", "v1alpha1", "Middleware", "middlewares", false),
    ("apps", "v1", "Deployment", "deployments", false),
    ("apps", "v1", "DaemonSet", "daemonsets", false),
];

/// Reads everything that is looked at. What may not be read is told.
pub(super) async fn read(
    options: &Options,
    config: &Config,
    policies: &[(ListenerName, Policy)],
    wishes: &[Wish],
) -> Result<ReadObjects, ClusterError> {
    let reader = ClusterReader::open(&credentials(options))?;
    let mut gathered = Gathered::default();
    let namespaces = &config.source.namespaces;
    for (group, version, kind, plural, is_essential) in LISTED {
        let resource = ApiResource {
            group,
            version,
            plural,
        };
        match list(&reader, resource, kind, namespaces).await? {
            Listing::Objects(objects) => gathered.listed(plural, complete(objects, group, version, kind)),
            Listing::Absent => {}
            Listing::Forbidden(message) if *is_essential => {
                return Err(ClusterError::NoAnswer(format!(
                    "{plural} may not be listed: {message}"
                )));
            }
            Listing::Forbidden(message) => {
                gathered.unread(plural, None, &format!("may not be listed: {message}"));
            }
        }
    }
    for foreign in foreign_kinds() {
        let resource = ApiResource {
            group: foreign.group,
            version: foreign.version,
            plural: foreign.plural,
        };
        // Most of these kinds are not installed, and none of them is needed.
        if let Listing::Objects(objects) = list(&reader, resource, foreign.kind, namespaces).await? {
            gathered.listed(
                foreign.plural,
                complete(objects, foreign.group, foreign.version, foreign.kind),
            );
        }
    }
    secrets(&reader, policies, wishes, &mut gathered).await?;
    Ok(gathered.finish())
}

/// All objects of a kind, or those of the namespaces that are watched.
async fn list(
    reader: &ClusterReader,
    resource: ApiResource<'_>,
    kind: &str,
    namespaces: &[Box<str>],
) -> Result<Listing, ClusterError> {
    if namespaces.is_empty() || kind == "IngressClass" {
        return reader.list(resource, None).await;
    }
    let mut all = Vec::new();
    for namespace in namespaces {
        match reader.list(resource, Some(namespace)).await? {
            Listing::Objects(objects) => all.extend(objects),
            other @ (Listing::Absent | Listing::Forbidden(_)) => return Ok(other),
        }
    }
    Ok(Listing::Objects(all))
}

/// The Secrets that the doors need once the Ingresses have their labels, one by one: no other Secret is read.
async fn secrets(
    reader: &ClusterReader,
    policies: &[(ListenerName, Policy)],
    wishes: &[Wish],
    gathered: &mut Gathered,
) -> Result<(), ClusterError> {
    let (_, view) = migrate::place(&gathered.content().view, policies, wishes);
    let needs = door::needs(policies.iter().map(|(_, policy)| policy), &view);
    let needed: BTreeSet<ObjectRef> = needs.of_doors().into_iter().chain(needs.of_ingresses()).collect();
    let resource = ApiResource {
        group: "",
        version: "v1",
        plural: "secrets",
    };
    let mut forbidden = 0_usize;
    for secret in needed.iter().filter(|object| object.kind == Kind::Secret) {
        let namespace = secret.namespace.as_deref().unwrap_or_default();
        match reader.get(resource, namespace, &secret.name).await? {
            Listing::Objects(objects) => gathered.listed("secrets", complete(objects, "", "v1", "Secret")),
            Listing::Absent => {}
            Listing::Forbidden(_) => forbidden += 1,
        }
    }
    if forbidden > 0 {
        gathered.unread(
            "secrets",
            None,
            &format!("{forbidden} that Ingresses name may not be read"),
        );
    }
    Ok(())
}

/// The API server leaves kind and version out in lists.
fn complete(objects: Vec<Value>, group: &str, version: &str, kind: &str) -> Vec<Value> {
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let completed = objects.into_iter().map(|mut object| {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), api_version.clone().into());
            fields.insert("kind".to_owned(), kind.into());
        }
        object
    });
    completed.collect()
}
