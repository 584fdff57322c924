//! Permissions: those of the chart are sufficient and none is unused; a missing one is named, and noticed when granted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gateway_tests::{gateway, get};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, Asked, collection, until};
use crate::backend::Backend;
use crate::objects::{app, in_namespace, ingress};
use crate::rendered::gateway_of;

const DOOR: &str = "external-http";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

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

/// What the chart renders with other values, and what it must then be asked for.
struct Scope {
    name: &'static str,
    rendered: &'static str,
    /// Whether doors read the Secrets of Ingresses.
    reads_secrets: bool,
    /// Whether an Ingress names a ConfigMap.
    reads_config_maps: bool,
}

const SCOPES: [Scope; 5] = [
    Scope {
        name: "none",
        rendered: include_str!("rights/none.yaml"),
        reads_secrets: false,
        reads_config_maps: false,
    },
    Scope {
        name: "named",
        rendered: include_str!("rights/named.yaml"),
        reads_secrets: true,
        reads_config_maps: true,
    },
    Scope {
        name: "namespaces",
        rendered: include_str!("rights/namespaces.yaml"),
        reads_secrets: true,
        reads_config_maps: false,
    },
    Scope {
        name: "all",
        rendered: include_str!("rights/all.yaml"),
        reads_secrets: true,
        reads_config_maps: false,
    },
    Scope {
        name: "watched",
        rendered: include_str!("rights/watched.yaml"),
        reads_secrets: true,
        reads_config_maps: false,
    },
];

/// One thing that a role allows.
#[derive(Debug)]
struct Right {
    /// Empty: everywhere.
    namespace: String,
    group: String,
    resource: String,
    verb: String,
    /// Empty: whatever its name.
    object: String,
}

impl Right {
    fn is_used_by(&self, asked: &Asked) -> bool {
        let is_or_any = |ours: &str, theirs: &str| ours.is_empty() || ours == theirs;
        is_or_any(&self.namespace, &asked.namespace)
            && is_or_any(&self.object, &asked.name)
            && (&*self.group, &*self.resource, &*self.verb) == (&*asked.group, &*asked.resource, &*asked.verb)
    }
}

/// What the roles of one rendering allow.
fn rights_of(server: &ApiServer, scope: &str) -> Vec<Right> {
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let (mut rights, mut roles) = (Vec::new(), 0);
    for kind in ["clusterroles", "roles"] {
        let (_, list) = server.request("GET", &format!("{RBAC}/{kind}"), None);
        for role in list["items"].as_array().unwrap() {
            let name = role["metadata"]["name"].as_str().unwrap();
            // What other installations could have too begins with the namespace.
            let own = name.strip_prefix("blastdoor.").unwrap_or(name);
            let is_ours = own == scope || own.starts_with(&format!("{scope}-"));
            if !is_ours {
                continue;
            }
            roles += 1;
            let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
            for rule in role["rules"].as_array().unwrap() {
                let mut objects = texts(&rule["resourceNames"]);
                if objects.is_empty() {
                    objects.push(String::new());
                }
                for (group, resource) in texts(&rule["apiGroups"]).iter().zip(texts(&rule["resources"])) {
                    for verb in texts(&rule["verbs"]) {
                        rights.extend(objects.iter().map(|object| Right {
                            namespace: namespace.to_owned(),
                            group: group.clone(),
                            resource: resource.clone(),
                            verb: verb.clone(),
                            object: object.clone(),
                        }));
                    }
                }
            }
        }
    }
    assert!(roles > 1 && rights.len() > 9, "{scope}: {rights:?}");
    rights
}

fn certificate(namespace: &str, name: &str, host: &str) -> Value {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": name, "namespace": namespace },
        "stringData": { "tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem() }
    })
}

#[test]
fn the_rights_of_the_chart_are_sufficient_and_none_is_unused() {
    let server = api_server!();
    crate::middlewares::define(&server);
    for namespace in ["shop", "blastdoor"] {
        server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
    }
    let shop = |object| in_namespace(object, "shop");
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&shop(object));
    }
    server.create(&certificate("blastdoor", "default", "default.test"));
    server.create(&certificate("shop", "shop-tls", "a.test"));
    server.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "fields", "namespace": "shop" },
        "data": { "X-Team": "shop" }
    }));
    for scope in &SCOPES {
        each_right_is_used(&server, scope);
    }
}

fn each_right_is_used(server: &ApiServer, scope: &Scope) {
    let name = scope.name;
    server.apply(scope.rendered);
    let door = if scope.reads_secrets {
        "external-https"
    } else {
        DOOR
    };
    let mut ingresses = vec![
        ingress("app", DOOR, "a.test", "app"),
        // Nobody serves it, which an Event tells.
        ingress("misplaced", "nowhere", "b.test", "app"),
    ];
    if scope.reads_secrets {
        let mut secure = ingress("secure", door, "c.test", "app");
        secure["spec"]["tls"] = json!([{ "hosts": ["a.test"], "secretName": "shop-tls" }]);
        ingresses.push(secure);
    }
    if scope.reads_config_maps {
        ingresses[0]["metadata"]["annotations"] =
            json!({ "nginx.ingress.kubernetes.io/custom-headers": "shop/fields" });
    }
    let ingresses = ingresses.into_iter().map(|object| in_namespace(object, "shop"));
    let ingresses: Vec<Value> = ingresses.collect();
    for object in &ingresses {
        server.create(object);
    }
    let token = server.kubectl(&["create", "token", name, "-n", "blastdoor"]);
    let account = server.token(name, token.trim());
    let gateway = gateway_of(scope.rendered, &account)
        .env("POD_NAMESPACE", "blastdoor")
        .env("POD_NAME", &format!("{name}-x2x4z"))
        .start();
    let answer = get(gateway.door(DOOR), "a.test", "/");
    assert_eq!(answer.status, 200, "{name}: {}", gateway.stderr());
    assert_eq!(answer.field("x-team").is_some(), scope.reads_config_maps);
    let rights = rights_of(server, name);
    let user = format!("system:serviceaccount:blastdoor:{name}");
    let unused = |but: &str| -> Vec<String> {
        let asked = server.asked_by(&user);
        let unused = rights
            .iter()
            .filter(|right| right.verb != but && !asked.iter().any(|asked| right.is_used_by(asked)));
        unused.map(|right| format!("{right:?}")).collect()
    };
    let used_but = |but: &str| {
        let started = Instant::now();
        while !unused(but).is_empty() && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(unused(but), [""; 0], "{name}");
    };
    used_but("watch");
    drop(gateway);
    // Watches are logged when they end.
    used_but("");
    let refused: Vec<Asked> = server
        .asked_by(&user)
        .into_iter()
        .filter(|asked| asked.status == 403)
        .collect();
    assert_eq!(refused, [], "{name}");
    for object in &ingresses {
        let path = format!(
            "{}/{}",
            collection(object),
            object["metadata"]["name"].as_str().unwrap()
        );
        assert_eq!(server.request("DELETE", &path, None).0, 200);
    }
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
