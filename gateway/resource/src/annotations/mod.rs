//! Annotations of Ingresses and Services, parsed.

mod backend;
mod read;
mod row;
mod table;

pub use backend::{AuthoritySource, BackendAnnotations};
pub use read::{Annotations, ClosedBy, IngressTuning};
pub(crate) use read::{ServiceAnnotations, ingress_annotations, service_annotations};
pub use row::{AnnotationKind, AnnotationRow, annotation_table, service_annotation_table};
