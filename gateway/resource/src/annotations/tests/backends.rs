//! Protocol of backends, and TLS with them.

use route::ObjectKey;

use super::read;
use crate::backend_annotations::{AuthoritySource, BackendAnnotations};
use crate::protocol::AppProtocol;

const NGINX: &str = "nginx.ingress.kubernetes.io/";
const OWN: &str = "blastdoor.dev/";

/// Annotations: prefix, name, value.
type Pairs<'a> = &'a [(&'a str, &'a str, &'a str)];

fn backend(pairs: Pairs<'_>) -> (BackendAnnotations, bool, Vec<String>) {
    let keys: Vec<String> = pairs
        .iter()
        .map(|(prefix, name, _)| format!("{prefix}{name}"))
        .collect();
    let pairs: Vec<(&str, &str)> = keys
        .iter()
        .zip(pairs)
        .map(|(key, (_, _, value))| (key.as_str(), *value))
        .collect();
    let (annotations, reported) = read(&pairs);
    (annotations.backend, !annotations.closes.is_empty(), reported)
}

#[test]
fn protocol_and_tls_of_backends_are_read() {
    let secret = |name: &str| ObjectKey::new("shop", name);
    let none = BackendAnnotations::default;
    let table = [
        (
            vec![(NGINX, "backend-protocol", "http")],
            BackendAnnotations {
                protocol: Some(AppProtocol::Http),
                ..none()
            },
        ),
        (
            vec![(NGINX, "backend-protocol", "GRPC")],
            BackendAnnotations {
                protocol: Some(AppProtocol::Grpc),
                ..none()
            },
        ),
        (
            vec![
                (NGINX, "secure-backends", "true"),
                (NGINX, "proxy-ssl-verify", "on"),
            ],
            BackendAnnotations {
                protocol: Some(AppProtocol::Https),
                verify: Some(true),
                ..none()
            },
        ),
        (
            vec![
                (NGINX, "backend-protocol", "GRPCS"),
                (NGINX, "secure-backends", "true"),
                (NGINX, "proxy-ssl-secret", "shop/both"),
                (NGINX, "proxy-ssl-verify", "off"),
                (NGINX, "proxy-ssl-name", "db.test"),
                (NGINX, "proxy-ssl-server-name", "off"),
            ],
            BackendAnnotations {
                protocol: Some(AppProtocol::Grpcs),
                verify: Some(false),
                secret: Some(secret("both")),
                name: Some("db.test".into()),
                send_name: Some(false),
                ..none()
            },
        ),
        // The gateway's own count.
        (
            vec![
                (NGINX, "proxy-ssl-verify", "off"),
                (NGINX, "proxy-ssl-name", "theirs.test"),
                (OWN, "backend-tls-verify", "on"),
                (OWN, "backend-tls-name", "ours.test"),
                (OWN, "backend-tls-ca", "configmap/authorities"),
                (OWN, "backend-tls-client-certificate", "ours"),
            ],
            BackendAnnotations {
                verify: Some(true),
                authorities: Some(AuthoritySource::ConfigMap(secret("authorities"))),
                client_certificate: Some(secret("ours")),
                name: Some("ours.test".into()),
                ..none()
            },
        ),
        (
            vec![(OWN, "backend-tls-ca", "Secret/authorities")],
            BackendAnnotations {
                authorities: Some(AuthoritySource::Secret(secret("authorities"))),
                ..none()
            },
        ),
    ];
    for (pairs, expected) in table {
        assert_eq!(backend(&pairs), (expected, false, Vec::new()), "{pairs:?}");
    }
}

#[test]
fn tls_with_backends_that_cannot_be_honoured_closes() {
    for (prefix, name, value, message) in [
        (
            NGINX,
            "backend-protocol",
            "AUTO_HTTP",
            "`AUTO_HTTP` is not a protocol of backends",
        ),
        (
            NGINX,
            "proxy-ssl-secret",
            "other/tls",
            "the Secret is in namespace `other`; only Secrets of the Ingress's own namespace `shop` are read",
        ),
        (
            NGINX,
            "proxy-ssl-secret",
            "shop/../x",
            "is not `namespace/name` of a Secret",
        ),
        (
            NGINX,
            "proxy-ssl-verify",
            "maybe",
            "`maybe` is neither `on` nor `off`",
        ),
        (OWN, "backend-tls-verify", "", "neither `on` nor `off`"),
        (
            OWN,
            "backend-tls-ca",
            "authorities",
            "is not `secret/NAME` or `configmap/NAME`",
        ),
        (
            OWN,
            "backend-tls-ca",
            "secret/other/x",
            "is not `secret/NAME` or `configmap/NAME`",
        ),
        (
            OWN,
            "backend-tls-client-certificate",
            "other/x",
            "is not the name of a Secret in the namespace",
        ),
        (OWN, "backend-tls-name", " ", "the name is empty"),
        (
            OWN,
            "backend-tls-verfy",
            "on",
            "may be a misspelling of `blastdoor.dev/backend-tls-verify`",
        ),
        (NGINX, "proxy-ssl-veriy", "on", "not supported"),
    ] {
        let (_, closes, reported) = backend(&[(prefix, name, value)]);
        assert!(
            closes && reported.len() == 1 && reported[0].contains(message),
            "{name}: {value}: {reported:?}"
        );
    }
}

#[test]
fn verification_that_is_off_without_being_switched_off_is_reported_once() {
    let table: [(Pairs<'_>, bool, bool); 8] = [
        (&[(NGINX, "backend-protocol", "HTTPS")], false, true),
        (
            &[
                (NGINX, "backend-protocol", "GRPCS"),
                (NGINX, "proxy-ssl-secret", "x"),
            ],
            false,
            true,
        ),
        (&[(NGINX, "secure-backends", "true")], false, true),
        (
            &[
                (NGINX, "backend-protocol", "HTTPS"),
                (NGINX, "proxy-ssl-verify", "off"),
            ],
            false,
            false,
        ),
        (
            &[
                (NGINX, "backend-protocol", "HTTPS"),
                (NGINX, "proxy-ssl-verify", "on"),
            ],
            true,
            false,
        ),
        (
            &[
                (NGINX, "backend-protocol", "HTTPS"),
                (OWN, "backend-tls-ca", "secret/x"),
            ],
            true,
            false,
        ),
        (&[(NGINX, "backend-protocol", "GRPC")], false, false),
        (&[], true, false),
    ];
    for (pairs, verified, warned) in table {
        let (backend, closes, reported) = backend(pairs);
        let warnings = reported
            .iter()
            .filter(|reported| reported.starts_with("warning: the backend's certificate is not verified"));
        assert_eq!(
            (backend.is_verified(), closes, warnings.count(), reported.len()),
            (verified, false, usize::from(warned), usize::from(warned)),
            "{pairs:?}: {reported:?}"
        );
    }
}
