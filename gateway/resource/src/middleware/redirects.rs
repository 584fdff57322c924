//! Where clients are sent instead.

use filter::redirect::{HttpScheme, Redirect};
use filter::replacement::Replacement;
use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::paths::{pattern, warn_of_groups};
use super::reading::Reading;
use super::row::Form::{Text, Truth};
use super::row::{FieldRow, KindEffect, KindRow, field};
use crate::filter_spec::FilterSpec;

pub(super) const REDIRECT_SCHEME: KindRow = KindRow {
    name: "redirectScheme",
    meaning: "sends requests with another scheme than this to it, unless the door speaks it",
    fields: &[
        field("scheme", Text, "required", "`https` or `http`"),
        field("port", Text, "the scheme's", "the port"),
        PERMANENT,
    ],
    example: "\
redirectScheme:
  scheme: https
  permanent: true
",
    effect: KindEffect::Honoured(redirect_scheme),
};

pub(super) const REDIRECT_REGEX: KindRow = KindRow {
    name: "redirectRegex",
    meaning: "sends requests to another URL, by a pattern over their own URL; those whose URL does not change pass",
    fields: &[
        field(
            "regex",
            Text,
            "required",
            "the pattern, over `scheme://host[:port]/path?query`",
        )
        .differs("the scheme is that of the door"),
        field(
            "replacement",
            Text,
            "required",
            "what takes the place of each match; `$1` or `${name}` are its groups",
        )
        .differs("the result must be an `http` or `https` URL"),
        PERMANENT,
    ],
    example: "\
redirectRegex:
  regex: ^https://example.com/(.*)
  replacement: https://www.example.com/${1}
",
    effect: KindEffect::Honoured(redirect_regex),
};

const PERMANENT: FieldRow = field(
    "permanent",
    Truth,
    "`false`",
    "301 instead of 302 for GET, 308 instead of 307 for other methods",
);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RedirectScheme {
    pub(super) scheme: String,
    pub(super) port: Option<String>,
    pub(super) permanent: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RedirectRegex {
    pub(super) regex: String,
    pub(super) replacement: String,
    pub(super) permanent: bool,
}

fn redirect_scheme(
    content: Value,
    reading: &mut Reading<'_, '_>,
) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: RedirectScheme = reading.raw(content)?;
    let scheme = match &*raw.scheme {
        "http" => HttpScheme::Http,
        "https" => HttpScheme::Https,
        "" => return Err(reading.refuse("scheme", "it is missing; write `https` or `http`")),
        other => {
            let reason = format!("`{other}` is not known; write `https` or `http`");
            return Err(reading.refuse("scheme", reason));
        }
    };
    let port = match raw.port.as_deref() {
        None | Some("") => None,
        Some(port) => match filter::url::port(port) {
            None => {
                return Err(reading.refuse("port", format!("`{port}` is not a port from 1 to 65535")));
            }
            port => port,
        },
    };
    Ok(redirect(Redirect::Scheme {
        scheme,
        port,
        permanent: raw.permanent,
    }))
}

fn redirect_regex(
    content: Value,
    reading: &mut Reading<'_, '_>,
) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: RedirectRegex = reading.raw(content)?;
    let pattern = pattern("regex", &raw.regex, reading)?;
    if raw.replacement.is_empty() {
        return Err(reading.refuse(
            "replacement",
            "it is missing; write the URL that takes the place of a match",
        ));
    }
    let replacement =
        Replacement::go(&raw.replacement).map_err(|reason| reading.refuse("replacement", reason))?;
    warn_of_groups("replacement", &replacement, &pattern, reading);
    Ok(redirect(Redirect::Regex {
        pattern,
        replacement,
        permanent: raw.permanent,
    }))
}

fn redirect(redirect: Redirect) -> MiddlewareKind {
    MiddlewareKind::Filters(vec![FilterSpec::Redirect(redirect)])
}
