//! GW504: challenges of cert-manager that get 404.

use resource::Topic;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};

pub(super) const RULE: Rule = Rule {
    id: Id("GW504"),
    severity: Severity::Warning,
    condition: "An Ingress that answers a challenge of cert-manager (HTTP-01) is at no door, or only at doors of https to which no door of \
                plain HTTP redirects.",
    effect: "The challenge gets 404, and the Certificate does not become ready.",
    fix: "The label of the door in the Issuer's `ingressTemplate`; or `acme.cert-manager.io/http01-edit-in-place`; at once: the label on the \
          solver's Ingress itself.",
    needs: &[Kind::Ingress, Kind::IngressClass],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    let about = scene
        .problems()
        .iter()
        .filter(|problem| problem.topic == Topic::ChallengeUnreachable);
    for problem in about {
        let namespace = problem.object.namespace.as_deref().unwrap_or_default();
        let object = ObjectName::namespaced(Kind::Ingress, namespace, &problem.object.name);
        let severity = match problem.severity {
            resource::Severity::Error | resource::Severity::Warning => RULE.severity,
            resource::Severity::Note => Severity::Info,
        };
        let key = route::ObjectKey::new(namespace, &*problem.object.name);
        let ingress = scene.view.ingress(&key);
        let labels = ingress.map(|ingress| {
            let labels = ingress.labels.iter().map(|(key, value)| format!("{key}={value}"));
            crate::words::list(labels)
        });
        let class = ingress.and_then(|ingress| ingress.class.as_ref());
        let mut finding = Finding::new(RULE.id, severity, object.clone(), format!("{}.", problem.message))
            .evidence(object.clone(), "metadata.labels", labels.unwrap_or_default())
            .evidence(object.clone(), "spec.ingressClassName", class.map_or("(not set)", |class| &class.name))
            .effect("The server of ACME gets 404 for the challenge; Challenge and Certificate stay pending, and TLS goes on with the old or the default certificate.");
        let plain = scene
            .doors()
            .filter(|door| door.policy.scheme == door::Scheme::Http);
        let labels = plain.filter_map(|door| {
            let labels = door.policy.selectors.example(door.name.as_str())?;
            let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
            Some((door.name.clone(), pairs.collect::<Vec<_>>().join(" ")))
        });
        let mut labels: Vec<_> = labels.collect();
        labels.sort();
        labels.dedup();
        for (door, labels) in labels {
            finding = finding.fix(
                format!("Let this challenge through at once, if challenges arrive at door `{door}`. What the Issuer says counts from the next one."),
                format!("kubectl label {} {labels}", object.kubectl()),
            );
        }
        found.findings.push(finding);
    }
}
