//! A door without a process: a compiled snapshot, backends on loopback sockets, and a client at the other end of a
//! socket pair or of a stream of HTTP/2.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use door::{AddressPolicy, BackendPolicy, Ledger, Policy, Publisher, Scheme, Selector, open, publish};
use resource::manifest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::descriptors::Allotment;
use crate::head::downstream::Downstream;
use crate::head::identity::Peer;
use crate::memory::MemoryBudget;
use crate::observe::access::AccessLog;
use crate::observe::metrics::DoorMetrics;
use crate::observe::tracer::Tracer;
use crate::refusal::Refusal;
use crate::request::record::Record;
use crate::request::requester::{Next, Requester, Server};
use crate::request::{refuse_unread, serve};
use crate::settings::{ClientShare, Settings};
use crate::stream::Stream;
use crate::stream::http2::trailers::Blocks;
use crate::stream::http2::{Http2Stream, Inbox, Outbox, Piece};
use crate::upstream::HealthBoard;
use crate::worker::clients::Client;
use crate::worker::{Phase, Shared};

/// A door with its backends.
pub(super) struct Rig {
    server: Rc<Server>,
    publisher: Vec<Publisher<Settings>>,
    /// The heads that backends have received.
    pub(super) received: Rc<RefCell<Vec<String>>>,
    memory: MemoryBudget,
}

/// The outcome of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: u16,
    /// Head and body as HTTP/1 text; over HTTP/2 the fields by their lower-case names.
    pub(super) text: String,
    pub(super) reason: Option<&'static str>,
    pub(super) next: Next,
}

/// What a backend does with a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backend {
    /// It sends this.
    Answers(&'static str),
    /// It closes the connection instead.
    Breaks,
}

impl Rig {
    /// Opens a door for Ingresses with the label `expose: one`.
    pub(super) fn new(settings: Settings) -> Self {
        let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
        let (publisher, door) = open("one".parse().unwrap(), policy, settings);
        let log = AccessLog::off();
        let lines = log.lines(door.name().clone());
        let metrics = Arc::new(DoorMetrics::new(door.name().clone()));
        let memory = MemoryBudget::new(usize::MAX);
        let shared = Arc::new(Shared::new(door, metrics, memory.clone(), Tracer::off()));
        Self {
            server: Server::new(shared, Arc::new(HealthBoard::default()), lines),
            publisher: vec![publisher],
            received: Rc::default(),
            memory,
        }
    }

    /// Publishes what these manifests say.
    pub(super) fn publish(&mut self, manifests: &str) {
        let parsed = manifest::parse("test.yaml", manifests.as_bytes());
        let (view, _) = manifest::collect([&parsed]);
        let policy = BackendPolicy {
            addresses: AddressPolicy {
                allow_loopback: true,
                ..AddressPolicy::default()
            },
            ..BackendPolicy::default()
        };
        publish(&mut self.publisher, &view, &policy, &mut Ledger::default());
    }

    /// Changes the budget of memory, and lets the worker notice.
    pub(super) fn allow_memory(&self, bytes: usize) {
        self.memory.set(bytes);
        self.server.worker.shed();
    }

    /// Closes a connection that is kept for requests to come. Returns the bytes that it has held.
    pub(super) fn close_kept(&self) -> usize {
        let before = self.server.worker.memory.held();
        assert!(self.server.worker.backend_room.free_one(), "none is kept");
        before - self.server.worker.memory.held()
    }

    pub(super) fn look_at_memory(&self) {
        self.server.worker.shed();
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.server.worker.enter(phase);
    }

    /// Lets a client have its share of `most` connections to backends; what it has.
    pub(super) fn use_up_backends(&self, client: Ipv4Addr, most: usize) -> impl Sized + use<> {
        let worker = &self.server.worker;
        let descriptors = &worker.door_metrics.descriptors;
        descriptors.allot(Allotment {
            backends: most,
            ..Allotment::UNLIMITED
        });
        let client = Client::of(client.into());
        let share = || worker.backend_share(client, ClientShare::default());
        let taken = std::iter::from_fn(|| share().zip(descriptors.hold()));
        taken.collect::<Vec<_>>()
    }

    /// Starts a backend; its port.
    pub(super) async fn backend(&self, backend: Backend) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Rc::clone(&self.received);
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(answer(stream, backend, Rc::clone(&received)));
            }
        });
        port
    }

    /// Serves one request that came over HTTP/1.
    pub(super) async fn ask(&self, request: &str) -> Outcome {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (client, accepted) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        let (mut client, (accepted, _)) = (client.unwrap(), accepted.unwrap());
        let mut stream = Stream::plain(accepted);
        let (next, reason) = self.serve(&mut stream, request.as_bytes()).await;
        drop(stream);
        let mut text = Vec::new();
        client.read_to_end(&mut text).await.unwrap();
        let text = String::from_utf8(text).unwrap();
        let status = text.get(9..12).map_or(0, |status| status.parse().unwrap());
        Outcome {
            status,
            text,
            reason,
            next,
        }
    }

    /// Serves the same over HTTP/2: what is behind the head is the content of the stream.
    pub(super) async fn ask_http2(&self, request: &str) -> Outcome {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let ours = h2::client::handshake(ours);
        let theirs = h2::server::Builder::new().handshake::<_, Piece>(theirs);
        let (client, server) = tokio::join!(ours, theirs);
        let ((mut sender, connection), mut server) = (client.unwrap(), server.unwrap());
        tokio::task::spawn_local(connection);
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
        // The client's own library checks what it gets against its request.
        let method = if head.starts_with("HEAD") { "HEAD" } else { "GET" };
        let any = http::Request::builder().method(method).uri("http://any.test/");
        let any = any.body(()).unwrap();
        let (response, mut content) = sender.send_request(any, body.is_empty()).unwrap();
        if !body.is_empty() {
            content
                .send_data(Bytes::copy_from_slice(body.as_bytes()), true)
                .unwrap();
        }
        let (any, respond) = server.accept().await.unwrap().unwrap();
        tokio::task::spawn_local(async move { while server.accept().await.is_some() {} });
        let inbox = Rc::new(Inbox::new(usize::MAX));
        let outbox = Outbox::new(1 << 20, 1, Rc::clone(&self.server.worker.memory), None);
        let malformed = Blocks::default().malformed();
        let stream = Http2Stream::server(any.into_body(), respond, malformed, inbox, &outbox);
        let mut stream = Stream::Http2(Box::new(stream));
        let head = format!("{head}\r\n\r\n");
        let (next, reason) = self.serve(&mut stream, head.as_bytes()).await;
        drop(stream);
        let (parts, mut body) = response.await.unwrap().into_parts();
        let mut text = String::new();
        for (name, value) in &parts.headers {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        text.push_str("\r\n");
        while let Some(piece) = body.data().await {
            text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        Outcome {
            status: parts.status.as_u16(),
            text,
            reason,
            next,
        }
    }

    async fn serve(&self, stream: &mut Stream, request: &[u8]) -> (Next, Option<&'static str>) {
        let worker = &self.server.worker;
        let deadline = worker.deadlines.register();
        let downstream = Downstream::clear(Peer::of_socket(Ipv4Addr::LOCALHOST.into()));
        let mut loan = worker.buffers.borrow();
        let scratch = loan.scratch();
        scratch.from_client.load(request);
        scratch.request.reset();
        let limits = worker.door.snapshot().settings().head_limits();
        let parsed = scratch.request.parse(scratch.from_client.filled(), &limits);
        let mut record = Record::new(Instant::now());
        let mut requester = Requester {
            stream,
            downstream: &downstream,
            deadline: &deadline,
            server: &self.server,
            last: false,
            grpc: false,
            outdated: false,
        };
        let next = match parsed {
            Ok(length) => {
                let length = length.expect("a whole head");
                serve(&mut requester, scratch, length, &mut record).await
            }
            Err(error) => refuse_unread(&mut requester, scratch, Refusal::Head(error), &mut record).await,
        };
        (next, record.reason().map(|reason| reason.label()))
    }
}

async fn answer(mut stream: TcpStream, backend: Backend, received: Rc<RefCell<Vec<String>>>) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        received
            .borrow_mut()
            .push(String::from_utf8(std::mem::take(&mut head)).unwrap());
        match backend {
            Backend::Answers(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Backend::Breaks => return,
        }
    }
}
