//! What the story of a request learns from filters and attempts. Nothing here runs for requests without one.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Instant;

use door::{Filter, UpstreamProtocol};
use trace::TraceContext;

use crate::exchange::Failure;
use crate::observe::story::{Fault, FilterVerdict, SentHead, Story, text};
use crate::refusal::{Refusal, Side};
use crate::request::filter::Step;
use crate::request::plan::Plan;

/// The fields of the gateway's own whose values a story may show, beside its `traceparent`.
const OWN: [&str; 9] = [
    "host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
    "x-blastdoor-door",
    "content-length",
];

/// What a filter is called.
fn kind(filter: &Filter) -> &'static str {
    match filter {
        Filter::Redirect(_) => "redirect",
        Filter::Path(_) => "path",
        Filter::UpstreamHost(_) => "upstream_host",
        Filter::Deny(_) => "deny",
        Filter::Allow(_) => "allow",
        Filter::RateLimit(_) => "rate_limit",
        Filter::Headers(_) => "headers",
        Filter::Password(_) => "basic_auth",
        Filter::Errors(_) => "error_pages",
        Filter::Fallback(_) => "fallback",
        Filter::ForwardAuth(_) => "forward_auth",
    }
}

fn verdict(step: &Step) -> FilterVerdict {
    match step {
        Step::Pass => FilterVerdict::Passed,
        Step::Answer(_) => FilterVerdict::Answered,
        Step::Wait(_) | Step::Body(_) => FilterVerdict::Waiting,
    }
}

impl Story {
    /// A filter has had its turn. One that needs the body has it again.
    pub(crate) fn stepped(&mut self, filter: &Filter, began: Instant, step: &Step) {
        if !matches!(step, Step::Body(_)) {
            self.filter(kind(filter), began, verdict(step));
        }
    }

    /// The filter that was waiting has gone on.
    pub(crate) fn settled(&mut self, step: &Step) {
        self.filter_settled(verdict(step));
    }

    /// An attempt begins: the backend is told which span it belongs to. `head`: what is sent to a backend that speaks HTTP/1,
    /// which at another attempt is more than the head: the part of the body that has been read stands behind it.
    pub(crate) fn attempts(&mut self, plan: &mut Plan, endpoint: SocketAddr, head: &mut [u8]) {
        let head_length = head_length(head);
        let head = head.get_mut(..head_length).unwrap_or_default();
        if let Some(context) = self.attempt(endpoint) {
            plan.name_span(context, head);
            if let Some(attempt) = self.attempts.last_mut() {
                (attempt.version, attempt.url) = plan.sends(endpoint, head);
            }
        }
        if let Some(rule) = &mut self.rule {
            let upstream = &plan.upstream;
            rule.service = Some(format!("{}:{}", upstream.service, upstream.port));
        }
        if self.is_watched() {
            self.sent = Some(plan.sent(head));
        }
    }

    /// An attempt has failed. `detail` is what is known of it, if that is more than the refusal says.
    pub(crate) fn failed(&mut self, refusal: &Refusal, detail: Option<&str>) {
        self.attempted(None, Some(fault(refusal, detail)));
    }

    /// An exchange has ended. `answered`: when a head had arrived, and its status. `detail` as in `failed`.
    pub(crate) fn exchanged(
        &mut self,
        answered: Option<(Instant, u16)>,
        failure: Option<&Failure>,
        detail: Option<&str>,
    ) {
        self.attempted(answered, failure.map(|failure| fault(&failure.refusal, detail)));
    }
}

fn fault(refusal: &Refusal, detail: Option<&str>) -> Fault {
    let disposition = refusal.disposition();
    Fault {
        label: disposition.reason.label(),
        detail: detail.map_or_else(|| refusal.words().into_owned(), str::to_owned),
        is_clients: disposition.side == Side::Client,
    }
}

/// The length of the HTTP/1 head at the beginning of this, without the empty line; all of it if no head ends in it.
fn head_length(sent: &[u8]) -> usize {
    let end = sent.windows(4).position(|window| window == b"\r\n\r\n");
    end.map_or(sent.len(), |end| end + 2)
}

/// The method and the path of an HTTP/1 head.
fn start_line(head: &[u8]) -> (&[u8], &[u8]) {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target) = (parts.next(), parts.next());
    let target = target.unwrap_or_default();
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    (method.unwrap_or_default(), path)
}

impl Plan {
    /// Has the head name the span of the next attempt, where a `traceparent` of the gateway's is in it.
    fn name_span(&mut self, context: TraceContext, head: &mut [u8]) {
        if !self.names_trace {
            return;
        }
        let mut value = Vec::with_capacity(trace::context::LENGTH);
        context.write(&mut value);
        match &mut self.message {
            Some(message) => {
                if let Some(field) = message.headers_mut().get_mut("traceparent")
                    && let Ok(value) = http::HeaderValue::from_bytes(&value)
                {
                    *field = value;
                }
            }
            None => {
                const NAME: &[u8] = b"\r\ntraceparent: ";
                let start = head.windows(NAME.len()).position(|window| window == NAME);
                let old = start.and_then(|start| head.get_mut(start + NAME.len()..)?.get_mut(..value.len()));
                if let Some(old) = old {
                    old.copy_from_slice(&value);
                }
            }
        }
    }

    /// The version of HTTP that the backend gets, and what it is asked for, without the query.
    fn sends(&self, endpoint: SocketAddr, head: &[u8]) -> (&'static str, String) {
        let scheme = match self.upstream.protocol {
            UpstreamProtocol::Tls(_) => "https",
            UpstreamProtocol::Http1 | UpstreamProtocol::H2c => "http",
        };
        let (version, path) = match &self.message {
            Some(message) => ("2", message.uri().path().as_bytes()),
            None => ("1.1", start_line(head).1),
        };
        // `OPTIONS *` has none.
        let path = if path == b"*" { &[] } else { path };
        (version, format!("{scheme}://{endpoint}{}", text(path)))
    }

    /// The head for the backend, without the values of the client's fields and without the query.
    fn sent(&self, head: &[u8]) -> SentHead {
        match &self.message {
            Some(message) => {
                let authority = message.uri().authority().map(|host| host.as_str().as_bytes());
                let fields = message.headers().iter();
                let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
                let host = authority.map(|host| (&b"host"[..], host));
                sent(
                    message.method().as_str().as_bytes(),
                    message.uri().path().as_bytes(),
                    host.into_iter().chain(fields),
                    self.names_trace,
                )
            }
            None => {
                let (method, path) = start_line(head);
                let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
                let fields = lines.skip(1).filter_map(|line| {
                    let colon = line.iter().position(|byte| *byte == b':')?;
                    Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
                });
                sent(method, path, fields, self.names_trace)
            }
        }
    }
}

/// `names_trace`: a `traceparent` in it is the gateway's.
fn sent<'h>(
    method: &[u8],
    path: &[u8],
    fields: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    names_trace: bool,
) -> SentHead {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut head = SentHead {
        method: text(method),
        path: text(path),
        ..SentHead::default()
    };
    for (name, value) in fields {
        let name: Cow<'_, str> = String::from_utf8_lossy(name);
        let name = name.to_ascii_lowercase();
        if OWN.contains(&&*name) || names_trace && name == "traceparent" {
            head.own.push((name.clone(), text(value)));
        }
        head.fields.push(name);
    }
    head
}
