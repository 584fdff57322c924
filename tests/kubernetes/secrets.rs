//! Which Secrets are read, and what is reported about those that are not.

use gateway_tests::{Gateway, gateway};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::objects::ingress;

const DOOR: &str = "external-https";

fn certificate(namespace: &str, name: &str, host: &str) -> Value {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": name, "namespace": namespace },
        "stringData": {
            "tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem(), "ca.crt": made.cert.pem()
        }
    })
}

fn with_certificate(name: &str, secret: &str) -> Value {
    let mut object = ingress(name, DOOR, &format!("{name}.test"), "app");
    object["spec"]["tls"] = json!([{ "hosts": [format!("{name}.test")], "secretName": secret }]);
    object
}

fn is_served(gateway: &Gateway, secret: &str) -> bool {
    gateway.metric("blastdoor_certificate_expiry_seconds", &[("secret", secret)]) > 0.0
}

/// What is reported about the Secrets of an Ingress.
fn told(server: &ApiServer, name: &str) -> Vec<String> {
    let (_, list) = server.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events", None);
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let about = items
        .iter()
        .filter(|event| event["regarding"]["name"] == name && event["reason"] == "CertificateUnusable");
    about
        .map(|event| event["note"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn secrets_of_a_door_are_read_without_an_ingress_that_names_one() {
    let server = api_server!();
    server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "edge" } }));
    server.create(&certificate("edge", "default", "a.test"));
    server.create(&certificate("edge", "clients", "b.test"));
    let door = "tls = { default_certificate = { secret = \"edge/default\" }, client_auth = { mode = \"optional\", ca = { secret = \"edge/clients\" } } }";
    let config = server.user_with_all_rights("gateway");
    let with = |source: &str| gateway!().cluster(&config).source(source).door(DOOR, door);
    for source in [
        "",
        "secrets = \"named\"",
        "secrets = \"cluster\"",
        // In a namespace that is not watched.
        "secrets = \"auto\"\nnamespaces = [\"default\"]",
        "secrets = \"cluster\"\nnamespaces = [\"default\"]",
    ] {
        let gateway = with(source).start();
        assert!(
            is_served(&gateway, "edge/default"),
            "{source}: {}",
            gateway.stderr()
        );
        let errors = gateway.metric("blastdoor_config_problems", &[("severity", "error")]);
        assert_eq!(errors, 0.0, "{source}: {}", gateway.stderr());
    }
    let refused = with("secrets = \"none\"").run(&["check"]);
    assert_eq!(refused.status, 2, "{}", refused.stderr);
    for key in ["tls.default_certificate", "tls.client_auth.ca"] {
        let key = format!("listeners.{DOOR}.{key}");
        assert!(refused.stderr.contains(&key), "{key}: {}", refused.stderr);
    }
}

#[test]
fn a_secret_that_is_not_read_is_not_reported_as_missing() {
    let server = api_server!();
    for (name, created) in [("first", "2020"), ("second", "2021"), ("third", "2022")] {
        server.create(&certificate("default", name, &format!("{name}.test")));
        let mut object = with_certificate(name, name);
        object["metadata"]["creationTimestamp"] = format!("{created}-01-01T00:00:00Z").into();
        server.create(&object);
        // The API server writes the time itself, in whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
    server.create(&with_certificate("lost", "no-such-secret"));
    let tls = "tls = { default_certificate = \"self-signed\" }";
    let start = |user: &str, source: &str| {
        gateway!()
            .cluster(&server.user_with_all_rights(user))
            .source(&format!("{source}\ninstance = \"{user}\""))
            .door(DOOR, tls)
            .start()
    };
    let few = start("few", "most_followed = 2");
    assert!(
        is_served(&few, "default/first") && is_served(&few, "default/second"),
        "{}",
        few.stderr()
    );
    assert!(!is_served(&few, "default/third"));
    for name in ["third", "lost"] {
        until("it is said of the Ingress", || !told(&server, name).is_empty());
        let note = told(&server, name).remove(0);
        assert!(
            note.contains("is not read") && note.contains("most_followed"),
            "{note}"
        );
        assert!(!note.contains("does not exist"), "{note}");
    }
    assert_eq!(told(&server, "first"), [""; 0]);
    few.says("2 Secrets and ConfigMaps are not read, because at most 2 are watched");
    drop(few);

    // Room for all: one is served, and the problem of the other is the true one.
    let all = start("all", "most_followed = 4");
    assert!(is_served(&all, "default/third"), "{}", all.stderr());
    until("it is said of the Ingress", || {
        told(&server, "lost")
            .iter()
            .any(|note| note.contains("does not exist"))
    });
    drop(all);

    // None may be read.
    let none = start("none", "secrets = \"none\"");
    none.until("it is said", |gateway| {
        gateway
            .stderr()
            .contains("Secret `default/first` is not read, because of `secrets =")
    });
    assert!(
        !none.stderr().contains("Secret `default/first` does not exist"),
        "{}",
        none.stderr()
    );
}
