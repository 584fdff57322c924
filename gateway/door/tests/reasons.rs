//! What a route says about why it is closed, and an upstream about why it has no endpoint: the words of logs and tools.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be had fails the test"
)]

use std::sync::Arc;

use door::{Action, BackendPolicy, Ledger, Policy, Route, Scheme, Selector, Verdict, open, publish};
use resource::manifest;
use route::{HostBuf, PathScratch, normalise_path, normalise_sni};

/// The route of `app.test` among these objects, with an Ingress that has these annotations and this backend.
fn route(annotations: &str, backend: &str, objects: &str) -> Arc<Route> {
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: app, namespace: shop, labels: {{expose: one}}, annotations: {{{annotations}}}}}\nspec: {{rules: [{{host: app.test, http: {{paths: [{{path: /, pathType: Prefix, backend: {backend}}}]}}}}]}}\n---\n{objects}"
    );
    let parsed = manifest::parse("test.yaml", yaml.as_bytes());
    let (view, _) = manifest::collect([&parsed]);
    let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
    let (publisher, door) = open("one".parse().unwrap(), policy, ());
    publish(
        &mut [publisher],
        &view,
        &BackendPolicy::default(),
        &mut Ledger::default(),
    );
    let snapshot = door.snapshot();
    let (mut host, mut path) = (HostBuf::new(), PathScratch::default());
    let host = normalise_sni(b"app.test", &mut host).unwrap();
    let path = normalise_path(b"/", &mut path).unwrap();
    assert!(snapshot.knows_host(&host));
    let Verdict::Matched(route) = snapshot.find(Some(&host), &path) else {
        panic!("the rule has a place of its own");
    };
    Arc::clone(route)
}

const BACKEND: &str = "{service: {name: app, port: {number: 80}}}";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: shop}\nspec: {ports: [{name: web, port: 80}]}\n---\n";

fn slice(port: &str, endpoints: &str) -> String {
    format!(
        "{SERVICE}apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: app-1, namespace: shop, labels: {{kubernetes.io/service-name: app}}}}\naddressType: IPv4\nports: [{{name: {port}, port: 8080}}]\nendpoints: {endpoints}\n"
    )
}

#[test]
fn a_closed_route_says_which_field_closes_it() {
    let table = [
        (
            "",
            BACKEND,
            "",
            "spec.rules[0].http.paths[0].backend: Service `shop/app` does not exist",
        ),
        (
            "",
            "{service: {name: app, port: {name: http}}}",
            SERVICE,
            "spec.rules[0].http.paths[0].backend: Service `shop/app` has no port `http`; it has: 80 (web)",
        ),
        (
            "",
            "{service: {name: app, port: {}}}",
            SERVICE,
            "spec.rules[0].http.paths[0].backend: the rule's host, path or backend cannot be read",
        ),
        (
            "nginx.ingress.kubernetes.io/configuration-snippet: deny all;",
            BACKEND,
            SERVICE,
            "nginx.ingress.kubernetes.io/configuration-snippet: ",
        ),
        (
            "traefik.ingress.kubernetes.io/router.middlewares: shop-absent@kubernetescrd",
            BACKEND,
            SERVICE,
            "metadata.annotations[traefik.ingress.kubernetes.io/router.middlewares]: ",
        ),
    ];
    for (annotations, backend, objects, expected) in table {
        let route = route(annotations, backend, objects);
        assert!(matches!(route.action, Action::Blocked(_)), "{expected}");
        let why = route.explain_closed().unwrap();
        assert!(why.starts_with(expected), "{why}");
    }
    let open = route("", BACKEND, &slice("web", "[{addresses: [10.0.0.1]}]"));
    assert_eq!(open.explain_closed(), None);
}

/// An annotation may be as long as an object; the reason in the route is not.
#[test]
fn a_reason_is_short() {
    let name = "ä".repeat(100_000);
    let route = route(
        "",
        &format!("{{service: {{name: app, port: {{name: \"{name}\"}}}}}}"),
        SERVICE,
    );
    let why = route.explain_closed().unwrap();
    assert!(why.len() <= 520, "{}", why.len());
}

#[test]
fn an_upstream_says_why_it_has_no_endpoint() {
    let unready = "{addresses: [10.0.0.1], conditions: {ready: false}}";
    let table = [
        (
            SERVICE.to_owned(),
            Some("Service `shop/app` has no endpoint: no EndpointSlice lists an address for its port 80"),
        ),
        (
            slice("web", "[]"),
            Some("Service `shop/app` has no endpoint: no EndpointSlice lists an address for its port 80"),
        ),
        (
            slice("other", "[{addresses: [10.0.0.1]}]"),
            Some(
                "Service `shop/app` has no endpoint for its port 80: its EndpointSlices list addresses for other ports only",
            ),
        ),
        (
            slice("web", &format!("[{unready}]")),
            Some("the one endpoint of Service `shop/app`, port 80, is not ready"),
        ),
        (
            slice(
                "web",
                &format!("[{unready}, {{addresses: [10.0.0.2], conditions: {{ready: false}}}}]"),
            ),
            Some("none of the 2 endpoints of Service `shop/app`, port 80, is ready"),
        ),
        (slice("web", "[{addresses: [10.0.0.1]}]"), None),
    ];
    for (objects, expected) in table {
        let route = route("", BACKEND, &objects);
        let Action::Forward(upstream) = &route.action else {
            panic!("{objects}: {:?}", route.action);
        };
        let said = upstream.explain_none();
        match expected {
            Some(expected) => assert!(said.as_deref().unwrap().starts_with(expected), "{said:?}"),
            None => assert_eq!(said, None),
        }
    }
}

#[test]
fn an_endpoint_has_the_name_of_its_pod() {
    let endpoints = "[{addresses: [10.0.0.9], targetRef: {kind: Pod, name: app-b}}, \
                     {addresses: [10.0.0.1], targetRef: {kind: Pod, name: app-a}}, {addresses: [10.0.0.5]}]";
    let route = route("", BACKEND, &slice("web", endpoints));
    let Action::Forward(upstream) = &route.action else {
        panic!("{:?}", route.action);
    };
    let pod = |address: &str| upstream.pod(address.parse().unwrap());
    assert_eq!(pod("10.0.0.1:8080"), Some("app-a"));
    assert_eq!(pod("10.0.0.9:8080"), Some("app-b"));
    assert_eq!(pod("10.0.0.5:8080"), None);
    assert_eq!(pod("10.0.0.1:80"), None);
}
