//! What happened to one request, step by step: what its trace says, and what whoever waits for it at the admin port reads.
//!
//! Only requests that are traced or waited for have one.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use route::ListenerName;
use tokio::sync::oneshot;
use trace::{SpanId, TraceContext, TraceId};

/// Steps of one kind that a story tells; what is beyond is left out.
const MOST_STEPS: usize = 64;

/// Longest text of the client's that a story keeps, in bytes; what is longer is cut, as it is in a span.
const LONGEST_TEXT: usize = 1024;

/// What the client has sent, as far as a story keeps it.
pub(crate) fn text(bytes: &[u8]) -> String {
    let kept = bytes.get(..LONGEST_TEXT).unwrap_or(bytes);
    String::from_utf8_lossy(kept).into_owned()
}

/// One request, from its first byte to its end. All durations but those called `took` count from its beginning.
#[derive(Debug)]
pub struct Story {
    started: Instant,
    /// When it began.
    pub time: SystemTime,
    /// The door.
    pub listener: ListenerName,
    /// The client, as the door determines it.
    pub client: IpAddr,
    /// The other end of the connection, or who a PROXY header says it is.
    pub peer: IpAddr,
    /// The version of HTTP: `1.0`, `1.1` or `2`.
    pub version: &'static str,
    /// The scheme of the door.
    pub scheme: &'static str,
    /// The version of TLS, if the door has ended it.
    pub tls: Option<&'static str>,
    /// As the client has sent it.
    pub method: String,
    /// As the client has sent it.
    pub host: String,
    /// As the client has sent it, without the query.
    pub path: String,
    /// The request's id.
    pub request_id: String,
    /// What a load balancer of AWS calls it.
    pub amazon_trace: Option<String>,
    /// What vendors have added to the trace, if it is recorded.
    pub(crate) state: Option<String>,
    /// The trace, and the span above the gateway's own.
    pub(crate) trace: Option<(TraceContext, Option<SpanId>)>,
    /// When its head was complete.
    pub head: Duration,
    /// When the door's table had decided.
    pub decided: Option<Duration>,
    /// The rule that decided.
    pub rule: Option<StoryRule>,
    /// What the filters did, in their order.
    pub filters: Vec<FilterStep>,
    /// Each attempt at a backend.
    pub attempts: Vec<AttemptStep>,
    /// What the backend got, if somebody waits for the story.
    pub sent: Option<SentHead>,
    /// The status that the client got; 0 for none.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// Why the gateway answered itself or cut the exchange.
    pub refusal: Option<&'static str>,
    /// The same in words.
    pub detail: Option<String>,
    /// The client is at fault, or has left.
    pub(crate) is_clients_fault: bool,
    /// When it ended.
    pub ended: Duration,
    /// Whoever waits for it.
    pub(crate) watcher: Option<oneshot::Sender<Box<Story>>>,
}

/// The rule that decided on a request.
#[derive(Debug, Clone)]
pub struct StoryRule {
    /// The Ingress, as `namespace/name`.
    pub ingress: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The host of the rule; empty for all.
    pub host: String,
    /// The path of the rule; `None` for what other rules leave.
    pub path: Option<String>,
    /// The Service, as `namespace/name:port`, once it is chosen.
    pub service: Option<String>,
}

/// One filter.
#[derive(Debug, Clone)]
pub struct FilterStep {
    /// What kind of filter.
    pub kind: &'static str,
    /// When it had its turn.
    pub at: Duration,
    /// How long it took, with what it waited for.
    pub took: Duration,
    /// What it did.
    pub verdict: FilterVerdict,
}

/// What a filter did with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterVerdict {
    /// It let it pass.
    Passed,
    /// It answered it.
    Answered,
    /// It was still waiting when the request ended.
    Waiting,
}

/// One attempt at a backend.
#[derive(Debug, Clone)]
pub struct AttemptStep {
    pub(crate) span: SpanId,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// When it began.
    pub at: Duration,
    /// Whether the connection had carried requests before.
    pub kept: bool,
    /// When there was a connection, its TLS included.
    pub connected: Option<Duration>,
    /// When the head of the response had arrived.
    pub first_byte: Option<Duration>,
    /// When it was over.
    pub ended: Duration,
    /// The status that the backend answered.
    pub status: Option<u16>,
    /// Why it failed.
    pub fault: Option<&'static str>,
    /// The same in words.
    pub detail: Option<String>,
    /// It failed because of the client.
    pub(crate) is_clients_fault: bool,
    /// The version of HTTP that the backend gets, and what it is asked for, without the query, if the attempt is traced.
    pub(crate) version: &'static str,
    pub(crate) url: String,
}

/// Why an attempt has failed.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) label: &'static str,
    pub(crate) detail: String,
    /// The client is at fault, or has left.
    pub(crate) is_clients: bool,
}

/// The head that a backend got, without what it must not tell anybody else.
#[derive(Debug, Clone, Default)]
pub struct SentHead {
    /// The method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The names of all fields, in lower case and in their order.
    pub fields: Vec<String>,
    /// The gateway's own fields about the client and the request, with their values.
    pub own: Vec<(String, String)>,
}

impl FilterVerdict {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Answered => "answered",
            Self::Waiting => "waiting",
        }
    }
}

/// What is known of a request when its head has been read.
pub(crate) struct Beginning<'a> {
    pub(crate) started: Instant,
    pub(crate) listener: &'a ListenerName,
    pub(crate) client: IpAddr,
    pub(crate) peer: IpAddr,
    pub(crate) version: &'static str,
    pub(crate) scheme: &'static str,
    pub(crate) tls: Option<&'static str>,
    pub(crate) method: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) request_id: &'a [u8],
    pub(crate) amazon_trace: Option<&'a [u8]>,
    pub(crate) state: Option<String>,
    pub(crate) trace: Option<(TraceContext, Option<SpanId>)>,
    pub(crate) watcher: Option<oneshot::Sender<Box<Story>>>,
}

impl Story {
    pub(crate) fn new(beginning: Beginning<'_>) -> Box<Self> {
        #[expect(clippy::disallowed_methods, reason = "a trace has the time of day")]
        let now = SystemTime::now();
        let head = beginning.started.elapsed();
        Box::new(Self {
            started: beginning.started,
            time: now.checked_sub(head).unwrap_or(now),
            listener: beginning.listener.clone(),
            client: beginning.client,
            peer: beginning.peer,
            version: beginning.version,
            scheme: beginning.scheme,
            tls: beginning.tls,
            method: text(beginning.method),
            host: text(beginning.host),
            path: text(beginning.path),
            request_id: text(beginning.request_id),
            amazon_trace: beginning.amazon_trace.map(text),
            state: beginning.state,
            trace: beginning.trace,
            head,
            decided: None,
            rule: None,
            filters: Vec::new(),
            attempts: Vec::new(),
            sent: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            refusal: None,
            detail: None,
            is_clients_fault: false,
            ended: Duration::ZERO,
            watcher: beginning.watcher,
        })
    }

    /// The trace that it belongs to, at a door that traces.
    #[must_use]
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace.map(|(context, _)| context.trace)
    }

    /// Whether its spans go to a collector.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.trace.is_some_and(|(context, _)| context.is_sampled())
    }

    /// Whether somebody waits for it.
    pub(crate) fn is_watched(&self) -> bool {
        self.watcher.is_some()
    }

    fn since(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.started)
    }

    pub(crate) fn has_decided(&mut self) {
        self.decided = Some(self.started.elapsed());
    }

    /// A filter has had its turn.
    pub(crate) fn filter(&mut self, kind: &'static str, began: Instant, verdict: FilterVerdict) {
        if self.filters.len() < MOST_STEPS {
            let (at, took) = (self.since(began), began.elapsed());
            self.filters.push(FilterStep {
                kind,
                at,
                took,
                verdict,
            });
        }
    }

    /// The filter that was waiting has gone on.
    pub(crate) fn filter_settled(&mut self, verdict: FilterVerdict) {
        let now = self.started.elapsed();
        if let Some(step) = self.filters.last_mut()
            && step.verdict == FilterVerdict::Waiting
        {
            step.verdict = verdict;
            step.took = now.saturating_sub(step.at);
        }
    }

    /// An attempt begins. Returns its context, if it is traced.
    pub(crate) fn attempt(&mut self, endpoint: SocketAddr) -> Option<TraceContext> {
        let now = self.started.elapsed();
        let span = SpanId::new(fastrand::u64(..));
        self.attempts.truncate(MOST_STEPS - 1);
        self.attempts.push(AttemptStep {
            span,
            endpoint,
            at: now,
            kept: false,
            connected: None,
            first_byte: None,
            ended: now,
            status: None,
            fault: None,
            detail: None,
            is_clients_fault: false,
            version: "",
            url: String::new(),
        });
        let (context, _) = self.trace.filter(|(context, _)| context.is_sampled())?;
        Some(context.continued(span, true))
    }

    /// It has a connection.
    pub(crate) fn connected(&mut self, kept: bool) {
        let now = self.started.elapsed();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.kept = kept;
            attempt.connected = Some(now);
        }
    }

    /// It is over. `answered`: when the head of its response had arrived, and its status.
    pub(crate) fn attempted(&mut self, answered: Option<(Instant, u16)>, fault: Option<Fault>) {
        let now = self.started.elapsed();
        let first_byte = answered.map(|(at, _)| self.since(at));
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.first_byte = first_byte;
            attempt.status = answered.map(|(_, status)| status).filter(|status| *status != 0);
            attempt.ended = now;
            if let Some(fault) = fault {
                (attempt.fault, attempt.detail) = (Some(fault.label), Some(fault.detail));
                attempt.is_clients_fault = fault.is_clients;
            }
        }
    }

    /// The request has ended.
    pub(crate) fn ended(&mut self, now: Instant) {
        self.ended = self.since(now);
    }
}
