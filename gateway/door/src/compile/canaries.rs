//! Canaries: Ingresses without places of their own, which take a part of the requests of others.

use std::collections::HashMap;
use std::sync::Arc;

use filter::canary::CanaryRules;
use resource::{Ingress, IngressBackend, Kind, ObjectRef, PathType, Severity, Topic};
use route::{HostPattern, ListenerName, ObjectKey};

use crate::admission::{Admitted, Policy};
use crate::rule::{Field, ObjectReport, Origin, ingress};

/// All canaries that a door admits, and what is wrong with each.
pub(super) struct Canaries<'i> {
    ingresses: Vec<Joining<'i>>,
    /// The canary that counts for a place.
    places: HashMap<Place<'i>, Candidate<'i>>,
}

/// A canary while it is joined with others.
struct Joining<'i> {
    ingress: &'i Ingress,
    report: ObjectReport<'i>,
}

/// What an Ingress and its canary have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place<'i> {
    namespace: &'i str,
    host: &'i HostPattern,
    path: &'i str,
    path_type: Option<PathType>,
}

/// One path of a canary.
#[derive(Clone)]
pub(super) struct Candidate<'i> {
    pub(super) origin: Arc<Origin>,
    pub(super) rules: &'i CanaryRules,
    pub(super) backend: &'i IngressBackend,
    pub(super) field: Field,
    /// Its place among the canaries.
    index: usize,
    joined: bool,
    /// The first Ingress that has its host and path with another path type.
    near: Option<(&'i ObjectKey, Option<PathType>)>,
}

impl<'i> Canaries<'i> {
    /// The canaries among these, which are in order of precedence.
    pub(super) fn among(door: &ListenerName, policy: &Policy, admitted: &[Admitted<'i>]) -> Self {
        let mut canaries = Self {
            ingresses: Vec::new(),
            places: HashMap::new(),
        };
        for admitted in admitted.iter().filter(|admitted| is_canary(admitted.ingress())) {
            canaries.add(door, policy, *admitted);
        }
        canaries
    }

    fn add(&mut self, door: &ListenerName, policy: &Policy, admitted: Admitted<'i>) {
        let ingress: &'i Ingress = admitted.ingress();
        let Some(canary) = &ingress.annotations.choosing.canary else {
            return;
        };
        let mut report = ObjectReport::of_ingress(ingress);
        for key in &canary.without_effect {
            let message = "without effect on a canary: those of the Ingress that it belongs to count";
            report.add(Severity::Note, &format!("metadata.annotations[{key}]"), message);
        }
        if ingress.default_backend.is_some() {
            let message = "without effect on a canary, which has only the places of its rules";
            report.add(Severity::Warning, "spec.defaultBackend", message);
        }
        let index = self.ingresses.len();
        let is_closed = ingress::closed(door, policy, ingress, &mut report);
        if let Some(excess) = admitted.excess() {
            let described = excess
                .bound
                .describe(ingress.key.namespace(), door.as_str(), policy.bounds);
            report.add(
                Severity::Error,
                "spec",
                format!("{described}; this canary takes no requests"),
            );
        } else if is_closed {
            let message = "what closes an Ingress closes this canary: it takes no requests";
            report.add(Severity::Error, &canary.field, message);
        } else {
            let origin = Arc::new(Origin::new(Kind::Ingress, &ingress.key));
            for (field, place, backend) in places(ingress) {
                let candidate = Candidate {
                    origin: Arc::clone(&origin),
                    rules: &canary.rules,
                    backend,
                    field,
                    index,
                    joined: false,
                    near: None,
                };
                if let Some(older) = self.places.get(&place) {
                    let message = format!(
                        "the older canary `{}` counts for this place at door `{door}`; this one takes no requests",
                        older.origin.key
                    );
                    report.add(Severity::Warning, &field.path(), message);
                } else {
                    self.places.insert(place, candidate);
                }
            }
        }
        self.ingresses.push(Joining { ingress, report });
    }

    /// The canary of a path of an Ingress. It has found what it belongs to.
    pub(super) fn join(&mut self, ingress: &'i Ingress, field: Field) -> Option<Candidate<'i>> {
        if self.places.is_empty() {
            return None;
        }
        let Field::Path { rule, path } = field else {
            return None;
        };
        let rule = ingress.rules.get(rule)?;
        let path = rule.paths.get(path)?;
        let place = Place {
            namespace: ingress.key.namespace(),
            host: rule.host.as_ref().ok()?,
            path: &path.written,
            path_type: path.path_type,
        };
        if let Some(candidate) = self.places.get_mut(&place) {
            candidate.joined = true;
            return Some(candidate.clone());
        }
        self.note_near_miss(&ingress.key, place);
        None
    }

    /// A canary that differs in its path type alone is told so.
    fn note_near_miss(&mut self, ingress: &'i ObjectKey, place: Place<'i>) {
        let written = [
            PathType::Exact,
            PathType::Prefix,
            PathType::ImplementationSpecific,
        ];
        for path_type in written.map(Some).into_iter().chain([None]) {
            if let Some(candidate) = self.places.get_mut(&Place { path_type, ..place }) {
                candidate.near.get_or_insert((ingress, place.path_type));
            }
        }
    }

    /// Adds a problem to that of a canary.
    pub(super) fn report(&mut self, candidate: &Candidate<'_>) -> Option<&mut ObjectReport<'i>> {
        Some(&mut self.ingresses.get_mut(candidate.index)?.report)
    }

    /// What is wrong with each canary.
    pub(super) fn finish(mut self, door: &ListenerName) -> Vec<(ObjectRef, Vec<resource::Problem>)> {
        let unpaired = self.places.values().filter(|candidate| !candidate.joined);
        let mut unpaired: Vec<&Candidate<'_>> = unpaired.collect();
        unpaired.sort_by_key(|candidate| candidate.index);
        for candidate in unpaired {
            let Some(Joining { ingress, report }) = self.ingresses.get_mut(candidate.index) else {
                continue;
            };
            let advice = match candidate.near {
                Some((other, Some(path_type))) => format!(
                    "Ingress `{other}` has this host and path with `pathType: {}`; write the same here",
                    path_type.as_str()
                ),
                Some((other, None)) => {
                    format!(
                        "Ingress `{other}` has this host and path without a usable `pathType`; correct it there"
                    )
                }
                None => "label the Ingress that it belongs to alike".to_owned(),
            };
            let message = format!(
                "door `{door}` admits no Ingress of namespace `{}` with this host, path and path type, so that this canary \
                 is not served there; {advice}",
                ingress.key.namespace()
            );
            let field = candidate.field.path();
            report.add_about(Topic::CanaryUnpaired, Severity::Error, &field, message);
        }
        let finished = self
            .ingresses
            .into_iter()
            .map(|Joining { report, .. }| (report.object(), report.finish()));
        finished.filter(|(_, problems)| !problems.is_empty()).collect()
    }
}

/// Whether an Ingress is a canary: it has no places and no hosts of its own.
pub(crate) fn is_canary(ingress: &Ingress) -> bool {
    ingress.annotations.choosing.canary.is_some()
}

/// The paths of an Ingress that can have canaries, each with its backend.
fn places(ingress: &Ingress) -> impl Iterator<Item = (Field, Place<'_>, &IngressBackend)> {
    let rules = ingress.rules.iter().enumerate();
    rules.flat_map(move |(number, rule)| {
        let paths = rule.paths.iter().enumerate();
        paths.filter_map(move |(position, path)| {
            let field = Field::Path {
                rule: number,
                path: position,
            };
            let place = Place {
                namespace: ingress.key.namespace(),
                host: rule.host.as_ref().ok()?,
                path: &path.written,
                path_type: path.path_type,
            };
            Some((field, place, path.backend.as_ref().ok()?))
        })
    })
}
