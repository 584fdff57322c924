//! What comes before the first request of a connection: the PROXY header, the choice to pass TLS through, the TLS
//! handshake.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use door::{Action, DoorTls, Route, Snapshot, TlsVersion};
use route::{HostBuf, RequestHost, normalise_sni};
use rustix::net::RecvFlags;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use wire::proxy_header::{self, ProxyStep};

use crate::exchange::tenure::{Occupant, Tenure};
use crate::exchange::tunnel::Tunnel;
use crate::head::downstream::{Downstream, Session};
use crate::head::identity::Peer;
use crate::listen::handshake_fault;
use crate::listen::overflow;
use crate::observe::labels::Reason;
use crate::refusal::Refusal;
use crate::request::record::Record;
use crate::serve::http1::Client;
use crate::serve::http2;
use crate::settings::{ProxyProtocol, Settings};
use crate::stream::Stream;
use crate::stream::linger::{LingerLimits, linger};
use crate::stream::socket::{Socket, has_ended};
use crate::upstream::connecting::while_wanted;
use crate::upstream::{Chosen, Tries};
use crate::worker::deadlines::Deadline;
use crate::worker::{Open, Phase, Worker};

/// How long a PROXY header may take.
const PROXY_HEADER: Duration = Duration::from_secs(5);

/// The longest PROXY header, and the most of a ClientHello, that is inspected before it is read.
const AHEAD: usize = 17 * 1024;

/// Whether something comes before the first request of a connection.
pub(crate) fn is_needed(snapshot: &Snapshot<Settings>) -> bool {
    snapshot.settings().proxy_protocol != ProxyProtocol::Off || snapshot.ends_tls()
}

/// Serves a connection of a door where something comes before its first request.
pub(crate) async fn serve(stream: TcpStream, address: IpAddr, open: Open, worker: Rc<Worker>) {
    let peer = Peer::of_socket(address);
    let (settings, ends_tls) = {
        let snapshot = worker.door.snapshot();
        (Arc::clone(snapshot.settings()), snapshot.ends_tls())
    };
    let prepared = Box::pin(prepare(stream, peer, &open, &worker, &settings, ends_tls)).await;
    drop(settings);
    let Some((socket, downstream, is_http2)) = prepared else {
        return;
    };
    if is_http2 {
        let deadline = worker.deadlines.register();
        Box::pin(http2::serve(socket, Vec::new(), downstream, deadline, worker)).await;
    } else {
        let client = Client::new(Stream::Socket(socket), downstream, worker);
        Box::new(client).serve().await;
    }
}

type Prepared = (Socket, Downstream, bool);

async fn prepare(
    mut stream: TcpStream,
    mut peer: Peer,
    open: &Open,
    worker: &Rc<Worker>,
    settings: &Settings,
    ends_tls: bool,
) -> Option<Prepared> {
    let deadline = worker.deadlines.register();
    if settings.proxy_protocol != ProxyProtocol::Off {
        deadline.set(Instant::now(), PROXY_HEADER);
        match read_proxy_header(&mut stream, peer.address, settings, &deadline, worker).await {
            Ok(Some(source)) => peer = peer.heralded(source.map(|source| source.ip().to_canonical())),
            Ok(None) => {}
            Err(error) => {
                worker.metrics.refused(Reason::ProxyHeader);
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData
                ) {
                    worker.warn(peer.address, "connection refused", &error.to_string());
                }
                return None;
            }
        }
        // Only now the client is known.
        if !open.enter(peer.address, settings.limits.connections_per_client) {
            overflow::turn_away(worker, stream, ends_tls);
            return None;
        }
    }
    if !ends_tls {
        return Some((Socket::Plain(stream), Downstream::clear(peer), false));
    }
    // Before the first table there is no certificate to show.
    let (tls, publication) = {
        let snapshot = worker.door.snapshot();
        (Arc::clone(snapshot.tls()?), snapshot.publication())
    };
    deadline.set(Instant::now(), settings.timeouts.tls_handshake);
    if tls.has_passthrough() {
        let route = peek(&stream, worker, &deadline, |bytes| passthrough(&tls, bytes)).await;
        match route {
            Ok(None) => {}
            Ok(Some((route, name))) => {
                let passed = Passed {
                    peer,
                    route: &route,
                    name: &name,
                    publication,
                };
                passed.pass_through(stream, worker).await;
                return None;
            }
            Err(_) => {
                worker.metrics.refused(Reason::TlsHandshake);
                return None;
            }
        }
    }
    match handshake(stream, &tls, &deadline, worker).await {
        Ok((socket, session, is_http2)) => {
            let session = Some(Rc::new(session));
            Some((socket, Downstream { peer, session }, is_http2))
        }
        Err((error, stream)) => {
            worker.metrics.refused(Reason::TlsHandshake);
            match handshake_fault::of_client_certificate(&error) {
                Some(reason) => worker.warn(peer.address, "client certificate refused", &reason),
                None => {
                    tracing::debug!(listener = %worker.door.name(), client = %peer.address, %error, "TLS handshake failed");
                }
            }
            // The client got an alert, and may have sent more than was read.
            if let Some(stream) = stream {
                linger(&mut Socket::Plain(stream), &deadline, worker, LingerLimits::SHORT).await;
            }
            None
        }
    }
}

/// Reads the PROXY header of a connection and nothing after it; returns the source that it names, if any. `None` if there
/// is no header and none is required.
async fn read_proxy_header(
    stream: &mut TcpStream,
    peer: IpAddr,
    settings: &Settings,
    deadline: &Deadline,
    worker: &Worker,
) -> io::Result<Option<Option<SocketAddr>>> {
    let required = settings.proxy_protocol == ProxyProtocol::Required;
    if !settings.trusted.contains(peer) {
        // The peer is not trusted: what looks like a header is read as HTTP or TLS.
        return if required {
            let why = "the door requires a PROXY header, and `trusted_proxies` does not name the peer";
            Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
        } else {
            Ok(None)
        };
    }
    let found = peek(stream, worker, deadline, |bytes| {
        match proxy_header::parse(bytes) {
            Ok(ProxyStep::NeedMore) => Ok(Step::More),
            Ok(ProxyStep::NotProxy) if required => {
                let why = "the door requires a PROXY header, and there is none";
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
            Ok(ProxyStep::NotProxy) => Ok(Step::Done(None)),
            Ok(ProxyStep::Header { consumed, addresses }) => Ok(Step::Done(Some((consumed, addresses)))),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    })
    .await?;
    let Some((length, addresses)) = found else {
        return Ok(None);
    };
    let mut header = vec![0; length];
    // All of it has arrived.
    stream.read_exact(&mut header).await?;
    Ok(Some(addresses.map(|(source, _)| source)))
}

/// The route that passes a connection through, and the server name that selected it.
type Passthrough = (Arc<Route>, String);

/// The result of inspecting the first bytes.
enum Step<T> {
    /// More of them are needed.
    More,
    Done(T),
}

/// Inspects the first bytes of a connection without reading them, again whenever more have arrived.
async fn peek<T>(
    stream: &TcpStream,
    worker: &Worker,
    deadline: &Deadline,
    mut look: impl FnMut(&[u8]) -> io::Result<Step<T>>,
) -> io::Result<T> {
    let mut seen = 0;
    let mut bytes = vec![0; AHEAD];
    poll_fn(|context| {
        loop {
            match poll_peek(stream, context, &mut bytes, seen) {
                Poll::Ready(Ok(count)) => {
                    seen = count;
                    match look(bytes.get(..count).unwrap_or_default())? {
                        Step::Done(found) => return Poll::Ready(Ok(found)),
                        Step::More if count == AHEAD => {
                            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                        }
                        Step::More => {}
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if deadline.has_passed(context) || worker.phase() == Phase::Ended => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Ready when more than `seen` bytes have arrived.
fn poll_peek(
    stream: &TcpStream,
    context: &mut Context<'_>,
    bytes: &mut [u8],
    seen: usize,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(context))?;
        // Readiness stays until a call would block, and peeking never does: the same bytes as before mean that nothing
        // new has arrived.
        let peeked = stream.try_io(Interest::READABLE, || {
            match rustix::net::recv(stream, &mut *bytes, RecvFlags::PEEK).map(|(_, count)| count) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                // What makes the socket ready then may be its end, which stays.
                Ok(count) if count <= seen && has_ended(stream) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) if count <= seen => Err(io::ErrorKind::WouldBlock.into()),
                outcome => outcome.map_err(io::Error::from),
            }
        });
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return Poll::Ready(outcome),
        }
    }
}

/// Whether the server name of a handshake that begins with `bytes` belongs to a route that passes TLS through.
fn passthrough(tls: &DoorTls, bytes: &[u8]) -> io::Result<Step<Option<Passthrough>>> {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    let accepted = loop {
        // It reads a part of them at a time.
        if acceptor.read_tls(&mut rest)? == 0 {
            return Ok(Step::More);
        }
        match acceptor.accept() {
            Ok(None) => {}
            outcome => break outcome,
        }
    };
    match accepted {
        Ok(None) => Ok(Step::More),
        // If something is wrong with it, the handshake will report that.
        Err(_) => Ok(Step::Done(None)),
        Ok(Some(accepted)) => {
            let mut buffer = HostBuf::new();
            let hello = accepted.client_hello();
            let name = hello
                .server_name()
                .and_then(|name| normalise_sni(name.as_bytes(), &mut buffer).ok());
            let route =
                name.and_then(|name| Some((Arc::clone(tls.passthrough(&name)?), name.as_str().to_owned())));
            Ok(Step::Done(route))
        }
    }
}

/// A connection that is passed through: its client, and its route.
struct Passed<'a> {
    peer: Peer,
    route: &'a Arc<Route>,
    name: &'a str,
    publication: u64,
}

impl Passed<'_> {
    /// Connects the client to a backend of the route and relays bytes both ways.
    async fn pass_through(&self, stream: TcpStream, worker: &Rc<Worker>) {
        let mut record = Record::new(Instant::now());
        record.connection(worker, self.peer.address, self.name, self.route);
        let _under_way = worker.under_way();
        let outcome = self.tunnel(stream, worker, &mut record).await;
        if let Err(refusal) = outcome {
            record.refused(&refusal);
        }
        record.finish(worker, self.peer.address);
    }

    async fn tunnel(
        &self,
        stream: TcpStream,
        worker: &Rc<Worker>,
        record: &mut Record,
    ) -> Result<(), Refusal> {
        let Action::Forward(upstream) = &self.route.action else {
            return Err(Refusal::Blocked);
        };
        let timeout = self
            .route
            .tuning
            .connect
            .unwrap_or(worker.door.snapshot().settings().timeouts.connect);
        let deadline = worker.deadlines.register();
        let mut client = Stream::plain(stream);
        let mut tries = Tries::default();
        let mut chosen = worker.upstreams.choose(upstream, &tries);
        let mut last = Refusal::NoEndpoint;
        let (_in_flight, backend) = loop {
            let Chosen {
                endpoint,
                last_resort,
            } = chosen.ok_or(last)?;
            record.upstream = Some(endpoint.address());
            let in_flight = endpoint.begin();
            let connecting = endpoint.connect(timeout);
            let error = match while_wanted(&mut client, &deadline, worker, None, connecting).await? {
                Ok(socket) => break (in_flight, socket),
                Err(error) => error,
            };
            let again = match (&last_resort, error.again()) {
                (None, Some(again)) => again,
                (None, None) => return Err(error.refusal()),
                (Some(_), _) => return Err(Refusal::NoEndpoint),
            };
            if !tries.go_on(again, endpoint.address()) {
                return Err(error.refusal());
            }
            worker.metrics.upstream_retries.add(1);
            last = error.refusal();
            chosen = worker.upstreams.choose(upstream, &tries);
        };
        let mut loan = worker.buffers.borrow();
        let _upgraded = worker.upgraded();
        let mut backend = Stream::Socket(backend);
        let mut tunnel = Tunnel::new(
            &mut client,
            &mut backend,
            loan.scratch(),
            &deadline,
            &worker.pipes,
        );
        let tenure = Tenure::new(worker, self.route, self.publication);
        let occupant = Occupant::Passed {
            peer: &self.peer,
            name: self.name,
        };
        let outcome = tunnel.run(tenure, occupant).await;
        (record.bytes_in, record.bytes_out) = tunnel.moved();
        outcome
    }
}

/// A handshake that failed gives the connection back, unless it took too long.
async fn handshake(
    stream: TcpStream,
    tls: &DoorTls,
    deadline: &Deadline,
    worker: &Worker,
) -> Result<(Socket, Session, bool), (io::Error, Option<TcpStream>)> {
    let acceptor = TlsAcceptor::from(Arc::clone(tls.server_config()));
    let mut accepting = pin!(acceptor.accept(stream).into_fallible());
    let stream = poll_fn(|context| match accepting.as_mut().poll(context) {
        Poll::Pending if deadline.has_passed(context) || worker.phase() == Phase::Ended => {
            Poll::Ready(Err((io::ErrorKind::TimedOut.into(), None)))
        }
        Poll::Ready(outcome) => Poll::Ready(outcome.map_err(|(error, stream)| (error, Some(stream)))),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let (_, settled) = stream.get_ref();
    let mut buffer = HostBuf::new();
    let name: Option<RequestHost<'_>> = settled
        .server_name()
        .and_then(|name| normalise_sni(name.as_bytes(), &mut buffer).ok());
    let session = Session {
        handshake: tls.handshake(name.as_ref()),
        version: if settled.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
            TlsVersion::V13
        } else {
            TlsVersion::V12
        },
        certificate: settled
            .peer_certificates()
            .and_then(|chain| chain.split_first())
            .map(|(certificate, chain)| door::client_identity(certificate, chain).into()),
    };
    let is_http2 = settled.alpn_protocol() == Some(b"h2");
    Ok((Socket::Tls(Box::new(stream.into())), session, is_http2))
}
