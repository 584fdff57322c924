//! Doors that terminate TLS: which certificate, which protocol, which client, which host.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::http2::{Http2, block};
use gateway_tests::tls::{
    Authority, H1, H2, Identity, Offer, TlsClient, TlsFront, annotated, secret, secret_of, with_tls,
};
use gateway_tests::{Backend, Builder, Client, DOORS, Gateway, gateway, manifest, scaled};
use rustls::{AlertDescription, StreamOwned};

const DOOR: &str = "external-https";

/// An Ingress for one host with its own certificate.
fn app(name: &str, expose: &str, host: &str, port: u16, secret: &str) -> String {
    with_tls(&manifest::app(name, expose, host, port), &[(&[host], secret)])
}

fn plain_client() -> TlsClient {
    TlsClient::new(&Offer::default())
}

fn h2_client() -> TlsClient {
    TlsClient::new(&Offer {
        alpn: H2,
        ..Offer::default()
    })
}

/// A GET over HTTP/2 under TLS.
async fn h2_get(client: &Http2, host: &str) -> (u16, String) {
    let request = http::Request::builder()
        .uri(format!("https://{host}/"))
        .body(())
        .unwrap();
    let answer = client.exchange(request, &[]).await;
    (answer.status, answer.text())
}

struct Rig {
    gateway: Gateway,
    address: SocketAddr,
    backend: Backend,
    a: Identity,
    wild: Identity,
    default: Identity,
}

/// One door: `a.test` and `b.test` with a certificate each, everything below `wild.test` with one, and a default.
fn rig(builder: Builder, tls: &str) -> Rig {
    let authority = Authority::new("test");
    let (a, b) = (authority.server(&["a.test"]), authority.server(&["b.test"]));
    let (wild, default) = (
        authority.server(&["*.wild.test"]),
        authority.server(&["default.test"]),
    );
    let backend = Backend::start("app");
    let rules: Vec<(&str, &str, &str, &str)> = ["a.test", "b.test", "*.wild.test", "bare.test"]
        .iter()
        .map(|host| (*host, "Prefix", "/", "app"))
        .collect();
    let ingress = with_tls(
        &manifest::ingress("app", DOOR, &rules),
        &[(&["a.test"], "a"), (&["b.test"], "b"), (&["*.wild.test"], "wild")],
    );
    let gateway = builder
        .file("default.crt", &default.chain)
        .file("default.key", &default.key)
        .door(DOOR, tls)
        .manifest(
            "app.yaml",
            &(ingress + &manifest::service("app", &[backend.port()])),
        )
        .manifest(
            "secrets.yaml",
            &(secret("a", &a) + &secret("b", &b) + &secret("wild", &wild)),
        )
        .start();
    let address = gateway.door(DOOR);
    Rig {
        gateway,
        address,
        backend,
        a,
        wild,
        default,
    }
}

const WITH_DEFAULT: &str =
    "tls = { default_certificate = { cert = \"default.crt\", key = \"default.key\" } }";

#[test]
fn the_certificate_of_a_name() {
    let rig = rig(gateway!(), WITH_DEFAULT);
    for (name, expected) in [
        (Some("a.test"), &rig.a),
        (Some("A.Test"), &rig.a),
        (Some("x.wild.test"), &rig.wild),
        (Some("X.WILD.TEST"), &rig.wild),
        (Some("x.y.wild.test"), &rig.default),
        (Some("wild.test"), &rig.default),
        (Some("bare.test"), &rig.default),
        (Some("nowhere.test"), &rig.default),
        (None, &rig.default),
    ] {
        let shaken = plain_client().connect(rig.address, name).unwrap();
        assert!(shaken.shown() == expected.der(), "{name:?}");
    }
    let expiry = rig
        .gateway
        .metric("blastdoor_certificate_expiry_seconds", &[("listener", DOOR)]);
    assert!(expiry > 4e9, "four Unix times: {expiry}");
    // Without a default one, what nobody has a certificate for gets none.
    let without = self::rig(gateway!(), "tls = {}");
    assert!(plain_client().connect(without.address, Some("a.test")).is_ok());
    for name in [Some("nowhere.test"), Some("bare.test"), None] {
        assert!(plain_client().connect(without.address, name).is_err(), "{name:?}");
    }
    let made = self::rig(gateway!(), "tls = { default_certificate = \"self-signed\" }");
    let shown = plain_client().connect(made.address, None).unwrap().shown();
    assert!(shown != made.default.der());
}

#[test]
fn the_protocol_is_negotiated() {
    let rig = rig(gateway!(), WITH_DEFAULT);
    for (offer, chosen) in [
        (H2, Some(&b"h2"[..])),
        (H1, Some(b"http/1.1")),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"spdy/3", b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let client = TlsClient::new(&Offer {
            alpn: offer,
            ..Offer::default()
        });
        let shaken = client.connect(rig.address, Some("a.test")).unwrap();
        assert_eq!(shaken.protocol(), chosen, "{offer:?}");
        if chosen != Some(b"h2") {
            assert_eq!(shaken.http1().get("a.test", "/").unwrap().text(), "app");
        }
    }
    let stranger = TlsClient::new(&Offer {
        alpn: &[b"spdy/3"],
        ..Offer::default()
    });
    assert!(
        stranger.connect(rig.address, Some("a.test")).is_err(),
        "RFC 7301 3.2: no protocol in common"
    );
    block(async {
        let client = h2_client().http2(rig.address, Some("a.test")).await.unwrap();
        assert_eq!(h2_get(&client, "a.test").await, (200, "app".to_owned()));
    });
    let seen = rig.backend.last();
    assert_eq!(
        (seen.field("x-forwarded-proto"), seen.field("x-forwarded-port")),
        (Some("https"), Some("443"))
    );
    // What was negotiated is what is spoken.
    let mut mixed = plain_client()
        .connect(rig.address, Some("a.test"))
        .unwrap()
        .http1();
    let answer = mixed
        .request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .expect("an answer");
    assert!(answer.status >= 400, "{}", answer.status);
}

#[test]
fn old_versions_are_refused() {
    let only = |version| {
        TlsClient::new(&Offer {
            versions: version,
            ..Offer::default()
        })
    };
    let (v12, v13) = (only(&[&rustls::version::TLS12]), only(&[&rustls::version::TLS13]));
    let rig = rig(gateway!(), WITH_DEFAULT);
    for client in [&v12, &v13] {
        let connection = client.connect(rig.address, Some("a.test")).unwrap();
        assert_eq!(connection.http1().get("a.test", "/").unwrap().status, 200);
    }
    let newest = self::rig(
        gateway!(),
        "tls = { min_version = \"1.3\", default_certificate = \"self-signed\" }",
    );
    assert!(v12.connect(newest.address, Some("a.test")).is_err());
    assert!(v13.connect(newest.address, Some("a.test")).is_ok());
    newest.gateway.until("the refusal is counted", |gateway| {
        gateway.metric("blastdoor_refusals_total", &[("reason", "tls_handshake")]) >= 1.0
    });
}

#[test]
fn client_certificates_decide_who_is_served() {
    let (good, other) = (Authority::new("clients"), Authority::new("others"));
    let (known, stranger) = (good.client("Alice \"A\", Ltd"), other.client("mallory"));
    let claims = "X-Forwarded-Client-Cert: Hash=forged\r\nX_Forwarded_Client_Cert: Hash=forged\r\nX-Forwarded-Client-Cert: Subject=\"root\"\r\n";
    for (mode, known_as, none_as, stranger_as) in [
        ("off", Some(false), Some(false), Some(false)),
        ("optional", Some(true), Some(false), None),
        ("require", Some(true), None, None),
    ] {
        let ca = if mode == "off" {
            String::new()
        } else {
            ", ca = { file = \"ca.pem\" }".to_owned()
        };
        let lines = format!(
            "tls = {{ default_certificate = \"self-signed\", client_auth = {{ mode = \"{mode}\"{ca} }} }}"
        );
        let rig = rig(gateway!().file("ca.pem", good.pem()), &lines);
        for (who, identity, expected) in [
            ("known", Some(&known), known_as),
            ("nobody", None, none_as),
            ("a stranger", Some(&stranger), stranger_as),
        ] {
            for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
                let client = TlsClient::new(&Offer {
                    identity,
                    versions,
                    ..Offer::default()
                });
                let before = rig.backend.requests();
                let answer = client
                    .connect(rig.address, Some("a.test"))
                    .ok()
                    .and_then(|shaken| {
                        shaken
                            .http1()
                            .request(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{claims}\r\n"))
                    });
                assert_eq!(
                    answer.map(|answer| answer.status),
                    expected.map(|_| 200),
                    "{mode}: {who}"
                );
                let Some(told) = expected else {
                    assert_eq!(rig.backend.requests(), before, "{mode}: {who}");
                    continue;
                };
                let seen = rig.backend.last();
                assert!(
                    !seen.head.contains("forged") && !seen.head.contains("root"),
                    "{mode}: {}",
                    seen.head
                );
                let field = seen.field("x-forwarded-client-cert");
                assert_eq!(field.is_some(), told, "{mode}: {who}: {field:?}");
                if let Some(field) = field {
                    assert!(
                        field.starts_with("Hash=") && field.contains(";Subject=\""),
                        "{field}"
                    );
                    assert!(field.contains(";URI=spiffe://test/Alice"), "{field}");
                    assert_eq!(field.matches('"').count(), 2, "{field}");
                }
            }
        }
        if mode != "off" {
            block(async {
                let client = TlsClient::new(&Offer {
                    alpn: H2,
                    identity: Some(&known),
                    ..Offer::default()
                });
                let client = client.http2(rig.address, Some("a.test")).await.unwrap();
                assert_eq!(h2_get(&client, "a.test").await.0, 200);
            });
            assert!(rig.backend.last().field("x-forwarded-client-cert").is_some());
        }
    }
}

/// The log says why clients were refused, once for all that were refused for the same reason.
#[test]
fn refused_client_certificates_are_logged() {
    let good = Authority::new("clients");
    let (known, stranger) = (good.client("alice"), Authority::new("others").client("mallory"));
    let server = good.server(&["server.test"]);
    let lines = "tls = { default_certificate = \"self-signed\", client_auth = { mode = \"require\", ca = { file = \"ca.pem\" } } }";
    let rig = rig(gateway!().file("ca.pem", good.pem()), lines);
    let served = |identity| {
        let client = TlsClient::new(&Offer {
            identity,
            ..Offer::default()
        });
        let shaken = client.connect(rig.address, Some("a.test")).ok();
        shaken
            .and_then(|shaken| shaken.http1().get("a.test", "/"))
            .is_some()
    };
    assert!(served(Some(&known)));
    for _ in 0..20 {
        assert!(!served(None) && !served(Some(&stranger)) && !served(Some(&server)));
    }
    let told = |gateway: &gateway_tests::Gateway| -> Vec<String> {
        let lines = gateway.stderr();
        let refused = lines
            .lines()
            .filter(|line| line.contains("client certificate refused"));
        refused.map(str::to_owned).collect()
    };
    for reason in [
        "none was presented, and `client_auth` requires one",
        "none of the authorities in `client_auth.ca` has issued it",
        "its extended key usage does not allow `clientAuth`",
    ] {
        rig.gateway.until(reason, |gateway| {
            told(gateway).iter().any(|line| line.contains(reason))
        });
    }
    let lines = told(&rig.gateway);
    assert!(
        lines
            .iter()
            .all(|line| line.contains("WARN") && line.contains(DOOR)),
        "{lines:?}"
    );
    // Sixty were refused, for three reasons; on a slow machine one may have been logged again.
    assert!(lines.len() <= 12, "{lines:?}");
}

/// A refused client learns the reason even if it has sent more than the gateway reads: in TLS 1.3 it sends before it can
/// know.
#[test]
fn the_reason_for_a_refusal_arrives() {
    let good = Authority::new("clients");
    let rig = rig(
        gateway!().file("ca.pem", good.pem()),
        "tls = { default_certificate = \"self-signed\", client_auth = { mode = \"require\", ca = { file = \"ca.pem\" } } }",
    );
    let stranger = Authority::new("others").client("mallory");
    for (identity, alert) in [
        (None, AlertDescription::CertificateRequired),
        (Some(&stranger), AlertDescription::UnknownCA),
    ] {
        let client = TlsClient::new(&Offer {
            identity,
            versions: &[&rustls::version::TLS13],
            ..Offer::default()
        });
        for number in 0..24 {
            let tcp = TcpStream::connect(rig.address).unwrap();
            tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut tls = StreamOwned::new(client.session(Some("a.test")), tcp);
            let body = vec![b'x'; 100_000];
            let _cut = tls
                .write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n")
                .and_then(|()| tls.write_all(&body));
            // On a slow line the reason comes after all that was sent.
            std::thread::sleep(Duration::from_millis(20));
            let error = tls.read(&mut [0; 100]).expect_err("no answer");
            let reason = error
                .get_ref()
                .and_then(|error| error.downcast_ref::<rustls::Error>());
            assert_eq!(
                reason,
                Some(&rustls::Error::AlertReceived(alert)),
                "try {number}: {error}"
            );
        }
    }
    assert_eq!(rig.backend.requests(), 0);
}

/// Missing authorities close the door.
#[test]
fn missing_authorities_close_the_door() {
    let good = Authority::new("clients");
    let known = good.client("alice");
    let lines = "tls = { default_certificate = \"self-signed\", client_auth = { mode = \"require\", ca = { secret = \"test/ca\" } } }";
    let rig = rig(gateway!(), lines);
    let client = |identity| {
        TlsClient::new(&Offer {
            identity,
            ..Offer::default()
        })
    };
    let served = |identity| {
        let shaken = client(identity).connect(rig.address, Some("a.test")).ok();
        shaken
            .and_then(|shaken| shaken.http1().get("a.test", "/"))
            .is_some()
    };
    assert!(
        !served(None) && !served(Some(&known)),
        "without the Secret nobody is served"
    );
    rig.gateway
        .put("ca.yaml", &secret_of("ca", "Opaque", &[("ca.crt", good.pem())]));
    rig.gateway.until("the Secret is there", |_| served(Some(&known)));
    assert!(!served(None));
    rig.gateway
        .put("ca.yaml", &secret_of("ca", "Opaque", &[("ca.crt", "nonsense")]));
    std::thread::sleep(Duration::from_millis(500));
    assert!(!served(None), "nonsense opens nothing");
}

#[test]
fn a_session_resumes_only_at_its_own_door() {
    let authority = Authority::new("test");
    let (same, clients) = (authority.server(&["same.test"]), Authority::new("clients"));
    let known = clients.client("alice");
    let backends = DOORS.map(Backend::start);
    let mut builder = gateway!()
        .file("ca.pem", clients.pem())
        .every_door("scheme = \"https\"\ntls = {}");
    builder = builder.door(
        "internal-https",
        "tls = { client_auth = { mode = \"require\", ca = { file = \"ca.pem\" } } }",
    );
    for (door, backend) in DOORS.iter().zip(&backends) {
        builder = builder.manifest(
            &format!("{door}.yaml"),
            &app(door, door, "same.test", backend.port(), "same"),
        );
    }
    let gateway = builder.manifest("same.yaml", &secret("same", &same)).start();
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for identity in [None, Some(&known)] {
            let client = TlsClient::new(&Offer {
                versions,
                identity,
                ..Offer::default()
            });
            let visit = |door: &str| {
                let shaken = client.connect(gateway.door(door), Some("same.test")).ok()?;
                let resumed = shaken.resumed();
                // In TLS 1.3, tickets follow the handshake.
                let answer = shaken.http1().get("same.test", "/")?;
                Some((resumed, answer.text()))
            };
            for door in [
                "external-https",
                "internal-http",
                "external-http",
                "internal-https",
            ] {
                let first = visit(door);
                if door == "internal-https" && identity.is_none() {
                    assert_eq!(first, None, "a session of another door proves nothing here");
                    continue;
                }
                assert_eq!(
                    first,
                    Some((false, door.to_owned())),
                    "a session of another door does not go on"
                );
                assert_eq!(
                    visit(door),
                    Some((true, door.to_owned())),
                    "its own does, {versions:?}"
                );
            }
        }
    }
    assert_eq!(backends[1].requests(), 4);
}

/// A ticket from before clients had to show a certificate does not spare them that.
#[test]
fn a_session_of_another_policy_does_not_resume() {
    let clients = Authority::new("clients");
    let rig = rig(
        gateway!().file("ca.pem", clients.pem()),
        "tls = { default_certificate = \"self-signed\" }",
    );
    let client = plain_client();
    for expected in [false, true] {
        let shaken = client.connect(rig.address, Some("a.test")).unwrap();
        assert_eq!(shaken.resumed(), expected);
        assert_eq!(shaken.http1().get("a.test", "/").unwrap().status, 200);
    }
    let mut kept = client.connect(rig.address, Some("a.test")).unwrap().http1();
    assert_eq!(kept.get("a.test", "/").unwrap().status, 200);
    let config = std::fs::read_to_string(rig.gateway.config()).unwrap();
    let stricter = config.replace(
        "tls = { default_certificate = \"self-signed\" }",
        "tls = { default_certificate = \"self-signed\", client_auth = { mode = \"require\", ca = { file = \"ca.pem\" } } }",
    );
    assert_ne!(config, stricter);
    std::fs::write(rig.gateway.config(), stricter).unwrap();
    rig.gateway.until("the new policy", |_| {
        let shaken = plain_client().connect(rig.address, Some("a.test")).ok();
        shaken
            .and_then(|shaken| shaken.http1().get("a.test", "/"))
            .is_none()
    });
    let before = rig.backend.requests();
    for _ in 0..3 {
        let shaken = client.connect(rig.address, Some("a.test")).ok();
        assert!(
            shaken
                .and_then(|shaken| shaken.http1().get("a.test", "/"))
                .is_none()
        );
    }
    // A connection from before the change has proved less than is required now.
    assert_eq!(kept.get("a.test", "/").map(|answer| answer.status), Some(421));
    assert_eq!(rig.backend.requests(), before);
}

#[test]
fn misdirected_requests() {
    let rig = rig(gateway!(), WITH_DEFAULT);
    for (name, host, status) in [
        (Some("a.test"), "a.test", 200),
        (Some("a.test"), "A.TEST.", 200),
        (Some("a.test"), "a.test:443", 200),
        (Some("a.test"), "b.test", 421),
        (Some("a.test"), "x.wild.test", 421),
        (Some("a.test"), "bare.test", 421),
        (Some("a.test"), "nowhere.test", 421),
        (Some("a.test"), "10.0.0.1", 421),
        (Some("x.wild.test"), "x.wild.test", 200),
        (Some("x.wild.test"), "y.wild.test", 200),
        (Some("x.wild.test"), "x.y.wild.test", 421),
        (Some("bare.test"), "bare.test", 200),
        (Some("bare.test"), "nowhere.test", 404),
        (Some("nowhere.test"), "bare.test", 200),
        (Some("nowhere.test"), "a.test", 421),
        (None, "a.test", 200),
        (None, "bare.test", 200),
        (None, "nowhere.test", 404),
    ] {
        let before = rig.backend.requests();
        let mut client = plain_client().connect(rig.address, name).unwrap().http1();
        let answer = client.get(host, "/").unwrap();
        assert_eq!(answer.status, status, "{host} on a connection for {name:?}");
        assert_eq!(rig.backend.requests() - before, usize::from(status == 200));
        block(async {
            let client = h2_client().http2(rig.address, name).await.unwrap();
            assert_eq!(
                h2_get(&client, host).await.0,
                status,
                "{host} on an h2 connection for {name:?}"
            );
            if let Some(own) = name.filter(|name| *name != "nowhere.test") {
                assert_eq!(h2_get(&client, own).await.0, 200, "the connection goes on");
            }
        });
    }
    let mut client = plain_client()
        .connect(rig.address, Some("a.test"))
        .unwrap()
        .http1();
    let exists = client.get("b.test", "/").unwrap().without_date();
    let mut client = plain_client()
        .connect(rig.address, Some("a.test"))
        .unwrap()
        .http1();
    assert_eq!(
        exists,
        client.get("nowhere.test", "/").unwrap().without_date(),
        "whether it exists is not told"
    );
}

/// Every ordered pair of doors, each with a certificate for its own name and all with one for the same wildcard.
#[test]
fn no_certificate_and_no_request_crosses_a_door() {
    let authority = Authority::new("test");
    let backends = DOORS.map(Backend::start);
    let identities = DOORS.map(|door| authority.server(&[&format!("{door}.test")]));
    let shared = authority.server(&["*.shared.test"]);
    let mut builder = gateway!()
        .every_door("scheme = \"https\"\ntls = { default_certificate = \"self-signed\" }")
        .manifest("shared.yaml", &secret("shared", &shared));
    for ((door, backend), identity) in DOORS.iter().zip(&backends).zip(&identities) {
        let (own, coalesced) = (format!("{door}.test"), format!("{door}.shared.test"));
        let yaml = with_tls(
            &manifest::ingress(
                door,
                door,
                &[(&own, "Prefix", "/", door), (&coalesced, "Prefix", "/", door)],
            ),
            &[(&[&own], &format!("{door}-tls")), (&[&coalesced], "shared")],
        ) + &manifest::service(door, &[backend.port()])
            + &secret(&format!("{door}-tls"), identity);
        builder = builder.manifest(&format!("{door}.yaml"), &yaml);
    }
    let gateway = builder.start();
    for (door, own) in DOORS.iter().zip(&identities) {
        let address = gateway.door(door);
        let here = format!("{door}.test");
        for (other, foreign) in DOORS.iter().zip(&identities).filter(|(other, _)| *other != door) {
            let there = format!("{other}.test");
            // The other's name in the handshake: neither its certificate nor the shared one.
            let shaken = plain_client().connect(address, Some(&there)).unwrap();
            assert!(
                shaken.shown() != foreign.der() && shaken.shown() != own.der(),
                "{there} at {door}"
            );
            assert_eq!(shaken.http1().get(&there, "/").unwrap().status, 404);
            let coalesced = format!("{other}.shared.test");
            let shaken = plain_client().connect(address, Some(&coalesced)).unwrap();
            assert!(
                shaken.shown() != shared.der(),
                "{coalesced} has no certificate at {door}"
            );
            // The other's name in the request: the same answer as for a name that exists nowhere.
            for name in [Some(here.as_str()), None] {
                let ask = |host: &str| {
                    let mut client = plain_client().connect(address, name).unwrap().http1();
                    client.get(host, "/").unwrap().without_date()
                };
                let (elsewhere, nowhere) = (ask(&there), ask("nowhere.test"));
                assert_eq!(elsewhere, nowhere, "{there} at {door}");
                assert!(
                    elsewhere.starts_with(if name.is_some() {
                        "HTTP/1.1 421"
                    } else {
                        "HTTP/1.1 404"
                    }),
                    "{elsewhere}"
                );
            }
            // One connection under the shared certificate, as browsers coalesce them.
            block(async {
                let client = h2_client()
                    .http2(address, Some(&format!("{door}.shared.test")))
                    .await
                    .unwrap();
                assert_eq!(
                    h2_get(&client, &format!("{door}.shared.test")).await,
                    (200, (*door).to_owned())
                );
                for host in [&coalesced, &there] {
                    let (status, _) = h2_get(&client, host).await;
                    assert!(status == 404 || status == 421, "{status} for {host} at {door}");
                    assert_eq!(
                        status,
                        h2_get(&client, "nowhere.test").await.0,
                        "{host} at {door}"
                    );
                }
                assert_eq!(
                    h2_get(&client, &format!("{door}.shared.test")).await,
                    (200, (*door).to_owned())
                );
            });
        }
    }
    for (door, backend) in DOORS.iter().zip(&backends) {
        assert!(
            backend
                .seen()
                .iter()
                .all(|seen| seen.field("x-blastdoor-door") == Some(door))
        );
        assert_eq!(backend.requests(), 6, "{door}");
    }
    assert_eq!(gateway.metric("blastdoor_panics_total", &[]), 0.0);
}

/// A ClientHello in several TCP segments and TLS records (RUSTSEC-2024-0399, CVE-2026-32305): its name still counts.
#[test]
fn a_client_hello_in_pieces() {
    let passed = Authority::new("elsewhere").server(&["passed.test"]);
    let inner = Backend::start("passed");
    let front = TlsFront::start(&passed, H1, None, inner.port());
    let through = annotated(
        &manifest::app("passed", DOOR, "passed.test", front.port()),
        &[("nginx.ingress.kubernetes.io/ssl-passthrough", "true")],
    );
    for passthrough in [false, true] {
        let builder = if passthrough {
            gateway!().manifest("passed.yaml", &through)
        } else {
            gateway!()
        };
        let rig = rig(builder, WITH_DEFAULT);
        for name in ["a.test", "passed.test"] {
            if name == "passed.test" && !passthrough {
                continue;
            }
            for (records, segments) in [
                (1, usize::MAX),
                (7, usize::MAX),
                (100, 1),
                (usize::MAX, 1),
                (3, 3),
            ] {
                let mut connection = plain_client().session(Some(name));
                let mut hello = Vec::new();
                connection.write_tls(&mut hello).unwrap();
                let pieces = fragmented(&hello, records);
                let mut tcp = TcpStream::connect(rig.address).unwrap();
                tcp.set_nodelay(true).unwrap();
                tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                for piece in pieces.chunks(segments.min(pieces.len())) {
                    tcp.write_all(piece).unwrap();
                    if segments == 1 {
                        std::thread::sleep(Duration::from_micros(50));
                    }
                }
                while connection.is_handshaking() {
                    let done = connection.complete_io(&mut tcp);
                    assert!(
                        done.is_ok(),
                        "{name} in records of {records} and segments of {segments}, passthrough: {passthrough}: {done:?}"
                    );
                }
                let shown = connection.peer_certificates().unwrap()[0].clone();
                let (expected, text) = if name == "a.test" {
                    (&rig.a, "app")
                } else {
                    (&passed, "passed")
                };
                assert!(
                    shown == expected.der(),
                    "{name} in records of {records} and segments of {segments}"
                );
                let mut client = Client::over_tls(rustls::StreamOwned::new(connection, tcp));
                assert_eq!(client.get(name, "/").unwrap().text(), text);
            }
        }
        assert_eq!(rig.gateway.metric("blastdoor_panics_total", &[]), 0.0);
    }
}

/// The record of a handshake message as records of at most `size` bytes (RFC 8446 5.1).
fn fragmented(record: &[u8], size: usize) -> Vec<u8> {
    let (head, body) = record.split_at(5);
    body.chunks(size.min(body.len()))
        .flat_map(|part| [&head[..3], &(part.len() as u16).to_be_bytes(), part].concat())
        .collect()
}

#[test]
fn a_stalled_handshake_ends() {
    let rig = rig(
        gateway!(),
        &format!("timeouts = {{ tls_handshake = \"1s\" }}\n{WITH_DEFAULT}"),
    );
    let mut hello = Vec::new();
    plain_client()
        .session(Some("a.test"))
        .write_tls(&mut hello)
        .unwrap();
    for (what, bytes) in [
        ("nothing", &hello[..0]),
        ("a byte", &hello[..1]),
        ("half of it", &hello[..hello.len() / 2]),
        ("a hello and no more", &hello[..]),
    ] {
        let started = Instant::now();
        let mut tcp = TcpStream::connect(rig.address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        tcp.write_all(bytes).unwrap();
        let ended = tcp.read_to_end(&mut Vec::new());
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "{what}"
        );
        let took = started.elapsed();
        assert!(
            took > Duration::from_millis(800) && took < Duration::from_secs(4),
            "{what}: {took:?}"
        );
    }
    rig.gateway.until("they are gone", |gateway| {
        gateway.metric("blastdoor_connections", &[]) == 0.0
    });
}

/// Bytes that are not a handshake get an alert or nothing, and never an HTTP answer.
#[test]
fn garbage_instead_of_a_handshake_is_refused() {
    let rig = rig(gateway!(), WITH_DEFAULT);
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x80\x2e\x01\x00\x02",
        &[0; 100],
        &[0xff; 100],
    ] {
        let mut tcp = TcpStream::connect(rig.address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        tcp.write_all(bytes).unwrap();
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ended = tcp.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer[0] == 0x15, "{bytes:?}: {answer:?}");
        assert!(plain_client().connect(rig.address, Some("a.test")).is_ok());
    }
    assert_eq!(rig.backend.requests(), 0);
    assert_eq!(rig.gateway.metric("blastdoor_panics_total", &[]), 0.0);
}

#[test]
fn a_bad_secret_keeps_the_last_good_certificate() {
    let rig = rig(gateway!(), WITH_DEFAULT);
    let shown = |name| {
        plain_client()
            .connect(rig.address, Some(name))
            .ok()
            .map(|shaken| shaken.shown())
    };
    let nobody = Authority::new("x").server(&["a.test"]);
    for (what, broken) in [
        (
            "no PEM",
            secret_of("a", "kubernetes.io/tls", &[("tls.crt", "x"), ("tls.key", "y")]),
        ),
        (
            "no key",
            secret_of("a", "kubernetes.io/tls", &[("tls.crt", &rig.a.chain)]),
        ),
        (
            "another key",
            secret_of(
                "a",
                "kubernetes.io/tls",
                &[("tls.crt", &rig.a.chain), ("tls.key", &nobody.key)],
            ),
        ),
        ("nothing at all", String::new()),
    ] {
        rig.gateway.put("secrets.yaml", &broken);
        rig.gateway.until(what, |gateway| {
            gateway.metric("blastdoor_config_problems", &[]) > 0.0
        });
        assert_eq!(shown("a.test"), Some(rig.a.der()), "{what}");
    }
    rig.gateway.put("secrets.yaml", &secret("a", &nobody));
    rig.gateway
        .until("a good one", |_| shown("a.test") == Some(nobody.der()));
    // One that was never good fails its handshakes, and no other certificate replaces it.
    let backend = Backend::start("late");
    rig.gateway.put(
        "late.yaml",
        &app("late", DOOR, "late.test", backend.port(), "late"),
    );
    rig.gateway
        .until("its handshakes fail", |_| shown("late.test").is_none());
    assert_eq!(shown("nowhere.test"), Some(rig.default.der()));
    let late = Authority::new("late").server(&["late.test"]);
    rig.gateway.put("late-secret.yaml", &secret("late", &late));
    rig.gateway
        .until("it comes", |_| shown("late.test") == Some(late.der()));
}

#[test]
fn passthrough() {
    let theirs = Authority::new("theirs").server(&["passed.test"]);
    let inner = Backend::start("passed");
    let front = TlsFront::start(&theirs, H2, None, inner.port());
    let through = annotated(
        &manifest::app("passed", DOOR, "passed.test", front.port()),
        &[("nginx.ingress.kubernetes.io/ssl-passthrough", "true")],
    );
    let rig = rig(
        gateway!()
            .door(
                "internal-https",
                "tls = { default_certificate = \"self-signed\" }",
            )
            .manifest("passed.yaml", &through),
        WITH_DEFAULT,
    );
    for name in ["passed.test", "PASSED.test"] {
        let shaken = plain_client().connect(rig.address, Some(name)).unwrap();
        assert!(shaken.shown() == theirs.der(), "the backend's own certificate");
        assert_eq!(shaken.http1().get("anything.test", "/").unwrap().text(), "passed");
    }
    assert!(
        !inner.last().head.contains("X-Forwarded-For"),
        "nobody looked inside"
    );
    assert_eq!(
        plain_client()
            .connect(rig.address, Some("a.test"))
            .unwrap()
            .http1()
            .get("a.test", "/")
            .unwrap()
            .text(),
        "app"
    );
    // Inside a handshake that the gateway terminated, its host is not served.
    let mut client = plain_client().connect(rig.address, None).unwrap().http1();
    assert_eq!(client.get("passed.test", "/").unwrap().status, 421);
    // And at another door its name means nothing.
    let shaken = plain_client()
        .connect(rig.gateway.door("internal-https"), Some("passed.test"))
        .unwrap();
    assert!(shaken.shown() != theirs.der());
    assert_eq!(shaken.http1().get("passed.test", "/").unwrap().status, 404);
    rig.gateway.until("their lines", |gateway| {
        gateway
            .access_log()
            .iter()
            .filter(|line| line["host"] == "passed.test" && line["ingress"] == "test/passed")
            .count()
            == 2
    });
}

/// The PROXY header comes before the handshake, and names the client.
#[test]
fn behind_a_proxy_header() {
    let lines = format!(
        "{WITH_DEFAULT}\ntrusted_proxies = [\"127.0.0.0/8\"]\nproxy_protocol = \"required\"\nclient_ip = \"proxy-protocol\""
    );
    let rig = rig(gateway!(), &lines);
    for header in [
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
        "PROXY TCP6 2001:db8::7 ::1 4711 443\r\n",
    ] {
        for together in [true, false] {
            let mut connection = plain_client().session(Some("a.test"));
            let mut hello = header.as_bytes().to_vec();
            if !together {
                hello.clear();
            }
            connection.write_tls(&mut hello).unwrap();
            let mut tcp = TcpStream::connect(rig.address).unwrap();
            tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            if !together {
                tcp.write_all(header.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
            tcp.write_all(&hello).unwrap();
            while connection.is_handshaking() {
                connection.complete_io(&mut tcp).unwrap();
            }
            let mut client = Client::over_tls(rustls::StreamOwned::new(connection, tcp));
            assert_eq!(client.get("a.test", "/").unwrap().status, 200);
            let source = header.split(' ').nth(2);
            assert_eq!(rig.backend.last().field("x-forwarded-for"), source);
        }
    }
    assert!(
        plain_client().connect(rig.address, Some("a.test")).is_err(),
        "without it there is no handshake"
    );
}

/// An idle connection is closed with close_notify, because an end without it would look like a cut.
#[test]
fn an_idle_connection_ends_in_order() {
    let rig = rig(gateway!(), &format!("{WITH_DEFAULT}\nidle_timeout = \"1s\""));
    let shaken = plain_client().connect(rig.address, Some("a.test")).unwrap();
    let mut stream = shaken.stream;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all);
    assert!(ended.is_ok(), "{ended:?}");
    assert!(all.ends_with(b"app"));
    block(async {
        let client = h2_client().http2(rig.address, Some("a.test")).await.unwrap();
        assert_eq!(h2_get(&client, "a.test").await.0, 200);
        client.ended().await.unwrap();
    });
}

/// Certificates are replaced under load: no handshake fails, a new certificate is shown within a second, and open
/// connections are not affected.
#[test]
fn two_hundred_rotations_under_load() {
    let authority = Authority::new("test");
    let backend = Backend::start("app");
    backend.count_only();
    let gateway = gateway!()
        .log("access = \"off\"")
        .door(DOOR, "tls = {}")
        .manifest("app.yaml", &app("app", DOOR, "a.test", backend.port(), "own"))
        .manifest("own.yaml", &secret("own", &authority.server(&["a.test"])))
        .start();
    let address = gateway.door(DOOR);
    let stop = AtomicBool::new(false);
    let rotations = scaled("rotations", 20, 200);
    let pause = Duration::from_millis(if gateway_tests::full() { 1000 } else { 150 });
    let (shakes, kept) = std::thread::scope(|scope| {
        let shakers: Vec<_> = (0..3)
            .map(|number| {
                let (authority, stop) = (&authority, &stop);
                scope.spawn(move || {
                    let mut done = 0;
                    while !stop.load(Ordering::SeqCst) {
                        // A client of its own each time, so that none resumes.
                        let client = TlsClient::new(&Offer {
                            alpn: if number == 0 { H2 } else { H1 },
                            authority: Some(authority),
                            ..Offer::default()
                        });
                        let shaken = client.connect(address, Some("a.test")).expect("a handshake");
                        if number > 0 {
                            assert_eq!(shaken.http1().get("a.test", "/").expect("an answer").status, 200);
                        }
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let stop = &stop;
        let kept = scope.spawn(move || {
            let connect = || plain_client().connect(address, Some("a.test")).unwrap().http1();
            let mut client = connect();
            let mut done = 0;
            while !stop.load(Ordering::SeqCst) {
                let answer = client.get("a.test", "/").expect("an answer");
                assert_eq!(answer.status, 200);
                // A connection carries ten thousand requests.
                if answer.field("connection") == Some("close") {
                    client = connect();
                }
                done += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            done
        });
        for number in 0..rotations {
            let started = Instant::now();
            let next = authority.server(&["a.test"]);
            gateway.put("own.yaml", &secret("own", &next));
            while plain_client().connect(address, Some("a.test")).unwrap().shown() != next.der() {
                assert!(
                    started.elapsed() < Duration::from_secs(1),
                    "rotation {number} takes long"
                );
            }
            std::thread::sleep(pause.saturating_sub(started.elapsed()));
        }
        stop.store(true, Ordering::SeqCst);
        let shakes: usize = shakers.into_iter().map(|shaker| shaker.join().unwrap()).sum();
        (shakes, kept.join().unwrap())
    });
    assert!(
        shakes > 2 * rotations && kept > rotations,
        "{shakes} handshakes, {kept} requests"
    );
    assert_eq!(
        gateway.metric("blastdoor_refusals_total", &[("reason", "tls_handshake")]),
        0.0
    );
}
