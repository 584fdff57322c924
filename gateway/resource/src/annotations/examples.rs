//! Values that show how honoured annotations are written, for the reference. A row may have one of its own; most rows share
//! that of their form.

use super::row::{Effect, Row};

/// A value for an honoured annotation; empty for any other.
pub(super) fn example<T>(row: &Row<T>) -> &'static str {
    let Effect::Honoured(setting) = row.effect else {
        return "";
    };
    if !row.example.is_empty() {
        return row.example;
    }
    let (_, name) = row.key.rsplit_once('/').unwrap_or_default();
    of_name(name).unwrap_or_else(|| of_form(setting.form()))
}

/// Of annotations whose form alone does not say what is written.
fn of_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "router.entrypoints" => "external-http, external-https",
        "server-alias" => "shop.example.com, www.shop.example.com",
        "upstream-vhost" | "host" => "app.internal",
        "rewrite" | "rewrite-target" => "/$1",
        "strip-prefix" => "/api, /v1",
        "add-prefix" => "/app",
        "app-root" => "/welcome",
        "x-forwarded-prefix" => "/app",
        "router.pathmatcher" => "PathPrefix",
        "permanent-redirect" | "temporal-redirect" | "redirect" => "https://www.example.com/",
        "permanent-redirect-code" | "redirect-status" => "308",
        "temporal-redirect-code" => "307",
        "backend-protocol" => "HTTPS",
        "service.serversscheme" => "https",
        "load-balance" => "round_robin",
        "upstream-hash-by" => "$request_uri",
        "balance" => "round-robin",
        "sticky" | "session-cookie-name" | "service.sticky.cookie.name" => "route",
        "affinity" => "cookie",
        "affinity-mode" => "persistent",
        "affinity-canary-behavior" => "sticky",
        "sticky-max-age" => "24h",
        "canary-header" | "canary-by-header" => "X-Canary",
        "canary-value" | "canary-by-header-value" => "insider",
        "canary-pattern" | "canary-by-header-pattern" => "^(insider|tester)$",
        "canary-cookie" | "canary-by-cookie" => "canary",
        "canary-weight" => "10",
        "canary-total" | "canary-weight-total" => "100",
        "canary-weights" => "10",
        "forward-auth-body" => "64k",
        "forward-auth" | "auth-url" => "http://auth.shop/verify",
        "forward-auth-headers" | "auth-response-headers" => "X-User, X-Groups",
        "forward-auth-send" => "Cookie, Authorization",
        "forward-auth-signin" | "auth-signin" => "https://login.example.com/start",
        "forward-auth-cookies" => "session",
        "forward-auth-cache" => "5m",
        "auth-signin-redirect-param" => "rd",
        "auth-request-redirect" => "$request_uri",
        "auth-proxy-set-headers" => "auth-fields",
        "auth-cache-key" => "$cookie_session",
        "auth-cache-duration" => "200 202 10m, 401 5m",
        "allow-calls-from" => "shop, team-*",
        "basic-auth-realm" | "auth-realm" => "Staff",
        "basic-auth-header" => "X-User",
        "auth-type" => "basic",
        "auth-secret-type" => "auth-file",
        "rate-limit" => "100/1m",
        "rate-limit-burst" => "200",
        "rate-limit-by" => "client",
        "rate-limit-scope" => "cluster",
        "limit-rps" => "10",
        "limit-rpm" => "300",
        "limit-burst-multiplier" => "5",
        "cors-methods" | "cors-allow-methods" => "GET, POST",
        "cors-headers" | "cors-allow-headers" => "Content-Type, Authorization",
        "cors-expose" | "cors-expose-headers" => "X-Total",
        "request-headers" => "X-Team: shop\nX-Stage: live",
        "response-headers" => "X-Team: shop\nServer:",
        "errors" | "custom-http-errors" => "404, 500-503",
        "errors-path" => "/errors",
        "middlewares" => "limit, staff",
        "router.middlewares" => "shop-limit@kubernetescrd",
        _ => return None,
    })
}

/// Of forms that many annotations share.
fn of_form(form: &str) -> &'static str {
    match form {
        "`on` or `off`" => "on",
        "`true` or `false`" => "true",
        "seconds" => "60",
        "bytes, or a number with `k`, `m` or `g`" => "8m",
        "the name of a Secret" | "the name of a Secret of the same namespace" => "users",
        "`namespace/name` of a Secret" => "shop/users",
        "`namespace/name` of a ConfigMap" => "shop/fields",
        "`secret/NAME` or `configmap/NAME`" => "configmap/authorities",
        "a name" | "domain" => "app.example.com",
        "path" | "a path" => "/app",
        "`Strict`, `Lax` or `None`" => "Lax",
        "addresses and networks, separated by commas" => "192.0.2.0/24, 2001:db8::/32",
        "a method, such as `POST`" => "POST",
        "a time such as `10m`" => "10m",
        "origins such as `https://app.example.com`, separated by commas, or `*`" => "https://app.example.com",
        "name of a Service, or `NAME:PORT`" => "pages:80",
        _ => "",
    }
}
