//! Objects as tests write them.

use serde_json::{Value, json};

use crate::backend::Backend;

/// An Ingress in namespace `default` for one host.
pub fn ingress(name: &str, expose: &str, host: &str, service: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": name, "namespace": "default", "labels": { "expose": expose } },
        "spec": { "rules": [{ "host": host, "http": { "paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": { "service": { "name": service, "port": { "number": 80 } } }
        }] } }] }
    })
}

pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "ports": [{ "port": 80 }] }
    })
}

pub fn slice(service: &str, addresses: &[String], port: u16) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({ "addresses": [address], "conditions": { "ready": true } }))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default",
            "labels": { "kubernetes.io/service-name": service }
        },
        "addressType": "IPv4", "ports": [{ "port": port }], "endpoints": endpoints
    })
}

/// A Service and its endpoint.
pub fn app(name: &str, backend: &Backend) -> [Value; 2] {
    [
        service(name),
        slice(name, &[backend.address.to_string()], backend.port),
    ]
}

pub fn in_namespace(mut object: Value, namespace: &str) -> Value {
    object["metadata"]["namespace"] = namespace.into();
    object
}
