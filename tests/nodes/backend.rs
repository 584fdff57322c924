//! What runs in the pods of the test on nodes: an application that reports its name and the request that reached it, and
//! (`pause`) the process that holds a pod's namespaces.
//!
//! It ends like a real application: at SIGTERM it refuses new connections, closes idle ones and finishes the rest.
//! With `ABRUPT` in its environment it just ends, as applications without a handler do.
#![allow(
    clippy::disallowed_methods,
    reason = "an application of the tests, not the gateway"
)]

use std::env;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

const PORT: u16 = 8080;
/// How long requests in flight are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Process 1 of a pod has no default action for signals: without a handler SIGTERM would do nothing.
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    if env::args().nth(1).is_some_and(|argument| argument == "pause") {
        terminate.recv().await;
        return;
    }
    let told = |name: &str| env::var(name).unwrap_or_default();
    let name: Arc<str> = format!("{} {} {}\n", told("APP"), told("POD_NAME"), told("NODE_NAME")).into();
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await.unwrap();
    let (end, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, Arc::clone(&name), ended.clone()));
            },
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => break,
        }
    }
    if env::var_os("ABRUPT").is_some() {
        return;
    }
    drop(listener);
    end.send_replace(true);
    let rest = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(PATIENCE, rest).await);
}

/// Requests without bodies, one after the other.
async fn serve(mut stream: TcpStream, name: Arc<str>, mut ended: watch::Receiver<bool>) {
    drop(stream.set_nodelay(true));
    let mut pending = Vec::new();
    loop {
        let end = pending.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            let read = tokio::select! {
                read = stream.read_buf(&mut pending) => read,
                _ = ended.wait_for(|ended| *ended), if pending.is_empty() => return,
            };
            match read {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let head: Vec<u8> = pending.drain(..end + 4).collect();
        let is_last = *ended.borrow();
        let close = if is_last { "Connection: close\r\n" } else { "" };
        let length = name.len() + head.len();
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{close}\r\n{name}").into_bytes();
        answer.extend_from_slice(&head);
        if stream.write_all(&answer).await.is_err() || is_last {
            return;
        }
    }
}
