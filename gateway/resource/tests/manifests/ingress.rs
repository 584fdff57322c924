//! Ingresses: values, and mistakes that concern one field.

use resource::{
    ClassRef, IngressBackend, InvalidBackend, InvalidHost, InvalidPath, PathType, ServicePortRef, Severity,
};
use route::{HostPattern, ObjectKey, PathPattern};

use crate::{SOUND, ingress, ingress_with_annotations, read, reported, view, with_path, with_spec};

#[test]
fn a_valid_ingress_is_read_completely() {
    let (ingress, reported) = ingress(&SOUND.replace("uid: 1234", "uid: '1234'"));
    assert_eq!(reported, [""; 0]);
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
        Ok(IngressBackend {
            service: ObjectKey::new("shop", service),
            port,
        })
    };
    assert_eq!(
        ingress.default_backend,
        Some(backend("fallback", ServicePortRef::Name("http".into())))
    );
    let host = |text| HostPattern::parse(text).unwrap();
    assert_eq!(*ingress.tls[0].hosts, [host("shop.test"), host("*.shop.test")]);
    assert_eq!(ingress.tls[0].secret, Some(ObjectKey::new("shop", "cert")));
    assert_eq!(ingress.rules[0].host, Ok(host("shop.test")));
    assert_eq!(ingress.rules[1].host, Ok(HostPattern::Any));
    let paths: Vec<_> = ingress.rules[0]
        .paths
        .iter()
        .map(|path| {
            (
                path.path_type,
                &*path.written,
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
fn problems_found_later_still_have_a_line() {
    let (ingress, _) = ingress(SOUND);
    let line = |field| ingress.problem(Severity::Error, field, "x").source.unwrap().line;
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
fn an_invalid_host_closes_its_rule_alone() {
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
    let (ingress, reported) = with_spec(
        "  rules:\n    - host: a.test:8080\n      http: {paths: [{path: /x, pathType: Exact, backend: {service: {name: w, port: {number: 1}}}}]}\n",
    );
    assert_eq!(ingress.rules[0].host, Ok(HostPattern::parse("a.test").unwrap()));
    assert_eq!(
        ingress.rules[0].paths[0].pattern,
        Ok(PathPattern::exact("/x").unwrap())
    );
    assert_eq!(ingress.rules[0].paths[0].backend, Err(InvalidBackend::Host));
    assert_eq!(
        reported,
        [
            "6: error: Ingress shop/web spec.rules[0].host: `a.test:8080` has a port, which a rule's host cannot \
          have; write `a.test`; the rule is closed"
        ]
    );
}

#[test]
fn paths_are_read_or_answer_503() {
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
        let (ingress, reported) = with_path(&format!("{{{path}, {backend}}}"));
        assert_eq!(
            reported,
            [format!(
                "9: error: Ingress shop/web spec.rules[0].http.paths[0].{message}"
            )]
        );
        assert!(ingress.rules[0].paths[0].pattern.is_err());
        assert!(ingress.rules[0].host.is_ok());
    }
    for character in ["\\0", "`", "{", "}", "#", "?", "\\u007f"] {
        let (ingress, reported) = with_path(&format!(
            "{{pathType: Exact, path: \"/a{character}b\", {backend}}}"
        ));
        assert!(
            matches!(
                ingress.rules[0].paths[0].pattern,
                Err(InvalidPath::Character { .. })
            ),
            "{character}"
        );
        assert_eq!(reported.len(), 1);
    }
    let (ingress, _) = with_path(&format!("{{pathType: Exact, path: /a/../b, {backend}}}"));
    assert!(matches!(
        ingress.rules[0].paths[0].pattern,
        Err(InvalidPath::Pattern(_))
    ));
}

#[test]
fn backends_are_read_or_answer_503() {
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
        let (ingress, reported) = with_path(&format!("{{path: /p, pathType: Prefix, backend: {backend}}}"));
        assert_eq!(
            reported,
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
fn the_class_annotation_takes_precedence_over_the_field() {
    let (ingress, reported) = ingress_with_annotations("{kubernetes.io/ingress.class: old}");
    assert_eq!(
        ingress.class,
        Some(ClassRef {
            name: "old".into(),
            from_annotation: true
        })
    );
    assert_eq!(reported, [""; 0]);
    let text = SOUND
        .replace(
            "kubernetes.io/tls-acme: \"true\"",
            "kubernetes.io/ingress.class: old",
        )
        .replace("1234", "'1'");
    let (ingress, reported) = crate::ingress(&text);
    assert_eq!(
        ingress.class,
        Some(ClassRef {
            name: "old".into(),
            from_annotation: true
        })
    );
    assert_eq!(
        reported,
        [
            "12: warning: Ingress shop/web spec.ingressClassName: the annotation `kubernetes.io/ingress.class` says `old`, and the annotation counts"
        ]
    );
}

#[test]
fn a_canary_is_not_told_how_its_paths_match() {
    let ingress = |annotations: &str| {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: a, annotations: {{{annotations}}}}}\nspec:\n  \
             rules:\n  - host: a.test\n    http: {{paths: [{{path: '/a/(.*)', pathType: Prefix, backend: {{service: \
             {{name: web, port: {{number: 80}}}}}}}}]}}\n"
        );
        reported(&read(&text)).join("\n")
    };
    assert!(ingress("").contains("looks like a pattern"));
    let canary =
        "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '10'";
    assert!(!ingress(canary).contains("looks like a pattern"));
}
