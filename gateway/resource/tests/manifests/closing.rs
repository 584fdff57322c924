//! Mistakes in Ingresses by which a rule could come to mean more than was written.

use resource::{IngressPath, InvalidBackend, InvalidHost, InvalidPath};
use route::HostPattern;

use crate::{ingress, ingress_with_annotations, read, reported, with_path, with_spec};

#[test]
fn a_rule_that_lost_a_field_closes_its_place() {
    let path = "{path: /p, pathType: Prefix, backend: {service: {name: w, port: {number: 1}}}}";
    // The part that is broken, the host, and whether the second path of the same rule stands.
    let table = [
        (
            format!("  rules:\n    - host: a.test\n      http: {{paths: [5, {path}]}}\n"),
            true,
        ),
        (
            format!("  rules:\n    - host: a.test\n      http: {{paths: [~, {path}]}}\n"),
            true,
        ),
        (
            format!(
                "  rules:\n    - host: a.test\n      http: {{paths: [{{path: 5, pathType: Prefix}}, {path}]}}\n"
            ),
            true,
        ),
        (
            format!("  rules:\n    - host: a.test\n      http: {{paths: {path}}}\n"),
            false,
        ),
        (
            format!("  rules:\n    - host: a.test\n      http: [{path}]\n"),
            false,
        ),
        (
            format!("  rules:\n    host: a.test\n    http: {{paths: [{path}]}}\n"),
            false,
        ),
        (
            format!("  rules: {{web: {{host: a.test, http: {{paths: [{path}]}}}}}}\n"),
            false,
        ),
        (
            format!("  rules:\n    - hosts: a.test\n      http: {{paths: [{path}]}}\n"),
            false,
        ),
        (
            format!("  rules:\n    - hosts: [a.test]\n      http: {{paths: [{path}]}}\n"),
            false,
        ),
        (
            format!("  rules:\n    - host: a.test\n      host: b.test\n      http: {{paths: [{path}]}}\n"),
            false,
        ),
        (
            format!("  rules:\n    - host: [a.test]\n      http: {{paths: [{path}]}}\n"),
            false,
        ),
        (
            format!("  rules:\n    - host: a.test\n      http: {{paths: [{path}]}}\n  rules: []\n"),
            false,
        ),
    ];
    let host = HostPattern::parse("a.test").unwrap();
    for (spec, neighbour_stands) in table {
        let (ingress, reported) = with_spec(&spec);
        assert!(
            reported
                .iter()
                .any(|reported| reported.contains(": error: Ingress shop/web spec.rules")),
            "{spec}: {reported:?}"
        );
        let serving = |path: &&IngressPath| path.pattern.is_ok() && path.backend.is_ok();
        let of_host = || {
            ingress
                .rules
                .iter()
                .filter(|rule| rule.host.as_ref() == Ok(&host))
                .flat_map(|rule| &rule.paths)
        };
        assert!(of_host().any(|path| path.pattern.is_err()), "{spec}: {ingress:?}");
        assert_eq!(
            of_host().filter(serving).count(),
            usize::from(neighbour_stands),
            "{spec}"
        );
        for rule in &ingress.rules {
            assert_ne!(
                rule.host,
                Ok(HostPattern::Any),
                "nothing becomes a rule for every host: {spec}"
            );
        }
    }
}

#[test]
fn a_misspelt_field_that_narrows_is_not_an_absent_one() {
    let backend = "backend: {service: {name: w, port: {number: 1}}}";
    let (ingress, reported) = with_path(&format!(
        "{{pth: /admin, pathType: ImplementationSpecific, {backend}}}"
    ));
    assert_eq!(
        ingress.rules[0].paths[0].pattern,
        Err(InvalidPath::Unreadable),
        "it would be every path"
    );
    assert_eq!(
        reported,
        [
            "9: error: Ingress shop/web spec.rules[0].http.paths[0].pth: unknown field, and `path` is missing, without which the Ingress would match more requests: closed; did you mean `path`?"
        ]
    );
    let (ingress, reported) =
        with_spec("  rule: []\n  defaultBackend: {service: {name: w, port: {number: 1}}}\n");
    assert_eq!(
        ingress.rules[0].host,
        Err(InvalidHost::Unreadable),
        "it would be every host"
    );
    assert_eq!(
        reported,
        [
            "5: error: Ingress shop/web spec.rule: unknown field, and `rules` is missing, without which the Ingress would match more requests: closed; did you mean `rules`?"
        ]
    );
    let (ingress, reported) = with_spec("  rules: [{hostname: a.test}]\n");
    assert_eq!(ingress.rules[0].host, Err(InvalidHost::Unreadable));
    assert_eq!(
        reported,
        [
            "5: error: Ingress shop/web spec.rules[0].hostname: unknown field, and `host` is missing, without which the Ingress would match more requests: closed"
        ]
    );
}

#[test]
fn lost_rules_do_not_promote_the_default_backend() {
    let (ingress, reported) =
        with_spec("  rules: none\n  defaultBackend: {service: {name: w, port: {number: 1}}}\n");
    assert_eq!(
        reported,
        ["5: error: Ingress shop/web spec.rules: expected a list, found text"]
    );
    assert_eq!(
        ingress.rules.len(),
        1,
        "an Ingress without rules answers every host"
    );
    assert_eq!(ingress.rules[0].host, Err(InvalidHost::Unreadable));
    let (ingress, _) = with_spec("  defaultBackend: w\n");
    assert_eq!(ingress.default_backend, Some(Err(InvalidBackend::Unreadable)));
}

#[test]
fn an_ingress_that_serves_nothing_is_reported() {
    let table = [
        (
            "  rules: []\n",
            "4: warning: Ingress shop/web spec: neither `rules` nor `defaultBackend`: the Ingress serves nothing",
        ),
        (
            "  rules: [{host: a.test}]\n",
            "5: warning: Ingress shop/web spec.rules[0].http.paths: the rule has no paths and there is no `defaultBackend`: it serves nothing",
        ),
    ];
    for (spec, message) in table {
        assert_eq!(with_spec(spec).1, [message]);
    }
}

#[test]
fn misspelt_fields_are_reported_with_a_suggestion() {
    let (_, reported) = with_spec(
        "  defaultbackend: {}\n  backend: {}\n  sparkle: 1\n  rules:\n    - host: a.test\n      http:\n        paths:\n          - path: /\n            pathtype: Prefix\n            backend: {serviceName: w, servicePort: 80}\n",
    );
    let prefix = "Ingress shop/web spec";
    assert_eq!(
        reported,
        [
            format!(
                "5: warning: {prefix}.defaultbackend: unknown field, which is ignored; did you mean `defaultBackend`?"
            ),
            format!(
                "6: warning: {prefix}.backend: unknown field, which is ignored; did you mean `defaultBackend`?"
            ),
            format!("7: warning: {prefix}.sparkle: unknown field, which is ignored"),
            format!(
                "13: warning: {prefix}.rules[0].http.paths[0].pathtype: unknown field, which is ignored; did you mean `pathType`?"
            ),
            format!(
                "14: warning: {prefix}.rules[0].http.paths[0].backend.serviceName: unknown field, which is ignored; did you mean `service`?"
            ),
            format!(
                "14: warning: {prefix}.rules[0].http.paths[0].backend.servicePort: unknown field, which is ignored; did you mean `service`?"
            ),
            format!(
                "14: error: {prefix}.rules[0].http.paths[0].backend: the backend is missing; write `service` with a name and a port; answers 503"
            ),
            format!(
                "12: error: {prefix}.rules[0].http.paths[0].pathType: `pathType` is missing; write Exact, Prefix or ImplementationSpecific; the path answers 503"
            ),
        ]
    );
}

#[test]
fn an_object_without_a_usable_name_is_ignored() {
    let table = [
        (
            "{}",
            "3: error: Ingress default/ metadata.name: the object has no name and is ignored; write `metadata.name`",
        ),
        (
            "{name: Web_1}",
            "3: error: Ingress default/Web_1 metadata.name: `Web_1` is not an object name; allowed: at most 253 lower-case letters, digits, `-` and `.`; the object is ignored",
        ),
        (
            "{name: \"a\\nb\"}",
            "3: error: Ingress default/a\\nb metadata.name: `a\\nb` is not an object name; allowed: at most 253 lower-case letters, digits, `-` and `.`; the object is ignored",
        ),
        (
            "{name: a, namespace: a/b}",
            "3: error: Ingress a/b/a metadata.namespace: `a/b` is not a namespace; allowed: at most 63 lower-case letters, digits and `-`; the object is ignored",
        ),
        (
            "[]",
            "3: error: Ingress default/ metadata: expected a map, found a list",
        ),
    ];
    for (metadata, message) in table {
        let manifest = read(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {metadata}\nspec: {{rules: [{{host: a.test}}]}}\n"
        ));
        assert_eq!(reported(&manifest)[0], message);
        assert_eq!(manifest.objects, []);
    }
}

#[test]
fn labels_and_annotations_must_be_text() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: web\n  labels: {expose: true, tier: a}\n  annotations:\n    nginx.ingress.kubernetes.io/proxy-read-timeout: 60\n    nginx.ingress.kubernetes.io/ssl-redirect: true\n    nginx.ingress.kubernetes.io/limit-rps: [5]\nspec: {defaultBackend: {service: {name: w, port: {number: 1}}}}\n";
    let (ingress, reported) = ingress(text);
    assert_eq!(
        ingress.labels.iter().collect::<Vec<_>>(),
        [("tier", "a")],
        "a label that is no text chooses no door"
    );
    assert_eq!(
        ingress.annotations.tuning.read_timeout.map(|time| time.as_secs()),
        Some(60)
    );
    assert_eq!(ingress.annotations.filters.len(), 1, "it redirects");
    assert_eq!(
        ingress.annotations.closes.len(),
        1,
        "what cannot be read may have been protection"
    );
    let wrong: Vec<&String> = reported
        .iter()
        .filter(|line| !line.contains(": note: "))
        .collect();
    assert_eq!(
        wrong,
        [
            "5: error: Ingress default/web metadata.labels[expose]: expected text, found a truth value; write it in quotes",
            "7: error: Ingress default/web metadata.annotations[nginx.ingress.kubernetes.io/proxy-read-timeout]: a value must be text; write it in quotes",
            "8: error: Ingress default/web metadata.annotations[nginx.ingress.kubernetes.io/ssl-redirect]: a value must be text; write it in quotes",
            "9: error: Ingress default/web metadata.annotations[nginx.ingress.kubernetes.io/limit-rps]: expected text, found a list",
        ]
    );
    let (ingress, _) = ingress_with_annotations("[]");
    assert_eq!(ingress.annotations.closes.len(), 1);
    let (ingress, reported) = ingress_with_annotations("~");
    assert_eq!((ingress.annotations.closes.len(), reported.len()), (0, 0));
}
