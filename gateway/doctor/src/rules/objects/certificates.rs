//! GW503: certificates that doors cannot use, or clients will refuse.

use resource::Problem;

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::inventory::Missing;
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};

pub(super) const RULE: Rule = Rule {
    id: Id("GW503"),
    severity: Severity::Error,
    condition: "The Secret of a certificate is missing, has another type or no usable content, the certificate has expired or is not yet valid, or \
                it is not for the host.",
    effect: "Handshakes fail, or clients refuse the certificate (through Cloudflare: 525 or 526).",
    fix: "A Secret of type `kubernetes.io/tls` in the namespace of the Ingress, with a certificate for its hosts.",
    needs: &[Kind::Ingress, Kind::Secret],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    if scene
        .workloads
        .iter()
        .all(|workload| workload.configuration.reads_no_secrets)
    {
        return;
    }
    for problem in scene.problems().iter().filter(|problem| is_meant(problem)) {
        let object = &problem.object;
        let secret = if object.kind == resource::Kind::Secret {
            Some((object.namespace.as_deref().unwrap_or_default(), &*object.name))
        } else {
            secret_of(&problem.message).and_then(|name| name.split_once('/'))
        };
        let name = secret.map(|(namespace, name)| ObjectName::namespaced(Kind::Secret, namespace, name));
        if let Some(name) = &name
            && let Some(Missing::Forbidden(why)) = scene.inventory.missing(name)
        {
            found.skip(format!("GW503, {name}"), format!("may not be read: {why}"));
            continue;
        }
        found.findings.push(finding(problem, name));
    }
}

/// What the doors' own gathering of certificates reports, as far as it is about the certificate itself.
fn is_meant(problem: &Problem) -> bool {
    let says = |part: &str| problem.message.contains(part);
    let is_of_ingress =
        problem.object.kind == resource::Kind::Ingress && problem.field.starts_with("spec.tls");
    let is_broken = problem.severity == resource::Severity::Error;
    let is_refused = problem.severity == resource::Severity::Warning
        && (says("it is still served") || says("clients that verify it will refuse it"));
    let is_of_door = problem.object.kind == resource::Kind::Secret;
    (is_of_ingress || is_of_door) && (is_broken || is_refused)
}

fn finding(problem: &Problem, secret: Option<ObjectName>) -> Finding {
    let kind = if problem.object.kind == resource::Kind::Secret {
        Kind::Secret
    } else {
        Kind::Ingress
    };
    let namespace = problem.object.namespace.as_deref().unwrap_or_default();
    let object = ObjectName::namespaced(kind, namespace, &problem.object.name);
    let field = if problem.field.is_empty() {
        "data"
    } else {
        problem.field.as_str()
    };
    let named = secret
        .as_ref()
        .map_or_else(|| "(see above)".to_owned(), ToString::to_string);
    let finding = Finding::new(RULE.id, RULE.severity, object.clone(), format!("{}.", problem.message))
        .evidence(object, field, named)
        .effect("Browsers show a warning, or the handshake fails (through Cloudflare with Full (strict): 525 or 526).");
    let finding = match secret {
        Some(secret) => finding.fix(
            "Put a certificate for these hosts, with its chain and key, into the Secret. It is served without a restart.",
            format!(
                "kubectl create secret tls {} -n {} --cert=tls.crt --key=tls.key --dry-run=client -o yaml | kubectl apply -f -",
                secret.name,
                secret.namespace()
            ),
        ),
        None => finding.advice("Write a `secretName` of the Ingress's own namespace, of type `kubernetes.io/tls`."),
    };
    finding.advice("With cert-manager, see why the Certificate is not ready (`kubectl describe certificate -n NAMESPACE`), and GW504.")
}

/// The Secret that a problem names.
fn secret_of(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Secret `")?;
    rest.split('`').next()
}
