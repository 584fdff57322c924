//! Challenges of ACME that do not reach the Ingress that answers them.
//!
//! cert-manager makes an Ingress for each challenge of type HTTP-01, in the namespace of the Certificate and with labels of
//! its own. Unless its Issuer says more, no door admits it, the challenge gets 404, and the Certificate waits for ever.

use resource::{Challenge, ClusterView, Ingress, IngressClass, Problem, Severity, Topic};
use route::ListenerName;

use crate::admission::Policy;
use crate::scheme::Scheme;

/// A door, as far as it decides about this.
pub(super) type Admitting<'a> = (&'a ListenerName, &'a Policy);

/// What annotates the Ingress that wants the certificate, so that it gets the path instead.
const IN_PLACE: &str = "acme.cert-manager.io/http01-edit-in-place: \"true\"";
/// Where an Issuer says what the Ingresses of its challenges are like.
const TEMPLATE: &str = "spec.acme.solvers[].http01.ingress";

/// Doors `admit` the Ingress. Whether its challenge reaches one of them: it comes over plain HTTP to port 80, and may be
/// redirected from there (RFC 8555, section 8.3).
pub(super) fn unreached(doors: &[Admitting<'_>], view: &ClusterView, ingress: &Ingress) -> Option<Problem> {
    let challenge = ingress.challenge()?;
    let admit: Vec<Admitting<'_>> = doors
        .iter()
        .filter(|(_, policy)| policy.admits(ingress, view))
        .copied()
        .collect();
    let leads_there = |(_, policy): &Admitting<'_>| {
        let sibling = policy.redirect.as_ref();
        policy.scheme == Scheme::Http && admit.iter().any(|(name, _)| sibling == Some(*name))
    };
    let is_plain = |(_, policy): &Admitting<'_>| policy.scheme == Scheme::Http;
    let (first, _) = admit.first()?;
    if admit.iter().any(is_plain) || doors.iter().any(leads_there) {
        return None;
    }
    // Where no door speaks plain HTTP, something in front of the doors does, and redirects.
    let severity = if doors.iter().any(is_plain) {
        Severity::Warning
    } else {
        Severity::Note
    };
    let at_plain = match challenge {
        Challenge::Solver => {
            let labels = labels_to_write(doors, challenge).unwrap_or_default();
            format!(", or have the solver at such a door: {labels}")
        }
        Challenge::EditedInPlace => String::new(),
    };
    let problem = ingress.problem(
        severity,
        "metadata.labels",
        format!(
            "only doors with `scheme = \"https\"` admit this Ingress, and cert-manager's challenge (HTTP-01) comes over \
             plain HTTP to port 80: it gets 404, and the Certificate does not become ready, unless the load balancer \
             redirects to https; write `redirect = \"{first}\"` at a door with `scheme = \"http\"`{at_plain}"
        ),
    );
    Some(problem.about(Topic::ChallengeUnreachable))
}

/// No label of the Ingress selects a door.
pub(super) fn unlabelled(
    doors: &[Admitting<'_>],
    view: &ClusterView,
    ingress: &Ingress,
    challenge: Challenge,
) -> Option<Problem> {
    let write = labels_to_write(doors, challenge)?;
    let advice = match challenge {
        Challenge::Solver => format!(
            "write in the Issuer {write}, or annotate the Ingress that wants the certificate with `{IN_PLACE}`"
        ),
        Challenge::EditedInPlace => format!(
            "this Ingress, to which cert-manager has added the challenge, needs the label of a door for plain HTTP, or \
             of one to which such a door redirects: {write}"
        ),
    };
    let (severity, unless) = match foreign_class(doors, view, ingress) {
        Some(class) => {
            let controller = class.controller.as_deref().unwrap_or_default();
            let unless = format!(
                " unless `{controller}` answers it, the controller of class `{}`",
                class.name
            );
            (Severity::Note, unless)
        }
        None => (Severity::Warning, String::new()),
    };
    let problem = ingress.problem(
        severity,
        "metadata.labels",
        format!(
            "served nowhere, as no label selects a door: cert-manager's challenge (HTTP-01) gets 404 and the Certificate \
             does not become ready{unless}; {advice}"
        ),
    );
    Some(problem.about(Topic::ChallengeUnreachable))
}

/// The Ingress has no class, and doors go by class.
pub(super) fn unclassed(doors: &[Admitting<'_>], ingress: &Ingress, challenge: Challenge) -> Option<Problem> {
    let plain = speaking_http(doors);
    let classes = plain.iter().filter_map(|(name, policy)| {
        let mut classes = policy.classes.iter().chain(&policy.ingress_classes);
        let class = classes.next()?;
        Some(match challenge {
            Challenge::Solver => format!("`{TEMPLATE}.ingressClassName: {class}` (door `{name}`)"),
            Challenge::EditedInPlace => format!("`spec.ingressClassName: {class}` (door `{name}`)"),
        })
    });
    let classes: Vec<String> = classes.collect();
    let place = match challenge {
        _ if classes.is_empty() => return None,
        Challenge::Solver => "write in the Issuer",
        Challenge::EditedInPlace => "write in this Ingress",
    };
    let problem = ingress.problem(
        Severity::Warning,
        "spec.ingressClassName",
        format!(
            "served nowhere, as the Ingress has no class, and no class of a door is the default one: cert-manager's \
             challenge (HTTP-01) gets 404 and the Certificate does not become ready; {place} {}",
            classes.join(" or ")
        ),
    );
    Some(problem.about(Topic::ChallengeUnreachable))
}

/// The class is another controller's, which may answer the challenge, and no door has taken it over.
fn foreign_class<'v>(
    doors: &[Admitting<'_>],
    view: &'v ClusterView,
    ingress: &Ingress,
) -> Option<&'v IngressClass> {
    let class = view.class(&ingress.class.as_ref()?.name)?;
    let controller = class.controller.as_deref()?;
    let is_named = |(_, policy): &Admitting<'_>| {
        policy.classes.contains(&class.name) || policy.ingress_classes.contains(&class.name)
    };
    (controller != IngressClass::CONTROLLER && !doors.iter().any(is_named)).then_some(class)
}

/// What an Issuer says, or the Ingress itself, so that a door at which challenges arrive admits it.
fn labels_to_write(doors: &[Admitting<'_>], challenge: Challenge) -> Option<String> {
    let (place, doors) = match challenge {
        Challenge::Solver => (
            format!("{TEMPLATE}.ingressTemplate.metadata.labels"),
            speaking_http(doors),
        ),
        Challenge::EditedInPlace => ("metadata.labels".to_owned(), doors.to_vec()),
    };
    let mut labels = doors.iter().filter_map(|(name, policy)| {
        let labels = policy.selectors.example(name.as_str())?;
        let pairs: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        Some((format!("{{{}}}", pairs.join(", ")), name))
    });
    let (first, door) = labels.next()?;
    let mut text = format!("`{place}: {first}` (door `{door}`)");
    for (other, door) in labels {
        text += &format!(" or `{other}` (door `{door}`)");
    }
    Some(text)
}

/// The doors of plain HTTP; all where there are none.
fn speaking_http<'a>(doors: &[Admitting<'a>]) -> Vec<Admitting<'a>> {
    let plain = doors.iter().filter(|(_, policy)| policy.scheme == Scheme::Http);
    let plain: Vec<Admitting<'a>> = plain.copied().collect();
    if plain.is_empty() { doors.to_vec() } else { plain }
}
