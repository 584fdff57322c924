//! Services of type ExternalName: their routes and problems, for every answer of DNS.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "what cannot be had fails the test"
)]

use std::net::IpAddr;
use std::sync::Arc;

use door::{
    Action, AddressPolicy, BackendPolicy, Blocked, Door, ExternalNames, Ledger, OwnAddresses, PlatformRoots,
    Policy, Publisher, Scheme, Selector, UpstreamProtocol, Verdict, open, publish,
};
use resource::{ClusterView, NameFault, Resolution, manifest};
use route::{Host, HostBuf, PathScratch, normalise_path, normalise_sni};
use rustls::pki_types::CertificateDer;

fn host(name: &str) -> Host {
    Host::of(&normalise_sni(name.as_bytes(), &mut HostBuf::new()).unwrap()).unwrap()
}

fn door() -> (Vec<Publisher<()>>, Door<()>) {
    let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
    let (publisher, door) = open("one".parse().unwrap(), policy, ());
    (vec![publisher], door)
}

fn allowed() -> BackendPolicy {
    BackendPolicy {
        external_names: ExternalNames::Resolved,
        ..BackendPolicy::default()
    }
}

/// An Ingress for `crm.test` that calls `port` of a Service with this `spec` and these annotations.
fn view(spec: &str, port: &str, annotations: &str) -> ClusterView {
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: crm, namespace: shop, labels: {{expose: one}}, annotations: {{{annotations}}}}}\nspec: {{rules: [{{host: crm.test, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: crm, port: {port}}}}}}}]}}}}]}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: crm, namespace: shop}}\nspec: {spec}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: crm-1, namespace: shop, labels: {{kubernetes.io/service-name: crm}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{{addresses: [\"10.9.9.9\"]}}]\n"
    );
    manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]).0
}

const NAMED: &str = "{type: ExternalName, externalName: crm.example.com}";

fn resolution(addresses: &[&str], fault: Option<NameFault>) -> Resolution {
    Resolution {
        addresses: addresses
            .iter()
            .map(|address| address.parse::<IpAddr>().unwrap())
            .collect(),
        left_out: 0,
        fault,
    }
}

fn resolved(mut view: ClusterView, resolution: Option<Resolution>) -> ClusterView {
    let known = resolution.map(|resolution| (host("crm.example.com"), Arc::new(resolution)));
    view.replace_resolutions(Arc::new(known.into_iter().collect()));
    view
}

/// The action for a request, and the problems.
fn outcome(view: &ClusterView, backends: &BackendPolicy) -> (Action, Vec<String>) {
    let (mut publishers, door) = door();
    let reported = publish(&mut publishers, view, backends, &mut Ledger::default());
    let (mut hosts, mut paths) = (HostBuf::default(), PathScratch::default());
    let host = normalise_sni(b"crm.test", &mut hosts).unwrap();
    let path = normalise_path(b"/", &mut paths).unwrap();
    let action = match door.snapshot().find(Some(&host), &path) {
        Verdict::Matched(route) => route.action.clone(),
        Verdict::Redirect { .. } | Verdict::Unknown { .. } | Verdict::NotSynced => {
            panic!("the rule keeps its place")
        }
    };
    (
        action,
        reported.problems().iter().map(ToString::to_string).collect(),
    )
}

fn endpoints(action: &Action) -> Vec<String> {
    let Action::Forward(upstream) = action else {
        return vec![format!("{action:?}")];
    };
    upstream
        .endpoints
        .iter()
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

const AT: &str = "Ingress shop/crm spec.rules[0].http.paths[0].backend";

#[test]
fn each_dns_answer_has_its_endpoints_and_problems() {
    let silence = || NameFault::NoAnswer("none within the time".into());
    let table: [(Option<Resolution>, &[&str], &[String]); 9] = [
        (
            None,
            &[],
            &[format!("note: {AT}: Service `shop/crm` stands for `crm.example.com`: DNS has not answered yet; the rule answers 503 until it does")],
        ),
        (
            Some(resolution(&["192.0.2.1", "2001:db8::1"], None)),
            &["192.0.2.1:80", "[2001:db8::1]:80"],
            &[],
        ),
        (
            Some(resolution(&["192.0.2.1"], Some(silence()))),
            &["192.0.2.1:80"],
            &[format!("note: {AT}: Service `shop/crm` stands for `crm.example.com`: DNS gives no answer: none within the time; the last answer stays in use for a minute")],
        ),
        (
            Some(resolution(&[], Some(silence()))),
            &[],
            &[format!("error: {AT}: Service `shop/crm` stands for `crm.example.com`: DNS gives no answer: none within the time; the rule answers 503")],
        ),
        (
            Some(resolution(&[], Some(NameFault::NoSuchName))),
            &[],
            &[format!("error: {AT}: Service `shop/crm` stands for `crm.example.com`: DNS knows no such name; the rule answers 503")],
        ),
        (
            Some(resolution(&[], Some(NameFault::TooMany(1_000)))),
            &[],
            &[format!("error: {AT}: Service `shop/crm` stands for `crm.example.com`: only 1000 names are resolved: those that the oldest Ingresses use; the rule answers 503")],
        ),
        (
            Some(Resolution {
                left_out: 5,
                ..resolution(&["192.0.2.1"], None)
            }),
            &["192.0.2.1:80"],
            &[format!("note: {AT}: Service `shop/crm` stands for `crm.example.com`: DNS has 6 addresses for it; 1 of them are used")],
        ),
        (
            Some(resolution(&["127.0.0.1", "192.0.2.1"], None)),
            &["192.0.2.1:80"],
            &["error: Service shop/crm spec.externalName: `crm.example.com` is 127.0.0.1:80, which is a loopback address; the gateway does not call it".to_owned()],
        ),
        (
            Some(resolution(&["169.254.169.254"], None)),
            &["Blocked(RefusedAddress)"],
            &[
                format!("error: {AT}: every address of Service `shop/crm` is refused; the rule answers 503"),
                "error: Service shop/crm spec.externalName: `crm.example.com` is 169.254.169.254:80, which is a link-local address (cloud metadata lives there); the gateway does not call it".to_owned(),
            ],
        ),
    ];
    for (known, expected, problems) in table {
        let case = format!("{known:?}");
        let view = resolved(view(NAMED, "{number: 80}", ""), known);
        let (action, reported) = outcome(&view, &allowed());
        assert_eq!(endpoints(&action), expected, "{case}");
        let reported: Vec<String> = reported.iter().map(|line| without_place(line)).collect();
        assert_eq!(reported, problems, "{case}");
    }
}

/// Without `file:line: ` in front.
fn without_place(line: &str) -> String {
    let starts = ["error: ", "warning: ", "note: "];
    let start = starts.iter().filter_map(|start| line.find(start)).min();
    line.get(start.unwrap_or(0)..).unwrap().to_owned()
}

#[test]
fn addresses_are_refused_as_for_any_backend() {
    let own: IpAddr = "192.0.2.77".parse().unwrap();
    let mut backends = BackendPolicy {
        addresses: AddressPolicy {
            refused: vec!["203.0.113.0/24".parse().unwrap()],
            own_addresses: OwnAddresses::At([own].into()),
            own_ports: [80].into(),
            ..AddressPolicy::default()
        },
        ..allowed()
    };
    let refused = [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "192.0.2.77",
        "203.0.113.9",
        "168.63.129.16",
        "fd20:ce::254",
        "64:ff9b::7f00:1",
        "2002:a9fe:a9fe::1",
        "::192.0.2.77",
    ];
    for address in refused {
        let view = resolved(
            view(NAMED, "{number: 80}", ""),
            Some(resolution(&[address], None)),
        );
        let (action, reported) = outcome(&view, &backends);
        assert_eq!(action, Action::Blocked(Blocked::RefusedAddress), "{address}");
        assert_eq!(reported.len(), 2, "{reported:?}");
    }
    // With loopback allowed the own ports stay refused: a name must not make the gateway its own backend.
    backends.addresses.allow_loopback = true;
    let loopback = |port: &str| resolved(view(NAMED, port, ""), Some(resolution(&["127.0.0.1"], None)));
    let (action, _) = outcome(&loopback("{number: 80}"), &backends);
    assert_eq!(action, Action::Blocked(Blocked::RefusedAddress));
    let (action, reported) = outcome(&loopback("{number: 8080}"), &backends);
    assert_eq!(
        (endpoints(&action), reported),
        (vec!["127.0.0.1:8080".to_owned()], vec![])
    );
}

#[test]
fn a_name_that_changes_to_a_refused_address_loses_its_endpoints() {
    let (mut publishers, door) = door();
    let mut ledger = Ledger::default();
    let mut view = view(NAMED, "{number: 80}", "");
    for (address, expected) in [
        ("192.0.2.1", "[Endpoint { address: 192.0.2.1:80, pod: None }]"),
        ("127.0.0.1", "Blocked(RefusedAddress)"),
        ("192.0.2.1", "[Endpoint { address: 192.0.2.1:80, pod: None }]"),
    ] {
        view = resolved(view, Some(resolution(&[address], None)));
        publish(&mut publishers, &view, &allowed(), &mut ledger);
        let snapshot = door.snapshot();
        let row = snapshot.routes().next().unwrap();
        assert!(
            format!("{:?}", row.action.action).contains(expected),
            "{:?}",
            row.action.action
        );
    }
}

#[test]
fn external_names_are_refused_unless_they_are_allowed() {
    let known = || Some(resolution(&["192.0.2.1"], None));
    let view_of = |spec| resolved(view(spec, "{number: 80}", ""), known());
    let (action, reported) = outcome(&view_of(NAMED), &BackendPolicy::default());
    assert_eq!(action, Action::Blocked(Blocked::RefusedAddress));
    assert!(
        reported[0].contains("is of type ExternalName, which is refused"),
        "{reported:?}"
    );

    let unasked = BackendPolicy {
        external_names: ExternalNames::Unasked,
        ..BackendPolicy::default()
    };
    let (_, reported) = outcome(&resolved(view_of(NAMED), None), &unasked);
    assert!(
        reported[0].contains("note: ") && reported[0].contains("DNS is not queried here"),
        "{reported:?}"
    );

    for broken in [
        "{type: ExternalName}",
        "{type: ExternalName, externalName: 10.0.0.1}",
    ] {
        let (action, reported) = outcome(&view_of(broken), &allowed());
        assert_eq!(action, Action::Blocked(Blocked::NoSuchBackend), "{broken}");
        assert!(
            reported[0].contains("its externalName is not a name in DNS"),
            "{reported:?}"
        );
    }
}

#[test]
fn ports_are_those_of_the_ingress() {
    let ports = "{type: ExternalName, externalName: crm.example.com, ports: [{name: web, port: 8080}, {name: rpc, port: 9000, appProtocol: grpc}, {name: dns, port: 53, protocol: UDP}]}";
    let table = [
        (NAMED, "{number: 8443}", Ok((8443, UpstreamProtocol::Http1))),
        (NAMED, "{name: web}", Err(Blocked::NoSuchBackend)),
        (ports, "{name: web}", Ok((8080, UpstreamProtocol::Http1))),
        (ports, "{number: 9000}", Ok((9000, UpstreamProtocol::H2c))),
        (ports, "{number: 9001}", Ok((9001, UpstreamProtocol::Http1))),
        (ports, "{name: nothing}", Err(Blocked::NoSuchBackend)),
        (ports, "{number: 53}", Err(Blocked::Protocol)),
    ];
    for (spec, port, expected) in table {
        let view = resolved(view(spec, port, ""), Some(resolution(&["192.0.2.1"], None)));
        let got = match outcome(&view, &allowed()).0 {
            Action::Forward(upstream) => {
                assert_eq!(upstream.endpoints[0].address.port(), upstream.port);
                Ok((upstream.port, upstream.protocol.clone()))
            }
            Action::Blocked(reason) => Err(reason),
            Action::Redirect => panic!("nobody asks for it"),
        };
        assert_eq!(got, expected, "{spec} {port}");
    }
}

#[test]
fn tls_verifies_the_external_name_by_default() {
    let certified = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let backends = BackendPolicy {
        platform_roots: PlatformRoots::new([CertificateDer::from(certified.cert.der().to_vec())]),
        ..allowed()
    };
    let https =
        "{type: ExternalName, externalName: CRM.example.com., ports: [{port: 443, appProtocol: https}]}";
    let table = [
        (https, "", "crm.example.com"),
        (
            NAMED,
            "nginx.ingress.kubernetes.io/backend-protocol: HTTPS",
            "crm.example.com",
        ),
        (
            https,
            "blastdoor.dev/backend-tls-name: other.example.com",
            "other.example.com",
        ),
    ];
    for (spec, annotations, expected) in table {
        let view = resolved(
            view(spec, "{number: 443}", annotations),
            Some(resolution(&["192.0.2.1"], None)),
        );
        let (Action::Forward(upstream), reported) = outcome(&view, &backends) else {
            panic!("it can be spoken to")
        };
        let UpstreamProtocol::Tls(tls) = &upstream.protocol else {
            panic!("over TLS: {reported:?}")
        };
        assert_eq!(tls.server_name.to_str(), expected, "{annotations}");
    }
}

/// What a Service without ports configures for its ports is not lost.
#[test]
fn an_annotation_of_the_service_applies_to_unlisted_ports() {
    let mut yaml_view = view(NAMED, "{number: 443}", "");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: crm, namespace: shop, annotations: {traefik.ingress.kubernetes.io/service.serversscheme: h2c}}\nspec: {type: ExternalName, externalName: crm.example.com}\n";
    for placed in manifest::parse("service.yaml", service.as_bytes()).objects {
        yaml_view.insert(placed.object);
    }
    let view = resolved(yaml_view, Some(resolution(&["192.0.2.1"], None)));
    let (Action::Forward(upstream), _) = outcome(&view, &allowed()) else {
        panic!("it can be spoken to")
    };
    assert_eq!(upstream.protocol, UpstreamProtocol::H2c);
}
