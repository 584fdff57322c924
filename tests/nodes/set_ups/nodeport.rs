//! Set-up 3 as it is found: a NodePort behind an ALB, with `externalTrafficPolicy: Local` copied from the internet.

use std::process::Command;

use serde_json::{Value, json};

use super::{CLIENT, Stage, forwarded, groups};
use crate::apps::APPS;
use crate::balancer::{Balancer, Balances, Behaviour, Check, Member};
use crate::chart::{NAME, Release};
use crate::client::{Fault, PROBE_PATIENCE, Target};
use crate::cluster::{BALANCER, NODES};
use crate::doctor;

const HORIZONS: [&str; 2] = ["internal", "external"];

/// One pod, on whichever node, behind node ports of all nodes.
fn values() -> Value {
    let service = json!({ "enabled": true, "type": "NodePort" });
    json!({
        "kind": "Deployment", "replicaCount": 1,
        "doorDefaults": {
            "behind": "alb", "healthPath": "/healthz", "trustedProxies": [format!("{BALANCER}/32")],
            "drain": { "wait": "2s", "timeout": "12s" },
        },
        "services": { "internal": service, "external": service },
    })
}

/// Installs it, sees what its users see, and what the doctor says.
pub fn as_found(stage: &Stage) -> Release<'_> {
    let cluster = &stage.cluster;
    let release = Release::install(cluster, None, values());
    let local = json!({ "spec": { "externalTrafficPolicy": "Local" } }).to_string();
    for horizon in HORIZONS {
        let name = format!("{NAME}-{horizon}");
        cluster.kubectl(&["patch", "service", &name, "-n", NAME, "--patch", &local]);
    }
    cluster.apply_objects(bindings());

    let balancer = Balancer::new(groups(&APPS), Behaviour::of_nodes(Balances::Requests));
    for (group, app) in APPS.iter().enumerate() {
        let (horizon, _) = app.door.split_once('-').unwrap();
        let service = cluster.objects(&["get", "service", &format!("{NAME}-{horizon}"), "-n", NAME]);
        let ports = service[0]["spec"]["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == app.door).unwrap();
        for (node, address) in NODES {
            let at = format!("{address}:{}", port["nodePort"]).parse().unwrap();
            let target = Target {
                fields: forwarded(),
                client: CLIENT.to_owned(),
                ..Target::at(at)
            };
            let check = Check {
                target: Target::at(at),
                host: address.to_owned(),
                path: "/healthz".to_owned(),
            };
            balancer
                .pool
                .register(group, Member::new(node, target, Some(check)));
        }
    }
    let healthy = balancer.healthy(1);
    for (group, app) in APPS.iter().enumerate() {
        let well = &healthy[group][0];
        let answer = well.target.get(app.host, "/hello").unwrap();
        assert!(well.target.is_answered(app, &answer), "{answer:?}");
        for member in balancer.pool.members(group) {
            if member.node != well.node {
                let connected = member.target.connect_within(app.host, PROBE_PATIENCE);
                assert!(
                    matches!(connected.err(), Some(Fault::Connect(_))),
                    "{}",
                    member.node
                );
                let seen = from_the_node_itself(&member, app.host);
                assert!(seen.starts_with("HTTP/1.1 200 "), "{}: {seen}", member.node);
            }
        }
    }
    let red: Vec<&str> = NODES
        .map(|(node, _)| node)
        .into_iter()
        .filter(|node| *node != healthy[0][0].node)
        .collect();
    println!("  {red:?} time out for the ALB, while curl on them succeeds");
    doctor::finds(cluster, "GW103", &red);
    drop(balancer);
    cluster.kubectl(&["delete", "targetgroupbindings", "--all", "-n", NAME]);
    release
}

/// By which the controller registers all nodes.
fn bindings() -> Vec<Value> {
    let binding = |app: &crate::apps::App| {
        let (horizon, _) = app.door.split_once('-').unwrap();
        json!({
            "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
            "metadata": { "name": app.door, "namespace": NAME },
            "spec": {
                "targetGroupName": format!("found-{}", app.door), "targetType": "instance",
                "serviceRef": { "name": format!("{NAME}-{horizon}"), "port": app.door },
                "networking": { "ingress": [{
                    "from": [{ "securityGroup": { "groupID": format!("sg-0000000000000000{}", horizon.len() % 7) } }],
                    "ports": [{ "protocol": "TCP" }],
                }] },
            },
        })
    };
    APPS.iter().map(binding).collect()
}

/// What misleads whoever debugs it.
fn from_the_node_itself(member: &Member, host: &str) -> String {
    let at = member.target.address;
    let script = format!(
        "exec 3<>/dev/tcp/{}/{}; printf 'GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3",
        at.ip(),
        at.port()
    );
    let namespace = format!("--net=/run/netns/blastdoor-{}", member.node);
    let output = Command::new("nsenter")
        .args([&namespace, "timeout", "5", "bash", "-c", &script])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
