//! Attempts at a backend: choose an endpoint, exchange, and again if that is safe.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use door::Route;
use http::{HeaderMap, HeaderValue};
use wire::BodyFraming;

use crate::exchange::tenure::{Occupant, Tenure};
use crate::exchange::tunnel::Tunnel;
use crate::exchange::{Ended, Exchange, Failure, Parts, ResponseFilters};
use crate::head::downstream::Downstream;
use crate::head::emit::OwnAnswer;
use crate::observe::access::Times;
use crate::refusal::{Disposition, Refusal, Side};
use crate::request::cause;
use crate::request::conduct::{self, Circumstances};
use crate::request::course::Course;
use crate::request::page;
use crate::request::plan::Plan;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::requester::{Next, Requester};
use crate::stream::Stream;
use crate::stream::socket::Socket;
use crate::upstream::conduct::Conduct;
use crate::upstream::connecting::{Opened, connect, while_wanted};
use crate::upstream::{Again, Choice, Chosen, ConnectError, Endpoint, InFlight, InStream, Reuse};
use crate::worker::buffers::Scratch;
use crate::worker::room::BackendShare;
use crate::worker::{Phase, Worker};

/// Why a client gets no further connection.
const SHARED_OUT: &str =
    "its HTTP/2 requests have its share of the door's connections to backends (`limits.client_share`)";

/// A planned request on its way to a backend.
struct Attempts<'a, 'c> {
    plan: &'a mut Plan,
    requester: &'a mut Requester<'c>,
    scratch: &'a mut Scratch,
    record: &'a mut Record,
}

/// How one attempt ended.
enum Attempt {
    /// The client has its answer, or cannot get one any more.
    Over(Next),
    /// The attempt failed for this reason, and nothing has been sent to the client.
    Failed(Refusal),
    /// As `Failed`, and it is safe to try again.
    Retry(Refusal, Again),
    /// A page takes the place of the backend's answer, of which nothing has been sent.
    Page(Box<OwnAnswer>),
}

impl Attempt {
    /// The same, told to the story of its request: there is no connection.
    fn told(self, record: &mut Record) -> Self {
        if let Self::Failed(refusal) | Self::Retry(refusal, _) = &self {
            record.failed(refusal);
        }
        self
    }
}

/// Why no backend's answer has been sent.
enum Unanswered {
    Refused(Refusal),
    /// This is sent in its place.
    Page(Box<OwnAnswer>),
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Tries one endpoint after the other, as far as that is safe, and gives the client the result.
pub(crate) async fn carry_out(
    plan: &mut Plan,
    requester: &mut Requester<'_>,
    scratch: &mut Scratch,
    record: &mut Record,
) -> Next {
    let mut attempts = Attempts {
        plan,
        requester,
        scratch,
        record,
    };
    let last = attempts.run().await;
    let Attempts {
        plan,
        requester,
        scratch,
        record,
    } = attempts;
    record.bytes_in += plan.upload.moved();
    match last {
        Ok(next) => {
            let courses = &requester.server.courses;
            plan.course
                .take()
                .into_iter()
                .for_each(|course| courses.end(course));
            next
        }
        Err(unanswered) => {
            // An unread body makes the connection useless; the reply closes it then.
            if plan.upload.is_taken_whole() {
                scratch.request.framing = BodyFraming::None;
            }
            let mut reply = match unanswered {
                Unanswered::Refused(refusal) => page::of_refusal(refusal, plan, requester).await,
                Unanswered::Page(page) => Reply::Filter(page, None),
            };
            if let Some(course) = &plan.course {
                record.page_of = course.page_service();
                reply = course.edit(reply);
            }
            reply.send(requester, scratch, record).await
        }
    }
}

impl Attempts<'_, '_> {
    async fn run(&mut self) -> Result<Next, Unanswered> {
        let server = Rc::clone(self.requester.server);
        if let Some(course) = &self.plan.course
            && self.plan.traits.upgrade
            && self.requester.stream.upgraded_status() != 101
        {
            // To the client a page with 2xx would mean that the WebSocket is open (RFC 8441 5).
            course.forget();
        }
        // Only requests that may be sent twice use a connection that may be closing.
        let mut rule = match self.plan.traits.method.is_idempotent() && !self.plan.traits.upgrade {
            true => Reuse::Any,
            false => Reuse::Sure,
        };
        let mut choice = match &self.plan.course {
            None => Choice::default(),
            Some(course) => Choice::preferring(course.preference()),
        };
        self.record.service = Some(Arc::clone(&self.plan.upstream));
        let Some(mut chosen) = server.upstreams.choose(&self.plan.upstream, &choice) else {
            self.record.explain(cause::no_endpoint(&self.plan.upstream));
            return Err(Refusal::NoEndpoint.into());
        };
        loop {
            let endpoint = Rc::clone(&chosen.endpoint);
            let (refusal, again) = match self.attempt(chosen, &endpoint, rule).await {
                Attempt::Over(next) => return Ok(next),
                Attempt::Failed(refusal) => return Err(refusal.into()),
                Attempt::Page(page) => return Err(Unanswered::Page(page)),
                Attempt::Retry(refusal, again) => (refusal, again),
            };
            if !self.plan.upload.rewind() || !choice.go_on(again, &endpoint) {
                return Err(refusal.into());
            }
            chosen = match server.upstreams.choose(&self.plan.upstream, &choice) {
                Some(other) => other,
                None => return Err(refusal.into()),
            };
            if again != Again::Unreached {
                // One has just turned out to be closed, and others may be closed too.
                rule = Reuse::None;
            }
            server.worker.metrics.upstream_retries.add(1);
            let service = &self.plan.upstream.service;
            server.worker.metrics.routes.service(service).tried_again();
        }
    }

    async fn attempt(&mut self, chosen: Chosen, endpoint: &Rc<Endpoint>, rule: Reuse) -> Attempt {
        let Ok(_share) = self.share() else {
            self.record.explain(SHARED_OUT);
            return Attempt::Failed(Refusal::Overload);
        };
        let in_flight = endpoint.begin();
        self.record.attempt(endpoint.address());
        self.direct(endpoint);
        // A kept connection may be at hand. Everything else takes time, and memory of its own.
        let kept = match &self.plan.message {
            None => endpoint.reuse(rule, self.record.started()),
            Some(_) => None,
        };
        let opened = match kept {
            Some(socket) => {
                // Using a kept connection does not probe an endpoint that is down: another request may do that.
                drop(chosen);
                Opened {
                    stream: Stream::Socket(socket),
                    kept: true,
                    place: None,
                }
            }
            None => match Box::pin(self.open(chosen)).await {
                Ok(opened) => opened,
                Err(attempt) => return attempt.told(self.record),
            },
        };
        let Opened {
            mut stream,
            kept,
            place,
        } = opened;
        self.record.connected(kept);
        let closing = self.requester.is_closing();
        let worker = &self.requester.server.worker;
        let parts = Parts {
            client: self.requester.stream,
            upstream: &mut stream,
            scratch: self.scratch,
            upload: &mut self.plan.upload,
            deadline: self.requester.deadline,
            clock: &worker.clock,
            pipes: &worker.pipes,
            limits: &self.plan.matched.settings.limits,
            filters: self.plan.course.as_deref().map(response_filters),
        };
        let mut exchange = Exchange::new(parts, self.plan.timeouts, self.plan.traits, closing);
        let mut tenure = Tenure::new(worker, &self.plan.matched.route, self.plan.matched.publication);
        let (course, server) = (self.plan.course.as_deref(), &**self.requester.server);
        let (deadline, until) = (self.requester.deadline, self.plan.timeouts.until);
        let mut page = None;
        let outcome = loop {
            let outcome = follow(&mut exchange, &mut tenure, worker, self.requester.downstream).await;
            let (Ok(Ended::Intercepted), Some(course)) = (&outcome, course) else {
                break outcome;
            };
            match Box::pin(page::of_response(&mut exchange, course, server, deadline, until)).await {
                // The response goes on.
                Ok(None) => {}
                found => break found.map(|found| page = found).and(outcome),
            }
        };
        drop(tenure);
        note(self.record, &mut exchange, &self.plan.matched.route, &outcome);
        self.plan.traits.continued = exchange.has_continued();
        let ends_with_connection = exchange.ends_with_connection();
        let leftover = exchange.leftover();
        let circumstances = Circumstances {
            answered: exchange.has_answered(),
            poor: exchange.is_poor(),
            fresh: !kept,
            unsent: exchange.unsent(),
        };
        let fresh = self.judge(endpoint, &outcome, circumstances, place.as_ref());
        match outcome {
            Ok(Ended::Answered { reuse, keep }) => {
                if let Stream::Socket(socket) = stream
                    && reuse
                {
                    endpoint.keep(socket, Instant::now());
                }
                Attempt::Over(if keep { Next::Keep } else { Next::Close })
            }
            Ok(Ended::Intercepted) => {
                if let (Stream::Socket(socket), Some(leftover)) = (stream, leftover) {
                    page::keep(socket, self.scratch.from_upstream.filled(), leftover, endpoint);
                }
                page.map_or(Attempt::Failed(Refusal::UpstreamReset), Attempt::Page)
            }
            Ok(Ended::Upgraded) => {
                self.plan.course.iter().for_each(|course| course.forget());
                // Few requests become a tunnel: its memory is its own, and not a part of each request's.
                Box::pin(self.tunnel(&mut stream, in_flight)).await;
                Attempt::Over(Next::Drop)
            }
            Err(failure) if self.record.status != 0 || !self.scratch.to_client.is_empty() => {
                Attempt::Over(self.cut(&failure.refusal, ends_with_connection).await)
            }
            Err(failure) => self.failed(failure, fresh),
        }
    }

    /// Tells the filters which endpoint gets the request, and the endpoint its name if that is what it sees as `Host`.
    fn direct(&mut self, endpoint: &Endpoint) {
        if let Some(course) = &mut self.plan.course {
            course.goes_to(&self.plan.upstream, endpoint.address());
            self.plan
                .name_endpoint(endpoint.address(), &mut self.scratch.to_upstream);
        }
        if let Some(story) = &mut self.record.story {
            story.attempts(self.plan, endpoint.address(), &mut self.scratch.to_upstream);
        }
    }

    /// Records what an exchange says about its endpoint. Returns whether its connection had never carried a response.
    fn judge(
        &self,
        endpoint: &Endpoint,
        outcome: &Result<Ended, Failure>,
        mut with: Circumstances,
        place: Option<&InStream>,
    ) -> bool {
        let mut fresh = with.fresh;
        if let Some(place) = place {
            if with.answered {
                place.prove();
            }
            fresh = place.is_fresh();
            // All requests on a shared connection see its end, which counts once.
            with.fresh = outcome.as_ref().is_err_and(|failure| failure.silent) && place.blame();
        }
        self.report(endpoint, conduct::of(outcome, with));
        fresh
    }

    fn report(&self, endpoint: &Endpoint, conduct: Conduct) {
        let upstreams = &self.requester.server.upstreams;
        upstreams.report(&self.plan.upstream, endpoint, conduct);
    }

    /// Ends an answer that has begun and will not be complete, so that the client notices: it gets the intact part without
    /// a proper end.
    async fn cut(&mut self, refusal: &Refusal, ends_with_connection: bool) -> Next {
        let disposition = refusal.disposition();
        self.record.refused(refusal);
        let Some(socket) = self.requester.stream.socket() else {
            // A reset drops what has not left yet: the connection's task has its turn first.
            tokio::task::yield_now().await;
            let is_told = self.requester.grpc && disposition.side != Side::Client;
            let status = is_told.then(|| grpc_trailers(&disposition));
            self.requester
                .stream
                .break_off(h2::Reason::INTERNAL_ERROR, status);
            return Next::Drop;
        };
        if matches!(refusal, Refusal::ClientStalled | Refusal::Overload) {
            socket.reset();
            return Next::Drop;
        }
        if ends_with_connection {
            socket.abort();
            return Next::Drop;
        }
        match disposition.side {
            Side::Upstream => Next::Close,
            // Do not wait for a client that is gone or at fault, nor for any client that must go.
            Side::Client => Next::Drop,
            Side::Gateway => {
                socket.let_go();
                Next::Drop
            }
        }
    }

    /// What a failed exchange allows while nothing has been sent to the client.
    fn failed(&self, failure: Failure, fresh: bool) -> Attempt {
        // Only after a connection that broke without a response: a request that may have been processed is never sent
        // again unless it is idempotent. If the connection had been used, the backend most likely closed it before it saw
        // the request; if nothing of the request had been written, certainly. An HTTP/2 head has been sent by then, whatever
        // happened to the body.
        let plan = &self.plan;
        let unsent = !fresh && plan.message.is_none() && plan.upload.is_unwritten();
        if failure.unprocessed || (failure.silent && (unsent || plan.traits.method.is_idempotent())) {
            let again = match (failure.unprocessed, fresh) {
                (true, _) => Again::Unprocessed,
                (false, true) => Again::Elsewhere,
                (false, false) => Again::Anywhere,
            };
            return Attempt::Retry(failure.refusal, again);
        }
        Attempt::Failed(failure.refusal)
    }

    /// A new connection, or a place on a shared one, for as long as the client waits.
    async fn open(&mut self, chosen: Chosen) -> Result<Opened, Attempt> {
        let Chosen {
            endpoint,
            last_resort,
        } = chosen;
        let plan = &self.plan;
        endpoint.connects_for(&plan.upstream.service);
        let message = plan.message.as_deref().cloned();
        let connecting = connect(
            &endpoint,
            message,
            plan.is_bodiless(),
            plan.asker,
            plan.connect_timeout,
        );
        let requester = &mut *self.requester;
        let worker = &requester.server.worker;
        let until = plan.timeouts.until;
        let connected = while_wanted(requester.stream, requester.deadline, worker, until, connecting);
        let began = Instant::now();
        let connected = connected.await;
        Times::add(&mut self.record.times.connect, began);
        let error = match connected {
            Err(refusal) => return Err(Attempt::Failed(refusal)),
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) => error,
        };
        let (timeout, route) = (self.plan.connect_timeout, &self.plan.matched.route);
        self.record.explain(cause::of_connecting(
            &error,
            timeout,
            route,
            last_resort.is_some(),
        ));
        self.no_connection(&endpoint, &error);
        self.report(&endpoint, error.conduct());
        Err(match error.again() {
            // It was known to be down, as all of them are.
            _ if last_resort.is_some() => Attempt::Failed(Refusal::NoEndpoint),
            Some(again) => Attempt::Retry(error.refusal(), again),
            None => Attempt::Failed(error.refusal()),
        })
    }

    /// A connection to a backend, counted for the client if it is one of many that it may have at once and there are few.
    fn share(&self) -> Result<Option<BackendShare>, ConnectError> {
        let (None, Some(client)) = (&self.plan.message, self.plan.asker.client) else {
            return Ok(None);
        };
        let worker = &self.requester.server.worker;
        if let Some(share) = worker.backend_share(client, self.plan.asker.share) {
            return Ok(Some(share));
        }
        let peer = self.requester.downstream.peer.address;
        worker.warn(peer, "request refused", SHARED_OUT);
        Err(ConnectError::Full)
    }

    fn no_connection(&self, endpoint: &Endpoint, error: &ConnectError) {
        if matches!(error, ConnectError::Full) {
            let reason = "no place on the HTTP/2 connections to a backend within the connect timeout, or its client has \
                          its share of them (`limits.client_share`)";
            let requester = &self.requester;
            let client = requester.downstream.peer.address;
            requester.server.worker.warn(client, "request refused", reason);
        }
        tracing::debug!(
            listener = %self.requester.server.worker.door.name(),
            ingress = %self.plan.matched.route.origin.text,
            endpoint = %endpoint.address(),
            %error,
            "no connection to the backend"
        );
    }

    /// Relays bytes both ways until the upgraded connection ends, its route is removed, or the drain ends.
    async fn tunnel(&mut self, stream: &mut Stream, _in_flight: InFlight) {
        let worker = &self.requester.server.worker;
        let upgraded = worker.upgraded();
        let place = std::mem::take(&mut self.scratch.place);
        let mut tunnel = Tunnel::new(
            self.requester.stream,
            stream,
            self.scratch,
            self.requester.deadline,
            &worker.pipes,
            self.plan.timeouts.write_stall,
        );
        let tenure = Tenure::new(worker, &self.plan.matched.route, self.plan.matched.publication);
        let occupant = Occupant::Request {
            downstream: self.requester.downstream,
            place: &place,
        };
        let outcome = tunnel.run(tenure, occupant).await;
        (self.record.bytes_in, self.record.bytes_out) = tunnel.moved();
        if let Err(refusal) = outcome {
            self.record.refused(&refusal);
            if matches!(refusal, Refusal::Overload) {
                self.requester.stream.socket().into_iter().for_each(Socket::reset);
            }
            self.requester.stream.break_off(h2::Reason::CANCEL, None);
        }
        drop(upgraded);
    }
}

/// Records what an exchange has come to.
fn note(record: &mut Record, exchange: &mut Exchange<'_>, route: &Route, outcome: &Result<Ended, Failure>) {
    if let Some(cause) = exchange.cause() {
        record.explain(cause::of_exchange(cause, route));
    }
    record.status = exchange.status();
    record.bytes_out = exchange.sent();
    let (started, answered) = (record.started(), exchange.answered_at());
    record.times.first_byte = answered.map(|at| at.saturating_duration_since(started));
    if record.story.is_some() {
        let status = exchange.held().unwrap_or(exchange.status());
        record.exchanged(answered.map(|at| (at, status)), outcome.as_ref().err());
    }
}

/// A course, as an exchange sees it.
fn response_filters(course: &Course) -> &dyn ResponseFilters {
    course
}

/// Follows an exchange to its end, for as long as it may continue.
async fn follow(
    exchange: &mut Exchange<'_>,
    tenure: &mut Tenure<'_>,
    worker: &Worker,
    downstream: &Downstream,
) -> Result<Ended, Failure> {
    poll_fn(|context| {
        let occupant = Occupant::Request {
            downstream,
            place: &exchange.scratch().place,
        };
        if tenure.is_over(context, exchange.nature(), occupant) {
            return Poll::Ready(Err(exchange.cut(Refusal::Withdrawn)));
        }
        let phase = worker.phase();
        if phase == Phase::Ended {
            return Poll::Ready(Err(exchange.cut(Refusal::Drained)));
        }
        exchange.closing |= phase != Phase::Serving;
        exchange.poll(context)
    })
    .await
}

/// The gRPC status that a client gets instead of a proper end.
fn grpc_trailers(disposition: &Disposition) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(
        "grpc-status",
        HeaderValue::from(u16::from(disposition.grpc_status())),
    );
    trailers.insert(
        "grpc-message",
        HeaderValue::from_static(disposition.reason.label()),
    );
    trailers
}
