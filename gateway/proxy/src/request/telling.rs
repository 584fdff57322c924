//! What the story of a request learns from filters and attempts. Nothing here runs for requests without one.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Instant;

use door::Filter;
use trace::TraceContext;

use crate::exchange::Failure;
use crate::observe::story::{FilterVerdict, SentHead, Story};
use crate::refusal::Refusal;
use crate::request::filter::Step;
use crate::request::plan::Plan;

/// The fields of the gateway's own whose values a story may show: they say nothing that the gateway has not said itself.
const OWN: [&str; 10] = [
    "host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
    "x-blastdoor-door",
    "traceparent",
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

    /// An attempt begins: the backend is told which span it belongs to.
    pub(crate) fn attempts(&mut self, plan: &mut Plan, endpoint: SocketAddr, head: &mut [u8]) {
        if let Some(context) = self.attempt(endpoint) {
            plan.name_span(context, head);
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
        self.attempted(None, Some(words(refusal, detail)));
    }

    /// An exchange has ended. `answered`: when a head had arrived, and its status. `detail` as in `failed`.
    pub(crate) fn exchanged(
        &mut self,
        answered: Option<(Instant, u16)>,
        failure: Option<&Failure>,
        detail: Option<&str>,
    ) {
        self.attempted(answered, failure.map(|failure| words(&failure.refusal, detail)));
    }
}

fn words(refusal: &Refusal, detail: Option<&str>) -> (&'static str, Option<String>) {
    let detail = detail.map_or_else(|| refusal.words().into_owned(), str::to_owned);
    (refusal.disposition().reason.label(), Some(detail))
}

impl Plan {
    /// Has the head name the span of the next attempt, where a `traceparent` of the gateway's is in it.
    fn name_span(&mut self, context: TraceContext, head: &mut [u8]) {
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
                )
            }
            None => {
                let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
                let mut start = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
                let (method, target) = (start.next(), start.next());
                let target = target.unwrap_or_default();
                let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
                let fields = lines.filter_map(|line| {
                    let colon = line.iter().position(|byte| *byte == b':')?;
                    Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii()))
                });
                sent(method.unwrap_or_default(), path, fields)
            }
        }
    }
}

fn sent<'h>(method: &[u8], path: &[u8], fields: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> SentHead {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut head = SentHead {
        method: text(method),
        path: text(path),
        ..SentHead::default()
    };
    for (name, value) in fields {
        let name: Cow<'_, str> = String::from_utf8_lossy(name);
        let name = name.to_ascii_lowercase();
        if OWN.contains(&&*name) {
            head.own.push((name.clone(), text(value)));
        }
        head.fields.push(name);
    }
    head
}
