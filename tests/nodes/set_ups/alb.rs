//! Set-up 1: two ALBs and four target groups. TLS ends at the ALBs, which say who the client is.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    CLIENT, Stage, admin_check, all_left, forwarded, groups, mistakes, say, settle, upgraded_and_drained,
};
use crate::apps::{APPS, App};
use crate::balancer::{Balancer, Balances, Behaviour, Check, Member};
use crate::chart::Release;
use crate::client::Target;
use crate::cluster::{BALANCER, NODES};
use crate::controller::{Controller, Wiring};
use crate::load::Load;
use crate::{doctor, doors, policies};

/// What a user of these presets writes. The numbers of the presets are for health checks every 5 s; here everything is five
/// times as fast.
pub fn values() -> Value {
    let door = |app: &App| {
        let values = json!({
            "trustedProxies": [format!("{BALANCER}/32")],
            "publish": { "hostname": app.published },
        });
        (app.door.to_owned(), values)
    };
    let doors: Map<String, Value> = APPS.iter().map(door).collect();
    json!({
        "minReadySeconds": 6,
        "doorDefaults": { "drain": { "wait": "8s", "timeout": "12s" } },
        "doors": doors,
        "tests": {
            "image": { "repository": "localhost/tools", "tag": "1" },
            "hosts": APPS.iter().map(|app| (app.door.to_owned(), json!(app.host))).collect::<Map<_, _>>(),
        },
    })
}

fn target(at: SocketAddr) -> Target {
    Target {
        fields: forwarded(),
        client: CLIENT.to_owned(),
        ..Target::at(at)
    }
}

/// Nodes as targets: what leaves the rotation does so by its health check alone.
fn nodes_as_targets() -> Balancer {
    let behaviour = Behaviour::of_nodes(Balances::Requests);
    let balancer = Balancer::new(groups(&APPS), behaviour);
    for (group, app) in APPS.iter().enumerate() {
        for (node, address) in NODES {
            let at = format!("{address}:{}", app.port).parse().unwrap();
            let check = Check {
                target: Target::at(at),
                host: address.to_owned(),
                path: "/healthz".to_owned(),
            };
            balancer
                .pool
                .register(group, Member::new(node, target(at), Some(check)));
        }
    }
    balancer
}

/// Preset `aws-alb-asg-hostport`.
pub fn host_ports<'a>(stage: &Stage, release: Release<'a>) -> (Release<'a>, Balancer) {
    let release = release.becomes("aws-alb-asg-hostport", values());
    let balancer = nodes_as_targets();
    let cluster = &stage.cluster;
    doors::answer_for_their_own(&balancer, NODES.len());
    doors::confined(cluster, NODES.len());
    doors::one_writer(cluster, &APPS);
    doctor::finds_nothing(cluster);
    let surge = "updateStrategy.rollingUpdate.maxSurge=1,updateStrategy.rollingUpdate.maxUnavailable=0";
    let told = release.refuses(&["--set", surge]);
    assert!(told.contains("a second pod never fits"), "{told}");
    mistakes::surge_on_host_ports(cluster);
    (release, balancer)
}

pub fn host_ports_at_work(stage: &Stage, release: &Release<'_>, balancer: &Balancer) {
    let cluster = &stage.cluster;
    let outcome = upgraded_and_drained(stage, release, balancer, NODES.len());
    all_left(&outcome, NODES.len());
    doors::one_writer(cluster, &APPS);

    say("a node is lost at once, its applications having left it");
    let (lost, _) = NODES[2];
    cluster.drain(lost);
    let load = Load::start(balancer);
    thread::sleep(Duration::from_secs(2));
    cluster.plug(lost, "down");
    balancer.healthy(NODES.len() - 1);
    settle();
    cluster.plug(lost, "up");
    balancer.healthy(NODES.len());
    let outcome = load.finish();
    outcome.assert_whole_but_at("one node lost", lost, NODES.len());
    cluster.uncordon(lost);
}

/// Preset `aws-alb-ip`: pods as targets, which the load balancer's controller registers and deregisters.
pub fn pods<'a>(stage: &Stage, release: Release<'a>) -> Release<'a> {
    let cluster = &stage.cluster;
    policies::grant(
        cluster,
        "office",
        &["internal-http", "internal-https"],
        "*.corp.example.com",
    );
    policies::grant(
        cluster,
        "shop",
        &["external-http", "external-https"],
        "*.example.com",
    );
    let mut values = values();
    values["admissionPolicies"] = policies::enforced();
    let release = release.becomes("aws-alb-ip", values);
    let behaviour = Behaviour {
        balances: Balances::Requests,
        registration: Duration::from_secs(1),
        deregistration: Duration::from_secs(1),
        tries_another: false,
    };
    let balancer = Balancer::new(groups(&APPS), behaviour);
    let wiring = Wiring {
        doors: APPS.map(|app| app.door).to_vec(),
        reach: Box::new(|_, at, path| (target(at), admin_check(path, at))),
    };
    let _controller = Controller::start(cluster, &balancer, wiring);
    doors::answer_for_their_own(&balancer, NODES.len());
    doors::confined(cluster, NODES.len());
    doors::one_writer(cluster, &APPS);
    doctor::finds_nothing(cluster);
    mistakes::wrong_port(cluster);
    mistakes::all_secrets(cluster);
    policies::hold(cluster);
    stage.helm_test(&release);
    let outcome = upgraded_and_drained(stage, &release, &balancer, NODES.len());
    all_left(&outcome, NODES.len());
    release
}
