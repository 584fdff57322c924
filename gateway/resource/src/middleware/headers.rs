//! Fields of requests and responses, CORS, and fields that protect browsers.
#![allow(
    dead_code,
    reason = "the conversion of each kind follows; remove this with the last of them"
)]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Integer, Text, TextMap, Texts, Truth};
use super::row::{FieldRow, KindEffect, KindRow, field};

pub(super) const HEADERS: KindRow = KindRow {
    name: "headers",
    meaning: "sets and removes fields of requests and responses, answers CORS preflights, and sends fields that protect \
              browsers",
    fields: FIELDS,
    example: "\
headers:
  customRequestHeaders: {X-Team: shop}
  customResponseHeaders: {X-Powered-By: ''}
  stsSeconds: 31536000
  frameDeny: true
  contentTypeNosniff: true
  accessControlAllowOriginList: ['https://app.example.com']
  accessControlAllowMethods: [GET, POST]
",
    effect: KindEffect::Honoured(headers),
};

const FIELDS: &[FieldRow] = &[
    field(
        "customRequestHeaders",
        TextMap,
        "none",
        "fields of the request that are set, or removed if empty; `Host` is the host that the backend sees",
    ),
    field(
        "customResponseHeaders",
        TextMap,
        "none",
        "fields of the response that are set, or removed if empty",
    ),
    field(
        "accessControlAllowCredentials",
        Truth,
        "`false`",
        "CORS: whether pages may send credentials",
    ),
    field("accessControlAllowHeaders", Texts, "none", "CORS: fields that pages may send"),
    field("accessControlAllowMethods", Texts, "none", "CORS: methods that pages may use"),
    field(
        "accessControlAllowOriginList",
        Texts,
        "none",
        "CORS: origins whose pages may make requests, or `*`",
    )
    .differs("`*` beside `accessControlAllowCredentials` is never answered with the origin of the request"),
    field(
        "accessControlAllowOriginListRegex",
        Texts,
        "none",
        "CORS: patterns of such origins",
    )
    .differs("a pattern must match the whole origin"),
    field("accessControlExposeHeaders", Texts, "none", "CORS: fields of responses that pages may read"),
    field(
        "accessControlMaxAge",
        Integer,
        "absent",
        "CORS: how long browsers may keep the answer to a preflight, in seconds",
    ),
    field("addVaryHeader", Truth, "`false`", "CORS: adds `Vary: Origin`").differs("always added beside lists of origins"),
    field(
        "allowedHosts",
        Texts,
        "all",
        "hosts for which requests are served",
    )
    .differs("others are answered 403, not 500"),
    field("hostsProxyHeaders", Texts, "none", "has no effect here").told(
        "`hostsProxyHeaders` has no effect: the host is that of the request, which no field replaces; remove it",
    ),
    field("sslProxyHeaders", TextMap, "none", "has no effect here").told(
        "`sslProxyHeaders` has no effect: the door knows its scheme; remove it",
    ),
    field(
        "stsSeconds",
        Integer,
        "absent",
        "`Strict-Transport-Security` with this `max-age`, at doors with scheme https",
    ),
    field("stsIncludeSubdomains", Truth, "`false`", "adds `includeSubDomains` to it"),
    field("stsPreload", Truth, "`false`", "adds `preload` to it"),
    field("forceSTSHeader", Truth, "`false`", "sends it at every door"),
    field("frameDeny", Truth, "`false`", "`X-Frame-Options: DENY`"),
    field("customFrameOptionsValue", Text, "none", "this `X-Frame-Options`, instead of `frameDeny`"),
    field("contentTypeNosniff", Truth, "`false`", "`X-Content-Type-Options: nosniff`"),
    field("browserXssFilter", Truth, "`false`", "`X-XSS-Protection: 1; mode=block`"),
    field("customBrowserXSSValue", Text, "none", "this `X-XSS-Protection`, instead of `browserXssFilter`"),
    field("contentSecurityPolicy", Text, "none", "`Content-Security-Policy`"),
    field(
        "contentSecurityPolicyReportOnly",
        Text,
        "none",
        "`Content-Security-Policy-Report-Only`",
    ),
    field("publicKey", Text, "none", "has no effect here").told(
        "`publicKey` has no effect: browsers no longer know `Public-Key-Pins`; remove it",
    ),
    field("referrerPolicy", Text, "none", "`Referrer-Policy`"),
    field("permissionsPolicy", Text, "none", "`Permissions-Policy`"),
    field(
        "isDevelopment",
        Truth,
        "`false`",
        "ignores `allowedHosts` and `sts*`",
    ),
    field("featurePolicy", Text, "none", "`Feature-Policy`, the old name of `Permissions-Policy`"),
    field("sslRedirect", Truth, "`false`", "has no effect here").told(
        "`sslRedirect` has no effect, as in Traefik 3; use `redirectScheme`, or `redirect` of the door",
    ),
    field("sslTemporaryRedirect", Truth, "`false`", "has no effect here")
        .told("`sslTemporaryRedirect` has no effect, as in Traefik 3; use `redirectScheme`"),
    field("sslHost", Text, "none", "has no effect here")
        .told("`sslHost` has no effect, as in Traefik 3; use `redirectRegex`"),
    field("sslForceHost", Truth, "`false`", "has no effect here")
        .told("`sslForceHost` has no effect, as in Traefik 3; use `redirectRegex`"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Headers {
    pub(super) custom_request_headers: BTreeMap<String, String>,
    pub(super) custom_response_headers: BTreeMap<String, String>,
    pub(super) access_control_allow_credentials: bool,
    pub(super) access_control_allow_headers: Vec<String>,
    pub(super) access_control_allow_methods: Vec<String>,
    pub(super) access_control_allow_origin_list: Vec<String>,
    pub(super) access_control_allow_origin_list_regex: Vec<String>,
    pub(super) access_control_expose_headers: Vec<String>,
    pub(super) access_control_max_age: Option<i64>,
    pub(super) add_vary_header: bool,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) sts_seconds: Option<i64>,
    pub(super) sts_include_subdomains: bool,
    pub(super) sts_preload: bool,
    #[serde(rename = "forceSTSHeader")]
    pub(super) force_sts_header: bool,
    pub(super) frame_deny: bool,
    pub(super) custom_frame_options_value: Option<String>,
    pub(super) content_type_nosniff: bool,
    pub(super) browser_xss_filter: bool,
    #[serde(rename = "customBrowserXSSValue")]
    pub(super) custom_browser_xss_value: Option<String>,
    pub(super) content_security_policy: Option<String>,
    pub(super) content_security_policy_report_only: Option<String>,
    pub(super) referrer_policy: Option<String>,
    pub(super) permissions_policy: Option<String>,
    pub(super) is_development: bool,
    pub(super) feature_policy: Option<String>,
    // Without effect; the rows tell so.
    pub(super) hosts_proxy_headers: Vec<String>,
    pub(super) ssl_proxy_headers: BTreeMap<String, String>,
    pub(super) public_key: Option<String>,
    pub(super) ssl_redirect: bool,
    pub(super) ssl_temporary_redirect: bool,
    pub(super) ssl_host: Option<String>,
    pub(super) ssl_force_host: bool,
}

fn headers(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: Headers = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}
