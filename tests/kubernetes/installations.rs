//! Several installations in one cluster: each has its own Lease, and none removes what another has written.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gateway_tests::{Builder, Gateway, gateway, scaled};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::objects::ingress;

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

/// An installation with its own user, whose one door admits the labels `only` and `both`.
fn installation(server: &ApiServer, name: &str, only: &str, publish: &str) -> Builder {
    let door = |name: &str| format!("selector = \"expose in ({name}, both)\"\n{publish}");
    ["internal-http", "internal-https", "external-https"]
        .into_iter()
        .fold(gateway!(), Builder::without)
        .cluster(&server.user_with_all_rights(name))
        .source(&format!("instance = \"{name}\""))
        .env("POD_NAME", name)
        .door("external-http", &door(only))
}

fn patches(server: &ApiServer, user: &str) -> usize {
    server.count(user, "patch", "ingresses/status")
}

fn overwrite(server: &ApiServer, name: &str, addresses: &Value) {
    let status = json!({ "status": { "loadBalancer": { "ingress": addresses } } });
    let (code, answer) = server.request("PATCH", &format!("{INGRESSES}/{name}/status"), Some(&status));
    assert_eq!(code, 200, "{answer}");
}

fn relabel(server: &ApiServer, name: &str, expose: &str) {
    let labels = json!({ "metadata": { "labels": { "expose": expose } } });
    assert_eq!(
        server
            .request("PATCH", &format!("{INGRESSES}/{name}"), Some(&labels))
            .0,
        200
    );
}

fn holder(server: &ApiServer, namespace: &str, lease: &str) -> Value {
    let (_, lease) = server.request("GET", &format!("{LEASES}/{namespace}/leases/{lease}"), None);
    lease["spec"]["holderIdentity"].clone()
}

/// What is written about an Ingress: reason, and who wrote it.
fn events(server: &ApiServer, name: &str) -> BTreeSet<(String, String)> {
    let (_, list) = server.request("GET", EVENTS, None);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let about = items.iter().filter(|event| event["regarding"]["name"] == name);
    about
        .map(|event| (text(&event["reason"]), text(&event["reportingInstance"])))
        .collect()
}

/// Two that publish, and a third that publishes nothing, over the same Ingresses.
#[test]
fn installations_side_by_side_write_once_and_then_stop() {
    let server = api_server!();
    let other = json!([{ "hostname": "somebody.else" }]);
    let expected = [
        (
            "blue-only",
            "blue",
            json!([{ "ip": "10.0.0.1" }, { "hostname": "shared.example.com" }]),
        ),
        (
            "green-only",
            "green",
            json!([{ "ip": "10.0.0.2" }, { "hostname": "shared.example.com" }]),
        ),
        (
            "shared",
            "both",
            json!([{ "ip": "10.0.0.1" }, { "ip": "10.0.0.2" }, { "hostname": "shared.example.com" }]),
        ),
        ("of-the-third", "silent", Value::Null),
        ("elsewhere", "nginx", other.clone()),
    ];
    for (name, expose, _) in &expected {
        server.create(&ingress(name, expose, &format!("{name}.test"), "app"));
    }
    overwrite(&server, "elsewhere", &other);
    // One publishes the addresses of a Service, so that all kinds of addresses are there.
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "gateway", "namespace": "default" },
        "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] }
    });
    server.create(&service);
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "10.0.0.2" }, { "hostname": "shared.example.com" }] } } });
    let path = "/api/v1/namespaces/default/services/gateway/status";
    assert_eq!(server.request("PATCH", path, Some(&status)).0, 200);

    let users = ["blue", "green", "silent"];
    let blue = installation(&server, "blue", "blue", "publish = { ip = [\"10.0.0.1\"] }")
        .door("internal-http", "bind = \"127.0.0.1:0\"\nscheme = \"http\"\nworkers = 1\nselector = \"expose in (blue, both)\"\noverlap = true\npublish = { hostname = \"shared.example.com\" }")
        .door("external-http", "overlap = true");
    let green = installation(
        &server,
        "green",
        "green",
        "publish = { service = \"default/gateway\" }",
    );
    let silent = installation(&server, "silent", "silent, blue, green", "");
    let gateways: Vec<Gateway> = [blue, green, silent].map(Builder::start).into();
    for user in users {
        until("each holds its Lease", || {
            holder(&server, "default", user) == user
        });
    }
    let all_right = || {
        expected
            .iter()
            .all(|(name, _, addresses)| server.published(name) == *addresses)
    };
    until("every status is right", all_right);
    let calm = Instant::now();
    // A minute for pending writes; after that there are none.
    std::thread::sleep(Duration::from_secs(scaled("seconds of settling", 10, 60) as u64));
    assert!(all_right());
    let writes = || -> usize {
        let writing = ["patch", "update", "create", "delete"];
        users
            .iter()
            .flat_map(|user| server.asked_by(user))
            .filter(|asked| asked.resource != "leases" && writing.contains(&&*asked.verb))
            .count()
    };
    let before = writes();
    let long = Duration::from_secs(scaled("seconds beside each other", 20, 600) as u64);
    let mut looks = 0;
    while calm.elapsed() < long {
        for (name, _, addresses) in &expected {
            assert_eq!(server.published(name), *addresses, "{name}");
            looks += 1;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let patched = users.map(|user| patches(&server, user));
    eprintln!(
        "{long:?}: {looks} looks, all right; patches of {users:?}: {patched:?}; {before} writes at first, {} afterwards",
        writes() - before
    );
    assert_eq!(writes(), before, "nothing changes, nothing is written");
    assert_eq!(patched[2], 0, "who publishes nothing writes nothing");
    assert!(patched.iter().all(|count| *count <= 4), "{patched:?}");
    drop(gateways);
}

#[test]
fn an_installation_withdraws_only_its_own_addresses() {
    let server = api_server!();
    let name = "app";
    server.create(&ingress(name, "both", "app.test", "app"));
    let start = |user: &str, addresses: &str| {
        installation(
            &server,
            user,
            user,
            &format!("publish = {{ ip = [{addresses}] }}"),
        )
        .start()
    };
    let blue = start("blue", "\"10.0.0.1\", \"10.0.0.9\"");
    let _green = start("green", "\"10.0.0.2\", \"10.0.0.9\"");
    let is = |addresses: &[&str]| {
        let expected: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
        server.published(name) == Value::from(expected)
    };
    let ends = |addresses: &[&str]| until("the status follows", || is(addresses));
    ends(&["10.0.0.1", "10.0.0.2", "10.0.0.9"]);
    // Somebody else adds one beside them.
    overwrite(
        &server,
        name,
        &json!([{ "ip": "10.0.0.1" }, { "ip": "10.0.0.2" }, { "ip": "10.0.0.7" }, { "ip": "10.0.0.9" }]),
    );

    // While it is away its address becomes another one.
    drop(blue);
    let blue = start("blue", "\"10.0.0.3\", \"10.0.0.9\"");
    ends(&["10.0.0.2", "10.0.0.3", "10.0.0.7", "10.0.0.9"]);
    // It leaves the door of one: an address that the other also publishes never disappears.
    let watched = Instant::now();
    relabel(&server, name, "green");
    until("the status follows", || {
        let now = server.published(name);
        assert!(
            now.to_string().contains("10.0.0.9"),
            "{now} after {:?}",
            watched.elapsed()
        );
        is(&["10.0.0.2", "10.0.0.7", "10.0.0.9"])
    });
    drop(blue);
    relabel(&server, name, "nowhere");
    ends(&["10.0.0.7"]);
}

#[test]
fn an_overwritten_status_is_corrected_without_a_write_loop() {
    let server = api_server!();
    for name in ["app", "fought"] {
        server.create(&ingress(name, "blue", &format!("{name}.test"), "app"));
    }
    let _gateway = installation(&server, "blue", "blue", "publish = { ip = [\"10.0.0.1\"] }").start();
    let has_ours = |name: &str| server.published(name).to_string().contains("10.0.0.1");
    until("the status is written", || has_ours("app") && has_ours("fought"));
    for addresses in [json!(null), json!([{ "hostname": "somebody.else" }]), json!([])] {
        overwrite(&server, "app", &addresses);
        let started = Instant::now();
        until("it is put right", || has_ours("app"));
        let took = started.elapsed();
        eprintln!("overwritten with {addresses}: put right after {took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    assert_eq!(server.published("app"), json!([{ "ip": "10.0.0.1" }]));

    // Somebody keeps overwriting: their address stays, the gateway's comes back, but not after every write.
    let before = patches(&server, "blue");
    let seconds = scaled("seconds of a fight", 20, 120) as u64;
    let (started, mut last_right, mut longest, mut fights) =
        (Instant::now(), Instant::now(), Duration::ZERO, 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        overwrite(&server, "fought", &json!([{ "hostname": "somebody.else" }]));
        fights += 1;
        let until = Instant::now() + Duration::from_millis(100);
        while Instant::now() < until {
            if has_ours("fought") {
                last_right = Instant::now();
            }
            longest = longest.max(last_right.elapsed());
        }
    }
    let written = patches(&server, "blue") - before;
    eprintln!("{fights} overwritten in {seconds} s: {written} writes, wrong for {longest:?} at most");
    assert!(written as u64 <= 4 + seconds / 7, "{written}");
    until("it is put right at last", || has_ours("fought"));
    assert_eq!(
        server.published("fought"),
        json!([{ "ip": "10.0.0.1" }, { "hostname": "somebody.else" }])
    );
}

#[test]
fn each_has_a_lease_of_its_own() {
    let server = api_server!();
    server.create(&ingress("app", "both", "app.test", "app"));
    let start = |pod: &str, lines: &str, address: &str| {
        installation(
            &server,
            pod,
            "none",
            &format!("publish = {{ ip = [\"{address}\"] }}"),
        )
        .source(lines)
        .start()
    };
    // One is named; the others are named by their pods: a Deployment, a DaemonSet, neither.
    let pods = [
        ("a", "instance = \"edge\"", "edge", "10.0.0.1"),
        ("internal-7d9f8b6c5-x2x4z", "", "internal", "10.0.0.2"),
        ("external-hwtqz", "", "external", "10.0.0.3"),
        ("d", "", "blastdoor", "10.0.0.4"),
    ];
    let _gateways = pods.map(|(pod, lines, _, address)| start(pod, lines, address));
    for (pod, _, lease, _) in pods {
        until("each holds its own", || holder(&server, "default", lease) == pod);
    }
    let all: Vec<Value> = pods
        .iter()
        .map(|(.., address)| json!({ "ip": address }))
        .collect();
    until("each writes", || {
        server.published("app") == Value::from(all.clone())
    });

    // In another namespace one may have the same name.
    server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "edge" } }));
    let _fifth = installation(&server, "e", "none", "publish = { ip = [\"10.0.0.5\"] }")
        .source("")
        .env("POD_NAMESPACE", "edge")
        .start();
    until("it holds its own", || holder(&server, "edge", "blastdoor") == "e");
    until("it writes beside the others", || {
        server
            .published("app")
            .as_array()
            .is_some_and(|addresses| addresses.len() == 5)
    });
}

#[test]
fn without_the_right_to_its_own_lease_it_uses_the_default_one_and_reports_it() {
    let server = api_server!();
    let rbac = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes/permissions/cluster.yaml");
    server.apply(&std::fs::read_to_string(rbac).unwrap());
    server.create(&ingress("app", "both", "app.test", "app"));
    let token = server.kubectl(&["create", "token", "blastdoor", "-n", "blastdoor"]);
    let start = |source: &str| {
        installation(&server, "edge", "none", "publish = { ip = [\"10.0.0.1\"] }")
            .cluster(&server.token("account", token.trim()))
            .source(source)
            .env("POD_NAME", "edge-hwtqz")
            .env("POD_NAMESPACE", "blastdoor")
            .start()
    };
    let gateway = start("");
    until("it holds the usual one", || {
        holder(&server, "blastdoor", "blastdoor") == "edge-hwtqz"
    });
    gateway.says("no permission to hold the Lease `edge`");
    let log = gateway.says("counts as `blastdoor`");
    assert!(log.contains(r#"resourceNames: [\"edge\"]"#), "{log}");
    until("it writes", || !server.published("app").is_null());
    drop(gateway);

    // A configured name is not replaced by another.
    let gateway = start("instance = \"edge\"");
    gateway.until("the rule is named", |gateway| {
        gateway
            .stderr()
            .contains("so neither status nor Events are written")
    });
    assert!(!gateway.stderr().contains("counts as"), "{}", gateway.stderr());
}

#[test]
fn an_ingress_that_others_serve_is_not_reported_as_unserved() {
    let server = api_server!();
    for (name, expose) in [
        ("inside", "internal-http"),
        ("outside", "external-http"),
        ("misplaced", "external-htp"),
    ] {
        server.create(&ingress(name, expose, &format!("{name}.test"), "app"));
    }
    let mut theirs = ingress("theirs", "somewhere", "theirs.test", "app");
    theirs["spec"]["ingressClassName"] = "nginx".into();
    theirs["metadata"]["annotations"] = json!({ "nginx.ingress.kubernetes.io/no-such-key": "x" });
    server.create(&theirs);
    // Another installation publishes an address for it, so it is served somewhere.
    server.create(&ingress("published", "unheard-of", "published.test", "app"));
    overwrite(&server, "published", &json!([{ "ip": "10.9.9.9" }]));

    // One configuration, of which each installation opens one door.
    let start = |name: &str, door: &str| {
        gateway!()
            .cluster(&server.user_with_all_rights(name))
            .source("ingress_class = [\"blastdoor\"]")
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", name)
            .option("--doors", door)
    };
    for name in ["internal", "external"] {
        server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    }
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": "blastdoor", "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } },
        "spec": { "controller": "blastdoor.dev/gateway" }
    });
    server.create(&class);
    let gateways = [
        start("internal", "internal-http"),
        start("external", "external-http"),
    ]
    .map(Builder::start);
    until("both tell of what is served nowhere", || {
        let writers: Vec<String> = events(&server, "misplaced")
            .into_iter()
            .map(|(_, writer)| writer)
            .collect();
        writers == ["external/blastdoor/external", "internal/blastdoor/internal"]
    });
    std::thread::sleep(Duration::from_secs(3));
    let reasons = |name: &str| -> BTreeSet<String> {
        events(&server, name)
            .into_iter()
            .map(|(reason, _)| reason)
            .collect()
    };
    assert_eq!(
        reasons("misplaced"),
        BTreeSet::from(["UnknownLabelValue".to_owned()])
    );
    assert_eq!(reasons("theirs"), BTreeSet::new());
    assert_eq!(reasons("published"), BTreeSet::new());
    // Their Service is missing, and each reports its own.
    for (name, writer) in [("inside", "internal"), ("outside", "external")] {
        let told = events(&server, name);
        let expected = ("RuleBlocked".to_owned(), format!("{writer}/blastdoor/{writer}"));
        assert_eq!(told, BTreeSet::from([expected]), "{name}");
    }
    drop(gateways);
}
