//! Fields of requests and responses, CORS, and fields that protect browsers.
#![allow(dead_code, reason = "fields without effect are read, so that they are known")]

use std::collections::BTreeMap;

use filter::cors::{Cors, CorsList, Manner, OriginRule};
use filter::fields::{self, FieldEdits, FieldError, Message};
use filter::security::{Hsts, SecurityFields};
use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Integer, Text, TextMap, Texts, Truth};
use super::row::{FieldRow, KindEffect, KindRow, field};
use crate::filter_spec::FilterSpec;

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
    let raw: Headers = reading.raw(content)?;
    let headers = Conversion { raw: &raw, reading }.headers()?;
    Ok(MiddlewareKind::Filters(vec![FilterSpec::Headers(Box::new(
        headers,
    ))]))
}

/// The content of a Middleware on its way to a value.
struct Conversion<'c, 'a, 'r> {
    raw: &'c Headers,
    reading: &'c mut Reading<'a, 'r>,
}

impl Conversion<'_, '_, '_> {
    fn headers(&mut self) -> Result<filter::headers::Headers, InvalidMiddleware> {
        let raw = self.raw;
        let mut request = raw.custom_request_headers.clone();
        let mut hosts = Vec::new();
        request.retain(|name, value| {
            let is_host = name.eq_ignore_ascii_case("host");
            if is_host {
                hosts.push(std::mem::take(value));
            }
            !is_host
        });
        let refuse_host = |reason: String| self.reading.refuse("customRequestHeaders", reason);
        let host = match hosts.as_slice() {
            [] => None,
            [host] if host.is_empty() => {
                return Err(refuse_host(
                    "`Host` cannot be removed: every request has one; remove the line".into(),
                ));
            }
            [host] => Some(fields::host(host).map_err(|error| refuse_host(error.to_string()))?),
            [..] => return Err(refuse_host(FieldError::Twice("Host".into()).to_string())),
        };
        let development = raw.is_development;
        let headers = filter::headers::Headers {
            allowed_hosts: match development {
                true => Box::default(),
                false => raw
                    .allowed_hosts
                    .iter()
                    .map(|host| host.as_str().into())
                    .collect(),
            },
            request: self.edits("customRequestHeaders", &request, Message::Request)?,
            host,
            hsts: self.hsts()?.filter(|_| !development),
            security: self.security()?,
            response: self.edits(
                "customResponseHeaders",
                &raw.custom_response_headers,
                Message::Response,
            )?,
            cors: self.cors()?,
        };
        if headers == filter::headers::Headers::default() && !development {
            let reason =
                "it says nothing; write what it should do, or remove it from the list of middlewares";
            return Err(self.reading.refuse("", reason));
        }
        Ok(headers)
    }

    fn edits(
        &self,
        field: &str,
        written: &BTreeMap<String, String>,
        message: Message,
    ) -> Result<FieldEdits, InvalidMiddleware> {
        let fields = written
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        FieldEdits::of_map(fields, message).map_err(|error| self.reading.refuse(field, error.to_string()))
    }

    fn hsts(&self) -> Result<Option<Hsts>, InvalidMiddleware> {
        let raw = self.raw;
        let seconds = self.natural("stsSeconds", raw.sts_seconds)?.unwrap_or_default();
        Ok((seconds > 0).then_some(Hsts {
            seconds,
            include_subdomains: raw.sts_include_subdomains,
            preload: raw.sts_preload,
            everywhere: raw.force_sts_header,
        }))
    }

    fn security(&self) -> Result<FieldEdits, InvalidMiddleware> {
        let raw = self.raw;
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let policies = [
            ("contentSecurityPolicy", or_empty(&raw.content_security_policy)),
            (
                "contentSecurityPolicyReportOnly",
                or_empty(&raw.content_security_policy_report_only),
            ),
        ];
        for (field, policy) in &policies {
            if policy.contains("$NONCE") {
                let reason = "`$NONCE` is not supported: the backend would have to know the nonce of each response; \
                              have the backend send the policy, or list hashes";
                return Err(self.reading.refuse(field, reason));
            }
        }
        let [(_, policy), (_, report_only)] = &policies;
        let text = |text: &'_ Option<String>| -> String { or_empty(text) };
        let (frame, xss) = (
            text(&raw.custom_frame_options_value),
            text(&raw.custom_browser_xss_value),
        );
        let (referrer, permissions) = (text(&raw.referrer_policy), text(&raw.permissions_policy));
        let feature = text(&raw.feature_policy);
        let fields = SecurityFields {
            frame_deny: raw.frame_deny,
            frame_options: &frame,
            nosniff: raw.content_type_nosniff,
            xss_filter: raw.browser_xss_filter,
            xss_protection: &xss,
            content_security_policy: policy,
            content_security_policy_report_only: report_only,
            referrer_policy: &referrer,
            permissions_policy: &permissions,
            feature_policy: &feature,
        };
        fields
            .edits()
            .map_err(|error| self.reading.refuse("", error.to_string()))
    }

    fn cors(&mut self) -> Result<Option<Cors>, InvalidMiddleware> {
        let raw = self.raw;
        let mut origins = Vec::new();
        for (index, origin) in raw.access_control_allow_origin_list.iter().enumerate() {
            let at = format!("accessControlAllowOriginList[{index}]");
            origins.push(
                OriginRule::literal(origin).map_err(|error| self.reading.refuse(&at, error.to_string()))?,
            );
        }
        if raw.access_control_allow_origin_list_regex.len() > 100 {
            let reason = "it has more than 100 patterns; write fewer";
            return Err(self.reading.refuse("accessControlAllowOriginListRegex", reason));
        }
        for (index, pattern) in raw.access_control_allow_origin_list_regex.iter().enumerate() {
            let at = format!("accessControlAllowOriginListRegex[{index}]");
            let rule =
                OriginRule::matching(pattern).map_err(|error| self.reading.refuse(&at, error.to_string()))?;
            if raw.access_control_allow_credentials && rule.is_boundless() {
                let message = "every site may read responses with the credentials of its visitors; list the origins \
                               that may";
                self.reading.warn(&at, message);
            }
            origins.push(rule);
        }
        if raw.access_control_allow_credentials && origins.first() == Some(&OriginRule::Any) {
            let message =
                "browsers send no credentials where `*` is answered; list the origins that may send them";
            self.reading.warn("accessControlAllowOriginList", message);
        }
        let max_age = self.natural("accessControlMaxAge", raw.access_control_max_age)?;
        let cors = Cors {
            origins,
            methods: self.list("accessControlAllowMethods", &raw.access_control_allow_methods)?,
            headers: self.list("accessControlAllowHeaders", &raw.access_control_allow_headers)?,
            exposed: self.list("accessControlExposeHeaders", &raw.access_control_expose_headers)?,
            credentials: raw.access_control_allow_credentials,
            max_age: max_age.filter(|seconds| *seconds > 0),
            vary: raw.add_vary_header,
            manner: Manner::Traefik,
        };
        Ok(Some(cors).filter(Cors::says_something))
    }

    fn list(&self, field: &str, written: &[String]) -> Result<Option<CorsList>, InvalidMiddleware> {
        CorsList::of(written).map_err(|error| self.reading.refuse(field, error.to_string()))
    }

    /// A number that cannot be negative.
    fn natural(&self, field: &str, written: Option<i64>) -> Result<Option<u64>, InvalidMiddleware> {
        let natural = written.map(u64::try_from).transpose();
        natural.map_err(|_| {
            self.reading
                .refuse(field, "it is negative; write a number of seconds")
        })
    }
}

#[cfg(test)]
mod tests;
