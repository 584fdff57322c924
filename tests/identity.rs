//! Who the client is, and which peers are believed about it.

use gateway_tests::http2::{self, Http2};
use gateway_tests::{Backend, Client, Seen, gateway, manifest};

const DOOR: &str = "external-http";

/// Sends fields through a door with these settings and returns what the backend saw.
fn seen(settings: &str, fields: &str) -> Seen {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, settings)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    let response = client
        .request(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"))
        .expect("an answer");
    assert_eq!(response.status, 200);
    backend.last()
}

const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded-Client-Cert: x\r\n\
    Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nX-Amzn-Mtls-Clientcert: x\r\n\
    X-Request-ID: chosen\r\nX-Blastdoor-Door: internal-http\r\nX_Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nX-Forwarded_Proto: https\r\n";

#[test]
fn an_untrusted_peer_is_not_believed() {
    let seen = seen("client_ip = \"xff\"", CLAIMS);
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-blastdoor-door"), Some(DOOR));
    assert_ne!(seen.field("x-request-id"), Some("chosen"));
    for gone in [
        "x-forwarded-prefix",
        "x-forwarded-client-cert",
        "forwarded",
        "cf-connecting-ip",
        "true-client-ip",
        "x-amzn-mtls-clientcert",
        "x_forwarded_for",
        "x_real_ip",
        "x-forwarded_proto",
    ] {
        assert_eq!(seen.fields(gone), Vec::<&str>::new(), "{gone}");
    }
    assert!(!seen.head.contains("6.6.6.6"), "{}", seen.head);
}

#[test]
fn a_trusted_peer_is_believed_about_the_client_only() {
    let seen = seen("client_ip = \"xff\"\ntrusted_proxies = [\"127.0.0.0/8\"]", CLAIMS);
    assert_eq!(seen.field("x-forwarded-for"), Some("6.6.6.6, 127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("6.6.6.6"));
    assert_eq!(seen.field("x-request-id"), Some("chosen"));
    assert_eq!(seen.field("x-forwarded-prefix"), Some("/x"));
    assert_eq!(
        seen.field("x-forwarded-proto"),
        Some("http"),
        "the door's scheme, whoever says otherwise"
    );
    assert_eq!(seen.field("x-blastdoor-door"), Some(DOOR));
    for gone in [
        "x-forwarded-client-cert",
        "x_forwarded_for",
        "x_real_ip",
        "x-forwarded_proto",
    ] {
        assert_eq!(seen.fields(gone), Vec::<&str>::new(), "{gone}");
    }
}

#[test]
fn the_right_most_untrusted_hop() {
    let trusted = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";
    for (behind, fields, expected) in [
        (
            "client_ip = \"xff\"",
            "X-Forwarded-For: 6.6.6.6, 8.8.8.8, 10.1.1.1\r\n",
            "8.8.8.8",
        ),
        (
            "behind = \"alb\"",
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 8.8.8.8:4711\r\n",
            "8.8.8.8",
        ),
        (
            "behind = \"alb\"",
            "X-Forwarded-For: 10.0.0.2, 10.0.0.3\r\n",
            "10.0.0.2",
        ),
        (
            "behind = \"alb\"",
            "X-Forwarded-For: 8.8.8.8, nonsense, 10.0.0.3\r\n",
            "10.0.0.3",
        ),
        ("behind = \"alb\"", "", "127.0.0.1"),
        (
            "behind = \"alb\"",
            "X-Forwarded-For: [2001:db8::1]:443\r\n",
            "2001:db8::1",
        ),
        (
            "behind = \"gclb\"",
            "X-Forwarded-For: 6.6.6.6, 8.8.8.8, 34.1.1.1\r\n",
            "8.8.8.8",
        ),
        (
            "behind = \"cloudflare\"",
            "CF-Connecting-IP: 8.8.8.8\r\nX-Forwarded-For: 6.6.6.6\r\n",
            "8.8.8.8",
        ),
        (
            "behind = \"cloudflare\"",
            "CF-Connecting-IP: 8.8.8.8\r\nCF-Connecting-IP: 6.6.6.6\r\n",
            "127.0.0.1",
        ),
        (
            "client_ip = \"header:X-Client\"",
            "X-Client: 2001:db8::2\r\n",
            "2001:db8::2",
        ),
        (
            "client_ip = \"peer\"",
            "X-Forwarded-For: 8.8.8.8\r\n",
            "127.0.0.1",
        ),
    ] {
        let seen = seen(&format!("{behind}\n{trusted}"), fields);
        assert_eq!(seen.field("x-real-ip"), Some(expected), "{behind} {fields:?}");
    }
}

#[test]
fn the_trust_list_in_a_file_is_watched() {
    let backend = Backend::start("app");
    let list = "client_ip = \"xff\"\ntrusted_proxies_file = \"trusted.txt\"";
    let gateway = gateway!()
        .file("trusted.txt", "# nobody yet\n192.0.2.0/24\n")
        .door(DOOR, list)
        // Two doors behind one load balancer have one list.
        .door("external-https", list)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let client_seen = || {
        let mut client = Client::connect(address);
        client
            .request("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n")
            .expect("an answer");
        backend.last().field("x-real-ip").map(str::to_owned)
    };
    assert_eq!(client_seen().as_deref(), Some("127.0.0.1"));
    let file = gateway.config().with_file_name("trusted.txt");
    std::fs::write(&file, "127.0.0.1\n").unwrap();
    gateway.until("the new list counts", |_| {
        client_seen().as_deref() == Some("8.8.8.8")
    });
    std::fs::write(&file, "nonsense\n").unwrap();
    gateway.until("the problem is counted, for each door", |gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]) == 2.0
    });
    assert_eq!(
        client_seen().as_deref(),
        Some("8.8.8.8"),
        "the last good list stays"
    );
    std::fs::remove_file(&file).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(
        client_seen().as_deref(),
        Some("8.8.8.8"),
        "and when the file is lost"
    );
}

/// One field of each family, and the presets that vouch for it behind a trusted peer. The whole table, as
/// `docs/hardening.md` has it.
const FAMILIES: [(&str, &[&str]); 32] = [
    ("Forwarded", &["none"]),
    ("X-Forwarded-Prefix", &["none"]),
    ("X-Forwarded-User", &["none"]),
    ("X-Forwarded-Email", &["none"]),
    ("X-Forwarded-Groups", &["none"]),
    ("X-Forwarded-Ssl", &["none"]),
    ("X-Amzn-Oidc-Data", &["alb"]),
    ("X-Amzn-Oidc-Identity", &["alb"]),
    ("X-Amzn-Mtls-Clientcert", &["alb"]),
    ("X-Amzn-Mtls-Clientcert-Subject", &["alb"]),
    ("X-Amzn-Tls-Version", &["alb"]),
    ("X-Amzn-Waf-Score", &["alb"]),
    ("X-Goog-Authenticated-User-Email", &["gclb"]),
    ("X-Goog-Iap-Jwt-Assertion", &["gclb"]),
    ("CF-Connecting-IP", &["cloudflare"]),
    ("CF-IPCountry", &["cloudflare"]),
    ("Cf-Access-Authenticated-User-Email", &["cloudflare"]),
    ("True-Client-IP", &["cloudflare"]),
    ("Proxy", &[]),
    ("X-Client-IP", &[]),
    ("X-Cluster-Client-IP", &[]),
    ("X-Original-Forwarded-For", &[]),
    ("X-Forwarded-Client-Cert", &[]),
    // Each in some other spelling.
    ("X_Forwarded.Prefix", &[]),
    ("CF_Connecting_IP", &[]),
    ("x~amzn~oidc~data", &[]),
    ("X.Client.IP", &[]),
    // Fields that a client may send, whatever stands in front.
    ("X-Amzn-Trace-Id", &PRESETS),
    ("X-Cloud-Trace-Context", &PRESETS),
    ("CDN-Loop", &PRESETS),
    ("X-Goog-Channel-Id", &PRESETS),
    ("my.own_header", &PRESETS),
];

const PRESETS: [&str; 6] = ["none", "alb", "nlb", "nlb-proxy-v2", "gclb", "cloudflare"];

#[test]
fn each_family_of_fields_has_its_vouchers() {
    let backend = Backend::start("app");
    let claims: String = FAMILIES
        .iter()
        .map(|(name, _)| format!("{name}: 6.6.6.6\r\n"))
        .collect();
    for preset in PRESETS {
        for trusted in [true, false] {
            let networks = if trusted { "127.0.0.0/8" } else { "192.0.2.0/24" };
            // Over a header without a source: what follows is the trusted peer's own.
            let header = if preset == "nlb-proxy-v2" && trusted {
                "PROXY UNKNOWN\r\n"
            } else {
                ""
            };
            let optional = if preset == "nlb-proxy-v2" {
                "proxy_protocol = \"optional\"\n"
            } else {
                ""
            };
            let gateway = gateway!()
                .door(
                    DOOR,
                    &format!("behind = \"{preset}\"\n{optional}trusted_proxies = [\"{networks}\"]"),
                )
                .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
                .start();
            let mut client = Client::connect(gateway.door(DOOR));
            let request = format!("{header}GET / HTTP/1.1\r\nHost: a.test\r\n{claims}\r\n");
            assert_eq!(client.request(request).expect("an answer").status, 200);
            let seen = backend.last();
            for (name, vouchers) in FAMILIES {
                let is_free = *vouchers == PRESETS;
                let passes = is_free || trusted && vouchers.contains(&preset);
                let expected: &[&str] = if passes { &["6.6.6.6"] } else { &[] };
                assert_eq!(
                    seen.fields(name),
                    expected,
                    "{name} behind {preset}, trusted: {trusted}"
                );
            }
        }
    }
}

/// A Network Load Balancer forwards what the client sent, however trusted the load balancer's address is.
#[test]
fn forwarded_for_counts_behind_a_proxy_that_maintains_it() {
    let trusted = "trusted_proxies = [\"127.0.0.0/8\"]";
    for (settings, expected) in [
        ("behind = \"none\"", "6.6.6.6, 127.0.0.1"),
        ("behind = \"alb\"", "6.6.6.6, 127.0.0.1"),
        ("behind = \"gclb\"", "6.6.6.6, 127.0.0.1"),
        ("behind = \"cloudflare\"", "6.6.6.6, 127.0.0.1"),
        ("behind = \"nlb\"", "127.0.0.1"),
        // A door that sets where the client's address comes from knows what is in front.
        ("behind = \"nlb\"\nclient_ip = \"xff\"", "6.6.6.6, 127.0.0.1"),
    ] {
        let seen = seen(&format!("{settings}\n{trusted}"), "X-Forwarded-For: 6.6.6.6\r\n");
        assert_eq!(seen.field("x-forwarded-for"), Some(expected), "{settings}");
    }
}

#[test]
fn the_configured_field_is_forwarded_under_its_exact_name_only() {
    let claims = "X-Client-IP: 8.8.8.8\r\nX_Client_IP: 6.6.6.6\r\nX.Client-IP: 6.6.6.6\r\nCF-Ray: 1\r\n";
    for (settings, expected) in [
        ("trusted_proxies = [\"127.0.0.0/8\"]", Some("8.8.8.8")),
        ("trusted_proxies = [\"192.0.2.0/24\"]", None),
    ] {
        let seen = seen(&format!("client_ip = \"header:X-Client-IP\"\n{settings}"), claims);
        assert_eq!(seen.field("x-client-ip"), expected);
        assert!(!seen.head.contains("6.6.6.6"), "{}", seen.head);
        assert_eq!(seen.field("cf-ray"), None);
    }
    // Cloudflare may be in front of another load balancer.
    let cloudflare =
        "behind = \"gclb\"\nclient_ip = \"header:CF-Connecting-IP\"\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let passed = seen(
        cloudflare,
        "CF-Connecting-IP: 8.8.8.8\r\nCF-Ray: 1\r\nCF_Ray: 2\r\n",
    );
    assert_eq!(passed.field("x-real-ip"), Some("8.8.8.8"));
    assert_eq!(
        (
            passed.field("cf-connecting-ip"),
            passed.field("cf-ray"),
            passed.field("cf_ray")
        ),
        (Some("8.8.8.8"), Some("1"), None)
    );
    let seen = seen(
        "client_ip = \"header:X-Visitor\"",
        "X-Visitor: 6.6.6.6\r\nx_visitor: 6.6.6.6\r\nX!Visitor: 6.6.6.6\r\n",
    );
    assert!(!seen.head.contains("6.6.6.6"), "{}", seen.head);
}

/// A backend that merges trailers into the head must find nothing there that the head could not have had.
#[test]
fn trailers_obey_the_same_table() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(
            DOOR,
            "client_ip = \"header:X-Visitor\"\ntrusted_proxies = [\"127.0.0.0/8\"]",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let own = |name: &str| {
        FAMILIES
            .iter()
            .any(|(free, vouchers)| *free == name && *vouchers == PRESETS)
    };
    let mut names: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
    names.extend([
        "X-Visitor",
        "x_visitor",
        "X.Visitor",
        "X-Forwarded-For",
        "X_Forwarded.For",
        "set_cookie",
    ]);
    let expected: Vec<String> = names
        .iter()
        .filter(|name| own(name))
        .map(|name| format!("{}: 6.6.6.6", name.to_ascii_lowercase()))
        .collect();
    let lower = |seen: Seen| -> Vec<String> {
        seen.trailers
            .iter()
            .map(|line| line.to_ascii_lowercase())
            .collect()
    };

    let trailers: String = names.iter().map(|name| format!("{name}: 6.6.6.6\r\n")).collect();
    let mut client = Client::connect(address);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{trailers}\r\n"
    );
    assert_eq!(client.request(request).expect("an answer").status, 200);
    assert_eq!(lower(backend.last()), expected, "over HTTP/1.1");

    http2::block(async {
        let client = Http2::connect(address).await;
        let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let trailers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "6.6.6.6")).collect();
        let sent = http2::fields(&trailers);
        let answer = client
            .try_exchange(http2::request("POST", "a.test", "/"), b"body", Some(sent))
            .await
            .expect("an answer");
        assert_eq!(answer.status, 200);
    });
    let mut arrived = lower(backend.last());
    let mut expected = expected;
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected, "over HTTP/2");
}
