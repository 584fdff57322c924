//! Lines of access logs: of nginx and ingress-nginx (`combined`, `upstreaminfo`), of Traefik (CLF and JSON), and this
//! gateway's own.

use http::uri::PathAndQuery;
use serde_json::Value;

/// A request that a log records, as far as it can be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// `GET`, `HEAD` or `OPTIONS`.
    pub method: &'static str,
    /// What the client asked for, without a port; `None` where the log does not say it.
    pub host: Option<String>,
    /// Path, and query where the log has it.
    pub target: String,
}

/// Why a line is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// Its request may change something.
    Unsafe,
    /// It records no request that can be read.
    Malformed(&'static str),
}

/// Methods that change nothing (RFC 9110, section 9.2.1), but for TRACE.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// Longer targets are refused by every gateway.
const LONGEST_TARGET: usize = 16 << 10;

/// The request of a line.
///
/// # Errors
/// When it is not to be sent again, and why.
pub fn recorded(line: &str) -> Result<Recorded, Unusable> {
    let line = line.trim();
    let (method, host, target) = if line.starts_with('{') {
        of_json(line)?
    } else {
        of_text(line)?
    };
    let known = SAFE.iter().find(|safe| **safe == method);
    let Some(method) = known else {
        let is_token = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
        return Err(if is_token {
            Unusable::Unsafe
        } else {
            Unusable::Malformed("it has no method")
        });
    };
    let (of_target, target) = absolute(&target);
    if !target.starts_with('/') {
        return Err(Unusable::Malformed("its path does not begin with `/`"));
    }
    let printable = |byte: u8| byte.is_ascii_graphic();
    // A client would send something else for what is no path, as for `<`, or leave a part out, as after `#`.
    let is_kept = || {
        target
            .parse::<PathAndQuery>()
            .is_ok_and(|path| path.as_str() == target)
    };
    if target.len() > LONGEST_TARGET || !target.bytes().all(printable) || !is_kept() {
        return Err(Unusable::Malformed("its path cannot be sent"));
    }
    let host = of_target.map(str::to_owned).or(host);
    Ok(Recorded {
        method,
        host: host.and_then(|host| usable_host(&host)),
        target: target.to_owned(),
    })
}

/// The host of an absolute target, and the rest.
fn absolute(target: &str) -> (Option<&str>, &str) {
    let rest = target
        .strip_prefix("http://")
        .or_else(|| target.strip_prefix("https://"));
    let Some(rest) = rest else { return (None, target) };
    match rest.find('/') {
        Some(at) => {
            let (host, path) = rest.split_at(at);
            (Some(host), path)
        }
        None => (Some(rest), "/"),
    }
}

/// A host without its port; `None` for what is none.
fn usable_host(host: &str) -> Option<String> {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, _) = rest.split_once(']')?;
            format!("[{address}]")
        }
        None => host.split(':').next()?.to_ascii_lowercase(),
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    (!name.is_empty() && name != "-" && name.len() <= 255 && name.bytes().all(fits)).then_some(name)
}

type Parts = (String, Option<String>, String);

/// `… "GET /path?query HTTP/1.1" 200 …`. The request comes first of what is quoted; the referrer and the agent follow.
fn of_text(line: &str) -> Result<Parts, Unusable> {
    let (_, after) = line
        .split_once('"')
        .ok_or(Unusable::Malformed("it has no quoted request"))?;
    let words: Vec<&str> = quoted(after).split_whitespace().collect();
    match words.as_slice() {
        [method, target, version] if version.starts_with("HTTP/") => {
            Ok(((*method).to_owned(), None, unescaped(target)))
        }
        _ => Err(Unusable::Malformed("what it quotes is no request")),
    }
}

/// The text up to the next quotation mark that no `\` stands before.
fn quoted(text: &str) -> &str {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' if !is_escaped => return text.split_at(at).0,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text
}

/// nginx writes `\x22` for what could be mistaken.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        plain.push_str(before);
        let code = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (code, after.get(2..)) {
            (Some(code), Some(after)) => {
                plain.push(char::from(code));
                rest = after;
            }
            (_, _) => {
                plain.push_str("\\x");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// The names of the fields: of Traefik, of this gateway, and those that are usual in `log-format-upstream` of
/// ingress-nginx.
const METHODS: &[&str] = &["RequestMethod", "method", "request_method", "http.request.method"];
const HOSTS: &[&str] = &[
    "RequestHost",
    "host",
    "vhost",
    "http_host",
    "server_name",
    "server.address",
    "RequestAddr",
];
const TARGETS: &[&str] = &["RequestPath", "request_uri", "uri", "path", "url.path"];
const QUERIES: &[&str] = &["query", "args", "request_query", "query_string", "url.query"];
const REQUESTS: &[&str] = &["request", "RequestLine"];

fn of_json(line: &str) -> Result<Parts, Unusable> {
    let object: Value =
        serde_json::from_str(line).map_err(|_no_json| Unusable::Malformed("it is no JSON"))?;
    let text = |names: &[&str]| {
        let found = names.iter().filter_map(|name| object.get(*name)?.as_str());
        found.map(str::to_owned).find(|text| !text.is_empty())
    };
    let host = text(HOSTS);
    if let (Some(method), Some(mut target)) = (text(METHODS), text(TARGETS)) {
        if !target.contains('?')
            && let Some(query) = text(QUERIES).filter(|query| query != "-")
        {
            target = format!("{target}?{query}");
        }
        return Ok((method, host, target));
    }
    let request = text(REQUESTS).ok_or(Unusable::Malformed("it names no request"))?;
    let (method, _, target) = of_text(&format!("\"{request}\""))?;
    Ok((method, host, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &'static str, host: Option<&str>, target: &str) -> Result<Recorded, Unusable> {
        Ok(Recorded {
            method,
            host: host.map(str::to_owned),
            target: target.to_owned(),
        })
    }

    #[test]
    fn lines_of_each_log_are_read() {
        let table = [
            // nginx, combined
            (
                r#"192.0.2.1 - - [27/Nov/2026:20:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 612 "-" "curl/8.0""#,
                request("GET", None, "/a?b=c"),
            ),
            // ingress-nginx, upstreaminfo
            (
                r#"192.0.2.1 - alice [27/Nov/2026:20:00:00 +0000] "HEAD /x HTTP/2.0" 200 0 "https://a/" "Mozilla/5.0" 120 0.004 [shop-web-80] [] 10.0.0.1:8080 0 0.004 200 6f5902ac237024bdd0c176cb93063dc4"#,
                request("HEAD", None, "/x"),
            ),
            // Traefik, CLF
            (
                r#"10.42.0.1 - - [27/Nov/2026:20:00:00 +0000] "OPTIONS / HTTP/1.1" 404 19 "-" "-" 1 "-" "-" 0ms"#,
                request("OPTIONS", None, "/"),
            ),
            // Traefik, JSON
            (
                r#"{"ClientAddr":"10.42.0.1:1","DownstreamStatus":200,"RequestHost":"App.test","RequestAddr":"app.test:8443","RequestMethod":"GET","RequestPath":"/p?q","RequestProtocol":"HTTP/1.1","level":"info"}"#,
                request("GET", Some("app.test"), "/p?q"),
            ),
            // This gateway's own, without queries
            (
                r#"{"time":"2026-11-27T20:00:00Z","listener":"external-https","client":"192.0.2.1","method":"GET","host":"app.test:443","path":"/p","status":200}"#,
                request("GET", Some("app.test"), "/p"),
            ),
            // ingress-nginx with a format of its own
            (
                r#"{"vhost": "a.test", "request_uri": "/x", "args": "y=1", "request_method": "GET"}"#,
                request("GET", Some("a.test"), "/x?y=1"),
            ),
            (
                r#"{"host": "a.test", "request": "GET /x HTTP/1.1"}"#,
                request("GET", Some("a.test"), "/x"),
            ),
            // Proxies get absolute targets.
            (
                r#"- - - [t] "GET http://b.test:80 HTTP/1.1" 200"#,
                request("GET", Some("b.test"), "/"),
            ),
            (r#"- "GET /a\x22b HTTP/1.1" 200"#, request("GET", None, "/a\"b")),
            (
                r#"{"host": "a b", "method": "GET", "path": "/"}"#,
                request("GET", None, "/"),
            ),
            (r#"- "POST / HTTP/1.1" 200"#, Err(Unusable::Unsafe)),
            (r#"- "TRACE / HTTP/1.1" 200"#, Err(Unusable::Unsafe)),
            (
                r#"- "\x16\x03\x01" 400"#,
                Err(Unusable::Malformed("what it quotes is no request")),
            ),
            (
                r#"- "GET * HTTP/1.1" 400"#,
                Err(Unusable::Malformed("its path does not begin with `/`")),
            ),
            (
                "- \"GET /\u{e9} HTTP/1.1\" 200",
                Err(Unusable::Malformed("its path cannot be sent")),
            ),
            // What HTTP does not allow in a path would be sent as another one.
            (
                r#"- "GET /<script> HTTP/1.1" 400"#,
                Err(Unusable::Malformed("its path cannot be sent")),
            ),
            (
                r#"- "GET /a?b=<c> HTTP/1.1" 400"#,
                Err(Unusable::Malformed("its path cannot be sent")),
            ),
            (
                r#"{"host": "a.test", "method": "GET", "path": "/a#b"}"#,
                Err(Unusable::Malformed("its path cannot be sent")),
            ),
            ("", Err(Unusable::Malformed("it has no quoted request"))),
            ("{", Err(Unusable::Malformed("it is no JSON"))),
            ("{}", Err(Unusable::Malformed("it names no request"))),
        ];
        for (line, expected) in table {
            assert_eq!(recorded(line), expected, "{line}");
        }
    }
}
