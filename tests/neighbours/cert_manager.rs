//! cert-manager with an ACME server (Pebble): certificates through doors by challenges of type HTTP-01, and the challenge
//! that no door answers.
//!
//! There are no nodes: the test plays kubelet for the pods of the solver. It runs their program with their arguments and
//! writes the EndpointSlices of their Services.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use gateway_tests::tls::Authority;
use gateway_tests::{Builder, free_port, gateway, own_address};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api_server;
use crate::apiserver::ApiServer;
use crate::backend::Backend;
use crate::objects::{endpoint, ingress, service};
use crate::program::{Program, source, until};

const SOURCES: &str = "cert-manager-v1.21.1";
const SOLVERS: &str = "labelSelector=acme.cert-manager.io%2Fhttp01-solver%3Dtrue";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const CHALLENGES: &str = "/apis/acme.cert-manager.io/v1/namespaces/default/challenges";

/// Pebble, and a DNS server that knows every name as this machine.
struct Acme {
    folder: TempDir,
    authority: Authority,
    dns: String,
    _programs: [Program; 2],
}

impl Acme {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("acme");
        let identity = authority.server(&["localhost"]);
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        file("authority.pem", authority.pem());
        let config = json!({ "pebble": {
            "listenAddress": "127.0.0.1:14000",
            "managementListenAddress": "127.0.0.1:15000",
            "certificate": file("pebble.crt", &identity.chain),
            "privateKey": file("pebble.key", &identity.key),
            // The ports of the doors: challenges of type HTTP-01 come to port 80.
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
        } });
        let config = file("pebble.json", &config.to_string());
        let dns = format!("127.0.0.1:{}", free_port());
        let names = Program::start(
            "pebble-challtestsrv",
            &[
                "-dnsserver",
                &dns,
                "-management",
                "127.0.0.1:8055",
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-doh",
                "",
            ],
        );
        let pebble = Program::start("pebble", &["-config", &config, "-dnsserver", &dns]);
        pebble.says("ACME directory available at");
        Self {
            folder,
            authority,
            dns,
            _programs: [names, pebble],
        }
    }

    /// An Issuer whose solvers are like this.
    fn issuer(&self, name: &str, ingress: &Value) -> Value {
        json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "acme": {
                "server": "https://localhost:14000/dir",
                "caBundle": base64::engine::general_purpose::STANDARD.encode(self.authority.pem()),
                "privateKeySecretRef": { "name": format!("{name}-account") },
                "solvers": [{ "http01": { "ingress": ingress } }],
            } },
        })
    }

    /// The authority of the certificates that it issues, as a file.
    fn root(&self) -> PathBuf {
        let path = self.folder.path().join("root.pem");
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--cacert"])
            .arg(self.folder.path().join("authority.pem"))
            .arg("https://localhost:15000/roots/0")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::write(&path, output.stdout).unwrap();
        path
    }

    /// Asks the door with TLS for a host, and trusts certificates of this server alone.
    fn ask(&self, host: &str) -> Result<String, String> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "10", "--cacert"])
            .arg(self.root())
            .args([
                "--connect-to",
                &format!("{host}:443:127.0.0.1:443"),
                &format!("https://{host}/"),
            ])
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// Runs the programs of pods.
#[derive(Default)]
struct Kubelet {
    pods: BTreeMap<String, Program>,
}

impl Kubelet {
    fn look(&mut self, server: &ApiServer) {
        let items = |path: &str| {
            let (_, mut list) = server.request("GET", path, None);
            match list["items"].take() {
                Value::Array(items) => items,
                _ => Vec::new(),
            }
        };
        let pods = items(&format!("/api/v1/namespaces/default/pods?{SOLVERS}"));
        let name_of = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        let names: Vec<String> = pods.iter().map(name_of).collect();
        self.pods.retain(|name, _| names.contains(name));
        for pod in &pods {
            let name = name_of(pod);
            let labels = &pod["metadata"]["labels"];
            let selects = |service: &&Value| {
                let selector = service["spec"]["selector"].as_object().unwrap();
                selector.iter().all(|(key, value)| labels[key] == *value)
            };
            let services = items(&format!("/api/v1/namespaces/default/services?{SOLVERS}"));
            let Some(service) = services.iter().find(selects) else {
                continue;
            };
            if self.pods.contains_key(&name) {
                continue;
            }
            // All on one machine, so each has a port of its own.
            let port = free_port();
            let arguments: Vec<String> = pod["spec"]["containers"][0]["args"]
                .as_array()
                .unwrap()
                .iter()
                .map(|argument| argument.as_str().unwrap())
                .filter(|argument| !argument.starts_with("--listen-port="))
                .map(str::to_owned)
                .chain([format!("--listen-port={port}")])
                .collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let solver = Program::start("cert-manager-acmesolver", &arguments);
            server.create(&endpoint(
                &name_of(service),
                &service["spec"]["ports"][0]["name"],
                own_address(),
                port,
            ));
            self.pods.insert(name, solver);
        }
    }

    fn until(&mut self, server: &ApiServer, what: &str, mut holds: impl FnMut() -> bool) {
        until(what, || {
            self.look(server);
            holds()
        });
    }
}

/// The doors of the internet: plain HTTP redirects what the other one serves.
fn doors(server: &ApiServer) -> Builder {
    gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .env("POD_NAME", "gateway")
        .source("secrets = \"named\"")
        .without("internal-http")
        .without("internal-https")
        .door("external-http", "bind = \"127.0.0.1:80\"\nredirect = \"external-https\"")
        .door(
            "external-https",
            "bind = \"127.0.0.1:443\"\ntls = { certificates = \"ingress\", default_certificate = \"self-signed\" }",
        )
}

/// An Ingress that wants a certificate, as application teams write it.
fn wants_certificate(name: &str, issuer: &str, annotations: &Value) -> Value {
    let host = format!("{name}.example.com");
    let mut object = ingress("default", name, &json!({ "expose": "external-https" }), &host);
    object["metadata"]["annotations"] = json!({ "cert-manager.io/issuer": issuer });
    for (key, value) in annotations.as_object().unwrap() {
        object["metadata"]["annotations"][key] = value.clone();
    }
    object["spec"]["tls"] = json!([{ "hosts": [host], "secretName": format!("{name}-tls") }]);
    object
}

fn is_ready(server: &ApiServer, certificate: &str) -> bool {
    let path = format!("/apis/cert-manager.io/v1/namespaces/default/certificates/{certificate}-tls");
    let (_, object) = server.request("GET", &path, None);
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    conditions.iter().any(ready)
}

#[test]
#[ignore = "takes cert-manager and Pebble: cargo xtask neighbours"]
fn certificates_are_issued_through_a_door() {
    let server = api_server();
    for definition in fs::read_dir(source(SOURCES).join("deploy/crds")).unwrap() {
        let path = definition.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            server.kubectl(&["create", "-f", &path.display().to_string()]);
        }
    }
    server.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/certificates.cert-manager.io",
        "crd/challenges.acme.cert-manager.io",
        "crd/orders.acme.cert-manager.io",
        "crd/issuers.cert-manager.io",
        "crd/certificaterequests.cert-manager.io",
        "crd/clusterissuers.cert-manager.io",
    ]);
    // Its controller makes it for every namespace, and pods must have one.
    server.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: default}}");
    server.apply("{apiVersion: v1, kind: Namespace, metadata: {name: cert-manager}}");

    let acme = Acme::start();
    let builder = doors(&server);
    let gateway = builder.start();
    let backend = Backend::start("served");
    for name in ["labelled", "plain", "edited"] {
        server.create(&service(name));
        server.create(&endpoint(name, &Value::Null, backend.address, backend.port));
    }
    let controller = Program::start(
        "cert-manager-controller",
        &[
            &format!(
                "--kubeconfig={}",
                server.user_with_all_rights("cert-manager").display()
            ),
            "--leader-elect=false",
            "--cluster-resource-namespace=cert-manager",
            "--acme-http01-solver-image=localhost/acmesolver:1",
            &format!("--acme-http01-solver-nameservers={}", acme.dns),
            &format!("--metrics-listen-address=127.0.0.1:{}", free_port()),
            &format!("--internal-healthz-listen-address=127.0.0.1:{}", free_port()),
        ],
    );
    let mut kubelet = Kubelet::default();

    println!("  an Issuer whose solvers carry the label of a door");
    let template = json!({ "ingressTemplate": { "metadata": { "labels": { "expose": "external-http" } } } });
    server.apply(&acme.issuer("labelled", &template).to_string());
    server.create(&wants_certificate("labelled", "labelled", &json!({})));
    kubelet.until(&server, "the certificate is issued", || {
        is_ready(&server, "labelled")
    });
    // The renewed Secret counts with the next handshake.
    until("the door shows it", || {
        acme.ask("labelled.example.com") == Ok("served".to_owned())
    });

    println!("  an Issuer without: no door answers the challenge, and everybody says so");
    server.apply(&acme.issuer("plain", &json!({})).to_string());
    server.create(&wants_certificate("plain", "plain", &json!({})));
    let reason = || {
        // Challenges that are done stay for a while.
        let (_, list) = server.request("GET", CHALLENGES, None);
        let challenges = list["items"].as_array().cloned().unwrap_or_default();
        let challenge = challenges
            .iter()
            .find(|challenge| challenge["spec"]["dnsName"] == "plain.example.com");
        challenge
            .and_then(|challenge| challenge["status"]["reason"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    // The other door serves the host already, so this one redirects there, where no certificate is yet.
    kubelet.until(&server, "cert-manager tells why it waits", || {
        reason().contains("tls: access denied")
    });
    println!("  cert-manager: {}", reason());
    let solver = || {
        let (_, list) = server.request("GET", &format!("{INGRESSES}?{SOLVERS}"), None);
        list["items"][0]["metadata"]["name"].as_str().unwrap().to_owned()
    };
    let solver = solver();
    let told = doors(&server).run(&["check"]);
    assert_eq!(told.status, 1, "{told:?}");
    assert!(
        told.stdout.contains(&solver) || told.stderr.contains(&solver),
        "{told:?}"
    );
    until("an Event is on the Ingress of the solver", || {
        let (_, list) = server.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events", None);
        let events = list["items"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| {
            event["reason"] == "ChallengeUnreachable" && event["regarding"]["name"] == solver.as_str()
        })
    });
    assert!(!is_ready(&server, "plain"));
    println!("  with the label, the challenge that is under way succeeds");
    server.kubectl(&["label", "ingress", &solver, "expose=external-http"]);
    kubelet.until(&server, "the certificate is issued", || {
        is_ready(&server, "plain")
    });
    until("the door shows it", || {
        acme.ask("plain.example.com") == Ok("served".to_owned())
    });

    println!("  the Ingress itself is edited, and answers the challenge behind the redirect to https");
    let edit = json!({ "acme.cert-manager.io/http01-edit-in-place": "true" });
    server.create(&wants_certificate("edited", "plain", &edit));
    // cert-manager writes a certificate of its own meanwhile, with which the handshake of the challenge succeeds.
    kubelet.until(&server, "the door shows the certificate that was issued", || {
        acme.ask("edited.example.com") == Ok("served".to_owned())
    });

    kubelet.until(&server, "the solvers are gone", || {
        let (_, list) = server.request("GET", &format!("{INGRESSES}?{SOLVERS}"), None);
        list["items"].as_array().is_some_and(Vec::is_empty)
    });
    assert_eq!(
        gateway.metric("blastdoor_config_problems", &[("severity", "warning")]),
        0.0,
        "{}",
        gateway.stderr()
    );
    drop(controller);
}
