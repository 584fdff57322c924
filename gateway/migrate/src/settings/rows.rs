//! What becomes of each setting of ingress-nginx and Traefik.

use crate::difference::Effect;

/// A setting and what becomes of it.
pub(super) struct Row {
    /// One that ends in `*` stands for every one that begins so.
    pub(super) key: &'static str,
    pub(super) effect: Effect,
    pub(super) message: &'static str,
}

const fn here(key: &'static str, message: &'static str) -> Row {
    Row {
        key,
        effect: Effect::Note,
        message,
    }
}

const fn differs(key: &'static str, message: &'static str) -> Row {
    Row {
        key,
        effect: Effect::Differs,
        message,
    }
}

const fn lost(key: &'static str, message: &'static str) -> Row {
    Row {
        key,
        effect: Effect::Lost,
        message,
    }
}

/// The keys of the ConfigMap of ingress-nginx.
pub(super) const NGINX: &[Row] = &[
    here(
        "use-forwarded-headers",
        "`trusted_proxies` of a door says whose X-Forwarded-For is believed",
    ),
    here(
        "compute-full-forwarded-for",
        "X-Forwarded-For is always continued",
    ),
    here("forwarded-for-header", "`client_ip = \"header:NAME\"` of a door"),
    here(
        "proxy-real-ip-cidr",
        "`trusted_proxies` of a door; nobody is trusted without it",
    ),
    here("use-proxy-protocol", "`proxy_protocol` of a door"),
    here("enable-real-ip", "`client_ip` and `trusted_proxies` of a door"),
    here("proxy-body-size", "`limits.body` of a door"),
    here("proxy-connect-timeout", "`timeouts.connect` of a door"),
    here(
        "proxy-read-timeout",
        "`timeouts.response_head` and `timeouts.response_idle` of a door",
    ),
    here("proxy-send-timeout", "`timeouts.body_idle` of a door"),
    here("client-header-timeout", "`timeouts.head` of a door"),
    here("client-body-timeout", "`timeouts.body_idle` of a door"),
    here("keep-alive", "`idle_timeout` of a door"),
    here(
        "keep-alive-requests",
        "connections are kept for any number of requests",
    ),
    here(
        "upstream-keepalive-*",
        "connections to backends are kept by themselves",
    ),
    here(
        "large-client-header-buffers",
        "`limits.header_bytes` and `limits.uri_bytes` of a door",
    ),
    here("client-header-buffer-size", "`limits.header_bytes` of a door"),
    here(
        "http2-max-*",
        "`limits.h2_streams` of a door; the rest is bounded",
    ),
    here("use-http2", "HTTP/2 is always spoken"),
    here("ssl-protocols", "`tls.min_version` of a door: 1.2 or 1.3"),
    here(
        "ssl-ciphers",
        "only authenticated encryption with ephemeral keys is used",
    ),
    here("ssl-ecdh-curve", "current groups are used"),
    here("ssl-session-*", "sessions are resumed"),
    here("ssl-buffer-size", "records are sized by themselves"),
    here(
        "ssl-reject-handshake",
        "without `tls.default_certificate` a door refuses names that no certificate covers",
    ),
    here("ssl-redirect", "`redirect` of the door with plain HTTP"),
    here("force-ssl-redirect", "`redirect` of the door with plain HTTP"),
    differs(
        "no-tls-redirect-locations",
        "only /.well-known/acme-challenge/ is left out of redirects; give other paths a label of the door with plain HTTP",
    ),
    differs(
        "hsts*",
        "`blastdoor.dev/response-headers` or `-security-headers` on each Ingress",
    ),
    here("worker-processes", "`workers` of a door"),
    here("max-worker-connections", "`limits.connections` of a door"),
    here("max-worker-open-files", "`[process] descriptors`"),
    here("worker-shutdown-timeout", "`drain` of a door"),
    here("reuse-port", "`reuse_port` of a door"),
    here("error-log-level", "`[log] level`"),
    here("server-tokens", "no `Server` is sent"),
    here(
        "hide-headers",
        "`blastdoor.dev/response-headers: NAME:` on each Ingress",
    ),
    here("disable-access-log", "`[log] access`"),
    here("skip-access-log-urls", "`[log] access`"),
    here(
        "log-format-*",
        "the access log has its own fields (docs/operations.md)",
    ),
    here("access-log-*", "the access log goes to standard output"),
    here("http-access-log-path", "the access log goes to standard output"),
    here("enable-brotli", "nothing is compressed; let backends compress"),
    here("brotli-*", "nothing is compressed; let backends compress"),
    differs("use-gzip", "nothing is compressed; let backends compress"),
    here("gzip-*", "nothing is compressed; let backends compress"),
    here("proxy-buffer*", "bodies are always streamed"),
    here("proxy-busy-buffers-size", "bodies are always streamed"),
    here("proxy-request-buffering", "bodies are always streamed"),
    here("proxy-buffering", "bodies are always streamed"),
    here("client-body-buffer-size", "bodies are always streamed"),
    here("proxy-max-temp-file-size", "bodies are always streamed"),
    here("proxy-headers-hash-*", "there is no such table"),
    here("map-hash-bucket-size", "there is no such table"),
    here("server-name-hash-*", "there is no such table"),
    here("variables-hash-*", "there is no such table"),
    here(
        "annotation-value-word-blocklist",
        "no annotation becomes text of a configuration",
    ),
    here(
        "annotations-risk-level",
        "no annotation becomes text of a configuration",
    ),
    here("strict-validate-path-type", "paths are always checked"),
    here(
        "allow-snippet-annotations",
        "snippets close their Ingress unless `blastdoor.dev/ignore-snippets` is `true`",
    ),
    here("allow-backend-server-header", "the backend's `Server` passes"),
    here("generate-request-id", "every request has one"),
    here("use-geoip*", "there is no such lookup"),
    here("load-balance", "power of two choices, or `blastdoor.dev/balance`"),
    differs(
        "retry-non-idempotent",
        "only requests that nobody has seen, or that are idempotent, are tried again",
    ),
    differs(
        "proxy-next-upstream*",
        "only requests that nobody has seen, or that are idempotent, are tried again",
    ),
    lost(
        "whitelist-source-range",
        "it protects every Ingress there: write `blastdoor.dev/allow` on each, or filter before the door",
    ),
    lost(
        "denylist-source-range",
        "it protects every Ingress there: write `blastdoor.dev/deny` on each, or filter before the door",
    ),
    lost(
        "block-*",
        "it protects every Ingress there, and has no counterpart: filter before the door",
    ),
    lost(
        "global-auth-*",
        "it protects every Ingress there: write `blastdoor.dev/forward-auth` or `auth-url` on each",
    ),
    lost(
        "global-rate-limit-*",
        "write `blastdoor.dev/rate-limit` with a store on each Ingress",
    ),
    lost(
        "global-allowed-response-headers",
        "`custom-headers` takes any field but those of a connection",
    ),
    lost("limit-*", "limits are for each Ingress to say"),
    lost(
        "custom-http-errors",
        "write `custom-http-errors` and `default-backend` on each Ingress",
    ),
    lost(
        "add-headers",
        "write `blastdoor.dev/response-headers` on each Ingress",
    ),
    lost(
        "proxy-set-headers",
        "write `blastdoor.dev/request-headers` on each Ingress",
    ),
    lost("http-redirect-code", "redirects to https are 308"),
    lost("enable-modsecurity", "there is no such firewall"),
    lost("enable-owasp-*", "there is no such firewall"),
    lost("modsecurity-*", "there is no such firewall"),
    lost("*-snippet", "configuration of nginx is not run here"),
    lost("enable-opentelemetry", "see the guide to traces"),
    lost("opentelemetry-*", "see the guide to traces"),
    lost("otlp-*", "see the guide to traces"),
    lost("otel-*", "see the guide to traces"),
    lost("enable-opentracing", "see the guide to traces"),
    lost(
        "ssl-dh-param",
        "no key exchange with parameters of its own is used",
    ),
    lost("bind-address*", "`bind` of a door"),
    lost("proxy-protocol-header-timeout", "`timeouts.first_byte` of a door"),
    lost(
        "enable-underscores-in-headers",
        "fields with `_` pass, but for those that could be taken for the gateway's own",
    ),
    lost("ignore-invalid-headers", "a malformed field is a 400"),
    lost("debug-connections", "`[log] level`"),
    lost("server-snippets", "configuration of nginx is not run here"),
];

/// Arguments of ingress-nginx.
pub(super) const NGINX_ARGUMENTS: &[Row] = &[
    here("configmap", "read above, if it is among these objects"),
    here("controller-class", "`classes` of a door"),
    here("ingress-class", "`classes` of a door"),
    here("ingress-class-by-name", "classes go by name"),
    here(
        "watch-ingress-without-class",
        "without `classes`, labels alone decide",
    ),
    here("watch-namespace", "`[source] namespaces`"),
    here("watch-namespace-selector", "`namespaces` of a door"),
    here("publish-service", "`publish = { service = … }` of a door"),
    here("publish-status-address", "`publish` of a door"),
    here("report-node-internal-ip-address", "`publish` of a door"),
    here("update-status", "only a door with `publish` writes a status"),
    here("election-id", "`[source] instance`"),
    here("enable-ssl-passthrough", "`passthrough` of a door that ends TLS"),
    here("default-ssl-certificate", "`tls.default_certificate` of a door"),
    here(
        "validating-*",
        "there is no webhook: `blastdoor check` and the admission policies",
    ),
    here("shutdown-grace-period", "`drain` of a door"),
    here("enable-metrics", "the admin port has /metrics"),
    here("health*", "the admin port"),
    here("http-port", "`bind` of a door"),
    here("https-port", "`bind` of a door"),
    here("v", "`[log] level`"),
    lost(
        "default-backend-service",
        "an Ingress with `defaultBackend` and no rules answers for what nothing else matches",
    ),
    lost("tcp-services-configmap", "TCP is not routed here"),
    lost("udp-services-configmap", "UDP is not routed here"),
];

/// Arguments of Traefik. `entrypoints.X.` is written `entrypoints.*.`.
pub(super) const TRAEFIK_ARGUMENTS: &[Row] = &[
    here("entrypoints.*.address", "a door, with `bind`"),
    here(
        "entrypoints.*.http.redirections.entrypoint.to",
        "`redirect` of the door with plain HTTP",
    ),
    here(
        "entrypoints.*.http.redirections.entrypoint.scheme",
        "`redirect` of the door with plain HTTP",
    ),
    here(
        "entrypoints.*.http.redirections.entrypoint.permanent",
        "redirects to https are 308",
    ),
    here(
        "entrypoints.*.forwardedheaders.trustedips",
        "`trusted_proxies` of a door",
    ),
    differs(
        "entrypoints.*.forwardedheaders.insecure",
        "nobody's word on the client is believed without `trusted_proxies`",
    ),
    here(
        "entrypoints.*.proxyprotocol.trustedips",
        "`proxy_protocol` and `trusted_proxies` of a door",
    ),
    differs(
        "entrypoints.*.proxyprotocol.insecure",
        "a PROXY header is believed from `trusted_proxies` alone",
    ),
    here(
        "entrypoints.*.asdefault",
        "an Ingress lands where its label says, and nowhere else",
    ),
    here("entrypoints.*.transport.*", "`timeouts` and `drain` of a door"),
    here("entrypoints.*.http.tls", "`tls` of a door"),
    here(
        "entrypoints.*.http.tls.certresolver",
        "cert-manager makes certificates; no ACME here",
    ),
    lost(
        "entrypoints.*.http.middlewares",
        "they guard every Ingress there: name them on each (`router.middlewares`)",
    ),
    lost("entrypoints.*.http3*", "there is no HTTP/3 here"),
    lost(
        "certificatesresolvers.*",
        "no ACME here: cert-manager makes certificates",
    ),
    here("providers.kubernetesingress", "Ingresses are read"),
    here("providers.kubernetesingress.ingressclass", "`classes` of a door"),
    here(
        "providers.kubernetesingress.labelselector",
        "`selector` of a door",
    ),
    here("providers.kubernetesingress.namespaces", "`[source] namespaces`"),
    here(
        "providers.kubernetesingress.allowexternalnameservices",
        "`[source] allow_external_names`",
    ),
    here(
        "providers.kubernetesingress.strictprefixmatching",
        "prefixes go by whole elements; then `path-characters` is no difference",
    ),
    here(
        "providers.kubernetesingress.ingressendpoint.*",
        "`publish` of a door",
    ),
    here("providers.kubernetesingress.*", "Ingresses are read"),
    here(
        "providers.kubernetescrd",
        "of its objects only Middlewares are read",
    ),
    lost(
        "providers.kubernetescrd.allowcrossnamespace",
        "objects of other namespaces are never used",
    ),
    here(
        "providers.kubernetescrd.*",
        "of its objects only Middlewares are read",
    ),
    lost("providers.*", "only Ingresses and Middlewares are read"),
    here("accesslog*", "`[log] access`"),
    here("log*", "`[log]`"),
    here("metrics*", "the admin port has /metrics"),
    here("ping*", "the admin port"),
    here("api*", "the admin port"),
    here("global.*", "nothing is reported to anybody"),
    lost("tracing*", "see the guide to traces"),
    lost("experimental.*", "plugins of Traefik cannot run here"),
    differs(
        "serverstransport.insecureskipverify",
        "certificates of backends are verified: `blastdoor.dev/backend-tls-verify: \"off\"`",
    ),
];
