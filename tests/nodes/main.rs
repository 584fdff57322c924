//! The gateway on three nodes of a real Kubernetes, as its chart installs it: each set-up by its preset, behind what stands
//! in for its load balancer, with updates, drains and nodes that go away under load.
//!
//! `cargo xtask nodes` starts the cluster and runs this inside its control plane's network namespace, as root. The test
//! is one, because its parts need each other's state and the cluster takes longer to start than they take to run.

mod apps;
mod balancer;
mod chart;
mod client;
mod cluster;
mod controller;
mod doctor;
mod doors;
mod load;
mod policies;
mod set_ups;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;

use crate::apps::{APPS, End, REPLICAS};
use crate::balancer::Balancer;
use crate::cluster::Cluster;
use crate::load::Load;
use crate::set_ups::{Stage, alb, k3s_traefik, nlb, nodeport, say, settle};

/// The parts of the test, in order. Each begins and ends without a gateway in the cluster.
const PARTS: [(&str, fn(&Stage)); 3] = [("aws", aws), ("gke", gke), ("k3s", k3s)];

/// `NODES_ONLY` names a part to run alone, while you work on it.
#[test]
#[ignore = "takes three nodes: cargo xtask nodes"]
fn four_set_ups_on_three_nodes() {
    #[expect(clippy::disallowed_methods, reason = "for whoever works on the test")]
    let only = std::env::var("NODES_ONLY").unwrap_or_default();
    let is_wanted = |name: &str| only.is_empty() || only == name;
    let parts: Vec<_> = PARTS.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    assert!(!parts.is_empty(), "no part is named {only}");

    let stage = Stage::new(Cluster::here());
    controller::define(&stage.cluster);
    install_apps(&stage);
    for (name, part) in parts {
        let started = Instant::now();
        part(&stage);
        println!("=== {name}: {:.0} s", started.elapsed().as_secs_f64());
    }
}

/// Set-ups 3 and 1, which are one release on its way, and an NLB in place of the ALBs.
fn aws(stage: &Stage) {
    say("set-up 3: a NodePort with `Local` behind an ALB, as it was copied from the internet");
    let release = nodeport::as_found(stage);
    say("set-up 3, its first way out: a pod on every node (preset aws-alb-asg-hostport)");
    let (release, balancer) = alb::host_ports(stage, release);
    say("rolling updates of the applications, under load");
    update_apps_under_load(stage, &balancer);
    alb::host_ports_at_work(stage, &release, &balancer);
    drop(balancer);
    say("set-up 1, and the second way out of set-up 3: pods as targets (preset aws-alb-ip)");
    let release = alb::pods(stage, release);
    say("an NLB with PROXY protocol (preset aws-nlb-proxy-v2)");
    nlb::pods(stage, release).uninstall();
}

fn gke(stage: &Stage) {
    say("set-up 2: passthrough load balancers, and a node without the gateway (preset gke-l4-local)");
    set_ups::gke::nodes(stage).uninstall();
}

fn k3s(stage: &Stage) {
    say("set-up 4: the nodes' own network behind Cloudflare (preset k3s-hostnetwork-cloudflare)");
    set_ups::k3s::run(stage);
    say("set-up 4 with the objects of k3s' own Traefik, unchanged");
    k3s_traefik::run(stage);
}

fn install_apps(stage: &Stage) {
    let cluster = &stage.cluster;
    for namespace in ["office", "shop"] {
        cluster.namespace(namespace);
    }
    for app in APPS.iter().filter(|app| app.door.ends_with("-https")) {
        let wildcard = format!("*.{}", app.domain());
        stage.certificate(
            app.namespace,
            &format!("{}-tls", app.name),
            &[app.host, &wildcard],
        );
    }
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

fn update_apps_under_load(stage: &Stage, balancer: &Balancer) {
    let load = Load::start(balancer);
    update_apps(&stage.cluster, End::Waiting);
    settle();
    let nodes = cluster::NODES.len();
    load.finish()
        .assert_whole("applications that wait before they end", nodes);

    update_apps(&stage.cluster, End::Abrupt);
    let load = Load::start(balancer);
    update_apps(&stage.cluster, End::Abrupt);
    settle();
    load.finish()
        .assert_nearly_whole("applications that end at once", nodes, REPLICAS);
    update_apps(&stage.cluster, End::Waiting);
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
