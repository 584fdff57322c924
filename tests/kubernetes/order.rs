//! Objects that belong together arrive in every order: requests are refused in between and served at the end, and nothing
//! is listed again for that.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::tls::{Authority, Offer, TlsClient};
use gateway_tests::{Builder, Finally, Gateway, gateway, get};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::{ApiServer, collection, until};
use crate::backend::Backend;
use crate::objects::{app, ingress};

/// The door that terminates TLS, and the one that does not.
const DOORS: [&str; 2] = ["external-https", "external-http"];

/// What a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// 404
    Nothing,
    /// No handshake: the name has a certificate that is not there.
    NoHandshake,
    /// 503
    Closed,
    /// 200
    Served,
}

impl Met {
    /// Things only get better. A handshake may be over before its name has a certificate that is not there, and then
    /// the request is refused: between the two ways to be refused there is no order.
    fn rank(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::NoHandshake | Self::Closed => 1,
            Self::Served => 2,
        }
    }
}

fn met(status: u16) -> Met {
    match status {
        404 => Met::Nothing,
        503 => Met::Closed,
        200 => Met::Served,
        other => panic!("{other}"),
    }
}

/// Each time a new client without a session to resume: that would have the certificate of its first handshake.
fn over_tls(door: SocketAddr, parts: &Parts) -> Met {
    let client = TlsClient::new(&Offer::default());
    let Ok(shaken) = client.connect(door, Some(&parts.host)) else {
        return Met::NoHandshake;
    };
    // With the default certificate: begun before the name was known. Whoever begins now is shown its own or nothing.
    let is_own = shaken.shown() == parts.certificate;
    let answer = shaken.http1().get(&parts.host, "/");
    match answer.map_or(Met::NoHandshake, |response| met(response.status)) {
        Met::Closed | Met::Served if !is_own => Met::NoHandshake,
        met => met,
    }
}

/// What a client gets that sends requests all the time, without repetitions.
fn watch(stop: &AtomicBool, look: impl Fn() -> Met) -> Vec<Met> {
    let mut seen = vec![look()];
    while !stop.load(Ordering::SeqCst) {
        let now = look();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    seen
}

/// The objects of one application: an Ingress for each door, Service, EndpointSlice, Secret.
struct Parts {
    host: String,
    certificate: CertificateDer<'static>,
    ingresses: [Value; 2],
    others: [Value; 3],
}

impl Parts {
    fn new(name: &str, backend: &Backend, authority: &Authority) -> Self {
        let host = format!("{name}.test");
        let identity = authority.server(&[&host]);
        let mut secure = ingress(name, DOORS[0], &host, name);
        secure["spec"]["tls"] = json!([{ "hosts": [host], "secretName": name }]);
        let plain = ingress(&format!("{name}-plain"), DOORS[1], &host, name);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "name": name, "namespace": "default" },
            "stringData": { "tls.crt": identity.chain, "tls.key": identity.key }
        });
        let [service, slice] = app(name, backend);
        Self {
            host,
            certificate: identity.der(),
            ingresses: [secure, plain],
            others: [service, slice, secret],
        }
    }

    /// Number 0 is the Ingresses.
    fn part(&self, number: usize) -> &[Value] {
        match number {
            0 => &self.ingresses,
            other => std::slice::from_ref(&self.others[other - 1]),
        }
    }
}

/// With TLS and without, when these parts are there: Ingresses, Service, slice, Secret.
fn expected([ingresses, service, slice, secret]: [bool; 4]) -> [Met; 2] {
    let plain = match (ingresses, service && slice) {
        (false, _) => Met::Nothing,
        (true, false) => Met::Closed,
        (true, true) => Met::Served,
    };
    let secure = if ingresses && !secret {
        Met::NoHandshake
    } else {
        plain
    };
    [secure, plain]
}

fn orders() -> Vec<[usize; 4]> {
    let mut orders = Vec::new();
    for number in 0..4_usize.pow(4) {
        let order = [number / 64, number / 16 % 4, number / 4 % 4, number % 4];
        if (0..4).all(|part| order.contains(&part)) {
            orders.push(order);
        }
    }
    orders
}

fn start(server: &ApiServer) -> Gateway {
    starting(server).start()
}

fn starting(server: &ApiServer) -> Builder {
    gateway!()
        .cluster(&server.user_with_all_rights("gateway"))
        .log("access = \"off\"")
        .door(
            DOORS[0],
            "tls = { certificates = \"ingress\", default_certificate = \"self-signed\" }",
        )
}

#[test]
fn objects_may_arrive_in_every_order() {
    let server = api_server!();
    let backend = Backend::start("app");
    let authority = Authority::new("order");
    let gateway = start(&server);
    let doors = DOORS.map(|door| gateway.door(door));
    let orders = orders();
    assert_eq!(orders.len(), 24);
    let mut connection = server.connection();
    for order in &orders {
        let name = format!("app-{}", order.map(|part| part.to_string()).concat());
        let parts = Parts::new(&name, &backend, &authority);
        let stop = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let (stop, parts, host) = (&stop, &parts, parts.host.as_str());
            let _ends = Finally(stop);
            let secure = scope.spawn(move || watch(stop, || over_tls(doors[0], parts)));
            let plain = scope.spawn(move || watch(stop, || met(get(doors[1], host, "/").status)));
            let mut there = [false; 4];
            for part in order {
                for object in parts.part(*part) {
                    connection.create(object);
                }
                there[*part] = true;
                until(&format!("{name}: {there:?} shows"), || {
                    let now = [over_tls(doors[0], parts), met(get(doors[1], host, "/").status)];
                    now == expected(there)
                });
            }
            stop.store(true, Ordering::SeqCst);
            [secure.join().unwrap(), plain.join().unwrap()]
        });
        // The state only improves: once its host is known it is never unknown again, and what is served stays served.
        for seen in &seen {
            assert!(seen.is_sorted_by_key(|met| met.rank()), "{name}: {seen:?}");
        }
        assert!(!seen[1].contains(&Met::NoHandshake));
    }
    let lists = |resource: &str| server.count("gateway", "list", resource);
    assert_eq!(["ingresses", "services", "endpointslices"].map(lists), [1; 3]);
    assert_eq!(lists("secrets"), orders.len(), "each by its name, once");
}

/// An existing Secret goes live with the Ingress that names it: no handshake in between fails, unless the API server takes
/// too long.
#[test]
fn a_secret_comes_with_its_ingress() {
    let server = api_server!();
    let backend = Backend::start("app");
    let authority = Authority::new("company");
    let client = TlsClient::new(&Offer::default());
    let mut connection = server.connection();
    for scope in ["named", "cluster"] {
        let gateway = starting(&server)
            .source(&format!("secrets = \"{scope}\""))
            .start();
        let door = gateway.door(DOORS[0]);
        let mut judged = 0;
        for number in 0..10 {
            let parts = Parts::new(&format!("{scope}-{number}"), &backend, &authority);
            let stop = AtomicBool::new(false);
            let shaken = || client.connect(door, Some(&parts.host)).is_ok();
            std::thread::scope(|scope| {
                let _ends = Finally(&stop);
                let hands = [(); 2].map(|()| {
                    scope.spawn(|| {
                        let mut failed = 0;
                        while !stop.load(Ordering::SeqCst) {
                            failed += usize::from(!shaken());
                            // The gateway waits a second for the Secret: the API server uses this machine too.
                            std::thread::sleep(Duration::from_millis(4));
                        }
                        failed
                    })
                });
                let begun = Instant::now();
                for part in [3, 2, 1, 0] {
                    for object in parts.part(part) {
                        connection.create(object);
                    }
                }
                until("it is served", || over_tls(door, &parts) == Met::Served);
                let took = begun.elapsed();
                stop.store(true, Ordering::SeqCst);
                let failed: usize = hands.map(|hand| hand.join().unwrap()).iter().sum();
                // The gateway waits a second for the Secret: what is served within one had it in time.
                if took < Duration::from_secs(1) {
                    assert_eq!(failed, 0, "{}", parts.host);
                    judged += 1;
                }
            });
        }
        assert!(
            judged > 0,
            "{scope}: every round took longer than a Secret is waited for"
        );
    }
}

#[test]
fn deleted_and_created_again() {
    let server = api_server!();
    let backend = Backend::start("app");
    let gateway = start(&server);
    let doors = DOORS.map(|door| gateway.door(door));
    let parts = Parts::new("app", &backend, &Authority::new("again"));
    let mut connection = server.connection();
    for part in 0..4 {
        for object in parts.part(part) {
            connection.create(object);
        }
    }
    let now = || {
        [
            over_tls(doors[0], &parts),
            met(get(doors[1], &parts.host, "/").status),
        ]
    };
    until("everything is there", || now() == [Met::Served; 2]);
    for part in 0..4 {
        let mut there = [true; 4];
        // The last good certificate stays.
        there[part] = part == 3;
        for round in 0..3 {
            for object in parts.part(part) {
                let name = object["metadata"]["name"].as_str().unwrap();
                let path = format!("{}/{name}", collection(object));
                assert_eq!(connection.request("DELETE", &path, None).0, 200);
            }
            // In the last round nothing waits until the deletion shows.
            if round < 2 {
                until(&format!("{there:?} shows"), || now() == expected(there));
            }
            for object in parts.part(part) {
                connection.create(object);
            }
            until("everything is there again", || now() == [Met::Served; 2]);
        }
    }
}
