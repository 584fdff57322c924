//! An NLB with PROXY protocol version 2: every connection begins with its header, health checks as well. TLS ends at the
//! doors.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{CLIENT, Stage, admin_check, all_left, groups, upgraded_and_drained};
use crate::apps::{APPS, App};
use crate::balancer::{Balancer, Balances, Behaviour};
use crate::chart::{NAME, Release};
use crate::client::Target;
use crate::cluster::{BALANCER, NODES};
use crate::controller::{Controller, Wiring};
use crate::{doctor, doors};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, command PROXY, TCP over IPv4: the client's address and port, then those that it connected to.
fn of_client(at: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(client) = CLIENT.parse().unwrap() else {
        unreachable!("the client has an IPv4 address")
    };
    let IpAddr::V4(to) = at.ip() else {
        unreachable!("pods have IPv4 addresses")
    };
    let mut header = SIGNATURE.to_vec();
    header.extend([0x21, 0x11, 0, 12]);
    header.extend(client.octets());
    header.extend(to.octets());
    header.extend(40_000_u16.to_be_bytes());
    header.extend(at.port().to_be_bytes());
    header
}

/// Version 2, command LOCAL: the load balancer's own connections.
fn of_check() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

fn values() -> Value {
    let door = |app: &App| {
        let values = json!({
            "trustedProxies": [format!("{BALANCER}/32")],
            "publish": { "hostname": app.published },
        });
        (app.door.to_owned(), values)
    };
    let doors: serde_json::Map<String, Value> = APPS.iter().map(door).collect();
    let secrets = json!({ "office": ["payroll-tls"], "shop": ["shop-tls"] });
    json!({
        "minReadySeconds": 6,
        "doorDefaults": { "drain": { "wait": "14s", "timeout": "12s" } },
        "doors": doors,
        "secrets": { "named": secrets },
    })
}

/// Preset `aws-nlb-proxy-v2`.
pub fn pods<'a>(stage: &Stage, release: Release<'a>) -> Release<'a> {
    let cluster = &stage.cluster;
    stage.certificate(NAME, "edge-tls", &["*.example.com", "*.corp.example.com"]);
    let release = release.becomes("aws-nlb-proxy-v2", values());
    // As an NLB: two minutes of new connections after a deregistration, in a tenth of the time.
    let behaviour = Behaviour {
        balances: Balances::Connections,
        registration: Duration::from_secs(2),
        deregistration: Duration::from_secs(12),
        tries_another: false,
    };
    let balancer = Balancer::new(groups(&APPS), behaviour);
    let tls = Arc::clone(&stage.tls);
    let reach = move |group: usize, at: SocketAddr, path: &str| {
        let target = Target {
            preface: of_client(at),
            client: CLIENT.to_owned(),
            tls: APPS[group].door.ends_with("-https").then(|| Arc::clone(&tls)),
            ..Target::at(at)
        };
        let mut check = admin_check(path, at);
        check.target.preface = of_check();
        (target, check)
    };
    let wiring = Wiring {
        doors: APPS.map(|app| app.door).to_vec(),
        reach: Box::new(reach),
    };
    let _controller = Controller::start(cluster, &balancer, wiring);
    doors::answer_for_their_own(&balancer, NODES.len());
    bare(&balancer);
    doctor::finds_nothing(cluster);
    let outcome = upgraded_and_drained(stage, &release, &balancer, NODES.len());
    all_left(&outcome, NODES.len());
    release
}

/// A connection without the header gets no answer.
fn bare(balancer: &Balancer) {
    for (group, members) in balancer.pool.groups.iter().zip(balancer.healthy(NODES.len())) {
        for member in members {
            let without = Target {
                preface: Vec::new(),
                ..member.target.clone()
            };
            let answer = without.get(group.app.host, "/");
            assert!(
                answer.is_err(),
                "{} of {}: {answer:?}",
                group.app.door,
                member.node
            );
        }
    }
}
