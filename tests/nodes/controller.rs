//! What stands in for the AWS Load Balancer Controller: it reads TargetGroupBindings, and Services of its class, and
//! registers the pods behind them as targets of type `ip`. A pod is registered once it is ready, and deregistered when it is terminating.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::{Deserializer, Value, json};

use crate::balancer::{Balancer, Check, Member, Pool};
use crate::chart::NAME;
use crate::client::Target;
use crate::cluster::Cluster;

/// Of the load balancer that the target groups belong to.
pub struct Wiring {
    /// In the order of the balancer's groups.
    pub doors: Vec<&'static str>,
    /// How it reaches and checks a target of a group at this address.
    pub reach: Box<dyn Fn(usize, SocketAddr, &str) -> (Target, Check) + Send + Sync>,
}

/// A controller at work.
pub struct Controller {
    watch: Child,
}

/// A binding: the group, the Service and its port.
struct Binding {
    group: usize,
    service: String,
    port: String,
    /// What its health check asks for at the admin port.
    path: String,
}

/// Of each EndpointSlice, by name: the Service and the addresses of its ready pods, with their node, by port.
type Slices = BTreeMap<String, (String, BTreeSet<(String, SocketAddr, String)>)>;

impl Controller {
    /// Begins to follow the bindings and the Services of the chart. The name of each target group ends with the door that it
    /// is for.
    pub fn start(cluster: &Cluster, balancer: &Balancer, wiring: Wiring) -> Self {
        let mut bindings = bound(cluster, &wiring.doors);
        bindings.extend(made(cluster, &wiring.doors));
        let groups: BTreeSet<usize> = bindings.iter().map(|binding| binding.group).collect();
        let counts = (groups.len(), bindings.len());
        let doors = wiring.doors.len();
        assert_eq!(counts, (doors, doors), "one target group for each door");
        let mut watch = Command::new("kubectl")
            .args(["get", "endpointslices", "-n", NAME, "-o", "json"])
            .args(["--watch", "--output-watch-events"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let events = BufReader::new(watch.stdout.take().unwrap());
        balancer.pool.spawn(move |pool| {
            let mut slices = Slices::new();
            let mut registered = BTreeMap::new();
            for event in Deserializer::from_reader(events).into_iter::<Value>() {
                let Ok(event) = event else { break };
                read(&event, &mut slices);
                reconcile(pool, &bindings, &wiring, &slices, &mut registered);
            }
        });
        Self { watch }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        drop(self.watch.kill());
        drop(self.watch.wait());
    }
}

/// As the controller resolves TargetGroupBindings, whose groups check `/lb/DOOR`.
fn bound(cluster: &Cluster, doors: &[&str]) -> Vec<Binding> {
    let mut bindings = Vec::new();
    for object in cluster.objects(&["get", "targetgroupbindings", "-n", NAME]) {
        let spec = &object["spec"];
        assert_eq!(spec["targetType"], "ip", "{object}");
        // arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID
        let arn = spec["targetGroupARN"].as_str();
        let name = arn.and_then(|arn| arn.split('/').nth(1));
        let name = name.or(spec["targetGroupName"].as_str()).unwrap();
        let group = doors.iter().position(|door| name.ends_with(door)).unwrap();
        let service = spec["serviceRef"]["name"].as_str().unwrap().to_owned();
        let found = cluster.objects(&["get", "service", &service, "-n", NAME]);
        let wanted = &spec["serviceRef"]["port"];
        let ports = found[0]["spec"]["ports"].as_array().unwrap();
        let port = ports
            .iter()
            .find(|port| port["name"] == *wanted || port["port"] == *wanted);
        let port = port.unwrap_or_else(|| panic!("{service} has no port {wanted}"));
        bindings.push(Binding {
            group,
            service,
            port: port["name"].as_str().unwrap_or_default().to_owned(),
            path: format!("/lb/{}", doors[group]),
        });
    }
    bindings
}

/// The groups of the NLBs that the controller makes for Services: one for each port.
fn made(cluster: &Cluster, doors: &[&str]) -> Vec<Binding> {
    let mut bindings = Vec::new();
    for service in cluster.objects(&["get", "services", "-n", NAME]) {
        let spec = &service["spec"];
        if spec["loadBalancerClass"] != "service.k8s.aws/nlb" {
            continue;
        }
        let told = |key: &str| {
            let key = format!("service.beta.kubernetes.io/aws-load-balancer-{key}");
            service["metadata"]["annotations"][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert_eq!(told("nlb-target-type"), "ip", "{service}");
        assert_eq!(told("healthcheck-port"), "10254", "{service}");
        for port in spec["ports"].as_array().unwrap() {
            let port = port["name"].as_str().unwrap().to_owned();
            bindings.push(Binding {
                group: doors.iter().position(|door| *door == port).unwrap(),
                service: service["metadata"]["name"].as_str().unwrap().to_owned(),
                port,
                path: told("healthcheck-path"),
            });
        }
    }
    bindings
}

fn read(event: &Value, slices: &mut Slices) {
    let slice = &event["object"];
    let name = slice["metadata"]["name"].as_str().unwrap().to_owned();
    if event["type"] == "DELETED" {
        slices.remove(&name);
        return;
    }
    let service = slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str();
    let mut found = BTreeSet::new();
    for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
        if endpoint["conditions"]["ready"] != true {
            continue;
        }
        let address = endpoint["addresses"][0].as_str().unwrap();
        let node = endpoint["nodeName"].as_str().unwrap();
        for port in slice["ports"].as_array().into_iter().flatten() {
            let name = port["name"].as_str().unwrap_or_default().to_owned();
            let at = format!("{address}:{}", port["port"]).parse().unwrap();
            found.insert((name, at, node.to_owned()));
        }
    }
    slices.insert(name, (service.unwrap_or_default().to_owned(), found));
}

fn reconcile(
    pool: &Arc<Pool>,
    bindings: &[Binding],
    wiring: &Wiring,
    slices: &Slices,
    registered: &mut BTreeMap<usize, BTreeSet<SocketAddr>>,
) {
    for Binding {
        group,
        service,
        port,
        path,
    } in bindings
    {
        let ready: BTreeMap<SocketAddr, &str> = slices
            .values()
            .filter(|(of, _)| of == service)
            .flat_map(|(_, pods)| pods)
            .filter(|(name, _, _)| name == port)
            .map(|(_, at, node)| (*at, node.as_str()))
            .collect();
        let known = registered.entry(*group).or_default();
        for gone in known.iter().filter(|at| !ready.contains_key(at)) {
            pool.deregister(*group, *gone);
        }
        for (at, node) in &ready {
            if !known.contains(at) {
                let (target, check) = (wiring.reach)(*group, *at, path);
                pool.register(*group, Member::new(node, target, Some(check)));
            }
        }
        *known = ready.into_keys().collect();
    }
}

/// The controller's own kind, without the schema.
pub fn define(cluster: &Cluster) {
    let name = "targetgroupbindings.elbv2.k8s.aws";
    cluster.apply_objects(vec![json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": name },
        "spec": {
            "group": "elbv2.k8s.aws", "scope": "Namespaced",
            "names": {
                "kind": "TargetGroupBinding", "listKind": "TargetGroupBindingList",
                "plural": "targetgroupbindings", "singular": "targetgroupbinding",
            },
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                } },
            }],
        },
    })]);
    cluster.established(name);
}
