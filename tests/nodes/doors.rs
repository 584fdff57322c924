//! What holds for every set-up: doors that serve their own hosts alone, processes that may do nothing, and one writer.

use std::collections::BTreeSet;

use serde_json::json;

use crate::apps::App;
use crate::balancer::{Balancer, Group};
use crate::client::{Fault, Target};
use crate::cluster::{Asked, Cluster, until};

/// Through every target the right application answers, and hosts of other doors get the same answer as hosts that exist
/// nowhere.
pub fn answer_for_their_own(balancer: &Balancer, nodes: usize) {
    let targets = balancer.healthy(nodes);
    let groups = &balancer.pool.groups;
    for (group, members) in groups.iter().zip(targets) {
        for member in members {
            let what = format!("{} of {}", group.app.door, member.node);
            // kubelet calls a pod ready a moment before its addresses are everywhere.
            until(&what, || match member.target.get(group.app.host, "/hello") {
                Ok(answer) if member.target.is_answered(&group.app, &answer) => Ok(()),
                other => Err(format!("{other:?}, not {:?}", member.target.told(&group.app))),
            });
            for other in groups.iter().filter(|other| other.app.name != group.app.name) {
                refused(&what, &member.target, group, &other.app);
            }
        }
    }
    println!(
        "  {} doors of {nodes} nodes answer for their own hosts alone",
        groups.len()
    );
}

fn refused(what: &str, target: &Target, group: &Group, other: &App) {
    // What a client says of a certificate has the host in it.
    let ask = |host: &str| {
        let answer = target.get(host, "/hello");
        answer.map_err(|fault| match fault {
            Fault::Handshake(why) => Fault::Handshake(why.replace(host, "HOST")),
            fault => fault,
        })
    };
    let refused = ask(other.host);
    let sibling = group.app.door.replace("-http", "-https");
    match &refused {
        // A door that redirects does so for exactly what the other one serves.
        Ok(answer) if other.door == sibling && answer.status == 308 => {
            let location = format!("location: https://{}/hello", other.host);
            let head = answer.head.to_ascii_lowercase();
            assert!(head.lines().any(|line| line == location), "{what}: {head}");
            return;
        }
        Ok(answer) => assert_eq!(answer.status, 404, "{what}: {}", other.host),
        // Its certificate does not cover that domain: no handshake for either.
        Err(fault) => assert!(
            target.tls.is_some() && matches!(fault, Fault::Handshake(_)),
            "{what}: {}: {fault}",
            other.host
        ),
    }
    assert_eq!(refused, ask(&other.nowhere()), "{what}: {}", other.host);
}

/// What the kernel reports about the processes, rather than what the manifest asks for.
pub fn confined(cluster: &Cluster, nodes: usize) {
    let processes = cluster.processes();
    assert_eq!(processes.len(), nodes);
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

/// Only the holder of the Lease has written the status, and no gateway has requested more than the chart grants.
pub fn one_writer(cluster: &Cluster, apps: &[App]) {
    for app in apps {
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
    let asked = granted(cluster);
    let writers: BTreeSet<&str> = asked
        .iter()
        .filter(|asked| asked.what == "patch ingresses/status")
        .map(|asked| asked.pod.as_str())
        .collect();
    // Addresses are not written again when they are there already: of all pods ever, the first holder did.
    assert_eq!(writers.len(), 1, "{writers:?}");
    println!("  {holder} holds the Lease; {writers:?} wrote the status");
}

/// The gateways' requests to the API server, none of which has been refused.
pub fn granted(cluster: &Cluster) -> Vec<Asked> {
    let asked = cluster.asked();
    let refused: Vec<_> = asked
        .iter()
        .filter(|asked| asked.code == 401 || asked.code == 403)
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let kinds: BTreeSet<&str> = asked.iter().map(|asked| asked.what.as_str()).collect();
    println!(
        "  asked of the API server, none refused: {}",
        kinds.into_iter().collect::<Vec<_>>().join(", ")
    );
    asked
}
