//! Set-up 2: Cloudflare, then passthrough load balancers, then nodes, one of which is preemptible and runs no gateway.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{CLIENT, Stage, groups, mistakes, say, settle, upgraded_and_drained};
use crate::apps::{APPS, App};
use crate::balancer::{Balancer, Balances, Behaviour, Check, Member};
use crate::chart::{NAME, Release};
use crate::client::{Fault, PROBE_PATIENCE, Target};
use crate::cluster::{NODES, ip};
use crate::load::Load;
use crate::{doctor, doors};

const PRESET: &str = "gke-l4-local";
/// The node that Google may take away.
const PREEMPTIBLE: &str = NODES[2].0;
/// Nodes that run a gateway.
const GATEWAYS: usize = NODES.len() - 1;
/// Of each Service: its load balancer's address, and where its clients are. They stay the peers of the doors.
const HORIZONS: [(&str, &str, &str); 2] = [
    ("external", "203.0.113.10", "173.245.48"),
    ("internal", "203.0.113.20", "172.20.0"),
];

fn values() -> Value {
    json!({
        "minReadySeconds": 6,
        "doorDefaults": { "drain": { "wait": "10s", "timeout": "12s" } },
        "secrets": { "named": { "office": ["payroll-tls"], "shop": ["shop-tls"] } },
    })
}

/// Preset `gke-l4-local`.
pub fn nodes<'a>(stage: &'a Stage) -> Release<'a> {
    let cluster = &stage.cluster;
    cluster.kubectl(&["label", "node", PREEMPTIBLE, "cloud.google.com/gke-spot=true"]);
    stage.origin_secrets();
    stage.certificate(NAME, "internal-tls", &["*.corp.example.com"]);
    let release = Release::install(cluster, Some(PRESET), values());
    routes();
    let balancer = Balancer::new(groups(&APPS), Behaviour::of_nodes(Balances::Connections));
    for (group, app) in APPS.iter().enumerate() {
        for member in members(stage, app) {
            balancer.pool.register(group, member);
        }
    }
    doors::answer_for_their_own(&balancer, GATEWAYS);
    dropped(&balancer);
    doors::confined(cluster, GATEWAYS);
    doctor::finds_nothing(cluster);
    upgraded_and_drained(stage, &release, &balancer, GATEWAYS);

    say("the preemptible node is taken away, its applications having left it");
    cluster.drain(PREEMPTIBLE);
    let load = Load::start(&balancer);
    thread::sleep(Duration::from_secs(2));
    cluster.plug(PREEMPTIBLE, "down");
    settle();
    load.finish()
        .assert_whole("a node without the gateway lost", GATEWAYS);
    cluster.plug(PREEMPTIBLE, "up");
    cluster.uncordon(PREEMPTIBLE);

    say("its mistake: `externalTrafficPolicy: Cluster`");
    mistakes::blind_node(cluster, PREEMPTIBLE);
    cluster.kubectl(&["label", "node", PREEMPTIBLE, "cloud.google.com/gke-spot-"]);
    release
}

fn service(horizon: &str) -> String {
    format!("{NAME}-{horizon}")
}

/// What Google's controller does once it has made the load balancer: its address becomes the Service's, at which every
/// node accepts it. Its targets are all nodes, and kube-proxy says which of them have a pod.
fn members(stage: &Stage, app: &App) -> Vec<Member> {
    let horizon = HORIZONS.iter().find(|(name, ..)| app.door.starts_with(name));
    let (horizon, balancer, network) = *horizon.unwrap();
    let cluster = &stage.cluster;
    let name = service(horizon);
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": balancer }] } } });
    let patch = status.to_string();
    let arguments = [
        "patch",
        "service",
        &name,
        "-n",
        NAME,
        "--subresource=status",
        "--patch",
        &patch,
    ];
    cluster.kubectl(&arguments);
    let found = cluster.objects(&["get", "service", &name, "-n", NAME]);
    let spec = &found[0]["spec"];
    assert_eq!(spec["externalTrafficPolicy"], "Local", "{spec}");
    let health = spec["healthCheckNodePort"].as_u64().unwrap();
    let ports = spec["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["name"] == app.door).unwrap();
    let at: SocketAddr = format!("{balancer}:{}", port["port"]).parse().unwrap();
    let member = |(number, (node, address)): (usize, (&str, &str))| {
        let source: IpAddr = format!("{network}.{}", number + 1).parse().unwrap();
        let mut target = Target {
            source: Some(source),
            client: source.to_string(),
            ..Target::at(at)
        };
        if horizon == "external" {
            target.fields = format!("CF-Connecting-IP: {CLIENT}\r\n");
            target.client = CLIENT.to_owned();
        }
        target.tls = match app.door {
            "external-https" => Some(Arc::clone(&stage.cloudflare)),
            "internal-https" => Some(Arc::clone(&stage.tls)),
            _ => None,
        };
        let check = Check {
            target: Target::at(format!("{address}:{health}").parse().unwrap()),
            host: address.to_owned(),
            path: "/healthz".to_owned(),
        };
        Member::new(node, target, Some(check))
    };
    NODES.into_iter().enumerate().map(member).collect()
}

/// A passthrough load balancer does not change packets: it chooses the node. Here the client's address does.
fn routes() {
    for (number, (_, node)) in (1..).zip(NODES) {
        let table = (100 + number).to_string();
        for (_, balancer, network) in HORIZONS {
            let client = format!("{network}.{number}/32");
            ip(&["address", "add", &client, "dev", "lo"]);
            ip(&["rule", "add", "from", &client, "lookup", &table]);
            ip(&["route", "add", balancer, "via", node, "table", &table]);
        }
    }
    // Otherwise the kernel knows no way to the addresses before a source is chosen.
    for (_, balancer, _) in HORIZONS {
        ip(&["route", "add", balancer, "via", NODES[0].1]);
    }
}

/// The node without a gateway is red, and would answer nothing.
fn dropped(balancer: &Balancer) {
    let mut seen = BTreeMap::new();
    for (group, app) in APPS.iter().enumerate() {
        for member in balancer.pool.members(group) {
            if member.node == PREEMPTIBLE {
                assert!(!member.is_healthy(), "{} of {PREEMPTIBLE}", app.door);
                let connected = member.target.connect_within(app.host, PROBE_PATIENCE);
                assert!(matches!(connected.err(), Some(Fault::Connect(_))), "{}", app.door);
                seen.insert(app.door, ());
            }
        }
    }
    assert_eq!(seen.len(), APPS.len());
    println!("  {PREEMPTIBLE} is red and drops connections");
}
