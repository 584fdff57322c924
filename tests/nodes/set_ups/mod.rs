//! Each set-up: installed by its preset, behind what stands in for its load balancer, and driven from outside.

pub mod alb;
pub mod gke;
pub mod k3s;
pub mod k3s_traefik;
mod mistakes;
pub mod nlb;
pub mod nodeport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gateway_tests::Dns;
use gateway_tests::tls::{Authority, Offer, TlsClient};
use serde_json::json;

use crate::apps::{APPS, App};
use crate::balancer::{Balancer, Check, Group};
use crate::chart::{NAME, Release};
use crate::client::Target;
use crate::cluster::{BALANCER, Cluster, NODES};
use crate::load::{Load, Outcome};

/// The admin port, where load balancers ask for `/lb/DOOR`.
const ADMIN: u16 = 10254;
/// Who the client is, if a load balancer has to say it.
const CLIENT: &str = "198.51.100.7";

/// What all set-ups share.
pub struct Stage {
    pub cluster: Cluster,
    pub authority: Authority,
    pub tls: Arc<TlsClient>,
    /// The same with the client certificate of Authenticated Origin Pulls.
    pub cloudflare: Arc<TlsClient>,
    pulls: Authority,
    /// The cluster's.
    dns: Dns,
}

impl Stage {
    pub fn new(cluster: Cluster) -> Self {
        let authority = Authority::new("nodes");
        let pulls = Authority::new("origin pulls");
        let identity = pulls.client("cloudflare");
        let client = |identity| {
            Arc::new(TlsClient::new(&Offer {
                authority: Some(&authority),
                identity,
                ..Offer::default()
            }))
        };
        Self {
            tls: client(None),
            cloudflare: client(Some(&identity)),
            cluster,
            authority,
            pulls,
            dns: Dns::start_at(&format!("{BALANCER}:53")),
        }
    }

    /// `helm test`, which asks for the host of each door at every door of the pods.
    fn helm_test(&self, release: &Release<'_>) {
        let pods = self.cluster.objects(&[
            "get",
            "pods",
            "-n",
            NAME,
            "-l",
            "app.kubernetes.io/name=blastdoor",
        ]);
        let addresses = pods.iter().filter_map(|pod| pod["status"]["podIP"].as_str());
        let name = format!("{NAME}.{NAME}.svc.cluster.local");
        self.dns.resolves(&name, &addresses.collect::<Vec<_>>(), 1);
        let told = release.test();
        let answered = told.lines().filter(|line| line.starts_with("ok ")).count();
        // Each door is asked for its own host, for those of the three others, and for one that exists nowhere.
        assert_eq!(answered, APPS.len() * (APPS.len() + 1), "{told}");
        println!("  helm test: {answered} answers are right");
    }

    /// A certificate for these names, in a Secret.
    pub fn certificate(&self, namespace: &str, name: &str, names: &[&str]) {
        let certificate = self.authority.server(names);
        self.cluster.apply_objects(vec![json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "name": name, "namespace": namespace },
            "stringData": { "tls.crt": certificate.chain, "tls.key": certificate.key },
        })]);
    }

    /// What the doors behind Cloudflare need: an origin certificate of the zone, and the authority of its origin pulls.
    fn origin_secrets(&self) {
        self.cluster.namespace(NAME);
        self.certificate(NAME, "cloudflare-origin", &["*.example.com"]);
        self.cluster.apply_objects(vec![json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "cloudflare-origin-pull", "namespace": NAME },
            "stringData": { "ca.crt": self.pulls.pem() },
        })]);
    }
}

pub fn say(what: &str) {
    println!("--- {what}");
}

/// The target groups of these doors.
fn groups(apps: &[App]) -> Vec<Group> {
    apps.iter().map(|app| Group { app: *app }).collect()
}

/// A path of the admin port.
fn admin_check(path: &str, at: SocketAddr) -> Check {
    let mut at = at;
    at.set_port(ADMIN);
    Check {
        target: Target::at(at),
        host: at.to_string(),
        path: path.to_owned(),
    }
}

/// What an ALB adds to a request: the client may have written what it wants before.
fn forwarded() -> String {
    format!("X-Forwarded-For: 192.0.2.99, {CLIENT}\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 70\r\n")
}

/// An upgrade of the gateway, and a drain of one node with all its pods, under load: nothing fails.
fn upgraded_and_drained(stage: &Stage, release: &Release<'_>, balancer: &Balancer, nodes: usize) -> Outcome {
    let cluster = &stage.cluster;
    let before = cluster.gateways();
    let load = Load::start(balancer);
    let started = Instant::now();
    release.upgrade(&[]);
    println!("  the upgrade took {:.0} s", started.elapsed().as_secs_f64());
    let after = cluster.gateways();
    assert_eq!(after.len(), nodes, "{after:?}");
    assert!(after.is_disjoint(&before), "{after:?} and before {before:?}");
    balancer.healthy(nodes);

    let (node, _) = NODES[0];
    cluster.evict(node);
    balancer.healthy(nodes - 1);
    settle();
    let outcome = load.finish();
    outcome.assert_whole("an upgrade, and a node drained", nodes);
    cluster.readmit(node);
    balancer.healthy(nodes);
    outcome
}

/// The last of the old ones are still on their way out when an update counts as done.
pub fn settle() {
    thread::sleep(Duration::from_secs(5));
}

/// Every door has left the rotation at every node once, or the load proved nothing.
fn all_left(outcome: &Outcome, nodes: usize) {
    assert_eq!(outcome.left.len(), APPS.len() * nodes, "{outcome:?}");
}
