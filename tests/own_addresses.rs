//! No door is a backend of another, by the gateway's own addresses and those of its other pods, whatever the process can
//! learn about them.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use gateway_tests::{Backend, Client, Gateway, free_port, gateway, get, manifest, own_address};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

const INSIDE: &str = "internal-http";
const OUTSIDE: &str = "external-http";
const HOST: &str = "secret.test";

/// A Service whose endpoint is at this address, and an Ingress for it at the door outside.
fn tenant(name: &str, host: &str, address: SocketAddr) -> String {
    manifest::app(name, OUTSIDE, host, address.port())
        .replace("\"127.0.0.1\"", &format!("\"{}\"", address.ip()))
}

fn problems(gateway: &Gateway) -> f64 {
    gateway.metric("blastdoor_config_problems", &[("severity", "error")])
}

/// Lets the process have no more than this many descriptors; those that it has stay.
fn limit(gateway: &Gateway, current: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(current, |maximum| maximum.min(current)));
    prlimit(Some(gateway.pid()), Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// Out of descriptors, neither interfaces nor files can be read. What was known stays: no file counts as changed, nothing
/// is published, and no tenant reaches another door.
#[test]
fn out_of_descriptors_the_known_addresses_stay() {
    let (inside, outside, port) = (Backend::start("inside"), Backend::start("outside"), free_port());
    let door = |address: &str| SocketAddr::new(address.parse().unwrap(), port);
    let gateway = gateway!()
        .door(INSIDE, &format!("bind = \"0.0.0.0:{port}\""))
        .file("trusted.txt", "192.0.2.0/24\n")
        .door(OUTSIDE, "trusted_proxies_file = \"trusted.txt\"")
        .manifest(
            "inside.yaml",
            &manifest::app("inside", INSIDE, HOST, inside.port()),
        )
        .manifest(
            "open.yaml",
            &manifest::app("open", OUTSIDE, "open.test", outside.port()),
        )
        .manifest(
            "tenant.yaml",
            &(tenant("host", HOST, SocketAddr::new(own_address(), port))
                + &tenant("loopback", "loopback.test", door("127.0.0.1"))),
        )
        .start();
    assert_eq!(get(gateway.door(INSIDE), HOST, "/").status, 200);
    let before = problems(&gateway);
    // Connections opened before.
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(gateway.door(OUTSIDE))).collect();
    for client in &mut clients {
        assert_eq!(client.get("open.test", "/").unwrap().status, 200);
    }
    for (round, client) in clients.iter_mut().enumerate() {
        limit(&gateway, 1);
        std::thread::sleep(Duration::from_millis(if round == 0 { 1_500 } else { 700 }));
        if round == 1 {
            for told in [
                "addresses of this host: cannot be listed: ",
                "trusted.txt: cannot be read, its last good content stays in force: ",
            ] {
                gateway.until(told, |gateway| gateway.stderr().contains(told));
            }
        }
        limit(&gateway, u64::MAX);
        assert_eq!(client.get(HOST, "/").unwrap().status, 503, "round {round}");
        assert_eq!(
            client.get("loopback.test", "/").unwrap().status,
            503,
            "round {round}"
        );
        assert_eq!(client.get("open.test", "/").unwrap().status, 200, "round {round}");
    }
    gateway.until("the trouble is over", |gateway| problems(gateway) == before);
    let log = gateway.stderr();
    assert!(!log.contains("configuration reloaded"), "{log}");
}

/// A configuration that cannot be applied as a whole leaves all of the old one in force. It is retried, so that it applies
/// as soon as possible.
#[test]
fn a_reload_that_cannot_bind_changes_nothing() {
    let (app, taken) = (Backend::start("app"), TcpListener::bind("127.0.0.1:0").unwrap());
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", INSIDE, HOST, app.port()))
        .start();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    // The two doors swap their selectors, and a third cannot be bound.
    let address = taken.local_addr().unwrap();
    let swapped = config
        .replace("expose=internal-http", "expose=between")
        .replace("expose=external-http", "expose=internal-http")
        .replace("expose=between", "expose=external-http")
        + &format!(
            "[listeners.extra]\nbind = \"{address}\"\nselector = \"expose=extra\"\nscheme = \"http\"\nworkers = 1\n"
        );
    std::fs::write(gateway.config(), swapped).unwrap();
    gateway.until("the failure is told", |gateway| problems(gateway) == 1.0);
    let message = format!("listener `extra`: address {address} is already in use");
    gateway.says(&message);
    assert_eq!(get(gateway.door(INSIDE), HOST, "/").status, 200);
    assert_eq!(get(gateway.door(OUTSIDE), HOST, "/").status, 404);
    assert_eq!(gateway.admin("/lb/extra").0, 404);

    drop(taken);
    gateway.until("the port is free", |gateway| problems(gateway) == 0.0);
    gateway.until_status(OUTSIDE, HOST, "/", 200);
    assert_eq!(get(gateway.door(INSIDE), HOST, "/").status, 404);
    assert_eq!(gateway.admin("/lb/extra").0, 200);
}

/// A Service of other gateways, at this address.
fn gateways(address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: blastdoor-1, namespace: blastdoor, labels: {{kubernetes.io/service-name: blastdoor}}}}\n\
         addressType: IPv4\nports: []\nendpoints: [{{addresses: [\"{address}\"], conditions: {{ready: false}}}}]\n"
    )
}

/// Nothing is sent to these addresses: the test checks the problems about them.
#[test]
fn other_pods_of_the_gateway_are_followed() {
    let port = free_port();
    let other: IpAddr = "198.51.100.7".parse().unwrap();
    let refused = format!("{other}:{port} is one of the gateway's own ports; the gateway does not call it");
    let gateway = gateway!()
        .source("replicas = { services = [\"blastdoor/blastdoor\"] }")
        .door(INSIDE, &format!("bind = \"127.0.0.1:{port}\""))
        .manifest("gateways.yaml", &gateways("198.51.100.6"))
        .manifest(
            "tenant.yaml",
            &tenant("tenant", HOST, SocketAddr::new(other, port)),
        )
        .start();
    assert!(!gateway.stderr().contains(&refused), "{}", gateway.stderr());
    assert_eq!(problems(&gateway), 0.0);
    gateway.put("gateways.yaml", &gateways("198.51.100.7"));
    gateway.until("the other pod is known", |gateway| {
        gateway.stderr().contains(&refused) && problems(gateway) == 2.0
    });
    assert_eq!(get(gateway.door(OUTSIDE), HOST, "/").status, 503);
    gateway.put("gateways.yaml", &gateways("198.51.100.6"));
    gateway.until("the other pod is gone", |gateway| problems(gateway) == 0.0);

    // While nothing is known of the Service, every address may be one of its endpoints.
    gateway.put("gateways.yaml", "");
    gateway.until("the Service is missed", |gateway| {
        let told = "Service blastdoor/blastdoor: `[source] replicas` names it, and it has no EndpointSlice";
        gateway.stderr().contains(told) && problems(gateway) == 3.0
    });
    assert_eq!(get(gateway.door(OUTSIDE), HOST, "/").status, 503);
}

#[test]
fn ports_of_doors_that_another_process_runs_are_own_ports() {
    let port = free_port();
    let check = |source: &str, address: &str| {
        gateway!()
            .source(source)
            .door(INSIDE, &format!("bind = \"127.0.0.1:{port}\""))
            .manifest("gateways.yaml", &gateways("198.51.100.7"))
            .manifest(
                "tenant.yaml",
                &tenant("tenant", HOST, SocketAddr::new(address.parse().unwrap(), port)),
            )
            .run(&["check", "--doors", "external-http,external-https"])
    };
    let replicas = "replicas = { services = [\"blastdoor/blastdoor\"] }";
    let refused = "is one of the gateway's own ports";
    let output = check(replicas, "198.51.100.7");
    assert!(
        output.stdout.contains(refused) && output.status == 1,
        "{output:?}"
    );
    let output = check(replicas, "198.51.100.8");
    assert!(
        !output.stdout.contains(refused) && output.status == 0,
        "{output:?}"
    );
    let anywhere = replicas.replace(" }", ", host_ports = true }");
    let output = check(&anywhere, "198.51.100.8");
    assert!(
        output.stdout.contains(refused) && output.status == 1,
        "{output:?}"
    );
    let output = check("refuse_backends = [\"198.51.100.0/24\"]", "198.51.100.8");
    assert!(
        output
            .stdout
            .contains("in a network of `[source] refuse_backends`"),
        "{output:?}"
    );
}

#[test]
fn settings_about_own_addresses_are_checked() {
    let table = [
        (
            "replicas = { services = [\"blastdoor\"] }",
            "source.replicas.services[0]: `blastdoor` is not a Service; allowed: `namespace/name`",
        ),
        (
            "replicas = {}",
            "source.replicas.services: names no Service; write those of all pods of this gateway",
        ),
        (
            "replicas = { service = \"a/b\" }",
            "source.replicas.service: unknown key; did you mean `services`?",
        ),
        (
            "refuse_backends = [\"10.0.0.0/99\"]",
            "source.refuse_backends[0]: `10.0.0.0/99` is not a network; allowed: `10.0.0.0/8`",
        ),
        (
            "ingress_class = []",
            "source.ingress_class: an empty list would admit nothing; remove the key to admit all",
        ),
    ];
    for (source, message) in table {
        let output = gateway!().source(source).run(&["check"]);
        assert_eq!(output.status, 2, "{source}: {output:?}");
        assert!(output.stderr.contains(message), "{source}: {}", output.stderr);
    }
}
