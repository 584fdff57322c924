//! A backend that speaks HTTP/2 without TLS.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// What becomes of one request.
type Handler =
    Arc<dyn Fn(Request<RecvStream>, SendResponse<Bytes>) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// A backend on a free loopback port. It serves as long as the test runs.
pub struct Http2Backend {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    requests: AtomicUsize,
    under_way: AtomicUsize,
    /// Connections take no more streams.
    leaving: AtomicBool,
    changed: Notify,
}

impl Http2Backend {
    /// A backend whose every request is handled like this.
    pub fn start<F>(
        handler: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let handler: Handler = Arc::new(move |request, respond| Box::pin(handler(request, respond)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::task::spawn_local(serve(stream, Arc::clone(&handler), Arc::clone(&shared)));
                }
            });
        });
        Self { port, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections have been accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many requests have arrived.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// How many requests are being handled.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.state.under_way.load(Ordering::SeqCst)
    }

    /// Tells every connection of now that it takes no more streams; later ones are served.
    pub fn leave(&self) {
        self.state.leaving.store(true, Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }
}

async fn serve(stream: TcpStream, handler: Handler, state: Arc<State>) {
    stream.set_nodelay(true).unwrap();
    state.leaving.store(false, Ordering::SeqCst);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(1024 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut told = false;
    loop {
        let changed = state.changed.notified();
        tokio::select! {
            next = connection.accept() => {
                let Some(Ok((request, respond))) = next else { return };
                state.requests.fetch_add(1, Ordering::SeqCst);
                state.under_way.fetch_add(1, Ordering::SeqCst);
                let (handled, state) = (handler(request, respond), Arc::clone(&state));
                tokio::task::spawn_local(async move {
                    handled.await;
                    state.under_way.fetch_sub(1, Ordering::SeqCst);
                });
            }
            () = changed, if !told => {
                told = true;
                connection.graceful_shutdown();
            }
        }
    }
}
