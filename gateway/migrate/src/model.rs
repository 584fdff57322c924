//! What this gateway's own reading and compiling says of an Ingress.

use resource::{
    Kind, ObjectRef, Problem, Severity, Topic, differing_fields, knows_annotation, reads_annotation,
};
use route::ObjectKey;

use crate::case::{Case, reference};
use crate::controller::{Controller, whose_annotation};
use crate::difference::{Difference, Effect};
use crate::facts::RouteState;
use crate::kind::DifferenceKind as Is;
use crate::placing::By;

const ENTRYPOINTS: &str = "traefik.ingress.kubernetes.io/router.entrypoints";
const PASSTHROUGH: &str = "nginx.ingress.kubernetes.io/ssl-passthrough";

/// What the gateway itself says of an Ingress and of what it names.
pub(crate) fn differences(case: &Case<'_>) -> Vec<Difference> {
    let mut found: Vec<Difference> = placed(case).into_iter().collect();
    let own = case.given.problems.get(&reference(&case.ingress.key));
    found.extend(own.iter().filter_map(|problem| of_ingress(case, problem)));
    middlewares(case, &mut found);
    services(case, &mut found);
    foreign_annotations(case, &mut found);
    found
}

/// The Ingress belongs to a controller whose annotations are not read.
pub(crate) fn other_controller(name: &str) -> Difference {
    let message = format!(
        "it belongs to {name}: this report knows what ingress-nginx and Traefik do, and cannot say what was different there; \
         --from names one of these if its class is another name for it"
    );
    Difference::new(Is::OtherController, "", Effect::Unchecked, "", message)
}

fn placed(case: &Case<'_>) -> Option<Difference> {
    let place = &case.place;
    let message = if place.doors.is_empty() {
        // What the doors say of it is more precise, where a label is there already.
        let mut own = case.given.problems.get(&reference(&case.ingress.key)).iter();
        let said = own.find(|problem| {
            problem.severity != Severity::Note && is_about_doors(problem)
                || problem.field == "metadata.namespace"
        });
        said.map_or_else(|| place.reason.clone(), |problem| problem.message.clone())
    } else if place.by == By::Guess {
        let doors: Vec<&str> = place.doors.iter().map(|door| door.as_str()).collect();
        format!(
            "door {} is a guess ({}); --write leaves it out; say it with --door or a label",
            doors.join(", "),
            place.reason
        )
    } else {
        return None;
    };
    Some(Difference::new(
        Is::NoDoor,
        "",
        Effect::Unserved,
        "metadata.labels",
        message,
    ))
}

/// Whether a problem says that no door admits the Ingress.
fn is_about_doors(problem: &Problem) -> bool {
    problem.field.starts_with("metadata.labels") || problem.field == "spec.ingressClassName"
}

fn of_ingress(case: &Case<'_>, problem: &Problem) -> Option<Difference> {
    if case.place.doors.is_empty() && (is_about_doors(problem) || problem.field == "metadata.namespace") {
        return None;
    }
    if let Some(key) = annotation_of(&problem.field) {
        return Some(of_annotation(case, key, problem));
    }
    let field = problem.field.as_str();
    let is_of_backend = field.contains(".backend") || field.starts_with("spec.defaultBackend");
    let (kind, missing) = match problem.topic {
        Topic::ReferenceMissing => (Is::ReferenceMissing, None),
        Topic::Field
        | Topic::FilterRefused
        | Topic::FilterConflict
        | Topic::ReferenceForeign
        | Topic::CanaryUnpaired
        | Topic::FilterDiffers
        | Topic::ChallengeUnreachable => match field {
            _ if field.starts_with("spec.tls") => (Is::CertificateMissing, Some(Kind::Secret)),
            _ if is_of_backend && problem.message.contains("does not exist") => {
                (Is::BackendMissing, Some(Kind::Service))
            }
            _ if is_of_backend && problem.message.contains("no ready endpoint") => {
                (Is::NoEndpoints, Some(Kind::EndpointSlice))
            }
            _ if is_of_backend => (Is::BackendRefused, None),
            _ => (Is::Rule, None),
        },
    };
    let is_certificate_note = kind == Is::CertificateMissing && problem.severity == Severity::Note;
    let kind = match field {
        _ if is_certificate_note => Is::Rule,
        "metadata.name" if is_written_twice(problem) => Is::WrittenTwice,
        _ => kind,
    };
    let is_unknown = missing.is_some_and(|kind| !case.given.has(kind));
    let effect = match problem.severity {
        Severity::Note => Effect::Note,
        _ if kind == Is::WrittenTwice => Effect::Unchecked,
        // Git seldom has Secrets, and often not the Services that a chart makes.
        Severity::Error | Severity::Warning if is_unknown => Effect::Unchecked,
        Severity::Error if kind == Is::BackendMissing => without_service(case),
        Severity::Error => Effect::Closed,
        Severity::Warning => warned(case, problem),
    };
    Some(Difference::new(kind, "", effect, field, &problem.message))
}

/// Whether a problem says that several files have the object: the first one counts, and what is in the others is not known
/// here.
fn is_written_twice(problem: &Problem) -> bool {
    problem.field == "metadata.name" && problem.message.starts_with("written a second time")
}

/// The Service of a path is missing.
fn without_service(case: &Case<'_>) -> Effect {
    let is_file = case.raw.is_some_and(|raw| raw.file.is_some());
    match case.controller {
        _ if is_file => Effect::Unchecked,
        // It answers 503 too.
        Controller::IngressNginx => Effect::Note,
        Controller::Traefik | Controller::Blastdoor | Controller::Other(_) | Controller::Unknown => {
            Effect::Closed
        }
    }
}

/// What a warning about a rule means, compared with the other gateway.
fn warned(case: &Case<'_>, problem: &Problem) -> Effect {
    // The API server, and so everybody, leaves such fields out; and everybody lets the annotation of the class count.
    if problem.message.starts_with("unknown field") || problem.field == "spec.ingressClassName" {
        return Effect::Note;
    }
    let is_taken = problem.message.contains("belongs to the older Ingress");
    match case.controller {
        // Files do not say who is older.
        _ if is_taken && case.ingress.created.is_none() => Effect::Unchecked,
        // The older one has it there too.
        Controller::IngressNginx if is_taken => Effect::Note,
        Controller::IngressNginx
        | Controller::Traefik
        | Controller::Blastdoor
        | Controller::Other(_)
        | Controller::Unknown => Effect::Differs,
    }
}

/// The key of the annotation that a field is.
fn annotation_of(field: &str) -> Option<&str> {
    field.strip_prefix("metadata.annotations[")?.strip_suffix(']')
}

fn of_annotation(case: &Case<'_>, key: &str, problem: &Problem) -> Difference {
    let (kind, effect) = match (problem.topic, problem.severity) {
        // It is switched off, there and here.
        (Topic::FilterDiffers, _) if is_off(case.annotation(key)) => (Is::AnnotationDiffers, Effect::Note),
        (Topic::FilterDiffers, _) => (Is::AnnotationDiffers, Effect::Differs),
        (Topic::ReferenceMissing, Severity::Error | Severity::Warning) => {
            let missing = [Kind::Secret, Kind::ConfigMap, Kind::Middleware]
                .into_iter()
                .find(|kind| problem.message.contains(kind.as_str()));
            let is_known = missing.is_none_or(|kind| case.given.has(kind));
            let effect = if is_known {
                Effect::Closed
            } else {
                Effect::Unchecked
            };
            (Is::ReferenceMissing, effect)
        }
        (_, Severity::Note) => (Is::AnnotationIgnored, Effect::Note),
        (_, Severity::Warning) if !knows_annotation(key) => (Is::AnnotationUnknown, Effect::Lost),
        (_, Severity::Warning) if problem.message.contains("ignored") => {
            (Is::AnnotationIgnored, Effect::Lost)
        }
        // It counts, and there is something to know of it.
        (_, Severity::Warning) if problem.message.contains("as in ingress-nginx") => {
            (Is::AnnotationDiffers, Effect::Note)
        }
        (_, Severity::Warning) => (Is::AnnotationDiffers, Effect::Differs),
        (_, Severity::Error) => {
            let kind = if knows_annotation(key) {
                Is::AnnotationRefused
            } else {
                Is::AnnotationUnknown
            };
            let effect = if closes(case, key, problem) {
                Effect::Closed
            } else {
                Effect::Lost
            };
            (kind, effect)
        }
    };
    Difference::new(kind, key, effect, &problem.field, &problem.message)
}

fn is_off(value: Option<&str>) -> bool {
    value.is_some_and(|value| matches!(value.trim(), "false" | "off"))
}

/// Whether what is wrong with an annotation closes the Ingress.
fn closes(case: &Case<'_>, key: &str, problem: &Problem) -> bool {
    let written = &case.ingress.annotations.closes;
    let is_filter = match problem.topic {
        Topic::FilterRefused | Topic::FilterConflict | Topic::ReferenceMissing | Topic::ReferenceForeign => {
            true
        }
        Topic::Field | Topic::CanaryUnpaired | Topic::FilterDiffers | Topic::ChallengeUnreachable => false,
    };
    let blocked = || case.routes.iter().any(|route| route.state == RouteState::Blocked);
    is_filter
        || problem.message.contains("closed (503)")
        || written.iter().any(|closed| *closed.annotation == *key)
        || matches!(key, ENTRYPOINTS | PASSTHROUGH) && blocked()
}

fn middlewares(case: &Case<'_>, found: &mut Vec<Difference>) {
    for key in case.given.middlewares_of(&case.ingress.key) {
        let object = ObjectRef::namespaced(Kind::Middleware, &key);
        let kind_of = |field: &str| field.strip_prefix("spec.").unwrap_or(field).to_owned();
        let raw = case.middlewares.get(&key);
        let spec = raw.and_then(|raw| raw.value.get("spec"));
        let problems = case.given.problems.get(&object);
        let is_refused = problems
            .iter()
            .any(|problem| problem.severity == Severity::Error && !is_written_twice(problem));
        for problem in problems.iter().filter(|problem| !is_written_twice(problem)) {
            let (kind, effect) = match (problem.topic, problem.severity) {
                (Topic::FilterDiffers, _) => (Is::MiddlewareDiffers, Effect::Differs),
                (Topic::ReferenceMissing, _) => (Is::ReferenceMissing, Effect::Closed),
                (_, Severity::Error) => (Is::MiddlewareRefused, Effect::Closed),
                (_, Severity::Warning) => (Is::MiddlewareIgnored, Effect::Lost),
                (_, Severity::Note) => (Is::MiddlewareIgnored, Effect::Note),
            };
            let subject = kind_of(&problem.field);
            found.push(Difference::new(kind, &subject, effect, &problem.field, &problem.message).of(&object));
        }
        // What differs in a Middleware that closes the Ingress is of no interest yet.
        for (field, difference) in spec.map(differing_fields).unwrap_or_default() {
            // What would close it has not, or it would be refused.
            let only_closes = difference.ends_with("closes") || difference.contains(" closes:");
            if !is_refused && !only_closes {
                let message = format!("not quite as in Traefik: {difference}");
                let difference = Difference::new(
                    Is::MiddlewareDiffers,
                    &field,
                    Effect::Differs,
                    format!("spec.{field}"),
                    message,
                );
                found.push(difference.of(&object));
            }
        }
    }
}

/// What is wrong with the Services of the Ingress, and what their annotations do differently.
fn services(case: &Case<'_>, found: &mut Vec<Difference>) {
    let paths = case.ingress.rules.iter().flat_map(|rule| &rule.paths);
    let backends = paths
        .map(|path| &path.backend)
        .chain(&case.ingress.default_backend);
    let mut keys: Vec<&ObjectKey> = backends
        .filter_map(|backend| Some(&backend.as_ref().ok()?.service))
        .collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let object = ObjectRef::namespaced(Kind::Service, key);
        let problems = case.given.problems.get(&object).iter();
        for problem in problems.filter(|problem| !is_written_twice(problem)) {
            let subject = annotation_of(&problem.field);
            let (kind, effect) = match (problem.topic, problem.severity, subject) {
                (Topic::FilterDiffers, _, _) => (Is::AnnotationDiffers, Effect::Differs),
                (_, Severity::Note, _) => (Is::BackendRefused, Effect::Note),
                (_, Severity::Warning, Some(_)) => (Is::AnnotationIgnored, Effect::Lost),
                (_, Severity::Error, Some(_)) => (Is::AnnotationRefused, Effect::Closed),
                (_, Severity::Error, None) => (Is::BackendRefused, Effect::Closed),
                (_, Severity::Warning, None) => (Is::BackendRefused, Effect::Differs),
            };
            let subject = subject.unwrap_or_default();
            found.push(Difference::new(kind, subject, effect, &problem.field, &problem.message).of(&object));
        }
    }
    without_endpoints(case, found);
}

fn without_endpoints(case: &Case<'_>, found: &mut Vec<Difference>) {
    let mut services: Vec<&str> = case
        .routes
        .iter()
        .filter(|route| route.state == RouteState::NoEndpoints)
        .filter_map(|route| route.service.as_deref())
        .collect();
    services.sort_unstable();
    services.dedup();
    for service in services {
        let is_known = case.given.has(Kind::EndpointSlice);
        let message = if is_known {
            "no endpoint is ready: 503 here, and there until one is"
        } else {
            "its endpoints are not among the objects that were read"
        };
        // It is the same at the other gateway.
        let effect = if is_known { Effect::Note } else { Effect::Unchecked };
        let difference = Difference::new(Is::NoEndpoints, "", effect, "", message);
        found.push(difference.of(&format_args!("Service {service}")));
    }
}

/// What other programs read in the annotations of the Ingress.
fn foreign_annotations(case: &Case<'_>, found: &mut Vec<Difference>) {
    let Some(raw) = case.raw else { return };
    let mut by_cert_manager = false;
    let mut by_external_dns = false;
    for (key, _) in raw.annotations().filter(|(key, _)| !reads_annotation(key)) {
        by_cert_manager |= key.starts_with("cert-manager.io/") || key == "kubernetes.io/tls-acme";
        by_external_dns |= key.starts_with("external-dns.alpha.kubernetes.io/");
        if let Some(whose) = whose_annotation(key) {
            let message = format!(
                "an annotation of {whose}, which is not read here: what it asks for is not carried over"
            );
            found.push(Difference::new(
                Is::AnnotationOfAnother,
                "",
                Effect::Lost,
                format!("metadata.annotations[{key}]"),
                message,
            ));
        }
    }
    if by_cert_manager {
        let message = "cert-manager goes on to keep the Secret of `spec.tls`. Its HTTP-01 solvers are Ingresses of their own: \
                       they need the label of a door with plain HTTP too (`ingressTemplate.metadata.labels` of the issuer)";
        found.push(Difference::new(
            Is::CertificateByCertManager,
            "",
            Effect::Note,
            "metadata.annotations",
            message,
        ));
    }
    if by_external_dns && !case.doors.iter().any(|door| door.publishes) {
        let message = "external-dns takes addresses from the status of the Ingress, which a door writes only with `publish`: \
                       set it, or the records stay those of the other gateway";
        found.push(Difference::new(
            Is::RecordsByExternalDns,
            "",
            Effect::Differs,
            "metadata.annotations",
            message,
        ));
    }
}
