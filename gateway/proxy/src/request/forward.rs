//! From a decision to an answer: choose an endpoint, exchange, and again if that is safe.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use door::{Matched, Upstream, UpstreamProtocol};
use wire::{BodyFraming, FieldId};

use crate::exchange::relay::{Relay, Sink};
use crate::exchange::tenure::{Occupant, Tenure};
use crate::exchange::tunnel::Tunnel;
use crate::exchange::{Ended, Exchange, ExchangeTimeouts, Failure, STREAM_IDLE};
use crate::head::draft::{Connection, Forwarded, RequestDraft, UNEDITED};
use crate::head::emit;
use crate::head::identity::Identity;
use crate::head::traits::{RequestTraits, grpc_timeout};
use crate::head::vouched;
use crate::refusal::{Disposition, Refusal, Side};
use crate::request::conduct::{Circumstances, Conduct};
use crate::request::decide::{Decision, body_limit, decide};
use crate::request::record::Record;
use crate::serve::http1::{ALLOW, Client, Next};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::http2::Http2Stream;
use crate::stream::trailer_limits::TrailerLimits;
use crate::upstream::connecting::{Opened, connect, while_wanted};
use crate::upstream::{Again, Chosen, ConnectError, Endpoint, InFlight, InStream, Reuse, Tries};
use crate::worker::buffers::Scratch;
use crate::worker::{Phase, Worker};

/// Answers the request whose head is the first `length` bytes of the client's buffer.
pub(crate) async fn answer(
    client: &mut Client,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Next {
    let worker = Rc::clone(&client.worker);
    let (decision, identity) = decide(&worker, client, scratch, length, record);
    let refusal = match decision {
        Decision::Forward(matched, upstream) => {
            return Forwarding {
                worker,
                client,
                scratch,
                record,
                matched,
                upstream,
                identity,
                length,
                message: None,
            }
            .run()
            .await;
        }
        Decision::Healthy(healthy) => {
            scratch.from_client.consume(length);
            return health(client, scratch, record, healthy).await;
        }
        Decision::Options => {
            scratch.from_client.consume(length);
            return fine(client, scratch, record, &[("Allow", ALLOW)]).await;
        }
        Decision::Redirect(location) => {
            scratch.from_client.consume(length);
            return client
                .refuse(scratch, &Refusal::Redirect, record, Some(&location))
                .await;
        }
        Decision::Refuse(refusal) => refusal,
    };
    client.outdated |= matches!(refusal, Refusal::Outdated);
    scratch.from_client.consume(length);
    client.refuse(scratch, &refusal, record, None).await
}

async fn health(client: &mut Client, scratch: &mut Scratch, record: &mut Record, healthy: bool) -> Next {
    if !healthy {
        return client.refuse(scratch, &Refusal::Drained, record, None).await;
    }
    fine(client, scratch, record, &[]).await
}

/// A 200 of the gateway's own.
async fn fine(
    client: &mut Client,
    scratch: &mut Scratch,
    record: &mut Record,
    extra: &[(&'static str, &[u8])],
) -> Next {
    record.status = 200;
    let keep = scratch.request.persistent()
        && matches!(
            scratch.request.framing,
            BodyFraming::None | BodyFraming::Length(0)
        )
        && !client.is_closing();
    let connection = if keep { Connection::Keep } else { Connection::Close };
    let date = client.worker.clock.date();
    let answer = emit::OwnAnswer {
        status: 200,
        method: scratch.request.method,
        date: &date,
        connection,
        extra,
        grpc: None,
    };
    client.send(&mut scratch.to_client, &answer).await
}

/// A matched request on its way to a backend.
struct Forwarding<'a> {
    worker: Rc<Worker>,
    client: &'a mut Client,
    scratch: &'a mut Scratch,
    record: &'a mut Record,
    matched: Matched<Settings>,
    upstream: Arc<Upstream>,
    identity: Identity,
    length: usize,
    /// The head for a backend that speaks HTTP/2.
    message: Option<Box<http::Request<()>>>,
}

/// How one attempt ended.
enum Attempt {
    /// The client has its answer, or cannot get one any more.
    Over(Next),
    /// Nothing has been sent to the client, and this is why.
    Failed(Refusal),
    /// As `Failed` at this endpoint, and it is safe to try again.
    Retry(Refusal, Rc<Endpoint>, Again),
}

impl Forwarding<'_> {
    async fn run(mut self) -> Next {
        let Scratch {
            from_client,
            to_upstream,
            request,
            protocols,
            ..
        } = &mut *self.scratch;
        let head = from_client.filled().get(..self.length).unwrap_or_default();
        let mut traits = RequestTraits::of(request, head);
        let scheme = match &self.upstream.protocol {
            UpstreamProtocol::H2c => Some("http"),
            UpstreamProtocol::Tls(tls) if tls.h2 => Some("https"),
            UpstreamProtocol::Http1 | UpstreamProtocol::Tls(_) => None,
        };
        let multiplexed = (self.client.stream.is_http2(), scheme.is_some());
        // A stream that is to become a WebSocket can become nothing else (RFC 8441 5), and HTTP/2 has no upgrade.
        let bodiless = matches!(request.framing, BodyFraming::None | BodyFraming::Length(0));
        if multiplexed.0 && request.upgrade && (multiplexed.1 || !traits.upgrade || !bodiless) {
            return self
                .client
                .refuse(self.scratch, &Refusal::Protocol, self.record, None)
                .await;
        }
        traits.upgrade &= !multiplexed.1;
        if traits.upgrade {
            protocols.clear();
            for field in request.fields.iter().filter(|field| field.id == FieldId::Upgrade) {
                protocols.extend_from_slice(field.value.of(head));
                protocols.push(b',');
            }
        }
        // gRPC is spoken over HTTP/2 alone; from anyone else its name buys no patience.
        traits.grpc &= multiplexed == (true, true);
        let until = traits
            .grpc
            .then(|| grpc_timeout(request, head))
            .flatten()
            .and_then(|timeout| self.record.started().checked_add(timeout));
        let draft = RequestDraft {
            head,
            request,
            edits: &UNEDITED,
            forwarded: Forwarded {
                identity: &self.identity,
                settings: &self.matched.settings,
                scheme: self.matched.scheme.as_str(),
                port: self.matched.forwarded_port,
                door: self.worker.door.name(),
                certificate: self.client.downstream.certificate(),
            },
            upgrade: traits.upgrade,
        };
        to_upstream.clear();
        let message = match scheme {
            Some(scheme) => draft.to_http2(scheme).map(Some),
            None => {
                draft.write_http1(to_upstream);
                Ok(None)
            }
        };
        from_client.consume(self.length);
        match message {
            Ok(message) => self.message = message.map(Box::new),
            Err(refusal) => {
                return self
                    .client
                    .refuse(self.scratch, &refusal, self.record, None)
                    .await;
            }
        }
        let mut upload = self.upload(traits);

        let last = self.attempts(traits, until, &mut upload).await;
        self.record.bytes_in += upload.moved();
        match last {
            Attempt::Over(next) => next,
            Attempt::Failed(refusal) | Attempt::Retry(refusal, ..) => {
                // An unread body makes the connection useless; `refuse` closes it then.
                if upload.is_taken_whole() {
                    self.scratch.request.framing = BodyFraming::None;
                }
                self.client
                    .refuse(self.scratch, &refusal, self.record, None)
                    .await
            }
        }
    }

    fn upload(&self, traits: RequestTraits) -> Relay {
        let settings = &self.matched.settings;
        let limit = body_limit(&self.matched.route, settings);
        let sink = match traits.framing {
            _ if self.message.is_some() => Sink::Frames,
            BodyFraming::Chunked => Sink::Chunked { trailers: true },
            BodyFraming::None | BodyFraming::Length(_) | BodyFraming::UntilClose => Sink::Plain,
        };
        let source = match (&self.client.stream, traits.framing) {
            // Then the backend has been told that nothing follows the head.
            (_, BodyFraming::Length(0)) => BodyFraming::None,
            // The end of the stream counts, and trailers may come before it. Where a length is passed on there is no
            // room for them, and the backend may answer before the end has arrived.
            (Stream::Http2(_), BodyFraming::Length(_)) if sink == Sink::Frames => BodyFraming::UntilClose,
            (Stream::Http2(_), BodyFraming::Chunked) => BodyFraming::UntilClose,
            (_, framing) => framing,
        };
        Relay::new(
            source,
            sink,
            limit.unwrap_or(u64::MAX),
            TrailerLimits::of(&settings.limits),
        )
        .without_trailer(vouched::never_trails(settings))
    }

    /// Tries one endpoint after the other, as far as that is safe.
    async fn attempts(
        &mut self,
        mut traits: RequestTraits,
        until: Option<Instant>,
        upload: &mut Relay,
    ) -> Attempt {
        let worker = Rc::clone(&self.worker);
        // A connection that may be closing is for requests that may be sent twice.
        let mut rule = match traits.method.is_idempotent() && !traits.upgrade {
            true => Reuse::Any,
            false => Reuse::Sure,
        };
        let mut tries = Tries::default();
        let Some(mut chosen) = worker.upstreams.choose(&self.upstream, &tries) else {
            return Attempt::Failed(Refusal::NoEndpoint);
        };
        loop {
            let (refusal, endpoint, again) =
                match self.attempt(chosen, rule, &mut traits, until, upload).await {
                    Attempt::Retry(refusal, endpoint, again) => (refusal, endpoint, again),
                    attempt @ (Attempt::Over(_) | Attempt::Failed(_)) => return attempt,
                };
            if !upload.rewind() || !tries.go_on(again, endpoint.address()) {
                return Attempt::Failed(refusal);
            }
            chosen = match worker.upstreams.choose(&self.upstream, &tries) {
                Some(other) => other,
                None if again == Again::Anywhere && !endpoint.is_down() => Chosen::usual(endpoint),
                None => return Attempt::Failed(refusal),
            };
            if again != Again::Unreached {
                // One has just turned out to be closed, and others may be as well.
                rule = Reuse::None;
            }
            worker.metrics.upstream_retries.add(1);
        }
    }

    async fn attempt(
        &mut self,
        chosen: Chosen,
        rule: Reuse,
        traits: &mut RequestTraits,
        until: Option<Instant>,
        upload: &mut Relay,
    ) -> Attempt {
        let endpoint = Rc::clone(&chosen.endpoint);
        let in_flight = endpoint.begin();
        self.record.upstream = Some(endpoint.address());
        // A connection for this request alone may be at hand; all else takes its time, and room of its own.
        let kept = match &self.message {
            None => endpoint.reuse(rule, self.record.started()),
            Some(_) => None,
        };
        let opened = match kept {
            Some(socket) => {
                // What is at hand is no try at an endpoint that is down, if it is: others may make one.
                drop(chosen);
                Opened {
                    stream: Stream::Socket(socket),
                    kept: true,
                    place: None,
                }
            }
            None => match Box::pin(self.open(chosen, *traits, until)).await {
                Ok(opened) => opened,
                Err(attempt) => return attempt,
            },
        };
        let Opened {
            mut stream,
            kept,
            place,
        } = opened;
        let settings = Arc::clone(&self.matched.settings);
        let timeouts = self.timeouts(traits, until);
        let closing = self.client.is_closing();
        let worker = Rc::clone(&self.worker);
        let mut exchange = Exchange::new(
            &mut self.client.stream,
            &mut stream,
            self.scratch,
            upload,
            &self.client.deadline,
            &worker,
            &settings,
            timeouts,
            *traits,
            closing,
        );
        let mut tenure = Tenure::new(&worker, &self.matched.route, self.matched.publication);
        let downstream = &self.client.downstream;
        let outcome = poll_fn(|context| {
            let occupant = Occupant::Request {
                downstream,
                place: &exchange.scratch.place,
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
        .await;
        drop(tenure);
        if let Some(nonsense) = exchange.nonsense() {
            self.record.explain(nonsense);
        }
        self.record.status = exchange.status();
        self.record.bytes_out = exchange.sent();
        traits.continued = exchange.has_continued();
        let ends_with_connection = exchange.ends_with_connection();
        let circumstances = Circumstances {
            answered: exchange.has_answered(),
            poor: exchange.is_poor(),
            fresh: !kept,
            unsent: exchange.unsent(),
        };
        let fresh = self.judge(&endpoint, &outcome, circumstances, place.as_ref());
        match outcome {
            Ok(Ended::Answered { reuse, keep }) => {
                if let Stream::Socket(socket) = stream
                    && reuse
                {
                    endpoint.keep(socket, Instant::now());
                }
                Attempt::Over(if keep { Next::Keep } else { Next::Close })
            }
            Ok(Ended::Upgraded) => {
                self.tunnel(&mut stream, in_flight).await;
                Attempt::Over(Next::Drop)
            }
            Err(failure) if self.record.status != 0 || !self.scratch.to_client.is_empty() => {
                Attempt::Over(self.cut(&failure.refusal, ends_with_connection).await)
            }
            Err(failure) => self.failed(failure, fresh, *traits, upload, endpoint),
        }
    }

    /// How long each step of the exchange may take.
    fn timeouts(&self, traits: &RequestTraits, until: Option<Instant>) -> ExchangeTimeouts {
        let settings = &self.matched.settings;
        let tuning = self.matched.route.tuning;
        // A gRPC call may stay open with nothing to say in either direction, and says itself for how long.
        let or = |timeout: Duration| if traits.grpc { STREAM_IDLE } else { timeout };
        ExchangeTimeouts {
            body_idle: tuning.body_idle.unwrap_or(or(settings.timeouts.body_idle)),
            write_stall: settings.timeouts.write_stall,
            response_head: tuning
                .response_idle
                .unwrap_or(or(settings.timeouts.response_head)),
            response_idle: tuning
                .response_idle
                .unwrap_or(or(settings.timeouts.response_idle)),
            until,
        }
    }

    /// Takes note of what an exchange says of its endpoint. Whether its connection had never carried a response.
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
            // All who share a connection see its end, which happens once.
            with.fresh = outcome.as_ref().is_err_and(|failure| failure.silent) && place.blame();
        }
        match Conduct::of(outcome, with) {
            Conduct::Good => endpoint.served(),
            Conduct::Poor => endpoint.disappointed(),
            Conduct::Bad(fault) => self.worker.upstreams.failed(&self.upstream, endpoint, fault),
            Conduct::Unknown => {}
        }
        fresh
    }

    /// Ends an answer that has begun and will not be whole, so that the client can tell: it gets what was good, and no
    /// proper end.
    async fn cut(&mut self, refusal: &Refusal, ends_with_connection: bool) -> Next {
        let disposition = refusal.disposition();
        self.record.refused(refusal);
        match &mut self.client.stream {
            Stream::Http2(stream) => {
                // A reset drops what has not left yet: the connection's task has its turn first.
                tokio::task::yield_now().await;
                break_off(stream, self.client.grpc, &disposition);
                Next::Drop
            }
            Stream::Socket(socket) if ends_with_connection => {
                socket.abort();
                Next::Drop
            }
            // Whoever is gone, stalled or at fault is not waited for, and nobody is who is to go.
            Stream::Socket(_) if disposition.side != Side::Upstream => Next::Drop,
            Stream::Socket(_) => Next::Close,
        }
    }

    /// What a failed exchange allows while nothing has been sent to the client.
    fn failed(
        &self,
        failure: Failure,
        fresh: bool,
        traits: RequestTraits,
        upload: &Relay,
        endpoint: Rc<Endpoint>,
    ) -> Attempt {
        // Only a connection that broke in silence: what may have been processed is never sent again unless doing it twice
        // is doing it once. If it had been used the backend closed it before it saw the request, most likely; and if
        // nothing of the request had been written, surely. A head of HTTP/2 has left by then, whatever became of the body.
        let unsent = !fresh && self.message.is_none() && upload.is_unwritten();
        if failure.unprocessed || (failure.silent && (unsent || traits.method.is_idempotent())) {
            let again = if fresh && !failure.unprocessed {
                Again::Elsewhere
            } else {
                Again::Anywhere
            };
            return Attempt::Retry(failure.refusal, endpoint, again);
        }
        Attempt::Failed(failure.refusal)
    }

    fn connect_timeout(&self) -> Duration {
        let tuning = self.matched.route.tuning.connect;
        tuning.unwrap_or(self.matched.settings.timeouts.connect)
    }

    /// A new connection, or a place on one that others use as well, as long as the client waits for it.
    async fn open(
        &mut self,
        chosen: Chosen,
        traits: RequestTraits,
        until: Option<Instant>,
    ) -> Result<Opened, Attempt> {
        let Chosen {
            endpoint,
            last_resort,
        } = chosen;
        let ends = matches!(traits.framing, BodyFraming::None | BodyFraming::Length(0));
        let message = self.message.as_deref().cloned();
        let connecting = connect(&endpoint, message, ends, self.connect_timeout());
        let (client, worker) = (&mut *self.client, &self.worker);
        let connected = while_wanted(&mut client.stream, &client.deadline, worker, until, connecting);
        let error = match connected.await {
            Err(refusal) => return Err(Attempt::Failed(refusal)),
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) => error,
        };
        self.no_connection(&endpoint, &error);
        if let Some(fault) = error.fault() {
            self.worker.upstreams.failed(&self.upstream, &endpoint, fault);
        }
        Err(match error.again() {
            // It was known to be down, as all of them are.
            _ if last_resort.is_some() => Attempt::Failed(Refusal::NoEndpoint),
            Some(again) => Attempt::Retry(error.refusal(), endpoint, again),
            None => Attempt::Failed(error.refusal()),
        })
    }

    fn no_connection(&self, endpoint: &Endpoint, error: &ConnectError) {
        tracing::debug!(
            listener = %self.worker.door.name(),
            ingress = %self.matched.route.origin.text,
            endpoint = %endpoint.address(),
            %error,
            "no connection to the backend"
        );
    }

    /// Passes bytes both ways until the upgraded connection ends, its route goes, or the drain ends.
    async fn tunnel(&mut self, stream: &mut Stream, _in_flight: InFlight) {
        let worker = Rc::clone(&self.worker);
        let upgraded = worker.upgraded();
        let place = std::mem::take(&mut self.scratch.place);
        let mut tunnel = Tunnel::new(
            &mut self.client.stream,
            stream,
            self.scratch,
            &self.client.deadline,
            &worker.pipes,
        );
        let tenure = Tenure::new(&worker, &self.matched.route, self.matched.publication);
        let occupant = Occupant::Request {
            downstream: &self.client.downstream,
            place: &place,
        };
        let outcome = tunnel.run(tenure, occupant).await;
        (self.record.bytes_in, self.record.bytes_out) = tunnel.moved();
        if let Err(refusal) = outcome {
            self.record.refused(&refusal);
            if let Stream::Http2(stream) = &mut self.client.stream {
                stream.reset(h2::Reason::CANCEL);
            }
        }
        drop(upgraded);
    }
}

/// Ends a stream whose head has been sent and whose body will not be whole. A gRPC client gets its status.
fn break_off(stream: &mut Http2Stream, grpc: bool, disposition: &Disposition) {
    if grpc && disposition.side != Side::Client {
        let mut trailers = http::HeaderMap::new();
        trailers.insert(
            "grpc-status",
            http::HeaderValue::from(u16::from(disposition.grpc_status())),
        );
        trailers.insert(
            "grpc-message",
            http::HeaderValue::from_static(disposition.reason.label()),
        );
        // A stream that has gone needs no status.
        let _gone = stream.finish(Some(trailers));
    } else {
        stream.reset(h2::Reason::INTERNAL_ERROR);
    }
}
