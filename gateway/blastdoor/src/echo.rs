//! The demo's backends: they answer with their name and the request that reached them.

use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Starts a backend on a free loopback port, on its own thread for the life of the process.
pub(crate) fn start(door: &'static str, host: &'static str) -> io::Result<SocketAddr> {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    std::thread::Builder::new()
        .name(format!("echo-{door}"))
        .spawn(move || {
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, async move {
                let Ok(listener) = TcpListener::from_std(socket) else {
                    return;
                };
                while let Ok((stream, _)) = listener.accept().await {
                    let service =
                        service_fn(
                            move |request| async move { Ok::<_, Infallible>(echo(door, host, &request)) },
                        );
                    tokio::task::spawn_local(async move {
                        // A client that breaks off needs no answer.
                        let _ended = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            });
        })?;
    Ok(address)
}

fn echo(door: &str, host: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut page = format!(
        "{host} here, exposed at {door}\n{} {}\n",
        request.method(),
        request.uri()
    );
    for (name, value) in request.headers() {
        let _infallible = writeln!(page, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    Response::new(Full::new(page.into()))
}
