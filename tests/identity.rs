//! K: who the client is, and whose word counts.

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
fn a_stranger_is_not_believed() {
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
fn a_trusted_peer_is_believed_in_what_is_its_to_say() {
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
    let gateway = gateway!()
        .file("trusted.txt", "# nobody yet\n192.0.2.0/24\n")
        .door(
            DOOR,
            "client_ip = \"xff\"\ntrusted_proxies_file = \"trusted.txt\"",
        )
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
    gateway.until("the problem is counted", |gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]) == 1.0
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
