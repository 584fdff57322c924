//! Which path the backend sees.

use filter::path_edit::PathEdit;
use filter::pattern::{Case, Pattern};
use filter::replacement::Replacement;
use route::{PathScratch, normalise_path};
use serde::Deserialize;
use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;
use super::row::Form::{Text, Texts, Truth};
use super::row::{KindEffect, KindRow, field};
use crate::filter_spec::FilterSpec;

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
    fields: &[field("regex", Texts, "required", "the patterns")
        .differs("a match ends where an element of the path does: `/v[0-9]` does not fit `/v1x`")],
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
        )
        .differs("a `?` closes: only the path is replaced"),
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
    let raw: StripPrefix = reading.raw(content)?;
    if raw.prefixes.is_empty() {
        return Err(reading.refuse("prefixes", "it names no prefix; write `- /api`"));
    }
    let prefixes = raw.prefixes.iter().enumerate().map(|(index, prefix)| {
        let prefix = with_slash(prefix.trim());
        normal(&format!("prefixes[{index}]"), &prefix, reading)
    });
    Ok(edit(PathEdit::StripPrefix(prefixes.collect::<Result<_, _>>()?)))
}

fn strip_prefix_regex(
    content: Value,
    reading: &mut Reading<'_, '_>,
) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: StripPrefixRegex = reading.raw(content)?;
    if raw.regex.is_empty() {
        return Err(reading.refuse("regex", "it names no pattern; write `- /v[0-9]+`"));
    }
    if raw.regex.len() > 100 {
        return Err(reading.refuse("regex", "it has more than 100 patterns; write fewer"));
    }
    let patterns = raw.regex.iter().enumerate().map(|(index, text)| {
        // Traefik trims them.
        pattern(&format!("regex[{index}]"), text.trim(), reading)
    });
    Ok(edit(PathEdit::StripPrefixRegex(
        patterns.collect::<Result<_, _>>()?,
    )))
}

fn add_prefix(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: AddPrefix = reading.raw(content)?;
    if raw.prefix.is_empty() {
        return Err(reading.refuse("prefix", "it is missing; write `/api`"));
    }
    let prefix = normal("prefix", &with_slash(&raw.prefix), reading)?;
    Ok(edit(PathEdit::AddPrefix(prefix)))
}

fn replace_path(content: Value, reading: &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: ReplacePath = reading.raw(content)?;
    let path = normal("path", &raw.path, reading)?;
    Ok(edit(PathEdit::Replace(path)))
}

fn replace_path_regex(
    content: Value,
    reading: &mut Reading<'_, '_>,
) -> Result<MiddlewareKind, InvalidMiddleware> {
    let raw: ReplacePathRegex = reading.raw(content)?;
    let pattern = pattern("regex", raw.regex.trim(), reading)?;
    let replacement =
        Replacement::go(raw.replacement.trim()).map_err(|reason| reading.refuse("replacement", reason))?;
    if let Some(text) = replacement.texts().find(|text| text.contains(['?', '#'])) {
        let reason =
            format!("`{text}` has a character that no path has: `?` or `#`; only the path is replaced");
        return Err(reading.refuse("replacement", reason));
    }
    warn_of_groups("replacement", &replacement, &pattern, reading);
    Ok(edit(PathEdit::ReplaceRegex { pattern, replacement }))
}

fn edit(edit: PathEdit) -> MiddlewareKind {
    MiddlewareKind::Filters(vec![FilterSpec::Path(edit)])
}

/// Traefik writes the `/` where it is missing.
fn with_slash(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// A path in its normal form, which is the one that filters see.
fn normal(field: &str, path: &str, reading: &Reading<'_, '_>) -> Result<Box<str>, InvalidMiddleware> {
    let mut scratch = PathScratch::default();
    let result = normalise_path(path.as_bytes(), &mut scratch);
    let text = result.map_err(|error| {
        let reason = format!("`{}` is not a path: {error}", path.escape_debug());
        reading.refuse(field, reason)
    })?;
    Ok(String::from_utf8_lossy(text.as_bytes()).into())
}

/// A regular expression as Traefik has it: case counts.
pub(super) fn pattern(
    field: &str,
    text: &str,
    reading: &Reading<'_, '_>,
) -> Result<Pattern, InvalidMiddleware> {
    Pattern::new(text, Case::Sensitive).map_err(|error| reading.refuse(field, error.to_string()))
}

/// Warns of groups that are always empty: `$1x` is the group `1x`, where `${1}x` may be meant.
pub(super) fn warn_of_groups(
    field: &str,
    replacement: &Replacement,
    pattern: &Pattern,
    reading: &mut Reading<'_, '_>,
) {
    let missing: Vec<String> = replacement.missing(Some(pattern)).collect();
    if let Some(group) = missing.first() {
        let message = format!(
            "`{group}` is no group of the pattern, so that it is always empty; write `${{1}}x` for the first group and an `x`"
        );
        reading.warn(field, message);
    }
}
