//! The admin port: health, metrics and a small API. Not for clients.

mod answer;
mod board;

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use wire::proxy_header::{self, ProxyStep};

use self::answer::answer;
pub(crate) use self::board::Board;
use crate::config::AdminBind;

/// Admin connections served at once.
const CONNECTIONS: usize = 128;

/// How long a PROXY header, or a request head, may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The bound admin port.
pub(crate) enum Admin {
    Tcp(TcpListener),
    Unix(UnixListener),
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

/// A socket file without a listener is left over from a process that was killed.
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
                if tokio::time::timeout(HEAD_TIMEOUT, skip_proxy_header(&mut stream))
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
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
