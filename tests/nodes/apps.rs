//! The applications: one behind each door, in two replicas on two nodes, as a team would write them.

use serde_json::{Value, json};

/// Pods of each application.
pub const REPLICAS: usize = 2;

/// How a team has its pods end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A moment for everyone to hear of it, then no new requests.
    Waiting,
    /// At once, with whatever is in flight.
    Abrupt,
}

/// An application and its door.
#[derive(Clone, Copy)]
pub struct App {
    pub name: &'static str,
    pub namespace: &'static str,
    pub door: &'static str,
    pub host: &'static str,
    /// The port of its door, in every pod.
    pub port: u16,
    /// What the door publishes.
    pub published: &'static str,
}

/// Doors and ports are those of the chart.
pub const APPS: [App; 4] = [
    App {
        name: "wiki",
        namespace: "office",
        door: "internal-http",
        host: "wiki.corp.example.com",
        port: 10000,
        published: "internal.example.com",
    },
    App {
        name: "payroll",
        namespace: "office",
        door: "internal-https",
        host: "payroll.corp.example.com",
        port: 10001,
        published: "internal.example.com",
    },
    App {
        name: "blog",
        namespace: "shop",
        door: "external-http",
        host: "blog.example.com",
        port: 10002,
        published: "external.example.com",
    },
    App {
        name: "shop",
        namespace: "shop",
        door: "external-https",
        host: "shop.example.com",
        port: 10003,
        published: "external.example.com",
    },
];

impl App {
    /// A host of another domain at the same door has another certificate.
    pub fn domain(&self) -> &'static str {
        self.host.split_once('.').unwrap_or_default().1
    }

    /// A host of the same domain that nobody has.
    pub fn nowhere(&self) -> String {
        self.host.replacen(self.name, "nowhere", 1)
    }

    pub fn objects(&self, end: End) -> [Value; 3] {
        [self.deployment(end), self.service(), self.ingress()]
    }

    fn metadata(&self, labels: &Value) -> Value {
        json!({ "name": self.name, "namespace": self.namespace, "labels": labels })
    }

    fn deployment(&self, end: End) -> Value {
        let field = |path: &str| json!({ "fieldRef": { "fieldPath": path } });
        let mut env = vec![
            json!({ "name": "APP", "value": self.name }),
            json!({ "name": "POD_NAME", "valueFrom": field("metadata.name") }),
            json!({ "name": "NODE_NAME", "valueFrom": field("spec.nodeName") }),
        ];
        let mut container = json!({
            "name": "app", "image": "localhost/backend:1",
            "ports": [{ "containerPort": 8080 }],
            "readinessProbe": { "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 },
            "securityContext": { "runAsNonRoot": true, "runAsUser": 65532 },
        });
        match end {
            End::Waiting => container["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 3 } } }),
            End::Abrupt => env.push(json!({ "name": "ABRUPT", "value": "1" })),
        }
        container["env"] = env.into();
        let labels = json!({ "app": self.name });
        let spread = json!([{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": { "matchLabels": labels }, "matchLabelKeys": ["pod-template-hash"],
        }]);
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.metadata(&json!({})),
            "spec": {
                "replicas": REPLICAS, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [container], "topologySpreadConstraints": spread },
                },
            },
        })
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": self.metadata(&json!({})),
            "spec": { "selector": { "app": self.name }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        })
    }

    fn ingress(&self) -> Value {
        let backend = json!({ "service": { "name": self.name, "port": { "number": 80 } } });
        let paths = json!([{ "path": "/", "pathType": "Prefix", "backend": backend }]);
        let mut spec = json!({ "rules": [{ "host": self.host, "http": { "paths": paths } }] });
        if self.door.ends_with("-https") {
            // For those set-ups whose doors end TLS.
            spec["tls"] = json!([{ "hosts": [self.host], "secretName": format!("{}-tls", self.name) }]);
        }
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": self.metadata(&json!({ "expose": self.door })), "spec": spec,
        })
    }
}
