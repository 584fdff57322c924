//! TLS towards backends: verification, client certificates, and what passes.

use gateway_tests::http2::{Http2, block, request};
use gateway_tests::tls::{
    Authority, H1, H2, Offer, TlsClient, TlsFront, annotated, secret, secret_of, with_tls,
};
use gateway_tests::{Backend, Gateway, Http2Backend, Reply, gateway, get, manifest};

const DOOR: &str = "external-http";
const MIB: usize = 1024 * 1024;

/// A gateway in front of one backend that speaks TLS, with these objects.
fn rig(annotations: &[(&str, &str)], front: &TlsFront, objects: &str) -> Gateway {
    let app = manifest::app("app", DOOR, "a.test", front.port());
    gateway!()
        .manifest("app.yaml", &annotated(&app, annotations))
        .manifest("objects.yaml", objects)
        .start()
}

const HTTPS: (&str, &str) = ("nginx.ingress.kubernetes.io/backend-protocol", "HTTPS");

#[test]
fn backends_are_believed_only_with_a_valid_certificate() {
    let (good, other) = (Authority::new("good"), Authority::new("other"));
    let backend = Backend::start("app");
    let front = TlsFront::start(
        &good.server(&["app.test.svc", "b.test"]),
        H1,
        None,
        backend.port(),
    );
    let objects = secret_of("good", "Opaque", &[("ca.crt", good.pem())])
        + &secret_of("other", "Opaque", &[("ca.crt", other.pem())])
        + &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: good, namespace: test}}\ndata:\n  ca.crt: |\n{}---\n",
            indented(good.pem())
        );
    let verify = ("blastdoor.dev/backend-tls-verify", "on");
    let ca = |from| ("blastdoor.dev/backend-tls-ca", from);
    let name = |name| ("blastdoor.dev/backend-tls-name", name);
    for (what, annotations, status) in [
        ("the right authority", vec![HTTPS, verify, ca("secret/good")], 200),
        ("from a ConfigMap", vec![HTTPS, verify, ca("configmap/good")], 200),
        (
            "another name that it has",
            vec![HTTPS, verify, ca("secret/good"), name("b.test")],
            200,
        ),
        (
            "the wrong authority",
            vec![HTTPS, verify, ca("secret/other")],
            502,
        ),
        ("the platform's authorities", vec![HTTPS, verify], 502),
        (
            "the wrong name",
            vec![HTTPS, verify, ca("secret/good"), name("c.test")],
            502,
        ),
        (
            "no verification, said so",
            vec![HTTPS, ("blastdoor.dev/backend-tls-verify", "off")],
            200,
        ),
        ("no verification, as ingress-nginx", vec![HTTPS], 200),
        (
            "ingress-nginx's words",
            vec![
                HTTPS,
                ("nginx.ingress.kubernetes.io/proxy-ssl-secret", "test/good"),
                ("nginx.ingress.kubernetes.io/proxy-ssl-verify", "on"),
            ],
            200,
        ),
        (
            "ingress-nginx's other word for TLS",
            vec![("nginx.ingress.kubernetes.io/secure-backends", "true")],
            200,
        ),
        (
            "another name that it has, in ingress-nginx's words",
            vec![
                HTTPS,
                ("nginx.ingress.kubernetes.io/proxy-ssl-secret", "test/good"),
                ("nginx.ingress.kubernetes.io/proxy-ssl-verify", "on"),
                ("nginx.ingress.kubernetes.io/proxy-ssl-name", "b.test"),
            ],
            200,
        ),
        (
            "the wrong name, in ingress-nginx's words",
            vec![
                HTTPS,
                ("nginx.ingress.kubernetes.io/proxy-ssl-secret", "test/good"),
                ("nginx.ingress.kubernetes.io/proxy-ssl-verify", "on"),
                ("nginx.ingress.kubernetes.io/proxy-ssl-name", "c.test"),
            ],
            502,
        ),
        (
            "a name that is not sent",
            vec![
                HTTPS,
                ("nginx.ingress.kubernetes.io/proxy-ssl-server-name", "off"),
            ],
            200,
        ),
        (
            "authorities that are not there",
            vec![HTTPS, verify, ca("secret/missing")],
            503,
        ),
        (
            "a switch that is none",
            vec![HTTPS, ("blastdoor.dev/backend-tls-verify", "maybe")],
            503,
        ),
    ] {
        backend.forget();
        let gateway = rig(&annotations, &front, &objects);
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, status, "{what}");
        assert_eq!(backend.requests(), usize::from(status == 200), "{what}");
        if status == 502 {
            gateway.until("a line", |gateway| gateway.access_log().len() == 1);
            assert_eq!(gateway.access_log()[0]["refusal"], "upstream_tls", "{what}");
        }
    }
    let names: Vec<Option<String>> = front.met().into_iter().map(|met| met.name).collect();
    assert!(
        names.contains(&Some("app.test.svc".to_owned())) && names.contains(&Some("b.test".to_owned())),
        "{names:?}"
    );
    assert_eq!(names.iter().filter(|name| name.is_none()).count(), 1, "{names:?}");
}

/// A Service of Traefik says what it speaks; its certificate is verified, since nothing says otherwise.
#[test]
fn a_service_says_its_scheme() {
    let authority = Authority::new("good");
    let backend = Backend::start("app");
    let front = TlsFront::start(&authority.server(&["app.test.svc"]), H1, None, backend.port());
    let objects = secret_of("good", "Opaque", &[("ca.crt", authority.pem())]);
    for (port, scheme, annotations, status) in [
        (
            front.port(),
            "https",
            vec![("blastdoor.dev/backend-tls-ca", "secret/good")],
            200,
        ),
        (front.port(), "https", vec![], 502),
        (backend.port(), "http", vec![], 200),
    ] {
        let app = annotated(&manifest::app("app", DOOR, "a.test", port), &annotations).replacen(
            "kind: Service\nmetadata:\n",
            &format!(
                "kind: Service\nmetadata:\n  annotations: {{traefik.ingress.kubernetes.io/service.serversscheme: {scheme}}}\n"
            ),
            1,
        );
        let gateway = gateway!()
            .manifest("app.yaml", &app)
            .manifest("objects.yaml", &objects)
            .start();
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, status, "{scheme}");
    }
    assert_eq!(backend.requests(), 2);
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// A backend that does not speak TLS is never called in clear text instead.
#[test]
fn a_client_without_tls_gets_no_http_answer() {
    let plain = Backend::start("app");
    let gateway = gateway!()
        .manifest(
            "app.yaml",
            &annotated(&manifest::app("app", DOOR, "a.test", plain.port()), &[HTTPS]),
        )
        .start();
    // It says nothing, or nothing that is TLS.
    let status = get(gateway.door(DOOR), "a.test", "/").status;
    assert!(status == 502 || status == 504, "{status}");
    assert!(plain.seen().iter().all(|seen| !seen.head.contains("HTTP/1.1")));
}

#[test]
fn a_client_certificate_is_shown() {
    let (servers, clients, others) = (
        Authority::new("servers"),
        Authority::new("clients"),
        Authority::new("others"),
    );
    let backend = Backend::start("app");
    let front = TlsFront::start(
        &servers.server(&["app.test.svc"]),
        H1,
        Some(&clients),
        backend.port(),
    );
    let (own, foreign) = (clients.client("gateway"), others.client("gateway"));
    let objects = secret_of("servers", "Opaque", &[("ca.crt", servers.pem())])
        + &secret("own", &own)
        + &secret("foreign", &foreign);
    let base = [
        HTTPS,
        ("blastdoor.dev/backend-tls-verify", "on"),
        ("blastdoor.dev/backend-tls-ca", "secret/servers"),
    ];
    for (shown, status) in [
        (Some("own"), 200),
        (Some("foreign"), 502),
        (None, 502),
        (Some("missing"), 503),
    ] {
        let mut annotations = base.to_vec();
        annotations.extend(shown.map(|name| ("blastdoor.dev/backend-tls-client-certificate", name)));
        let gateway = rig(&annotations, &front, &objects);
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, status, "{shown:?}");
    }
    assert_eq!(front.met().last().unwrap().client, Some(own.der()));
    assert_eq!(backend.requests(), 1);
}

/// HTTP/2 over TLS is used if the Ingress or the Service asks for it.
#[test]
fn http2_inside() {
    let authority = Authority::new("servers");
    let backend = Http2Backend::start(|_, mut respond| async move {
        let outgoing = respond
            .send_response(gateway_tests::http2::response(200, &[]), false)
            .unwrap();
        gateway_tests::http2::send(
            outgoing,
            b"over h2",
            Some(gateway_tests::http2::fields(&[("grpc-status", "0")])),
        )
        .await
        .unwrap();
    });
    let front = TlsFront::start(
        &authority.server(&["app.test.svc"]),
        &[b"h2"],
        None,
        backend.port(),
    );
    let gateway = rig(
        &[("nginx.ingress.kubernetes.io/backend-protocol", "GRPCS")],
        &front,
        "",
    );
    let answer = block(async { Http2::connect(gateway.door(DOOR)).await.get("a.test", "/").await });
    assert_eq!(
        (answer.text().as_str(), answer.trailer("grpc-status")),
        ("over h2", Some("0"))
    );
    assert_eq!(front.met()[0].protocol.as_deref(), Some(&b"h2"[..]));
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").text(), "over h2");
    assert_eq!(front.met().len(), 1, "both share a connection");

    let plain = Backend::start("app");
    let front = TlsFront::start(&authority.server(&["app.test.svc"]), H1, None, plain.port());
    let gateway = gateway!()
        .manifest(
            "app.yaml",
            &manifest::app_speaking("app", DOOR, "a.test", front.port(), "https"),
        )
        .start();
    // Nobody said that it need not be verified.
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 502);
    assert_eq!(plain.requests(), 0);
}

/// 100 MiB each way with TLS on both sides: memory does not grow.
#[test]
fn large_bodies_both_ways() {
    let size = 100 * MIB;
    let authority = Authority::new("servers");
    let backend = Backend::with(
        "app",
        Reply::computed(move |seen| {
            let down = seen.line().contains("/down");
            let size = if down { size } else { seen.body.len() };
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nX-Got: {}\r\nContent-Length: {}\r\n\r\n",
                seen.body.len(),
                if down { size } else { 0 }
            )
            .into_bytes();
            answer.resize(answer.len() + if down { size } else { 0 }, b'd');
            answer
        }),
    );
    backend.count_only();
    let front = TlsFront::start(&authority.server(&["app.test.svc"]), H1, None, backend.port());
    let own = authority.server(&["a.test"]);
    let app = manifest::app("app", "external-https", "a.test", front.port());
    let gateway = gateway!()
        .door("external-https", "tls = {}")
        .manifest(
            "app.yaml",
            &with_tls(&annotated(&app, &[HTTPS]), &[(&["a.test"], "own")]),
        )
        .manifest("own.yaml", &secret("own", &own))
        .start();
    let address = gateway.door("external-https");
    let warm = TlsClient::new(&Offer::default())
        .connect(address, Some("a.test"))
        .unwrap()
        .http1()
        .get("a.test", "/")
        .unwrap();
    assert_eq!(warm.status, 200);
    let before = gateway.resident();
    let most = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut client = TlsClient::new(&Offer::default())
        .connect(address, Some("a.test"))
        .unwrap()
        .http1();
    let answer = client.get("a.test", "/down").unwrap();
    assert_eq!(answer.body.len(), size);
    most.fetch_max(gateway.resident(), std::sync::atomic::Ordering::SeqCst);
    client.send(format!(
        "POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n"
    ));
    let chunk = vec![b'u'; MIB];
    for _ in 0..100 {
        client.send(&chunk);
        most.fetch_max(gateway.resident(), std::sync::atomic::Ordering::SeqCst);
    }
    assert_eq!(
        client.response().unwrap().field("x-got"),
        Some(size.to_string().as_str())
    );
    block(async {
        let client = TlsClient::new(&Offer {
            alpn: H2,
            ..Offer::default()
        })
        .http2(address, Some("a.test"))
        .await
        .unwrap();
        let mut asked = request("GET", "a.test", "/down");
        *asked.uri_mut() = "https://a.test/down".parse().unwrap();
        assert_eq!(client.exchange(asked, &[]).await.body.len(), size);
        most.fetch_max(gateway.resident(), std::sync::atomic::Ordering::SeqCst);
        let mut asked = request("POST", "a.test", "/up");
        *asked.uri_mut() = "https://a.test/up".parse().unwrap();
        let answer = client.exchange(asked, &vec![b'u'; size]).await;
        assert_eq!(answer.field("x-got"), Some(size.to_string().as_str()));
        most.fetch_max(gateway.resident(), std::sync::atomic::Ordering::SeqCst);
    });
    let grown = most
        .load(std::sync::atomic::Ordering::SeqCst)
        .saturating_sub(before);
    assert!(grown < 8 * MIB as u64, "{grown} bytes more");
}
