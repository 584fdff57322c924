//! Middlewares of Traefik at an API server: without their definition, without the right to read them, and in every order.

use std::sync::atomic::{AtomicBool, Ordering};

use gateway_tests::{Client, Finally, gateway, get};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::backend::Backend;
use crate::objects::{app, ingress};
use crate::rights::{give, rule};

const DOOR: &str = "external-http";

/// What a cluster needs to keep Middlewares; Traefik's own definition also says what each kind has.
pub const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: middlewares.traefik.io}
spec:
  group: traefik.io
  scope: Namespaced
  names: {kind: Middleware, listKind: MiddlewareList, plural: middlewares, singular: middleware}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

/// Defines Middlewares, and waits until they can be made.
pub fn define(server: &ApiServer) {
    server.apply(DEFINITION);
    until("Middlewares can be made", || {
        let path = "/apis/traefik.io/v1alpha1/namespaces/default/middlewares";
        server.request("GET", path, None).0 == 200
    });
}

fn middleware(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "traefik.io/v1alpha1", "kind": "Middleware",
        "metadata": { "name": name, "namespace": "default" }, "spec": spec
    })
}

/// An Ingress that names a Middleware of its own name.
fn naming(name: &str) -> Value {
    let mut object = ingress(name, DOOR, &format!("{name}.test"), "app");
    let named = format!("default-{name}@kubernetescrd");
    object["metadata"]["annotations"] = json!({ "traefik.ingress.kubernetes.io/router.middlewares": named });
    object
}

#[test]
fn a_definition_that_is_missing_closes_those_that_name_one() {
    let server = api_server!();
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    server.create(&ingress("plain", DOOR, "plain.test", "app"));
    server.create(&naming("guarded"));
    let gateway = gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .start();
    let status = |host: &str| get(gateway.door(DOOR), host, "/").status;
    assert_eq!((status("plain.test"), status("guarded.test")), (200, 503));
    gateway.says("install its definition");
    // It arrives, and the Middleware with it. That is noticed within half a minute.
    define(&server);
    server.create(&middleware(
        "guarded",
        &json!({ "headers": { "customResponseHeaders": { "X-Team": "shop" } } }),
    ));
    until("it is served", || status("guarded.test") == 200);
    let served = get(gateway.door(DOOR), "guarded.test", "/");
    assert!(
        served.head.to_ascii_lowercase().contains("x-team: shop"),
        "{}",
        served.head
    );
    assert_eq!(status("plain.test"), 200);
    // With the definition goes every Middleware.
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/middlewares.traefik.io";
    assert_eq!(server.request("DELETE", path, None).0, 200);
    until("it is closed", || status("guarded.test") == 503);
    assert_eq!(status("plain.test"), 200);
}

#[test]
fn a_missing_right_is_told_to_those_that_name_one() {
    let server = api_server!();
    define(&server);
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    server.create(&ingress("plain", DOOR, "plain.test", "app"));
    server.create(&middleware(
        "guarded",
        &json!({ "addPrefix": { "prefix": "/a" } }),
    ));
    let read = ["list", "watch"];
    let mut rules = vec![
        rule("networking.k8s.io", "ingresses", &read),
        rule("networking.k8s.io", "ingressclasses", &read),
        rule("discovery.k8s.io", "endpointslices", &read),
        rule("", "services", &read),
    ];
    give(&server, "gateway", &rules);
    let gateway = gateway!().cluster(&server.user("gateway")).start();
    let status = |host: &str| get(gateway.door(DOOR), host, "/").status;
    let named = r#"resources: [\"middlewares\"], verbs: [\"list\", \"watch\"]"#;
    assert_eq!(status("plain.test"), 200);
    assert!(
        !gateway.stderr().contains(named),
        "nobody needs it: {}",
        gateway.stderr()
    );
    server.create(&naming("guarded"));
    until("the rule is named", || gateway.stderr().contains(named));
    until("it is closed", || status("guarded.test") == 503);
    rules.push(rule("traefik.io", "middlewares", &read));
    give(&server, "gateway", &rules);
    until("the right is noticed", || status("guarded.test") == 200);
}

/// One that is nested deeper than parsers go is closed, named, and hides no other: neither from a gateway that starts nor
/// from one that runs.
#[test]
fn one_that_is_nested_too_deep_hides_no_other() {
    let server = api_server!();
    define(&server);
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    let deep = |levels| (0..levels).fold(json!("x"), |inner, _| json!([inner]));
    let plugin = |levels| json!({ "plugin": { "x": { "y": deep(levels) } } });
    let path = "/apis/traefik.io/v1alpha1/namespaces/default/middlewares";
    let put = |levels| {
        let (status, said) = server.request("POST", path, Some(&middleware("deep", &plugin(levels))));
        assert!(status == 201, "{status} {said}");
    };
    let prefix = |to: &str| middleware("guarded", &json!({ "addPrefix": { "prefix": to } }));
    server.create(&prefix("/a"));
    server.create(&naming("guarded"));
    server.create(&naming("deep"));
    put(300);
    let user = server.user_with_all_rights("gateway");
    let gateway = gateway!().cluster(&user).start();
    let answer = |host: &str| get(gateway.door(DOOR), host, "/");
    assert_eq!(
        (answer("guarded.test").status, answer("deep.test").status),
        (200, 503)
    );
    gateway.says("nested deeper than 100 levels");
    // Another while it runs, and a change of the other one behind it.
    assert_eq!(server.request("DELETE", &format!("{path}/deep"), None).0, 200);
    put(400);
    let other = server.request("DELETE", &format!("{path}/guarded"), None).0;
    assert_eq!(other, 200);
    until("it is closed", || answer("guarded.test").status == 503);
    server.create(&prefix("/b"));
    until("it is served", || answer("guarded.test").status == 200);
    assert_eq!(answer("deep.test").status, 503);
}

/// An Ingress, the Middleware that it names, the Secret that this names, and the backend, in every order: nobody gets through
/// without a password, and everybody with it when all is there.
#[test]
fn middlewares_may_arrive_in_every_order() {
    let server = api_server!();
    define(&server);
    let backend = Backend::start("app");
    let gateway = gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .log("access = \"off\"")
        .start();
    let door = gateway.door(DOOR);
    let mut connection = server.connection();
    for number in 0..24_usize {
        let mut rest = vec![0, 1, 2, 3];
        let order = [number / 6, number / 2 % 3, number % 2, 0].map(|at| rest.remove(at));
        let name = format!("order{number}");
        let host = format!("{name}.test");
        let mut named = naming(&name);
        named["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = name.as_str().into();
        let users = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": "default" },
            "stringData": { "auth": "bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=" }
        });
        let [service, slice] = app(&name, &backend);
        let parts = [
            vec![named],
            vec![middleware(&name, &json!({ "basicAuth": { "secret": name } }))],
            vec![users],
            vec![service, slice],
        ];
        let stop = AtomicBool::new(false);
        let with_password = || {
            let request =
                format!("GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic Ym9iOnBhc3N3b3Jk\r\n\r\n");
            Client::connect(door)
                .request(request)
                .map(|response| response.status)
        };
        let seen = std::thread::scope(|scope| {
            let _ends = Finally(&stop);
            let watching = scope.spawn(|| {
                let mut seen = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let status = get(door, &host, "/").status;
                    if seen.last() != Some(&status) {
                        seen.push(status);
                    }
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                seen
            });
            for part in order {
                for object in &parts[part] {
                    connection.create(object);
                }
            }
            until(&format!("{name} is served"), || with_password() == Some(200));
            stop.store(true, Ordering::SeqCst);
            watching.join().unwrap()
        });
        assert!(
            seen.iter().all(|status| [404, 503, 401].contains(status)),
            "{order:?}: {seen:?}"
        );
    }
}
