//! What every door must do, written once; the file of each door gives its name, labels, scheme and port.

use gateway_tests::{Backend, Client, DOORS, gateway, get, manifest};

/// One application behind each door; every label that should select the door under test does.
pub(crate) fn answers_its_own_and_refuses_the_others(door: &str, labels: &[&str]) {
    for label in labels {
        let backends: Vec<Backend> = DOORS.iter().map(|name| Backend::start(name)).collect();
        let mut builder = gateway!();
        for (name, backend) in DOORS.iter().zip(&backends) {
            let label = if *name == door { label } else { name };
            let yaml = manifest::app(
                &format!("app-{name}"),
                label,
                &format!("{name}.test"),
                backend.port(),
            );
            builder = builder.manifest(&format!("{name}.yaml"), &yaml);
        }
        let unlabelled = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: bare, namespace: test}\n\
                          spec: {rules: [{host: bare.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: app-external-http, port: {number: 80}}}}]}}]}\n";
        let gateway = builder.manifest("bare.yaml", unlabelled).start();
        let address = gateway.door(door);
        let mut client = Client::connect(address);
        for name in DOORS {
            let response = client
                .get(&format!("{name}.test"), "/path?query")
                .expect("an answer");
            let expected = if name == door {
                (200, name.to_owned())
            } else {
                (404, "Not Found\n".to_owned())
            };
            assert_eq!(
                (response.status, response.text()),
                expected,
                "{name} at {door}, label {label}"
            );
        }
        assert_eq!(get(address, "bare.test", "/").status, 404, "no label, no door");
        for (name, backend) in DOORS.iter().zip(&backends) {
            assert_eq!(
                backend.requests(),
                usize::from(*name == door),
                "requests that reached {name}"
            );
        }
    }
}

/// The scheme and port are the door's, whatever the client claims.
pub(crate) fn the_backend_learns_the_doors_scheme_and_port(door: &str, scheme: &str, port: &str) {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest(
            "app.yaml",
            &manifest::app("app", door, "app.test", backend.port()),
        )
        .start();
    let mut client = Client::connect(gateway.door(door));
    let lie = "GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 7\r\n\
               X-Forwarded-Host: other.test\r\nX-Blastdoor-Door: other\r\nForwarded: proto=gopher\r\n\r\n";
    assert_eq!(client.request(lie).expect("an answer").status, 200);
    let seen = backend.last();
    assert_eq!(seen.field("x-forwarded-proto"), Some(scheme));
    assert_eq!(seen.field("x-forwarded-port"), Some(port));
    assert_eq!(seen.field("x-forwarded-host"), Some("app.test"));
    assert_eq!(seen.field("x-blastdoor-door"), Some(door));
    assert_eq!(seen.field("forwarded"), None);
}
