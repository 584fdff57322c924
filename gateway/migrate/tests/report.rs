//! Objects in, differences out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use door::{Action, BackendPolicy, Ledger, Policy, Route, Scheme, Selector, open, publish};
use migrate::{
    DifferenceKind, DoorFacts, Effect, Given, Report, RouteFact, RouteState, Wish, copies, objects_of, place,
    report,
};
use resource::{ProblemLists, manifest};
use route::ListenerName;

/// Four doors; one redirects to another.
fn doors() -> Vec<(ListenerName, Policy)> {
    let door = |name: &str, scheme, redirect: Option<&str>| {
        let selector = Selector::parse(&format!("expose={name}")).unwrap();
        let policy = Policy {
            redirect: redirect.map(|name| name.parse().unwrap()),
            ..Policy::new(selector, scheme)
        };
        (name.parse::<ListenerName>().unwrap(), policy)
    };
    vec![
        door("internal-http", Scheme::Http, None),
        door("internal-https", Scheme::Https, None),
        door("external-http", Scheme::Http, Some("external-https")),
        door("external-https", Scheme::Https, None),
    ]
}

/// What an audit says of a route, as far as a report asks.
fn route(route: &Route) -> RouteFact {
    let (service, state) = match &route.action {
        Action::Forward(upstream) if upstream.endpoints.is_empty() => {
            (Some(upstream.service.to_string()), RouteState::NoEndpoints)
        }
        Action::Blocked(_) => (None, RouteState::Blocked),
        Action::Forward(_) | Action::Redirect => (None, RouteState::Served),
    };
    RouteFact {
        ingress: route.origin.key.to_string(),
        service,
        state,
        row: serde_json::Value::Null,
    }
}

struct Told {
    report: Report,
    copies: Vec<migrate::Copy>,
}

fn told(yaml: &str, wishes: &[&str], accepted: &[DifferenceKind]) -> Told {
    let file: Arc<str> = "test.yaml".into();
    let parsed = manifest::parse(&file, yaml.as_bytes());
    let (view, duplicates) = manifest::collect([&parsed]);
    let raw: Vec<_> = manifest::values(yaml.as_bytes())
        .unwrap()
        .into_iter()
        .flat_map(|value| objects_of(value, Some(&file)))
        .collect();
    let wishes: Vec<Wish> = wishes.iter().map(|wish| wish.parse().unwrap()).collect();
    let doors = doors();
    let (places, view) = place(&view, &doors, &wishes);
    let mut publishers: Vec<_> = doors
        .iter()
        .map(|(name, policy)| open(name.clone(), policy.clone(), ()).0)
        .collect();
    let reports = publish(
        publishers.iter_mut(),
        &view,
        &BackendPolicy::default(),
        &mut Ledger::default(),
    );
    let found = reports.lists().to_vec();
    let found = found
        .iter()
        .flat_map(|lists| lists.iter())
        .map(|problem| (**problem).clone());
    let problems: ProblemLists = parsed
        .problems
        .iter()
        .cloned()
        .chain(duplicates)
        .chain(found)
        .collect();
    let facts: Vec<DoorFacts<'_>> = doors
        .iter()
        .map(|(name, policy)| DoorFacts {
            name: name.clone(),
            policy,
            body: None,
            connect: Duration::from_secs(2),
            read: Duration::from_secs(60),
            send: Duration::from_secs(30),
            publishes: false,
        })
        .collect();
    let snapshots: Vec<_> = publishers.iter().map(|publisher| publisher.snapshot()).collect();
    let routes: Vec<RouteFact> = snapshots
        .iter()
        .flat_map(|snapshot| snapshot.routes())
        .map(|row| route(row.action))
        .collect();
    let given = Given {
        view: &view,
        problems: &problems,
        doors: &facts,
        routes: &routes,
        raw: &raw,
        places: &places,
        unreadable: &[],
        from: None,
    };
    let accepted: BTreeSet<DifferenceKind> = accepted.iter().copied().collect();
    Told {
        report: report(&given, &accepted),
        copies: copies(&given),
    }
}

/// An Ingress of a class, with these annotations and paths, and more of its spec.
fn ingress(
    name: &str,
    class: &str,
    label: &str,
    annotations: &[(&str, &str)],
    paths: &[(&str, &str)],
    more: &str,
) -> String {
    let annotations: String = annotations
        .iter()
        .map(|(key, value)| format!("    {key}: \"{value}\"\n"))
        .collect();
    let paths: String = paths
        .iter()
        .map(|(path_type, path)| {
            format!(
                "      - {{ path: {path}, pathType: {path_type}, backend: {{ service: {{ name: web, port: {{ number: 80 }} }} }} }}\n"
            )
        })
        .collect();
    let labels = if label.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ expose: {label} }}")
    };
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: shop\n  labels: {labels}\n  annotations:\n    a: b\n{annotations}spec:\n  ingressClassName: {class}\n{more}  rules:\n  - host: {}\n    http:\n      paths:\n{paths}",
        if name.starts_with("same") {
            "same.test".to_owned()
        } else {
            format!("{name}.test")
        }
    )
}

/// The kinds of differences of an Ingress, and those that are only notes.
fn kinds(report: &Report, name: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let found = report
        .ingresses
        .iter()
        .find(|it| it.ingress == format!("shop/{name}"))
        .unwrap();
    let mut kinds = (Vec::new(), Vec::new());
    kinds.0 = found.differences.iter().map(|it| it.kind.as_str()).collect();
    kinds.1 = found.notes.iter().map(|it| it.kind.as_str()).collect();
    kinds
}

const TLS: &str = "  tls: [{ hosts: [x.test], secretName: x }]\n";

#[test]
fn an_ingress_lands_where_label_wish_or_guess_says() {
    let one = |name, class, label| ingress(name, class, label, &[], &[("Prefix", "/")], "");
    let yaml = [
        one("labelled", "nginx", "internal-http"),
        one("wished", "nginx", ""),
        one("guessed", "nginx-internal", ""),
        one("nowhere", "haproxy", ""),
        one("wrong", "nginx", "nothing"),
        ingress(
            "entry",
            "traefik",
            "",
            &[("traefik.ingress.kubernetes.io/router.entrypoints", "websecure")],
            &[("Prefix", "/")],
            "",
        ),
    ]
    .concat();
    let told = told(
        &yaml,
        &["nginx=internal-http", "entrypoint:websecure=external-https"],
        &[],
    );
    let places: Vec<(&str, String, String)> = told
        .report
        .ingresses
        .iter()
        .map(|it| {
            let by = serde_json::to_value(it.by).unwrap();
            (
                it.ingress.as_str(),
                it.doors.join(","),
                by.as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        ("shop/entry", "external-https", "asked"),
        ("shop/guessed", "internal-http", "guess"),
        ("shop/labelled", "internal-http", "labels"),
        ("shop/nowhere", "", "nothing"),
        ("shop/wished", "internal-http", "asked"),
        ("shop/wrong", "", "nothing"),
    ];
    assert_eq!(
        places,
        expected.map(|(name, doors, by)| (name, doors.to_owned(), by.to_owned()))
    );
    assert_eq!(kinds(&told.report, "labelled").0, Vec::<&str>::new());
    assert_eq!(kinds(&told.report, "guessed").0, ["no-door"]);
    assert_eq!(kinds(&told.report, "nowhere").0, ["no-door"]);
    // An entry point that is no door closes the Ingress, and that is told.
    assert_eq!(kinds(&told.report, "entry").0, ["annotation-refused"]);
    // What is only guessed is not labelled, and neither is what has another label.
    let files: Vec<&str> = told.copies.iter().map(|copy| copy.file_name.as_str()).collect();
    assert_eq!(files, ["shop.entry.yaml", "shop.wished.yaml"]);
    assert!(
        told.copies[1]
            .text
            .contains("labels:\n    expose: internal-http\n"),
        "{}",
        told.copies[1].text
    );
}

#[test]
fn what_ingress_nginx_does_by_itself_is_told() {
    let nginx = |key: &str| format!("nginx.ingress.kubernetes.io/{key}");
    let (off, regex, snippet, size, unknown) = (
        nginx("ssl-redirect"),
        nginx("use-regex"),
        nginx("configuration-snippet"),
        nginx("proxy-body-size"),
        nginx("proxy-body-sise"),
    );
    let root = [("Prefix", "/")];
    let yaml = [
        ingress("plain", "nginx", "internal-http", &[(&size, "8m")], &root, ""),
        ingress("tls", "nginx", "external-https", &[], &root, TLS),
        ingress("inside", "nginx", "internal-https", &[], &root, TLS),
        ingress("off", "nginx", "internal-https", &[(&off, "false")], &root, TLS),
        ingress(
            "same-a",
            "nginx",
            "internal-http",
            &[(&regex, "true")],
            &[("ImplementationSpecific", "/a.*")],
            "",
        ),
        ingress("same-b", "nginx", "internal-http", &[], &[("Exact", "/b")], ""),
        ingress(
            "paths",
            "nginx",
            "internal-http",
            &[],
            &[
                ("ImplementationSpecific", "/x"),
                ("Prefix", "/y/"),
                ("Prefix", "/z"),
            ],
            "",
        ),
        ingress(
            "closed",
            "nginx",
            "internal-http",
            &[(&snippet, "x;"), (&unknown, "1m"), ("haproxy.org/timeout", "1s")],
            &root,
            "",
        ),
    ]
    .concat();
    let told = told(&yaml, &[], &[]);
    let of = |name| kinds(&told.report, name).0;
    assert_eq!(of("plain"), Vec::<&str>::new());
    // A door redirects to this one: only HSTS is missing.
    assert_eq!(of("tls"), ["hsts-default"]);
    assert_eq!(of("inside"), ["https-redirect-default", "hsts-default"]);
    assert_eq!(of("off"), ["hsts-default", "scheme-not-served"]);
    assert_eq!(of("same-a"), ["annotation-differs"]);
    assert_eq!(of("same-b"), ["path-regex-host-wide"]);
    assert_eq!(of("paths"), ["path-characters", "path-trailing-slash"]);
    assert_eq!(
        of("closed"),
        [
            "annotation-refused",
            "annotation-unknown",
            "annotation-of-another-controller"
        ]
    );
    let closed = told
        .report
        .ingresses
        .iter()
        .find(|it| it.ingress == "shop/closed")
        .unwrap();
    assert_eq!(closed.differences[0].effect, Effect::Closed);
    assert!(!told.report.defaults.is_empty());
    assert!(told.report.differs(false));
}

#[test]
fn what_traefik_does_by_itself_is_told() {
    let default = "  defaultBackend: { service: { name: web, port: { number: 80 } } }\n";
    let list = "traefik.ingress.kubernetes.io/router.middlewares";
    let wildcard = ingress(
        "wild",
        "traefik",
        "internal-http",
        &[],
        &[("Prefix", "/other")],
        "",
    )
    .replace("host: wild.test", "host: \"*.test\"");
    let yaml = [
        ingress("root", "traefik", "internal-http", &[], &[("Prefix", "/")], ""),
        ingress("paths", "traefik", "internal-http", &[], &[("Prefix", "/"), ("Exact", "/bar"), ("Prefix", "/x"), ("Prefix", "/y/")], default),
        ingress("narrow", "traefik", "internal-http", &[], &[("Exact", "/own")], ""),
        ingress("limited", "traefik", "internal-http", &[(list, "shop-strip@kubernetescrd")], &[("Prefix", "/")], ""),
        wildcard,
        "---\napiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: { name: strip, namespace: shop }\nspec: { stripPrefix: { prefixes: [/api] } }\n".to_owned(),
        "---\napiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: { name: r, namespace: shop }\nspec: {}\n".to_owned(),
    ]
    .concat();
    let told = told(&yaml, &[], &[]);
    let of = |name| kinds(&told.report, name).0;
    assert_eq!(of("root"), Vec::<&str>::new());
    assert_eq!(
        of("paths"),
        [
            "path-characters",
            "path-trailing-slash",
            "rule-priority",
            "default-backend-beside-rules"
        ]
    );
    assert_eq!(of("narrow"), ["host-fallthrough"]);
    assert_eq!(of("limited"), ["middleware-differs"]);
    let objects: Vec<&str> = told
        .report
        .objects
        .iter()
        .map(|object| object.kind.as_str())
        .collect();
    assert_eq!(objects, ["traefik.io/IngressRoute"]);
    // It is on the line where it is written, and says where it was seen.
    let limited = told
        .report
        .ingresses
        .iter()
        .find(|it| it.ingress == "shop/limited")
        .unwrap();
    let json = serde_json::to_value(&limited.differences[0]).unwrap();
    assert_eq!(json["object"], "Middleware shop/strip");
    assert_eq!(
        json["checked"],
        serde_json::json!({"cases": ["traefik/strip-prefix"]})
    );
}

#[test]
fn what_is_accepted_is_told_and_does_not_count() {
    let yaml = ingress("tls", "nginx", "external-https", &[], &[("Prefix", "/")], TLS);
    let told = told(&yaml, &[], &[DifferenceKind::HstsDefault]);
    assert_eq!(kinds(&told.report, "tls").0, Vec::<&str>::new());
    assert!(kinds(&told.report, "tls").1.contains(&"hsts-default"));
    assert!(!told.report.differs(false));
    assert!(
        told.report.differs(true),
        "the defaults of the controller count with --strict"
    );
}

/// Guards are carried over, and what clients see of them is not quite the same.
#[test]
fn guards_that_differ_say_so() {
    let nginx = |key: &str| format!("nginx.ingress.kubernetes.io/{key}");
    let guards = [
        ("auth-url", "https://auth.shop.svc/check"),
        ("auth-signin", "https://login.test/start"),
        ("auth-cache-key", "$http_authorization"),
        ("auth-type", "basic"),
        ("auth-secret", "users"),
    ];
    let annotations: Vec<(String, &str)> = guards.iter().map(|(key, value)| (nginx(key), *value)).collect();
    let annotations: Vec<(&str, &str)> = annotations.iter().map(|(key, value)| (&**key, *value)).collect();
    let yaml = ingress(
        "guarded",
        "nginx",
        "internal-http",
        &annotations,
        &[("Prefix", "/")],
        "",
    );
    let told = told(&yaml, &[], &[]);
    let differences = &told.report.ingresses[0].differences;
    for (key, _) in guards {
        let field = format!("metadata.annotations[{}]", nginx(key));
        let mut of_key = differences.iter().filter(|it| it.field == field);
        assert!(
            of_key.any(|it| it.kind == DifferenceKind::AnnotationDiffers && it.effect == Effect::Differs),
            "{key}: {differences:#?}"
        );
    }
}
