//! Objects as application teams write them, and as Kubernetes does for them.

use std::net::IpAddr;

use serde_json::{Value, json};

/// An Ingress for one host, to one Service of the same name.
pub fn ingress(namespace: &str, name: &str, labels: &Value, host: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "spec": { "rules": [{ "host": host, "http": { "paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": { "service": { "name": name, "port": { "number": 80 } } }
        }] } }] }
    })
}

pub fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

/// A Service in namespace `default`.
pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "default" },
        "spec": { "ports": [{ "port": 80 }] }
    })
}

/// The only endpoint of a Service, whose port has a name or `null`.
pub fn endpoint(service: &str, port_name: &Value, address: IpAddr, port: u16) -> Value {
    let mut ports = json!([{ "port": port }]);
    if port_name.is_string() {
        ports[0]["name"] = port_name.clone();
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default",
            "labels": { "kubernetes.io/service-name": service }
        },
        "addressType": "IPv4", "ports": ports,
        "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }]
    })
}
