//! From a parsed head to an answer: check, match, choose an endpoint, exchange, and once more if that is safe.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use door::{Action, Matched, Route, Upstream, Verdict};
use route::{HostBuf, RequestHost, normalise_authority, normalise_path};
use tokio::net::TcpStream;
use wire::{BodyFraming, Method, RequestHead, Target};

use crate::buffers::Scratch;
use crate::connection::{Client, Next};
use crate::emit;
use crate::exchange::{Asked, Ended, Exchange, Failure, Patience};
use crate::identity::Identity;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::relay::{Relay, Sink};
use crate::settings::Settings;
use crate::tunnel::Tunnel;
use crate::upstream::{Endpoint, InFlight, Reuse};
use crate::worker::{Phase, Worker};

/// What a checked request calls for.
enum Decision {
    /// A backend's answer.
    Forward(Matched<Settings>, Arc<Upstream>),
    /// The gateway's.
    Refuse(Refusal),
    /// A redirect to this URL.
    Redirect(Vec<u8>),
    /// The health check of a load balancer.
    Healthy(bool),
}

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
    scratch.from_client.consume(length);
    client.refuse(scratch, &refusal, record, None).await
}

/// Checks host and path and asks the door's table. Everything here is synchronous and holds one snapshot.
fn decide(
    worker: &Worker,
    client: &Client,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> (Decision, Identity) {
    let snapshot = worker.door.snapshot();
    let settings = snapshot.settings();
    let Scratch {
        from_client,
        request,
        host: host_buf,
        path: path_scratch,
        ..
    } = scratch;
    let head = from_client.filled().get(..length).unwrap_or_default();
    let identity = Identity::of(client.peer, settings, request, head);
    record.request(worker, request, head, &identity);
    let refuse = |refusal| (Decision::Refuse(refusal), identity);
    if matches!(request.method, Method::Connect | Method::Trace) {
        return refuse(Refusal::Method);
    }
    if is_health_check(settings, identity.trusted, request, head) {
        return (
            Decision::Healthy(worker.phase() == Phase::Serving && snapshot.is_synced()),
            identity,
        );
    }
    let host = match request_host(request, head, host_buf) {
        Ok(host) => host,
        Err(refusal) => return refuse(refusal),
    };
    let raw_path = match request.path.of(head) {
        [] => b"/",
        path => path,
    };
    let path = match normalise_path(raw_path, path_scratch) {
        Ok(path) => path,
        Err(error) => return refuse(Refusal::Path(error)),
    };
    let decision = match snapshot.find(host.as_ref(), &path) {
        Verdict::Matched(route) => {
            record.route = Some(Arc::clone(route));
            act(route, Arc::clone(settings), host.as_ref(), request, head)
        }
        Verdict::Redirect { port } => redirect(host.as_ref(), port, request, head),
        Verdict::Unknown { owner } => {
            if let Some(owner) = owner {
                worker.door_metrics.probed(owner);
            }
            Decision::Refuse(Refusal::NoRoute)
        }
        Verdict::NotSynced => Decision::Refuse(Refusal::NotSynced),
    };
    (decision, identity)
}

fn act(
    route: &Arc<Route>,
    settings: Arc<Settings>,
    host: Option<&RequestHost<'_>>,
    request: &RequestHead,
    head: &[u8],
) -> Decision {
    let limit = route
        .tuning
        .body
        .map_or(settings.limits.body, |limit| (limit > 0).then_some(limit));
    match (&route.action, request.framing) {
        (Action::Blocked(_), _) => Decision::Refuse(Refusal::Blocked),
        (Action::RedirectToHttps { port }, _) => redirect(host, *port, request, head),
        (Action::Forward(_), BodyFraming::Length(length)) if limit.is_some_and(|limit| length > limit) => {
            Decision::Refuse(Refusal::BodyTooLarge)
        }
        (Action::Forward(upstream), _) => {
            let upstream = Arc::clone(upstream);
            Decision::Forward(
                Matched {
                    route: Arc::clone(route),
                    settings,
                },
                upstream,
            )
        }
    }
}

/// 308 to the same host and path over https. A request without a host has nowhere to be sent to.
fn redirect(host: Option<&RequestHost<'_>>, port: u16, request: &RequestHead, head: &[u8]) -> Decision {
    let Some(host) = host else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    let mut location = b"https://".to_vec();
    location.extend_from_slice(host.as_str().as_bytes());
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    match request.path.of(head) {
        [] => location.push(b'/'),
        path => location.extend_from_slice(path),
    }
    if let Some(query) = request.query {
        location.push(b'?');
        location.extend_from_slice(query.of(head));
    }
    Decision::Redirect(location)
}

fn is_health_check(settings: &Settings, trusted: bool, request: &RequestHead, head: &[u8]) -> bool {
    trusted
        && matches!(request.method, Method::Get | Method::Head)
        && settings
            .health_path
            .as_deref()
            .is_some_and(|path| path.as_bytes() == request.path.of(head))
}

/// The host that a request is for; `Host` and an absolute target must say the same (RFC 9112 3.2.2 would let the
/// target win, and another server may read it the other way).
fn request_host<'b>(
    request: &RequestHead,
    head: &'b [u8],
    scratch: &'b mut HostBuf,
) -> Result<Option<RequestHost<'b>>, Refusal> {
    let (authority, default_port) = match request.target {
        Target::Absolute { authority, https } => (Some(authority.of(head)), if https { 443 } else { 80 }),
        Target::Origin | Target::Asterisk | Target::Authority => (None, 80),
    };
    let host = request.host.map(|host| host.of(head));
    if let (Some(authority), Some(host)) = (authority, host) {
        let (mut left, mut right) = (HostBuf::new(), HostBuf::new());
        let authority = normalise_authority(authority, &mut left).map_err(Refusal::Host)?;
        let host = normalise_authority(host, &mut right).map_err(Refusal::Host)?;
        let same_port = host.port().unwrap_or(default_port) == authority.port().unwrap_or(default_port);
        if host.as_str() != authority.as_str() || !same_port {
            return Err(Refusal::HostMismatch);
        }
    }
    match host.or(authority) {
        Some(raw) => normalise_authority(raw, scratch).map(Some).map_err(Refusal::Host),
        None => Ok(None),
    }
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
    scratch.to_client.clear();
    let answer = emit::OwnAnswer {
        status: 200,
        method: scratch.request.method,
        date: &date,
        connection,
        extra: b"",
    };
    emit::own(&mut scratch.to_client, &answer);
    client.send(&scratch.to_client, keep).await
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
        let asked = Asked::of(request, head);
        to_upstream.clear();
        emit::request(
            to_upstream,
            head,
            request,
            &self.identity,
            &self.matched.settings,
            self.worker.door.name(),
            asked.upgrade,
        );
        from_client.consume(self.length);
        let mut upload = self.upload(asked);

        let first = self.attempt(None, asked, &mut upload).await;
        let last = match first {
            Attempt::Retry(_, failed) if upload.rewind() => {
                self.worker.metrics.upstream_retries.add(1);
                self.attempt(Some(failed), asked, &mut upload).await
            }
            first @ (Attempt::Over(_) | Attempt::Failed(_) | Attempt::Retry(..)) => first,
        };
        self.record.bytes_in = upload.moved();
        match last {
            Attempt::Over(next) => next,
            Attempt::Failed(refusal) | Attempt::Retry(refusal, _) => {
                // An unread body makes the connection useless; `refuse` closes it then.
                if upload.source_ended() {
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
        let limit = self
            .matched
            .route
            .tuning
            .body
            .map_or(settings.limits.body, |limit| (limit > 0).then_some(limit));
        let sink = match asked.framing {
            BodyFraming::Chunked => Sink::Chunked { trailers: true },
            BodyFraming::None | BodyFraming::Length(_) | BodyFraming::UntilClose => Sink::Plain,
        };
        Relay::new(
            asked.framing,
            sink,
            limit.unwrap_or(u64::MAX),
            settings.limits.header_bytes,
        )
    }

    async fn attempt(&mut self, avoid: Option<SocketAddr>, asked: Asked, upload: &mut Relay) -> Attempt {
        let Some(endpoint) = self.worker.upstreams.choose(&self.upstream, avoid) else {
            return Attempt::Failed(Refusal::NoEndpoint);
        };
        let in_flight = endpoint.begin();
        self.record.upstream = Some(endpoint.address());
        // A connection that may be closing is for requests that may be sent twice.
        let rule = if asked.method.is_idempotent() && !asked.upgrade {
            Reuse::Any
        } else {
            Reuse::Sure
        };
        let (mut stream, reused) = match endpoint.reuse(rule, self.record.started()) {
            Some(stream) => (stream, true),
            None => match self.connect(&endpoint).await {
                Ok(stream) => (stream, false),
                Err(refusal @ (Refusal::ConnectFailed | Refusal::ConnectTimeout)) => {
                    return Attempt::Retry(refusal, endpoint.address());
                }
                Err(refusal) => return Attempt::Failed(refusal),
            },
        };
        let settings = Arc::clone(&self.matched.settings);
        let tuning = self.matched.route.tuning;
        let patience = Patience {
            body_idle: tuning.body_idle.unwrap_or(settings.timeouts.body_idle),
            write_stall: settings.timeouts.write_stall,
            response_head: tuning.response_idle.unwrap_or(settings.timeouts.response_head),
            response_idle: tuning.response_idle.unwrap_or(settings.timeouts.response_idle),
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
        let outcome = poll_fn(|context| {
            let phase = worker.phase();
            if phase == Phase::Ended {
                return Poll::Ready(Err(Failure {
                    refusal: Refusal::Drained,
                    silent: false,
                }));
            }
            exchange.closing |= phase != Phase::Serving;
            exchange.poll(context)
        })
        .await;
        self.record.status = exchange.status();
        self.record.bytes_out = exchange.sent();
        match outcome {
            Ok(Ended::Answered { reuse, keep }) => {
                if reuse {
                    endpoint.keep(stream, Instant::now());
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
            return Attempt::Over(Next::Drop);
        }
        // Only a reused connection that broke in silence: the backend closed it before it saw the request. What
        // may have been processed is never sent again unless doing it twice is doing it once.
        let unsent = upload.is_unwritten();
        if failure.silent && reused && (unsent || asked.method.is_idempotent()) {
            return Attempt::Retry(failure.refusal, endpoint.address());
        }
        Attempt::Failed(failure.refusal)
    }

    async fn connect(&self, endpoint: &Rc<Endpoint>) -> Result<TcpStream, Refusal> {
        let timeout = self
            .matched
            .route
            .tuning
            .connect
            .unwrap_or(self.matched.settings.timeouts.connect);
        endpoint.connect(timeout).await.map_err(|error| {
            if error.kind() == io::ErrorKind::TimedOut {
                Refusal::ConnectTimeout
            } else if Endpoint::is_ours(&error) {
                Refusal::Overload
            } else {
                Refusal::ConnectFailed
            }
        })
    }

    /// Passes bytes both ways until the upgraded connection ends, or the drain does.
    async fn tunnel(&mut self, stream: &mut TcpStream, _in_flight: InFlight) {
        let worker = Rc::clone(&self.worker);
        let upgraded = worker.upgraded();
        let mut tunnel = Tunnel::new(
            &mut self.client.stream,
            stream,
            self.scratch,
            &self.client.deadline,
            &worker.pipes,
        );
        poll_fn(|context| {
            if worker.phase() == Phase::Ended {
                Poll::Ready(())
            } else {
                tunnel.poll(context)
            }
        })
        .await;
        drop(upgraded);
    }
}
