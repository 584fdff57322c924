//! GW502: labels of Ingresses that mean no door, or several, or an old name.

use std::collections::{BTreeMap, BTreeSet};

use resource::{Ingress, Problem};

use crate::finding::{Finding, Id, ObjectName, Severity};
use crate::gateway::Door;
use crate::kind::Kind;
use crate::rule::Rule;
use crate::scene::{Found, Scene};
use crate::words::{count, list};

/// How label values of doors of https end in set-ups that are older than the gateway.
const OLD: &str = "-httpsecure";

pub(super) const RULE: Rule = Rule {
    id: Id("GW502"),
    severity: Severity::Warning,
    condition: "The label of an Ingress by which doors select has a value that no door knows, or several doors select it, or its value has the \
                old spelling `…-httpsecure`.",
    effect: "Without a door, its hosts answer 404 everywhere. With several, they are served in each of these networks.",
    fix: "The label of the door that is meant.",
    needs: &[Kind::Ingress, Kind::IngressClass],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    found.findings.extend(nowhere(scene));
    let doors: BTreeMap<&str, &Door> = scene.doors().map(|door| (door.name.as_str(), door)).collect();
    let mut several: BTreeMap<Vec<&str>, Vec<&Ingress>> = BTreeMap::new();
    let mut old: BTreeMap<(&str, &str), Vec<&Ingress>> = BTreeMap::new();
    for ingress in scene
        .view
        .ingresses()
        .filter(|ingress| scene.watches(ingress.key.namespace()))
    {
        let admit = doors
            .values()
            .filter(|door| door.policy.admits(ingress, &scene.view));
        let names: Vec<&str> = admit.clone().map(|door| door.name.as_str()).collect();
        if names.len() > 1 {
            several.entry(names).or_default().push(ingress);
        }
        let keys: BTreeSet<&str> = admit
            .flat_map(|door| door.policy.selectors.positive_keys())
            .collect();
        let labels = keys
            .iter()
            .filter_map(|key| Some((*key, ingress.labels.get(key)?)));
        for (key, value) in labels.filter(|(_, value)| value.ends_with(OLD)) {
            old.entry((key, value)).or_default().push(ingress);
        }
    }
    found.findings.extend(
        several
            .iter()
            .filter_map(|(doors, ingresses)| at_several(doors, ingresses)),
    );
    found.findings.extend(
        old.iter()
            .filter_map(|((key, value), ingresses)| spelled(key, value, ingresses)),
    );
}

fn name(ingress: &Ingress) -> ObjectName {
    ObjectName::namespaced(Kind::Ingress, ingress.key.namespace(), ingress.key.name())
}

/// As the doors' own admission reports it: one finding for each value of a label.
fn nowhere(scene: &Scene<'_>) -> Vec<Finding> {
    let problems = scene.problems().iter().filter(|problem| {
        let is_label =
            problem.field.starts_with("metadata.labels[") || problem.field == "spec.ingressClassName";
        is_label && problem.severity == resource::Severity::Warning && problem.topic == resource::Topic::Field
    });
    let mut of_each: BTreeMap<(&str, &str), Vec<&Problem>> = BTreeMap::new();
    for problem in problems.filter(|problem| problem.object.kind == resource::Kind::Ingress) {
        of_each
            .entry((&problem.field, &problem.message))
            .or_default()
            .push(problem);
    }
    let each = of_each.into_iter().filter_map(|((field, message), problems)| {
        let objects = problems.iter().map(|problem| {
            let object = &problem.object;
            ObjectName::namespaced(
                Kind::Ingress,
                object.namespace.as_deref().unwrap_or_default(),
                &object.name,
            )
        });
        let objects: Vec<ObjectName> = objects.collect();
        let text = format!(
            "{}: {message}.",
            count(objects.len(), "Ingress").replace("Ingresss", "Ingresses")
        );
        let mut finding = Finding::new(RULE.id, RULE.severity, objects.first()?.clone(), text);
        let key = field
            .strip_prefix("metadata.labels[")
            .and_then(|field| field.strip_suffix(']'));
        for object in &objects {
            finding = finding.evidence(object.clone(), field, written(scene, object, key));
        }
        let finding = finding.effect("Their hosts answer 404 at every door.");
        Some(match key {
            Some(key) => finding.fix(
                "Write the label of the door that is meant.",
                commands(&objects, |object| {
                    format!(
                        "kubectl label ingress {} -n {} --overwrite {key}=DOOR",
                        object.name,
                        object.namespace()
                    )
                }),
            ),
            None => finding.advice("Write the class that the door admits in `spec.ingressClassName`."),
        })
    });
    each.collect()
}

fn written(scene: &Scene<'_>, object: &ObjectName, key: Option<&str>) -> String {
    let ingress = scene
        .view
        .ingress(&route::ObjectKey::new(object.namespace(), &*object.name));
    let value = ingress.and_then(|ingress| match key {
        Some(key) => ingress.labels.get(key).map(str::to_owned),
        None => ingress.class.as_ref().map(|class| class.name.to_string()),
    });
    value.unwrap_or_else(|| "(not set)".to_owned())
}

fn at_several(doors: &[&str], ingresses: &[&Ingress]) -> Option<Finding> {
    let first = ingresses.first()?;
    let text = format!(
        "{} at several doors ({}): {}.",
        count(ingresses.len(), "Ingress").replace("Ingresss", "Ingresses"),
        list(doors),
        list(ingresses.iter().map(|ingress| ingress.key.to_string()))
    );
    let mut finding = Finding::new(RULE.id, RULE.severity, name(first), text);
    for ingress in ingresses {
        let labels = ingress.labels.iter().map(|(key, value)| format!("{key}={value}"));
        finding = finding.evidence(name(ingress), "metadata.labels", list(labels));
    }
    Some(
        finding
            .effect(format!("Their hosts are served at each of these doors: {}. If one of them is the internet's, they are public.", list(doors)))
            .advice("If that is not meant, let the doors' selectors not overlap (`overlap = true` allows it), or label the Ingress for one of them."),
    )
}

fn spelled(key: &str, value: &str, ingresses: &[&Ingress]) -> Option<Finding> {
    let first = ingresses.first()?;
    let stem = value.strip_suffix(OLD)?;
    let text = format!(
        "The old spelling {key}={value}, which a door still accepts: {}.",
        list(ingresses.iter().map(|ingress| ingress.key.to_string()))
    );
    let mut finding = Finding::new(RULE.id, Severity::Info, name(first), text);
    for ingress in ingresses {
        finding = finding.evidence(name(ingress), format!("metadata.labels[{key}]"), value);
    }
    let objects: Vec<ObjectName> = ingresses.iter().map(|ingress| name(ingress)).collect();
    Some(finding.effect("None, while the door's selector lists it.").fix(
        "Write the door's name, if the door accepts that too.",
        commands(&objects, |object| {
            format!(
                "kubectl label ingress {} -n {} --overwrite {key}={stem}-https",
                object.name,
                object.namespace()
            )
        }),
    ))
}

/// One for each, or the first ten.
fn commands(objects: &[ObjectName], command: impl Fn(&ObjectName) -> String) -> String {
    const MOST: usize = 10;
    let mut lines: Vec<String> = objects.iter().take(MOST).map(command).collect();
    if objects.len() > MOST {
        lines.push(format!("# and {} more", objects.len() - MOST));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::Fixture;

    fn labelled(name: &str, labels: Value) -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "shop", "labels": labels},
            "spec": {"rules": [{"host": "shop.test", "http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "shop", "port": {"number": 80}}}}]}}]},
        })
    }

    fn found(fixture: Fixture, id: &str) -> Vec<(Severity, String)> {
        let found = fixture.findings(id).into_iter();
        found.map(|finding| (finding.severity, finding.finding)).collect()
    }

    #[test]
    fn a_label_means_one_door() {
        let cluster = || Fixture::new().nodes(&["a"]).daemon_set(&["a"], json!({}));
        let expose = |value: &str| json!({"expose": value});
        assert_eq!(
            found(
                cluster().with(labelled("web", expose("internal-http"))),
                RULE.id.0
            ),
            []
        );
        assert_eq!(
            found(cluster().with(labelled("web", json!({"app": "web"}))), RULE.id.0),
            [],
            "nothing says that it is ours"
        );

        let wrong = cluster()
            .with(labelled("one", expose("public")))
            .with(labelled("two", expose("public")));
        let texts = found(wrong, RULE.id.0);
        assert!(
            matches!(&*texts, [(Severity::Warning, text)] if text.starts_with("2 Ingresses: served nowhere: no door's selector matches `expose=public`")),
            "{texts:?}"
        );
        let mut elsewhere = cluster().with(labelled("one", expose("public")));
        elsewhere.configuration.namespaces = vec!["blog".into()];
        assert_eq!(found(elsewhere, RULE.id.0), [], "a namespace that is not watched");

        let old = cluster()
            .with(labelled("web", expose("external-httpsecure")))
            .door("external-https", |door| {
                door.policy.selectors =
                    door::Selector::parse("expose in (external-https, external-httpsecure)")
                        .unwrap()
                        .into();
            });
        let texts = found(old, RULE.id.0);
        assert!(
            matches!(&*texts, [(Severity::Info, text)] if text.contains("expose=external-httpsecure")),
            "{texts:?}"
        );

        let both = cluster()
            .with(labelled("web", expose("internal-http")))
            .door("external-http", |door| {
                door.policy.selectors = door::Selector::parse("expose in (external-http, internal-http)")
                    .unwrap()
                    .into();
            });
        let texts = found(both, RULE.id.0);
        assert!(
            matches!(&*texts, [(Severity::Warning, text)] if text == "1 Ingress at several doors (external-http, internal-http): shop/web."),
            "{texts:?}"
        );
    }

    #[test]
    fn a_challenge_needs_a_door() {
        let solver = |labels: Value| {
            let mut all = json!({"acme.cert-manager.io/http01-solver": "true"});
            crate::fixture::merge(&mut all, &labels);
            Fixture::new()
                .nodes(&["a"])
                .daemon_set(&["a"], json!({}))
                .with(labelled("cm-acme-http-solver-7vlkz", all))
        };
        assert_eq!(solver(json!({"expose": "external-http"})).findings("GW504"), []);
        let found = solver(json!({})).findings("GW504");
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(
            finding
                .finding
                .contains("`{expose: external-http}` (door `external-http`)"),
            "{finding:?}"
        );
        let commands: Vec<_> = finding
            .fix
            .iter()
            .filter_map(|fix| fix.command.as_deref())
            .collect();
        assert_eq!(
            commands,
            ["external-http", "internal-http"]
                .map(|door| format!("kubectl label ingress/cm-acme-http-solver-7vlkz -n shop expose={door}"))
        );
        let https = solver(json!({"expose": "external-https"})).findings("GW504");
        assert!(
            https.len() == 1 && https[0].finding.contains("`redirect = \"external-https\"`"),
            "{https:?}"
        );
    }
}
