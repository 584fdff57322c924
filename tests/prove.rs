//! `blastdoor prove` against this gateway, and against gateways that are joined where they must not be.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gateway_tests::tls::{Authority, secret, with_tls};
use gateway_tests::{Backend, Builder, DOORS, Gateway, Output, command, free_port, full, gateway, manifest};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_blastdoor-under-test");

/// An application at each door.
fn apps(mut builder: Builder) -> (Builder, Vec<Backend>) {
    let backends: Vec<Backend> = DOORS.iter().map(|door| Backend::start(door)).collect();
    for (door, backend) in DOORS.iter().zip(&backends) {
        let yaml = manifest::app(door, door, &format!("{door}.test"), backend.port());
        builder = builder.manifest(&format!("{door}.yaml"), &yaml);
    }
    (builder, backends)
}

/// `blastdoor prove` with this configuration, against the doors of this gateway.
fn prove_with(config: &str, gateway: &Gateway, doors: &[&str], arguments: &[&str]) -> Output {
    let folder = folder(gateway);
    let config_file = folder.join("prove.toml");
    std::fs::write(&config_file, config).unwrap();
    let addresses = doors.iter().map(|door| format!("{door}={}", gateway.door(door)));
    let addresses: Vec<String> = addresses.collect();
    let mut all = vec!["prove", "--config", config_file.to_str().unwrap(), "-o", "json"];
    all.extend(addresses.iter().flat_map(|address| ["--address", address]));
    all.extend(arguments);
    command(Path::new(PROGRAM), &all, &[], &folder)
}

fn folder(gateway: &Gateway) -> PathBuf {
    gateway.manifests().parent().unwrap().to_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The outcome of each pair that is not `blocked`: from, at, outcome.
fn exceptions(report: &Value) -> Vec<(&str, &str, &str)> {
    let pairs = report["pairs"].as_array().unwrap().iter();
    pairs
        .map(|pair| {
            (
                pair["from"].as_str().unwrap(),
                pair["at"].as_str().unwrap(),
                pair["outcome"].as_str().unwrap(),
            )
        })
        .filter(|(_, _, outcome)| *outcome != "blocked")
        .collect()
}

fn pair<'r>(report: &'r Value, from: &str, at: &str) -> &'r Value {
    let pairs = report["pairs"].as_array().unwrap();
    let found = pairs.iter().find(|pair| pair["from"] == from && pair["at"] == at);
    found.unwrap_or_else(|| panic!("{from} at {at}: {report}"))
}

#[test]
fn this_gateway_blocks_everything() {
    let (builder, backends) = apps(gateway!());
    let config = builder.config();
    let gateway = builder.start();
    let begun = Instant::now();
    let output = prove_with(&config, &gateway, &DOORS, &[]);
    let taken = begun.elapsed();
    eprintln!("four doors, 12 pairs: proved in {:.1} s", taken.as_secs_f64());
    // Only there, since a busy machine says nothing about `prove`.
    if full() {
        assert!(taken < Duration::from_secs(60), "{taken:?}");
    }
    assert_eq!(output.status, 0, "{output:?}");
    assert_eq!(output.stderr, "", "no progress where there is no terminal");
    let report = report(&output);
    assert_eq!(report["pairs"].as_array().unwrap().len(), 12);
    assert_eq!(exceptions(&report), []);
    for pair in report["pairs"].as_array().unwrap() {
        assert_eq!(pair["attacks"], pair["blocked"], "{pair}");
        assert!(pair["attacks"].as_u64().unwrap() > 100, "{pair}");
    }
    // Over both versions of HTTP, and each application only as its own door's.
    for door in report["doors"].as_array().unwrap() {
        assert_eq!(
            door["protocols"],
            serde_json::json!(["HTTP/1", "HTTP/2"]),
            "{door}"
        );
    }
    for (door, backend) in DOORS.iter().zip(&backends) {
        assert!(backend.requests() > 0, "{door}");
        let seen = backend.seen();
        assert!(
            seen.iter()
                .all(|seen| seen.field("x-blastdoor-door") == Some(door)),
            "{door}"
        );
    }
    assert!(
        gateway.metric(
            "blastdoor_cross_door_probes_total",
            &[("listener", "external-http"), ("owner", "internal-http")]
        ) > 10.0
    );
}

/// Doors that terminate TLS, with certificates of their own and one for hosts of all of them; one of them asks clients for a
/// certificate, one redirects, one answers every host, and two have a host in common.
#[test]
fn doors_of_all_kinds_block_everything() {
    let authority = Authority::new("test");
    let backends = DOORS.map(Backend::start);
    let clients = Authority::new("clients");
    let known = clients.client("prover");
    let own = DOORS.map(|door| authority.server(&[&format!("{door}.test")]));
    let shared = authority.server(&["*.shared.test"]);
    let mut builder = gateway!()
        .file("ca.pem", clients.pem())
        .file("client.crt", &known.chain)
        .file("client.key", &known.key)
        .door("external-https", "tls = { default_certificate = \"self-signed\" }")
        .door(
            "internal-https",
            "tls = { client_auth = { mode = \"require\", ca = { file = \"ca.pem\" } } }",
        )
        .door("external-http", "redirect = \"external-https\"")
        .door(
            "internal-http",
            "trusted_proxies = [\"127.0.0.0/8\"]\nclient_ip = \"proxy-protocol\"\nproxy_protocol = \"required\"\nhealth_path = \"/healthz\"",
        )
        .manifest("shared-tls.yaml", &secret("shared", &shared))
        .manifest("any.yaml", &manifest::app("any", "internal-http", "", backends[0].port()));
    for ((door, backend), identity) in DOORS.iter().zip(&backends).zip(&own) {
        let (named, coalesced) = (format!("{door}.test"), format!("{door}.shared.test"));
        let rules = [
            (named.as_str(), "Prefix", "/", *door),
            (coalesced.as_str(), "Exact", "/only", *door),
            ("*.wild.test", "Prefix", "/wild", *door),
        ];
        let rules = if *door == "external-https" {
            &rules[..]
        } else {
            &rules[..2]
        };
        let ingress = manifest::ingress(door, door, rules);
        let ingress = match door.ends_with("https") {
            true => with_tls(
                &ingress,
                &[
                    (&[named.as_str()], &format!("{door}-tls")),
                    (&[coalesced.as_str()], "shared"),
                ],
            ),
            false => ingress,
        };
        let yaml =
            ingress + &manifest::service(door, &[backend.port()]) + &secret(&format!("{door}-tls"), identity);
        builder = builder.manifest(&format!("{door}.yaml"), &yaml);
    }
    let config = builder.config();
    let gateway = builder.start();

    // Without a certificate, nothing can be said about one door, and that is told.
    let output = prove_with(&config, &gateway, &DOORS, &["--hosts", "1"]);
    assert_eq!(output.status, 1, "{output:?}");
    let without = report(&output);
    let of_door = without["doors"].as_array().unwrap().iter();
    let problems: Vec<&Value> = of_door.filter(|door| !door["problem"].is_null()).collect();
    let told = "the door accepts only clients with a certificate";
    assert!(
        matches!(*problems, [door] if door["listener"] == "internal-https" && door["problem"].as_str().unwrap().contains(told)),
        "{without}"
    );

    let output = prove_with(
        &config,
        &gateway,
        &DOORS,
        &[
            "--hosts",
            "2",
            "--client-cert",
            "client.crt",
            "--client-key",
            "client.key",
        ],
    );
    let report = report(&output);
    assert_eq!(output.status, 0, "{report:#}");
    // Whatever host it is, the catch-all of the one door answers it there.
    let at_the_door_for_all = exceptions(&report);
    assert!(
        at_the_door_for_all
            .iter()
            .all(|(_, at, outcome)| *at == "internal-http" && *outcome == "nothing"),
        "{at_the_door_for_all:?}"
    );
    assert_eq!(at_the_door_for_all.len(), 3);
    assert!(
        pair(&report, "external-https", "external-http")["attacks"]
            .as_u64()
            .unwrap()
            > 100
    );
    for (door, backend) in DOORS.iter().zip(&backends) {
        let seen = backend.seen();
        assert!(
            seen.iter()
                .all(|seen| seen.field("x-blastdoor-door") == Some(door)),
            "{door}"
        );
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The socket of one door reads the table of another.
#[test]
fn a_door_with_the_table_of_another_is_found() {
    let ports = DOORS.map(|_| free_port());
    let (mut builder, _backends) = apps(gateway!());
    for (door, port) in DOORS.iter().zip(ports) {
        builder = builder.door(door, &format!("bind = \"127.0.0.1:{port}\""));
    }
    let folder = builder.folder().to_owned();
    let config = folder.join("joined.toml");
    std::fs::write(&config, builder.config()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_blastdoor-with-joined-doors"))
        .args([config.to_str().unwrap(), "external-http", "internal-http"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert_eq!(ready, "ready\n");

    let output = builder.run(&["prove", "-o", "json"]);
    assert_eq!(output.status, 1, "{output:?}");
    let found = report(&output);
    let joined = pair(&found, "internal-http", "external-http");
    assert_eq!(joined["outcome"], "leak", "{joined}");
    let leaks = joined["leaks"].as_array().unwrap();
    let by = |trick: &str, protocol: &str| {
        let mut leaks = leaks.iter();
        leaks.any(|leak| leak["trick"] == trick && leak["protocol"] == protocol)
    };
    assert!(by("host", "HTTP/1") && by("authority", "HTTP/2"), "{leaks:?}");
    assert!(
        leaks
            .iter()
            .all(|leak| leak["host"] == "internal-http.test" && leak["ingress"] == "test/internal-http")
    );
    // The walls that stand are not accused. What the joined door does not serve itself proves nothing elsewhere.
    for (from, at, outcome) in exceptions(&found) {
        assert!(
            (from, at) == ("internal-http", "external-http") && outcome == "leak"
                || from == "external-http" && outcome == "not-tried",
            "{from} at {at}: {outcome}"
        );
    }
    let output = builder.run(&["prove"]);
    assert_eq!(output.status, 1);
    assert!(
        output
            .stdout
            .contains("LEAK: internal-http.test/ of internal-http"),
        "{}",
        output.stdout
    );
}

/// The gateway runs with another configuration than the one that is meant: a door admits what another does.
#[test]
fn a_door_that_admits_what_another_does_is_found() {
    let (builder, _backends) = apps(gateway!());
    let meant = builder.config();
    let builder = builder.door("internal-http", "overlap = true").door(
        "external-http",
        "overlap = true\nselector = [\"expose=external-http\", \"expose=internal-http\"]",
    );
    let gateway = builder.start();
    let output = prove_with(&meant, &gateway, &DOORS, &[]);
    assert_eq!(output.status, 1, "{output:?}");
    let found = report(&output);
    assert_eq!(exceptions(&found), [("internal-http", "external-http", "leak")]);
    // What another door admits as well, by configuration, is no leak.
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let output = prove_with(&config, &gateway, &DOORS, &[]);
    assert_eq!(output.status, 0, "{output:?}");
    assert_eq!(
        exceptions(&report(&output)),
        [("internal-http", "external-http", "nothing")]
    );
}

#[test]
fn what_cannot_be_tried_is_no_success() {
    let (builder, _backends) = apps(gateway!());
    let config = builder.config();
    let gateway = builder.start();
    let closed = format!("external-http=127.0.0.1:{}", free_port());
    let output = prove_with(&config, &gateway, &DOORS, &["--address", &closed, "--hosts", "1"]);
    assert_eq!(output.status, 1, "{output:?}");
    let found = report(&output);
    assert_eq!(exceptions(&found).len(), 6, "to the door and from it: {found}");
    let unreachable = found["doors"]
        .as_array()
        .unwrap()
        .iter()
        .find(|door| door["listener"] == "external-http");
    assert!(
        unreachable.unwrap()["problem"]
            .as_str()
            .unwrap()
            .starts_with("unreachable: ")
    );

    // Doors without objects: nothing was tried, so nothing is proved.
    let empty = config.replace("path = \"manifests\"", "path = \"nothing\"");
    std::fs::create_dir(folder(&gateway).join("nothing")).unwrap();
    let output = prove_with(&empty, &gateway, &DOORS, &[]);
    assert_eq!(output.status, 1, "{output:?}");

    for wrong in [
        &["--address", "nobody=127.0.0.1:1"][..],
        &["--address", "external-http"],
        &["--hosts", "0"],
        &["--client-cert", "client.crt"],
        &["--client-cert", "gone.crt", "--client-key", "gone.key"],
        &["--doors", "nobody"],
    ] {
        let output = prove_with(&config, &gateway, &DOORS, wrong);
        assert_eq!(output.status, 2, "{wrong:?}: {output:?}");
    }
    // Ports that the system chose are known to the gateway alone.
    let output = prove_with(&config, &gateway, &[], &[]);
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("--address external-http=HOST:PORT"),
        "{output:?}"
    );
}
