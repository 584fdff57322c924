//! Who may make requests: passwords, and an answer from somebody else.

use filter::basic_auth;
use filter::realm::Realm;
use serde::Deserialize;
use serde_json::Value;

use filter::call::CallUrl;
use filter::forward_auth::{Cookies, MOST, Manner, Method, Sends, Signin};
use filter::pattern::{Case, Pattern};
use filter::redirect::Destination;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::limits::{CLIENT_TLS, ClientTls};
use super::reading::Reading;
use super::row::Form::{Integer, Object, Text, Texts, Truth};
use super::row::{FieldRow, KindEffect, KindRow, field};
use crate::annotations::{connection, header_names};
use crate::callee::Callee;
use crate::filter_spec::{BasicAuthSpec, FilterSpec, ForwardAuthSpec, UsersForm};

pub(super) const BASIC_AUTH: KindRow = KindRow {
    name: "basicAuth",
    meaning: "asks for a user name and a password",
    fields: &[
        field(
            "secret",
            Text,
            "required",
            "a Secret with one entry of `user:hash` lines, or of type `kubernetes.io/basic-auth`",
        )
        .differs("of a user that is listed twice the first line counts"),
        REALM,
        REMOVE_HEADER,
        HEADER_FIELD,
    ],
    example: "\
basicAuth:
  secret: users
  realm: staff
",
    effect: KindEffect::Honoured(basic),
};

pub(super) const DIGEST_AUTH: KindRow = KindRow {
    name: "digestAuth",
    meaning: "asks for a user name and a password, by HTTP Digest",
    fields: &[
        field(
            "secret",
            Text,
            "required",
            "a Secret with one entry of `user:realm:HA1` lines",
        ),
        REALM,
        REMOVE_HEADER,
        HEADER_FIELD,
    ],
    example: "\
digestAuth:
  secret: users
",
    effect: KindEffect::Closes("HTTP Digest is not supported yet; use `basicAuth` at a door that ends TLS"),
};

pub(super) const FORWARD_AUTH: KindRow = KindRow {
    name: "forwardAuth",
    meaning: "asks a service about each request: 2xx lets it pass, every other answer goes to the client",
    fields: &[
        field(
            "address",
            Text,
            "required",
            "the URL of the service, as in `http://name.namespace:port/path`",
        )
        .differs("which services may be called is for their owners or the platform to say"),
        field(
            "trustForwardHeader",
            Truth,
            "`false`",
            "keeps the `X-Forwarded-*` fields of a peer that the door trusts",
        )
        .differs("those of any other peer are never kept"),
        field(
            "authResponseHeaders",
            Texts,
            "none",
            "fields of the answer that the backend gets; the client's are dropped",
        ),
        field(
            "authResponseHeadersRegex",
            Text,
            "none",
            "the same, for all fields whose names match",
        ),
        field(
            "authRequestHeaders",
            Texts,
            "all",
            "fields of the request that the service gets",
        ),
        field(
            "tls",
            Object(CLIENT_TLS),
            "the platform's authorities",
            "TLS to the service",
        )
        .differs("the certificate of the service is always verified: `insecureSkipVerify` closes"),
        field(
            "maxResponseBodySize",
            Integer,
            "1 MiB",
            "the largest answer, in bytes",
        )
        .differs("never more than 1 MiB"),
        field(
            "addAuthCookiesToResponse",
            Texts,
            "none",
            "cookies of the answer that the client gets",
        ),
        field(
            "headerField",
            Text,
            "none",
            "the field of the answer that names the user, for the access log",
        ),
        field(
            "forwardBody",
            Truth,
            "`false`",
            "whether the service gets the body",
        ),
        field(
            "maxBodySize",
            Integer,
            "-1: 1 MiB",
            "the largest body that it gets, in bytes",
        )
        .differs("never more than 1 MiB; a longer body is answered 413, not 401"),
        field(
            "preserveLocationHeader",
            Truth,
            "`false`",
            "passes `Location` of an answer on as it is, instead of resolving it against the address of the service",
        ),
        field(
            "preserveRequestMethod",
            Truth,
            "`false`",
            "asks with the method of the request instead of GET",
        ),
        field(
            "authSigninURL",
            Text,
            "none",
            "where clients are sent (302) when the answer is 401",
        ),
    ],
    example: "\
forwardAuth:
  address: http://auth.shop:8080/verify
  authResponseHeaders: [X-User]
",
    effect: KindEffect::Honoured(forward_auth),
};

const REALM: FieldRow = field("realm", Text, "`traefik`", "what clients are shown");

const REMOVE_HEADER: FieldRow = field(
    "removeHeader",
    Truth,
    "`false`",
    "whether `Authorization` is kept from the backend",
);

const HEADER_FIELD: FieldRow = field(
    "headerField",
    Text,
    "none",
    "a field that tells the backend the name of the user",
);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct BasicAuth {
    pub(super) secret: String,
    pub(super) realm: Option<String>,
    pub(super) remove_header: bool,
    pub(super) header_field: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ForwardAuth {
    pub(super) address: String,
    pub(super) trust_forward_header: bool,
    pub(super) auth_response_headers: Vec<String>,
    pub(super) auth_response_headers_regex: Option<String>,
    pub(super) auth_request_headers: Vec<String>,
    pub(super) tls: Option<ClientTls>,
    pub(super) max_response_body_size: Option<i64>,
    pub(super) add_auth_cookies_to_response: Vec<String>,
    pub(super) header_field: Option<String>,
    pub(super) forward_body: bool,
    pub(super) max_body_size: Option<i64>,
    pub(super) preserve_location_header: bool,
    pub(super) preserve_request_method: bool,
    #[serde(rename = "authSigninURL")]
    pub(super) auth_signin_url: Option<String>,
}

fn basic(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: BasicAuth = reading.raw(content)?;
    let secret = reading.local("secret", &raw.secret)?;
    let realm = Realm::parse(
        raw.realm
            .as_deref()
            .filter(|realm| !realm.is_empty())
            .unwrap_or("traefik"),
    );
    let user_field = raw.header_field.as_deref().filter(|name| !name.is_empty());
    let user_field = user_field.map(basic_auth::user_field).transpose();
    let settings = basic_auth::BasicAuth {
        realm: realm.map_err(|error| reading.refuse("realm", error.to_string()))?,
        user_field: user_field.map_err(|error| reading.refuse("headerField", error.to_string()))?,
        forwards: !raw.remove_header,
    };
    let spec = BasicAuthSpec {
        secret,
        form: UsersForm::Only,
        settings,
    };
    Ok(MiddlewareKind::Filters(vec![FilterSpec::BasicAuth(Box::new(
        spec,
    ))]))
}

fn forward_auth(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: ForwardAuth = reading.raw(content)?;
    let refuse = |field: &str| {
        let reading = &*reading;
        let field = field.to_owned();
        move |reason: String| reading.refuse(&field, reason)
    };
    if raw.address.is_empty() {
        return Err(reading.refuse("address", "it is missing; write the URL of the service"));
    }
    let url = CallUrl::parse(&raw.address).map_err(refuse("address"))?;
    let names =
        |field: &str, names: &[String]| header_names(names.iter().map(String::as_str)).map_err(refuse(field));
    let copies = names("authResponseHeaders", &raw.auth_response_headers)?;
    let sends = match raw.auth_request_headers.as_slice() {
        [] => Sends::All,
        list => Sends::These(names("authRequestHeaders", list)?),
    };
    let user = match raw.header_field.as_deref() {
        None | Some("") => None,
        Some(name) => names("headerField", &[name.to_owned()])?.into_iter().next(),
    };
    let copies_matching = match raw.auth_response_headers_regex.as_deref() {
        None | Some("") => None,
        Some(text) => {
            let pattern = Pattern::new(text, Case::Insensitive);
            Some(
                pattern
                    .map_err(|error| error.to_string())
                    .map_err(refuse("authResponseHeadersRegex"))?,
            )
        }
    };
    let signin = match raw.auth_signin_url.as_deref() {
        None | Some("") => None,
        Some(text) => Some(Signin {
            page: Destination::parse(text).map_err(refuse("authSigninURL"))?,
            parameter: None,
        }),
    };
    let tls = raw.tls.unwrap_or_default();
    if tls.insecure_skip_verify {
        let reason = "who may make requests is not for whoever answers to decide: the certificate of the service is always \
                      verified; name its authorities in `tls.caSecret`";
        return Err(reading.refuse("tls.insecureSkipVerify", reason));
    }
    let named = |field: &str, name: Option<&str>| match name {
        None | Some("") => Ok(None),
        Some(name) => reading.local(field, name).map(Some),
    };
    let authorities = named("tls.caSecret", tls.ca_secret.as_deref())?;
    let mut connection = connection(&url, authorities.map(|key| (false, key)));
    connection.client_certificate = named("tls.certSecret", tls.cert_secret.as_deref())?;
    let most_body = most(
        reading,
        "maxBodySize",
        raw.max_body_size.filter(|_| raw.forward_body),
    );
    let most_answer = most(reading, "maxResponseBodySize", raw.max_response_body_size);
    let rule = filter::forward_auth::ForwardAuth {
        manner: Manner::Traefik,
        method: (!raw.preserve_request_method).then_some(Method::GET),
        sends,
        adds: Vec::new(),
        copies,
        copies_matching,
        cookies: Cookies::Named(
            raw.add_auth_cookies_to_response
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        ),
        signin,
        body: raw.forward_body.then_some(most_body),
        most_answer,
        trusts_forwarded: raw.trust_forward_header,
        keeps_location: raw.preserve_location_header,
        user,
        cache: None,
        url,
    };
    let callee = Callee::of(&rule.url, reading.namespace());
    let spec = ForwardAuthSpec {
        rule,
        callee,
        connection,
        adds: None,
    };
    Ok(MiddlewareKind::Filters(vec![FilterSpec::ForwardAuth(Box::new(
        spec,
    ))]))
}

/// A size of Traefik: negative is no limit, which is 1 MiB here.
fn most(reading: &mut Reading<'_, '_>, field: &str, written: Option<i64>) -> u64 {
    let size = written.and_then(|size| u64::try_from(size).ok());
    if size.is_some_and(|size| size > MOST) {
        reading.note(
            field,
            format!("more than {MOST} bytes are never held; this counts as {MOST}"),
        );
    }
    size.map_or(MOST, |size| size.min(MOST))
}
