//! From a story to spans: one for the request, and one for each attempt at a backend. The attributes are those of
//! OpenTelemetry's semantic conventions for HTTP, where there is one. No query and no value of a field is among them.

use std::borrow::Cow;
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
    state(span, story);
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
        // The resource's `k8s.namespace.name` is that of the gateway.
        span.set("blastdoor.ingress.namespace", &*rule.namespace);
        span.set("blastdoor.ingress.name", &*rule.name);
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
    if let Some(error) = error(story) {
        span.set("error.type", &*error);
        span.status(Status::Error, story.detail.as_deref().unwrap_or_default());
    }
}

/// Which error of the server a request is. What the client did wrong is none, nor that it has left. What was cut is one,
/// whatever status had been sent.
fn error(story: &Story) -> Option<Cow<'static, str>> {
    let refusal = story.refusal.filter(|_| !story.is_clients_fault);
    let is_backends = |status| {
        let last = story.attempts.last();
        matches!(status, 0..=299) || last.is_some_and(|attempt| attempt.status == Some(status))
    };
    match refusal {
        Some(refusal) if story.status >= 500 || is_backends(story.status) => Some(Cow::Borrowed(refusal)),
        None if story.status >= 500 => Some(Cow::Owned(story.status.to_string())),
        Some(_) | None => None,
    }
}

fn client(span: &mut Span<'_>, story: &Story, attempt: &AttemptStep, number: usize) {
    let method = method(story);
    span.name(span_method(method));
    span.set("http.request.method", method);
    state(span, story);
    span.set("url.full", &*attempt.url);
    span.set("url.path", &*story.path);
    span.set("network.protocol.name", "http");
    span.set("network.protocol.version", attempt.version);
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
    let (error, status) = fault(attempt);
    if let Some(error) = error {
        span.set("error.type", &*error);
    }
    span.status(status, attempt.detail.as_deref().unwrap_or_default());
}

/// What went wrong with an attempt, and whether it is an error: the backend has no part in what the client did. To whoever has
/// asked, 4xx is an error as well.
fn fault(attempt: &AttemptStep) -> (Option<Cow<'static, str>>, Status) {
    let status = attempt.status.filter(|status| *status >= 400);
    let is_error = status.is_some() || attempt.fault.is_some() && !attempt.is_clients_fault;
    let error = match (attempt.fault, status) {
        (Some(fault), _) => Some(Cow::Borrowed(fault)),
        (None, Some(status)) => Some(Cow::Owned(status.to_string())),
        (None, None) => None,
    };
    (error, if is_error { Status::Error } else { Status::Unset })
}

fn state(span: &mut Span<'_>, story: &Story) {
    if let Some(state) = &story.state {
        span.trace_state(state);
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

/// A host and the port behind it. An IPv6 address is without its brackets, as OpenTelemetry has addresses.
fn split_port(host: &str) -> (&str, Option<u16>) {
    let (name, port) = split(host);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    (address.unwrap_or(name), port)
}

fn split(host: &str) -> (&str, Option<u16>) {
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
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Instant;

    use route::ListenerName;
    use trace::{SpanId, TraceContext, TraceId};

    use super::*;
    use crate::observe::story::{Beginning, Fault};

    fn story() -> Box<Story> {
        story_of(b"/")
    }

    fn story_of(path: &[u8]) -> Box<Story> {
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        Story::new(Beginning {
            started: Instant::now(),
            listener: &"external-http".parse::<ListenerName>().unwrap(),
            client: address,
            peer: address,
            version: "1.1",
            scheme: "http",
            tls: None,
            method: b"GET",
            host: b"a.test",
            path,
            request_id: b"1",
            amazon_trace: None,
            state: Some("a=1,b=2".to_owned()),
            trace: Some((TraceContext::new(TraceId::new(1), SpanId::new(2), true), None)),
            watcher: None,
        })
    }

    /// A request with this status, ended for this reason, whose attempt has got this status and failed with it, if it has.
    fn ended(
        refusal: Option<&'static str>,
        is_clients: bool,
        status: u16,
        backends: Option<u16>,
    ) -> Box<Story> {
        let mut story = story();
        story.attempt(SocketAddr::from(([127, 0, 0, 1], 80)));
        let fault = refusal.map(|label| Fault {
            label,
            detail: String::new(),
            is_clients,
        });
        story.attempted(backends.map(|status| (Instant::now(), status)), fault);
        (story.refusal, story.is_clients_fault, story.status) = (refusal, is_clients, status);
        story
    }

    #[test]
    fn a_client_that_leaves_is_no_error() {
        const LEFT: Option<&str> = Some("client_gone");
        const CUT: Option<&str> = Some("upstream_truncated");
        let (fine, error) = (Status::Unset, Status::Error);
        for (story, of_server, of_attempt) in [
            (ended(LEFT, true, 200, Some(200)), None, (LEFT, fine)),
            (ended(LEFT, true, 499, None), None, (LEFT, fine)),
            (ended(LEFT, true, 0, None), None, (LEFT, fine)),
            (ended(LEFT, true, 500, Some(500)), Some("500"), (LEFT, error)),
            (ended(CUT, false, 200, Some(200)), CUT, (CUT, error)),
            (ended(CUT, false, 404, Some(404)), CUT, (CUT, error)),
            (ended(CUT, false, 502, None), CUT, (CUT, error)),
            (ended(None, false, 404, Some(404)), None, (Some("404"), error)),
            (
                ended(None, false, 503, Some(503)),
                Some("503"),
                (Some("503"), error),
            ),
            (ended(None, false, 200, Some(200)), None, (None, fine)),
        ] {
            assert_eq!(super::error(&story).as_deref(), of_server, "{story:?}");
            let (found, status) = fault(&story.attempts[0]);
            assert_eq!((found.as_deref(), status), of_attempt, "{story:?}");
        }
        // A rule refuses it: nothing has been cut.
        let mut story = story();
        (story.refusal, story.status) = (Some("redirect"), 308);
        assert_eq!(super::error(&story), None);
    }

    #[test]
    fn what_vendors_have_added_goes_with_each_span() {
        let state = b"\x1a\x07a=1,b=2";
        let spans = spans(&ended(None, false, 200, Some(200))).unwrap();
        let found = spans
            .bytes()
            .windows(state.len())
            .filter(|window| window == state);
        assert_eq!((found.count(), spans.count()), (2, 2));
    }

    #[test]
    fn a_story_keeps_no_more_than_a_span_has() {
        assert_eq!(story_of(&[b'x'; 5000]).path.len(), 1024);
    }

    #[test]
    fn a_host_may_have_a_port() {
        for (host, expected) in [
            ("a.test", ("a.test", None)),
            ("a.test:8080", ("a.test", Some(8080))),
            ("[::1]:80", ("::1", Some(80))),
            ("[::1]", ("::1", None)),
            ("::1", ("::1", None)),
            ("a.test:x", ("a.test:x", None)),
        ] {
            assert_eq!(split_port(host), expected, "{host}");
        }
    }
}
