//! Addresses that are never called, whoever names them. They come in EndpointSlices, like all others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use door::{
    Action, AddressPolicy, BackendPolicy, Blocked, Door, ExternalNames, Ledger, OwnAddresses, Policy,
    Publisher, Scheme, Selector, open, publish,
};
use proptest::prelude::*;
use resource::{ClusterView, manifest};

fn doors() -> (Vec<Publisher<()>>, Vec<Door<()>>) {
    let policy = |selector: &str| Policy::new(Selector::parse(selector).unwrap(), Scheme::Http);
    ["inside", "outside"]
        .map(|door| open(door.parse().unwrap(), policy(&format!("expose={door}")), ()))
        .into_iter()
        .unzip()
}

/// An Ingress of a tenant and its Service, for each of these addresses.
fn view(endpoints: &[SocketAddr]) -> ClusterView {
    let mut yaml = String::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let (ip, port) = (endpoint.ip(), endpoint.port());
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        write!(
            yaml,
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: a{index}, namespace: tenant, labels: {{expose: outside}}}}\n\
             spec: {{rules: [{{host: a{index}.test, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: a{index}, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: a{index}, namespace: tenant}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: a{index}, namespace: tenant, labels: {{kubernetes.io/service-name: a{index}}}}}\n\
             addressType: {family}\nports: [{{port: {port}}}]\nendpoints: [{{addresses: [\"{ip}\"]}}]\n---\n"
        )
        .unwrap();
    }
    manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]).0
}

/// Every address that any door calls.
fn called(doors: &[Door<()>]) -> BTreeSet<SocketAddr> {
    let mut called = BTreeSet::new();
    for door in doors {
        for row in door.snapshot().routes() {
            match &row.action.action {
                Action::Forward(upstream) => {
                    called.extend(upstream.endpoints.iter().map(|endpoint| endpoint.address));
                }
                Action::Blocked(reason) => assert_eq!(*reason, Blocked::RefusedAddress),
                Action::Redirect => panic!("nobody asks for it"),
            }
        }
    }
    called
}

fn backends(addresses: AddressPolicy) -> BackendPolicy {
    BackendPolicy {
        addresses,
        external_names: ExternalNames::Refused,
        ..BackendPolicy::default()
    }
}

/// Those of `endpoints` that are called.
fn calls(endpoints: &[SocketAddr], policy: &AddressPolicy) -> BTreeSet<SocketAddr> {
    let (mut publishers, doors) = doors();
    publish(
        &mut publishers,
        &view(endpoints),
        &backends(policy.clone()),
        &mut Ledger::default(),
    );
    called(&doors)
}

fn at(texts: &[&str], port: u16) -> Vec<SocketAddr> {
    let address = |text: &&str| SocketAddr::new(text.parse().expect(text), port);
    texts.iter().map(address).collect()
}

fn own(addresses: &[&str], ports: &[u16]) -> AddressPolicy {
    AddressPolicy {
        own_addresses: OwnAddresses::At(addresses.iter().map(|text| text.parse().unwrap()).collect()),
        own_ports: ports.iter().copied().collect(),
        ..AddressPolicy::default()
    }
}

/// Every way in which standards put an IPv4 address into one of IPv6.
fn dressed(ip: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let bytes = |octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets));
    let words = |segments: [u16; 8]| IpAddr::V6(Ipv6Addr::from(segments));
    let local = [0, 0x64, 0xff, 0x9b, 0, 1];
    let [p, q, r, s, t, u] = local;
    vec![
        words([0, 0, 0, 0, 0, 0, high, low]),
        words([0, 0, 0, 0, 0, 0xffff, high, low]),
        words([0, 0, 0, 0, 0xffff, 0, high, low]),
        words([0x64, 0xff9b, 0, 0, 0, 0, high, low]),
        words([0x2002, high, low, 0, 0, 0, 0, 1]),
        words([0x2002, high, low, 0x77, 1, 2, 3, 4]),
        words([0x2001, 0, high, low, 0, 0x5000, 0x3fff, 0xfd2a]),
        words([0x2001, 0, 0x4136, 0xe378, 0, 0x5000, !high, !low]),
        words([0x2001, 0xdb8, 0, 0, 0, 0x5efe, high, low]),
        words([0x2001, 0xdb8, 0, 0, 0x200, 0x5efe, high, low]),
        bytes([p, q, r, s, t, u, a, b, 0, c, d, 0, 0, 0, 0, 0]),
        bytes([p, q, r, s, t, u, 0, a, 0, b, c, d, 0, 0, 0, 0]),
        bytes([p, q, r, s, t, u, 0, 0, 0, a, b, c, d, 0, 0, 0]),
        bytes([p, q, r, s, t, u, 0, 0, 0, 0, 0, 0, a, b, c, d]),
    ]
}

#[test]
fn special_addresses_are_refused() {
    let refused = at(
        &[
            // Clouds.
            "169.254.169.254",
            "169.254.170.23",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "fd00:a9fe:a9fe::1",
            "fd00:100::100:200",
            "fe80::a9fe:a9fe",
            // Assigned to nobody.
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "224.0.0.1",
            "240.0.0.1",
            "254.1.2.3",
            "255.255.255.255",
            "::",
            "::1",
            "::0.1.2.3",
            "64:ff9b::0.1.2.3",
            "2002:1:203::1",
            "febf::1",
            "ff02::1",
        ],
        8080,
    );
    assert_eq!(calls(&refused, &own(&[], &[])), BTreeSet::new());
    let ordinary = at(
        &[
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.201",
            "168.63.129.17",
            "169.253.255.255",
            "172.16.0.1",
            "192.0.0.193",
            "192.168.1.1",
            "192.0.2.1",
            "223.255.255.255",
            "1.0.0.1",
            "fd00::1",
            "fd00:10:244::5",
            "fd00:ec1::254",
            "fd00:ec3::254",
            "fd20:ce::255",
            "fd00:42::43",
            "fc00::1",
            "2001:db8::1",
            "2001:db8:0:0:1:5efe:7f00:1",
            "2a00::1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:5",
            "64:ff9b:1:a00:0:500::",
            "2002:808:808::1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "::10.0.0.1",
        ],
        8080,
    );
    assert_eq!(
        calls(&ordinary, &own(&[], &[])),
        ordinary.iter().copied().collect()
    );
}

#[test]
fn an_embedded_ipv4_address_is_judged_as_itself() {
    let mut policy = own(&["192.0.2.77"], &[8080]);
    policy.refused = vec!["203.0.113.0/24".parse().unwrap()];
    for written in [
        "127.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "240.0.0.1",
        "192.0.2.77",
        "203.0.113.9",
    ] {
        let dressed = dressed(written.parse().unwrap());
        let endpoints: Vec<SocketAddr> = dressed.iter().map(|ip| SocketAddr::new(*ip, 8080)).collect();
        assert_eq!(calls(&endpoints, &policy), BTreeSet::new(), "{written}");
    }
    // At other ports the gateway's own address is like any other.
    let dressed = dressed("192.0.2.77".parse().unwrap());
    let endpoints: Vec<SocketAddr> = dressed.iter().map(|ip| SocketAddr::new(*ip, 8081)).collect();
    assert_eq!(calls(&endpoints, &policy).len(), endpoints.len());
}

#[test]
fn configured_networks_are_refused() {
    let mut policy = own(&[], &[]);
    policy.refused = ["10.9.0.0/16", "2001:db8:bad::/48", "127.0.0.0/8"]
        .map(|network| network.parse().unwrap())
        .into();
    // Loopback is allowed in general, and this address is refused by name.
    policy.allow_loopback = true;
    let endpoints = at(
        &[
            "10.9.1.1",
            "::ffff:10.9.1.1",
            "2001:db8:bad::1",
            "127.0.0.1",
            "::ffff:127.0.0.1",
        ],
        8080,
    );
    assert_eq!(calls(&endpoints, &policy), BTreeSet::new());
    let endpoints = at(&["10.8.1.1", "2001:db8::1", "::1"], 8080);
    assert_eq!(calls(&endpoints, &policy).len(), endpoints.len());
}

#[test]
fn own_ports_are_refused_at_own_addresses_and_everywhere_while_those_are_unknown() {
    let known = own(&["192.0.2.77", "2001:db8::77"], &[10000, 10254]);
    let table = [
        ("192.0.2.77:10000", false, false),
        ("192.0.2.77:10254", false, false),
        ("192.0.2.77:8080", true, true),
        ("[2001:db8::77]:10000", false, false),
        ("192.0.2.78:10000", true, false),
        ("192.0.2.78:8080", true, true),
        ("[2001:db8::78]:10254", true, false),
    ];
    let unknown = AddressPolicy {
        own_addresses: OwnAddresses::Anywhere,
        ..known.clone()
    };
    for (endpoint, when_known, when_unknown) in table {
        let endpoints = [endpoint.parse().unwrap()];
        assert_eq!(!calls(&endpoints, &known).is_empty(), when_known, "{endpoint}");
        assert_eq!(
            !calls(&endpoints, &unknown).is_empty(),
            when_unknown,
            "{endpoint}"
        );
    }
    assert_eq!(
        AddressPolicy::default().own_addresses,
        OwnAddresses::Anywhere,
        "who says nothing knows nothing"
    );
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    let in_v6 = (any::<u32>(), any::<prop::sample::Index>())
        .prop_map(|(ip, form)| *form.get(&dressed(Ipv4Addr::from(ip))));
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
        in_v6,
        prop::sample::select(vec!["127.0.0.1", "::1", "192.0.2.77", "::ffff:192.0.2.77"])
            .prop_map(|text| text.parse().unwrap()),
    ]
}

const OWN_PORTS: [u16; 3] = [10000, 10003, 10254];

fn any_endpoint() -> impl Strategy<Value = SocketAddr> {
    let port = prop_oneof![prop::sample::select(OWN_PORTS.to_vec()), 1..=u16::MAX];
    (any_ip(), port).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// While the gateway's own addresses are unknown, no door calls one of its ports at any address. Other ports are not
    /// affected. Once the addresses are known, exactly these stay refused. The order of these states does not matter.
    #[test]
    fn own_ports_are_refused_while_addresses_are_unknown(
        endpoints in prop::collection::vec(any_endpoint(), 1..8),
        states in prop::collection::vec(any::<bool>(), 1..4),
        allow_loopback in any::<bool>(),
    ) {
        let known = AddressPolicy { allow_loopback, ..own(&["192.0.2.77"], &OWN_PORTS) };
        let unknown = AddressPolicy { own_addresses: OwnAddresses::Anywhere, ..known.clone() };
        let is_own = |endpoint: &&SocketAddr| OWN_PORTS.contains(&endpoint.port());
        let portless = calls(&endpoints, &AddressPolicy { own_ports: BTreeSet::new(), ..known.clone() });
        let (mut publishers, doors) = doors();
        let (view, mut ledger) = (view(&endpoints), Ledger::default());
        for is_known in states {
            let policy = if is_known { &known } else { &unknown };
            publish(&mut publishers, &view, &backends(policy.clone()), &mut ledger);
            let called = called(&doors);
            if is_known {
                prop_assert!(called.is_subset(&portless));
            } else {
                prop_assert_eq!(called.iter().filter(is_own).count(), 0, "{:?}", called);
                let others: BTreeSet<SocketAddr> = portless.iter().filter(|endpoint| !is_own(endpoint)).copied().collect();
                prop_assert_eq!(called, others);
            }
        }
    }

    /// An address that is refused as IPv4 is refused in every form, at every port.
    #[test]
    fn a_refused_address_is_refused_in_every_spelling(ip in any::<u32>().prop_map(Ipv4Addr::from), special in any::<bool>(), port in 1..=u16::MAX) {
        let ip = if special { Ipv4Addr::from(u32::from(ip) >> 8 | 127 << 24) } else { ip };
        let policy = own(&["192.0.2.77"], &OWN_PORTS);
        let plain = calls(&[SocketAddr::new(ip.into(), port)], &policy);
        // Leading zeros prove nothing if it is unknown where the address begins.
        if plain.is_empty() && !ip.octets().starts_with(&[0]) {
            let dressed: Vec<SocketAddr> = dressed(ip).into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            prop_assert_eq!(calls(&dressed, &policy), BTreeSet::new());
        }
    }
}
