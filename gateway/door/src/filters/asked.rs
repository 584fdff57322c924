//! What an Ingress asks for: by annotations, and through the Middlewares that it names.

use resource::{
    ClusterView, Dialect, FilterKind, FilterReference, FilterSpec, Kind, Middleware, MiddlewareKind,
    ObjectRef, Severity, Topic,
};
use route::ObjectKey;

use crate::references::MOST_MIDDLEWARES;
use crate::rule::{ObjectReport, ObjectRules};

/// Chains of chains, as deep as this.
const DEEPEST: usize = 8;

/// A filter that an Ingress asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// What it says.
    pub(crate) spec: &'a FilterSpec,
    /// In whose spelling.
    pub(crate) dialect: Dialect,
    /// The field of the Ingress that asks for it.
    pub(crate) field: &'a str,
    /// The Middleware that says so, if it is not the annotation itself.
    pub(crate) middleware: Option<&'a ObjectKey>,
    /// How many filters of its kind are before it in the same annotation or Middleware, and how many times that Middleware
    /// has been named before: together with them it says which state is its own.
    pub(crate) ordinal: usize,
}

/// The filters that an Ingress asks for: those of annotations in the order of their keys, then those of Middlewares in the
/// order in which they are named. `None` where a Middleware cannot be had, which is reported.
pub(super) fn asked<'a>(
    view: &'a ClusterView,
    object: &ObjectRules<'a>,
    report: &mut ObjectReport<'_>,
) -> Option<Vec<Asked<'a>>> {
    let mut walk = Walk {
        view,
        asked: Vec::new(),
        path: Vec::new(),
        count: 0,
    };
    for written in object.filters {
        walk.push(&written.spec, written.dialect, &written.field, None);
    }
    let mut is_whole = true;
    for named in object.middlewares {
        if let Err((topic, reason)) = walk.middleware(&named.key, &named.field) {
            let message = format!("{reason}; closed (503)");
            report.add_about(topic, Severity::Error, &named.field, message);
            is_whole = false;
        }
        if walk.count > MOST_MIDDLEWARES {
            break;
        }
    }
    is_whole.then_some(walk.asked)
}

/// Why a Middleware cannot be used.
type Unusable = (Topic, String);

fn refused(reason: String) -> Unusable {
    (Topic::of_refusal(&reason, Topic::FilterRefused), reason)
}

struct Walk<'a> {
    view: &'a ClusterView,
    asked: Vec<Asked<'a>>,
    /// The chains that are being followed.
    path: Vec<&'a ObjectKey>,
    /// Middlewares so far.
    count: usize,
}

impl<'a> Walk<'a> {
    fn middleware(&mut self, key: &ObjectKey, field: &'a str) -> Result<(), Unusable> {
        self.count += 1;
        if self.count > MOST_MIDDLEWARES {
            return Err(refused(format!(
                "more than {MOST_MIDDLEWARES} Middlewares in all, with those of chains; name fewer"
            )));
        }
        let middleware = self.find(key)?;
        match &middleware.kind {
            Err(invalid) => Err(refused(format!("Middleware `{key}` cannot be used: {invalid}"))),
            Ok(MiddlewareKind::Filters(filters)) => {
                for spec in filters {
                    self.push(spec, Dialect::Traefik, field, Some(&middleware.key));
                }
                Ok(())
            }
            Ok(MiddlewareKind::Chain(keys)) => {
                if self.path.contains(&&middleware.key) {
                    return Err(refused(format!(
                        "Middleware `{key}` is a chain that leads back to itself"
                    )));
                }
                if self.path.len() >= DEEPEST {
                    return Err(refused(format!(
                        "Middleware `{key}` is a chain more than {DEEPEST} deep"
                    )));
                }
                self.path.push(&middleware.key);
                let followed = keys.iter().try_for_each(|key| self.middleware(key, field));
                self.path.pop();
                followed
            }
        }
    }

    fn find(&self, key: &ObjectKey) -> Result<&'a Middleware, Unusable> {
        if let Some(middleware) = self.view.middleware(key) {
            return Ok(middleware);
        }
        let object = ObjectRef::namespaced(Kind::Middleware, key);
        let by = self
            .path
            .last()
            .map(|chain| format!(", which chain `{chain}` names,"));
        let by = by.unwrap_or_default();
        let reason = match self.view.unread(&object) {
            Some(unread) => format!("Middleware `{key}`{by} {unread}"),
            None => format!("Middleware `{key}`{by} does not exist (apiVersion `traefik.io/v1alpha1`)"),
        };
        Err((Topic::ReferenceMissing, reason))
    }

    fn push(
        &mut self,
        spec: &'a FilterSpec,
        dialect: Dialect,
        field: &'a str,
        middleware: Option<&'a ObjectKey>,
    ) {
        let kind = spec.kind();
        let is_same = |other: &&Asked<'_>| {
            let place = match middleware {
                Some(key) => other.middleware == Some(key),
                None => other.middleware.is_none() && other.field == field,
            };
            place && other.kind() == kind
        };
        self.asked.push(Asked {
            spec,
            dialect,
            field,
            middleware,
            ordinal: self.asked.iter().filter(is_same).count(),
        });
    }
}

impl Asked<'_> {
    pub(crate) fn kind(&self) -> FilterKind {
        self.spec.kind()
    }

    /// Whether it is of a kind, or a part of it is: `headers` of Traefik may ask for CORS.
    pub(crate) fn asks_for(&self, kind: FilterKind) -> bool {
        self.kind() == kind || (kind == FilterKind::Cors && self.spec.cors().is_some())
    }

    /// What it is about that it cannot be honoured.
    pub(crate) fn topic(&self, view: &ClusterView, refused: &str) -> Topic {
        let is_missing = |named: &FilterReference<'_>| {
            let object = match named {
                FilterReference::Secret(key) => ObjectRef::namespaced(Kind::Secret, key),
                FilterReference::ConfigMap(key) => ObjectRef::namespaced(Kind::ConfigMap, key),
                FilterReference::Service(key) => ObjectRef::namespaced(Kind::Service, key),
            };
            view.object(&object).is_none()
        };
        if self.spec.references().iter().any(is_missing) {
            Topic::ReferenceMissing
        } else {
            Topic::of_refusal(refused, Topic::FilterRefused)
        }
    }

    /// Where it is written, for a problem at the Ingress.
    pub(crate) fn place(&self) -> String {
        match self.middleware {
            Some(key) => format!("Middleware `{key}`"),
            None => {
                let key = self.field.strip_prefix("metadata.annotations[");
                let key = key.and_then(|key| key.strip_suffix(']'));
                format!("`{}`", key.unwrap_or(self.field))
            }
        }
    }
}
