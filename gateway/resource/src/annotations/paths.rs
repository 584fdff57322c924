//! How paths match, and what a backend sees of them.

use std::collections::BTreeMap;

use filter::path_edit::{PathEdit, check_target};
use filter::redirect::Redirect;
use filter::replacement::Replacement;
use route::{PathScratch, normalise_path};

use super::parsed::{Annotations, ClosedBy, PathMatcher};
use super::row::{Setting, Stake, Subject, honoured, ignored, ignored_except};
use super::value::{Form, SWITCH, TRUTH, Written, field};
use crate::filter_spec::FilterSpec;
use crate::reporter::Reporter;

pub(super) const SUBJECT: Subject = Subject {
    title: "Paths",
    ingress: &[
        honoured(
            "blastdoor.dev/path-regex",
            "paths of the type ImplementationSpecific are regular expressions, and so are prefixes that hold one of \
             `()[]{}*+?^$|\\`: caseless, and from the start of the path. Of this Ingress alone. A pattern ranks among the \
             prefixes by its length",
            &Setting {
                value: &SWITCH,
                default: "`off`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, regex, _| parsed.paths.regex |= regex,
            },
        ),
        honoured(
            "blastdoor.dev/rewrite",
            "the backend sees this path; `$1` to `$9` are the groups of the path of the rule. The query stays. An http(s) URL \
             redirects (302)",
            &Setting {
                value: &TARGET,
                default: "none",
                stake: Stake::Reliance,
                put: rewrite,
            },
        )
        .example("/$2"),
        honoured(
            "blastdoor.dev/strip-prefix",
            "the first of these prefixes that the path has is removed, by whole elements, and told in `X-Forwarded-Prefix`",
            &Setting {
                value: &PREFIXES,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, prefixes, written| {
                    let edit = PathEdit::StripPrefix(prefixes);
                    parsed.filters.push(written.filter(FilterSpec::Path(edit)));
                },
            },
        )
        .example("/api, /v1"),
        honoured(
            "blastdoor.dev/add-prefix",
            "is written before the path that the backend sees",
            &Setting {
                value: &PREFIX,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, prefix, written| {
                    let edit = PathEdit::AddPrefix(prefix);
                    parsed.filters.push(written.filter(FilterSpec::Path(edit)));
                },
            },
        )
        .example("/api"),
        honoured(
            "nginx.ingress.kubernetes.io/rewrite-target",
            "the backend sees this path; `$1` to `$9` are the groups of the path of the rule, which is a regular expression if \
             it holds one of `()[]{}*+?^$|\\` and is not exact. An http(s) URL redirects (302)",
            &Setting {
                value: &TARGET,
                default: "none",
                stake: Stake::Reliance,
                put: rewrite,
            },
        )
        .differs(
            "acts on its own Ingress, not on all of the host; groups hold the bytes that the client sent, escapes and all; a \
             result that is no path is answered 400",
        )
        .example("/$2"),
        honoured(
            "nginx.ingress.kubernetes.io/use-regex",
            "as `path-regex`",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, regex, _| parsed.paths.regex |= regex,
            },
        )
        .differs("acts on its own Ingress, not on all of the host; a prefix without characters of a pattern stays one"),
        honoured(
            "nginx.ingress.kubernetes.io/x-forwarded-prefix",
            "the backend gets this `X-Forwarded-Prefix`; `$1` to `$9` as in `rewrite-target`. The client's is dropped",
            &Setting {
                value: &FORWARDED_PREFIX,
                default: "none",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, prefix, written| {
                    let filter = written.filter(FilterSpec::ForwardedPrefix(prefix));
                    parsed.filters.push(filter);
                },
            },
        )
        .differs("without `rewrite-target` too")
        .example("/shop"),
        ignored_except(
            &["true"],
            "nginx.ingress.kubernetes.io/preserve-trailing-slash",
            "a trailing `/` is always kept",
        ),
        honoured(
            "traefik.ingress.kubernetes.io/router.pathmatcher",
            "how paths of the type ImplementationSpecific match. `PathRegexp` is case-sensitive and matches anywhere in the \
             path",
            &Setting {
                value: &MATCHER,
                default: "`PathPrefix`",
                stake: Stake::Reliance,
                put: |parsed: &mut Annotations, matcher, _| parsed.paths.matcher = matcher,
            },
        )
        .differs("`PathPrefix` goes by whole elements, not by characters")
        .example("PathRegexp"),
        ignored(
            "traefik.ingress.kubernetes.io/router.priority",
            "the rules of Ingress v1 decide",
        ),
        ignored(
            "traefik.ingress.kubernetes.io/router.rulesyntax",
            "Ingresses have no rule expressions",
        ),
    ],
    service: &[],
    review: Some(review),
};

const TARGET: Form<Replacement> = Form {
    name: "a path, with `$1` to `$9`, or an http(s) URL",
    parse: |written| {
        let target = Replacement::nginx(written.value)?;
        if written.value.contains("://") && !written.value.starts_with('/') {
            Redirect::rewrite(None, target.clone())?;
            return Ok(target);
        }
        check_target(&target)?;
        if let Some(literal) = target.literal() {
            let path = literal.split('?').next().unwrap_or_default();
            normal(path)?;
        }
        Ok(target)
    },
};

const FORWARDED_PREFIX: Form<Replacement> = Form {
    name: "text, with `$1` to `$9`",
    parse: |written| {
        if written.value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Replacement::nginx(written.value);
        }
        Err(format!(
            "`{}` has a character that no prefix of a path has",
            written.value.escape_debug()
        ))
    },
};

const PREFIX: Form<Box<str>> = Form {
    name: "a path",
    parse: |written| normal(written.value),
};

const PREFIXES: Form<Box<[Box<str>]>> = Form {
    name: "paths, separated by commas",
    parse: |written| written.value.split(',').map(|path| normal(path.trim())).collect(),
};

const MATCHER: Form<PathMatcher> = Form {
    name: "`PathPrefix`, `Path` or `PathRegexp`",
    parse: |written| match written.value {
        "PathPrefix" => Ok(PathMatcher::Prefix),
        "Path" => Ok(PathMatcher::Exact),
        "PathRegexp" => Ok(PathMatcher::Regex),
        other => Err(format!(
            "`{other}` is not known; write `PathPrefix`, `Path` or `PathRegexp`"
        )),
    },
};

/// A path in its normal form, which is the one that filters see.
fn normal(path: &str) -> Result<Box<str>, String> {
    let mut scratch = PathScratch::default();
    let path_of = normalise_path(path.as_bytes(), &mut scratch);
    let text = path_of.map_err(|error| format!("`{}` is not a path: {error}", path.escape_debug()))?;
    Ok(String::from_utf8_lossy(text.as_bytes()).into())
}

fn rewrite(parsed: &mut Annotations, target: Replacement, written: &mut Written<'_, '_>) {
    parsed.paths.rewrites = true;
    parsed.filters.push(written.filter(FilterSpec::Rewrite(target)));
}

const PATH_MATCHER: &str = "traefik.ingress.kubernetes.io/router.pathmatcher";

/// Two spellings that read the same path differently.
fn review(parsed: &mut Annotations, _raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let paths = parsed.paths;
    if paths.matcher != PathMatcher::Prefix && (paths.regex || paths.rewrites) {
        let reason = "it reads the paths otherwise than `use-regex`, `rewrite-target` or `path-regex` beside it; remove one \
                      of them";
        report.error(&field(PATH_MATCHER), format!("{reason}; closed (503)"));
        parsed.closes.push(ClosedBy {
            annotation: PATH_MATCHER.into(),
            reason: reason.into(),
        });
    }
}
