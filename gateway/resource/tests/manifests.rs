//! Manifests and what is said of them: every kind of mistake has a test that shows its message.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use resource::manifest::{Manifest, collect, parse};
use resource::{
    AppProtocol, Backend, ClassRef, ClusterView, Endpoint, EndpointPort, EndpointSlice, Ingress,
    InvalidBackend, InvalidHost, InvalidPath, Object, PathType, Protocol, Service, ServicePortRef,
    ServiceType,
};
use route::{HostPattern, ObjectKey, PathPattern};

fn read(text: &str) -> Manifest {
    parse("f.yaml", text.as_bytes())
}

/// The problems of a file, without its name.
fn told(manifest: &Manifest) -> Vec<String> {
    let line = |problem: &resource::Problem| problem.to_string().strip_prefix("f.yaml:").unwrap().to_owned();
    manifest.problems.iter().map(line).collect()
}

fn view(manifest: &Manifest) -> ClusterView {
    let (view, duplicates) = collect([manifest]);
    assert_eq!(duplicates, []);
    view
}

fn ingress(text: &str) -> (Ingress, Vec<String>) {
    let manifest = read(text);
    let view = view(&manifest);
    let ingress = view
        .ingresses()
        .next()
        .unwrap_or_else(|| panic!("no Ingress: {:?}", told(&manifest)));
    ((**ingress).clone(), told(&manifest))
}

/// An Ingress `shop/web` whose spec begins on line 5.
fn with_spec(spec: &str) -> (Ingress, Vec<String>) {
    ingress(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, namespace: shop}}\nspec:\n{spec}"
    ))
}

/// An Ingress with one rule for `a.test` whose only path, on line 9, is as given.
fn with_path(path: &str) -> (Ingress, Vec<String>) {
    with_spec(&format!(
        "  rules:\n    - host: a.test\n      http:\n        paths:\n          - {path}\n"
    ))
}

const SOUND: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  uid: 1234
  generation: 7
  creationTimestamp: 2026-01-31T12:00:00Z
  labels: {expose: internal-http}
  annotations: {kubernetes.io/tls-acme: \"true\"}
spec:
  ingressClassName: blastdoor
  defaultBackend: {service: {name: fallback, port: {name: http}}}
  tls: [{hosts: [Shop.Test, '*.shop.test'], secretName: cert}]
  rules:
    - host: Shop.Test
      http:
        paths:
          - {path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 8080}}}}
          - {path: /health, pathType: Exact, backend: {service: {name: api, port: {name: admin}}}}
          - {pathType: ImplementationSpecific, backend: {service: {name: web, port: {number: 80}}}}
    - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: any, port: {number: 80}}}}]}
";

#[test]
fn a_sound_ingress() {
    let (ingress, told) = ingress(&SOUND.replace("uid: 1234", "uid: '1234'"));
    assert_eq!(told, [""; 0]);
    assert_eq!(ingress.key, ObjectKey::new("shop", "web"));
    assert_eq!(ingress.uid.as_deref(), Some("1234"));
    assert_eq!(ingress.generation, Some(7));
    assert_eq!(
        ingress.created.map(|time| time.to_string()).as_deref(),
        Some("2026-01-31T12:00:00Z")
    );
    assert_eq!(ingress.labels.get("expose"), Some("internal-http"));
    assert_eq!(
        ingress.class,
        Some(ClassRef {
            name: "blastdoor".into(),
            from_annotation: false
        })
    );
    let backend = |service: &str, port| {
        Ok(Backend {
            service: ObjectKey::new("shop", service),
            port,
        })
    };
    assert_eq!(
        ingress.default_backend,
        Some(backend("fallback", ServicePortRef::Name("http".into())))
    );
    let host = |text| HostPattern::parse(text).unwrap();
    assert_eq!(ingress.tls[0].hosts, [host("shop.test"), host("*.shop.test")]);
    assert_eq!(ingress.tls[0].secret, Some(ObjectKey::new("shop", "cert")));
    assert_eq!(ingress.rules[0].host, Ok(host("shop.test")));
    assert_eq!(ingress.rules[1].host, Ok(HostPattern::Any));
    let paths: Vec<_> = ingress.rules[0]
        .paths
        .iter()
        .map(|path| {
            (
                path.path_type,
                path.written.as_str(),
                path.pattern.clone(),
                path.backend.clone(),
            )
        })
        .collect();
    assert_eq!(
        paths,
        [
            (
                Some(PathType::Prefix),
                "/api",
                Ok(PathPattern::prefix("/api").unwrap()),
                backend("api", ServicePortRef::Number(8080))
            ),
            (
                Some(PathType::Exact),
                "/health",
                Ok(PathPattern::exact("/health").unwrap()),
                backend("api", ServicePortRef::Name("admin".into()))
            ),
            (
                Some(PathType::ImplementationSpecific),
                "",
                Ok(PathPattern::prefix("/").unwrap()),
                backend("web", ServicePortRef::Number(80))
            ),
        ]
    );
}

#[test]
fn later_problems_find_their_line() {
    let (ingress, _) = ingress(SOUND);
    let line = |field| {
        ingress
            .problem(resource::Severity::Error, field, "x")
            .source
            .unwrap()
            .line
    };
    assert_eq!(line("spec.rules[0].host"), 16);
    assert_eq!(line("spec.rules[0].http.paths[1].backend.service.port"), 20);
    assert_eq!(
        line("spec.rules[0].http.paths[2].path"),
        21,
        "what is absent stands where it should be"
    );
    assert_eq!(line("metadata.labels[expose]"), 9);
    assert_eq!(line("metadata.labels[other]"), 9);
    assert_eq!(line(""), 1);
}

#[test]
fn hosts() {
    let invalid = [
        "10.0.0.1",
        "*",
        "*.*.test",
        "*foo.test",
        "foo.*",
        "a..test",
        "a b.test",
        "a.test\r\nX",
        "a.test;",
        "{a}",
        "xn--a",
    ];
    for host in invalid {
        let reason = HostPattern::parse(host).unwrap_err();
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web}}\nspec:\n  rules:\n    - http: {{paths: []}}\n      host: {}\n    - host: ok.test\n  defaultBackend: {{service: {{name: w, port: {{number: 1}}}}}}\n",
            serde_json::to_string(host).unwrap()
        );
        let manifest = read(&text);
        let view = view(&manifest);
        let ingress = view.ingresses().next().unwrap();
        assert_eq!(ingress.rules[0].host, Err(InvalidHost::Pattern(reason.clone())));
        assert_eq!(ingress.rules[1].host, Ok(HostPattern::parse("ok.test").unwrap()));
        let [problem] = &manifest.problems[..] else {
            panic!("{:?}", manifest.problems)
        };
        assert_eq!(problem.message, format!("{reason}; the rule is closed"));
        assert_eq!(problem.field, "spec.rules[0].host");
        assert_eq!(problem.source.as_ref().map(|source| source.line), Some(7));
        assert!(!problem.to_string().contains(['\r', '\n']), "{problem}");
    }
}

#[test]
fn a_host_with_a_port_closes_the_host() {
    let (ingress, told) = with_spec(
        "  rules:\n    - host: a.test:8080\n      http: {paths: [{path: /x, pathType: Exact, backend: {service: {name: w, port: {number: 1}}}}]}\n",
    );
    assert_eq!(ingress.rules[0].host, Ok(HostPattern::parse("a.test").unwrap()));
    assert_eq!(
        ingress.rules[0].paths[0].pattern,
        Ok(PathPattern::exact("/x").unwrap())
    );
    assert_eq!(ingress.rules[0].paths[0].backend, Err(InvalidBackend::Host));
    assert_eq!(
        told,
        [
            "6: error: Ingress shop/web spec.rules[0].host: `a.test:8080` has a port, which a rule's host cannot \
          have; write `a.test`; the rule is closed"
        ]
    );
}

#[test]
fn paths() {
    let backend = "backend: {service: {name: w, port: {number: 1}}}";
    let table = [
        (
            "pathType: Prefix, path: foo",
            "path: `foo` does not start with `/`; a path is absolute; the path answers 503",
        ),
        (
            "pathType: Exact",
            "path: the path is missing; it must start with `/`; the path answers 503",
        ),
        (
            "pathType: Prefix, path: ''",
            "path: the path is missing; it must start with `/`; the path answers 503",
        ),
        (
            "pathType: ImplementationSpecific, path: x",
            "path: `x` does not start with `/`; a path is absolute; the path answers 503",
        ),
        (
            "path: /",
            "pathType: `pathType` is missing; write Exact, Prefix or ImplementationSpecific; the path answers 503",
        ),
        (
            "path: /, pathType: prefix",
            "pathType: `prefix` is not a path type; write Exact, Prefix or ImplementationSpecific; the path answers 503",
        ),
        (
            "pathType: Prefix, path: \"/a\\r\\n\"",
            "path: the path `/a\\r\\n` has the character '\\r', which is not allowed here; percent-encode it; the path answers 503",
        ),
        (
            "pathType: Prefix, path: '/a;b'",
            "path: the path `/a;b` has the character ';', which is not allowed here; percent-encode it; the path answers 503",
        ),
    ];
    for (path, message) in table {
        let (ingress, told) = with_path(&format!("{{{path}, {backend}}}"));
        assert_eq!(
            told,
            [format!(
                "9: error: Ingress shop/web spec.rules[0].http.paths[0].{message}"
            )]
        );
        assert!(ingress.rules[0].paths[0].pattern.is_err());
        assert!(ingress.rules[0].host.is_ok());
    }
    for character in ["\\0", "`", "{", "}", "#", "?", "\\u007f"] {
        let (ingress, told) = with_path(&format!(
            "{{pathType: Exact, path: \"/a{character}b\", {backend}}}"
        ));
        assert!(
            matches!(
                ingress.rules[0].paths[0].pattern,
                Err(InvalidPath::Character { .. })
            ),
            "{character}"
        );
        assert_eq!(told.len(), 1);
    }
    let (ingress, _) = with_path(&format!("{{pathType: Exact, path: /a/../b, {backend}}}"));
    assert!(matches!(
        ingress.rules[0].paths[0].pattern,
        Err(InvalidPath::Pattern(_))
    ));
}

#[test]
fn backends() {
    let table = [
        (
            "{}",
            "",
            "the backend is missing; write `service` with a name and a port; answers 503",
        ),
        (
            "{resource: {kind: Bucket, name: b}}",
            ".resource",
            "`resource` backends are not supported, only `service`; answers 503",
        ),
        (
            "{resource: {kind: Bucket, name: b}, service: {name: w, port: {number: 1}}}",
            "",
            "`resource` and `service` exclude each other; answers 503",
        ),
        (
            "{service: {port: {number: 1}}}",
            ".service.name",
            "the name of the Service is missing; answers 503",
        ),
        (
            "{service: {name: ../x, port: {number: 1}}}",
            ".service.name",
            "`../x` is not a Service name; allowed: at most 63 lower-case letters, digits and `-`; answers 503",
        ),
        (
            "{service: {name: w}}",
            ".service.port",
            "the port of the Service is missing; write `number` or `name`; answers 503",
        ),
        (
            "{service: {name: w, port: {}}}",
            ".service.port",
            "the port of the Service is missing; write `number` or `name`; answers 503",
        ),
        (
            "{service: {name: w, port: {number: 80, name: http}}}",
            ".service.port",
            "`number` and `name` of a port exclude each other; write one of them; answers 503",
        ),
        (
            "{service: {name: w, port: {number: 0}}}",
            ".service.port.number",
            "0 is not a port (1 to 65535); answers 503",
        ),
        (
            "{service: {name: w, port: {number: 70000}}}",
            ".service.port.number",
            "70000 is not a port (1 to 65535); answers 503",
        ),
        (
            "{service: {name: w, port: {number: \"80\"}}}",
            ".service.port.number",
            "expected a whole number of 32 bits, found text; write it without quotes",
        ),
        (
            "{service: {name: w, port: {number: 99999999999}}}",
            ".service.port.number",
            "expected a whole number of 32 bits, found a whole number",
        ),
        (
            "{service: {name: w, port: 80}}",
            ".service.port",
            "expected a map, found a whole number; write `port: {number: …}`",
        ),
        ("{service: w}", ".service", "expected a map, found text"),
        ("[]", "", "expected a map, found a list"),
    ];
    for (backend, field, message) in table {
        let (ingress, told) = with_path(&format!("{{path: /p, pathType: Prefix, backend: {backend}}}"));
        assert_eq!(
            told,
            [format!(
                "9: error: Ingress shop/web spec.rules[0].http.paths[0].backend{field}: {message}"
            )],
            "{backend}"
        );
        let path = &ingress.rules[0].paths[0];
        assert!(path.backend.is_err(), "{backend}");
        assert_eq!(
            path.pattern,
            Ok(PathPattern::prefix("/p").unwrap()),
            "the place stays, so that it can be closed"
        );
    }
}

#[test]
fn what_is_lost_of_a_rule_closes_its_place() {
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
        let (ingress, told) = with_spec(&spec);
        assert!(
            told.iter()
                .any(|told| told.contains(": error: Ingress shop/web spec.rules")),
            "{spec}: {told:?}"
        );
        let serving = |path: &&resource::PathRule| path.pattern.is_ok() && path.backend.is_ok();
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
    let (ingress, told) = with_path(&format!(
        "{{pth: /admin, pathType: ImplementationSpecific, {backend}}}"
    ));
    assert_eq!(
        ingress.rules[0].paths[0].pattern,
        Err(InvalidPath::Unreadable),
        "it would be every path"
    );
    assert_eq!(
        told,
        [
            "9: error: Ingress shop/web spec.rules[0].http.paths[0].pth: unknown field, and `path` is missing, without which this would mean more: closed; did you mean `path`?"
        ]
    );
    let (ingress, told) =
        with_spec("  rule: []\n  defaultBackend: {service: {name: w, port: {number: 1}}}\n");
    assert_eq!(
        ingress.rules[0].host,
        Err(InvalidHost::Unreadable),
        "it would be every host"
    );
    assert_eq!(
        told,
        [
            "5: error: Ingress shop/web spec.rule: unknown field, and `rules` is missing, without which this would mean more: closed; did you mean `rules`?"
        ]
    );
    let (ingress, told) = with_spec("  rules: [{hostname: a.test}]\n");
    assert_eq!(ingress.rules[0].host, Err(InvalidHost::Unreadable));
    assert_eq!(
        told,
        [
            "5: error: Ingress shop/web spec.rules[0].hostname: unknown field, and `host` is missing, without which this would mean more: closed"
        ]
    );
}

#[test]
fn lost_rules_do_not_promote_the_default_backend() {
    let (ingress, told) =
        with_spec("  rules: none\n  defaultBackend: {service: {name: w, port: {number: 1}}}\n");
    assert_eq!(
        told,
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
fn what_serves_nothing_is_told() {
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
fn misspelt_fields_are_told_with_what_was_meant() {
    let (_, told) = with_spec(
        "  defaultbackend: {}\n  backend: {}\n  sparkle: 1\n  rules:\n    - host: a.test\n      http:\n        paths:\n          - path: /\n            pathtype: Prefix\n            backend: {serviceName: w, servicePort: 80}\n",
    );
    let prefix = "Ingress shop/web spec";
    assert_eq!(
        told,
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
fn metadata() {
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
        assert_eq!(told(&manifest)[0], message);
        assert_eq!(manifest.objects, []);
    }
}

#[test]
fn labels_and_annotations_are_text() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: web\n  labels: {expose: true, tier: a}\n  annotations:\n    nginx.ingress.kubernetes.io/proxy-read-timeout: 60\n    nginx.ingress.kubernetes.io/ssl-redirect: true\n    nginx.ingress.kubernetes.io/limit-rps: [5]\nspec: {defaultBackend: {service: {name: w, port: {number: 1}}}}\n";
    let (ingress, told) = ingress(text);
    assert_eq!(
        ingress.labels.iter().collect::<Vec<_>>(),
        [("tier", "a")],
        "a label that is no text chooses no door"
    );
    assert_eq!(
        ingress.annotations.tuning.read_timeout.map(|time| time.as_secs()),
        Some(60)
    );
    assert!(ingress.annotations.ssl_redirect);
    assert_eq!(
        ingress.annotations.closes.len(),
        1,
        "what cannot be read may have been protection"
    );
    assert_eq!(
        told,
        [
            "5: error: Ingress default/web metadata.labels[expose]: expected text, found a truth value; write it in quotes",
            "7: error: Ingress default/web metadata.annotations[nginx.ingress.kubernetes.io/proxy-read-timeout]: a value must be text; write it in quotes",
            "8: error: Ingress default/web metadata.annotations[nginx.ingress.kubernetes.io/ssl-redirect]: a value must be text; write it in quotes",
            "9: error: Ingress default/web metadata.annotations[nginx.ingress.kubernetes.io/limit-rps]: expected text, found a list",
        ]
    );
    let (ingress, _) = ingress_with_annotations("[]");
    assert_eq!(ingress.annotations.closes.len(), 1);
    let (ingress, told) = ingress_with_annotations("~");
    assert_eq!((ingress.annotations.closes.len(), told.len()), (0, 0));
}

fn ingress_with_annotations(annotations: &str) -> (Ingress, Vec<String>) {
    ingress(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, annotations: {annotations}}}\nspec: {{defaultBackend: {{service: {{name: w, port: {{number: 1}}}}}}}}\n"
    ))
}

#[test]
fn class_by_annotation() {
    let (ingress, told) = ingress_with_annotations("{kubernetes.io/ingress.class: old}");
    assert_eq!(
        ingress.class,
        Some(ClassRef {
            name: "old".into(),
            from_annotation: true
        })
    );
    assert_eq!(told, [""; 0]);
    let text = SOUND
        .replace(
            "kubernetes.io/tls-acme: \"true\"",
            "kubernetes.io/ingress.class: old",
        )
        .replace("1234", "'1'");
    let (ingress, told) = self::ingress(&text);
    assert_eq!(
        ingress.class,
        Some(ClassRef {
            name: "old".into(),
            from_annotation: true
        })
    );
    assert_eq!(
        told,
        [
            "12: warning: Ingress shop/web spec.ingressClassName: the annotation `kubernetes.io/ingress.class` says `old`, and the annotation counts"
        ]
    );
}

#[test]
fn types() {
    let table = [
        (
            "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: web}\n",
            "1: error: Ingress default/web apiVersion: `extensions/v1beta1` is not served by any cluster; write `networking.k8s.io/v1` and its fields; the object is ignored",
        ),
        (
            "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: web}\n",
            "1: error: EndpointSlice default/web apiVersion: `discovery.k8s.io/v1beta1` is not served by any cluster; write `discovery.k8s.io/v1` and its fields; the object is ignored",
        ),
        (
            "kind: Service\nmetadata: {name: web}\n",
            "1: error: Service default/web apiVersion: `apiVersion` is missing; write `v1`; the object is ignored",
        ),
        (
            "apiVersion: v1\nkind: service\nmetadata: {name: web}\n",
            "1: error: File f.yaml apiVersion: kind `service` is written `Service`; the object is ignored",
        ),
        (
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n",
            "2: note: File f.yaml kind: `Service` (serving.knative.dev/v1) is no kind that the gateway reads; the object is ignored",
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\n",
            "2: note: File f.yaml kind: `Deployment` (apps/v1) is no kind that the gateway reads; the object is ignored",
        ),
        (
            "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: auth, namespace: shop}\n",
            "2: note: Middleware shop/auth kind: middlewares are not supported yet; an Ingress that names one answers 503",
        ),
        (
            "a: 1\n",
            "1: error: File f.yaml: the document has no `kind` and is ignored",
        ),
        (
            "- kind: Service\n",
            "1: error: File f.yaml: the document is a list and is ignored; write one object per document, or `kind: List` with `items`",
        ),
        (
            "hello\n",
            "1: error: File f.yaml: the document is no Kubernetes object and is ignored",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: {}\n",
            "3: error: File f.yaml: `items` is not a list; the document is ignored",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [{}]\n",
            "3: error: File f.yaml: the item has no `kind` and is ignored",
        ),
    ];
    for (text, message) in table {
        let manifest = read(text);
        assert_eq!(told(&manifest), [message]);
        assert_eq!(manifest.objects, []);
    }
}

#[test]
fn lists() {
    let items = "- {metadata: {name: a}}\n- {apiVersion: v1, kind: Namespace, metadata: {name: b}}\n";
    let typed = read(&format!("apiVersion: v1\nkind: NamespaceList\nitems:\n{items}"));
    assert_eq!(told(&typed), [""; 0]);
    let view = view(&typed);
    assert!(view.namespace("a").is_some() && view.namespace("b").is_some());
    let lines: Vec<u32> = typed.objects.iter().map(|placed| placed.at.line).collect();
    assert_eq!(lines, [4, 5]);
    let json = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "a", "annotations": {"emoji": "\ud83d\ude00", "slash": "\/"}}}]}"#;
    let manifest = read(json);
    assert_eq!(told(&manifest), [""; 0]);
    assert_eq!(manifest.objects.len(), 1);
    assert_eq!(
        read("apiVersion: v1\nkind: List\nitems: ~\n"),
        Manifest::default()
    );
}

#[test]
fn documents_that_do_not_parse_harm_themselves_alone() {
    let sound = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
    let table: &[(&[u8], &str)] = &[
        (b"a: [\n", "5: error: File f.yaml: not valid YAML: "),
        (b"a: b: c\n", "5: error: File f.yaml: not valid YAML: "),
        (b"a:\n\tb: 1\n", "6: error: File f.yaml: not valid YAML: "),
        (b"a: 'x\n", "5: error: File f.yaml: not valid YAML: "),
        (b"a: *nowhere\n", "5: error: File f.yaml: not valid YAML: "),
        (
            b"ok: 1\na: \xff\xfe\n",
            "6: error: File f.yaml: not valid UTF-8; the document is ignored",
        ),
        (
            b"? [a]\n: 1\n",
            "5: error: File f.yaml: a list or map cannot be a key; the document is ignored",
        ),
        (
            b"a: &a [*a]\n",
            "5: error: File f.yaml: anchors and aliases expand to too much (at most 100000 values); the document is ignored",
        ),
        (b"@\n", "5: error: File f.yaml: not valid YAML: "),
        (
            b"kind: &x !!int hello\n",
            "5: error: File f.yaml: the document has no `kind` and is ignored",
        ),
    ];
    for (broken, message) in table {
        let file = [
            sound.as_bytes(),
            b"---\n",
            broken,
            b"---\n",
            sound.replace("a}", "b}").as_bytes(),
        ]
        .concat();
        let manifest = parse("f.yaml", &file);
        let told = told(&manifest);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(message), "{told:?}");
        assert_eq!(manifest.objects.len(), 2, "{}", String::from_utf8_lossy(broken));
    }
}

#[test]
fn bounds() {
    let told = |text: &str| told(&read(text)).join("\n");
    let deep = format!("kind: {}1{}\n", "[".repeat(200), "]".repeat(200));
    assert_eq!(
        told(&deep),
        "1: error: File f.yaml: nested more than 100 levels deep; the document is ignored"
    );
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = level - 1;
        laughs.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{below}"); 10].join(", ")
        ));
    }
    assert!(told(&laughs).contains("anchors and aliases expand to too much"));
    let big = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        vec!["*a"; 1_000].join(", ")
    );
    assert!(told(&big).contains("anchors and aliases expand to too much"));
    let large = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: {}}}\n",
        "x".repeat(3 << 20)
    );
    assert_eq!(
        told(&large),
        "1: error: ConfigMap default/a: larger than 1.5 MiB, which no cluster would store; the object is ignored"
    );
    assert_eq!(
        told("\u{feff}apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"),
        ""
    );
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("a: 1".bytes().flat_map(|byte| [byte, 0]))
        .collect();
    assert_eq!(
        parse("f.yaml", &utf16).problems[0].to_string(),
        "f.yaml:1: error: File f.yaml: the file is UTF-16; write it as UTF-8"
    );
}

#[test]
fn anchors_and_merge_keys() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: &meta {name: web, labels: &labels {a: '1', b: '2'}}\nspec:\n  ports:\n    - &port {name: http, port: 80}\n    - {<<: *port, name: alt, port: 81}\n";
    let manifest = read(text);
    assert_eq!(told(&manifest), [""; 0]);
    let view = view(&manifest);
    let ports: Vec<_> = view
        .services()
        .next()
        .unwrap()
        .ports
        .iter()
        .map(|port| (port.name.clone().unwrap(), port.port))
        .collect();
    assert_eq!(ports, [("http".into(), 80), ("alt".into(), 81)]);
}

fn service(rest: &str) -> (Service, Vec<String>) {
    let manifest = read(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\n{rest}"
    ));
    let view = view(&manifest);
    ((**view.services().next().unwrap()).clone(), told(&manifest))
}

#[test]
fn services() {
    let table = [
        ("spec: {}\n", ServiceType::ClusterIp),
        (
            "spec: {type: ClusterIP, clusterIP: 10.0.0.1}\n",
            ServiceType::ClusterIp,
        ),
        ("spec: {clusterIP: None}\n", ServiceType::Headless),
        ("spec: {type: NodePort}\n", ServiceType::NodePort),
        ("spec: {type: LoadBalancer}\n", ServiceType::LoadBalancer),
        (
            "spec: {type: ExternalName, externalName: a.test}\n",
            ServiceType::ExternalName("a.test".into()),
        ),
    ];
    for (spec, kind) in table {
        let (service, told) = service(spec);
        assert_eq!((service.kind, told.len()), (kind, 0), "{spec}");
    }
    let protocols = [
        ("http", AppProtocol::Http),
        ("HTTP", AppProtocol::Http),
        ("kubernetes.io/ws", AppProtocol::Http),
        ("kubernetes.io/h2c", AppProtocol::H2c),
        ("grpc", AppProtocol::Grpc),
        ("https", AppProtocol::Https),
        ("kubernetes.io/wss", AppProtocol::Wss),
    ];
    for (written, protocol) in protocols {
        let (service, told) = service(&format!(
            "spec: {{ports: [{{port: 80, appProtocol: {written}}}]}}\n"
        ));
        assert_eq!(
            (service.ports[0].app_protocol, told.len()),
            (protocol, 0),
            "{written}"
        );
    }
    let problems = [
        (
            "{port: 80, appProtocol: mysql}",
            "[0].appProtocol: `mysql` means nothing to an HTTP gateway; HTTP/1.1 is spoken",
            1,
        ),
        (
            "{port: 0}",
            "[0].port: 0 is not a port (1 to 65535); the Service port is ignored",
            0,
        ),
        (
            "{port: 80, protocol: tcp}",
            "[0].protocol: `tcp` is not a protocol; write TCP, UDP or SCTP; the port is ignored",
            0,
        ),
        (
            "{name: a, port: 80}, {name: b, port: 80}",
            "[1].port: port 80 is listed twice; the first one counts",
            1,
        ),
        (
            "{name: a, port: 80}, {name: a, port: 81}",
            "[1].name: name `a` is used twice; the first port counts",
            1,
        ),
        (
            "{name: a, port: 80}, {port: 81}",
            "[1].name: every port of a Service with several ports needs a name, by which endpoints find it",
            2,
        ),
        (
            "{port: http}",
            "[0].port: expected a whole number of 32 bits, found text",
            0,
        ),
    ];
    for (ports, message, left) in problems {
        let (service, told) = service(&format!("spec:\n  ports: [{ports}]\n"));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("5: ") && told[0].ends_with(&format!("Service shop/web spec.ports{message}")),
            "{told:?}"
        );
        assert_eq!(service.ports.len(), left, "{ports}");
    }
    let (_, told) = service("spec: {type: clusterip}\n");
    assert_eq!(
        told,
        [
            "4: error: Service shop/web spec.type: `clusterip` is not a Service type; write ClusterIP, NodePort, LoadBalancer or ExternalName; treated as ClusterIP"
        ]
    );
}

fn slice(rest: &str) -> (Option<EndpointSlice>, Vec<String>) {
    let manifest = read(&format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}\n{rest}"
    ));
    let slice = view(&manifest)
        .endpoint_slices(&ObjectKey::new("shop", "web"))
        .next()
        .map(|slice| (**slice).clone());
    (slice, told(&manifest))
}

#[test]
fn endpoint_slices() {
    let (sound, told) = slice(
        "addressType: IPv4\nports: [{name: http, port: 8080}, {name: '', port: 1, protocol: UDP}, {}]\nendpoints:\n\
         - {addresses: [10.0.0.1, 10.0.0.2], zone: a}\n\
         - {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}\n\
         - {addresses: [10.0.0.4], conditions: {ready: false}}\n",
    );
    let sound = sound.unwrap();
    assert_eq!(told, [""; 0]);
    let endpoint = |address: &str, ready, serving, terminating, zone: Option<&str>| Endpoint {
        address: address.parse().unwrap(),
        ready,
        serving,
        terminating,
        zone: zone.map(Into::into),
    };
    assert_eq!(
        sound.endpoints,
        [
            endpoint("10.0.0.1", true, true, false, Some("a")),
            endpoint("10.0.0.3", false, true, true, None),
            endpoint("10.0.0.4", false, false, false, None),
        ]
    );
    let port = |name: Option<&str>, port, protocol| EndpointPort {
        name: name.map(Into::into),
        port,
        protocol,
    };
    assert_eq!(
        sound.ports,
        [
            port(Some("http"), Some(8080), Protocol::Tcp),
            port(None, Some(1), Protocol::Udp),
            port(None, None, Protocol::Tcp)
        ]
    );
}

#[test]
fn mistakes_in_endpoint_slices() {
    let problems = [
        (
            "addressType: IPv4\nendpoints: [{addresses: [::1]}]\n",
            "5: error: {} endpoints[0].addresses[0]: `::1` is not an IPv4 address; the endpoint is ignored",
        ),
        (
            "addressType: IPv6\nendpoints: [{addresses: [web]}]\n",
            "5: error: {} endpoints[0].addresses[0]: `web` is not an IPv6 address; the endpoint is ignored",
        ),
        (
            "addressType: IPv4\nendpoints: [{addresses: []}]\n",
            "5: error: {} endpoints[0].addresses: the endpoint has no address and is ignored",
        ),
        (
            "addressType: IPv4\nendpoints: [{}]\n",
            "5: error: {} endpoints[0].addresses: the endpoint has no address and is ignored",
        ),
        (
            "addressType: IPv4\nports: [{port: 99999}]\n",
            "5: error: {} ports[0].port: 99999 is not a port (1 to 65535); it is ignored",
        ),
        (
            "addressType: IPv4\nports: [{port: http}]\n",
            "5: error: {} ports[0].port: expected a whole number of 32 bits, found text",
        ),
        (
            "endpoints: []\n",
            "1: error: {} addressType: the address type is missing; write IPv4 or IPv6",
        ),
        (
            "addressType: ipv4\n",
            "4: error: {} addressType: `ipv4` is not an address type; write IPv4 or IPv6",
        ),
        (
            "addressType: FQDN\n",
            "4: note: {} addressType: slices of host names (FQDN) are not used; the slice is ignored",
        ),
        (
            "addressType: IPv4\nendpoint: []\n",
            "5: warning: {} endpoint: unknown field, which is ignored; did you mean `endpoints`?",
        ),
    ];
    for (rest, message) in problems {
        let (slice, told) = slice(rest);
        assert_eq!(told, [message.replace("{}", "EndpointSlice shop/web-1")]);
        assert!(
            slice.is_none_or(|slice| slice.endpoints.is_empty() && slice.ports.is_empty()),
            "{rest}"
        );
    }

    let (unsure, told) =
        slice("addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: maybe}}]\n");
    assert_eq!(told.len(), 1);
    assert!(
        !unsure.unwrap().endpoints[0].ready,
        "readiness that cannot be read is none"
    );

    let lone = read(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web}\naddressType: IPv4\n",
    );
    assert_eq!(
        self::told(&lone),
        [
            "3: note: EndpointSlice default/web metadata.labels[kubernetes.io/service-name]: the slice belongs to no Service and is ignored; write this label with the Service's name"
        ]
    );
}

#[test]
fn secrets_are_not_shown() {
    let manifest = read(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: cert}\ntype: kubernetes.io/tls\ndata: {a: aGVsbG8=, b: hunter2!, c: 12345, d: aGVsbG8=}\nstringData: {d: plain, e: 67890}\n",
    );
    assert_eq!(
        told(&manifest),
        [
            "5: error: Secret default/cert data[b]: expected base64, found text",
            "5: error: Secret default/cert data[c]: expected base64, found a whole number",
            "6: error: Secret default/cert stringData[e]: expected text, found a whole number; write it in quotes",
        ]
    );
    let Object::Secret(secret) = &manifest.objects[0].object else {
        panic!("no Secret")
    };
    assert_eq!(&*secret.kind, "kubernetes.io/tls");
    assert_eq!(secret.data.get("a").map(|data| &**data), Some(&b"hello"[..]));
    assert_eq!(secret.data.get("d").map(|data| &**data), Some(&b"plain"[..]));
    assert_eq!(secret.data.len(), 2);
    let shown = format!("{secret:?} {manifest:?}");
    for hidden in ["hello", "104, 101", "plain", "hunter2", "12345", "67890"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn classes_namespaces_and_config_maps() {
    let manifest = read(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: blastdoor, annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}\nspec: {controller: blastdoor.dev/gateway}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: odd, annotations: {ingressclass.kubernetes.io/is-default-class: 'yes'}}\n",
    );
    assert_eq!(
        told(&manifest),
        [
            "17: error: IngressClass odd metadata.annotations[ingressclass.kubernetes.io/is-default-class]: `yes` is neither `true` nor `false`; the class is not the default"
        ]
    );
    let view = view(&manifest);
    let class = view.class("blastdoor").unwrap();
    assert_eq!(
        (class.is_default, class.controller.as_deref()),
        (true, Some("blastdoor.dev/gateway"))
    );
    assert!(!view.class("odd").unwrap().is_default);
    assert_eq!(view.namespace("shop").unwrap().labels.get("team"), Some("a"));
    assert_eq!(
        view.config_map(&ObjectKey::new("default", "c"))
            .unwrap()
            .data
            .get("a")
            .map(|text| &**text),
        Some("b")
    );
}

#[test]
fn problems_as_json() {
    let manifest = read("apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: A}\n");
    assert_eq!(
        serde_json::to_value(&manifest.problems[0]).unwrap(),
        serde_json::json!({
            "severity": "error",
            "object": {"kind": "IngressClass", "namespace": null, "name": "A"},
            "field": "metadata.name",
            "message": "`A` is not an object name; allowed: at most 253 lower-case letters, digits, `-` and `.`; the object is ignored",
            "file": "f.yaml",
            "line": 3
        })
    );
    let (ingress, _) = ingress(SOUND);
    let unplaced = Ingress {
        source: None,
        ..ingress
    }
    .problem(resource::Severity::Note, "spec", "x");
    assert_eq!(
        serde_json::to_value(&unplaced).unwrap(),
        serde_json::json!({
            "severity": "note",
            "object": {"kind": "Ingress", "namespace": "shop", "name": "web"},
            "field": "spec",
            "message": "x",
            "file": null,
            "line": null
        })
    );
}
