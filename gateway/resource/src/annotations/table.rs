//! The rows of the annotation table.

use super::row::AnnotationKind::{self, Closes, Default, Honoured, Ignored, Snippet, Usual};
use super::row::AnnotationRow;

const fn row(key: &'static str, kind: AnnotationKind, note: &'static str) -> AnnotationRow {
    AnnotationRow { key, kind, note }
}

const OFF: AnnotationKind = Default(&["false", "off"]);
const ON: AnnotationKind = Default(&["true", "on"]);
/// What cert-manager writes on each Ingress of a challenge.
const EVERYBODY: AnnotationKind = Default(&["0.0.0.0/0,::/0"]);

pub(crate) const INGRESS: &[AnnotationRow] = &[
    row(
        "blastdoor.dev/ignore-snippets",
        Honoured,
        "`true`: snippets are ignored instead of closing the Ingress",
    ),
    row(
        "nginx.ingress.kubernetes.io/ssl-redirect",
        Honoured,
        "acts only where written; a door's `redirect` is the usual way",
    ),
    row(
        "nginx.ingress.kubernetes.io/force-ssl-redirect",
        Honoured,
        "as `ssl-redirect`",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-connect-timeout",
        Honoured,
        "seconds; of more than 60, 60 count",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-read-timeout",
        Honoured,
        "seconds between two reads from the backend",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-send-timeout",
        Honoured,
        "seconds between two writes to the backend",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-body-size",
        Honoured,
        "bytes, or with `k`, `m`, `g`; 0 for no limit of its own; the door's `limits.body` is never exceeded",
    ),
    row(
        "blastdoor.dev/backend-tls-verify",
        Honoured,
        "`on` or `off`: whether certificates of backends are verified; on unless `backend-protocol` asks for TLS",
    ),
    row(
        "blastdoor.dev/backend-tls-ca",
        Honoured,
        "`secret/NAME` or `configmap/NAME` with `ca.crt`: whom to believe; the platform's authorities by default",
    ),
    row(
        "blastdoor.dev/backend-tls-name",
        Honoured,
        "the name that is sent and verified; `SERVICE.NAMESPACE.svc` by default",
    ),
    row(
        "blastdoor.dev/backend-tls-client-certificate",
        Honoured,
        "a Secret with `tls.crt` and `tls.key` that backends are shown",
    ),
    row(
        "nginx.ingress.kubernetes.io/backend-protocol",
        Honoured,
        "`HTTP`, `HTTPS`, `GRPC` or `GRPCS`; TLS is not verified unless `proxy-ssl-verify` says so",
    ),
    row(
        "nginx.ingress.kubernetes.io/secure-backends",
        Honoured,
        "`true`: as `backend-protocol: HTTPS`",
    ),
    row(
        "nginx.ingress.kubernetes.io/ssl-passthrough",
        Honoured,
        "at a door that ends TLS and passes it through (`passthrough`): connections for the hosts go to the backend of \
         the first path as they are; at any other door it closes the Ingress",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-buffering",
        Usual(&["off", "false"]),
        "bodies are always streamed",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-request-buffering",
        Usual(&["off", "false"]),
        "bodies are always streamed",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-buffer-size",
        Ignored,
        "bodies are always streamed",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-buffers-number",
        Ignored,
        "bodies are always streamed",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-busy-buffers-size",
        Ignored,
        "bodies are always streamed",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-max-temp-file-size",
        Ignored,
        "bodies are always streamed",
    ),
    row(
        "nginx.ingress.kubernetes.io/client-body-buffer-size",
        Ignored,
        "bodies are always streamed",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-http-version",
        Usual(&["1.1"]),
        "`backend-protocol` and the port's `appProtocol` say what is spoken to backends",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-access-log",
        Usual(&["true"]),
        "`[log] access` of the gateway decides",
    ),
    row(
        "nginx.ingress.kubernetes.io/preserve-trailing-slash",
        Usual(&["true"]),
        "the path is never changed",
    ),
    row(
        "nginx.ingress.kubernetes.io/service-upstream",
        Usual(&["false"]),
        "endpoints are always used",
    ),
    row(
        "nginx.ingress.kubernetes.io/load-balance",
        Ignored,
        "power of two choices is always used",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-next-upstream*",
        Ignored,
        "one retry, where nothing can have been processed",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-websockets",
        Ignored,
        "no such annotation exists; WebSocket always works",
    ),
    row(
        "nginx.ingress.kubernetes.io/websocket-services",
        Ignored,
        "no such annotation exists; WebSocket always works",
    ),
    row(
        "nginx.ingress.kubernetes.io/session-cookie-hash",
        Ignored,
        "no such annotation exists any more",
    ),
    row(
        "nginx.ingress.kubernetes.io/use-forwarded-headers",
        Ignored,
        "a global setting there; here `trusted_proxies` of the door",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-opentelemetry",
        Usual(&["false"]),
        "traces are not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/opentelemetry-*",
        Ignored,
        "traces are not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-opentracing",
        Usual(&["false"]),
        "traces are not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-rewrite-log",
        Usual(&["false"]),
        "there is no such log",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-redirect-*",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-cookie-*",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/connection-proxy-header",
        Ignored,
        "hop-by-hop fields are the gateway's",
    ),
    row(
        "nginx.ingress.kubernetes.io/configuration-snippet",
        Snippet,
        "configuration of nginx",
    ),
    row(
        "nginx.ingress.kubernetes.io/server-snippet",
        Snippet,
        "configuration of nginx",
    ),
    row(
        "nginx.ingress.kubernetes.io/stream-snippet",
        Snippet,
        "configuration of nginx",
    ),
    row(
        "nginx.ingress.kubernetes.io/auth-snippet",
        Snippet,
        "configuration of nginx",
    ),
    row(
        "nginx.ingress.kubernetes.io/modsecurity-snippet",
        Closes,
        "the web application firewall is not supported",
    ),
    row(
        "nginx.ingress.kubernetes.io/rewrite-target",
        Closes,
        "not supported yet; the backend would see another path",
    ),
    row("nginx.ingress.kubernetes.io/use-regex", OFF, "not supported yet"),
    row(
        "nginx.ingress.kubernetes.io/app-root",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/auth-*",
        Closes,
        "authentication is not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-global-auth",
        OFF,
        "authentication is not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/satisfy",
        Closes,
        "authentication is not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/whitelist-source-range",
        EVERYBODY,
        "allow lists are not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/allowlist-source-range",
        EVERYBODY,
        "allow lists are not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/denylist-source-range",
        Closes,
        "deny lists are not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/limit-*",
        Closes,
        "rate limits are not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-cors",
        OFF,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/cors-*",
        Ignored,
        "without effect while `enable-cors` is not set",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-modsecurity",
        OFF,
        "not supported",
    ),
    row(
        "nginx.ingress.kubernetes.io/enable-owasp-core-rules",
        OFF,
        "not supported",
    ),
    row(
        "nginx.ingress.kubernetes.io/modsecurity-*",
        Closes,
        "not supported",
    ),
    row(
        "nginx.ingress.kubernetes.io/affinity",
        Closes,
        "sticky sessions are not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/affinity-*",
        Ignored,
        "without effect while `affinity` is not set",
    ),
    row(
        "nginx.ingress.kubernetes.io/session-cookie-*",
        Ignored,
        "without effect while `affinity` is not set",
    ),
    row(
        "nginx.ingress.kubernetes.io/upstream-hash-by*",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/canary",
        OFF,
        "not supported yet; all requests would go to the canary",
    ),
    row(
        "nginx.ingress.kubernetes.io/canary-*",
        Ignored,
        "without effect while `canary` is not set",
    ),
    row(
        "nginx.ingress.kubernetes.io/from-to-www-redirect",
        OFF,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/permanent-redirect*",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/temporal-redirect*",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/custom-http-errors",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/default-backend",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/disable-proxy-intercept-errors",
        Ignored,
        "errors of the backend are never replaced",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-ssl-secret",
        Honoured,
        "`ca.crt`, `tls.crt` and `tls.key` for TLS to backends; in the namespace of the Ingress",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-ssl-verify",
        Honoured,
        "`on` or `off`",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-ssl-name",
        Honoured,
        "the name that is sent and verified; `SERVICE.NAMESPACE.svc` by default",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-ssl-server-name",
        Honoured,
        "`on` (default) or `off`: whether the name is sent",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-ssl-verify-depth",
        Ignored,
        "chains of any length are verified up to an authority",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-ssl-ciphers",
        Ignored,
        "authenticated encryption with ephemeral keys alone",
    ),
    row(
        "nginx.ingress.kubernetes.io/proxy-ssl-protocols",
        Usual(&["TLSv1.2 TLSv1.3", "TLSv1.3 TLSv1.2"]),
        "TLS 1.2 and 1.3 are spoken",
    ),
    row("nginx.ingress.kubernetes.io/proxy-ssl-*", Closes, "not supported"),
    row(
        "nginx.ingress.kubernetes.io/ssl-*",
        Closes,
        "the door decides over TLS; set it there",
    ),
    row(
        "nginx.ingress.kubernetes.io/upstream-vhost",
        Closes,
        "not supported yet; the backend would see another host",
    ),
    row(
        "nginx.ingress.kubernetes.io/x-forwarded-prefix",
        Closes,
        "not supported yet",
    ),
    row(
        "nginx.ingress.kubernetes.io/server-alias",
        Ignored,
        "not supported yet; name the hosts in `spec.rules`",
    ),
    row(
        "nginx.ingress.kubernetes.io/custom-headers",
        Closes,
        "not supported yet",
    ),
    row("nginx.ingress.kubernetes.io/mirror-*", Ignored, "not supported"),
    row(
        "nginx.ingress.kubernetes.io/http2-push-preload",
        Ignored,
        "no client supports it any more",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.entrypoints",
        Honoured,
        "must agree with the door that the labels choose",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.middlewares",
        Closes,
        "middlewares are not supported yet",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.tls",
        ON,
        "the door decides whether TLS is spoken",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.tls.options",
        Closes,
        "not supported yet",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.tls.*",
        Ignored,
        "certificates come from `spec.tls`",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.priority",
        Ignored,
        "the rules of Ingress v1 decide",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.pathmatcher",
        Default(&["PathPrefix"]),
        "regular expressions are not supported yet",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.rulesyntax",
        Ignored,
        "Ingresses have no rule expressions",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.observability.*",
        Ignored,
        "`[log]` decides",
    ),
    row(
        "traefik.ingress.kubernetes.io/service.*",
        Ignored,
        "belongs on the Service",
    ),
];

pub(crate) const SERVICE: &[AnnotationRow] = &[
    row(
        "traefik.ingress.kubernetes.io/service.serversscheme",
        Honoured,
        "`http`, `https` or `h2c`, for every port",
    ),
    row(
        "traefik.ingress.kubernetes.io/service.serverstransport",
        Closes,
        "not supported; `blastdoor.dev/backend-tls-*` on the Ingress says how TLS is spoken",
    ),
    row(
        "traefik.ingress.kubernetes.io/service.passhostheader",
        ON,
        "the backend would see another host",
    ),
    row(
        "traefik.ingress.kubernetes.io/service.nativelb",
        Usual(&["false"]),
        "endpoints are always used",
    ),
    row(
        "traefik.ingress.kubernetes.io/service.nodeportlb",
        Usual(&["false"]),
        "endpoints are always used",
    ),
    row(
        "traefik.ingress.kubernetes.io/service.sticky.*",
        Ignored,
        "sticky sessions are not supported yet",
    ),
    row(
        "traefik.ingress.kubernetes.io/router.*",
        Ignored,
        "belongs on the Ingress",
    ),
    row("nginx.ingress.kubernetes.io/*", Ignored, "belongs on the Ingress"),
];
