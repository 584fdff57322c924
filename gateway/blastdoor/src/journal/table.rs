//! The journal of a gateway for people, from its JSON: the gateway that is asked may be of another version.
//!
//! Names, hosts, paths and managers are what somebody wrote: control characters and what turns text around are escaped.

use std::fmt::Write as _;

use serde_json::Value;
use text::Shown;

/// A page of `/api/v1/changes` in words.
pub(crate) fn in_words(page: &Value) -> String {
    let mut out = String::new();
    let entries = list(page, "entries");
    for entry in entries {
        tell(entry, &mut out);
    }
    if entries.is_empty() {
        out.push_str("nothing that a door answers has changed\n");
    }
    if number(page, "omitted") > 0 {
        line(
            &mut out,
            format_args!("{} older publications are left out", number(page, "omitted")),
        );
    }
    if page.get("complete") != Some(&Value::Bool(true)) {
        line(
            &mut out,
            format_args!(
                "the journal does not reach back that far: it is complete since {}, and the gateway runs since {}",
                text(page, "complete_since"),
                text(page, "started")
            ),
        );
    }
    out
}

fn tell(entry: &Value, out: &mut String) {
    line(
        out,
        format_args!("{}  publication {}", text(entry, "time"), number(entry, "number")),
    );
    for cause in list(entry, "causes") {
        line(out, format_args!("  because  {}", in_words_of_cause(cause)));
    }
    if number(entry, "causes_omitted") > 0 {
        line(
            out,
            format_args!("  because  {} more", number(entry, "causes_omitted")),
        );
    }
    for door in list(entry, "doors") {
        line(
            out,
            format_args!("  {}  {}", text(door, "listener"), summary(door)),
        );
        for change in list(door, "changes") {
            line(out, format_args!("    {}", in_words_of_change(change)));
        }
        if number(door, "omitted") > 0 && text(door, "event") != "opened" {
            line(out, format_args!("    … and {} more", number(door, "omitted")));
        }
        if number(door, "of_others") > 0 {
            let others = number(door, "of_others");
            line(out, format_args!("    … and {others} of other namespaces"));
        }
    }
}

fn in_words_of_cause(cause: &Value) -> String {
    let name = text(cause, "name");
    let name = match text(cause, "namespace") {
        namespace if namespace.is_empty() => name,
        namespace => format!("{namespace}/{name}"),
    };
    let mut words = format!("{} {name} {}", text(cause, "kind"), text(cause, "change"));
    for (field, before) in [
        ("field_manager", " by "),
        ("written", " at "),
        ("resource_version", ", resource version "),
        ("file", ", "),
        ("line", ":"),
    ] {
        let value = text(cause, field);
        if !value.is_empty() {
            words.push_str(before);
            words.push_str(&value);
        }
    }
    words
}

fn summary(door: &Value) -> String {
    let none = Value::Null;
    let counts = |of: &str| door.get(of).unwrap_or(&none).clone();
    let (hosts, places) = (counts("hosts"), counts("places"));
    match &*text(door, "event") {
        "opened" => format!(
            "opened with {} hosts, {} paths",
            number(&hosts, "appeared"),
            number(&places, "appeared")
        ),
        "closed" => "closed".to_owned(),
        _ => format!(
            "hosts: {} new, {} gone; paths: {} appeared, {} changed, {} gone",
            number(&hosts, "appeared"),
            number(&hosts, "gone"),
            number(&places, "appeared"),
            number(&places, "changed"),
            number(&places, "gone")
        ),
    }
}

fn in_words_of_change(change: &Value) -> String {
    let none = Value::Null;
    let sign = match &*text(change, "change") {
        "appeared" => '+',
        "gone" => '-',
        _ => '~',
    };
    let place = format!(
        "{}{} ({})",
        text(change, "host"),
        text(change, "path"),
        text(change, "path_type")
    );
    let answer = |of: &str| change.get(of).filter(|answer| !answer.is_null());
    let answers = match (answer("before"), answer("after")) {
        (Some(before), Some(after)) => {
            format!("{} → {}", in_words_of_answer(before), in_words_of_answer(after))
        }
        (before, after) => in_words_of_answer(before.or(after).unwrap_or(&none)),
    };
    let aspects: Vec<String> = list(change, "aspects").iter().map(plain).collect();
    let aspects = match aspects.is_empty() {
        true => String::new(),
        false => format!(" ({})", aspects.join(", ")),
    };
    let is_new = change.get("new_host") == Some(&Value::Bool(true));
    let news = if is_new { "  NEW HOST" } else { "" };
    format!("{sign} {place}  {answers}{aspects}{news}")
}

fn in_words_of_answer(answer: &Value) -> String {
    let mut words = text(answer, "ingress");
    let service = text(answer, "service");
    if !service.is_empty() {
        _ = write!(words, " to {service}:{}", text(answer, "port"));
    }
    let filters: Vec<String> = list(answer, "filters").iter().map(plain).collect();
    if !filters.is_empty() {
        _ = write!(words, " [{}]", filters.join(", "));
    }
    let canary = text(answer, "canary");
    if !canary.is_empty() {
        _ = write!(words, " with canary {canary}");
    }
    let state = text(answer, "state");
    format!("{words} {state}").trim_start().to_owned()
}

fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    _ = out.write_fmt(arguments);
    out.push('\n');
}

fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    let list = of.get(name).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn number(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// A field as it can be shown; empty for what is not there.
fn text(of: &Value, name: &str) -> String {
    of.get(name).map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => Shown(text).to_string(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_is_told_in_lines() {
        let page = json!({
            "started": "2026-11-27T08:00:00.000Z", "complete_since": "2026-11-27T09:00:00.000Z", "complete": false,
            "omitted": 2,
            "entries": [{
                "number": 7, "time": "2026-11-27T10:00:00.000Z", "causes_omitted": 1,
                "causes": [
                    {"kind": "Ingress", "namespace": "shop", "name": "web", "change": "changed", "resource_version": "48",
                     "field_manager": "kubectl\u{1b}[2J\u{202e}-edit", "written": "2026-11-27T09:59:59Z", "file": null, "line": null},
                    {"kind": "Ingress", "namespace": "shop", "name": "old", "change": "deleted", "file": "a.yaml", "line": 3},
                ],
                "doors": [
                    {"listener": "a", "event": "changed", "omitted": 4,
                     "hosts": {"appeared": 1, "changed": 0, "gone": 0}, "places": {"appeared": 1, "changed": 5, "gone": 0},
                     "changes": [
                        {"change": "appeared", "host": "a.test", "path": "/x", "path_type": "Prefix", "new_host": true, "aspects": [],
                         "before": null, "after": {"ingress": "shop/web", "service": "shop/app", "port": 80, "state": "ready",
                                                   "filters": ["basic-auth"], "canary": null}},
                        {"change": "changed", "host": "*", "path": "/", "path_type": "Default", "new_host": false, "aspects": ["state"],
                         "before": {"ingress": "shop/rest", "state": "blocked"}, "after": {"state": "redirect"}},
                     ]},
                    {"listener": "b", "event": "opened", "omitted": 9,
                     "hosts": {"appeared": 3}, "places": {"appeared": 9}, "changes": []},
                    {"listener": "c", "event": "closed", "of_others": 2},
                ],
            }],
        });
        let expected = "\
2026-11-27T10:00:00.000Z  publication 7
  because  Ingress shop/web changed by kubectl\\u{1b}[2J\\u{202e}-edit at 2026-11-27T09:59:59Z, resource version 48
  because  Ingress shop/old deleted, a.yaml:3
  because  1 more
  a  hosts: 1 new, 0 gone; paths: 1 appeared, 5 changed, 0 gone
    + a.test/x (Prefix)  shop/web to shop/app:80 [basic-auth] ready  NEW HOST
    ~ */ (Default)  shop/rest blocked → redirect (state)
    … and 4 more
  b  opened with 3 hosts, 9 paths
  c  closed
    … and 2 of other namespaces
2 older publications are left out
the journal does not reach back that far: it is complete since 2026-11-27T09:00:00.000Z, and the gateway runs since 2026-11-27T08:00:00.000Z
";
        assert_eq!(in_words(&page), expected);
    }

    #[test]
    fn nothing_is_told_and_nonsense_does_not_panic() {
        let page = json!({"entries": [], "complete": true, "omitted": 0});
        assert_eq!(in_words(&page), "nothing that a door answers has changed\n");
        for page in [
            json!(null),
            json!([1]),
            json!({"entries": [1, {"doors": [{"changes": [null]}], "causes": [[]]}]}),
        ] {
            assert!(in_words(&page).ends_with('\n'));
        }
    }
}
