//! Where clients are sent instead.
#![allow(
    dead_code,
    reason = "the conversion of each kind follows; remove this with the last of them"
)]

use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Text, Truth};
use super::row::{FieldRow, KindEffect, KindRow, field};

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
    let _raw: RedirectScheme = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}

fn redirect_regex(
    content: Value,
    reading: &mut Reading<'_, '_>,
) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: RedirectRegex = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}
