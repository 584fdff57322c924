//! Connections to one endpoint that carry many requests at once.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::Request;
use tokio::sync::Semaphore;

use super::connect::ConnectError;
use super::connection::{Connection, STREAMS, State};
use super::places::{Asker, Held, Places};
use crate::stream::http2::Http2Stream;
use crate::stream::socket::Socket;
use crate::worker::memory::Memory;

/// Connections per endpoint and worker.
const CONNECTIONS: usize = 16;

/// How many connections may turn out to be closing before a request gives up.
const ATTEMPTS: usize = 3;

/// The connections to one endpoint.
pub(crate) struct Multiplexed {
    shared: Rc<Shared>,
    /// One task connects at a time; the others then use the new connection, or share its failure.
    connecting: Semaphore,
    failed: Cell<Option<(Instant, io::ErrorKind)>>,
    memory: Rc<Memory>,
}

/// The connections, and who has places on them.
#[derive(Default)]
struct Shared {
    connections: RefCell<Vec<Connection>>,
    places: Rc<Places>,
}

impl State {
    fn is_idle(&self) -> bool {
        self.streams.get() == 0 && !self.closed.get()
    }
}

/// One request's place on a connection.
pub(crate) struct InStream {
    state: Rc<State>,
    shared: Rc<Shared>,
    held: Option<Held>,
}

impl Multiplexed {
    pub(super) fn new(memory: Rc<Memory>) -> Self {
        Self {
            shared: Rc::default(),
            connecting: Semaphore::new(1),
            failed: Cell::new(None),
            memory,
        }
    }

    /// Sends the head of a request on a connection with room for it; `connect` makes one if there is none. If there is no
    /// place for the asker, waits for one for `timeout`.
    pub(super) async fn open(
        &self,
        request: Request<()>,
        ends: bool,
        asker: Asker,
        timeout: Duration,
        connect: impl AsyncFn() -> Result<Socket, ConnectError>,
    ) -> Result<(Http2Stream, InStream), ConnectError> {
        let now = tokio::time::Instant::now();
        let opening = async {
            let mut attempts = 0;
            while attempts < ATTEMPTS {
                let connection = match self.shared.look(asker) {
                    Look::Room(connection) => connection,
                    Look::MayConnect => {
                        self.multiplex(asker, timeout, &connect).await?;
                        continue;
                    }
                    Look::Full => {
                        self.shared.wait(asker, now + timeout).await?;
                        continue;
                    }
                };
                let counted = InStream::new(&connection.state, &self.shared, asker);
                // It may turn out only now that it is closing.
                if let Some(opened) = connection.open(&request, ends).await {
                    return Ok((opened, counted));
                }
                attempts += 1;
            }
            Err(ConnectError::Closed)
        };
        match tokio::time::timeout_at(now + timeout * 3, opening).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(ConnectError::Tcp(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Adds a connection, unless there is a place on another by now, or none at all.
    async fn multiplex(
        &self,
        asker: Asker,
        timeout: Duration,
        connect: &impl AsyncFn() -> Result<Socket, ConnectError>,
    ) -> Result<(), ConnectError> {
        let began = Instant::now();
        let Ok(_turn) = self.connecting.acquire().await else {
            return Err(ConnectError::Tcp(io::ErrorKind::NotConnected.into()));
        };
        if !matches!(self.shared.look(asker), Look::MayConnect) {
            return Ok(());
        }
        if let Some((_, kind)) = self.failed.get().filter(|(at, _)| *at >= began) {
            return Err(ConnectError::Tcp(kind.into()));
        }
        let socket = connect().await.inspect_err(|error| self.remember(error))?;
        let shared = Rc::downgrade(&self.shared);
        let changed = move || {
            if let Some(shared) = shared.upgrade() {
                shared.call_all();
            }
        };
        let started = Connection::start(socket, &self.memory, timeout, changed).await;
        let connection = started.inspect_err(|error| self.remember(error))?;
        self.shared.connections.borrow_mut().push(connection);
        self.shared.call_all();
        Ok(())
    }

    /// Those who wait for a connection share the failure.
    fn remember(&self, error: &ConnectError) {
        let kind = match error {
            ConnectError::Tcp(error) | ConnectError::Tls(error) => error.kind(),
            ConnectError::Closed => io::ErrorKind::ConnectionReset,
            ConnectError::Full => return,
        };
        self.failed.set(Some((Instant::now(), kind)));
    }
}

/// What a request finds.
enum Look {
    /// A connection with a place for it.
    Room(Connection),
    /// None, and there may be another connection.
    MayConnect,
    /// No place for its client.
    Full,
}

impl Shared {
    fn look(&self, asker: Asker) -> Look {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.state.closed.get());
        if !self.places.admit(asker, free(&connections)) {
            return Look::Full;
        }
        let with_room = connections
            .iter()
            .filter(|connection| connection.room() > 0)
            .min_by_key(|connection| connection.state.streams.get());
        match with_room {
            Some(connection) => Look::Room(connection.clone()),
            None => Look::MayConnect,
        }
    }

    /// Waits until there may be a place for the asker.
    async fn wait(&self, asker: Asker, until: tokio::time::Instant) -> Result<(), ConnectError> {
        let turn = self.places.queue(asker, || free(&self.connections.borrow()));
        let turn = turn.ok_or(ConnectError::Full)?;
        let called = tokio::time::timeout_at(until, poll_fn(|context| turn.poll(context)));
        called.await.map_err(|_elapsed| ConnectError::Full)?;
        turn.looks();
        Ok(())
    }

    /// There are more places, or a connection may be made: as many as may have one look again.
    fn call_all(&self) {
        for _ in 0..free(&self.connections.borrow()).min(STREAMS) {
            self.call();
        }
    }

    /// A place is free, or a connection may be made: somebody may wait for that.
    fn call(&self) {
        if self.places.is_awaited() {
            self.places.call(free(&self.connections.borrow()));
        }
    }
}

/// The places that are free on connections, and on those that may still be made: these are expected to be as large as the
/// others.
fn free(connections: &[Connection]) -> usize {
    let open = connections
        .iter()
        .filter(|connection| !connection.state.closed.get());
    let (mut count, mut free, mut size) = (0, 0, STREAMS);
    for connection in open {
        count += 1;
        free += connection.room();
        size = connection.most();
    }
    free + CONNECTIONS.saturating_sub(count) * size
}

impl Multiplexed {
    pub(super) fn is_empty(&self) -> bool {
        self.shared.connections.borrow().is_empty()
    }

    /// Since when the connection has been without requests that has been so for longest.
    pub(super) fn oldest_idle(&self) -> Option<Instant> {
        let connections = self.shared.connections.borrow();
        let idle = connections.iter().filter(|connection| connection.state.is_idle());
        idle.map(|connection| connection.state.idle_since.get()).min()
    }

    /// Closes that one.
    pub(super) fn drop_oldest_idle(&self) {
        let Some(oldest) = self.oldest_idle() else { return };
        self.shared.connections.borrow_mut().retain(|connection| {
            let state = &connection.state;
            !state.is_idle() || state.idle_since.get() != oldest
        });
    }

    /// Drops connections that are closed or have been idle for `most`; without users they close themselves.
    pub(super) fn sweep(&self, now: Instant, most: Duration) {
        self.shared.connections.borrow_mut().retain(|connection| {
            let state = &connection.state;
            let idle = state.streams.get() == 0 && now.duration_since(state.idle_since.get()) > most;
            !state.closed.get() && !idle
        });
    }
}

impl InStream {
    fn new(state: &Rc<State>, shared: &Rc<Shared>, asker: Asker) -> Self {
        state.streams.set(state.streams.get() + 1);
        Self {
            state: Rc::clone(state),
            shared: Rc::clone(shared),
            held: Some(shared.places.hold(asker.client)),
        }
    }

    /// A response has come on the connection.
    pub(crate) fn prove(&self) {
        self.state.proved.set(true);
    }

    /// Whether no response has ever come on the connection.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.state.proved.get()
    }

    /// Whether this request must count the end of the connection against the endpoint.
    pub(crate) fn blame(&self) -> bool {
        self.is_fresh() && !self.state.blamed.replace(true)
    }
}

impl Drop for InStream {
    fn drop(&mut self) {
        self.state.streams.set(self.state.streams.get().saturating_sub(1));
        self.state.idle_since.set(Instant::now());
        // Its client must not be counted by those who look for a place now.
        self.held = None;
        self.shared.call();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::settings::ClientShare;
    use crate::worker::clients::Client;

    fn asker(number: u8) -> Asker {
        Asker {
            client: Some(Client::of([10, 0, 0, number].into())),
            share: ClientShare::default(),
        }
    }

    /// A backend that accepts one request on each connection at once, and answers none.
    async fn silent_backend() -> std::net::SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::task::spawn_local(async move {
                    let mut builder = h2::server::Builder::new();
                    builder.max_concurrent_streams(1);
                    let mut connection = builder.handshake::<_, Bytes>(socket).await.unwrap();
                    let mut calls = Vec::new();
                    while let Some(Ok(call)) = connection.accept().await {
                        calls.push(call);
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn silent_calls_of_one_client_leave_places_for_another() {
        let test = async {
            let address = silent_backend().await;
            let multiplexed = Multiplexed::new(Memory::of_tests());
            let patience = Cell::new(Duration::from_secs(30));
            let open = async |number| {
                let connect = async || Ok(Socket::plain(TcpStream::connect(address).await.unwrap()));
                let request = Request::get("http://a.test/").body(()).unwrap();
                let opened = multiplexed
                    .open(request, true, asker(number), patience.get(), connect)
                    .await;
                // The backend says only then how many requests it takes.
                tokio::time::sleep(Duration::from_millis(20)).await;
                opened
            };
            let mut greedy = Vec::new();
            for _ in 0..CONNECTIONS / 2 {
                greedy.push(open(1).await.unwrap());
            }
            patience.set(Duration::from_millis(50));
            let refused = open(1).await.err().unwrap();
            assert!(matches!(refused, ConnectError::Full), "{refused}");
            let mut others = Vec::new();
            for number in 2..20 {
                match open(number).await {
                    Ok(opened) => others.push(opened),
                    Err(error) => assert!(matches!(error, ConnectError::Full), "{error}"),
                }
            }
            assert_eq!(others.len(), CONNECTIONS / 2, "each of the places is in use");
            // Who waits gets the next place.
            patience.set(Duration::from_secs(30));
            let release = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                greedy.pop();
            };
            let (late, ()) = tokio::join!(open(30), release);
            assert!(late.is_ok());
            assert_eq!(multiplexed.shared.connections.borrow().len(), CONNECTIONS);
        };
        tokio::task::LocalSet::new().run_until(test).await;
    }
}
