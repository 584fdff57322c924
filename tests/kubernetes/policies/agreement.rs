//! Nothing that the API server admits is exposed by the gateway against the rules, and what it refuses would have been.
//!
//! Ingresses are drawn at random and written in several ways. Each redirects to a host of its own, so that an answer says
//! whose it is. The doors are asked, not the program's code: what they answer is what is exposed.

use std::collections::BTreeMap;

use fastrand::Rng;
use gateway_tests::{Gateway, get};
use serde_json::{Value, json};

use super::chart::{CLASSES, STANDARD, deny, namespace, unbind};
use crate::api_server;
use crate::apiserver::{ApiServer, collection};
use crate::objects::backend;
use crate::rendered::gateway_of;

const SERVER_ALIAS: &str = "nginx.ingress.kubernetes.io/server-alias";
const CLASS: &str = "kubernetes.io/ingress.class";

/// What one rendering of the chart says, written down once more by hand.
struct Rules {
    rendered: &'static str,
    doors: &'static [&'static str],
    /// Namespaces with the doors that they may use and the hosts that they own.
    namespaces: &'static [(&'static str, &'static [&'static str], &'static str)],
    /// The doors whose namespaces and hosts are restricted.
    by_namespace: &'static [&'static str],
    by_host: &'static [&'static str],
    /// Chooses a door, mostly one of these, by labels and class.
    choose: fn(&mut Rng, &mut Value, &[&str]),
    /// What is tried before.
    table: fn(&ApiServer),
    /// An Ingress that is admitted and served: the labels and class of it.
    served: (&'static str, fn(&mut Value)),
}

const ALL: &[&str] = &[
    "external-http",
    "external-https",
    "internal-http",
    "internal-https",
];

const STANDARD_RULES: Rules = Rules {
    rendered: STANDARD,
    doors: ALL,
    namespaces: &[
        (
            "shop",
            &["external-https", "internal-http"],
            "shop.example.com *.shop.example.com",
        ),
        ("blog", &["external-http"], "*.blog.example.com"),
        ("free", ALL, "*"),
        ("none", &[], ""),
    ],
    by_namespace: ALL,
    by_host: ALL,
    table: |_| {},
    choose: |rng, object, doors| {
        let values = [
            "internal-http",
            "internal-https",
            "internal-httpsecure",
            "external-http",
            "external-https",
            "external-https",
            "external-httpsecure",
            "External-https",
            "external",
            "",
        ];
        let value = match rng.choice(doors) {
            Some(door) if rng.u8(..3) > 0 => door,
            _ => values[rng.usize(..values.len())],
        };
        object["metadata"]["labels"] = if value.is_empty() {
            json!({})
        } else {
            json!({ "expose": value })
        };
        if rng.u8(..8) == 0 {
            object["metadata"]["annotations"][CLASS] = "other".into();
        }
    },
    served: ("external-https", |object| {
        object["metadata"]["labels"] = json!({ "expose": "external-https" })
    }),
};

const CLASS_RULES: Rules = Rules {
    rendered: CLASSES,
    doors: &["external-http", "external-https", "free"],
    namespaces: &[
        ("shop", &["external-https"], "shop.example.com *.shop.example.com"),
        ("blog", &["external-http"], "*.blog.example.com"),
        ("free", &["external-http", "external-https"], "*"),
        ("none", &[], ""),
    ],
    by_namespace: &["external-http", "external-https"],
    by_host: &["external-https"],
    table: super::classes::are_known_as_doors_know_them,
    choose: |rng, object, doors| {
        match rng.choice(doors) {
            Some(&"external-http") if rng.u8(..3) > 0 => {
                object["spec"]["ingressClassName"] = "public".into();
                return;
            }
            Some(&"external-https") if rng.u8(..3) > 0 => {
                object["spec"]["ingressClassName"] = "private".into();
                object["metadata"]["labels"] = json!({ "tier": "edge", "team": "a" });
                return;
            }
            _ => {}
        }
        let mut labels = BTreeMap::new();
        for (key, values) in [
            ("tier", ["edge", "edge", "inner"]),
            ("team", ["", "a", "b"]),
            ("legacy", ["", "true", "no"]),
            ("acme.cert-manager.io/http01-solver", ["true", "false", "true"]),
            ("stage", ["blue", "green", "red"]),
            ("old", ["yes", "no", ""]),
            ("side", ["free", "free", "other"]),
        ] {
            if rng.u8(..3) == 0 {
                labels.insert(key, values[rng.usize(..3)]);
            }
        }
        object["metadata"]["labels"] = json!(labels);
        match rng.u8(..10) {
            0..4 => object["spec"]["ingressClassName"] = "private".into(),
            4..6 => object["spec"]["ingressClassName"] = "public".into(),
            6 => object["metadata"]["annotations"][CLASS] = "private".into(),
            7 => object["spec"]["ingressClassName"] = "other".into(),
            8 => object["metadata"]["annotations"][CLASS] = "".into(),
            _ => {}
        }
    },
    served: ("external-https", |object| {
        object["spec"]["ingressClassName"] = "private".into();
        object["metadata"]["labels"] = json!({ "acme.cert-manager.io/http01-solver": "true" });
    }),
};

/// An Ingress, and how it comes to be.
struct Drawn {
    number: usize,
    object: Value,
    way: Way,
    /// Hosts of requests that it may answer.
    hosts: Vec<String>,
    /// Refused though the gateway may not expose it: only certificates, or no class.
    is_strict: bool,
    /// Another Ingress may ask for the same.
    is_shared: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Create,
    /// Without labels, hosts and annotations first.
    Replace,
    /// Without labels first, which are then written with the status.
    Status,
}

impl Rules {
    fn allow(&self, door: &str, namespace: &str, host: &str) -> bool {
        let (_, doors, owned) = self
            .namespaces
            .iter()
            .find(|(name, ..)| *name == namespace)
            .unwrap();
        let is_open = !self.by_namespace.contains(&door) || doors.contains(&door);
        is_open && (!self.by_host.contains(&door) || owns(owned, host))
    }

    fn draw(&self, rng: &mut Rng, number: usize) -> Drawn {
        let (namespace, doors, owned) = self.namespaces[rng.usize(..self.namespaces.len())];
        // Below this, all hosts are its own, if it has any. Most are, so that single ones decide.
        let own = if owned.contains("blog") {
            "blog.example.com"
        } else {
            "shop.example.com"
        };
        let (mut hosts, mut is_shared, mut is_strict) = (Vec::new(), false, false);
        let mut host = |rng: &mut Rng| match rng.u8(..30) {
            14..28 => format!("i{number}.{own}"),
            28.. => format!("www.i{number}.{own}"),
            0..5 => format!("i{number}.shop.example.com"),
            5 => format!("*.i{number}.shop.example.com"),
            6..8 => format!("i{number}.blog.example.com"),
            8 => format!("*.i{number}.blog.example.com"),
            9 => format!("i{number}shop.example.com"),
            10 => format!("www.i{number}.blog.example.com"),
            shared => {
                is_shared = true;
                ["", "*.example.com", "shop.example.com"][usize::from(shared) - 11].to_owned()
            }
        };
        let mut rules: Vec<String> = Vec::new();
        for _ in 0..=rng.u8(..2) {
            rules.push(host(rng));
        }
        let written: Vec<Value> = rules
            .iter()
            .map(|host| {
                let mut rule = json!({ "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend("none") }] } });
                if !host.is_empty() {
                    rule["host"] = host.as_str().into();
                }
                rule
            })
            .collect();
        let mut object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {
                "name": format!("i{number}"), "namespace": namespace,
                "annotations": { "blastdoor.dev/redirect": format!("https://i{number}.id/") }
            },
            "spec": { "rules": written }
        });
        let annotations = &mut object["metadata"]["annotations"];
        if rng.u8(..3) == 0 {
            let spellings: [fn(String) -> String; 4] = [
                |name| name,
                |name| name.to_uppercase(),
                |name| format!(" {name}. "),
                |name| format!("a.{name}"),
            ];
            let mut names = Vec::new();
            for _ in 0..=rng.u8(..2) {
                let name = match rng.u8(..8) {
                    5.. => format!("alias{number}.{own}"),
                    0..2 => format!("alias{number}.shop.example.com"),
                    2 => format!("*.alias{number}.shop.example.com"),
                    3 => format!("alias{number}.blog.example.com"),
                    // No host: the gateway takes it as one name, which it refuses.
                    _ => {
                        is_strict = true;
                        format!("alias{number}.evil.test x.shop.example.com")
                    }
                };
                names.push(spellings[rng.usize(..4)](name));
            }
            for name in &names {
                hosts.extend(
                    name.split(' ')
                        .map(|name| name.trim_end_matches('.').to_lowercase()),
                );
            }
            annotations[SERVER_ALIAS] = names.join(",").into();
        }
        if rng.u8(..4) == 0 {
            let (key, value) = [
                ("nginx.ingress.kubernetes.io/from-to-www-redirect", "true"),
                ("blastdoor.dev/www-redirect", "on"),
                ("blastdoor.dev/www-redirect", "off"),
            ][rng.usize(..3)];
            annotations[key] = value.into();
            for host in &rules {
                hosts.push(
                    host.strip_prefix("www.")
                        .map_or(format!("www.{host}"), str::to_owned),
                );
            }
        }
        if rng.u8(..6) == 0 {
            is_strict = true;
            object["spec"]["tls"] =
                json!([{ "secretName": "none" }, { "hosts": [format!("i{number}.blog.example.com")] }]);
        }
        if rng.u8(..8) == 0 {
            object["spec"]["defaultBackend"] = backend("none");
        }
        if rng.u8(..16) == 0 {
            (rules, is_shared) = (vec![String::new()], true);
            object["spec"] = json!({ "defaultBackend": backend("none") });
        }
        (self.choose)(rng, &mut object, doors);
        let class = object["spec"]["ingressClassName"].as_str();
        let annotated = object["metadata"]["annotations"][CLASS].as_str();
        is_strict |= self.rendered == CLASSES && class.or(annotated).is_none_or(str::is_empty);
        hosts.extend(rules);
        let mut hosts: Vec<String> = hosts
            .into_iter()
            .filter(|host| !host.contains('*') || host.starts_with("*."))
            .map(|host| match host.strip_prefix('*') {
                Some(suffix) => format!("q{suffix}"),
                None if host.is_empty() => format!("any{number}.test"),
                None => host,
            })
            .filter(|host| !host.is_empty())
            .collect();
        hosts.sort();
        hosts.dedup();
        let way = [Way::Create, Way::Create, Way::Replace, Way::Status][rng.usize(..4)];
        Drawn {
            number,
            object,
            way,
            hosts,
            is_strict,
            is_shared,
        }
    }
}

/// Independent of the policies: by labels of the name, from the right.
fn owns(owned: &str, host: &str) -> bool {
    let labels = |name: &str| -> Vec<String> { name.rsplit('.').map(str::to_owned).collect() };
    owned.split(' ').any(|entry| match entry.strip_prefix("*.") {
        _ if entry == "*" => true,
        Some(suffix) => {
            let (suffix, host) = (labels(suffix), labels(host));
            host.len() > suffix.len() && host.starts_with(&suffix)
        }
        None => entry == host,
    })
}

/// Whether the API server has taken it as it is meant.
fn write(server: &ApiServer, drawn: &Drawn) -> bool {
    let path = collection(&drawn.object);
    let one = format!("{path}/i{}", drawn.number);
    let mut first = drawn.object.clone();
    match drawn.way {
        Way::Create => {}
        Way::Status => first["metadata"]["labels"] = json!({}),
        Way::Replace => {
            first["metadata"]["labels"] = json!({});
            first["metadata"]["annotations"] = json!({ CLASS: "nobody" });
            first["spec"] = json!({ "rules": [{ "host": "harmless.test" }] });
        }
    }
    let (mut status, mut answer) = server.request("POST", &path, Some(&first));
    if drawn.way != Way::Create {
        let is_there = [201, 403, 409].contains(&status);
        assert!(is_there, "{status} {answer} {first}");
        if status == 403 {
            return false;
        }
        (status, answer) = match drawn.way {
            Way::Status => {
                let patch = json!({ "metadata": { "labels": drawn.object["metadata"]["labels"] } });
                server.request("PATCH", &format!("{one}/status"), Some(&patch))
            }
            _ => server.request("PUT", &one, Some(&drawn.object)),
        };
    }
    match status {
        200 | 201 => true,
        403 => {
            assert!(
                answer["message"].as_str().unwrap().contains("blastdoor-exposure"),
                "{answer}"
            );
            false
        }
        _ => panic!("{status} {answer} {}", drawn.object),
    }
}

/// Which Ingress answers, by number.
fn answers(gateway: &Gateway, door: &str, host: &str) -> Option<usize> {
    let response = get(gateway.door(door), host, "/");
    if response.status == 404 {
        return None;
    }
    let location = response
        .field("location")
        .unwrap_or_else(|| panic!("{host} {}", response.status))
        .to_owned();
    let (_, target) = location.split_once("://").unwrap();
    let target = target.trim_end_matches('/');
    match target.strip_suffix(".id") {
        Some(name) => Some(name.strip_prefix('i').unwrap().parse().unwrap()),
        // The twin of a host belongs to whom the host belongs.
        None => answers(gateway, door, target),
    }
}

fn agree(rules: &Rules, seed: u64, count: usize) {
    let server = api_server!();
    for (name, doors, hosts) in rules.namespaces {
        server.create(&namespace(name, doors, hosts));
    }
    let (door, serve) = rules.served;
    let marker = |number: usize, namespace: &str| {
        let mut object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {
                "name": format!("i{number}"), "namespace": namespace,
                "annotations": { "blastdoor.dev/redirect": format!("https://i{number}.id/") }
            },
            "spec": { "rules": [{ "host": format!("marker{number}.test"), "http": { "paths": [{
                "path": "/", "pathType": "Prefix", "backend": backend("none")
            }] } }] }
        });
        serve(&mut object);
        object
    };
    deny(&server, rules.rendered, &marker(0, "none"));
    (rules.table)(&server);
    // What is without a class belongs to the default class, also where an annotation keeps the API server from writing it.
    server.create(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": { "controller": "blastdoor.dev/gateway" },
        "metadata": { "name": "private", "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } }
    }));
    let gateway = gateway_of(rules.rendered, &server.user_with_all_rights("gateway")).start();
    let mut rng = Rng::with_seed(seed);
    let all: Vec<Drawn> = (1..=count).map(|number| rules.draw(&mut rng, number)).collect();
    let (admitted, refused): (Vec<_>, Vec<_>) = all.iter().partition(|drawn| write(&server, drawn));
    let settle = |number: usize| {
        server.create(&marker(number, "free"));
        let host = format!("marker{number}.test");
        gateway.until("the marker is served", |gateway| {
            answers(gateway, door, &host) == Some(number)
        });
    };
    settle(count + 1);
    let namespace_of = |number: usize| match all.get(number - 1) {
        Some(drawn) => drawn.object["metadata"]["namespace"].as_str().unwrap(),
        None => "free",
    };
    let mut exposed = 0;
    for drawn in &all {
        for (door, host) in rules
            .doors
            .iter()
            .flat_map(|door| drawn.hosts.iter().map(move |host| (door, host)))
        {
            let Some(by) = answers(&gateway, door, host) else {
                continue;
            };
            exposed += 1;
            let namespace = namespace_of(by);
            assert!(
                rules.allow(door, namespace, host),
                "seed {seed}: {namespace} exposes {host} at {door}: {}",
                all[by - 1].object
            );
        }
    }
    assert!(
        exposed > count / 5 && admitted.len() > count / 5 && refused.len() > count / 5,
        "{exposed} of {count}"
    );

    // The other way round: without the policies, what they refused is exposed against the rules.
    unbind(&server, &marker(0, "none"));
    for drawn in &refused {
        assert!(write(&server, drawn));
    }
    settle(count + 2);
    let mut judged = 0;
    for drawn in refused
        .iter()
        .filter(|drawn| !drawn.is_strict && !drawn.is_shared)
    {
        let namespace = namespace_of(drawn.number);
        let violates = rules
            .doors
            .iter()
            .flat_map(|door| drawn.hosts.iter().map(move |host| (door, host)))
            .any(|(door, host)| {
                !rules.allow(door, namespace, host) && answers(&gateway, door, host) == Some(drawn.number)
            });
        assert!(violates, "seed {seed}: refused for nothing: {}", drawn.object);
        judged += 1;
    }
    assert!(judged > count / 10, "{judged} of {count}");
}

#[test]
fn what_the_policies_admit_is_exposed_by_the_rules_and_what_they_refuse_is_not() {
    agree(&STANDARD_RULES, 13, 160);
}

#[test]
fn so_it_is_with_doors_by_class_and_lists_of_selectors() {
    agree(&CLASS_RULES, 14, 160);
}
