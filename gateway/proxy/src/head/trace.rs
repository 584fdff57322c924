//! Which trace a request belongs to, at a door that traces.

use trace::{SpanId, TraceContext, TraceId, is_tracestate};
use wire::{Field, RequestHead};

use crate::head::identity::{Identity, RequestId};
use crate::settings::{Parents, Settings, Tracing};

const TRACEPARENT: &[u8] = b"traceparent";
const TRACESTATE: &[u8] = b"tracestate";
const BAGGAGE: &[u8] = b"baggage";

/// The trace of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    /// Of the gateway's span. Where none is recorded, of the client's, or of one that nobody records.
    pub(crate) context: TraceContext,
    /// The client's span, where the trace is continued.
    pub(crate) parent: Option<SpanId>,
    /// What vendors have added to the client's context goes on with it.
    keeps_state: bool,
    /// The client's context is believed, and so is what the application has added to it.
    keeps_baggage: bool,
}

impl Trace {
    /// Continues the client's trace, or begins one.
    #[cold]
    pub(crate) fn of(
        tracing: Tracing,
        settings: &Settings,
        identity: &Identity,
        request: &RequestHead,
        head: &[u8],
    ) -> Self {
        let trusted = identity.is_of_trusted(settings, request, head);
        // One number names both, so that whoever has one of them finds the other.
        let number = || match identity.request_id {
            RequestId::Made(number) => number,
            RequestId::Kept(_) => fastrand::u128(..),
        };
        let believes = match tracing.parents {
            Parents::Trusted => trusted,
            Parents::Any => true,
            Parents::None => false,
        };
        let parent = believes.then(|| parent(request, head)).flatten();
        // A client that is not trusted may say which trace it is, but not that it is recorded.
        let is_sampled = match parent {
            Some(parent) if trusted => parent.is_sampled(),
            Some(_) | None => tracing.sample.takes_one(),
        };
        let own = || SpanId::new(fastrand::u64(..));
        match parent {
            Some(parent) => Self {
                context: parent.continued(if is_sampled { own() } else { parent.span }, is_sampled),
                parent: Some(parent.span),
                keeps_state: is_tracestate(values(request, head, TRACESTATE)),
                keeps_baggage: believes,
            },
            None => Self {
                context: TraceContext::new(TraceId::new(number()), own(), is_sampled),
                parent: None,
                keeps_state: false,
                keeps_baggage: believes,
            },
        }
    }

    /// What vendors have added to the client's context, if it goes on. All of its fields are one list.
    pub(crate) fn state(&self, request: &RequestHead, head: &[u8]) -> Option<String> {
        if !self.keeps_state {
            return None;
        }
        let values: Vec<_> = values(request, head, TRACESTATE)
            .map(String::from_utf8_lossy)
            .collect();
        Some(values.join(","))
    }

    /// Whether a client's field of this name is dropped: the gateway's own context stands in its place, or nothing does.
    pub(crate) fn replaces(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(TRACEPARENT)
            || !self.keeps_state && name.eq_ignore_ascii_case(TRACESTATE)
            || !self.keeps_baggage && name.eq_ignore_ascii_case(BAGGAGE)
    }
}

/// What the client's only `traceparent` says. Of two, neither counts.
fn parent(request: &RequestHead, head: &[u8]) -> Option<TraceContext> {
    let mut values = values(request, head, TRACEPARENT);
    match (values.next(), values.next()) {
        (Some(value), None) => TraceContext::parse(value),
        _ => None,
    }
}

fn values<'h>(
    request: &'h RequestHead,
    head: &'h [u8],
    name: &'static [u8],
) -> impl Iterator<Item = &'h [u8]> {
    let is_named = move |field: &&Field| field.name.of(head).eq_ignore_ascii_case(name);
    request
        .fields
        .iter()
        .filter(is_named)
        .map(|field| field.value.of(head))
}
