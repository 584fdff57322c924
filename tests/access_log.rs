//! The fields of the access log beside those of the contract: what a person needs to find the cause of a slow request, its
//! pod, or its trace.

use gateway_tests::http2::{Http2, block};
use gateway_tests::tls::{Authority, H2, Offer, TlsClient, secret, with_tls};
use gateway_tests::{Backend, Client, Gateway, Reply, free_port, gateway, get, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn line(gateway: &Gateway, number: usize) -> Value {
    gateway.until("the line", |gateway| gateway.access_log().len() > number);
    gateway.access_log().remove(number)
}

#[test]
fn the_pod_the_attempts_and_the_times() {
    let backend = Backend::start("app");
    let named = manifest::app("app", DOOR, "a.test", backend.port()).replace(
        "- addresses: [\"127.0.0.1\"]",
        "- addresses: [\"127.0.0.1\"]\n  targetRef: {kind: Pod, name: app-7d9c-x2x4z, namespace: test}",
    );
    let gateway = gateway!().manifest("app.yaml", &named).start();
    let mut client = Client::connect(gateway.door(DOOR));
    assert_eq!(client.get("a.test", "/").unwrap().status, 200);
    let first = line(&gateway, 0);
    assert_eq!(
        (&first["k8s.pod.name"], &first["attempts"], &first["service"]),
        (&"app-7d9c-x2x4z".into(), &1.into(), &"test/app".into()),
        "{first}"
    );
    assert_eq!(first["network.protocol.version"], "1.1", "{first}");
    let connect = first["connect_ms"].as_f64().unwrap();
    let first_byte = first["first_byte_ms"].as_f64().unwrap();
    let all = first["duration_ms"].as_f64().unwrap();
    assert!(connect <= first_byte && first_byte <= all, "{first}");
    for absent in ["filters_ms", "trace_id", "tls.protocol.version", "detail"] {
        assert!(first.get(absent).is_none(), "{absent}: {first}");
    }
    // The connection was kept: there was nothing to wait for.
    assert_eq!(client.get("a.test", "/").unwrap().status, 200);
    let second = line(&gateway, 1);
    assert!(second.get("connect_ms").is_none(), "{second}");
    assert!(second["first_byte_ms"].is_number(), "{second}");
}

#[test]
fn every_attempt_counts() {
    let backend = Backend::start("app");
    let ports = [free_port(), free_port(), backend.port()];
    let app = manifest::ingress("app", DOOR, &[("a.test", "Prefix", "/", "app")])
        + &manifest::service("app", &ports);
    let gateway = gateway!().manifest("app.yaml", &app).start();
    gateway.until("a request that was tried again", |gateway| {
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);
        gateway
            .access_log()
            .iter()
            .any(|line| line["attempts"].as_u64() > Some(1))
    });
    // What an earlier attempt met is not what is wrong with a request that was served.
    assert!(
        gateway
            .access_log()
            .iter()
            .all(|line| line.get("detail").is_none())
    );
}

#[test]
fn the_trace_of_a_request() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    let table = [
        (
            format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n"),
            Some(TRACE),
        ),
        (
            "X-Amzn-Trace-Id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=x\r\n".to_owned(),
            Some(TRACE),
        ),
        ("traceparent: 00-\"},{\"-b7ad6b7169203331-01\r\n".to_owned(), None),
    ];
    for (number, (field, expected)) in table.into_iter().enumerate() {
        client.request(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n"));
        let line = line(&gateway, number);
        assert_eq!(line["trace_id"].as_str(), expected, "{field}: {line}");
    }
}

#[test]
fn what_a_tls_client_has_settled() {
    let backend = Backend::start("app");
    let identity = Authority::new("test").server(&["a.test"]);
    let app = manifest::app("app", DOOR, "a.test", backend.port());
    let gateway = gateway!()
        .door(DOOR, "scheme = \"https\"\ntls = {}")
        .manifest("app.yaml", &with_tls(&app, &[(&["a.test"], "a")]))
        .manifest("secret.yaml", &secret("a", &identity))
        .start();
    let address = gateway.door(DOOR);
    let mut client = TlsClient::new(&Offer::default())
        .connect(address, Some("a.test"))
        .unwrap()
        .http1();
    assert_eq!(client.get("a.test", "/").unwrap().status, 200);
    block(async {
        let client = TlsClient::new(&Offer {
            alpn: H2,
            ..Offer::default()
        });
        let client: Http2 = client.http2(address, Some("A.test")).await.unwrap();
        let request = http::Request::get("https://a.test/").body(()).unwrap();
        assert_eq!(client.exchange(request, &[]).await.status, 200);
    });
    for (number, version) in ["1.1", "2"].into_iter().enumerate() {
        let line = line(&gateway, number);
        assert_eq!(line["network.protocol.version"], version, "{line}");
        assert_eq!(line["tls.protocol.version"], "1.3", "{line}");
        assert_eq!(line["tls.client.server_name"], "a.test", "{line}");
    }
}

#[test]
fn the_time_in_filters() {
    let backend = Backend::start("app");
    let filtered = gateway_tests::tls::annotated(
        &manifest::app("app", DOOR, "a.test", backend.port()),
        &[("nginx.ingress.kubernetes.io/limit-rps", "1000")],
    );
    let gateway = gateway!().manifest("app.yaml", &filtered).start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);
    let line = line(&gateway, 0);
    assert!(line["filters_ms"].is_number(), "{line}");
}

/// One object in one line, whatever tenants, clients and backends write.
#[test]
fn hostile_bytes_break_no_line() {
    let backend = Backend::with(
        "app",
        Reply::RawThenClose(b"HTTP/1.1 200 OK\r\n\"}\n{\": x\r\n\r\n".to_vec()),
    );
    let hostile = manifest::app("app", DOOR, "a.test", backend.port()).replace(
        "- addresses: [\"127.0.0.1\"]",
        "- addresses: [\"127.0.0.1\"]\n  targetRef: {kind: Pod, name: \"x\\\"},{\\n\\u2028\"}",
    );
    let gateway = gateway!().manifest("app.yaml", &hostile).start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/%22%7d").status, 502);
    // Every line is parsed.
    let line = line(&gateway, 0);
    assert!(
        line["k8s.pod.name"].as_str().unwrap().starts_with("x\"},{\n"),
        "{line}"
    );
}
