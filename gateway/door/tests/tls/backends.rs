//! The protocols of backends, and which certificates the gateway accepts from them.

use std::sync::Arc;

use door::{Action, BackendPolicy, BackendTls, Blocked, PlatformRoots, UpstreamProtocol, open, publish};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;

use crate::rig::{
    Authority, Made, Rules, assert_reported, authority, made, policy, secret, shake, tls_secret, view,
};

const NGINX: &str = "nginx.ingress.kubernetes.io/";
const OWN: &str = "blastdoor.dev/";

/// Annotations: prefix, name, value.
type Pairs<'a> = &'a [(&'a str, &'a str, &'a str)];

/// A door, published once and again, and the action of its only route.
pub(crate) struct Backends {
    publisher: door::Publisher<()>,
    door: door::Door<()>,
    backends: BackendPolicy,
}

impl Backends {
    pub(crate) fn new(roots: &Authority) -> Self {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let (publisher, door) = open("one".parse().unwrap(), policy("one", None), ());
        let root = CertificateDer::from_pem_slice(roots.pem.as_bytes()).unwrap();
        let backends = BackendPolicy {
            platform_roots: PlatformRoots::new([root]),
            ..BackendPolicy::default()
        };
        Self {
            publisher,
            door,
            backends,
        }
    }

    pub(crate) fn publish(&mut self, yaml: &str) -> (Vec<Action>, Vec<String>) {
        let publishers = std::slice::from_mut(&mut self.publisher);
        let problems = publish(
            publishers,
            &view(yaml),
            &self.backends,
            &mut door::Ledger::default(),
        );
        let actions = self
            .door
            .snapshot()
            .routes()
            .map(|row| row.action.action.clone())
            .collect();
        (
            actions,
            problems.problems().iter().map(ToString::to_string).collect(),
        )
    }
}

/// A Service whose port has this protocol, and its endpoint.
pub(crate) fn service(app_protocol: &str, annotation: &str) -> String {
    let app_protocol = if app_protocol.is_empty() {
        String::new()
    } else {
        format!(", appProtocol: {app_protocol}")
    };
    let annotation = if annotation.is_empty() {
        String::new()
    } else {
        format!(", annotations: {{traefik.ingress.kubernetes.io/service.serversscheme: {annotation}}}")
    };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: app, namespace: test{annotation}}}\nspec: {{ports: [{{port: 80{app_protocol}}}]}}\n---\n\
        apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: app-1, namespace: test, labels: {{kubernetes.io/service-name: app}}}}\n\
        addressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{{addresses: [\"10.0.0.1\"]}}]\n---\n"
    )
}

pub(crate) fn rules(annotations: &[(&str, &str)]) -> String {
    Rules {
        hosts: &["a.test"],
        annotations,
        ..Rules::default()
    }
    .yaml()
}

pub(crate) fn annotations<'a>(pairs: &[(&str, &str, &'a str)]) -> Vec<(String, &'a str)> {
    pairs
        .iter()
        .map(|(prefix, name, value)| (format!("{prefix}{name}"), *value))
        .collect()
}

pub(crate) fn borrowed<'a>(pairs: &'a [(String, &'a str)]) -> Vec<(&'a str, &'a str)> {
    pairs.iter().map(|(key, value)| (key.as_str(), *value)).collect()
}

pub(crate) fn tls(action: &Action) -> &Arc<BackendTls> {
    let Action::Forward(upstream) = action else {
        panic!("{action:?}")
    };
    let UpstreamProtocol::Tls(tls) = &upstream.protocol else {
        panic!("{upstream:?}")
    };
    tls
}

#[test]
fn the_protocol_comes_from_the_first_that_sets_it() {
    // (backend-protocol of the Ingress, serversscheme of the Service, appProtocol of its port)
    for (ingress, scheme, app, expected) in [
        ("", "", "", "http1"),
        ("", "", "http", "http1"),
        ("", "", "kubernetes.io/ws", "http1"),
        ("", "", "example.com/custom", "http1"),
        ("", "", "kubernetes.io/h2c", "h2c"),
        ("", "", "grpc", "h2c"),
        ("", "", "https", "tls"),
        ("", "", "kubernetes.io/wss", "tls"),
        ("", "h2c", "https", "h2c"),
        ("", "https", "", "tls"),
        ("", "http", "https", "http1"),
        ("HTTP", "https", "https", "http1"),
        ("HTTPS", "", "", "tls"),
        ("GRPC", "https", "", "h2c"),
        ("GRPCS", "", "", "tls with h2"),
    ] {
        let pairs = annotations(&[(NGINX, "backend-protocol", ingress)]);
        let pairs = if ingress.is_empty() {
            Vec::new()
        } else {
            borrowed(&pairs)
        };
        let mut backends = Backends::new(&authority("platform"));
        let (actions, _) = backends.publish(&(service(app, scheme) + &rules(&pairs)));
        let Action::Forward(upstream) = &actions[0] else {
            panic!("{actions:?}")
        };
        let spoken = match &upstream.protocol {
            UpstreamProtocol::Http1 => "http1",
            UpstreamProtocol::H2c => "h2c",
            UpstreamProtocol::Tls(tls) if tls.h2 => "tls with h2",
            UpstreamProtocol::Tls(_) => "tls",
        };
        assert_eq!(spoken, expected, "{ingress} {scheme} {app}");
    }
}

/// A backend with this certificate, which asks for client certificates of an authority.
pub(crate) fn backend(made: &Made, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            use rustls::pki_types::CertificateDer;
            use rustls::pki_types::pem::PemObject;
            roots
                .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(made.whole(), made.private()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Whether a handshake between the gateway's settings and a backend succeeds.
pub(crate) fn speaks(tls: &BackendTls, backend: &Arc<ServerConfig>) -> bool {
    shake(backend, &tls.config, &tls.server_name.to_str()).is_ok()
}

#[test]
fn backends_are_verified_by_the_configured_authorities() {
    let (platform, ours) = (authority("platform"), authority("ours"));
    let name = "app.test.svc";
    let by_platform = backend(&platform.issue(&[name]), None);
    let by_ours = backend(&ours.issue(&[name]), None);
    let other_name = backend(&ours.issue(&["db.test"]), None);
    let by_nobody = backend(&made(&["x.test"]), None);
    let asking = backend(&ours.issue(&[name]), Some(&ours));
    let objects = tls_secret("client", &ours.issue(&["gateway"]))
        + &secret("ours", "Opaque", &[("ca.crt", &ours.pem)])
        + &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ours, namespace: test}}\ndata: {{ca.crt: {:?}}}\n---\n",
            ours.pem
        );
    let all = [&by_platform, &by_ours, &other_name, &by_nobody, &asking];
    let table: [(Pairs<'_>, [bool; 5]); 9] = [
        (&[], [true, false, false, false, false]),
        (
            &[(OWN, "backend-tls-verify", "off")],
            [true, true, true, true, false],
        ),
        (
            &[(NGINX, "backend-protocol", "HTTPS")],
            [true, true, true, true, false],
        ),
        (
            &[
                (NGINX, "backend-protocol", "HTTPS"),
                (NGINX, "proxy-ssl-verify", "on"),
            ],
            [true, false, false, false, false],
        ),
        (
            &[(OWN, "backend-tls-ca", "secret/ours")],
            [false, true, false, false, false],
        ),
        (
            &[(OWN, "backend-tls-ca", "configmap/ours")],
            [false, true, false, false, false],
        ),
        (
            &[
                (OWN, "backend-tls-ca", "secret/ours"),
                (OWN, "backend-tls-name", "db.test"),
            ],
            [false, false, true, false, false],
        ),
        (
            &[
                (OWN, "backend-tls-ca", "secret/ours"),
                (OWN, "backend-tls-client-certificate", "client"),
            ],
            [false, true, false, false, true],
        ),
        (
            &[
                (NGINX, "proxy-ssl-secret", "test/ours"),
                (NGINX, "proxy-ssl-verify", "on"),
            ],
            [false, true, false, false, false],
        ),
    ];
    for (pairs, expected) in table {
        let pairs = annotations(pairs);
        let mut backends = Backends::new(&platform);
        let (actions, lines) =
            backends.publish(&(service("https", "") + &objects + &rules(&borrowed(&pairs))));
        let tls = tls(&actions[0]);
        assert_eq!(
            all.map(|backend| speaks(tls, backend)),
            expected,
            "{pairs:?} {lines:?}"
        );
    }
}

#[test]
fn names_are_sent_unless_told_otherwise() {
    let mut backends = Backends::new(&authority("platform"));
    let mut settings = |pairs: &[(&str, &str, &str)]| {
        let pairs = annotations(pairs);
        let (actions, _) = backends.publish(&(service("https", "") + &rules(&borrowed(&pairs))));
        let tls = tls(&actions[0]);
        (
            tls.server_name.to_str().into_owned(),
            tls.config.enable_sni,
            tls.config.alpn_protocols.clone(),
        )
    };
    let h1 = vec![b"http/1.1".to_vec()];
    assert_eq!(settings(&[]), ("app.test.svc".to_owned(), true, h1.clone()));
    assert_eq!(
        settings(&[(NGINX, "proxy-ssl-server-name", "off")]),
        ("app.test.svc".to_owned(), false, h1.clone())
    );
    assert_eq!(
        settings(&[(NGINX, "proxy-ssl-name", "db.test")]),
        ("db.test".to_owned(), true, h1)
    );
    assert_eq!(
        settings(&[(NGINX, "backend-protocol", "GRPCS")]).2,
        [b"h2".to_vec()]
    );
}

/// A missing or unusable object closes the route. It never leads to less protection.
#[test]
fn backend_tls_that_cannot_be_honoured_closes_the_route() {
    let ours = authority("ours");
    let objects = secret("empty", "Opaque", &[])
        + &secret(
            "garbage",
            "Opaque",
            &[("ca.crt", "hello"), ("tls.crt", "hello"), ("tls.key", "hello")],
        )
        + &secret("half", "Opaque", &[("ca.crt", &ours.pem), ("tls.crt", &ours.pem)])
        + &secret(
            "short",
            "Opaque",
            &[(
                "ca.crt",
                &format!("{}{}", ours.pem, ours.pem.replace("BEGIN", "START")),
            )],
        );
    let off = (OWN, "backend-tls-verify", "off");
    let table: [(Pairs<'_>, &str); 11] = [
        (
            &[(OWN, "backend-tls-ca", "secret/short")],
            "Secret `test/short` cannot be used: its `ca.crt` has a damaged",
        ),
        (
            &[(OWN, "backend-tls-ca", "secret/gone")],
            "Secret `test/gone` does not exist",
        ),
        (
            &[(OWN, "backend-tls-ca", "configmap/gone")],
            "ConfigMap `test/gone` does not exist",
        ),
        (
            &[(OWN, "backend-tls-ca", "secret/empty")],
            "Secret `test/empty` has no `ca.crt`",
        ),
        (
            &[(OWN, "backend-tls-ca", "secret/garbage")],
            "Secret `test/garbage` cannot be used: its `ca.crt` holds no certificate",
        ),
        (
            &[(OWN, "backend-tls-client-certificate", "gone")],
            "Secret `test/gone` does not exist",
        ),
        (
            &[(OWN, "backend-tls-client-certificate", "garbage"), off],
            "Secret `test/garbage` cannot be used: the certificate chain holds no certificate",
        ),
        (
            &[(NGINX, "proxy-ssl-secret", "test/half"), off],
            "Secret `test/half` has no `tls.key`",
        ),
        (
            &[(NGINX, "proxy-ssl-secret", "test/empty"), off],
            "Secret `test/empty` has no `tls.crt`",
        ),
        (
            &[(NGINX, "proxy-ssl-secret", "test/gone"), off],
            "Secret `test/gone` does not exist",
        ),
        (
            &[(OWN, "backend-tls-name", "no name")],
            "`no name` is not a name that a certificate can have",
        ),
    ];
    for (pairs, message) in table {
        let pairs = annotations(pairs);
        let mut backends = Backends::new(&ours);
        let (actions, lines) =
            backends.publish(&(service("https", "") + &objects + &rules(&borrowed(&pairs))));
        assert_eq!(actions, [Action::Blocked(Blocked::BackendTls)], "{pairs:?}");
        assert_reported(
            &lines,
            &[
                "error: Ingress test/app spec.rules[0].http.paths[0].backend: ",
                message,
                "the rule answers 503",
            ],
        );
    }
    // A Secret of another namespace is not even looked up.
    let (actions, _) = Backends::new(&ours).publish(
        &(service("https", "") + &rules(&[("nginx.ingress.kubernetes.io/proxy-ssl-secret", "other/x")])),
    );
    assert_eq!(actions, [Action::Blocked(Blocked::Annotation)]);
    // A system without authorities.
    let mut none = Backends::new(&ours);
    none.backends.platform_roots = PlatformRoots::default();
    let (actions, lines) = none.publish(&(service("https", "") + &rules(&[])));
    assert_eq!(actions, [Action::Blocked(Blocked::BackendTls)]);
    assert_reported(&lines, &["this system has no certificate authorities"]);
}

/// Equal settings are one value, also after the next publication, so that pools and sessions continue.
#[test]
fn equal_settings_are_shared_and_stay() {
    let ours = authority("ours");
    let objects = |pem: &str| service("https", "") + &secret("ours", "Opaque", &[("ca.crt", pem)]);
    let rules = |name, ca: &str| {
        let annotations = [("blastdoor.dev/backend-tls-ca", ca)];
        let host = [&*format!("{name}.test")];
        Rules {
            name,
            hosts: &host,
            annotations: &annotations,
            ..Rules::default()
        }
        .yaml()
    };
    let mut backends = Backends::new(&ours);
    let yaml = objects(&ours.pem) + &rules("a", "secret/ours") + &rules("b", "secret/ours");
    let (before, _) = backends.publish(&yaml);
    assert!(Arc::ptr_eq(tls(&before[0]), tls(&before[1])));
    let (again, _) = backends.publish(&(yaml.clone() + &rules("c", "secret/ours")));
    assert!(
        again
            .iter()
            .all(|action| Arc::ptr_eq(tls(&before[0]), tls(action)))
    );
    // Other authorities are other settings.
    let both = format!("{}{}", ours.pem, authority("more").pem);
    let (renewed, _) = backends.publish(&(objects(&both) + &rules("a", "secret/ours")));
    assert!(!Arc::ptr_eq(tls(&before[0]), tls(&renewed[0])));
    assert_ne!(tls(&before[0]), tls(&renewed[0]));
}

#[test]
fn debug_output_shows_the_trusted_authorities() {
    let mut backends = Backends::new(&authority("platform"));
    let (actions, _) =
        backends.publish(&(service("https", "") + &rules(&[("blastdoor.dev/backend-tls-verify", "off")])));
    assert!(
        format!("{:?}", actions[0]).contains("trust: Some(Nobody(None))"),
        "{actions:?}"
    );
    let (actions, _) = backends.publish(&(service("https", "") + &rules(&[])));
    assert!(
        format!("{:?}", actions[0]).contains("trust: Some(Platform)"),
        "{actions:?}"
    );
}
