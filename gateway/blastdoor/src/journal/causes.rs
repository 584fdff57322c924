//! What led to a publication: the objects in which its view differs from that of the publication before.

use std::sync::Arc;

use control::Writes;
use resource::{ClusterView, Kind, Object, ObjectRef, SourceLine};
use route::ObjectKey;

use super::entry::{Cause, CauseChange, bounded};

/// How many causes are listed.
const MOST: usize = 20;

/// The longest name: two of an object.
const LONGEST: usize = 512;

/// The causes that are listed, and how many are not. Ingresses come first: whatever else changes, they say what is exposed.
/// `configuration`: the file that was taken over.
pub(super) fn causes(
    view: &ClusterView,
    before: &ClusterView,
    writes: &mut Writes,
    configuration: Option<&str>,
) -> (Vec<Cause>, usize) {
    let difference = view.difference(before);
    let mut causes = Causes::default();
    if let Some(file) = configuration {
        causes.add(|| Cause::named("Configuration", file, CauseChange::Changed));
    }
    let of = |kind: Kind| {
        let objects = difference.objects.iter();
        // Without a name: all of a kind that cannot be read.
        objects.filter(move |object| object.kind == kind && !object.name.is_empty())
    };
    let namespaced = |kind: Kind| move |key: &ObjectKey| ObjectRef::namespaced(kind, key);
    let ingresses = difference.ingresses.iter().map(namespaced(Kind::Ingress));
    let named = [Kind::Middleware, Kind::Secret, Kind::ConfigMap].into_iter();
    let objects = ingresses
        .chain(classes(view, before))
        .chain(named.flat_map(of).cloned())
        .chain(
            difference
                .services
                .iter()
                .flat_map(|key| service(view, before, key)),
        );
    for object in objects {
        // Whether or not it is listed, so that no later change is ascribed to this writer.
        let write = writes.take(&object);
        causes.add(|| {
            let (then, now) = (before.object(&object), view.object(&object));
            let change = match (&then, &now) {
                (None, _) => CauseChange::Created,
                (Some(_), None) => CauseChange::Deleted,
                (Some(_), Some(_)) => CauseChange::Changed,
            };
            let line = now.as_ref().or(then.as_ref()).and_then(written_at);
            // Whoever wrote it last is not who has deleted it.
            let write = write
                .filter(|_| change != CauseChange::Deleted)
                .unwrap_or_default();
            Cause {
                namespace: object
                    .namespace
                    .as_deref()
                    .map(|namespace| bounded(namespace, LONGEST)),
                resource_version: write.version,
                field_manager: write.manager,
                written: write.time,
                file: line.as_ref().map(|line| bounded(&line.file, LONGEST)),
                line: line.map(|line| line.line),
                ..Cause::named(label(object.kind), &object.name, change)
            }
        });
    }
    for name in &difference.names {
        causes.add(|| Cause::named("Name", name.as_str(), CauseChange::Changed));
    }
    (causes.listed, causes.omitted)
}

#[derive(Default)]
struct Causes {
    listed: Vec<Cause>,
    omitted: usize,
}

impl Causes {
    fn add(&mut self, cause: impl FnOnce() -> Cause) {
        if self.listed.len() < MOST {
            self.listed.push(cause());
        } else {
            self.omitted += 1;
        }
    }
}

impl Cause {
    fn named(kind: &'static str, name: &str, change: CauseChange) -> Self {
        Self {
            kind,
            namespace: None,
            name: bounded(name, LONGEST),
            change,
            resource_version: None,
            field_manager: None,
            written: None,
            file: None,
            line: None,
        }
    }
}

/// The IngressClasses that differ. There are few.
fn classes(view: &ClusterView, before: &ClusterView) -> Vec<ObjectRef> {
    let both = view.classes().chain(before.classes());
    let differing = both.filter(|class| view.class(&class.name) != before.class(&class.name));
    let mut names: Vec<ObjectRef> = differing
        .map(|class| ObjectRef::global(Kind::IngressClass, &class.name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The Service, or if it is the same, those of its slices that are not.
fn service(view: &ClusterView, before: &ClusterView, key: &ObjectKey) -> Vec<ObjectRef> {
    let is_same = match (view.service(key), before.service(key)) {
        (Some(now), Some(then)) => Arc::ptr_eq(now, then),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !is_same {
        return vec![ObjectRef::namespaced(Kind::Service, key)];
    }
    let slices = |view: &ClusterView| view.endpoint_slices(key).cloned().collect::<Vec<_>>();
    let (now, then) = (slices(view), slices(before));
    let is_in = |slice, others: &[_]| others.iter().any(|other| Arc::ptr_eq(other, slice));
    let differing = now.iter().filter(|slice| !is_in(slice, &then));
    let gone = then
        .iter()
        .filter(|slice| now.iter().all(|other| other.key != slice.key));
    differing
        .chain(gone)
        .map(|slice| ObjectRef::namespaced(Kind::EndpointSlice, &slice.key))
        .collect()
}

/// Where an object is written, if it comes from a file.
fn written_at(object: &Object) -> Option<SourceLine> {
    let source = match object {
        Object::Ingress(object) => &object.source,
        Object::IngressClass(object) => &object.source,
        Object::Service(object) => &object.source,
        Object::EndpointSlice(object) => &object.source,
        Object::Middleware(object) => &object.source,
        Object::Secret(_) | Object::ConfigMap(_) => return None,
    };
    source.as_ref().map(|source| SourceLine {
        file: Arc::clone(&source.file),
        line: source.line,
    })
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Ingress => "Ingress",
        Kind::IngressClass => "IngressClass",
        Kind::Service => "Service",
        Kind::EndpointSlice => "EndpointSlice",
        Kind::Secret => "Secret",
        Kind::ConfigMap => "ConfigMap",
        Kind::Namespace => "Namespace",
        Kind::Middleware => "Middleware",
        Kind::File => "File",
        Kind::Cluster => "Cluster",
        Kind::Variable => "Variable",
    }
}
