//! Services, EndpointSlices and the other kinds.

use resource::{AppProtocol, Endpoint, EndpointPort, EndpointSlice, Object, Protocol, Service, ServiceType};
use route::ObjectKey;

use crate::{read, reported, view};

fn service(rest: &str) -> (Service, Vec<String>) {
    let manifest = read(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\n{rest}"
    ));
    let view = view(&manifest);
    ((**view.services().next().unwrap()).clone(), reported(&manifest))
}

#[test]
fn services_of_every_type_are_read() {
    let table = [
        ("spec: {}\n", ServiceType::ClusterIp),
        (
            "spec: {type: ClusterIP, clusterIP: 10.0.0.1}\n",
            ServiceType::ClusterIp,
        ),
        ("spec: {clusterIP: None}\n", ServiceType::Headless),
        ("spec: {type: NodePort}\n", ServiceType::NodePort),
        ("spec: {type: LoadBalancer}\n", ServiceType::LoadBalancer),
        (
            "spec: {type: ExternalName, externalName: a.test}\n",
            ServiceType::ExternalName(Ok(host("a.test"))),
        ),
        (
            "spec: {type: ExternalName, externalName: A.test.}\n",
            ServiceType::ExternalName(Ok(host("a.test"))),
        ),
    ];
    for (spec, kind) in table {
        let (service, reported) = service(spec);
        assert_eq!((service.kind, reported.len()), (kind, 0), "{spec}");
    }
}

#[test]
fn an_external_name_must_be_a_name_in_dns() {
    let broken = [
        ("", "`` is not a name in DNS: the host is empty"),
        (
            "10.0.0.1",
            "`10.0.0.1` is not a name in DNS: a server name is not an IP address; for an address write a Service without selector and an EndpointSlice",
        ),
        (
            "\"[::1]\"",
            "`[::1]` is not a name in DNS: the host has a character other than letters, digits, `-`, `_` and `.`",
        ),
        (
            "a.test..",
            "`a.test..` is not a name in DNS: the host has an empty label",
        ),
        (
            "\"a.test:80\"",
            "`a.test:80` is not a name in DNS: the host has a character other than letters, digits, `-`, `_` and `.`",
        ),
    ];
    for (name, message) in broken {
        let (service, reported) = service(&format!("spec: {{type: ExternalName, externalName: {name}}}\n"));
        assert!(
            matches!(service.kind, ServiceType::ExternalName(Err(_))),
            "{name}"
        );
        assert_eq!(
            reported,
            [format!(
                "4: error: Service shop/web spec.externalName: {message}; rules that use the Service answer 503"
            )]
        );
    }
}

#[test]
fn protocols_of_service_ports_are_read_and_senseless_ports_are_left_out() {
    let protocols = [
        ("http", AppProtocol::Http),
        ("HTTP", AppProtocol::Http),
        ("kubernetes.io/ws", AppProtocol::Http),
        ("kubernetes.io/h2c", AppProtocol::H2c),
        ("grpc", AppProtocol::Grpc),
        ("https", AppProtocol::Https),
        ("kubernetes.io/wss", AppProtocol::Wss),
    ];
    for (written, protocol) in protocols {
        let (service, reported) = service(&format!(
            "spec: {{ports: [{{port: 80, appProtocol: {written}}}]}}\n"
        ));
        assert_eq!(
            (service.ports[0].app_protocol, reported.len()),
            (protocol, 0),
            "{written}"
        );
    }
    let problems = [
        (
            "{port: 80, appProtocol: mysql}",
            "[0].appProtocol: `mysql` means nothing to an HTTP gateway; the backend gets HTTP/1.1",
            1,
        ),
        (
            "{port: 0}",
            "[0].port: 0 is not a port (1 to 65535); the Service port is ignored",
            0,
        ),
        (
            "{port: 80, protocol: tcp}",
            "[0].protocol: `tcp` is not a protocol; write TCP, UDP or SCTP; the port is ignored",
            0,
        ),
        (
            "{name: a, port: 80}, {name: b, port: 80}",
            "[1].port: port 80 is listed twice; the first one counts",
            1,
        ),
        (
            "{name: a, port: 80}, {name: a, port: 81}",
            "[1].name: name `a` is used twice; the first port counts",
            1,
        ),
        (
            "{name: a, port: 80}, {port: 81}",
            "[1].name: every port of a Service with several ports needs a name, by which endpoints find it",
            2,
        ),
        (
            "{port: http}",
            "[0].port: expected a whole number of 32 bits, found text",
            0,
        ),
    ];
    for (ports, message, left) in problems {
        let (service, reported) = service(&format!("spec:\n  ports: [{ports}]\n"));
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(
            reported[0].starts_with("5: ")
                && reported[0].ends_with(&format!("Service shop/web spec.ports{message}")),
            "{reported:?}"
        );
        assert_eq!(service.ports.len(), left, "{ports}");
    }
    let (_, reported) = service("spec: {type: clusterip}\n");
    assert_eq!(
        reported,
        [
            "4: error: Service shop/web spec.type: `clusterip` is not a Service type; write ClusterIP, NodePort, LoadBalancer or ExternalName; treated as ClusterIP"
        ]
    );
}

fn host(name: &str) -> route::Host {
    let mut scratch = route::HostBuf::new();
    let host = route::normalise_sni(name.as_bytes(), &mut scratch).unwrap();
    route::Host::of(&host).unwrap()
}

fn slice(rest: &str) -> (Option<EndpointSlice>, Vec<String>) {
    let manifest = read(&format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}\n{rest}"
    ));
    let slice = view(&manifest)
        .endpoint_slices(&ObjectKey::new("shop", "web"))
        .next()
        .map(|slice| (**slice).clone());
    (slice, reported(&manifest))
}

#[test]
fn endpoint_slices_are_read() {
    let (sound, reported) = slice(
        "addressType: IPv4\nports: [{name: http, port: 8080}, {name: '', port: 1, protocol: UDP}, {}]\nendpoints:\n\
         - {addresses: [10.0.0.1, 10.0.0.2], zone: a, targetRef: {kind: Pod, name: web-1}}\n\
         - {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}\n\
         - {addresses: [10.0.0.4], conditions: {ready: false}, targetRef: {kind: VirtualMachine, name: web-2}}\n",
    );
    let sound = sound.unwrap();
    assert_eq!(reported, [""; 0]);
    let endpoint = |address: &str, ready, serving, terminating| Endpoint {
        address: address.parse().unwrap(),
        ready,
        serving,
        terminating,
        pod: (address == "10.0.0.1").then(|| "web-1".into()),
    };
    assert_eq!(
        *sound.endpoints,
        [
            endpoint("10.0.0.1", true, true, false),
            endpoint("10.0.0.3", false, true, true),
            endpoint("10.0.0.4", false, false, false),
        ]
    );
    let port = |name: Option<&str>, port, protocol| EndpointPort {
        name: name.map(Into::into),
        port,
        protocol,
    };
    assert_eq!(
        *sound.ports,
        [
            port(Some("http"), Some(8080), Protocol::Tcp),
            port(None, Some(1), Protocol::Udp),
            port(None, None, Protocol::Tcp)
        ]
    );
}

#[test]
fn a_mistake_in_an_endpoint_slice_costs_its_part_alone() {
    let problems = [
        (
            "addressType: IPv4\nendpoints: [{addresses: [::1]}]\n",
            "5: error: {} endpoints[0].addresses[0]: `::1` is not an IPv4 address; the endpoint is ignored",
        ),
        (
            "addressType: IPv6\nendpoints: [{addresses: [web]}]\n",
            "5: error: {} endpoints[0].addresses[0]: `web` is not an IPv6 address; the endpoint is ignored",
        ),
        (
            "addressType: IPv4\nendpoints: [{addresses: []}]\n",
            "5: error: {} endpoints[0].addresses: the endpoint has no address and is ignored",
        ),
        (
            "addressType: IPv4\nendpoints: [{}]\n",
            "5: error: {} endpoints[0].addresses: the endpoint has no address and is ignored",
        ),
        (
            "addressType: IPv4\nports: [{port: 99999}]\n",
            "5: error: {} ports[0].port: 99999 is not a port (1 to 65535); it is ignored",
        ),
        (
            "addressType: IPv4\nports: [{port: http}]\n",
            "5: error: {} ports[0].port: expected a whole number of 32 bits, found text",
        ),
        (
            "endpoints: []\n",
            "1: error: {} addressType: the address type is missing; write IPv4 or IPv6",
        ),
        (
            "addressType: ipv4\n",
            "4: error: {} addressType: `ipv4` is not an address type; write IPv4 or IPv6",
        ),
        (
            "addressType: FQDN\n",
            "4: note: {} addressType: slices of host names (FQDN) are not used; the slice is ignored",
        ),
        (
            "addressType: IPv4\nendpoint: []\n",
            "5: warning: {} endpoint: unknown field, which is ignored; did you mean `endpoints`?",
        ),
    ];
    for (rest, message) in problems {
        let (slice, reported) = slice(rest);
        assert_eq!(reported, [message.replace("{}", "EndpointSlice shop/web-1")]);
        assert!(
            slice.is_none_or(|slice| slice.endpoints.is_empty() && slice.ports.is_empty()),
            "{rest}"
        );
    }

    let (unsure, reported) =
        slice("addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: maybe}}]\n");
    assert_eq!(reported.len(), 1);
    assert!(
        !unsure.unwrap().endpoints[0].ready,
        "readiness that cannot be read is none"
    );

    let lone = read(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web}\naddressType: IPv4\n",
    );
    assert_eq!(
        crate::reported(&lone),
        [
            "3: note: EndpointSlice default/web metadata.labels[kubernetes.io/service-name]: the slice belongs to no Service and is ignored; write this label with the Service's name"
        ]
    );
}

/// As `base64` prints it, in the ways in which YAML and JSON write more than one line.
#[test]
fn base64_may_be_broken_into_lines() {
    let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: cert}\n";
    for data in [
        "data:\n  a: |\n    aGVs\n    bG8=\n",
        "data:\n  a: >\n    aGVs\n    bG8=\n",
        "data:\n  a: aGVs\n    bG8=\n",
        "data:\n  a: \"aGVs\\r\\nbG8=\\n\"\n",
        "data: {a: ' aGVsbG8= '}\n",
    ] {
        let text = format!("{head}{data}");
        let manifest = read(&text);
        assert_eq!(reported(&manifest), [""; 0], "{text}");
        let Object::Secret(secret) = &manifest.objects[0].object else {
            panic!("no Secret")
        };
        assert_eq!(
            secret.data.get("a").map(|data| &**data),
            Some(&b"hello"[..]),
            "{text}"
        );
    }
}

#[test]
fn problems_and_debug_output_show_no_secret() {
    let manifest = read(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: cert}\ntype: kubernetes.io/tls\ndata: {a: aGVsbG8=, b: hunter2!, c: 12345, d: aGVsbG8=}\nstringData: {d: plain, e: 67890}\n",
    );
    assert_eq!(
        reported(&manifest),
        [
            "5: error: Secret default/cert data[b]: expected base64, found text; encode it, or write it as it is under `stringData`",
            "5: error: Secret default/cert data[c]: expected base64, found a whole number",
            "6: error: Secret default/cert stringData[e]: expected text, found a whole number; write it in quotes",
        ]
    );
    let Object::Secret(secret) = &manifest.objects[0].object else {
        panic!("no Secret")
    };
    assert_eq!(&*secret.kind, "kubernetes.io/tls");
    assert_eq!(secret.data.get("a").map(|data| &**data), Some(&b"hello"[..]));
    assert_eq!(secret.data.get("d").map(|data| &**data), Some(&b"plain"[..]));
    assert_eq!(secret.data.len(), 2);
    let shown = format!("{secret:?} {manifest:?}");
    for hidden in ["hello", "104, 101", "plain", "hunter2", "12345", "67890"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn classes_and_config_maps_are_read() {
    let manifest = read(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: blastdoor, annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}\nspec: {controller: blastdoor.dev/gateway}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: odd, annotations: {ingressclass.kubernetes.io/is-default-class: 'yes'}}\n",
    );
    assert_eq!(
        reported(&manifest),
        [
            "17: error: IngressClass odd metadata.annotations[ingressclass.kubernetes.io/is-default-class]: `yes` is neither `true` nor `false`; the class is not the default"
        ]
    );
    let view = view(&manifest);
    let class = view.class("blastdoor").unwrap();
    assert_eq!(
        (class.is_default, class.controller.as_deref()),
        (true, Some("blastdoor.dev/gateway"))
    );
    assert!(!view.class("odd").unwrap().is_default);
    // A Namespace is read without a word, and nothing is kept of it.
    assert_eq!(manifest.objects.len(), 3);
    assert_eq!(
        view.config_map(&ObjectKey::new("default", "c"))
            .unwrap()
            .data
            .get("a")
            .map(|text| &**text),
        Some("b")
    );
}
