//! Which Ingresses are ours, by class.

use gateway_tests::{Gateway, gateway, get};
use serde_json::json;

use crate::api_server;
use crate::apiserver::until;
use crate::objects::{apps, ingress_with, rule};

const DOOR: &str = "external-http";

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
    for host in hosts {
        let mut object = ingress_with(
            host,
            DOOR,
            &json!({ "rules": [rule(&format!("{host}.test"), &[("/", "Prefix", "app")])] }),
        );
        match host {
            "ours" => object["spec"]["ingressClassName"] = "blastdoor".into(),
            "theirs" => object["spec"]["ingressClassName"] = "nginx".into(),
            "missing" => object["spec"]["ingressClassName"] = "some-invalid-class-name".into(),
            "annotated" => {
                object["metadata"]["annotations"] = json!({ "kubernetes.io/ingress.class": "blastdoor" });
            }
            _ => {}
        }
        server.create(&object);
    }
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
    let published = |host: &str| {
        let path = format!("/apis/networking.k8s.io/v1/namespaces/default/ingresses/{host}");
        let (_, ingress) = server.request("GET", &path, None);
        !ingress["status"]["loadBalancer"]["ingress"].is_null()
    };

    let gateway = start("named", "ingress_class = [\"blastdoor\"]");
    assert_eq!(statuses(&gateway), [200, 404, 404, 404, 200]);
    until("what is served is published", || {
        published("ours") && published("annotated")
    });
    // Written in one go with those, if they were to be.
    assert_eq!(["theirs", "missing", "none"].map(published), [false; 3]);
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
    assert_eq!(["theirs", "missing"].map(published), [false; 2]);
    let warnings =
        |gateway: &Gateway| gateway.metric("blastdoor_config_problems", &[("severity", "warning")]);
    assert_eq!(warnings(&gateway), 0.0, "{}", gateway.stderr());
    drop(gateway);

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
}
