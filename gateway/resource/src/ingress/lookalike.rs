//! Paths that look like patterns and are none.

/// Whether a path has a character that means something in a regular expression.
pub(super) fn has_pattern_characters(path: &str) -> bool {
    path.contains(['(', ')', '[', ']', '{', '}', '*', '+', '?', '^', '$', '|', '\\'])
}

/// What to write instead of a path that is matched as it is written, although it looks like a pattern.
pub(super) fn advice(path: &str) -> Option<String> {
    // Paths may have a `+` or a `$`: those alone say nothing.
    let begin = path.find(['*', '(', '[', '|', '^']).or_else(|| {
        let has_end = path.len() > 1 && path.ends_with('$');
        has_end.then_some(path.len().saturating_sub(1))
    })?;
    let literal = path.get(..begin).unwrap_or_default();
    let pattern = path.get(begin..).unwrap_or_default();
    let literal = literal
        .strip_suffix('.')
        .filter(|_| pattern == "*")
        .unwrap_or(literal);
    let prefix = match literal.trim_end_matches('/') {
        "" => "/",
        prefix => prefix,
    };
    let regex = "set `blastdoor.dev/path-regex: \"on\"` or `nginx.ingress.kubernetes.io/use-regex: \"true\"`";
    Some(if is_everything(pattern) {
        format!(
            "`{path}` looks like a pattern, and is matched as it is written; write `{prefix}` with `pathType: Prefix` for all \
             that is below it, or {regex}"
        )
    } else {
        format!(
            "`{path}` looks like a pattern, and is matched as it is written; {regex} if it is meant as a regular expression"
        )
    })
}

/// Whether a pattern stands for whatever follows.
fn is_everything(pattern: &str) -> bool {
    matches!(
        pattern,
        "*" | "**"
            | "(.*)"
            | "(.*)$"
            | "(/|$)(.*)"
            | "(/|$)(.*)$"
            | "(/.*)?"
            | "(/.*)"
            | "(/.*)?$"
            | "(|/.*)"
            | "(?:/|$)(.*)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_known_by_their_looks() {
        let table = [
            ("/*", Some("write `/` with")),
            ("/.*", Some("write `/` with")),
            ("/api/*", Some("write `/api` with")),
            ("/api*", Some("write `/api` with")),
            ("/api/.*", Some("write `/api` with")),
            ("/api/(.*)", Some("write `/api` with")),
            ("/x(/|$)(.*)", Some("write `/x` with")),
            ("/v[0-9]+", Some("if it is meant as")),
            ("/(a|b)/c", Some("if it is meant as")),
            ("/^api", Some("if it is meant as")),
            ("/api$", Some("if it is meant as")),
            ("/a*/b", Some("if it is meant as")),
            ("/", None),
            ("/api", None),
            ("/c++", None),
            ("/$metadata", None),
            ("/a.b/~c", None),
            ("$", None),
        ];
        for (path, expected) in table {
            let advice = advice(path);
            assert_eq!(advice.is_some(), expected.is_some(), "{path}: {advice:?}");
            if let (Some(advice), Some(expected)) = (advice, expected) {
                assert!(advice.contains(expected), "{path}: {advice}");
            }
        }
    }
}
