//! Which Ingresses the gateway serves, by class.

use std::collections::BTreeSet;

use gateway_tests::{Gateway, gateway, get};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::until;
use crate::objects::{apps, ingress_with, rule};

const DOOR: &str = "external-http";

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
    let log = gateway.stderr();
    let told =
        "IngressClass nginx spec.controller: the class belongs to the controller `k8s.io/ingress-nginx`";
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
