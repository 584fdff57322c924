//! What is no longer exposed ends: upgraded and passed-through connections, long responses, and connections that lack what
//! their door now requires.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use gateway_tests::http2::{self, Http2, block};
use gateway_tests::tls::{Authority, H1, H2, Offer, TlsClient, TlsFront, annotated};
use gateway_tests::{Backend, Client, Gateway, Reply, gateway, get, manifest, scaled};

const DOOR: &str = "external-http";
const OTHER: &str = "internal-http";

/// A backend that switches protocols, and then gives back each byte.
fn echo() -> Backend {
    Backend::with(
        "echo",
        Reply::script(|stream, head| {
            let upgraded = head.contains("Upgrade: chat") || head.contains("pgrade: websocket");
            let answer = if upgraded {
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\necho"
            };
            let protocol = match (upgraded, head.contains("pgrade: websocket")) {
                (false, _) => "",
                (true, true) => "websocket\r\n\r\n",
                (true, false) => "chat\r\n\r\n",
            };
            stream
                .write_all((answer.to_owned() + protocol).as_bytes())
                .unwrap();
            let mut byte = [0; 1];
            while upgraded && stream.read(&mut byte).is_ok_and(|count| count > 0) {
                if stream.write_all(&byte).is_err() {
                    return;
                }
            }
        }),
    )
}

/// An upgraded connection.
struct Upgraded(Client);

impl Upgraded {
    fn open(address: SocketAddr, host: &str, path: &str) -> Self {
        Self::over(Client::connect(address), host, path)
    }

    fn over(mut client: Client, host: &str, path: &str) -> Self {
        let asked =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
        assert_eq!(client.request(asked).expect("an answer").status, 101);
        let mut upgraded = Self(client);
        assert!(upgraded.lives());
        upgraded
    }

    /// Whether a byte comes back.
    fn lives(&mut self) -> bool {
        self.0.send("x").take(1).is_some()
    }

    fn ends(&mut self) {
        assert!(self.0.is_closed(), "a byte after the end");
    }
}

fn rules(name: &str, door: &str, rules: &[(&str, &str, &str, &str)]) -> String {
    manifest::ingress(name, door, rules)
}

/// In another namespace, and older than objects without a creation time.
fn elsewhere(yaml: &str) -> String {
    yaml.replace(
        "  namespace: test\n",
        "  namespace: other\n  creationTimestamp: \"2020-01-01T00:00:00Z\"\n",
    )
}

#[test]
fn an_upgraded_connection_ends_with_its_route() {
    let (backend, second) = (echo(), echo());
    let service = manifest::service("app", &[backend.port()]);
    let other = manifest::service("other", &[second.port()]);
    let rule = [("a.test", "Prefix", "/", "app")];
    let served = rules("app", DOOR, &rule);
    let gateway = gateway!()
        .manifest("app.yaml", &served)
        .manifest("service.yaml", &service)
        .manifest("other.yaml", &other)
        .start();
    let address = gateway.door(DOOR);
    let taken = elsewhere(&rules("theirs", DOOR, &[("a.test", "Prefix", "/chat", "other")]))
        + &elsewhere(&other).replace("test", "other");
    let renamed = served.replace("name: app\n  namespace", "name: renamed\n  namespace");
    for (what, yaml) in [
        ("another door's label", rules("app", OTHER, &rule)),
        ("no door's label", rules("app", "nowhere", &rule)),
        ("deleted", String::new()),
        (
            "another path",
            rules("app", DOOR, &[("a.test", "Prefix", "/else", "app")]),
        ),
        (
            "another host",
            rules("app", DOOR, &[("b.test", "Prefix", "/", "app")]),
        ),
        ("a path that another namespace has taken", served.clone() + &taken),
        ("another Ingress", renamed),
        (
            "closed",
            annotated(
                &served,
                &[("nginx.ingress.kubernetes.io/configuration-snippet", "deny all;")],
            ),
        ),
        (
            "a redirect to https",
            annotated(&served, &[("nginx.ingress.kubernetes.io/ssl-redirect", "true")]),
        ),
    ] {
        gateway.put("app.yaml", &served);
        let marker = format!("{}.test", what.replace(' ', "-").replace('\'', ""));
        gateway.put(
            "marker.yaml",
            &rules("marker", DOOR, &[(&marker, "Prefix", "/", "app")]),
        );
        gateway.until_status(DOOR, &marker, "/", 200);
        let mut upgraded = Upgraded::open(address, "a.test", "/chat");
        gateway.put("app.yaml", &yaml);
        let started = Instant::now();
        upgraded.ends();
        eprintln!("{what}: ended after {:?}", started.elapsed());
    }
    gateway.until("their lines", |gateway| {
        let lines = gateway.access_log();
        let ended = lines.iter().filter(|line| line["refusal"] == "withdrawn");
        ended.filter(|line| line["status"] == 101).count() == 9
    });
    gateway.counts(
        "blastdoor_refusals_total",
        &[("listener", DOOR), ("reason", "withdrawn")],
        9.0,
    );
}

#[test]
fn an_upgraded_connection_survives_changes_that_keep_its_route() {
    let (backend, second) = (echo(), echo());
    let served = rules("app", DOOR, &[("a.test", "Prefix", "/", "app")]);
    let gateway = gateway!()
        .manifest("app.yaml", &served)
        .manifest("service.yaml", &manifest::service("app", &[backend.port()]))
        .start();
    let mut upgraded = Upgraded::open(gateway.door(DOOR), "a.test", "/chat");
    for (what, file, yaml, path) in [
        (
            "other endpoints",
            "service.yaml",
            manifest::service("app", &[second.port()]),
            "/",
        ),
        (
            "another path",
            "app.yaml",
            rules(
                "app",
                DOOR,
                &[("a.test", "Prefix", "/", "app"), ("b.test", "Prefix", "/", "app")],
            ),
            "/",
        ),
        (
            "a longer rule of the same Ingress",
            "app.yaml",
            rules(
                "app",
                DOOR,
                &[
                    ("a.test", "Prefix", "/chat", "app"),
                    ("c.test", "Prefix", "/", "app"),
                ],
            ),
            "/chat",
        ),
        (
            "another timeout",
            "app.yaml",
            annotated(
                &served,
                &[("nginx.ingress.kubernetes.io/proxy-read-timeout", "7")],
            ) + &rules("more", DOOR, &[("d.test", "Prefix", "/", "app")]),
            "/",
        ),
    ] {
        gateway.put(file, &yaml);
        let host = ["b.test", "c.test", "d.test"]
            .into_iter()
            .find(|host| yaml.contains(host))
            .unwrap_or("a.test");
        gateway.until_status(DOOR, host, "/", 200);
        assert_eq!(get(gateway.door(DOOR), "a.test", path).status, 200);
        // Every worker has noticed the publication by now.
        std::thread::sleep(Duration::from_millis(400));
        assert!(upgraded.lives(), "{what}");
    }
    // Removed and created again in one publication, it is the same Ingress.
    gateway.put("app.yaml", &served);
    gateway.until_status(DOOR, "d.test", "/", 404);
    assert!(upgraded.lives());
}

/// The Ingress still answers, but with another Service: its connections get the time of a drain.
#[test]
fn an_upgraded_connection_ends_when_the_rule_names_another_service() {
    let (backend, second) = (echo(), echo());
    let gateway = gateway!()
        .door(DOOR, "drain = { wait = \"0s\", timeout = \"1500ms\" }")
        .manifest(
            "app.yaml",
            &rules("app", DOOR, &[("a.test", "Prefix", "/", "app")]),
        )
        .manifest(
            "services.yaml",
            &(manifest::service("app", &[backend.port()]) + &manifest::service("new", &[second.port()])),
        )
        .start();
    let mut upgraded = Upgraded::open(gateway.door(DOOR), "a.test", "/");
    let started = Instant::now();
    gateway.put(
        "app.yaml",
        &rules("app", DOOR, &[("a.test", "Prefix", "/", "new")]),
    );
    gateway.until("the new Service", |gateway| {
        get(gateway.door(DOOR), "a.test", "/").status == 200 && second.requests() > 0
    });
    upgraded.ends();
    assert!(
        started.elapsed() >= Duration::from_millis(1400),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_stream_that_was_upgraded_ends_with_its_route() {
    let backend = echo();
    let app = |door: &str| manifest::app("app", door, "a.test", backend.port());
    let other = Backend::start("other");
    let gateway = gateway!()
        .manifest("app.yaml", &app(DOOR))
        .manifest(
            "other.yaml",
            &manifest::app("other", DOOR, "b.test", other.port()),
        )
        .start();
    block(async {
        let client = Http2::connect(gateway.door(DOOR)).await;
        client.get("b.test", "/").await;
        let mut asked = http2::request_with("CONNECT", "a.test", "/chat", &[("sec-websocket-version", "13")]);
        asked
            .extensions_mut()
            .insert(h2::ext::Protocol::from_static("websocket"));
        let (response, mut outgoing) = client.open(asked, false).await.unwrap();
        let mut answer = response.await.unwrap();
        assert_eq!(answer.status(), 200);
        outgoing
            .send_data(bytes::Bytes::from_static(b"x"), false)
            .unwrap();
        assert_eq!(&answer.body_mut().data().await.unwrap().unwrap()[..], b"x");
        gateway.put("app.yaml", &app(OTHER));
        let end = tokio::time::timeout(Duration::from_secs(10), answer.body_mut().data()).await;
        assert!(
            matches!(end.expect("an end"), Some(Err(_))),
            "the stream is reset: it has not come to its own end"
        );
        assert_eq!(
            client.get("b.test", "/").await.text(),
            "other",
            "other streams go on"
        );
    });
}

/// An endless response, and one that ends.
#[test]
fn requests_under_way() {
    let backend = Backend::with(
        "slow",
        Reply::script(|stream, head| {
            let events = head.starts_with("GET /events");
            let kind = if events {
                "text/event-stream; charset=utf-8"
            } else {
                "text/plain"
            };
            let begun =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
            stream.write_all(begun.as_bytes()).unwrap();
            let pieces = if head.starts_with("GET /short") { 8 } else { 600 };
            for _ in 0..pieces {
                if stream.write_all(b"2\r\nok\r\n").is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(if events { 60_000 } else { 100 }));
            }
            let _gone = stream.write_all(b"0\r\n\r\n");
        }),
    );
    let app = |door: &str| manifest::app("app", door, "a.test", backend.port());
    let gateway = gateway!()
        .door(DOOR, "drain = { wait = \"0s\", timeout = \"2s\" }")
        .manifest("app.yaml", &app(DOOR))
        .start();
    let address = gateway.door(DOOR);
    let ask = |path: &str| {
        let mut client = Client::connect(address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        while !client.line().expect("a head").is_empty() {}
        client
    };
    let (mut events, mut short, mut endless) = (ask("/events"), ask("/short"), ask("/endless"));
    gateway.put("app.yaml", &app(OTHER));
    gateway.until_status(OTHER, "a.test", "/short", 200);
    let is_whole = |client: &mut Client| client.rest().ends_with(b"0\r\n\r\n");
    let started = Instant::now();
    assert!(!is_whole(&mut events), "events end at once");
    assert!(started.elapsed() < Duration::from_secs(30));
    short.send("GET /short HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut lines = Vec::new();
    while let Some(line) = short.line() {
        lines.push(line);
        if lines.ends_with(&["0".to_owned(), String::new()]) {
            break;
        }
    }
    assert_eq!(
        lines.concat().matches("ok").count(),
        8,
        "a request comes to its end"
    );
    assert_eq!(
        short.response().map(|answer| answer.status),
        Some(404),
        "and is the last"
    );
    assert!(!is_whole(&mut endless), "within the time that a drain gives");
}

#[test]
fn the_grace_of_a_door() {
    let backend = echo();
    let app = |door: &str| manifest::app("app", door, "a.test", backend.port());
    let gateway = gateway!()
        .door(DOOR, "timeouts = { withdrawn = \"3s\" }")
        .manifest("app.yaml", &app(DOOR))
        .start();
    let mut upgraded = Upgraded::open(gateway.door(DOOR), "a.test", "/");
    let started = Instant::now();
    gateway.put("app.yaml", &app(OTHER));
    gateway.until_status(DOOR, "a.test", "/", 404);
    std::thread::sleep(Duration::from_millis(300));
    assert!(upgraded.lives(), "within its time");
    // Back in time, nothing is withdrawn.
    gateway.put("app.yaml", &app(DOOR));
    gateway.until_status(DOOR, "a.test", "/", 200);
    std::thread::sleep(Duration::from_millis(3_500).saturating_sub(started.elapsed()));
    assert!(upgraded.lives(), "it is exposed again");
    let started = Instant::now();
    gateway.put("app.yaml", &app(OTHER));
    upgraded.ends();
    assert!(
        started.elapsed() >= Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

/// Two doors that terminate TLS, and an Ingress whose TLS is passed through.
#[test]
fn a_connection_that_was_passed_through_ends_with_its_route() {
    const DOOR: &str = "external-https";
    const OTHER: &str = "internal-https";
    let theirs = Authority::new("theirs").server(&["passed.test"]);
    let inner = echo();
    let front = TlsFront::start(&theirs, H1, None, inner.port());
    let second = TlsFront::start(&theirs, H1, None, inner.port());
    let plain = |door: &str| rules("passed", door, &[("passed.test", "Prefix", "/", "passed")]);
    let through = |door: &str| {
        annotated(
            &plain(door),
            &[("nginx.ingress.kubernetes.io/ssl-passthrough", "true")],
        )
    };
    let service = |port: u16| manifest::service("passed", &[port]);
    let tls = "tls = { default_certificate = \"self-signed\" }";
    let gateway = gateway!()
        .door(DOOR, tls)
        .door(OTHER, tls)
        .manifest("passed.yaml", &through(DOOR))
        .manifest("service.yaml", &service(front.port()))
        .start();
    let client = TlsClient::new(&Offer::default());
    let is_passed = |door: &str| {
        let shaken = client.connect(gateway.door(door), Some("passed.test"));
        shaken.is_ok_and(|shaken| shaken.shown() == theirs.der())
    };
    for (what, yaml, elsewhere) in [
        ("another door", through(OTHER), true),
        ("no passthrough", plain(DOOR), false),
        ("deleted", String::new(), false),
    ] {
        gateway.put("passed.yaml", &through(DOOR));
        gateway.put("service.yaml", &service(front.port()));
        gateway.until("it is passed", |_| is_passed(DOOR));
        let shaken = client.connect(gateway.door(DOOR), Some("passed.test")).unwrap();
        let mut upgraded = Upgraded::over(shaken.http1(), "passed.test", "/");
        gateway.put("service.yaml", &service(second.port()));
        gateway.until("other endpoints", |_| {
            let before = second.met().len();
            is_passed(DOOR) && second.met().len() > before
        });
        std::thread::sleep(Duration::from_millis(400));
        assert!(upgraded.lives(), "{what}: other endpoints change nothing");
        gateway.put("passed.yaml", &yaml);
        upgraded.ends();
        if elsewhere {
            gateway.until("it is at the other door", |_| is_passed(OTHER));
        }
    }
    let withdrawn = [("listener", DOOR), ("reason", "withdrawn")];
    gateway.until("all are counted", |gateway| {
        gateway.metric("blastdoor_refusals_total", &withdrawn) >= 3.0
    });
}

/// Rewrites the configuration, and waits until the door requires what is new.
fn reconfigure(gateway: &Gateway, from: &str, to: &str, until: impl Fn() -> bool) {
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let changed = config.replace(from, to);
    assert_ne!(config, changed);
    std::fs::write(gateway.config(), changed).unwrap();
    gateway.until("the new configuration", |_| until());
}

/// What a door now requires also applies to older connections.
#[test]
fn a_cleartext_connection_does_not_outlive_a_switch_to_tls() {
    const DOOR: &str = "external-https";
    let clients = Authority::new("clients");
    let backend = echo();
    let gateway = gateway!()
        .file("ca.pem", clients.pem())
        .door(DOOR, "# nothing = yet")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("b.test", "/").expect("an answer").status, 404);
    let mut upgraded = Upgraded::open(address, "a.test", "/");
    block(async {
        let client = Http2::connect(address).await;
        assert_eq!(client.get("b.test", "/").await.status, 404);
        let stricter = "tls = { default_certificate = \"self-signed\", client_auth = { mode = \"require\", ca = { file = \"ca.pem\" } } }\n";
        reconfigure(&gateway, "# nothing = yet\n", stricter, || {
            let mut tcp = TcpStream::connect(address).unwrap();
            tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let _gone = tcp.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            let mut answer = Vec::new();
            let _reset = tcp.read_to_end(&mut answer);
            !answer.starts_with(b"HTTP/")
        });
        assert_eq!(client.get("a.test", "/").await.status, 421);
        tokio::time::timeout(Duration::from_secs(10), client.ended())
            .await
            .expect("GOAWAY")
            .expect("in order");
    });
    upgraded.ends();
    let before = backend.requests();
    let answer = kept.get("a.test", "/").expect("an answer");
    assert_eq!((answer.status, answer.field("connection")), (421, Some("close")));
    assert!(kept.is_closed());
    assert_eq!(backend.requests(), before);

    // And the reverse: a door that asks for no client certificate forwards no statement about one.
    let known = clients.client("alice");
    let offer = Offer {
        identity: Some(&known),
        ..Offer::default()
    };
    let mut kept = TlsClient::new(&offer)
        .connect(address, Some("a.test"))
        .unwrap()
        .http1();
    assert_eq!(kept.get("b.test", "/").expect("an answer").status, 404);
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let line = config.lines().find(|line| line.starts_with("tls = ")).unwrap();
    reconfigure(&gateway, line, "", || {
        Client::connect(address).get("a.test", "/").is_some()
    });
    let answer = kept.get("a.test", "/").expect("an answer");
    assert_eq!((answer.status, answer.field("connection")), (421, Some("close")));
    assert!(kept.is_closed());
}

#[test]
fn a_session_does_not_outlive_its_client_policy() {
    const DOOR: &str = "external-https";
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let backend = echo();
    let table = |lines: &str| format!("tls = {{ default_certificate = \"self-signed\"{lines} }}\n");
    let asks = |file: &str| {
        table(&format!(
            ", client_auth = {{ mode = \"require\", ca = {{ file = \"{file}\" }} }}"
        ))
    };
    let newest = table(", min_version = \"1.3\"");
    let (alice, bob) = (old.client("alice"), new.client("bob"));
    for (before, after, identity, later) in [
        (table(""), asks("old.pem"), None, Some(&alice)),
        (asks("old.pem"), asks("new.pem"), Some(&alice), Some(&bob)),
        (table(""), newest, None, None),
    ] {
        let gateway = gateway!()
            .file("old.pem", old.pem())
            .file("new.pem", new.pem())
            .door(DOOR, before.trim_end())
            .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
            .start();
        let address = gateway.door(DOOR);
        let of = |identity, alpn, versions| {
            TlsClient::new(&Offer {
                identity,
                alpn,
                versions,
                ..Offer::default()
            })
        };
        let first: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
        let client = of(identity, H1, first);
        let connect = || client.connect(address, Some("a.test")).unwrap().http1();
        let (mut kept, mut upgraded) = (connect(), Upgraded::over(connect(), "a.test", "/"));
        assert_eq!(kept.get("b.test", "/").expect("an answer").status, 404);
        block(async {
            let client = of(identity, H2, first)
                .http2(address, Some("a.test"))
                .await
                .unwrap();
            let ask = || http::Request::builder().uri("https://a.test/").body(()).unwrap();
            assert_eq!(client.exchange(ask(), &[]).await.status, 200);
            reconfigure(&gateway, before.trim_end(), after.trim_end(), || {
                let old = of(identity, H1, first).connect(address, Some("a.test")).ok();
                let is_refused = old.and_then(|shaken| shaken.http1().get("a.test", "/")).is_none();
                let new = of(later, H1, rustls::ALL_VERSIONS).connect(address, Some("a.test"));
                is_refused && new.is_ok_and(|shaken| shaken.http1().get("a.test", "/").is_some())
            });
            assert_eq!(client.exchange(ask(), &[]).await.status, 421);
            tokio::time::timeout(Duration::from_secs(10), client.ended())
                .await
                .expect("GOAWAY")
                .expect("in order");
        });
        upgraded.ends();
        let answer = kept.get("a.test", "/").expect("an answer");
        assert_eq!((answer.status, answer.field("connection")), (421, Some("close")));
        assert!(kept.is_closed());
    }
}

#[test]
fn a_connection_without_a_proxy_header_ends_once_it_is_required() {
    let backend = echo();
    let gateway = gateway!()
        .door(
            DOOR,
            "proxy_protocol = \"optional\"\ntrusted_proxies = [\"127.0.0.0/8\"]",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let with_header = || {
        let mut client = Client::connect(address);
        client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n");
        client
    };
    let (mut bare, mut headed) = (Client::connect(address), with_header());
    let (mut bare_tunnel, mut headed_tunnel) = (
        Upgraded::open(address, "a.test", "/"),
        Upgraded::over(with_header(), "a.test", "/"),
    );
    for client in [&mut bare, &mut headed] {
        assert_eq!(client.get("b.test", "/").expect("an answer").status, 404);
    }
    let is_refused = |mut client: Client| client.get("b.test", "/").is_none();
    reconfigure(&gateway, "\"optional\"", "\"required\"", || {
        is_refused(Client::connect(address))
    });
    bare_tunnel.ends();
    let answer = bare.get("b.test", "/").expect("an answer");
    assert_eq!((answer.status, answer.field("connection")), (421, Some("close")));
    assert!(bare.is_closed());
    assert_eq!(headed.get("b.test", "/").expect("an answer").status, 404);
    assert!(headed_tunnel.lives());

    // Nor does a PROXY header count after the trust in its sender has ended.
    reconfigure(&gateway, "127.0.0.0/8", "192.0.2.0/24", || {
        is_refused(with_header())
    });
    headed_tunnel.ends();
    assert_eq!(headed.get("b.test", "/").expect("an answer").status, 421);
    assert!(headed.is_closed());
}

/// An Ingress moves back and forth while connections come and go: none survives at the door that it has left.
#[test]
fn relabelling_ends_open_connections() {
    let backend = echo();
    let yaml = |door: &str| manifest::app("app", door, "a.test", backend.port());
    let gateway = gateway!().manifest("app.yaml", &yaml(OTHER)).start();
    let mut left: Vec<Upgraded> = Vec::new();
    for number in 0..scaled("relabellings", 10, 100) {
        let door = if number % 2 == 0 { DOOR } else { OTHER };
        gateway.put("app.yaml", &yaml(door));
        gateway.until_status(door, "a.test", "/", 200);
        for upgraded in &mut left {
            upgraded.ends();
        }
        left = (0..4)
            .map(|_| Upgraded::open(gateway.door(door), "a.test", "/"))
            .collect();
    }
    assert!(left.iter_mut().all(Upgraded::lives));
}
