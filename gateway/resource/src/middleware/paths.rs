//! Which path the backend sees.
#![allow(
    dead_code,
    reason = "the conversion of each kind follows; remove this with the last of them"
)]

use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Text, Texts, Truth};
use super::row::{KindEffect, KindRow, field};

pub(super) const STRIP_PREFIX: KindRow = KindRow {
    name: "stripPrefix",
    meaning: "removes the first of these prefixes that fits from the path, and tells the backend with `X-Forwarded-Prefix`",
    fields: &[
        field("prefixes", Texts, "required", "the prefixes, as in `/api`")
            .differs("by whole path elements: `/api` is no prefix of `/apix`"),
        field("forceSlash", Truth, "`true`", "whether an empty path becomes `/`")
            .differs("it always does")
            .told("`forceSlash` has no effect: an empty path always becomes `/`; remove it"),
    ],
    example: "\
stripPrefix:
  prefixes: [/api]
",
    effect: KindEffect::Honoured(strip_prefix),
};

pub(super) const STRIP_PREFIX_REGEX: KindRow = KindRow {
    name: "stripPrefixRegex",
    meaning: "removes what the first of these patterns matches at the start of the path, and tells the backend with \
              `X-Forwarded-Prefix`",
    fields: &[field("regex", Texts, "required", "the patterns")],
    example: "\
stripPrefixRegex:
  regex: ['/v[0-9]+']
",
    effect: KindEffect::Honoured(strip_prefix_regex),
};

pub(super) const ADD_PREFIX: KindRow = KindRow {
    name: "addPrefix",
    meaning: "puts a prefix before the path",
    fields: &[field("prefix", Text, "required", "the prefix, as in `/api`")],
    example: "\
addPrefix:
  prefix: /api
",
    effect: KindEffect::Honoured(add_prefix),
};

pub(super) const REPLACE_PATH: KindRow = KindRow {
    name: "replacePath",
    meaning: "replaces the path, and tells the backend the old one with `X-Replaced-Path`",
    fields: &[field("path", Text, "required", "the path")],
    example: "\
replacePath:
  path: /index.html
",
    effect: KindEffect::Honoured(replace_path),
};

pub(super) const REPLACE_PATH_REGEX: KindRow = KindRow {
    name: "replacePathRegex",
    meaning: "replaces what a pattern matches in the path, and tells the backend the old one with `X-Replaced-Path`",
    fields: &[
        field("regex", Text, "required", "the pattern"),
        field(
            "replacement",
            Text,
            "empty",
            "what takes the place of each match; `$1` or `${name}` are its groups",
        ),
    ],
    example: "\
replacePathRegex:
  regex: ^/old/(.*)
  replacement: /new/$1
",
    effect: KindEffect::Honoured(replace_path_regex),
};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct StripPrefix {
    pub(super) prefixes: Vec<String>,
    /// Without effect.
    pub(super) force_slash: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct StripPrefixRegex {
    pub(super) regex: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct AddPrefix {
    pub(super) prefix: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ReplacePath {
    pub(super) path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ReplacePathRegex {
    pub(super) regex: String,
    pub(super) replacement: String,
}

fn strip_prefix(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: StripPrefix = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}

fn strip_prefix_regex(
    content: Value,
    reading: &mut Reading<'_, '_>,
) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: StripPrefixRegex = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}

fn add_prefix(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: AddPrefix = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}

fn replace_path(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: ReplacePath = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}

fn replace_path_regex(
    content: Value,
    reading: &mut Reading<'_, '_>,
) -> Result<MiddlewareKind, InvalidMiddleware> {
    let _raw: ReplacePathRegex = reading.raw(content)?;
    Err(reading.refuse("", "not supported yet"))
}
