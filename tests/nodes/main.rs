//! The gateway on three nodes of a real Kubernetes, as `deploy/` installs it: every door of every node, the rights and
//! the confinement of its processes, and rolling updates under load, of the applications and of the gateway itself.
//!
//! `cargo xtask nodes` starts the cluster and runs this inside its control plane's network namespace, as root. The test
//! is one, because its parts need each other's state and the cluster takes longer to start than they take to run.

mod apps;
mod balancer;
mod client;
mod cluster;
mod set_up4;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gateway_tests::tls::{Authority, Offer, TlsClient};
use serde_json::json;

use crate::apps::{APPS, App, End, REPLICAS};
use crate::balancer::{Group, Health, Load};
use crate::client::{Fault, Target};
use crate::cluster::{BALANCER, Cluster, NODES, until};

#[test]
#[ignore = "takes three nodes: cargo xtask nodes"]
fn four_doors_on_three_nodes() {
    let cluster = Cluster::here();
    let authority = Authority::new("nodes");
    let tls = Arc::new(TlsClient::new(&Offer {
        authority: Some(&authority),
        ..Offer::default()
    }));

    say("applications, rights and the gateway on host ports");
    install_apps(&cluster, &authority);
    install_gateway(&cluster, "hostport.yaml");
    every_door_of_every_node(&tls);
    confined(&cluster);
    one_writer(&cluster);

    say("a rolling update of the applications, under load");
    let load = Load::start(&groups(&tls), Health::Assumed);
    update_apps(&cluster, End::Waiting);
    settle();
    load.finish()
        .assert_whole("applications that wait before they end");

    say("the same with applications that end at once, whatever is in flight");
    update_apps(&cluster, End::Abrupt);
    let load = Load::start(&groups(&tls), Health::Assumed);
    update_apps(&cluster, End::Abrupt);
    settle();
    load.finish()
        .assert_nearly_whole("applications that end at once", REPLICAS);
    update_apps(&cluster, End::Waiting);

    say("a rolling update of the gateway on host ports, under load through a load balancer");
    let before = cluster.gateways();
    let load = Load::start(&groups(&tls), Health::Probed);
    update_gateway(&cluster);
    settle();
    let outcome = load.finish();
    outcome.assert_whole("one node after the other");
    // Every door of every node has left the rotation once, or the load proved nothing.
    assert_eq!(outcome.turned_red.len(), APPS.len() * NODES.len(), "{outcome:?}");
    all_new(&cluster, &before);
    one_writer(&cluster);

    say("the gateway on the nodes' own network");
    cluster.kubectl(&["delete", "daemonset", "blastdoor", "-n", "blastdoor", "--wait"]);
    until("the old pods are gone", || gone(&cluster));
    cluster.set_sysctls("deploy/daemonset/60-blastdoor.conf");
    install_gateway(&cluster, "hostnetwork.yaml");
    every_door_of_every_node(&tls);
    confined(&cluster);

    say("a rolling update of the gateway beside itself, under load without a load balancer");
    let before = cluster.gateways();
    let load = Load::start(&groups(&tls), Health::Assumed);
    update_gateway(&cluster);
    settle();
    load.finish().assert_whole("a new process beside the old one");
    all_new(&cluster, &before);
    every_door_of_every_node(&tls);
    one_writer(&cluster);

    say("the objects of k3s' own Traefik, unchanged");
    set_up4::install(&cluster, &authority, deployed);
    set_up4::at_work(&authority);
}

fn say(what: &str) {
    println!("--- {what}");
}

fn install_apps(cluster: &Cluster, authority: &Authority) {
    for namespace in ["office", "shop"] {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        cluster.apply_objects(vec![object]);
    }
    let certificate = authority.server(&["shop.example.com", "*.example.com"]);
    cluster.apply_objects(vec![json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": "shop-tls", "namespace": "shop" },
        "stringData": { "tls.crt": certificate.chain, "tls.key": certificate.key },
    })]);
    cluster.apply_objects(APPS.iter().flat_map(|app| app.objects(End::Waiting)).collect());
    for namespace in ["office", "shop"] {
        cluster.rolled_out("deployment", namespace);
    }
    for app in APPS {
        let selector = format!("app={}", app.name);
        let pods = cluster.objects(&["get", "pods", "-n", app.namespace, "-l", &selector]);
        let nodes: BTreeSet<_> = pods.iter().map(|pod| pod["spec"]["nodeName"].as_str()).collect();
        assert!(nodes.len() >= 2, "{} is on {nodes:?}", app.name);
    }
}

/// The steps of `docs/guide-daemonset.md`.
fn install_gateway(cluster: &Cluster, variant: &str) {
    cluster.apply(&deployed("rbac/cluster.yaml"));
    cluster.apply(&deployed("rbac/secrets.yaml"));
    let mut manifest = deployed(&format!("daemonset/{variant}"));
    for (from, to) in [("# publish =", "publish ="), ("192.0.2.0/24", "10.244.255.1/32")] {
        manifest = manifest.replace(from, to);
    }
    cluster.apply(&manifest);
    cluster.rolled_out("daemonset", "blastdoor");
}

fn deployed(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    fs::read_to_string(folder.join(path)).unwrap()
}

fn target(app: &App, node: &str, tls: &Arc<TlsClient>) -> Target {
    Target {
        address: format!("{node}:{}", app.port).parse().unwrap(),
        tls: app.is_tls().then(|| Arc::clone(tls)),
    }
}

fn groups(tls: &Arc<TlsClient>) -> Vec<Group> {
    let group = |app: &App| Group {
        host: app.host.to_owned(),
        targets: NODES.iter().map(|node| target(app, node, tls)).collect(),
    };
    APPS.iter().map(group).collect()
}

/// The right application answers, and hosts of other doors get the same answer as hosts that exist nowhere.
fn every_door_of_every_node(tls: &Arc<TlsClient>) {
    for node in NODES {
        for door in APPS {
            let target = target(&door, node, tls);
            let what = format!("{} of {node}", door.door);
            // kubelet calls a pod ready a moment before its addresses are everywhere.
            until(&what, || match target.get(door.host, "/hello") {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            });
            let answer = target.get(door.host, "/hello").unwrap();
            let seen = answer.body.to_ascii_lowercase();
            for expected in [
                format!("{} {}-", door.name, door.name),
                "\nget /hello http/1.1\r\n".to_owned(),
                format!("\nhost: {}\r\n", door.host),
                format!("\nx-blastdoor-door: {}\r\n", door.door),
                format!("\nx-real-ip: {BALANCER}\r\n"),
                format!("\nx-forwarded-for: {BALANCER}\r\n"),
            ] {
                assert!(seen.contains(&expected), "{what}: no {expected:?} in {seen}");
            }
            for other in APPS.iter().filter(|other| other.name != door.name) {
                let refused = target.get(other.host, "/hello");
                assert_eq!(
                    refused,
                    target.get(&other.nowhere(), "/hello"),
                    "{what}: {}",
                    other.host
                );
                match refused {
                    Ok(answer) => assert_eq!(answer.status, 404, "{what}: {}", other.host),
                    // Its certificate does not cover that domain: no handshake for either.
                    Err(error) => {
                        assert!(
                            door.is_tls() && matches!(error, Fault::Connect(_)),
                            "{what}: {error}"
                        );
                    }
                }
            }
        }
    }
    println!(
        "  {} doors of {} nodes answer for their own hosts alone",
        APPS.len(),
        NODES.len()
    );
}

/// What the kernel reports about the processes, rather than what the manifest asks for.
fn confined(cluster: &Cluster) {
    let processes = cluster.processes();
    assert_eq!(processes.len(), NODES.len());
    for process in processes {
        assert_eq!(process.status("Uid"), "65532 65532 65532 65532");
        assert_eq!(process.status("Gid"), "65532 65532 65532 65532");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(process.status(set), "0000000000000000", "{set}");
        }
        assert_eq!(
            (process.status("NoNewPrivs"), process.status("Seccomp")),
            ("1".into(), "2".into())
        );
        let options = process.root_options();
        assert!(options.iter().any(|option| option == "ro"), "{options:?}");
    }
    println!("  its processes: user 65532, no capabilities, seccomp, a read-only root");
}

/// Only the holder of the Lease has written the status, and no gateway has requested more than `deploy/rbac` grants.
fn one_writer(cluster: &Cluster) {
    for app in APPS {
        until("the doors are published", || {
            let ingress = cluster.objects(&["get", "ingress", app.name, "-n", app.namespace]);
            let published = ingress[0]["status"]["loadBalancer"]["ingress"].clone();
            let expected = json!([{ "hostname": app.published }]);
            if published == expected {
                Ok(())
            } else {
                Err(format!("{}: {published}", app.name))
            }
        });
    }
    let mut holder = String::new();
    until("a pod that runs holds the Lease", || {
        let lease = cluster.objects(&["get", "lease", "blastdoor", "-n", "blastdoor"]);
        lease[0]["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut holder);
        let pods = cluster.gateways();
        if pods.contains(&holder) {
            Ok(())
        } else {
            Err(format!("{holder} is none of {pods:?}"))
        }
    });
    let asked = cluster.asked();
    let refused: Vec<_> = asked
        .iter()
        .filter(|asked| asked.code == 401 || asked.code == 403)
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let writers: BTreeSet<&str> = asked
        .iter()
        .filter(|asked| asked.what == "patch ingresses/status")
        .map(|asked| asked.pod.as_str())
        .collect();
    // Addresses are not written again when they are there already: of all pods ever, the first holder did.
    assert_eq!(writers.len(), 1, "{writers:?}");
    let kinds: BTreeSet<&str> = asked.iter().map(|asked| asked.what.as_str()).collect();
    println!("  {holder} holds the Lease; {writers:?} wrote the status");
    println!(
        "  asked of the API server, none refused: {}",
        kinds.into_iter().collect::<Vec<_>>().join(", ")
    );
}

fn update_apps(cluster: &Cluster, end: End) {
    let started = Instant::now();
    let stamp = format!("{:?}", Instant::now());
    let mut objects: Vec<_> = APPS.iter().map(|app| app.objects(end)[0].clone()).collect();
    for deployment in &mut objects {
        deployment["spec"]["template"]["metadata"]["annotations"] = json!({ "changed": stamp });
    }
    cluster.apply_objects(objects);
    for namespace in ["office", "shop"] {
        cluster.rolled_out("deployment", namespace);
    }
    println!("  took {:.0} s", started.elapsed().as_secs_f64());
}

fn update_gateway(cluster: &Cluster) {
    let started = Instant::now();
    cluster.kubectl(&["rollout", "restart", "daemonset/blastdoor", "-n", "blastdoor"]);
    cluster.rolled_out("daemonset", "blastdoor");
    println!("  took {:.0} s", started.elapsed().as_secs_f64());
}

/// The last of the old ones are still on their way out when an update counts as done.
fn settle() {
    thread::sleep(Duration::from_secs(10));
}

fn all_new(cluster: &Cluster, before: &BTreeSet<String>) {
    let after = cluster.gateways();
    assert_eq!(after.len(), NODES.len(), "{after:?}");
    assert!(after.is_disjoint(before), "{after:?} and before {before:?}");
}

fn gone(cluster: &Cluster) -> Result<(), String> {
    let pods = cluster.objects(&["get", "pods", "-n", "blastdoor"]);
    if pods.is_empty() {
        Ok(())
    } else {
        Err(format!("{} pods", pods.len()))
    }
}
