//! TLS with backends: how they are verified, and what they are shown.
//!
//! Annotations are read in the order of their keys, in which the gateway's own come first. So a value that is already
//! there counts.

use std::collections::BTreeMap;

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, closes, honoured, ignored, ignored_except};
use super::value::{Form, QUALIFIED_SECRET, SECRET, SWITCH, field, local};
use crate::backend_annotations::AuthoritySource;
use crate::protocol::AppProtocol;
use crate::reporter::Reporter;

pub(super) const SUBJECT: Subject = Subject {
    title: "TLS with backends",
    ingress: &[
        honoured(
            "blastdoor.dev/backend-tls-verify",
            "whether certificates of backends are verified",
            VERIFY,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/proxy-ssl-verify",
            "as `backend-tls-verify`",
            VERIFY,
        ),
        honoured(
            "blastdoor.dev/backend-tls-ca",
            "the authorities (`ca.crt`) that are trusted to sign certificates of backends",
            &Setting {
                value: &AUTHORITIES,
                default: "the platform's authorities",
                stake: Stake::Protection,
                put: |parsed, source, _| parsed.backend.authorities = Some(source),
            },
        ),
        honoured(
            "blastdoor.dev/backend-tls-client-certificate",
            "the certificate (`tls.crt` and `tls.key`) that backends are shown",
            &Setting {
                value: &SECRET,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, secret, _| parsed.backend.client_certificate = Some(secret),
            },
        ),
        honoured(
            "nginx.ingress.kubernetes.io/proxy-ssl-secret",
            "`ca.crt`, `tls.crt` and `tls.key` for TLS to backends; in the namespace of the Ingress",
            &Setting {
                value: &QUALIFIED_SECRET,
                default: "none",
                stake: Stake::Protection,
                put: |parsed, secret, _| parsed.backend.secret = Some(secret),
            },
        ),
        honoured(
            "blastdoor.dev/backend-tls-name",
            "the name that is sent and verified",
            SERVER_NAME,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/proxy-ssl-name",
            "as `backend-tls-name`",
            SERVER_NAME,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/proxy-ssl-server-name",
            "whether the name is sent",
            &Setting {
                value: &SWITCH,
                default: "`on`",
                stake: Stake::Protection,
                put: |parsed, send_name, _| parsed.backend.send_name = Some(send_name),
            },
        ),
        ignored(
            "nginx.ingress.kubernetes.io/proxy-ssl-verify-depth",
            "chains of any length are verified up to an authority",
        ),
        ignored(
            "nginx.ingress.kubernetes.io/proxy-ssl-ciphers",
            "only authenticated encryption with ephemeral keys is used",
        ),
        ignored_except(
            &["TLSv1.2 TLSv1.3", "TLSv1.3 TLSv1.2"],
            "nginx.ingress.kubernetes.io/proxy-ssl-protocols",
            "TLS 1.2 and 1.3 are supported",
        ),
        closes("nginx.ingress.kubernetes.io/proxy-ssl-*", "not supported"),
    ],
    service: &[closes(
        "traefik.ingress.kubernetes.io/service.serverstransport",
        "not supported; `blastdoor.dev/backend-tls-*` on the Ingress configures TLS with backends",
    )],
    review: Some(warn_of_silence),
};

const VERIFY: &Setting<Annotations, bool> = &Setting {
    value: &SWITCH,
    default: "`on`, unless `backend-protocol` or `secure-backends` asks for TLS",
    stake: Stake::Protection,
    put: |parsed, verify, _| {
        parsed.backend.verify.get_or_insert(verify);
    },
};

const SERVER_NAME: &Setting<Annotations, Box<str>> = &Setting {
    value: &NAME,
    default: "`SERVICE.NAMESPACE.svc`",
    stake: Stake::Protection,
    put: |parsed, name, _| {
        parsed.backend.name.get_or_insert(name);
    },
};

const NAME: Form<Box<str>> = Form {
    name: "a name",
    parse: |written| match written.value {
        "" => Err("the name is empty".to_owned()),
        name => Ok(name.into()),
    },
};

/// In the namespace of the Ingress.
const AUTHORITIES: Form<AuthoritySource> = Form {
    name: "`secret/NAME` or `configmap/NAME`",
    parse: |written| {
        authorities(written.value, written.namespace).ok_or_else(|| {
            format!(
                "`{}` is not `secret/NAME` or `configmap/NAME` in the namespace of the Ingress",
                written.value
            )
        })
    },
};

fn authorities(value: &str, namespace: &str) -> Option<AuthoritySource> {
    let (kind, name) = value.split_once('/')?;
    let key = local(name, namespace)?;
    match kind.to_ascii_lowercase().as_str() {
        "secret" => Some(AuthoritySource::Secret(key)),
        "configmap" => Some(AuthoritySource::ConfigMap(key)),
        _ => None,
    }
}

/// Asking for TLS in the spelling of ingress-nginx leaves certificates unverified. Where that is not written in so
/// many words, it gets a warning.
fn warn_of_silence(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let backend = &parsed.backend;
    let speaks_tls = matches!(backend.protocol, Some(AppProtocol::Https | AppProtocol::Grpcs));
    if !speaks_tls || backend.verify.is_some() || backend.is_verified() {
        return;
    }
    let spellings = [
        "nginx.ingress.kubernetes.io/backend-protocol",
        "nginx.ingress.kubernetes.io/secure-backends",
    ];
    let key = spellings.into_iter().find(|key| raw.contains_key(*key));
    report.warning(
        &field(key.unwrap_or_default()),
        "the backend's certificate is not verified, as in ingress-nginx: anyone on the way can pose as the backend; \
         set `blastdoor.dev/backend-tls-verify` to `on`, or to `off` to say that this is meant",
    );
}
