//! Objects reduced to what the gateway keeps.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use resource::{Object, ObjectRef, Problem, Severity, manifest};
use serde_json::{Value, json};

use super::kinds::{WatchedKind, reference};
use crate::cluster::status::LoadBalancerStatus;
use crate::writes::Write;

/// One object, reduced to what the gateway keeps. The raw one is dropped at once: most of it (managed fields, annotations
/// of other tools) is of no use here.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) reference: ObjectRef,
    /// `None` if nothing in it is usable.
    pub(crate) object: Option<Object>,
    pub(crate) problems: Vec<Problem>,
    /// `status.loadBalancer.ingress` of an Ingress or a Service.
    pub(crate) status: LoadBalancerStatus,
    /// `metadata.resourceVersion`
    pub(crate) version: Box<str>,
    /// Who has written it.
    pub(crate) write: Write,
}

/// One object, before it is reduced.
pub(super) enum Content<K> {
    /// As the API describes it.
    Typed(Box<K>),
    /// As JSON without `managedFields`, and why it could not be parsed.
    Untyped(Value, String),
}

impl Observed {
    /// `meta`: its namespace, name and version.
    pub(super) fn new<K: WatchedKind>(meta: &ObjectMeta, content: Content<K>) -> Self {
        let reference = reference::<K>(meta);
        let version = meta.resource_version.as_deref().unwrap_or_default().into();
        let mut problems = Vec::new();
        let write = match &content {
            Content::Typed(typed) => Write::of(typed.meta()),
            Content::Untyped(..) => Write::of(meta),
        };
        let (status, object) = match content {
            Content::Typed(typed) => {
                let status = typed.status();
                (status, typed.convert(&mut problems))
            }
            // What can be read of it counts, and the rest is closed, as for a file.
            Content::Untyped(json, error) => {
                let part = json!({
                    "metadata": { "annotations": json.pointer("/metadata/annotations") },
                    "status": json.get("status"),
                });
                let status = K::deserialize(&part).map(|part| part.status());
                problems.push(Problem {
                    severity: Severity::Error,
                    object: reference.clone(),
                    field: String::new(),
                    message: format!("not as the API describes it: {error}"),
                    source: None,
                    topic: resource::Topic::Field,
                });
                let object =
                    manifest::read_malformed(json, &K::api_version(&()), &K::kind(&()), &mut problems);
                (status.unwrap_or_default(), object)
            }
        };
        Self {
            reference,
            object,
            problems,
            status,
            version,
            write,
        }
    }
}
