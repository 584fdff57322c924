//! external-dns, one instance for each horizon: its records are the hosts of its doors, with the addresses that the
//! gateway has published.

use std::collections::BTreeSet;

use gateway_tests::{free_port, gateway};
use serde_json::json;

use crate::api_server;
use crate::apiserver::ApiServer;
use crate::objects::{ingress, namespace};
use crate::program::{Program, until};

const INTERNAL: &str = "expose in (internal-http, internal-https, internal-httpsecure)";
const EXTERNAL: &str = "expose in (external-http, external-https, external-httpsecure)";

/// What users run: `docs/neighbours.md` has the same options for each horizon, with a real provider.
struct Horizon(Program);

impl Horizon {
    fn watch(server: &ApiServer, name: &str, options: &[&str]) -> Self {
        let user = server.user_with_all_rights(name);
        let kubeconfig = format!("--kubeconfig={}", user.display());
        let metrics = format!("--metrics-address=127.0.0.1:{}", free_port());
        let owner = format!("--txt-owner-id={name}");
        let mut arguments = vec![
            "--source=ingress",
            "--provider=inmemory",
            "--inmemory-zone=example.com",
            "--domain-filter=example.com",
            "--registry=txt",
            "--interval=2s",
            &owner,
            &kubeconfig,
            &metrics,
        ];
        arguments.extend(options);
        Self(Program::start("external-dns", &arguments))
    }

    /// The zone as its log tells it: `host type target`, without the records in which it notes what is its own.
    fn zone(&self) -> BTreeSet<String> {
        let mut zone = BTreeSet::new();
        for line in self.0.log().lines() {
            for (verb, adds) in [
                ("CREATE: ", true),
                ("UPDATE (old): ", false),
                ("UPDATE (new): ", true),
                ("DELETE: ", false),
            ] {
                let Some((_, record)) = line.split_once(verb) else {
                    continue;
                };
                // host TTL IN type set-identifier targets …
                let fields: Vec<&str> = record.trim_end_matches('"').split(' ').collect();
                let [host, _, "IN", kind, _, target, ..] = fields.as_slice() else {
                    panic!("{line}");
                };
                if *kind == "TXT" {
                    continue;
                }
                let record = format!("{host} {kind} {target}");
                if adds {
                    zone.insert(record);
                } else {
                    zone.remove(&record);
                }
            }
        }
        zone
    }

    fn has(&self, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|record| (*record).to_owned()).collect();
        until(&format!("the zone is {expected:?}"), || self.zone() == expected);
        // Nothing follows it.
        self.0.says("All records are already up to date");
        assert_eq!(self.zone(), expected);
    }
}

#[test]
#[ignore = "takes external-dns: cargo xtask neighbours"]
fn the_records_of_each_horizon_are_the_hosts_of_its_doors() {
    let server = api_server();
    for name in ["shop", "intruder"] {
        server.create(&namespace(name));
    }
    let label = |value: &str| json!({ "expose": value });
    for (space, name, labels, host) in [
        ("default", "wiki", label("internal-http"), "wiki.corp.example.com"),
        (
            "default",
            "payroll",
            label("internal-httpsecure"),
            "payroll.corp.example.com",
        ),
        ("default", "blog", label("external-http"), "blog.example.com"),
        ("shop", "shop", label("external-httpsecure"), "shop.example.com"),
        // Served nowhere, so it has no address and no record: no label, a label that no door has, a namespace that may
        // not expose at the door.
        ("default", "unlabelled", json!({}), "unlabelled.example.com"),
        ("default", "unknown", label("external"), "unknown.example.com"),
        (
            "intruder",
            "intruder",
            label("external-https"),
            "intruder.example.com",
        ),
    ] {
        server.create(&ingress(space, name, &labels, host));
    }
    let _gateway = gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .env("POD_NAME", "gateway")
        .door("internal-http", "publish = { ip = [\"10.0.0.9\"] }")
        .door("internal-https", "publish = { ip = [\"10.0.0.9\"] }")
        .door("external-http", "publish = { hostname = \"external.lb.test\" }")
        .door(
            "external-https",
            "publish = { hostname = \"external.lb.test\" }\nnamespaces = [\"default\", \"shop\"]",
        )
        .start();

    let internal = Horizon::watch(&server, "internal", &[&format!("--label-filter={INTERNAL}")]);
    let external = Horizon::watch(&server, "external", &[&format!("--label-filter={EXTERNAL}")]);
    internal.has(&[
        "payroll.corp.example.com A 10.0.0.9",
        "wiki.corp.example.com A 10.0.0.9",
    ]);
    external.has(&[
        "blog.example.com CNAME external.lb.test",
        "shop.example.com CNAME external.lb.test",
    ]);

    println!("  an Ingress moves to the other horizon, and its record with it");
    let path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/blog";
    let (code, answer) = server.request(
        "PATCH",
        path,
        Some(&json!({ "metadata": { "labels": label("internal-http") } })),
    );
    assert_eq!(code, 200, "{answer}");
    external.has(&["shop.example.com CNAME external.lb.test"]);
    internal.has(&[
        "blog.example.com A 10.0.0.9",
        "payroll.corp.example.com A 10.0.0.9",
        "wiki.corp.example.com A 10.0.0.9",
    ]);
    assert!(
        !external.0.log().contains("corp.example.com"),
        "no internal host has ever been in the external zone"
    );

    println!("  the mistake: one instance without a label filter has the internal hosts in the public zone");
    let everything = Horizon::watch(&server, "everything", &[]);
    everything.has(&[
        "blog.example.com A 10.0.0.9",
        "payroll.corp.example.com A 10.0.0.9",
        "shop.example.com CNAME external.lb.test",
        "wiki.corp.example.com A 10.0.0.9",
    ]);
}
