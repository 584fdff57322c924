//! What several Ingresses of a host have to do with each other at the other gateway.

use std::collections::BTreeMap;

use resource::{ClusterView, Ingress, IngressPath, PathType};
use route::{HostPattern, ObjectKey};

use crate::controller::Controller;
use crate::raw::RawObject;

/// The rules of all Ingresses, by host.
pub(crate) struct Neighbours<'v> {
    by_host: BTreeMap<&'v HostPattern, Vec<Neighbour<'v>>>,
}

/// One path of an Ingress, at one of its hosts.
pub(crate) struct Neighbour<'v> {
    pub(crate) ingress: &'v ObjectKey,
    pub(crate) controller: &'v Controller,
    pub(crate) path: &'v IngressPath,
    /// With ingress-nginx, it turns all paths of its host into regular expressions.
    pub(crate) makes_regexes: bool,
}

impl<'v> Neighbours<'v> {
    pub(crate) fn of(
        view: &'v ClusterView,
        controllers: &'v BTreeMap<&'v ObjectKey, Controller>,
        written: &BTreeMap<ObjectKey, &RawObject>,
    ) -> Self {
        let mut by_host: BTreeMap<&HostPattern, Vec<Neighbour<'_>>> = BTreeMap::new();
        for ingress in view.ingresses() {
            let Some(controller) = controllers.get(&ingress.key) else {
                continue;
            };
            let raw = written.get(&ingress.key).copied();
            for rule in &ingress.rules {
                let Ok(host) = &rule.host else { continue };
                let neighbours = by_host.entry(host).or_default();
                neighbours.extend(rule.paths.iter().map(|path| Neighbour {
                    ingress: &ingress.key,
                    controller,
                    path,
                    makes_regexes: *controller == Controller::IngressNginx && makes_regexes(raw, path),
                }));
            }
        }
        Self { by_host }
    }

    /// The paths of a host.
    pub(crate) fn at(&self, host: &HostPattern) -> &[Neighbour<'v>] {
        self.by_host.get(host).map(Vec::as_slice).unwrap_or_default()
    }

    /// The paths of other Ingresses at a host.
    pub(crate) fn beside<'n>(
        &'n self,
        ingress: &'n Ingress,
        host: &HostPattern,
    ) -> impl Iterator<Item = &'n Neighbour<'v>> {
        self.at(host)
            .iter()
            .filter(move |neighbour| *neighbour.ingress != ingress.key)
    }
}

/// As ingress-nginx decides it: `use-regex`, or a `rewrite-target` that is not the path itself.
fn makes_regexes(raw: Option<&RawObject>, path: &IngressPath) -> bool {
    let says =
        |name: &str| raw.and_then(|raw| raw.annotation(&format!("nginx.ingress.kubernetes.io/{name}")));
    says("use-regex").is_some_and(|value| value.trim() == "true")
        || says("rewrite-target").is_some_and(|target| !target.is_empty() && *target != *path.written)
}

/// Whether a path is read as a prefix where it comes from.
pub(crate) fn is_prefix(path: &IngressPath) -> bool {
    matches!(
        path.path_type,
        Some(PathType::Prefix | PathType::ImplementationSpecific)
    )
}
