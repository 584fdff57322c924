//! From a decision to an answer: choose an endpoint, exchange, and once more if that is safe.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use door::{Matched, Upstream, UpstreamProtocol};
use wire::{BodyFraming, HeadLimits, RequestHead, Span};

use crate::asked::{Asked, grpc_timeout};
use crate::buffers::Scratch;
use crate::connection::{Client, Next};
use crate::decide::{Decision, body_limit, decide};
use crate::emit;
use crate::exchange::{Ended, Exchange, Failure, Patience, STREAM_IDLE};
use crate::http2::{self, Http2Stream};
use crate::identity::Identity;
use crate::record::Record;
use crate::refusal::{Refusal, Side, Verdict};
use crate::relay::{Relay, Sink};
use crate::settings::Settings;
use crate::stream::{Socket, Stream};
use crate::tenure::{Occupant, Tenure};
use crate::tunnel::Tunnel;
use crate::upstream::{ConnectError, Endpoint, InFlight, InStream, Reuse};
use crate::vouched;
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
    record.status = 200;
    let keep = scratch.request.persistent()
        && matches!(
            scratch.request.framing,
            BodyFraming::None | BodyFraming::Length(0)
        )
        && !client.is_closing();
    let connection = if keep {
        emit::Connection::Keep
    } else {
        emit::Connection::Close
    };
    let date = client.worker.date();
    let answer = emit::OwnAnswer {
        status: 200,
        method: scratch.request.method,
        date: &date,
        connection,
        extra: &[],
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
    /// As `Failed`, and it is safe to try another endpoint.
    Retry(Refusal, SocketAddr),
}

impl Forwarding<'_> {
    async fn run(mut self) -> Next {
        let Scratch {
            from_client,
            to_upstream,
            request,
            ..
        } = &mut *self.scratch;
        let head = from_client.filled().get(..self.length).unwrap_or_default();
        let mut asked = Asked::of(request, head);
        let scheme = match &self.upstream.protocol {
            UpstreamProtocol::H2c => Some("http"),
            UpstreamProtocol::Tls(tls) if tls.h2 => Some("https"),
            UpstreamProtocol::Http1 | UpstreamProtocol::Tls(_) => None,
        };
        let multiplexed = (self.client.stream.is_http2(), scheme.is_some());
        // A stream that is to become a WebSocket can become nothing else (RFC 8441 5), and HTTP/2 has no upgrade.
        if multiplexed.0 && request.upgrade && (multiplexed.1 || !asked.upgrade) {
            return self
                .client
                .refuse(self.scratch, &Refusal::Protocol, self.record, None)
                .await;
        }
        asked.upgrade &= !multiplexed.1;
        // gRPC is spoken over HTTP/2 alone; from anyone else its name buys no patience.
        asked.grpc &= multiplexed == (true, true);
        let until = asked
            .grpc
            .then(|| grpc_timeout(request, head))
            .flatten()
            .and_then(|timeout| self.record.started().checked_add(timeout));
        to_upstream.clear();
        emit::request(
            to_upstream,
            head,
            request,
            &self.identity,
            &self.matched.settings,
            self.worker.door.name(),
            self.client
                .session
                .as_ref()
                .and_then(|session| session.certificate.as_deref()),
            asked.upgrade,
        );
        from_client.consume(self.length);
        let mut message = Ok(None);
        if let Some(scheme) = scheme {
            message = as_http2(to_upstream, scheme).map(Some);
            to_upstream.clear();
        }
        match message {
            Ok(message) => self.message = message.map(Box::new),
            Err(refusal) => {
                return self
                    .client
                    .refuse(self.scratch, &refusal, self.record, None)
                    .await;
            }
        }
        let mut upload = self.upload(asked);

        let first = self.attempt(None, asked, until, &mut upload).await;
        let last = match first {
            Attempt::Retry(_, failed) if upload.rewind() => {
                self.worker.metrics.upstream_retries.add(1);
                self.attempt(Some(failed), asked, until, &mut upload).await
            }
            first @ (Attempt::Over(_) | Attempt::Failed(_) | Attempt::Retry(..)) => first,
        };
        self.record.bytes_in += upload.moved();
        match last {
            Attempt::Over(next) => next,
            Attempt::Failed(refusal) | Attempt::Retry(refusal, _) => {
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

    fn upload(&self, asked: Asked) -> Relay {
        let settings = &self.matched.settings;
        let limit = body_limit(&self.matched.route, settings);
        let sink = match asked.framing {
            _ if self.message.is_some() => Sink::Frames,
            BodyFraming::Chunked => Sink::Chunked { trailers: true },
            BodyFraming::None | BodyFraming::Length(_) | BodyFraming::UntilClose => Sink::Plain,
        };
        let source = match (&self.client.stream, asked.framing) {
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
            settings.limits.header_bytes,
        )
        .without_trailer(vouched::never_trails(settings))
    }

    async fn attempt(
        &mut self,
        avoid: Option<SocketAddr>,
        asked: Asked,
        until: Option<Instant>,
        upload: &mut Relay,
    ) -> Attempt {
        let Some(endpoint) = self.worker.upstreams.choose(&self.upstream, avoid) else {
            return Attempt::Failed(Refusal::NoEndpoint);
        };
        let in_flight = endpoint.begin();
        self.record.upstream = Some(endpoint.address());
        let opened = match &self.message {
            Some(_) => Box::pin(self.open_stream(&endpoint, asked)).await,
            None => self.open_socket(&endpoint, avoid.is_some(), asked).await,
        };
        let (mut stream, reused, _counted) = match opened {
            Ok(opened) => opened,
            Err(refusal @ (Refusal::ConnectFailed | Refusal::ConnectTimeout | Refusal::UpstreamTls)) => {
                return Attempt::Retry(refusal, endpoint.address());
            }
            Err(refusal) => return Attempt::Failed(refusal),
        };
        let settings = Arc::clone(&self.matched.settings);
        let tuning = self.matched.route.tuning;
        // A gRPC call may stay open with nothing to say in either direction, and says itself for how long.
        let or = |timeout: Duration| if asked.grpc { STREAM_IDLE } else { timeout };
        let patience = Patience {
            body_idle: tuning.body_idle.unwrap_or(or(settings.timeouts.body_idle)),
            write_stall: settings.timeouts.write_stall,
            response_head: tuning
                .response_idle
                .unwrap_or(or(settings.timeouts.response_head)),
            response_idle: tuning
                .response_idle
                .unwrap_or(or(settings.timeouts.response_idle)),
            until,
        };
        let closing = self.client.is_closing();
        let worker = Rc::clone(&self.worker);
        let mut exchange = Exchange::new(
            &mut self.client.stream,
            &mut stream,
            self.scratch,
            upload,
            &self.client.deadline,
            &worker.pipes,
            &settings,
            patience,
            asked,
            closing,
        );
        let mut tenure = Tenure::new(&worker, &self.matched.route, self.matched.publication);
        let (peer, session) = (&self.client.peer, self.client.session.as_deref());
        let outcome = poll_fn(|context| {
            let occupant = Occupant::Request {
                peer,
                session,
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
        self.record.status = exchange.status();
        self.record.bytes_out = exchange.sent();
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
            Err(failure) => self.failed(failure, reused, asked, upload, &endpoint),
        }
    }

    /// What a failed exchange allows. The client's fault is nobody else's, and a status once sent stands.
    fn failed(
        &mut self,
        failure: Failure,
        reused: bool,
        asked: Asked,
        upload: &Relay,
        endpoint: &Endpoint,
    ) -> Attempt {
        let verdict = failure.refusal.verdict();
        if self.record.status != 0 || !self.scratch.to_client.is_empty() {
            self.record.refused(verdict);
            if let Stream::Http2(stream) = &mut self.client.stream {
                break_off(stream, self.client.grpc, &verdict);
            }
            return Attempt::Over(Next::Drop);
        }
        // Only a reused connection that broke in silence: the backend closed it before it saw the request. What
        // may have been processed is never sent again unless doing it twice is doing it once.
        // A head of HTTP/2 has left by then, whatever became of the body.
        let unsent = self.message.is_none() && upload.is_unwritten();
        let safe = failure.silent && reused && (unsent || asked.method.is_idempotent());
        if safe || failure.unprocessed {
            return Attempt::Retry(failure.refusal, endpoint.address());
        }
        Attempt::Failed(failure.refusal)
    }

    fn connect_timeout(&self) -> Duration {
        let tuning = self.matched.route.tuning.connect;
        tuning.unwrap_or(self.matched.settings.timeouts.connect)
    }

    /// A connection for this request alone, kept or new; `again`: one has just turned out to be closed.
    async fn open_socket(
        &self,
        endpoint: &Rc<Endpoint>,
        again: bool,
        asked: Asked,
    ) -> Result<(Stream, bool, Option<InStream>), Refusal> {
        // A connection that may be closing is for requests that may be sent twice.
        let rule = match again {
            true => Reuse::None,
            false if asked.method.is_idempotent() && !asked.upgrade => Reuse::Any,
            false => Reuse::Sure,
        };
        if let Some(socket) = endpoint.reuse(rule, self.record.started()) {
            return Ok((Stream::Socket(socket), true, None));
        }
        let socket: Socket = endpoint
            .connect(self.connect_timeout())
            .await
            .map_err(|error| self.no_connection(endpoint, &error))?;
        Ok((Stream::Socket(socket), false, None))
    }

    /// A stream on a connection that other requests use as well.
    async fn open_stream(
        &self,
        endpoint: &Rc<Endpoint>,
        asked: Asked,
    ) -> Result<(Stream, bool, Option<InStream>), Refusal> {
        let Some(message) = self.message.as_deref().cloned() else {
            return Err(Refusal::UpstreamReset);
        };
        let ends = matches!(asked.framing, BodyFraming::None | BodyFraming::Length(0));
        let (stream, counted): (Http2Stream, InStream) = endpoint
            .open_stream(message, ends, self.connect_timeout())
            .await
            .map_err(|error| self.no_connection(endpoint, &error))?;
        Ok((Stream::Http2(Box::new(stream)), true, Some(counted)))
    }

    fn no_connection(&self, endpoint: &Endpoint, error: &ConnectError) -> Refusal {
        tracing::debug!(
            listener = %self.worker.door.name(),
            ingress = %self.matched.route.ingress_text,
            endpoint = %endpoint.address(),
            %error,
            "no connection to the backend"
        );
        error.refusal()
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
            peer: &self.client.peer,
            session: self.client.session.as_deref(),
            place: &place,
        };
        let outcome = tunnel.run(tenure, occupant).await;
        (self.record.bytes_in, self.record.bytes_out) = tunnel.moved();
        if let Err(refusal) = outcome {
            self.record.refused(refusal.verdict());
            if let Stream::Http2(stream) = &mut self.client.stream {
                stream.reset(h2::Reason::CANCEL);
            }
        }
        drop(upgraded);
    }
}

/// The head that the gateway would send as HTTP/1, as HTTP/2.
fn as_http2(head: &[u8], scheme: &'static str) -> Result<http::Request<()>, Refusal> {
    let limits = HeadLimits {
        bytes: head.len() + 1,
        fields: usize::MAX,
        target_bytes: head.len(),
    };
    let mut parsed = RequestHead::new();
    match parsed.parse(head, &limits) {
        Ok(Some(_)) if parsed.host.is_none_or(Span::is_empty) => Err(Refusal::HostMissing),
        Ok(Some(_)) => http2::request_of(head, &parsed, scheme).ok_or(Refusal::NotForHttp2),
        Ok(None) => Err(Refusal::HostMissing),
        Err(error) => Err(Refusal::Head(error)),
    }
}

/// Ends a stream whose head has been sent and whose body will not be whole. A gRPC client gets its status.
fn break_off(stream: &mut Http2Stream, grpc: bool, verdict: &Verdict) {
    if grpc && verdict.side != Side::Client {
        let mut trailers = http::HeaderMap::new();
        trailers.insert(
            "grpc-status",
            http::HeaderValue::from(u16::from(verdict.grpc_status())),
        );
        trailers.insert(
            "grpc-message",
            http::HeaderValue::from_static(verdict.reason.label()),
        );
        // A stream that has gone needs no status.
        let _gone = stream.finish(Some(trailers));
    } else {
        stream.reset(h2::Reason::INTERNAL_ERROR);
    }
}
