//! How the rule of a route is written in its Ingress.

use door::{Action, Field, Route};
use resource::{ClusterView, IngressBackend, IngressPath, PathType, ServicePortRef};
use route::PathPattern;
use serde_json::Value;

/// How the rule of a route is written in its Ingress, as far as it is.
#[derive(Debug, Default)]
pub(crate) struct Written<'v> {
    path: Option<&'v IngressPath>,
    backend: Option<&'v IngressBackend>,
}

impl<'v> Written<'v> {
    /// The rule of a route that was compiled from this view.
    pub(crate) fn of(view: Option<&'v ClusterView>, route: &Route) -> Self {
        let ingress = view.and_then(|view| view.ingress(&route.origin.key));
        let Some(ingress) = ingress else {
            return Self::default();
        };
        match route.field {
            Field::Path { rule, path } => {
                let path = ingress.rules.get(rule).and_then(|rule| rule.paths.get(path));
                Self {
                    path,
                    backend: path.and_then(|path| path.backend.as_ref().ok()),
                }
            }
            Field::HostDefault { .. } | Field::Default => Self {
                path: None,
                backend: ingress
                    .default_backend
                    .as_ref()
                    .and_then(|backend| backend.as_ref().ok()),
            },
            Field::Rule { .. } | Field::Annotation(_) => Self::default(),
        }
    }

    /// Its path; `/` where none is written, and the pattern's own text where it is no path of a rule.
    pub(crate) fn path(&self, pattern: Option<&PathPattern>) -> String {
        let written = self
            .path
            .map(|path| &*path.written)
            .filter(|path| !path.is_empty());
        match (written, pattern) {
            (Some(written), _) => written.to_owned(),
            (None, Some(pattern)) => pattern.to_string(),
            (None, None) => "/".to_owned(),
        }
    }

    /// Its path type; `Default` where it answers what no path matches.
    pub(crate) fn path_type(&self, pattern: Option<&PathPattern>) -> &'static str {
        match (self.path, pattern) {
            (Some(path), _) => path_type(path.path_type),
            (None, Some(PathPattern::Exact(_))) => "Exact",
            (None, Some(PathPattern::Prefix(_))) => "Prefix",
            (None, Some(PathPattern::Regex(_))) => "ImplementationSpecific",
            (None, None) => "Default",
        }
    }

    /// The Service that it names, `namespace/name`.
    pub(crate) fn service(&self, route: &Route) -> Option<String> {
        match (&route.action, self.backend) {
            (Action::Forward(upstream), _) => Some(upstream.service.to_string()),
            (_, Some(backend)) => Some(backend.service.to_string()),
            (Action::Blocked(_) | Action::Redirect, None) => None,
        }
    }

    /// The port of that Service: its number, or the name that it is written with if no port has that name.
    pub(crate) fn port(&self, route: &Route) -> Option<Value> {
        match (&route.action, self.backend.map(|backend| &backend.port)) {
            (Action::Forward(upstream), _) => Some(upstream.port.into()),
            (_, Some(ServicePortRef::Number(number))) => Some((*number).into()),
            (_, Some(ServicePortRef::Name(name))) => Some(name.to_string().into()),
            (Action::Blocked(_) | Action::Redirect, None) => None,
        }
    }
}

/// As it is written; empty where it is not.
pub(crate) fn path_type(path_type: Option<PathType>) -> &'static str {
    match path_type {
        Some(PathType::Exact) => "Exact",
        Some(PathType::Prefix) => "Prefix",
        Some(PathType::ImplementationSpecific) => "ImplementationSpecific",
        None => "",
    }
}
