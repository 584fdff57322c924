//! The admin port: health, metrics and a little API. Not for clients.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use proxy::{ListenerStatus, Phase};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use wire::proxy_header::{self, ProxyStep};

use crate::config::AdminBind;

/// Admin connections served at once.
const CONNECTIONS: usize = 128;

/// How long a PROXY header, or a request head, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the admin port shows of the doors; written by the supervisor.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    doors: Vec<ListenerStatus>,
    /// Every door has had its first table.
    published: bool,
    closed: bool,
}

/// The bound admin port.
pub(crate) enum Admin {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Board {
    pub(crate) fn show(&self, doors: Vec<ListenerStatus>) {
        self.lock().doors = doors;
    }

    pub(crate) fn published(&self) {
        self.lock().published = true;
    }

    /// The doors have closed.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ready(&self) -> bool {
        let state = self.lock();
        let open = |door: &ListenerStatus| door.is_open() && door.phase() < Phase::Closing;
        state.published && !state.closed && !state.doors.is_empty() && state.doors.iter().all(open)
    }

    /// Whether load balancers may send traffic to a door; `None` for an unknown one.
    fn takes_traffic(&self, name: &str) -> Option<bool> {
        let state = self.lock();
        let door = state.doors.iter().find(|door| door.name().as_str() == name)?;
        Some(door.is_open() && door.phase() == Phase::Serving && !state.closed)
    }

    fn doors(&self) -> serde_json::Value {
        let state = self.lock();
        let doors: Vec<serde_json::Value> = state
            .doors
            .iter()
            .map(|door| {
                serde_json::json!({
                    "listener": door.name().as_str(),
                    "address": door.address().to_string(),
                    "state": describe(door),
                    "connections": door.connections(),
                    "routes": door.routes(),
                })
            })
            .collect();
        serde_json::json!({ "doors": doors })
    }
}

fn describe(door: &ListenerStatus) -> &'static str {
    match door.phase() {
        Phase::Serving if door.is_open() => "ready",
        Phase::Serving => "waiting",
        Phase::Draining => "draining",
        Phase::Closing | Phase::Ended => "closed",
    }
}

impl Admin {
    /// Binds the admin port. It never shares its port: probes must reach the process they ask about.
    pub(crate) async fn bind(bind: &AdminBind) -> io::Result<Self> {
        match bind {
            AdminBind::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            AdminBind::Unix(path) => {
                remove_dead_socket(path)?;
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }

    /// Serves until the process ends.
    pub(crate) async fn serve(self, board: Board, registry: Arc<Registry>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let (board, registry) = (board.clone(), Arc::clone(&registry));
            let accepted = match &self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Client::Tcp(stream)),
                Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Client::Unix(stream)),
            };
            match accepted {
                Ok(client) => {
                    tokio::task::spawn_local(async move {
                        client.serve(board, registry).await;
                        drop(permit);
                    });
                }
                // Out of descriptors: probes must be answered again as soon as there are some.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// A socket file that nobody listens on is left over from a process that was killed.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(_) => Ok(()),
    }
}

enum Client {
    Tcp(TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Client {
    async fn serve(self, board: Board, registry: Arc<Registry>) {
        match self {
            Self::Tcp(mut stream) => {
                if tokio::time::timeout(PATIENCE, skip_proxy_header(&mut stream))
                    .await
                    .is_ok_and(|skipped| skipped.is_ok())
                {
                    serve_http(stream, board, registry).await;
                }
            }
            Self::Unix(stream) => serve_http(stream, board, registry).await,
        }
    }
}

/// A network load balancer with PROXY v2 puts the header before its health checks as well. Nothing it says matters
/// here.
async fn skip_proxy_header(stream: &mut TcpStream) -> io::Result<()> {
    let mut start = [0; 4096];
    loop {
        let seen = stream.peek(&mut start).await?;
        match proxy_header::parse(start.get(..seen).unwrap_or_default()) {
            Ok(ProxyStep::NotProxy) => return Ok(()),
            Ok(ProxyStep::Header { consumed, .. }) => {
                stream
                    .read_exact(start.get_mut(..consumed).unwrap_or_default())
                    .await?;
                return Ok(());
            }
            Ok(ProxyStep::NeedMore) if seen > 0 => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(ProxyStep::NeedMore) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn serve_http(stream: impl AsyncRead + AsyncWrite + Unpin, board: Board, registry: Arc<Registry>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&request, &board, &registry);
        async move { Ok::<_, Infallible>(response) }
    });
    // A client's broken connection is its own affair.
    let _ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer<B>(request: &Request<B>, board: &Board, registry: &Registry) -> Response<Full<Bytes>> {
    if !has_valid_host(request) {
        return text(StatusCode::BAD_REQUEST, "one valid Host, please\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => verdict(
            board.is_ready(),
            "not ready: a door is not bound or has no table yet\n",
        ),
        "/metrics" => metrics(registry),
        "/api/v1/doors" => json(&board.doors()),
        path => match path
            .strip_prefix("/lb/")
            .and_then(|door| board.takes_traffic(door))
        {
            Some(takes_traffic) => verdict(takes_traffic, "this door takes no traffic\n"),
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        },
    }
}

/// HTTP/1.1 requires one `Host`, which may be empty, and no version more than one (RFC 9112 3.2).
fn has_valid_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => {
            let is_authority = |host: &str| !host.contains('@') && host.parse::<Authority>().is_ok();
            host.is_empty() || host.to_str().is_ok_and(is_authority)
        }
        (Some(_), Some(_)) => false,
    }
}

fn verdict(good: bool, otherwise: &'static str) -> Response<Full<Bytes>> {
    if good {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, otherwise)
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut page = String::new();
    match prometheus_client::encoding::text::encode(&mut page, registry) {
        Ok(()) => with_type(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            page.into(),
        ),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be encoded\n"),
    }
}

fn json(value: &serde_json::Value) -> Response<Full<Bytes>> {
    with_type(StatusCode::OK, "application/json", format!("{value}\n").into())
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    with_type(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(body.as_bytes()),
    )
}

fn with_type(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(method: &str, version: Version, hosts: &[&str]) -> (u16, Option<String>) {
        let mut request = Request::builder().method(method).version(version).uri("/livez");
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let response = answer(
            &request.body(()).unwrap(),
            &Board::default(),
            &Registry::default(),
        );
        let allow = response.headers().get(ALLOW);
        (
            response.status().as_u16(),
            allow.map(|allow| allow.to_str().unwrap().to_owned()),
        )
    }

    /// RFC 9110 15.5.6, RFC 9112 3.2
    #[test]
    fn other_methods_get_405_and_malformed_hosts_400() {
        let table = [
            ("GET", Version::HTTP_11, &["10.0.0.1:10254"][..], 200),
            ("HEAD", Version::HTTP_11, &["a.test"], 200),
            ("GET", Version::HTTP_11, &["[::1]:10254"], 200),
            ("GET", Version::HTTP_11, &[""], 200),
            ("GET", Version::HTTP_10, &[], 200),
            ("GET", Version::HTTP_11, &[], 400),
            ("POST", Version::HTTP_11, &[], 400),
            ("GET", Version::HTTP_11, &["a.test", "a.test"], 400),
            ("GET", Version::HTTP_10, &["a.test", "b.test"], 400),
            ("GET", Version::HTTP_11, &["a b"], 400),
            ("GET", Version::HTTP_11, &["me@a.test"], 400),
            ("POST", Version::HTTP_11, &["a.test"], 405),
            ("OPTIONS", Version::HTTP_10, &[], 405),
        ];
        for (method, version, hosts, status) in table {
            let allow = (status == 405).then(|| "GET, HEAD".to_owned());
            assert_eq!(
                answered(method, version, hosts),
                (status, allow),
                "{method} {version:?} {hosts:?}"
            );
        }
    }
}
