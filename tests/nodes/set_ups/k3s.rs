//! Set-up 4: three servers whose addresses Cloudflare's DNS has, without a load balancer and without health checks.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::{CLIENT, Stage, groups, mistakes, say, settle};
use crate::apps::{APPS, App};
use crate::balancer::{Balancer, Balances, Behaviour, Member};
use crate::chart::Release;
use crate::client::Target;
use crate::cluster::{NODES, ip, until};
use crate::load::Load;
use crate::{doctor, doors};

const PRESET: &str = "k3s-hostnetwork-cloudflare";
/// One of Cloudflare's addresses. It exists in the namespaces of this cluster alone.
pub const CLOUDFLARE: &str = "173.245.48.7";

fn values() -> Value {
    let door = |app: &App| {
        (
            app.door.to_owned(),
            json!({ "publish": { "hostname": app.published } }),
        )
    };
    let doors: serde_json::Map<String, Value> = external().iter().map(door).collect();
    json!({ "doors": doors, "secrets": { "named": { "shop": ["shop-tls"] } } })
}

fn external() -> Vec<App> {
    APPS.into_iter()
        .filter(|app| app.door.starts_with("external"))
        .collect()
}

/// Preset `k3s-hostnetwork-cloudflare`.
pub fn run(stage: &Stage) {
    let cluster = &stage.cluster;
    let nodes = NODES.len();
    cluster.set_sysctls("deploy/helm/blastdoor/files/60-blastdoor.conf");
    stage.origin_secrets();
    let release = Release::install(cluster, Some(PRESET), values());
    ip(&["address", "replace", &format!("{CLOUDFLARE}/32"), "dev", "lo"]);
    let balancer = Balancer::new(
        groups(&external()),
        Behaviour {
            tries_another: true,
            ..Behaviour::of_nodes(Balances::Requests)
        },
    );
    for (group, app) in external().iter().enumerate() {
        for (node, address) in NODES {
            let is_tls = app.door == "external-https";
            let port = if is_tls { 443 } else { 80 };
            let target = Target {
                source: Some(CLOUDFLARE.parse().unwrap()),
                tls: is_tls.then(|| Arc::clone(&stage.cloudflare)),
                fields: format!("CF-Connecting-IP: {CLIENT}\r\n"),
                client: CLIENT.to_owned(),
                ..Target::at(format!("{address}:{port}").parse().unwrap())
            };
            balancer.pool.register(group, Member::new(node, target, None));
        }
    }
    doors::answer_for_their_own(&balancer, nodes);
    doors::confined(cluster, nodes);
    doors::one_writer(cluster, &external());
    // The internal applications have no door here, which stays so.
    doctor::finds(cluster, "GW502", &["payroll"]);
    doctor::finds_nothing_but(cluster, &["GW502"]);

    say("its mistakes: no origin certificate, a taken port, the node's resolver, a short grace period");
    let started = Instant::now();
    let https = balancer
        .pool
        .groups
        .iter()
        .position(|group| group.app.door == "external-https")
        .unwrap();
    let member = &balancer.pool.members(https)[1];
    mistakes::no_origin_certificate(stage);
    mistakes::taken_port(cluster, &member.node, &member.target, external()[https].host);
    mistakes::resolver_of_the_node(cluster);
    mistakes::short_grace(cluster);
    release.rolled_out();
    // Pods of the rollouts that were broken off are still leaving: what is found because of them goes with them.
    doctor::finds_nothing_but(cluster, &["GW502"]);
    doors::answer_for_their_own(&balancer, nodes);
    println!("  the mistakes took {:.0} s", started.elapsed().as_secs_f64());

    let before = cluster.gateways();
    let load = Load::start(&balancer);
    let started = Instant::now();
    release.upgrade(&[]);
    println!("  the upgrade took {:.0} s", started.elapsed().as_secs_f64());
    settle();
    let outcome = load.finish();
    outcome.assert_whole("a new process beside the old one", nodes);
    assert_eq!(outcome.elsewhere, 0, "no port was ever closed");
    let after = cluster.gateways();
    assert_eq!(after.len(), nodes, "{after:?}");
    assert!(after.is_disjoint(&before), "{after:?} and before {before:?}");

    let (gone, _) = NODES[0];
    let load = Load::start(&balancer);
    settle();
    cluster.evict(gone);
    settle();
    let outcome = load.finish();
    outcome.assert_whole("a node drained that DNS still has", nodes);
    assert!(outcome.elsewhere > 0, "Cloudflare had to try another node");
    cluster.readmit(gone);
    release.rolled_out();
    until("the node is back", || {
        match balancer.pool.members(0)[0].target.get(external()[0].host, "/") {
            Ok(_) => Ok(()),
            Err(fault) => Err(fault.to_string()),
        }
    });
    doors::one_writer(cluster, &external());
    drop(balancer);
    release.uninstall();
}
