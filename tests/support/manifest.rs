//! Manifests as tests write them.

use std::fmt::Write;

/// An Ingress in namespace `test` that a door's label chooses.
#[must_use]
pub fn ingress(name: &str, expose: &str, rules: &[(&str, &str, &str, &str)]) -> String {
    let mut yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: test\n  labels:\n    expose: {expose}\nspec:\n  rules:\n"
    );
    for (host, path_type, path, service) in rules {
        rule(&mut yaml, host, path_type, path, service);
    }
    yaml.push_str("---\n");
    yaml
}

fn rule(yaml: &mut String, host: &str, path_type: &str, path: &str, service: &str) {
    let host = if host.is_empty() {
        String::new()
    } else {
        format!("host: \"{host}\"\n    ")
    };
    write!(
        yaml,
        "  - {host}http:\n      paths:\n      - path: \"{path}\"\n        pathType: {path_type}\n        backend:\n          service:\n            name: {service}\n            port:\n              number: 80\n"
    )
    .unwrap();
}

/// A Service with one unnamed port, and its endpoints on loopback.
#[must_use]
pub fn service(name: &str, ports: &[u16]) -> String {
    let mut yaml = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: test\nspec:\n  ports:\n  - port: 80\n---\n"
    );
    yaml.push_str(&slices(name, ports, "{}"));
    yaml
}

/// As `service`, whose port says what it speaks.
#[must_use]
pub fn service_speaking(name: &str, ports: &[u16], app_protocol: &str) -> String {
    service(name, ports).replacen(
        "  - port: 80\n",
        &format!("  - port: 80\n    appProtocol: {app_protocol}\n"),
        1,
    )
}

/// One EndpointSlice per port, all with these conditions.
#[must_use]
pub fn slices(service: &str, ports: &[u16], conditions: &str) -> String {
    let mut yaml = String::new();
    for port in ports {
        write!(
            yaml,
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {service}-{port}\n  namespace: test\n  labels:\n    kubernetes.io/service-name: {service}\naddressType: IPv4\nports:\n- port: {port}\nendpoints:\n- addresses: [\"127.0.0.1\"]\n  conditions: {conditions}\n---\n"
        )
        .unwrap();
    }
    yaml
}

/// An Ingress for one host at one door, its Service and its endpoint.
#[must_use]
pub fn app(name: &str, expose: &str, host: &str, port: u16) -> String {
    ingress(name, expose, &[(host, "Prefix", "/", name)]) + &service(name, &[port])
}

/// As `app`, whose Service's port says what it speaks.
#[must_use]
pub fn app_speaking(name: &str, expose: &str, host: &str, port: u16, app_protocol: &str) -> String {
    ingress(name, expose, &[(host, "Prefix", "/", name)]) + &service_speaking(name, &[port], app_protocol)
}
