//! Objects as tests write them.

use serde_json::{Value, json};

use crate::apiserver::ApiServer;
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

/// Services that answer with their names.
pub fn apps(server: &ApiServer, names: &[&str]) -> Vec<Backend> {
    let mut backends = Vec::new();
    for name in names {
        let backend = Backend::start(name);
        for object in app(name, &backend) {
            server.create(&object);
        }
        backends.push(backend);
    }
    backends
}

/// A backend as Ingresses write it.
pub fn backend(service: &str) -> Value {
    json!({ "service": { "name": service, "port": { "number": 80 } } })
}

/// A rule for one host: path, path type, Service.
pub fn rule(host: &str, paths: &[(&str, &str, &str)]) -> Value {
    let paths: Vec<Value> = paths
        .iter()
        .map(|(path, kind, service)| json!({ "path": path, "pathType": kind, "backend": backend(service) }))
        .collect();
    let mut rule = json!({ "http": { "paths": paths } });
    if !host.is_empty() {
        rule["host"] = host.into();
    }
    rule
}

/// An Ingress in namespace `default` with this spec.
pub fn ingress_with(name: &str, expose: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": name, "namespace": "default", "labels": { "expose": expose } },
        "spec": spec
    })
}
