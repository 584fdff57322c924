//! From a story to spans: one for the request, and one for each attempt at a backend. The attributes are those of
//! OpenTelemetry's semantic conventions for HTTP, where there is one. No query and no value of a field is among them.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use trace::{Kind, Span, SpanBytes, Status, Value};

use crate::observe::story::{AttemptStep, Story};

/// The methods that attributes may name (RFC 9110, RFC 5789): others could be any number.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// Another method.
const OTHER: &str = "_OTHER";

/// The spans of a request that is traced.
pub(crate) fn spans(story: &Story) -> Option<SpanBytes> {
    let (context, parent) = story.trace.filter(|(context, _)| context.is_sampled())?;
    let mut spans = SpanBytes::default();
    let times = [at(story, Duration::ZERO), at(story, story.ended)];
    let parent = parent.map(|parent| (parent, true));
    spans.add(context, parent, Kind::Server, times, |span| server(span, story));
    for (number, attempt) in story.attempts.iter().enumerate() {
        let times = [at(story, attempt.at), at(story, attempt.ended)];
        let own = context.continued(attempt.span, true);
        spans.add(own, Some((context.span, false)), Kind::Client, times, |span| {
            client(span, story, attempt, number);
        });
    }
    Some(spans)
}

/// Nanoseconds since 1970.
fn at(story: &Story, offset: Duration) -> u64 {
    let start = story.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from((start + offset).as_nanos()).unwrap_or(u64::MAX)
}

fn server(span: &mut Span<'_>, story: &Story) {
    let method = method(story);
    let route = story.rule.as_ref().and_then(|rule| rule.path.as_deref());
    match route {
        Some(route) => span.name(&format!("{} {route}", span_method(method))),
        None => span.name(span_method(method)),
    }
    span.set("http.request.method", method);
    if method == OTHER {
        span.set("http.request.method_original", &*story.method);
    }
    span.set("url.scheme", story.scheme);
    span.set("url.path", &*story.path);
    let (host, port) = split_port(&story.host);
    if !host.is_empty() {
        span.set("server.address", host);
    }
    if let Some(port) = port {
        span.set("server.port", port);
    }
    span.set("client.address", &*story.client.to_string());
    span.set("network.peer.address", &*story.peer.to_string());
    span.set("network.protocol.name", "http");
    span.set("network.protocol.version", story.version);
    if let Some(version) = story.tls {
        span.set("tls.protocol.name", "tls");
        span.set("tls.protocol.version", version);
    }
    if let Some(route) = route {
        span.set("http.route", route);
    }
    if story.status != 0 {
        span.set("http.response.status_code", story.status);
    }
    span.set("http.request.body.size", story.bytes_in);
    span.set("http.response.body.size", story.bytes_out);
    span.set("blastdoor.door", story.listener.as_str());
    span.set("blastdoor.request_id", &*story.request_id);
    if let Some(rule) = &story.rule {
        span.set("k8s.namespace.name", &*rule.namespace);
        span.set("k8s.ingress.name", &*rule.name);
        if let Some(service) = &rule.service {
            span.set("blastdoor.service", &**service);
        }
    }
    if let Some(amazon) = &story.amazon_trace {
        span.set("aws.amzn_trace_id", &**amazon);
    }
    if let Some(decided) = story.decided {
        span.event(at(story, decided), "decided", &[]);
    }
    for filter in &story.filters {
        let micros = u64::try_from(filter.took.as_micros()).unwrap_or(u64::MAX);
        let attributes = [
            ("blastdoor.filter", Value::from(filter.kind)),
            ("blastdoor.filter.verdict", Value::from(filter.verdict.as_str())),
            ("blastdoor.filter.duration_us", Value::from(micros)),
        ];
        span.event(at(story, filter.at), "filter", &attributes);
    }
    if let Some(refusal) = story.refusal {
        span.set("blastdoor.refusal", refusal);
    }
    // What the client did wrong is no error of the server. What was cut is one, whatever status had been sent.
    let is_cut = story.refusal.is_some() && matches!(story.status, 0..=299);
    if story.status >= 500 || is_cut {
        match story.refusal {
            Some(refusal) => span.set("error.type", refusal),
            None => span.set("error.type", &*story.status.to_string()),
        }
        span.status(Status::Error, story.detail.as_deref().unwrap_or_default());
    }
}

fn client(span: &mut Span<'_>, story: &Story, attempt: &AttemptStep, number: usize) {
    let method = method(story);
    span.name(span_method(method));
    span.set("http.request.method", method);
    span.set("url.path", &*story.path);
    peer(span, attempt.endpoint);
    if let Some(status) = attempt.status {
        span.set("http.response.status_code", status);
    }
    if number > 0 {
        span.set("http.request.resend_count", number as u64);
    }
    span.set("blastdoor.connection.kept", Value::Truth(attempt.kept));
    if let Some(connected) = attempt.connected.filter(|_| !attempt.kept) {
        span.event(at(story, connected), "connected", &[]);
    }
    if let Some(first_byte) = attempt.first_byte {
        span.event(at(story, first_byte), "response head", &[]);
    }
    match (attempt.fault, attempt.status) {
        (Some(fault), _) => {
            span.set("error.type", fault);
            span.status(Status::Error, attempt.detail.as_deref().unwrap_or_default());
        }
        // To whoever has asked, 4xx is an error as well.
        (None, Some(status)) if status >= 400 => {
            span.set("error.type", &*status.to_string());
            span.status(Status::Error, "");
        }
        (None, _) => {}
    }
}

fn peer(span: &mut Span<'_>, endpoint: SocketAddr) {
    let address = endpoint.ip().to_string();
    span.set("server.address", &*address);
    span.set("server.port", endpoint.port());
    span.set("network.peer.address", &*address);
    span.set("network.peer.port", endpoint.port());
}

fn method(story: &Story) -> &str {
    METHODS
        .into_iter()
        .find(|known| *known == story.method)
        .unwrap_or(OTHER)
}

/// In the name of a span.
fn span_method(method: &str) -> &str {
    if method == OTHER { "HTTP" } else { method }
}

/// A host and the port behind it.
fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::split_port;

    #[test]
    fn a_host_may_have_a_port() {
        for (host, expected) in [
            ("a.test", ("a.test", None)),
            ("a.test:8080", ("a.test", Some(8080))),
            ("[::1]:80", ("[::1]", Some(80))),
            ("[::1]", ("[::1]", None)),
            ("::1", ("::1", None)),
            ("a.test:x", ("a.test:x", None)),
        ] {
            assert_eq!(split_port(host), expected, "{host}");
        }
    }
}
