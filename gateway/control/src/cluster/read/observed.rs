//! Objects reduced to what the gateway keeps.

use kube::Resource as _;
use resource::{Object, ObjectRef, Problem, Severity, manifest};
use serde_json::json;

use super::kinds::{WatchedKind, reference};
use super::raw::{Content, RawObject};
use crate::cluster::status::LoadBalancerStatus;
use crate::writes::Write;

/// One object, reduced to what the gateway keeps. The raw one is dropped at once: most of it (managed fields, annotations
/// of other tools) is of no use here.
#[derive(Debug)]
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

impl Observed {
    pub(crate) fn new<K: WatchedKind>(raw: RawObject<K>) -> Self {
        let reference = reference::<K>(raw.meta());
        let version = raw.meta().resource_version.as_deref().unwrap_or_default().into();
        let mut problems = Vec::new();
        let write = match &raw.content {
            Content::Typed(typed) => Write::of(typed.meta()),
            Content::Untyped(..) => Write::of(raw.meta()),
        };
        let (status, object) = match raw.content {
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
