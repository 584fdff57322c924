//! Which Ingresses the gateway serves, by class.

use std::collections::BTreeSet;

use gateway_tests::{Gateway, gateway, get};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::until;
use crate::objects::{apps, ingress_with, rule};

const DOOR: &str = "external-http";
const INSIDE: &str = "internal-http";

fn of_no_class(name: &str) -> Value {
    let rules = [rule(&format!("{name}.test"), &[("/", "Prefix", "app")])];
    ingress_with(name, DOOR, &json!({ "rules": rules }))
}

fn of_class(name: &str, class: &str) -> Value {
    let mut object = of_no_class(name);
    object["spec"]["ingressClassName"] = class.into();
    object
}

#[test]
fn ingress_classes() {
    let server = api_server!();
    let _apps = apps(&server, &["app"]);
    let class = |name: &str, controller: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": { "name": name, "annotations": { "ingressclass.kubernetes.io/is-default-class": "false" } },
            "spec": { "controller": controller }
        })
    };
    server.create(&class("blastdoor", "blastdoor.dev/gateway"));
    server.create(&class("nginx", "k8s.io/ingress-nginx"));
    let hosts = ["ours", "theirs", "missing", "none", "annotated"];
    server.create(&of_class("ours", "blastdoor"));
    server.create(&of_class("theirs", "nginx"));
    server.create(&of_class("missing", "some-invalid-class-name"));
    server.create(&of_no_class("none"));
    let mut annotated = of_no_class("annotated");
    annotated["metadata"]["annotations"] = json!({ "kubernetes.io/ingress.class": "blastdoor" });
    server.create(&annotated);
    let start = |user: &str, classes: &str| {
        gateway!()
            .cluster(&server.user_with_all_rights(user))
            .source(classes)
            .env("POD_NAME", user)
            .door(DOOR, "publish = { hostname = \"lb.example.com\" }")
            .start()
    };
    let statuses =
        |gateway: &Gateway| hosts.map(|host| get(gateway.door(DOOR), &format!("{host}.test"), "/").status);
    let published = |host: &str| !server.published(host).is_null();

    // It holds the Lease until the end of the test.
    let gateway = start("named", "ingress_class = [\"blastdoor\"]");
    assert_eq!(statuses(&gateway), [200, 404, 404, 404, 200]);
    until("what is served is published", || {
        published("ours") && published("annotated")
    });
    // An Ingress without a class belongs to the default class.
    let default =
        json!({ "metadata": { "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } } });
    let path = "/apis/networking.k8s.io/v1/ingressclasses";
    let patch = |name: &str| {
        server
            .request("PATCH", &format!("{path}/{name}"), Some(&default))
            .0
    };
    assert_eq!(patch("blastdoor"), 200);
    gateway.until_status(DOOR, "none.test", "/", 200);
    assert_eq!(statuses(&gateway), [200, 404, 404, 200, 200]);
    until("it is published as well", || published("none"));
    let warnings =
        |gateway: &Gateway| gateway.metric("blastdoor_config_problems", &[("severity", "warning")]);
    assert_eq!(warnings(&gateway), 0.0, "{}", gateway.stderr());
    let named = gateway;

    // A class of another controller that is named: served, with one warning.
    let gateway = start("both", "ingress_class = [\"blastdoor\", \"nginx\"]");
    assert_eq!(statuses(&gateway), [200, 200, 404, 200, 200]);
    let told =
        "IngressClass nginx spec.controller: the class belongs to the controller `k8s.io/ingress-nginx`";
    let log = gateway.says(told);
    assert_eq!(log.matches(told).count(), 1, "{log}");
    assert_eq!(warnings(&gateway), 1.0, "{log}");
    drop(gateway);

    // Without `ingress_class` the labels alone decide.
    let gateway = start("labels", "");
    assert_eq!(statuses(&gateway), [200; 5]);
    assert_eq!(warnings(&gateway), 0.0, "{}", gateway.stderr());
    drop(gateway);

    // What is not served is not published either. Everything has been written by the time that the last one is.
    server.create(&of_class("last", "blastdoor"));
    until("the last one is published", || published("last"));
    drop(named);
    let written: BTreeSet<String> = server
        .asked_by("named")
        .into_iter()
        .filter(|asked| asked.verb == "patch" && asked.resource == "ingresses/status")
        .map(|asked| asked.name)
        .collect();
    let expected = ["annotated", "last", "none", "ours"].map(str::to_owned);
    assert_eq!(written, BTreeSet::from(expected));
}

/// A door that admits by class alone.
fn by_class(class: &str, hostname: &str) -> String {
    format!(
        "bind = \"127.0.0.1:0\"\nscheme = \"http\"\nworkers = 1\nclasses = [\"{class}\"]\npublish = {{ hostname = \"{hostname}\" }}"
    )
}

/// Users of two installations of ingress-nginx, one for each network, move without touching an Ingress: each class becomes
/// a door.
#[test]
fn two_classes_of_ingress_nginx_are_served_unchanged() {
    let server = api_server!();
    let _apps = apps(&server, &["app"]);
    let class = |name: &str, is_default: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": { "name": name, "annotations": { "ingressclass.kubernetes.io/is-default-class": is_default } },
            "spec": { "controller": format!("k8s.io/{name}") }
        })
    };
    server.create(&class("nginx-public", "false"));
    server.create(&class("nginx-private", "false"));
    let without_label = |mut object: Value| {
        object["metadata"]["labels"] = Value::Null;
        object
    };
    server.create(&without_label(of_class("shop", "nginx-public")));
    server.create(&without_label(of_class("wiki", "nginx-private")));
    server.create(&without_label(of_class("other", "traefik")));
    server.create(&without_label(of_no_class("none")));
    let mut old = without_label(of_no_class("old"));
    old["metadata"]["annotations"] = json!({ "kubernetes.io/ingress.class": "nginx-private" });
    server.create(&old);
    let gateway = gateway!()
        .without(DOOR)
        .without(INSIDE)
        .without("internal-https")
        .without("external-https")
        .door(DOOR, &by_class("nginx-public", "public.example.com"))
        .door(INSIDE, &by_class("nginx-private", "private.example.com"))
        .cluster(&server.user_with_all_rights("classes"))
        .start();
    let hosts = ["shop", "wiki", "other", "none", "old"];
    let statuses =
        |door: &str| hosts.map(|host| get(gateway.door(door), &format!("{host}.test"), "/").status);
    assert_eq!(statuses(DOOR), [200, 404, 404, 404, 404]);
    assert_eq!(statuses(INSIDE), [404, 200, 404, 404, 200]);
    let hostname = |name: &str| server.published(name)[0]["hostname"].clone();
    until("both doors publish what is theirs", || {
        hostname("shop") == "public.example.com"
            && hostname("wiki") == "private.example.com"
            && hostname("old") == "private.example.com"
    });
    // The default class brings what has none; another default class takes it away again.
    let patch = |name: &str, is_default: &str| {
        let patch = json!({ "metadata": { "annotations": { "ingressclass.kubernetes.io/is-default-class": is_default } } });
        let path = format!("/apis/networking.k8s.io/v1/ingressclasses/{name}");
        assert_eq!(server.request("PATCH", &path, Some(&patch)).0, 200);
    };
    patch("nginx-private", "true");
    gateway.until_status(INSIDE, "none.test", "/", 200);
    assert_eq!(statuses(DOOR), [200, 404, 404, 404, 404]);
    until("it is published", || hostname("none") == "private.example.com");
    patch("nginx-private", "false");
    patch("nginx-public", "true");
    gateway.until_status(DOOR, "none.test", "/", 200);
    assert_eq!(statuses(INSIDE), [404, 200, 404, 404, 200]);
    until("it is published where it is now", || {
        hostname("none") == "public.example.com"
    });
    assert!(server.published("other").is_null());
    let warnings = gateway.metric("blastdoor_config_problems", &[("severity", "warning")]);
    assert_eq!(warnings, 0.0, "{}", gateway.stderr());
}
