//! The protocol of connections to backends.

use super::row::{Setting, Stake, Subject, honoured, ignored, ignored_except};
use super::value::{Form, TRUTH};
use crate::protocol::AppProtocol;

pub(super) const SUBJECT: Subject = Subject {
    title: "Protocol of backends",
    ingress: &[
        honoured(
            "nginx.ingress.kubernetes.io/backend-protocol",
            "certificates are not verified unless `proxy-ssl-verify` is `on`",
            &Setting {
                value: &BACKEND_PROTOCOL,
                default: "what the Service says",
                stake: Stake::Reliance,
                put: |parsed, protocol, _| {
                    parsed.backend.protocol.get_or_insert(protocol);
                },
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/secure-backends",
            "`true`: as `backend-protocol: HTTPS`",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Reliance,
                put: |parsed, secure, _| {
                    if secure {
                        parsed.backend.protocol.get_or_insert(AppProtocol::Https);
                    }
                },
            },
        ),
        ignored_except(
            &["1.1"],
            "nginx.ingress.kubernetes.io/proxy-http-version",
            "`backend-protocol` and the port's `appProtocol` set the protocol of backends",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/enable-websockets",
            "no such annotation exists; WebSocket always works",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/websocket-services",
            "no such annotation exists; WebSocket always works",
        ),
    ],
    service: &[honoured(
        "traefik.ingress.kubernetes.io/service.serversscheme",
        "for every port",
        &Setting {
            value: &SCHEME,
            default: "`appProtocol` of the port",
            stake: Stake::Reliance,
            put: |parsed, scheme, _| parsed.scheme = Some(scheme),
        },
    )],
    review: None,
};

const BACKEND_PROTOCOL: Form<AppProtocol> = Form {
    name: "`HTTP`, `HTTPS`, `GRPC` or `GRPCS`",
    parse: |written| match written.value.to_ascii_uppercase().as_str() {
        "HTTP" => Ok(AppProtocol::Http),
        "HTTPS" => Ok(AppProtocol::Https),
        "GRPC" => Ok(AppProtocol::Grpc),
        "GRPCS" => Ok(AppProtocol::Grpcs),
        _ => Err(format!(
            "`{}` is not a protocol of backends; write `HTTP`, `HTTPS`, `GRPC` or `GRPCS`",
            written.value
        )),
    },
};

const SCHEME: Form<AppProtocol> = Form {
    name: "`http`, `https` or `h2c`",
    parse: |written| match written.value.to_ascii_lowercase().as_str() {
        "http" => Ok(AppProtocol::Http),
        "https" => Ok(AppProtocol::Https),
        "h2c" => Ok(AppProtocol::H2c),
        _ => Err(format!("`{}` is not `http`, `https` or `h2c`", written.value)),
    },
};
