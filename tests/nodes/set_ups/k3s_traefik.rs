//! The objects of k3s' own Traefik behind Cloudflare (`deploy/k3s`), unchanged, as `docs/guide-k3s-hostnetwork.md` says.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use gateway_tests::http2::{block, request_with};
use gateway_tests::tls::{Authority, H2, Offer, TlsClient};
use gateway_tests::{Client, Response};
use serde_json::{Value, json};

use super::Stage;
use super::k3s::CLOUDFLARE;
use crate::apps::{App, End};
use crate::chart::{Release, root};
use crate::cluster::{NODES, ip, until};

const SITE: &str = "www.example.com";
const ADMIN: &str = "admin.example.com";
/// `secret`
const USER: &str = "admin:$2y$05$C/xY6HPzsMAURtzdBWrlv.AmjkPUmRHozWbN1gzPTA1Q8LYUd3BrW";
/// `admin:secret` and `admin:wrong`.
const RIGHT: &str = "Authorization: Basic YWRtaW46c2VjcmV0\r\n";
const WRONG: &str = "Authorization: Basic YWRtaW46d3Jvbmc=\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

/// Installs the gateway for these objects, which do not change.
pub fn run(stage: &Stage) {
    let cluster = &stage.cluster;
    cluster.apply_objects(vec![definition()]);
    cluster.namespace("web");
    cluster.established("middlewares.traefik.io");
    stage.certificate("web", "cloudflare-origin", &["*.example.com"]);
    cluster.apply_objects(vec![json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "admin-users", "namespace": "web" },
        "stringData": { "users": USER },
    })]);
    for name in ["site", "admin"] {
        let app = App {
            name,
            namespace: "web",
            door: "websecure",
            host: "",
            port: 443,
            published: "",
        };
        let [deployment, service, _] = app.objects(End::Waiting);
        cluster.apply_objects(vec![deployment, service]);
    }
    cluster.rolled_out("deployment", "web");
    cluster.apply(&fs::read_to_string(root().join("deploy/k3s/site.yaml")).unwrap());
    let values = fs::read_to_string(root().join("deploy/k3s/values.yaml")).unwrap();
    let release = Release::install(cluster, Some("k3s-hostnetwork-cloudflare"), values);
    at_work(&stage.authority);
    release.uninstall();
}

/// Each of them is seen at work, on every node.
fn at_work(authority: &Authority) {
    let tls = TlsClient::new(&Offer {
        authority: Some(authority),
        ..Offer::default()
    });
    let http2 = TlsClient::new(&Offer {
        authority: Some(authority),
        alpn: H2,
        ..Offer::default()
    });
    for (_, node) in NODES {
        let door: SocketAddr = format!("{node}:443").parse().unwrap();
        // From an address that is none of Cloudflare's.
        until("the stranger is refused", || match ask(&tls, door, SITE, "") {
            Ok(answer) if answer.status == 403 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert_eq!(ask(&tls, door, ADMIN, RIGHT).unwrap().status, 403);
    }
    come_from_cloudflare();
    for (number, (_, node)) in NODES.into_iter().enumerate() {
        let door: SocketAddr = format!("{node}:443").parse().unwrap();
        let client = |last: usize| format!("CF-Connecting-IP: 198.51.100.{last}\r\n");
        let site = ask(&tls, door, SITE, &client(1)).unwrap();
        assert_eq!(site.status, 200, "{}", site.head);
        assert!(site.text().starts_with("site site-"), "{}", site.text());
        assert!(
            site.text()
                .to_ascii_lowercase()
                .contains("x-real-ip: 198.51.100.1\r\n"),
            "{}",
            site.text()
        );
        for (name, value) in [
            (
                "strict-transport-security",
                "max-age=31536000; includeSubDomains; preload",
            ),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(site.field(name), Some(value), "{}", site.head);
        }

        let statuses =
            ["", WRONG, RIGHT].map(|login| ask(&tls, door, ADMIN, &(client(2) + login)).unwrap().status);
        assert_eq!(statuses, [401, 401, 200], "{node}");

        // 100 a minute and 200 at once, of one client, at this node.
        let mut connection = tls.connect_within(door, Some(SITE), PATIENCE).unwrap().http1();
        let request = format!("GET / HTTP/1.1\r\nHost: {SITE}\r\n{}\r\n", client(3 + number));
        let passed = (0..230)
            .filter(|_| connection.request(&request).unwrap().status == 200)
            .count();
        assert!((200..230).contains(&passed), "{passed} passed at {node}");
        assert_eq!(connection.request(&request).unwrap().status, 429, "{node}");

        let statuses = block(async {
            let connection = http2.http2(door, Some(ADMIN)).await.unwrap();
            let mut statuses = Vec::new();
            for login in [WRONG, RIGHT] {
                let login = login.trim_end().strip_prefix("Authorization: ").unwrap();
                let fields = [("cf-connecting-ip", "198.51.100.4"), ("authorization", login)];
                statuses.push(
                    connection
                        .exchange(request_with("GET", ADMIN, "/", &fields), b"")
                        .await
                        .status,
                );
            }
            statuses
        });
        assert_eq!(statuses, [401, 200], "{node} over HTTP/2");

        let clear: SocketAddr = format!("{node}:80").parse().unwrap();
        let moved = Client::connect(clear).get(SITE, "/cart").unwrap();
        assert_eq!(
            (moved.status, moved.field("location")),
            (308, Some("https://www.example.com/cart"))
        );
    }
    println!(
        "  on {} nodes: list, limit, headers, password and certificate",
        NODES.len()
    );
}

fn ask(tls: &TlsClient, door: SocketAddr, host: &str, fields: &str) -> Result<Response, String> {
    let shaken = tls
        .connect_within(door, Some(host), PATIENCE)
        .map_err(|error| error.to_string())?;
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    shaken
        .http1()
        .request(request)
        .ok_or_else(|| "no answer".to_owned())
}

/// From now on connections to the nodes have one of Cloudflare's addresses as their source, and the nodes answer to it.
fn come_from_cloudflare() {
    let address = format!("{CLOUDFLARE}/32");
    ip(&["address", "replace", &address, "dev", "lo"]);
    for (_, node) in NODES {
        let told = Command::new("ip")
            .args(["-4", "route", "get", node])
            .output()
            .unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let mut words = told.split_whitespace().skip_while(|word| *word != "dev");
        let device = words.nth(1).unwrap_or_else(|| panic!("{told}"));
        let to_node = format!("{node}/32");
        ip(&["route", "replace", &to_node, "dev", device, "src", CLOUDFLARE]);
    }
}

/// Traefik's own, without the schema: what is written is for the gateway to judge.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "middlewares.traefik.io" },
        "spec": {
            "group": "traefik.io", "scope": "Namespaced",
            "names": {
                "kind": "Middleware", "listKind": "MiddlewareList",
                "plural": "middlewares", "singular": "middleware",
            },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                } },
            }],
        },
    })
}
