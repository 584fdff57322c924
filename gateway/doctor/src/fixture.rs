//! Clusters for tests, made from a few words.

use serde_json::{Value, json};

use crate::gateway::{ClientIp, Configuration, Door, Front, Gateways, ProxyProtocol, Request};
use crate::{Availability, Finding, Inventory, Kind, Report, examine};

/// A cluster. All kinds are read; the gateway is `blastdoor/blastdoor` and has the four standard doors.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) inventory: Inventory,
    pub(crate) configuration: Configuration,
    pub(crate) request: Request,
    /// When it is looked at, as RFC 3339.
    pub(crate) now: &'static str,
}

/// The labels of the gateway's pods.
fn labels() -> Value {
    json!({"app.kubernetes.io/name": "blastdoor"})
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut inventory = Inventory::default();
        for kind in Kind::ALL {
            inventory.set_availability(kind, Availability::Read);
        }
        let doors = [
            ("internal-http", 10000, "http"),
            ("internal-https", 10001, "https"),
            ("external-http", 10002, "http"),
            ("external-https", 10003, "https"),
        ];
        Self {
            inventory,
            configuration: Configuration {
                doors: doors.map(|(name, port, scheme)| door(name, port, scheme)).into(),
                admin: Some("[::]:10254".parse().unwrap()),
                namespaces: Vec::new(),
                reads_no_secrets: false,
                warnings: Vec::new(),
            },
            request: Request::default(),
            now: "2026-11-27T12:00:00Z",
        }
    }

    /// With an object, as the API writes it.
    pub(crate) fn with(mut self, object: Value) -> Self {
        self.inventory.insert(object);
        assert_eq!(self.inventory.unreadable, [], "an object of a test is understood");
        self
    }

    /// With ready nodes.
    pub(crate) fn nodes(self, names: &[&str]) -> Self {
        names
            .iter()
            .fold(self, |fixture, name| fixture.node(name, json!({})))
    }

    /// With a ready node that has these labels.
    pub(crate) fn node(self, name: &str, labels: Value) -> Self {
        self.with(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                       "addresses": [{"type": "InternalIP", "address": format!("192.0.2.{}", self_number(name))}]},
        }))
    }

    /// With the gateway as a DaemonSet with ready pods on these nodes. `changes` are merged into the pod's spec.
    pub(crate) fn daemon_set(self, nodes: &[&str], changes: Value) -> Self {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "blastdoor", "namespace": "blastdoor", "generation": 1},
            "spec": {"selector": {"matchLabels": labels()},
                     "template": {"metadata": {"labels": labels()}, "spec": pod_spec(&changes)}},
            "status": {"desiredNumberScheduled": nodes.len(), "currentNumberScheduled": nodes.len(),
                       "numberReady": nodes.len(), "numberAvailable": nodes.len(), "numberMisscheduled": 0,
                       "observedGeneration": 1},
        });
        self.with(set).pods(nodes, &changes)
    }

    /// With the gateway as a Deployment with ready pods on these nodes, one for each mention.
    pub(crate) fn deployment(self, nodes: &[&str], changes: Value) -> Self {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "blastdoor", "namespace": "blastdoor"},
            "spec": {"replicas": nodes.len(), "selector": {"matchLabels": labels()},
                     "template": {"metadata": {"labels": labels()}, "spec": pod_spec(&changes)}},
        });
        self.with(deployment).pods(nodes, &changes)
    }

    /// With ready pods of the gateway on these nodes.
    fn pods(self, nodes: &[&str], changes: &Value) -> Self {
        let mut fixture = self;
        for node in nodes {
            let number = fixture.inventory.pods.len();
            let mut spec = pod_spec(changes);
            spec["nodeName"] = json!(node);
            fixture = fixture.with(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("blastdoor-{number}"), "namespace": "blastdoor", "labels": labels()},
                "spec": spec,
                "status": {"phase": "Running", "hostIP": format!("192.0.2.{}", self_number(node)),
                           "conditions": [{"type": "Ready", "status": "True"}]},
            }));
        }
        fixture
    }

    /// With a Service that selects the gateway's pods and has a port for each door. `changes` are merged into its spec.
    /// The EndpointSlice lists the pods that there are so far.
    pub(crate) fn service(self, name: &str, changes: Value) -> Self {
        let doors = self.configuration.doors.iter();
        let ports = doors.map(|door| json!({"name": door.name.as_str(), "port": door.port()}));
        let ports: Vec<Value> = ports.collect();
        let mut spec = json!({"selector": labels(), "ports": ports});
        merge(&mut spec, &changes);
        let pods = self.inventory.pods.iter();
        let endpoints = pods.map(|pod| {
            json!({
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": pod.spec.as_ref().unwrap().node_name,
                "targetRef": {"kind": "Pod", "name": pod.metadata.name, "namespace": "blastdoor"},
            })
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-1"), "namespace": "blastdoor",
                         "labels": {"kubernetes.io/service-name": name}},
            "endpoints": endpoints.collect::<Vec<_>>(),
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "blastdoor"},
            "spec": spec,
        });
        self.with(service).with(slice)
    }

    /// With another door setting.
    pub(crate) fn door(mut self, name: &str, change: impl FnOnce(&mut Door)) -> Self {
        let mut doors = self.configuration.doors.iter_mut();
        change(doors.find(|door| door.name.as_str() == name).unwrap());
        self
    }

    /// Everything that is found.
    pub(crate) fn report(&self) -> Report {
        let read = |_process: &crate::Process| Ok(self.configuration.clone());
        let gateways = Gateways::find(&self.inventory, &self.request, read);
        assert!(!gateways.workloads.is_empty(), "the gateway of a test is found");
        examine(
            &self.inventory,
            &gateways,
            &self.request,
            self.now.parse().unwrap(),
        )
    }

    /// What is found under this name.
    pub(crate) fn findings(&self, id: &str) -> Vec<Finding> {
        let findings = self.report().findings.into_iter();
        findings.filter(|finding| finding.id.0 == id).collect()
    }
}

/// A door as the presets make it, which trusts a private network.
pub(crate) fn door(name: &str, port: u16, scheme: &str) -> Door {
    let scheme = match scheme {
        "http" => door::Scheme::Http,
        _ => door::Scheme::Https,
    };
    let selector = door::Selector::parse(&format!("expose={name}")).unwrap();
    Door {
        name: name.parse().unwrap(),
        address: ([0, 0, 0, 0], port).into(),
        front: Front::Other,
        client_ip: ClientIp::Peer,
        proxy_protocol: ProxyProtocol::Off,
        trusted: Vec::new(),
        trusted_file: None,
        trusted_fetched: None,
        health_path: None,
        drain_wait: std::time::Duration::from_secs(5),
        drain_timeout: std::time::Duration::from_secs(30),
        idle: std::time::Duration::from_secs(620),
        policy: door::Policy::new(selector, scheme),
    }
}

/// What a pod of the gateway is, with changes.
fn pod_spec(changes: &Value) -> Value {
    let mut spec = json!({
        "containers": [{"name": "blastdoor", "image": "registry.example.com/blastdoor:0.1.0"}],
        "terminationGracePeriodSeconds": 120,
    });
    merge(&mut spec, changes);
    spec
}

/// JSON Merge Patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// A number for an address, by the name of a node.
fn self_number(name: &str) -> u8 {
    name.bytes().fold(0_u8, u8::wrapping_add)
}
