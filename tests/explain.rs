//! `blastdoor explain` and `/api/v1/explain`: the reader of an explanation finds the cause.

use std::io::Read;

use gateway_tests::tls::{Authority, H1, TlsFront, annotated, secret_of};
use gateway_tests::{Backend, Builder, Gateway, Reply, exchange, gateway, get, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";

/// A request that does not get what its sender expects.
struct Broken {
    what: &'static str,
    door: &'static str,
    host: &'static str,
    path: &'static str,
    header: Option<String>,
    /// What it gets.
    status: u16,
    /// What the explanation says; `None` where only the backend decides.
    told: Option<u16>,
    /// In its reason, or in what it says of the backend.
    reason: &'static str,
    /// Of another rule: its Ingress, and why it does not answer.
    other: Option<(&'static str, &'static str)>,
}

impl Broken {
    fn of(what: &'static str, host: &'static str, status: u16, reason: &'static str) -> Self {
        Self {
            what,
            door: DOOR,
            host,
            path: "/",
            header: None,
            status,
            told: Some(status),
            reason,
            other: None,
        }
    }

    /// What a rule says that one might have expected to answer.
    fn not(self, ingress: &'static str, why: &'static str) -> Self {
        Self {
            other: Some((ingress, why)),
            ..self
        }
    }

    fn decided_by_backend(self) -> Self {
        Self { told: None, ..self }
    }
}

/// The requests that people search for.
fn broken() -> Vec<Broken> {
    vec![
        Broken::of(
            "wrong host",
            "shpo.test",
            404,
            "no rule of this door names host `shpo.test`",
        )
        .not("test/shop", "it is for another host, `shop.test`"),
        Broken {
            door: "internal-http",
            ..Broken::of("wrong door", "shop.test", 404, "but door `external-http` does").not(
                "test/shop",
                "not admitted at door `internal-http`, which selects expose=internal-http: its label is \
                 `expose=external-http`; it is of door `external-http`",
            )
        },
        Broken::of("missing label", "plain.test", 404, "nor does any other door")
            .not("test/plain", "the label `expose` is missing; no door admits it"),
        Broken::of(
            "Service without endpoints",
            "empty.test",
            503,
            "no EndpointSlice lists an address for its port 80",
        ),
        Broken::of(
            "named port that does not exist",
            "port.test",
            503,
            "Service `test/port` has no port `htp`; it has: 80",
        ),
        Broken::of("backend that resets", "reset.test", 502, "the backend decides").decided_by_backend(),
        Broken::of(
            "backend certificate of another name",
            "tls.test",
            502,
            "the certificate must be for `other.test`",
        )
        .decided_by_backend(),
        Broken {
            header: Some(format!("X-Large: {}", "x".repeat(5_000))),
            ..Broken::of(
                "header too large",
                "shop.test",
                431,
                "the request is refused before any rule",
            )
        },
        Broken::of(
            "rule shadowed by an older Ingress",
            "shared.test",
            200,
            "Ingress `test/old` sends it",
        )
        .decided_by_backend()
        .not(
            "test/new",
            "belongs to the older Ingress `test/old`; this rule is not served",
        ),
        Broken::of(
            "filter that refuses",
            "walled.test",
            403,
            "answered by a filter of Ingress `test/walled`: `allow`",
        ),
    ]
}

fn dated(ingress: &str, year: u16) -> String {
    ingress.replacen(
        "metadata:\n",
        &format!("metadata:\n  creationTimestamp: \"{year}-01-01T00:00:00Z\"\n"),
        1,
    )
}

fn rig(backend: &Backend, resets: &Backend, front: &TlsFront, authority: &Authority) -> Builder {
    let plain = manifest::app("plain", DOOR, "plain.test", backend.port());
    let tls = annotated(
        &manifest::app("tls", DOOR, "tls.test", front.port()),
        &[
            ("nginx.ingress.kubernetes.io/backend-protocol", "HTTPS"),
            ("blastdoor.dev/backend-tls-verify", "on"),
            ("blastdoor.dev/backend-tls-ca", "secret/good"),
            ("blastdoor.dev/backend-tls-name", "other.test"),
        ],
    );
    let walled = annotated(
        &manifest::app("walled", DOOR, "walled.test", backend.port()),
        &[("nginx.ingress.kubernetes.io/whitelist-source-range", "10.0.0.0/8")],
    );
    let port =
        manifest::app("port", DOOR, "port.test", backend.port()).replacen("number: 80", "name: htp", 1);
    let objects = [
        manifest::app("shop", DOOR, "shop.test", backend.port()),
        plain.replacen("  labels:\n    expose: external-http\n", "", 1),
        manifest::ingress("empty", DOOR, &[("empty.test", "Prefix", "/", "empty")])
            + &manifest::service("empty", &[]),
        port,
        manifest::app("reset", DOOR, "reset.test", resets.port()),
        tls,
        secret_of("good", "Opaque", &[("ca.crt", authority.pem())]),
        dated(
            &manifest::ingress("old", DOOR, &[("shared.test", "Prefix", "/", "shop")]),
            2020,
        ),
        dated(
            &manifest::ingress("new", DOOR, &[("shared.test", "Prefix", "/", "plain")]),
            2021,
        ),
        walled,
    ];
    gateway!()
        .every_door("limits = { header_bytes = \"4KiB\" }")
        .manifest("objects.yaml", &objects.join("---\n"))
}

fn arguments(broken: &Broken) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "explain",
        "--door",
        broken.door,
        "--client",
        "127.0.0.1",
        "-o",
        "json",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("http://{}{}", broken.host, broken.path));
    if let Some(header) = &broken.header {
        arguments.extend(["--header".to_owned(), header.clone()]);
    }
    arguments
}

fn ask(builder: &Builder, arguments: &[String]) -> Value {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = builder.run(&arguments);
    assert_eq!(output.status, 0, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn check(broken: &Broken, explained: &Value) {
    let what = broken.what;
    let door = &explained["listeners"][0];
    assert_eq!(
        explained["listeners"].as_array().unwrap().len(),
        1,
        "{what}: {explained:#}"
    );
    assert_eq!(door["listener"], broken.door, "{what}: {explained:#}");
    assert_eq!(
        door["status"],
        broken.told.map_or(Value::Null, Value::from),
        "{what}: {door:#}"
    );
    let told = format!("{} {}", door["reason"], door["backend"]["protocol"]);
    assert!(told.contains(broken.reason), "{what}: {door:#}");
    if let Some((ingress, why)) = broken.other {
        let candidates = door["candidates"].as_array().unwrap();
        let candidate = candidates
            .iter()
            .find(|candidate| candidate["ingress"] == ingress);
        let candidate = candidate.unwrap_or_else(|| panic!("{what}: {door:#}"));
        assert!(
            candidate["why"].as_str().unwrap().contains(why),
            "{what}: {candidate:#}"
        );
    }
}

#[test]
fn ten_broken_requests_find_their_cause() {
    let (good, backend) = (Authority::new("good"), Backend::start("app"));
    // It reads a request and closes.
    let resets = Backend::with(
        "reset",
        Reply::script(|stream, _head| drop(stream.shutdown(std::net::Shutdown::Both))),
    );
    let front = TlsFront::start(&good.server(&["tls.test.svc"]), H1, None, backend.port());
    let files = rig(&backend, &resets, &front, &good);
    let gateway = files.twin(2).start();
    let admin = format!("unix:{}", gateway.admin_socket().display());
    for broken in broken() {
        let header = broken
            .header
            .as_ref()
            .map_or_else(String::new, |header| format!("{header}\r\n"));
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n{header}\r\n",
            broken.path, broken.host
        );
        let answer = exchange(gateway.door(broken.door), request).unwrap();
        assert_eq!(answer.status, broken.status, "{}", broken.what);
        let mut arguments = arguments(&broken);
        check(&broken, &ask(&files, &arguments));
        arguments.extend(["--admin".to_owned(), admin.clone()]);
        check(&broken, &ask(&files, &arguments));
    }
}

#[test]
fn a_running_gateway_knows_which_endpoints_are_down() {
    let gone = gateway_tests::free_port();
    let builder = gateway!().manifest("app.yaml", &manifest::app("app", DOOR, "app.test", gone));
    let gateway = builder.start();
    let state = |gateway: &Gateway| -> String {
        let (_, explained) = gateway.admin("/api/v1/explain?url=http://app.test/&door=external-http");
        let explained: Value = serde_json::from_str(&explained).unwrap();
        explained["listeners"][0]["backend"]["endpoints"][0]["state"].to_string()
    };
    assert!(state(&gateway).contains("in use"));
    gateway.until("the endpoint is down", |gateway| {
        assert!(get(gateway.door(DOOR), "app.test", "/").status >= 500);
        state(gateway).contains("down: no connection can be established")
    });
}

/// For any table and any request: the explanation is what happens.
#[test]
fn an_explanation_is_what_a_door_does() {
    let backend = Backend::with("app", Reply::text("app"));
    let mut random = fastrand::Rng::with_seed(14);
    let hosts = ["", "a.test", "b.a.test", "*.a.test", "c.test"];
    let paths = ["/", "/x", "/x/", "/x/y", "/xy"];
    let mut objects = manifest::service("web", &[backend.port()]) + &manifest::service("empty", &[]);
    for index in 0..40 {
        let rule = (
            hosts[random.usize(..hosts.len())],
            ["Exact", "Prefix", "ImplementationSpecific"][random.usize(..3)],
            paths[random.usize(..paths.len())],
            ["web", "empty", "gone"][random.usize(..3)],
        );
        let door = ["external-https", "internal-http"][random.usize(..2)];
        let name = format!("i{index}");
        objects += &dated(&manifest::ingress(&name, door, &[rule]), 2000 + random.u16(..9));
    }
    let gateway = gateway!()
        .door("internal-http", "redirect = \"external-https\"")
        .manifest("objects.yaml", &objects)
        .start();
    let mut compared = 0;
    for door in ["external-https", "internal-http"] {
        for host in [
            "a.test",
            "B.A.test.:80",
            "d.a.test",
            "e.d.a.test",
            "c.test",
            "z.test",
        ] {
            for path in ["/", "/x", "/x/", "/x/y/z", "/xy", "/%78", "/x/../y"] {
                let url = format!("http://{host}{path}").replace('%', "%25");
                let (status, body) = gateway.admin(&format!("/api/v1/explain?url={url}&door={door}"));
                assert_eq!(status, 200, "{body}");
                let explained: Value = serde_json::from_str(&body).unwrap();
                let told = &explained["listeners"][0];
                let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
                let answer = exchange(gateway.door(door), request).unwrap();
                compared += 1;
                gateway.until("its line is in the log", |gateway| {
                    gateway.access_log().len() == compared
                });
                let line = gateway.access_log().pop().unwrap();
                let status = told["status"].as_u64().unwrap_or(200);
                assert_eq!(u64::from(answer.status), status, "{door} {host}{path} {told:#}");
                assert_eq!(line["ingress"], told["ingress"], "{door} {host}{path} {told:#}");
            }
        }
    }
}

#[test]
fn wrong_questions_are_refused() {
    let builder = gateway!();
    for (arguments, why) in [
        (vec!["ftp://a.test/"], "`ftp` is not `http` or `https`"),
        (
            vec!["http://a.test/", "--door", "outside"],
            "there is no door `outside`",
        ),
        (vec!["http://a.test/", "--method", "GE T"], "no method"),
        (vec!["http://a.test/", "--client", "me"], "no IP address"),
        (vec!["http://a.test/", "--header", "a"], "has no name"),
        (
            vec!["http://a.test/", "--admin", "127.0.0.1"],
            "is not an address",
        ),
        (
            vec!["http://a.test/", "--admin", "unix:/nowhere"],
            "admin port unix:/nowhere",
        ),
    ] {
        let all: Vec<&str> = ["explain"].into_iter().chain(arguments).collect();
        let output = builder.run(&all);
        assert_eq!(output.status, 2, "{all:?} {output:?}");
        assert!(output.stderr.contains(why), "{all:?} {output:?}");
    }
}

#[test]
fn the_api_refuses_what_it_does_not_understand() {
    let gateway = gateway!().start();
    for (query, status) in [
        ("", 400),
        ("?url=", 400),
        ("?url=http://a.test/&url=http://b.test/", 400),
        ("?url=http://a.test/&metod=GET", 400),
        ("?url=http://a.test/&header=Authorization%0d%0a", 400),
        ("?url=http://a.test/&door=outside", 404),
        ("?url=http://a.test/", 200),
    ] {
        let (answered, body) = gateway.admin(&format!("/api/v1/explain{query}"));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (answered, body.get("error").is_some()),
            (status, status != 200),
            "{query} {body}"
        );
    }
}

/// Nobody asks a gateway without a table.
#[test]
fn before_the_first_table_there_is_nothing_to_explain() {
    let builder = gateway!().without_waiting();
    // An API server that is not there: no table ever.
    let nowhere = builder.folder().join("kubeconfig");
    std::fs::write(
        &nowhere,
        "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\nusers: [{name: u, user: \
         {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n",
    )
    .unwrap();
    let gateway = builder.cluster(&nowhere).start();
    gateway.until("the admin port answers", |gateway| {
        gateway.admin_socket().exists()
    });
    for path in ["/api/v1/audit", "/api/v1/explain?url=http://a.test/"] {
        let (status, body) = gateway.admin(path);
        assert_eq!(status, 503, "{path} {body}");
        assert!(
            body.starts_with("{\"error\":\"no table has been published yet"),
            "{path} {body}"
        );
    }
}

/// A page of another site must not read the API through the browser of whoever visits it.
#[test]
fn the_api_is_shown_under_no_strangers_name() {
    let port = gateway_tests::free_port();
    let builder = gateway!();
    let config = builder.config().replacen(
        &format!("bind = \"unix:{}\"", builder.folder().join("admin-1").display()),
        &format!("bind = \"127.0.0.1:{port}\""),
        1,
    );
    let file = builder.folder().join("tcp.toml");
    std::fs::write(&file, config).unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_blastdoor-under-test"))
        .args(["run", "--config", file.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let address = ([127, 0, 0, 1], port).into();
    let started = std::time::Instant::now();
    while std::net::TcpStream::connect::<std::net::SocketAddr>(address).is_err() {
        assert!(started.elapsed().as_secs() < 20, "it does not start");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let asked = [
        ("/api/v1/doors", "attacker.test", 421),
        ("/api/v1/doors", "127.0.0.1", 200),
        ("/metrics", "attacker.test", 200),
        ("/metrics", "attacker.test\r\nAccept-Language: de", 421),
        ("/metrics", "127.0.0.1\r\nAccept-Language: de", 200),
        ("/livez", "attacker.test", 200),
    ]
    .map(|(path, host, expected)| {
        let mut stream = std::net::TcpStream::connect::<std::net::SocketAddr>(address).unwrap();
        std::io::Write::write_all(
            &mut stream,
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (path, host, answer.get(9..12).map(str::to_owned), expected)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    for (path, host, status, expected) in asked {
        assert_eq!(status, Some(expected.to_string()), "{path} {host}");
    }
}

/// The rule that answers is told whoever has written it, and of the others those of one namespace.
#[test]
fn the_rules_of_one_namespace() {
    let of = |namespace: &str| {
        manifest::ingress("app", "external-http", &[("a.test", "Prefix", "/", "app")])
            .replace("namespace: test", &format!("namespace: {namespace}"))
    };
    let builder = gateway!()
        .manifest("one.yaml", &of("one"))
        .manifest("two.yaml", &of("two"))
        .manifest("three.yaml", &of("three"));
    let told = |arguments: &[&str]| {
        let all = [
            "explain",
            "http://a.test/",
            "--door",
            "external-http",
            "-o",
            "json",
        ];
        let output = builder.run(&[&all, arguments].concat());
        assert_eq!(output.status, 0, "{output:?}");
        let told: Value = serde_json::from_str(&output.stdout).unwrap();
        let door = &told["listeners"][0];
        let others = door["candidates"].as_array().unwrap().iter();
        let others: Vec<String> = others
            .map(|other| other["ingress"].as_str().unwrap().to_owned())
            .collect();
        (door["ingress"].as_str().unwrap().to_owned(), others)
    };
    let (winner, losers) = told(&[]);
    assert_eq!(losers.len(), 2, "{losers:?}");
    assert_eq!(told(&["-A"]), (winner.clone(), losers.clone()));
    let namespace = losers[1].split('/').next().unwrap();
    assert_eq!(
        told(&["-n", namespace]),
        (winner.clone(), vec![losers[1].clone()])
    );
    assert_eq!(told(&["-n", "four"]), (winner.clone(), vec![]));
    let said = |namespace| {
        let output = builder.run(&[
            "explain",
            "http://a.test/",
            "--door",
            "external-http",
            "-n",
            namespace,
        ]);
        output.stderr
    };
    let told_of = said(namespace);
    assert!(
        told_of.contains(&format!(
            "only namespace `{namespace}`; 1 rule of others is left out"
        )),
        "{told_of}"
    );
    let told_of = said("four");
    assert!(
        told_of.contains("no object of namespace `four` was read"),
        "{told_of}"
    );

    // Through the admin port alike.
    let gateway = builder.twin(2).start();
    let admin = format!("unix:{}", gateway.admin_socket().display());
    assert_eq!(
        told(&["--admin", &admin, "-n", namespace]),
        (winner.clone(), vec![losers[1].clone()])
    );
    assert_eq!(told(&["--admin", &admin]), (winner, losers));
}
