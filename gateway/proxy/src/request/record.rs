//! The record of one request: a line in the access log, and its share of the counters.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use door::{Route, TlsVersion, Upstream};
use route::ListenerName;
use wire::{Glimpse, Method, RequestHead, TraceId, Version};

use crate::exchange::Failure;
use crate::head::downstream::Downstream;
use crate::head::identity::{Identity, amazon_trace};
use crate::head::trace::Trace;
use crate::observe::access::{Event, Times};
use crate::observe::labels::Reason;
use crate::observe::route_counts::Ended;
use crate::observe::story::Story;
use crate::refusal::{Refusal, Side};
use crate::request::denial::Denial;
use crate::request::requester::Requester;
use crate::settings::Settings;
use crate::worker::failures::Failed;
use crate::worker::{Trouble, Worker};

/// Gathered while a request is served, reported when it ends.
pub(crate) struct Record {
    started: Instant,
    method: Method,
    client: Option<IpAddr>,
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) upstream: Option<SocketAddr>,
    /// What it goes to.
    pub(crate) service: Option<Arc<Upstream>>,
    /// Attempts at endpoints so far.
    pub(crate) attempts: u8,
    pub(crate) times: Times,
    pub(crate) route: Option<Arc<Route>>,
    /// What has answered with a page in place of an error.
    pub(crate) page_of: Option<Arc<Upstream>>,
    refusal: Option<Reason>,
    side: Option<Side>,
    /// What was wrong, as text, for a line with a refusal.
    detail: Option<Cow<'static, str>>,
    /// The door that knows the host, where this one does not. For the log alone: no answer may depend on it.
    cross_door_owner: Option<ListenerName>,
    protocol: Option<&'static str>,
    trace: Option<TraceId>,
    is_connection: bool,
    /// A load balancer asks for the door's health.
    is_health_check: bool,
    /// What happens to it step by step, if it is traced or somebody waits for it.
    pub(crate) story: Option<Box<Story>>,
    /// Which trace it belongs to; `None` at a door without traces.
    pub(crate) tracing: Option<Trace>,
    /// Text for the log, kept only when there is one: method, host, path, request id and what a load balancer of AWS calls it,
    /// with their ends.
    text: Vec<u8>,
    ends: [usize; 5],
}

impl Record {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            method: Method::Other,
            client: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            upstream: None,
            service: None,
            attempts: 0,
            times: Times::default(),
            route: None,
            page_of: None,
            refusal: None,
            side: None,
            detail: None,
            cross_door_owner: None,
            protocol: None,
            trace: None,
            is_connection: false,
            is_health_check: false,
            story: None,
            tracing: None,
            text: Vec::new(),
            ends: [0; 5],
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Records the request, while its head is still in the buffer.
    pub(crate) fn request(
        &mut self,
        requester: &Requester<'_>,
        settings: &Settings,
        request: &RequestHead,
        head: &[u8],
        identity: &Identity,
    ) {
        self.method = request.method;
        self.client = Some(identity.client);
        self.protocol = Some(match (requester.stream.is_http2(), request.version) {
            (true, _) => "2",
            (false, Version::Http11) => "1.1",
            (false, Version::Http10) => "1.0",
        });
        if !requester.server.worker.lines.borrow().wants_any() {
            return;
        }
        self.trace = match &self.tracing {
            Some(trace) => TraceId::of_number(trace.context.trace.bytes()),
            None => TraceId::of(&request.fields, head),
        };
        let host = request.authority().map(|host| host.of(head)).unwrap_or_default();
        self.keep(
            [request.method_span.of(head), host, request.path.of(head)],
            head,
            identity,
        );
        if let Some(amazon) = amazon_trace(settings, request, head) {
            self.text.extend_from_slice(amazon.of(head));
            self.ends[4] = self.text.len();
        }
    }

    /// Records the readable parts of a request that is refused before its head is complete.
    pub(crate) fn glimpse(&mut self, worker: &Worker, seen: Glimpse<'_>, head: &[u8], identity: &Identity) {
        self.method = Method::of(seen.method);
        self.client = Some(identity.client);
        if worker.lines.borrow().wants_any() {
            self.keep([seen.method, seen.host, seen.path], head, identity);
            self.hide_user();
        }
    }

    fn keep(&mut self, parts: [&[u8]; 3], head: &[u8], identity: &Identity) {
        self.text
            .reserve(parts.iter().map(|part| part.len()).sum::<usize>() + 40);
        for (part, end) in parts.into_iter().zip(&mut self.ends) {
            self.text.extend_from_slice(part);
            *end = self.text.len();
        }
        identity.request_id.write(head, &mut self.text);
        self.ends[3] = self.text.len();
        self.ends[4] = self.text.len();
    }

    /// Records a passed-through connection: only its server name is known.
    pub(crate) fn connection(&mut self, worker: &Worker, client: IpAddr, name: &str, route: &Arc<Route>) {
        self.is_connection = true;
        self.client = Some(client);
        self.route = Some(Arc::clone(route));
        if worker.lines.borrow().wants_any() {
            self.text.extend_from_slice(name.as_bytes());
            self.ends = [0, name.len(), name.len(), name.len(), name.len()];
        }
    }

    /// Records that a load balancer asks for the door's health. It is no traffic, as at the admin port: whoever looks for a
    /// door without requests, or for its share of errors, must not find the probes.
    pub(crate) fn health_check(&mut self) {
        self.is_health_check = true;
    }

    /// Records what was wrong, as text without any value of a field. The first reason counts.
    pub(crate) fn explain(&mut self, words: impl Into<Cow<'static, str>>) {
        if self.detail.is_none() {
            self.detail = Some(words.into());
        }
    }

    /// Another endpoint is tried, at this address: what was wrong with the one before does not count any more.
    pub(crate) fn attempt(&mut self, address: SocketAddr) {
        self.upstream = Some(address);
        self.attempts = self.attempts.saturating_add(1);
        self.detail = None;
    }

    /// Records that another door knows the host, and this one does not.
    pub(crate) fn probed(&mut self, owner: &ListenerName) {
        self.cross_door_owner = Some(owner.clone());
    }

    /// Records an answer of the gateway's own. Once the backend's status has been sent, it stays the status.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        let disposition = refusal.disposition();
        self.refusal = Some(disposition.reason);
        self.side = Some(disposition.side);
        if let (Refusal::Blocked, Some(route)) = (refusal, &self.route)
            && let Some(why) = route.explain_closed()
        {
            self.explain(why.to_owned());
        }
        if self.detail.is_none() {
            self.detail = Some(refusal.words());
        }
        if matches!(refusal, Refusal::Host(_) | Refusal::HostMismatch) {
            self.hide_user();
        }
        if self.status == 0 {
            self.status = disposition.status;
        }
    }

    /// Records an answer of the gateway's own that is not a refusal; with a `reason` it is counted like one.
    pub(crate) fn answered(&mut self, status: u16, reason: Option<Reason>) {
        self.status = status;
        self.refusal = reason;
    }

    /// Records an answer of a filter, or in the place of a refusal.
    pub(crate) fn denied(&mut self, status: u16, denial: Option<&Denial>) {
        self.answered(status, denial.map(|denial| denial.reason));
        self.side = denial.map(|denial| denial.side);
        if let Some(denial) = denial.filter(|denial| !denial.why.is_empty()) {
            self.explain(denial.why.clone());
        }
    }

    /// An invalid host may contain a user name and a password.
    fn hide_user(&mut self) {
        let [method, host, ..] = self.ends;
        let written = self.text.get(method..host).unwrap_or_default();
        if let Some(at) = written.iter().rposition(|byte| *byte == b'@') {
            self.text.drain(method..=method + at);
            for end in self.ends.iter_mut().skip(1) {
                *end -= at + 1;
            }
        }
    }

    /// The client cancelled the request, or made the gateway do so.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self.refusal, Some(Reason::ClientGone | Reason::BodyMalformed))
    }

    /// Why the gateway answered itself, or cut the exchange.
    #[cfg(test)]
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.refusal
    }

    /// There is a connection to the endpoint, which has been kept or is new.
    pub(crate) fn connected(&mut self, kept: bool) {
        if let Some(story) = &mut self.story {
            story.connected(kept);
        }
    }

    /// There has been no connection to the endpoint, or none in time.
    pub(crate) fn failed(&mut self, refusal: &Refusal) {
        if let Some(story) = &mut self.story {
            story.failed(refusal, self.detail.as_deref());
        }
    }

    /// The exchange with the endpoint has ended. `answered`: when the head of the response had arrived, and its status.
    pub(crate) fn exchanged(&mut self, answered: Option<(Instant, u16)>, failure: Option<&Failure>) {
        if let Some(story) = &mut self.story {
            story.exchanged(answered, failure, self.detail.as_deref());
        }
    }

    /// Ends the story, and passes it on.
    #[cold]
    fn conclude(&self, mut story: Box<Story>, worker: &Worker, now: Instant) {
        story.ended(now);
        (story.status, story.bytes_in, story.bytes_out) = (self.status, self.bytes_in, self.bytes_out);
        story.refusal = self.refusal.map(Reason::label);
        story.is_clients_fault = self.side == Some(Side::Client);
        story.detail = self.refusal.and(self.detail.as_deref()).map(str::to_owned);
        if let Some(trace) = story.trace_id().filter(|_| story.is_sampled()) {
            let time = story.time + story.ended;
            worker.metrics.exemplify(trace, story.ended, time);
        }
        worker.tracer().tell(story);
    }

    /// Counts and logs the request.
    pub(crate) fn finish(&mut self, worker: &Worker, downstream: &Downstream) {
        let now = Instant::now();
        if let Some(story) = self.story.take() {
            self.conclude(story, worker, now);
        }
        worker.turns.give_way(now);
        let duration = now.saturating_duration_since(self.started);
        // A passed-through connection is not a request.
        if !self.is_connection && !self.is_health_check {
            let (class, micros) = worker.metrics.finished(self.method, self.status, duration);
            if let Some(route) = &self.route {
                let (bytes_in, bytes_out) = (self.bytes_in, self.bytes_out);
                let ended = Ended {
                    class,
                    micros,
                    bytes_in,
                    bytes_out,
                };
                let service = self.page_of.as_ref().or(self.service.as_ref());
                worker.routes.count(&route.origin, service, &ended);
            }
        }
        worker.metrics.bytes_in.add(self.bytes_in);
        worker.metrics.bytes_out.add(self.bytes_out);
        if let Some(reason) = self.refusal
            && !self.is_health_check
        {
            worker.metrics.refused(reason);
        }
        self.warn(worker);
        self.remember(worker, now);
        let mut lines = worker.lines.borrow_mut();
        if !lines.wants_any() {
            return;
        }
        let session = downstream.session.as_deref();
        let service = self.service.as_deref();
        let [method, host, path, id, amazon] = self.ends;
        let part = |start: usize, end: usize| self.text.get(start..end).unwrap_or_default();
        lines.add(&Event {
            client: self.client.unwrap_or(downstream.peer.address),
            method: part(0, method),
            host: part(method, host),
            path: part(host, path),
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration,
            upstream: self.upstream,
            ingress: self.route.as_ref().map(|route| &*route.origin.text),
            request_id: part(path, id),
            refusal: self.refusal,
            detail: self.refusal.and(self.detail.as_deref()),
            cross_door_owner: self.cross_door_owner.as_ref(),
            protocol: self.protocol,
            tls_version: session.map(|session| match session.version {
                TlsVersion::V12 => "1.2",
                TlsVersion::V13 => "1.3",
            }),
            server_name: session.and_then(|session| session.server_name.as_deref()),
            service: service.map(|upstream| &upstream.service),
            pod: self.pod(),
            attempts: self.attempts,
            times: self.times,
            trace: self.trace,
            amazon_trace: part(id, amazon),
        });
        worker.deadlines.nudge();
    }

    /// The Pod that it went to last.
    fn pod(&self) -> Option<&str> {
        self.service.as_deref()?.pod(self.upstream?)
    }

    /// Shows what failed to whoever looks at the running gateway. That a client left is nobody's failure.
    fn remember(&self, worker: &Worker, now: Instant) {
        let Some(reason) = self
            .refusal
            .filter(|_| !self.is_health_check && !self.is_given_up())
        else {
            return;
        };
        let [method, host, ..] = self.ends;
        let failed = Failed {
            status: self.status,
            reason: reason.label(),
            detail: self.detail.as_deref().unwrap_or_default(),
            host: self.text.get(method..host).unwrap_or_default(),
            ingress: self.route.as_ref().map(|route| &*route.origin.text),
            service: self.service.as_deref().map(|upstream| &upstream.service),
            endpoint: self.upstream,
            pod: self.pod(),
        };
        worker.remember(&failed, now);
    }

    /// Says on standard error what whoever runs the application, or wrote the Ingress, should look at.
    fn warn(&self, worker: &Worker) {
        let (Some(reason), Some(side), Some(route)) = (self.refusal, self.side, &self.route) else {
            return;
        };
        if side != Side::Upstream && reason != Reason::Blocked {
            return;
        }
        let trouble = Trouble {
            ingress: &route.origin.text,
            service: self.service.as_deref().map(|upstream| &upstream.service),
            endpoint: self.upstream,
            pod: self.pod(),
            reason: reason.label(),
            detail: self.detail.as_deref(),
        };
        worker.warn_of_application(&trouble);
    }
}
