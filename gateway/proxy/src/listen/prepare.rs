//! What comes before the first request of a connection: the PROXY header, the choice to pass TLS through, the TLS
//! handshake.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use door::{DoorTls, Snapshot, TlsVersion};
use route::{HostBuf, RequestHost, normalise_sni};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use wire::proxy_header::{self, ProxyStep};

use crate::head::downstream::{Downstream, Session};
use crate::head::identity::Peer;
use crate::listen::handshake_fault::{self, ClientFault};
use crate::listen::overflow::Overflow;
use crate::listen::passthrough::{Passed, passthrough};
use crate::listen::peek::{Step, peek};
use crate::observe::labels::Reason;
use crate::request::requester::Server;
use crate::serve::http1::Http1Connection;
use crate::serve::http2;
use crate::settings::{ProxyProtocol, Settings};
use crate::stream::linger::{LingerLimits, linger};
use crate::stream::socket::{Socket, close_in_order, reset_when_closed};
use crate::worker::deadlines::Deadline;
use crate::worker::memory::{HANDSHAKE, SESSION};
use crate::worker::turns::PlaceInLine;
use crate::worker::{Open, Phase, Worker};

/// How long a PROXY header may take.
const PROXY_HEADER: Duration = Duration::from_secs(5);

/// Whether something comes before the first request of a connection.
pub(crate) fn is_needed(snapshot: &Snapshot<Settings>) -> bool {
    snapshot.settings().proxy_protocol != ProxyProtocol::Off || snapshot.ends_tls()
}

/// Serves a connection of a door where something comes before its first request.
pub(crate) async fn serve(
    stream: TcpStream,
    address: IpAddr,
    open: Open,
    overflow: Overflow,
    server: Rc<Server>,
) {
    let peer = Peer::of_socket(address);
    let (settings, ends_tls) = {
        let snapshot = server.worker.door.snapshot();
        (Arc::clone(snapshot.settings()), snapshot.ends_tls())
    };
    let prepared = Box::pin(prepare(
        stream, peer, &open, &overflow, &server, &settings, ends_tls,
    ))
    .await;
    drop(settings);
    let Some((socket, downstream, is_http2)) = prepared else {
        return;
    };
    let newcomer = open.take_newcomer();
    if is_http2 {
        let deadline = server.worker.deadlines.register();
        Box::pin(http2::serve(
            socket,
            Vec::new(),
            downstream,
            deadline,
            newcomer,
            server,
        ))
        .await;
    } else {
        Box::new(Http1Connection::new(socket, downstream, newcomer, server))
            .serve()
            .await;
    }
}

type Prepared = (Socket, Downstream, bool);

async fn prepare(
    mut stream: TcpStream,
    mut peer: Peer,
    open: &Open,
    overflow: &Overflow,
    server: &Server,
    settings: &Settings,
    ends_tls: bool,
) -> Option<Prepared> {
    let worker = &server.worker;
    let deadline = worker.deadlines.register();
    deadline.idle();
    if settings.proxy_protocol != ProxyProtocol::Off {
        deadline.set(PROXY_HEADER);
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
        if !open.enter(peer.address, peer.is_named(), settings) {
            overflow.turn_away(worker, stream, ends_tls, Reason::ConnectionLimit);
            return None;
        }
    }
    if !ends_tls {
        return Some((Socket::plain(stream), Downstream::clear(peer), false));
    }
    // Before the first table there is no certificate to show.
    let (tls, publication) = {
        let snapshot = worker.door.snapshot();
        (Arc::clone(snapshot.tls()?), snapshot.publication())
    };
    deadline.set(settings.timeouts.tls_handshake);
    if tls.has_passthrough() {
        let route = peek(&stream, worker, &deadline, |bytes| passthrough(&tls, bytes)).await;
        match route {
            Ok(None) => {}
            Ok(Some((route, name))) => {
                deadline.busy();
                let passed = Passed {
                    peer,
                    route: &route,
                    name: &name,
                    publication,
                };
                passed.pass_through(stream, server).await;
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
            let fault = (
                handshake_fault::of_client_certificate(&error),
                handshake_fault::of_client(&error),
            );
            match fault {
                (Some(reason), _) => worker.warn(peer.address, "client certificate refused", &reason),
                (None, Some(ClientFault::Distrust(reason))) => {
                    worker.warn(peer.address, "TLS handshake refused by the client", reason);
                }
                (None, Some(ClientFault::Speech(reason))) => {
                    worker.inform(peer.address, "TLS handshake failed", reason);
                }
                (None, None) => {
                    tracing::debug!(listener = %worker.door.name(), client = %peer.address, %error, "TLS handshake failed");
                }
            }
            // The client got an alert, and may have sent more than was read.
            if let Some(stream) = stream {
                linger(&mut Socket::plain(stream), &deadline, worker, LingerLimits::SHORT).await;
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

/// A handshake that failed gives the connection back, unless it took too long. Each of its steps waits for its turn, because
/// signatures and the agreement on keys cost as much as many requests.
async fn handshake(
    stream: TcpStream,
    tls: &DoorTls,
    deadline: &Deadline,
    worker: &Worker,
) -> Result<(Socket, Session, bool), (io::Error, Option<TcpStream>)> {
    let mut place = PlaceInLine::default();
    if !may_begin(&stream, &mut place, deadline, worker).await {
        return Err((io::ErrorKind::TimedOut.into(), None));
    }
    let mut held = worker.memory.charge(HANDSHAKE);
    // A client that does not read a long chain of certificates is reset when its time is over, or the kernel would keep that
    // for minutes. Whatever else happens gives the stream back.
    reset_when_closed(&stream);
    let acceptor = TlsAcceptor::from(Arc::clone(tls.server_config()));
    let mut accepting = pin!(acceptor.accept(stream).into_fallible());
    let mut has_begun = false;
    let stream = poll_fn(|context| {
        if !std::mem::replace(&mut has_begun, true) || worker.turns.poll_step(&mut place, context).is_ready()
        {
            let polled = accepting.as_mut().poll(context);
            worker.turns.give_way(Instant::now());
            if let Poll::Ready(outcome) = polled {
                return Poll::Ready(outcome.map_err(|(error, stream)| {
                    close_in_order(&stream);
                    (error, Some(stream))
                }));
            }
        }
        if is_over(deadline, worker, context) {
            return Poll::Ready(Err((io::ErrorKind::TimedOut.into(), None)));
        }
        Poll::Pending
    })
    .await?;
    close_in_order(stream.get_ref().0);
    held.resize(SESSION);
    let (_, settled) = stream.get_ref();
    let mut buffer = HostBuf::new();
    let name: Option<RequestHost<'_>> = settled
        .server_name()
        .and_then(|name| normalise_sni(name.as_bytes(), &mut buffer).ok());
    let session = Session {
        handshake: tls.handshake(name.as_ref()),
        server_name: name.as_ref().map(|name| name.as_str().into()),
        version: if settled.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
            TlsVersion::V13
        } else {
            TlsVersion::V12
        },
        certificate: settled
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| door::client_identity(certificate).into()),
        _held: held,
    };
    let is_http2 = settled.alpn_protocol() == Some(b"h2");
    Ok((Socket::tls(stream.into()), session, is_http2))
}

/// Waits until the client has sent something and the handshake's first step has its turn. False if it took too long, or if the
/// client has left while it waited in line: a signature for it would be in vain.
async fn may_begin(
    stream: &TcpStream,
    place: &mut PlaceInLine,
    deadline: &Deadline,
    worker: &Worker,
) -> bool {
    let mut has_waited = false;
    let has_turn = poll_fn(|context| {
        if stream.poll_read_ready(context).is_ready() {
            if worker.turns.poll_step(place, context).is_ready() {
                return Poll::Ready(true);
            }
            has_waited = true;
        }
        if is_over(deadline, worker, context) {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await;
    has_turn && !(has_waited && has_left(stream))
}

fn is_over(deadline: &Deadline, worker: &Worker, context: &mut Context<'_>) -> bool {
    deadline.has_passed(context) || worker.phase() == Phase::Ended
}

/// Whether a client that has sent something has closed its side.
fn has_left(stream: &TcpStream) -> bool {
    let ready = pin!(stream.ready(Interest::READABLE));
    match ready.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}
