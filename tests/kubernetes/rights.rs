//! Permissions: the documented ones are sufficient and none is unused; a missing one is named, and noticed when granted.

use std::collections::BTreeSet;

use gateway_tests::{gateway, get};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::backend::Backend;
use crate::objects::{app, ingress};

const DOOR: &str = "external-http";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn manifest(name: &str) -> String {
    let path = format!("{}/../deploy/rbac/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Credentials of the service account of the manifests.
fn service_account(server: &ApiServer) -> std::path::PathBuf {
    let token = server.kubectl(&["create", "token", "blastdoor", "-n", "blastdoor"]);
    server.token("account", token.trim())
}

pub fn rule(group: &str, resource: &str, verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs })
}

/// Gives a user these rights, everywhere.
pub fn give(server: &ApiServer, user: &str, rules: &[Value]) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": user }, "rules": rules
    });
    let path = format!("{RBAC}/clusterroles/{user}");
    let (status, _) = server.request("GET", &path, None);
    if status == 200 {
        assert_eq!(server.request("PUT", &path, Some(&role)).0, 200);
        return;
    }
    assert_eq!(
        server
            .request("POST", &format!("{RBAC}/clusterroles"), Some(&role))
            .0,
        201
    );
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": user },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }]
    });
    assert_eq!(
        server
            .request("POST", &format!("{RBAC}/clusterrolebindings"), Some(&binding))
            .0,
        201
    );
}

/// What a role allows, as (group, resource, verb).
fn allowed(server: &ApiServer, path: &str) -> BTreeSet<(String, String, String)> {
    let (_, role) = server.request("GET", &format!("{RBAC}/{path}"), None);
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().unwrap().iter();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut allowed = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    allowed.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    allowed
}

#[test]
fn the_documented_rights_are_sufficient_and_none_is_unused() {
    let server = api_server!();
    server.apply(&manifest("cluster.yaml"));
    crate::middlewares::define(&server);
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    server.create(&ingress("app", DOOR, "a.test", "app"));
    server.create(&ingress("misplaced", "nowhere", "b.test", "app"));
    let gateway = gateway!()
        .cluster(&service_account(&server))
        .env("POD_NAMESPACE", "blastdoor")
        .door(DOOR, "publish = { hostname = \"lb.example.com\" }")
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);
    let user = "system:serviceaccount:blastdoor:blastdoor";
    let asked = || server.asked_by(user);
    let has = |resource: &str, verb: &str| {
        asked()
            .iter()
            .any(|asked| asked.resource == resource && asked.verb == verb)
    };
    until("everything is used", || {
        has("ingresses/status", "patch") && has("events", "create") && has("leases", "update")
    });
    drop(gateway);
    // Watches are logged when they end.
    until("the watches have ended", || {
        has("endpointslices", "watch") && has("ingressclasses", "watch") && has("middlewares", "watch")
    });
    let used: BTreeSet<_> = asked()
        .into_iter()
        .map(|asked| {
            assert!(asked.status < 400 || asked.status == 404, "{asked:?}");
            (asked.group, asked.resource, asked.verb)
        })
        .collect();
    let mut written = allowed(&server, "clusterroles/blastdoor");
    written.extend(allowed(&server, "namespaces/blastdoor/roles/blastdoor"));
    assert_eq!(used, written);
}

#[test]
fn single_namespaces_need_nothing_cluster_wide() {
    let server = api_server!();
    server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }));
    server.apply(&manifest("namespaced.yaml"));
    let backend = Backend::start("app");
    let shop = |object| crate::objects::in_namespace(object, "shop");
    for object in app("app", &backend) {
        server.create(&shop(object));
    }
    server.create(&shop(ingress("app", DOOR, "a.test", "app")));
    server.create(&ingress("elsewhere", DOOR, "b.test", "app"));
    let gateway = gateway!()
        .cluster(&service_account(&server))
        .source("namespaces = [\"shop\"]")
        .env("POD_NAMESPACE", "blastdoor")
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);
    assert_eq!(get(gateway.door(DOOR), "b.test", "/").status, 404);
    let refused: Vec<_> = server
        .asked_by("system:serviceaccount:blastdoor:blastdoor")
        .into_iter()
        .filter(|asked| asked.status == 403)
        .collect();
    assert_eq!(refused, []);
}

#[test]
fn a_missing_permission_is_named_and_noticed_when_granted() {
    let server = api_server!();
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    server.create(&ingress("app", DOOR, "a.test", "app"));
    let read = ["list", "watch"];
    let mut rules = vec![
        rule("networking.k8s.io", "ingresses", &read),
        rule("discovery.k8s.io", "endpointslices", &read),
    ];
    give(&server, "gateway", &rules);
    let gateway = gateway!()
        .cluster(&server.user("gateway"))
        .without_waiting()
        .start();
    // Without Services nothing can be served.
    until("the rule is named", || {
        gateway
            .stderr()
            .contains(r#"resources: [\"services\"], verbs: [\"list\", \"watch\"]"#)
    });
    assert_eq!(gateway.admin("/readyz").0, 503);
    rules.push(rule("", "services", &read));
    give(&server, "gateway", &rules);
    // It asks again after half a minute at the latest.
    until("ready", || gateway.admin("/readyz").0 == 200);
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);

    // Without classes there is one problem, and everything is served.
    let problems = |gateway: &gateway_tests::Gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "warning")])
    };
    assert_eq!(problems(&gateway), 1.0);
    let log = gateway.says("no permission to read ingressclasses");
    assert_eq!(
        log.matches("no permission to read ingressclasses").count(),
        1,
        "{log}"
    );
    rules.push(rule("networking.k8s.io", "ingressclasses", &read));
    give(&server, "gateway", &rules);
    until("the right is noticed", || problems(&gateway) == 0.0);
}

#[test]
fn secrets_are_read_by_name_and_only_when_needed() {
    let server = api_server!();
    let certificate = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let secret = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "name": name, "namespace": "default" },
            "stringData": { "tls.crt": certificate.cert.pem(), "tls.key": certificate.signing_key.serialize_pem() }
        })
    };
    server.create(&secret("wanted"));
    server.create(&secret("unrelated"));
    let mut object = ingress("app", "external-https", "a.test", "app");
    object["spec"]["tls"] = json!([{ "hosts": ["a.test"], "secretName": "wanted" }]);
    server.create(&object);
    let read = ["list", "watch"];
    let mut named = rule("", "secrets", &read);
    named["resourceNames"] = json!(["wanted"]);
    give(
        &server,
        "gateway",
        &[
            rule("networking.k8s.io", "ingresses", &read),
            rule("networking.k8s.io", "ingressclasses", &read),
            rule("discovery.k8s.io", "endpointslices", &read),
            rule("", "services", &read),
            named,
        ],
    );
    let config = server.user("gateway");
    let secrets = || -> Vec<(String, String, u64)> {
        server
            .asked_by("gateway")
            .into_iter()
            .filter(|asked| asked.resource == "secrets")
            .map(|asked| (asked.verb, asked.name, asked.status))
            .collect()
    };

    // No door terminates TLS: no Secret is needed, none is read.
    drop(gateway!().cluster(&config).start());
    assert_eq!(secrets(), []);

    let tls = "tls = { default_certificate = \"self-signed\" }";
    let gateway = gateway!().cluster(&config).door("external-https", tls).start();
    let served = |gateway: &gateway_tests::Gateway, secret: &str| {
        gateway.metric("blastdoor_certificate_expiry_seconds", &[("secret", secret)]) > 0.0
    };
    assert!(served(&gateway, "default/wanted"), "{}", gateway.stderr());
    assert_eq!(secrets(), [("list".to_owned(), "wanted".to_owned(), 200)]);

    // Another Ingress names a Secret that may not be read: a problem names the rule, and the first Ingress is still served.
    let mut other = ingress("other", "external-https", "b.test", "app");
    other["spec"]["tls"] = json!([{ "hosts": ["b.test"], "secretName": "unrelated" }]);
    server.create(&other);
    gateway.until("the rule is named", |gateway| {
        gateway
            .stderr()
            .contains(r#"resources: [\"secrets\"], resourceNames: [\"unrelated\"], verbs"#)
    });
    assert!(served(&gateway, "default/wanted"));
    drop(gateway);

    let all = gateway!()
        .cluster(&server.user_with_all_rights("all"))
        .source("secrets = \"cluster\"")
        .door("external-https", tls)
        .start();
    assert!(served(&all, "default/wanted") && served(&all, "default/unrelated"));
    drop(all);

    let none = gateway!()
        .cluster(&config)
        .source("secrets = \"none\"")
        .door("external-https", "tls = { certificates = \"ingress\" }")
        .run(&["check"]);
    assert_eq!(none.status, 2);
    assert!(none.stderr.contains("source.secrets"), "{}", none.stderr);
}

#[test]
fn without_usable_credentials_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = [("HOME", folder.path().to_str().unwrap()), ("KUBECONFIG", "")];
    let builder = || {
        let builder = gateway!().source("");
        empty
            .iter()
            .fold(builder, |builder, (name, value)| builder.env(name, value))
    };
    let missing = folder.path().join("missing");
    let output = builder().cluster(&missing).run(&["check"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("missing"), "{}", output.stderr);

    std::fs::write(folder.path().join("garbage"), "kind: [").unwrap();
    let output = builder().cluster(&folder.path().join("garbage")).run(&["check"]);
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("garbage") && output.stderr.contains("cannot be used"),
        "{}",
        output.stderr
    );
}

#[test]
fn check_reads_the_cluster_and_writes_nothing() {
    let server = api_server!();
    server.create(&ingress("app", DOOR, "a.test", "missing"));
    let output = gateway!()
        .cluster(&server.user_with_all_rights("checker"))
        .door(DOOR, "publish = { hostname = \"lb.example.com\" }")
        .run(&["check", "-o", "json"]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(found["problems"][0]["object"]["name"], "app");
    let verbs: BTreeSet<String> = server
        .asked_by("checker")
        .into_iter()
        .map(|asked| asked.verb)
        .collect();
    assert!(
        verbs.iter().all(|verb| verb == "list" || verb == "watch"),
        "{verbs:?}"
    );
}
