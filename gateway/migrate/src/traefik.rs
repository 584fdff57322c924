//! What Traefik does with an Ingress, where this gateway does something else.

use resource::{IngressPath, PathMatcher, PathType};
use route::{HostPattern, PathPattern, PathScratch, normalise_path};

use crate::case::Case;
use crate::difference::{Difference, Effect};
use crate::kind::DifferenceKind as Is;
use crate::neighbours::{Neighbour, is_prefix};

/// What is different because of what is written.
pub(crate) fn differences(case: &Case<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    paths(case, &mut found);
    priority(case, &mut found);
    fallthrough(case, &mut found);
    if case.ingress.default_backend.is_some() && !case.ingress.rules.is_empty() {
        let message = "there, `defaultBackend` beside rules is ignored; here it answers for the hosts of the rules where no \
                       path matches";
        found.push(Difference::new(
            Is::DefaultBackendBesideRules,
            "",
            Effect::Differs,
            "spec.defaultBackend",
            message,
        ));
    }
    found
}

/// Prefixes go by characters, unless `strictPrefixMatching` is set.
fn paths(case: &Case<'_>, found: &mut Vec<Difference>) {
    let matcher = case.ingress.annotations.paths.matcher;
    for (rule, index) in case.ingress.rules.iter().zip(0..) {
        for (path, place) in rule.paths.iter().zip(0..) {
            let written = &path.written;
            if !is_characters(path, matcher) || written.len() <= 1 {
                continue;
            }
            let field = format!("spec.rules[{index}].http.paths[{place}].path");
            let difference = if written.ends_with('/') {
                let stem = written.trim_end_matches('/');
                let message = format!("there, `{written}` does not answer for `{stem}`; here it does");
                Difference::new(Is::PathTrailingSlash, "traefik", Effect::Differs, field, message)
            } else {
                let message = format!(
                    "there, `{written}` answers for all that begins with these characters, `{written}x` too (unless Traefik \
                     runs with `strictPrefixMatching`); here by whole elements"
                );
                Difference::new(Is::PathCharacters, "traefik", Effect::Differs, field, message)
            };
            found.push(difference);
        }
    }
}

/// Whether Traefik compares a path character by character.
fn is_characters(path: &IngressPath, matcher: PathMatcher) -> bool {
    match path.path_type {
        Some(PathType::Prefix) => true,
        Some(PathType::ImplementationSpecific) => matcher == PathMatcher::Prefix,
        Some(PathType::Exact) | None => false,
    }
}

/// The longer rule wins there, whatever it is.
fn priority(case: &Case<'_>, found: &mut Vec<Difference>) {
    for (rule, index) in case.ingress.rules.iter().zip(0..) {
        let Ok(host) = &rule.host else { continue };
        for (path, place) in rule.paths.iter().zip(0..) {
            let Ok(PathPattern::Exact(_)) = &path.pattern else {
                continue;
            };
            let Some(winner) = case.neighbours.at(host).iter().find(|other| wins(other, path)) else {
                continue;
            };
            let message = format!(
                "there, the longer rule wins: `{}` of {} answers for `{}` before this exact path does (a rule is ranked by the \
                 length of its text, or by `router.priority`); here the exact path answers",
                winner.path.written, winner.ingress, path.written
            );
            found.push(Difference::new(
                Is::RulePriority,
                "",
                Effect::Differs,
                format!("spec.rules[{index}].http.paths[{place}].path"),
                message,
            ));
        }
    }
}

/// Whether a prefix of the same host outranks an exact path there: `PathPrefix` has six characters more than `Path`.
fn wins(other: &Neighbour<'_>, exact: &IngressPath) -> bool {
    const LONGER: usize = "PathPrefix".len() - "Path".len();
    is_prefix(other.path)
        && exact.written.starts_with(&*other.path.written)
        && other.path.written.len() + LONGER >= exact.written.len()
}

/// There every rule is tried; here a host that is known does not fall through to a wildcard or to rules for every host.
fn fallthrough(case: &Case<'_>, found: &mut Vec<Difference>) {
    for (rule, index) in case.ingress.rules.iter().zip(0..) {
        let Ok(host @ (HostPattern::Exact(_) | HostPattern::Wildcard(_))) = &rule.host else {
            continue;
        };
        let broader = [host.wildcard(), Some(HostPattern::Any)].into_iter().flatten();
        let mut reached: Vec<String> = broader
            .filter(|broader| broader != host)
            .flat_map(|broader| {
                let others = case.neighbours.at(&broader).iter();
                let lost = others.filter(|other| !is_covered(case, host, other.path));
                lost.map(|other| format!("`{}` of {}", other.path.written, other.ingress))
                    .collect::<Vec<_>>()
            })
            .collect();
        reached.sort();
        reached.dedup();
        let Some((first, rest)) = reached.split_first() else {
            continue;
        };
        let more = if rest.is_empty() {
            String::new()
        } else {
            format!(" and {} more", rest.len())
        };
        let message = format!(
            "there, what no path of this host matches may be answered by {first}{more}, whose host is a wildcard or none; here \
             it is a 404"
        );
        found.push(Difference::new(
            Is::HostFallthrough,
            "",
            Effect::Differs,
            format!("spec.rules[{index}].host"),
            message,
        ));
    }
}

/// Whether a prefix of the host answers for all that a path of a broader host would answer for.
fn is_covered(case: &Case<'_>, host: &HostPattern, path: &IngressPath) -> bool {
    let mut scratch = PathScratch::default();
    let Ok(request) = normalise_path(path.written.as_bytes(), &mut scratch) else {
        return true;
    };
    case.neighbours
        .at(host)
        .iter()
        .any(|own| match &own.path.pattern {
            Ok(pattern @ PathPattern::Prefix(_)) => pattern.matches(&request),
            Ok(pattern @ PathPattern::Exact(_)) => {
                matches!(path.pattern, Ok(PathPattern::Exact(_))) && pattern.matches(&request)
            }
            Ok(PathPattern::Regex(_)) | Err(_) => false,
        })
}

/// What is different for all Ingresses.
pub(crate) fn defaults() -> Vec<(Is, String)> {
    vec![
        (
            Is::AllEntrypoints,
            "an Ingress without `router.entrypoints` is served at every default entry point there; here at the door that its \
             label selects, and nowhere else"
                .to_owned(),
        ),
        (
            Is::ForwardedFields,
            "X-Real-Ip is the client here, there the peer; paths are forwarded byte by byte here, there decoded where no escape \
             is needed"
                .to_owned(),
        ),
    ]
}
